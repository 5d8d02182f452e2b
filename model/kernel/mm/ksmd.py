"""ksmd: the kernel thread that goes through all mergeable memory, page by page, and merges what it finds twice.

It looks at each page at least twice: in the first scan it only notes the content. A page that still has it in the next
one is compared with all KSM pages, then with those that this scan has put into the unstable tree.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, goto, step
from model.kernel.arch.boot import ZERO_PFN
from model.kernel.arch.pgtable import (
    PMD,
    PTRS_PER_TABLE,
    TABLE_SHIFT,
    first_huge_pmd,
    index_of,
    populated,
    vm_normal_page,
)
from model.kernel.mm.break_ksm import break_ksm
from model.kernel.mm.filemap import folio_lock, folio_trylock, folio_unlock
from model.kernel.mm.huge_page import vm_normal_page_pmd
from model.kernel.mm.ksm import find_mergeable_vma, forget_addresses, forget_the_dead
from model.kernel.mm.ksm_merge import try_to_merge_with_ksm_page
from model.kernel.mm.ksm_tree import (
    left_stable_tree,
    remove_rmap_item_from_tree,
    should_skip_rmap_item,
    stable_tree_append,
    stable_tree_insert,
    stable_tree_search,
)
from model.kernel.mm.page import get_page, put_page
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.vma import find_vma
from model.memory.flags import PG_KSM, VM_MERGEABLE
from model.memory.folio import folio_of, page_folio
from model.memory.record_base import replaced
from model.memory.records import KsmRmapItem, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn

KSM_THREAD_MUTEX: Final = ("ksm_thread_mutex", "ksmd")
"""There is one ksmd, and it has this while it scans (mm/ksm.c: ksm_scan_thread)."""


class ksm_do_scan(Procedure):
    """So many full scans of all mergeable memory, as ksmd makes them while /sys/kernel/mm/ksm/run is 1."""

    source: ClassVar[str] = "mm/ksm.c: ksm_scan_thread, ksm_do_scan, scan_get_next_rmap_item"
    scans: int = 1
    use_zero_pages: bool = False
    """/sys/kernel/mm/ksm/use_zero_pages: pages of zeros become the shared zero page."""
    mm: str = ""
    """The address space that is being scanned …"""
    slot: int = 0
    """… its place in the list …"""
    address: int = 0
    """… and the page from which on; the cursor ksm_scan."""
    last: int = 0
    """Where the list ended when the scan began."""
    locked: bool = False
    """Whether it has ksm_thread_mutex."""

    @step
    def start_scan(self, tx: Transaction) -> Outcome:
        """A full scan begins with an empty unstable tree: what stood in it may have changed.

        Two scans never run at once: there is one ksmd, and it holds ksm_thread_mutex.
        """
        if not self.locked and (wait := down_write(tx, *KSM_THREAD_MUTEX)) is not None:
            return wait
        self.locked = True
        if (wait := forget_the_dead(tx)) is not None:
            return wait
        for content, _ in list(tx.ksm_unstable_tree.items()):
            del tx.ksm_unstable_tree[content]
        self.slot, self.last = 0, max((process.mm_slot for _, process in tx.processes.items()), default=0)
        return self.next_mm(tx)

    @step
    def scan_get_next_rmap_item(self, tx: Transaction) -> Outcome:
        """Under mmap_lock, find the next anonymous page in a mergeable VMA, and take a reference on it.

        An address space in which nothing is mergeable any more is taken off the list.
        """
        if not self.mm:
            self.scans -= 1
            if self.scans > 0:
                return goto(ksm_do_scan.start_scan)
            up_write(tx, *KSM_THREAD_MUTEX)
            return done()
        process = tx.processes.get(self.mm)
        if process is None or process.exiting:
            return self.next_mm(tx)
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        mm = self.mm
        found = self.next_page(tx)
        if isinstance(found, Blocked):
            return found
        if found is None:
            if not self.address:
                tx.processes.update(mm, mm_slot=0)
            if (wait := forget_addresses(tx, mm, self.address)) is not None:
                return wait
            up_read(tx, "mmap_lock", mm)
            return self.next_mm(tx)
        vpn, pfn = found
        get_page(tx, pfn)
        up_read(tx, "mmap_lock", mm)
        self.address = vpn + 1
        found_page = cmp_and_merge_page(
            mm=mm, vpn=vpn, pfn=pfn, use_zero_pages=self.use_zero_pages, holds=(page_folio(tx, pfn),)
        )
        return call(found_page, then=ksm_do_scan.scan_get_next_rmap_item)

    def next_page(self, tx: Transaction) -> tuple[int, Pfn] | Blocked | None:
        """The next page to look at, with its rmap_item made, where it has none yet; None behind the last."""
        vma = find_vma(tx, self.mm, self.address)
        while vma is not None:
            if vma.flags & VM_MERGEABLE:
                first = max(self.address, vma.start)
                for vpn, pfn in anonymous_pages(tx, self.mm, vma, first) if vma.anon_vma else ():
                    if (wait := forget_addresses(tx, self.mm, self.address, vpn)) is not None:
                        return wait
                    self.address = vpn + 1
                    if (self.mm, vpn) not in tx.ksm_rmap_items:
                        tx.ksm_rmap_items[self.mm, vpn] = KsmRmapItem()
                    if not should_skip_rmap_item(tx, self.mm, vpn, pfn):
                        return vpn, pfn
                if (wait := forget_addresses(tx, self.mm, self.address, vma.end)) is not None:
                    return wait
                self.address = vma.end
            vma = find_vma(tx, self.mm, vma.end)
        return None

    def next_mm(self, tx: Transaction) -> Outcome:
        """On to the next address space of the list; behind the last one the scan is full."""
        slots = sorted((process.mm_slot, mm) for mm, process in tx.processes.items())
        behind = ((slot, mm) for slot, mm in slots if self.slot < slot <= self.last)
        self.slot, self.mm = next(behind, (self.last, ""))
        self.address = 0
        return goto(ksm_do_scan.scan_get_next_rmap_item)


def anonymous_pages(tx: Transaction, mm: str, vma: Vma, start: int) -> Iterator[tuple[int, Pfn]]:
    """Each anonymous page that is mapped from `start` on in a VMA: (vpn, pfn), also those of a huge entry."""
    while start < vma.end:
        small = next(populated(tx, mm, start, vma.end), vma.end)
        huge = first_huge_pmd(tx, mm, start, small)
        if huge is not None:
            head = vm_normal_page_pmd(tx, vma, tx.tables[mm, PMD, huge >> TABLE_SHIFT])
            start = min((huge >> TABLE_SHIFT << TABLE_SHIFT) + PTRS_PER_TABLE, vma.end)
            if head is not None and folio_of(tx, head).kind == "anon":
                for vpn in range(huge, start):
                    yield vpn, head + index_of(vpn, 0)
            continue
        if small < vma.end and (pte := tx.ptes[mm, small]).present:
            pfn = vm_normal_page(tx, vma, pte)
            if pfn is not None and folio_of(tx, pfn).kind == "anon":
                yield small, pfn
        start = small + 1


class cmp_and_merge_page(Procedure):
    """Find a page of the same content, and merge the two. `holds` has the scan's reference on the page."""

    source: ClassVar[str] = "mm/ksm.c: cmp_and_merge_page"
    mm: str
    vpn: int
    pfn: Pfn
    use_zero_pages: bool = False
    kpage: Pfn = -1
    """The KSM page that it is merged into."""
    tree_mm: str = ""
    """The page of the unstable tree that has the same content: where it is mapped …"""
    tree_vpn: int = 0
    tree_page: Pfn = -1
    """… and which it is."""

    @step
    def calc_checksum(self, tx: Transaction) -> Outcome:
        """Has the page kept its content since the last scan? One that changes all the time is not worth comparing.

        A KSM page at its address is done with; one that a fork has brought here only joins the list of its node.
        """
        item = tx.ksm_rmap_items.get((self.mm, self.vpn))
        if item is None:
            return self.put(tx)
        if folio_of(tx, self.pfn).flags & PG_KSM:
            if item.head == self.pfn:
                return self.put(tx)
            return self.merge_into(tx, self.pfn)
        if fact(tx, "ksmd wants the same content twice before all else"):
            if (wait := remove_rmap_item_from_tree(tx, self.mm, self.vpn)) is not None:
                return wait
            if self.changes(tx):
                return self.put(tx)
            if self.use_zero_pages and self.content(tx) == 0:
                return self.merge(cmp_and_merge_page.merged_with_zero_page, ZERO_PFN)
        return None

    def content(self, mem: Memory) -> int:
        """What stands for the content of the page."""
        return mem.content.get(self.pfn) or 0

    def changes(self, tx: Transaction) -> bool:
        """Note the content; tells whether it is another one than in the last scan."""
        content = self.content(tx)
        item = tx.ksm_rmap_items[self.mm, self.vpn]
        tx.ksm_rmap_items[self.mm, self.vpn] = replaced(item, oldchecksum=content)
        return item.oldchecksum != content

    def merge(self, then: Callable[..., Outcome], kpage: Pfn) -> Outcome:
        """Merge our page into `kpage`; -1: make it the KSM page. Our reference goes along, and comes back."""
        (mine, *others) = self.holds
        self.holds = tuple(others)
        return call(
            try_to_merge_with_ksm_page(mm=self.mm, vpn=self.vpn, pfn=self.pfn, kpage=kpage, holds=(mine,)), then
        )

    def merge_into(self, tx: Transaction, kpage: Pfn) -> Outcome:
        """Merge our page into a KSM page that exists, holding that as well."""
        if (wait := remove_rmap_item_from_tree(tx, self.mm, self.vpn)) is not None:
            return wait
        if ("folio", str(kpage)) in tx.locks:
            return self.put(tx)
        get_page(tx, kpage)
        self.kpage = kpage
        self.holds += (kpage,)
        return self.merge(cmp_and_merge_page.stable_tree_append, kpage)

    def put(self, tx: Transaction) -> Outcome:
        """Drop the references: on to the next page."""
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()
        return done()

    @step
    def stable_tree_search(self, tx: Transaction) -> Outcome:
        """Is there a KSM page of this content already? Hold it, and merge our page into it."""
        kpage = stable_tree_search(tx, self.content(tx))
        if kpage is not None:
            return self.merge_into(tx, kpage)
        if not fact(tx, "ksmd wants the same content twice before all else"):
            if (self.mm, self.vpn) not in tx.ksm_rmap_items:
                return self.put(tx)
            if (wait := remove_rmap_item_from_tree(tx, self.mm, self.vpn)) is not None:
                return wait
            if self.changes(tx):
                return self.put(tx)
            if self.use_zero_pages and self.content(tx) == 0:
                return self.merge(cmp_and_merge_page.merged_with_zero_page, ZERO_PFN)
        return goto(cmp_and_merge_page.unstable_tree_search_insert)

    @step
    def merged_with_zero_page(self, tx: Transaction) -> Outcome:
        """If the zero page is mapped now, that is all. Otherwise look for a partner, as for any other page."""
        if self.ret == 0:
            return self.put(tx)
        if fact(tx, "ksmd wants the same content twice before all else"):
            return goto(cmp_and_merge_page.stable_tree_search)
        return goto(cmp_and_merge_page.unstable_tree_search_insert)

    @step
    def stable_tree_append(self, tx: Transaction) -> Outcome:
        """Merged: the address joins the list of the KSM page, so that the reverse map finds its entry."""
        item = tx.ksm_rmap_items.get((self.mm, self.vpn))
        if self.ret == 0 and item is not None and self.kpage in tx.ksm_stable_nodes:
            if (wait := folio_lock(tx, self.kpage)) is not None:
                return wait
            stable_tree_append(tx, self.mm, self.vpn, self.kpage)
            folio_unlock(tx, self.kpage)
        return self.put(tx)

    @step
    def unstable_tree_search_insert(self, tx: Transaction) -> Outcome:
        """Has this scan met another page of this content? If not, ours waits in the unstable tree for the next one.

        The page there may have changed, or be gone. If it is the same page, mapped twice, there is nothing to merge.
        """
        content = self.content(tx)
        place = tx.ksm_unstable_tree.get(content)
        if (self.mm, self.vpn) not in tx.ksm_rmap_items:
            return self.put(tx)
        page = get_mergeable_page(tx, *place) if place is not None and place in tx.ksm_rmap_items else None
        if place is None or page is None or (tx.content.get(page) or 0) != content:
            tx.ksm_unstable_tree[content] = (self.mm, self.vpn)
            return self.put(tx)
        if page == self.pfn:
            return self.put(tx)
        get_page(tx, page)
        self.tree_mm, self.tree_vpn = place
        self.tree_page = page
        self.holds += (page_folio(tx, page),)
        return self.merge(cmp_and_merge_page.try_to_merge_two_pages, -1)

    @step
    def try_to_merge_two_pages(self, tx: Transaction) -> Outcome:
        """Our page has become a KSM page, mapped read-only. Now put it in the place of the one from the tree."""
        if self.ret < 0:
            return goto(cmp_and_merge_page.put_tree_page)
        theirs, mine = self.holds
        self.holds = (mine,)
        return call(
            try_to_merge_with_ksm_page(
                mm=self.tree_mm, vpn=self.tree_vpn, pfn=self.tree_page, kpage=self.pfn, holds=(theirs,)
            )
        )

    @step
    def stable_tree_insert(self, tx: Transaction) -> Outcome:
        """Both are merged: a new node of the stable tree, with both addresses.

        If the other one could not be - somebody holds it, or has written to it - we have a KSM page that is mapped
        once. That is taken back: our address gets a copy of its own.
        """
        mine, theirs = self.holds
        if self.ret < 0:
            self.holds = (theirs, mine)
            return goto(cmp_and_merge_page.break_cow)
        if (wait := folio_lock(tx, self.pfn)) is not None:
            return wait
        stable_tree_insert(tx, self.pfn)
        for mm, vpn in ((self.tree_mm, self.tree_vpn), (self.mm, self.vpn)):
            if (mm, vpn) in tx.ksm_rmap_items:
                stable_tree_append(tx, mm, vpn, self.pfn)
        folio_unlock(tx, self.pfn)
        return self.put(tx)

    @step
    def break_cow(self, tx: Transaction) -> Outcome:
        """Under mmap_lock, fault on our address, so that it gets a page of its own."""
        if (self.mm, self.vpn) in tx.ksm_rmap_items:
            left_stable_tree(tx, self.mm, self.vpn)
        if self.mm not in tx.processes:
            return goto(cmp_and_merge_page.put_tree_page)
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        self.ret = 0
        if find_mergeable_vma(tx, self.mm, self.vpn) is None:
            return None
        return call(break_ksm(mm=self.mm, start=self.vpn, end=self.vpn + 1))

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """The KSM page that nobody maps any more goes with ksmd's own reference."""
        up_read(tx, "mmap_lock", self.mm)
        return None

    @step
    def put_tree_page(self, tx: Transaction) -> Outcome:
        """Drop the reference on the page from the tree.

        If both are pages of one large folio, our two references were one too many to split it. Now there is one.
        """
        theirs, mine = self.holds
        self.holds = (mine,)
        put_page(tx, theirs)
        if theirs == mine and tx.frames[mine].large and folio_trylock(tx, mine):
            return call(split_folio(head=mine))
        return self.put(tx)

    @step
    def split_huge_page(self, tx: Transaction) -> Outcome:
        """The next scan finds small pages."""
        folio_unlock(tx, self.holds[0])
        return self.put(tx)


def get_mergeable_page(tx: Transaction, mm: str, vpn: int) -> Pfn | None:
    """The anonymous page that is mapped at an address now, if it may be merged there."""
    vma = find_mergeable_vma(tx, mm, vpn)
    return None if vma is None else next((pfn for at, pfn in anonymous_pages(tx, mm, vma, vpn) if at == vpn), None)
