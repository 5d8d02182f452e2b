"""A fault on a swap entry: read the page back, and decide whether it belongs to this process alone."""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.procedure import Outcome, Procedure, done, goto, step, tail
from model.kernel.arch.pgtable import TABLE_SHIFT, pte_lock, table_end
from model.kernel.mm.do_fault import FaultLocals, the_vma
from model.kernel.mm.filemap import folio_lock, folio_unlock
from model.kernel.mm.mid_size import swap_pte_batch, swapin_order
from model.kernel.mm.page import (
    folio_add_new_anon_rmap,
    folio_add_rmap,
    get_page,
    page_ref_add,
    put_page,
    set_anon_exclusive,
)
from model.kernel.mm.page_alloc import alloc_folio, alloc_page
from model.kernel.mm.page_prot import mk_pte
from model.kernel.mm.pte_marker import userfaultfd_pte_wp
from model.kernel.mm.swap import folio_free_swap, swap_cache_add, swap_free, synchronous_io
from model.kernel.mm.wp_fault import do_wp_page
from model.memory.events import Copied
from model.memory.flags import (
    FAULT_FLAG_WRITE,
    PAGE_DIRTY,
    PAGE_RW,
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
    PG_DIRTY,
    PG_KSM,
    PG_LRU,
    PG_MLOCKED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    VM_FAULT_OOM,
    VM_LOCKED,
    VM_WRITE,
)
from model.memory.folio import folio_of, page_folio
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction

MAPPED_IN_ONE_GO: Final = "a folio in the swap cache is mapped in one go"


class do_swap_page(Procedure):
    """Bring a swapped page back into the page table."""

    source: ClassVar[str] = "mm/memory.c: do_swap_page"
    mm: str
    vpn: int
    flags: int
    entry: Pte | None = None
    """The swap entry that we found."""

    def slot(self) -> int:
        """The slot that it names."""
        assert self.entry is not None
        return self.entry.pfn

    @step
    def swap_cache_get_folio(self, tx: Transaction) -> Outcome:
        """Is the page still, or again, in the swap cache? Then nothing need be read. Take a reference."""
        self.entry = tx.ptes.get((self.mm, self.vpn))
        if self.entry is None or self.entry.kind != "swap":
            return done()
        pfn = tx.swap_slots[self.entry.pfn].pfn
        if pfn < 0:
            return None
        get_page(tx, pfn)
        self.holds = (pfn,)
        return goto(do_swap_page.folio_lock)

    @step
    def swapin(self, tx: Transaction) -> Outcome:
        """Allocate a page and read the slot into it.

        If this is the only entry of the slot, and the device is as fast as memory (zram), that is all: the page is
        nobody else's. Otherwise it becomes the slot's cache, so that the next one finds it. With `set mthp` a whole
        folio is read from zram, where the slots lie side by side.
        """
        record = tx.swap_slots.get(self.slot())
        if record is None or record.pfn >= 0:
            return goto(do_swap_page.swap_cache_get_folio)
        flags = PG_SWAPBACKED | PG_UPTODATE | PG_LRU
        if synchronous_io(tx) and record.count == 1 and (page := self.alloc_swap_folio(tx, flags)) is not None:
            self.holds = (page,)
            return None
        pfn = alloc_page(tx, "anon", content=record.content, flags=flags)
        if pfn is None:
            return done(VM_FAULT_OOM)
        self.holds = (pfn,)
        if not synchronous_io(tx) or record.count > 1:
            swap_cache_add(tx, self.slot(), record, pfn)
        return None

    def alloc_swap_folio(self, tx: Transaction, flags: int) -> int | None:
        """Read the slots around ours into one folio, if there may be one; returns the page that is asked for."""
        assert self.entry is not None
        order = swapin_order(tx, self.mm, the_vma(tx, self.mm, self.vpn), self.vpn, self.entry)
        head = alloc_folio(tx, order, "anon", flags=flags) if order else None
        if head is None:
            return None
        page = self.vpn % (1 << order)
        for other in range(1 << order):
            record = tx.swap_slots[self.slot() - page + other]
            if record.content:
                tx.content[head + other] = record.content
        return head + page

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page: reclaim, and whoever else swaps it in, wait."""
        return folio_lock(tx, self.holds[0])

    @step
    def ksm_might_need_to_copy(self, tx: Transaction) -> Outcome:
        """Was the page swapped out as a KSM page? The slot is one, but each address must get a page of its own.

        The cached page belongs to the address that has brought it back; from any other the reverse map would not find
        it. A page that is still a KSM page is mapped as it is.
        """
        (pfn,) = self.holds
        if not belongs_elsewhere(tx, pfn, the_vma(tx, self.mm, self.vpn), self.vpn):
            return None
        flags = PG_SWAPBACKED | PG_UPTODATE | PG_LRU | PG_DIRTY
        copy = alloc_page(tx, "anon", content=tx.content.get(pfn) or 0, flags=flags)
        if copy is None:
            self.drop(tx)
            return done(VM_FAULT_OOM)
        tx.emit(Copied((copy,), (pfn,)))
        self.holds = (copy, pfn)
        return None

    def drop(self, tx: Transaction) -> None:
        """Unlock the page that was found, and drop the references."""
        folio_unlock(tx, self.holds[-1])
        gone, self.holds = self.holds, ()
        for pfn in gone:
            put_page(tx, pfn)

    @step
    def set_pte(self, tx: Transaction) -> Outcome:
        """Under the page table lock, if the entry is still the same: give the slot back, map the page.

        Writable at once if it is ours alone: the entry says so (exclusive), or nobody else can have seen it. A write to
        a page that others have too goes on to copy-on-write. A large folio is mapped in one go, if the entries around
        this one name all its slots.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        pfn, *cached = self.holds
        vma = the_vma(tx, self.mm, self.vpn)
        start, pages = self.batch(tx, vma, pfn)
        if tx.ptes.get((self.mm, self.vpn)) != self.entry or not pages:
            self.drop(tx)
            return done()
        write = bool(self.flags & FAULT_FLAG_WRITE)
        for slot in range(self.slot() - self.vpn + start, self.slot() - self.vpn + start + pages):
            swap_free(tx, slot)
        if should_try_to_free_swap(tx, pfn, vma, write=write):
            folio_free_swap(tx, pfn)
        pte = self.map(tx, vma, start, pages, pfn - self.vpn + start, write=write, copied=bool(cached))
        self.holds = tuple(cached)
        folio_unlock(tx, pfn)
        if cached:
            self.drop(tx)
        where: FaultLocals = {"mm": self.mm, "vpn": self.vpn, "flags": self.flags}
        return tail(do_wp_page(**where)) if write and not pte.writable else done()

    def batch(self, tx: Transaction, vma: Vma, pfn: int) -> tuple[int, int]:
        """Where to begin, and how many entries to make: all of a large folio's, or ours alone.

        None, if a fresh folio does not fit any more: the fault begins anew.
        """
        assert self.entry is not None
        head = page_folio(tx, pfn)
        frame = tx.frames[head]
        alone = self.vpn, 1
        if not frame.large or (frame.flags & PG_SWAPCACHE and not fact(tx, MAPPED_IN_ONE_GO)):
            return alone
        page = pfn - head
        start = self.vpn - page
        end = start + frame.pages
        inside = max(self.vpn >> TABLE_SHIFT << TABLE_SHIFT, vma.start) <= start and end <= table_end(self.vpn, vma.end)
        if inside and swap_pte_batch(tx, self.mm, start, self.entry, page, frame.pages):
            return start, frame.pages
        return alone if frame.flags & PG_SWAPCACHE else (start, 0)

    def map(self, tx: Transaction, vma: Vma, start: int, pages: int, pfn: int, *, write: bool, copied: bool) -> Pte:
        """Make the entries, from `start` and page `pfn` on; our reference is theirs from now on. Returns the first.

        A page that was read from swap is on the LRU list by now and becomes no mlocked one, even in a VM_LOCKED VMA.
        """
        assert self.entry is not None
        frame = folio_of(tx, pfn)
        fresh = not frame.mapping
        exclusive = fresh and not frame.flags & PG_SWAPCACHE
        exclusive = exclusive or bool(self.entry.bits & PAGE_SWP_EXCLUSIVE) or frame.refcount == 1
        exclusive = exclusive and not frame.flags & PG_KSM
        pte = mk_pte(pfn, vma).with_bits(self.entry.bits & PAGE_UFFD_WP)
        if exclusive and vma.flags & VM_WRITE and not userfaultfd_pte_wp(vma, pte):
            pte = pte.with_bits(PAGE_RW | (PAGE_DIRTY if write else 0))
        page_ref_add(tx, pfn, pages - 1)
        if fresh:
            on_lru = not copied and fact(tx, "pages read from swap are not mlocked")
            folio_add_new_anon_rmap(tx, pfn, vma, start, mm=self.mm, exclusive=exclusive, on_lru=on_lru)
        else:
            folio_add_rmap(tx, pfn, vma, self.mm, pages)
            set_anon_exclusive(tx, pfn, pages, exclusive=exclusive)
        for page in range(pages):
            tx.ptes[self.mm, start + page] = Pte(pfn + page, pte.bits)
        return pte


def belongs_elsewhere(mem: Memory, pfn: int, vma: Vma, vpn: int) -> bool:
    """Whether a page of the swap cache is one that the reverse map would not find at this address (mm/ksm.c)."""
    frame = folio_of(mem, pfn)
    if frame.large or not frame.mapping or frame.kind != "anon" or frame.flags & PG_KSM:
        return False
    anon_vma = mem.anon_vmas.get(int(frame.mapping.partition(":")[2]))
    mine = mem.anon_vmas.get(vma.anon_vma)
    same = anon_vma is not None and mine is not None and anon_vma.root == mine.root
    return not same or frame.index != vma.pgoff + vpn - vma.start


def should_try_to_free_swap(tx: Transaction, pfn: int, vma: Vma, *, write: bool) -> bool:
    """Whether the slot is worth giving up: the page is about to differ from it, or will never be swapped again."""
    frame = folio_of(tx, pfn)
    if not frame.flags & PG_SWAPCACHE:
        return False
    if vma.flags & VM_LOCKED or frame.flags & PG_MLOCKED:
        return True
    return write and frame.refcount == 1 + frame.pages
