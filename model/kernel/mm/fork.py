"""fork: a second address space that shares every page of the first, until somebody writes.

Only what a later fault could not rebuild is copied entry by entry (mm/memory.c: vma_needs_copy). Private writable
pages become read-only on both sides. A page that may be pinned is copied at once, so that the device and the parent
stay together.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import (
    PUD,
    TASK_SIZE,
    first_huge_pmd,
    hold_pte_lock,
    is_pmd_leaf,
    populated,
    pte_alloc,
    pte_lock,
    pte_unlock,
    table_end,
    tables_exist,
    vm_normal_page,
)
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.drivers.mapping_counts import count_open
from model.kernel.mm.exit import do_exit
from model.kernel.mm.huge_fork import copy_huge_pmd
from model.kernel.mm.huge_page import HPAGE_PMD_NR
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.hugetlb_fork import copy_hugetlb_page_range
from model.kernel.mm.hugetlb_pool import clear_vma_resv_huge_pages, is_vm_hugetlb_page
from model.kernel.mm.ksm import ksm_fork
from model.kernel.mm.mm_alloc import mm_alloc
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import (
    folio_add_new_anon_rmap,
    folio_add_rmap,
    folio_maybe_dma_pinned,
    get_page,
    put_page,
    set_anon_exclusive,
)
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.pte_marker import UFFD_WP_MARKER
from model.kernel.mm.rmap import anon_vma_fork
from model.kernel.mm.swap import swap_duplicate
from model.kernel.mm.userfaultfd_event import (
    dup_userfaultfd,
    forked_contexts,
    release_new,
    userfaultfd_event_wait_completion,
)
from model.kernel.mm.vma import insert_vma, rmap_write_lock, vma_from
from model.memory.errno import EAGAIN, ENOENT, ENOMEM
from model.memory.events import Copied
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_RW,
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
    VM_DONTCOPY,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_MAYBE_GUARD,
    VM_MIXEDMAP,
    VM_PAT,
    VM_PFNMAP,
    VM_SHARED,
    VM_UFFD_WP,
    VM_WIPEONFORK,
    is_cow_mapping,
)
from model.memory.folio import folio_of, page_exclusive
from model.memory.ordered import ceiling
from model.memory.record_base import replaced
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed

VM_COPY_ON_FORK = VM_PFNMAP | VM_MIXEDMAP | VM_UFFD_WP | VM_MAYBE_GUARD


class kernel_clone(Procedure):
    """fork(2): duplicate the address space of `mm` for a new process `child`."""

    source: ClassVar[str] = "kernel/fork.c: kernel_clone; mm/mmap.c: dup_mmap"
    mm: str
    child: str
    vpn: int = 0
    """Where the next VMA is looked for."""
    retval: int = 0
    """0, or the errno with which copying a VMA has ended."""
    told: tuple[str, ...] = ()
    """Userfaultfds that are to hear of the child."""
    mm_users: ClassVar[tuple[str, ...]] = ("child",)

    def owes_flush(self) -> FlushOwed | None:
        """All of the parent's address space: its entries become read-only one after the other."""
        begun, flushed = self.positions["dup_vma"], self.positions["flush_tlb_mm"]
        return FlushOwed(self.mm, 0, TASK_SIZE) if begun <= self.pc <= flushed else None

    @step
    def mm_alloc(self, tx: Transaction) -> Outcome:
        """A fresh mm for the child. MMF_HAS_PINNED is not inherited: the child has pinned nothing."""
        if self.mm not in tx.processes:
            return fail(ENOENT)
        return call(mm_alloc(mm=self.child, parent=self.mm))

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the parent's address space: no fault, no mapping call, no slow GUP meanwhile. GUP-fast does not care."""
        if self.ret < 0:
            return done(self.ret)
        if (wait := down_write(tx, "mmap_lock", self.mm)) is None:
            ksm_fork(tx, self.mm, self.child)
        return wait

    @step
    def dup_vma(self, tx: Transaction) -> Outcome:
        """Duplicate the next VMA, without VM_LOCKED. VM_DONTCOPY: not for the child; VM_WIPEONFORK: without pages."""
        vma = vma_from(tx, self.mm, self.vpn)
        if vma is None:
            return goto(kernel_clone.flush_tlb_mm)
        if not vma.flags & VM_DONTCOPY and (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        self.vpn = vma.end
        if vma.flags & VM_DONTCOPY:
            return goto(kernel_clone.dup_vma)
        copy = replaced(vma, flags=vma.flags & ~(VM_LOCKED | VM_LOCKONFAULT), anon_vma=0, chain=())
        copy = dup_userfaultfd(tx, self.child, copy) if vma.uffd else copy
        if not vma.flags & VM_WIPEONFORK:
            copy = anon_vma_fork(tx, copy, vma)
        if is_vm_hugetlb_page(vma):
            copy = clear_vma_resv_huge_pages(copy)
        count_open(tx, copy)
        insert_vma(tx, self.child, copy, behind=(self.mm, vma.start) if vma.file else None)
        if vma.flags & VM_WIPEONFORK or not vma_needs_copy(copy, vma):
            return goto(kernel_clone.dup_vma)
        copy_range = copy_hugetlb_page_range if is_vm_hugetlb_page(vma) else copy_page_range
        return call(copy_range(mm=self.mm, child=self.child, start=vma.start), then=kernel_clone.copied)

    @step
    def copied(self, tx: Transaction) -> Outcome:
        """Next VMA."""
        return goto(kernel_clone.dup_vma) if self.ret >= 0 else None

    @step
    def flush_tlb_mm(self, tx: Transaction) -> Outcome:
        """The parent's entries have become read-only: no CPU may go on writing through an old translation."""
        self.retval = self.ret
        return call(flush_tlb_range(mm=self.mm, start=0, end=TASK_SIZE))

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. Parent and child go their own ways: only now does the child run."""
        up_write(tx, "mmap_lock", self.mm)
        self.told = forked_contexts(tx, self.child)
        if self.retval >= 0:
            copy_files(tx, self.mm, self.child)
        if self.retval < 0 and fact(tx, "a fork that has failed is no event"):
            self.dup_userfaultfd_fail(tx)
        return goto(kernel_clone.dup_userfaultfd_complete) if self.told else self.leave(tx)

    def dup_userfaultfd_fail(self, tx: Transaction) -> None:
        """Nobody will hear of the child, so its userfaultfds go."""
        for uffd in self.told:
            release_new(tx, uffd, self.child)
            tx.userfaultfds.update(uffd, changing=tx.userfaultfds[uffd].changing - 1)
        self.told = ()

    @step
    def dup_userfaultfd_complete(self, tx: Transaction) -> Outcome:
        """UFFD_FEATURE_EVENT_FORK: before the child runs, whoever handles its parent's faults must have heard of it."""
        if not self.told:
            return self.leave(tx)
        uffd, *others = self.told
        self.told = tuple(others)
        event = userfaultfd_event_wait_completion(uffd=uffd, event="fork", child=self.child)
        return call(event, then=kernel_clone.dup_userfaultfd_complete)

    def leave(self, tx: Transaction) -> Outcome:
        """The child runs; or, if it could not be made, goes."""
        if self.retval < 0:
            return call(do_exit(mm=self.child), then=kernel_clone.fail_nomem)
        tx.processes.update(self.child, forking=False)
        for (mm, label), place in tx.labels.items():
            if mm == self.mm:
                tx.labels[self.child, label] = place
        return done()

    @step
    def fail_nomem(self, tx: Transaction) -> Outcome:
        """What the child had got so far is gone again."""
        return fail(ENOMEM)


def copy_files(tx: Transaction, mm: str, child: str) -> None:
    """The child has the parent's descriptors of userfaultfds, which are of the parent's address space all the same."""
    for name, context in list(tx.userfaultfds.items()):
        if mm in context.open_in:
            tx.userfaultfds.update(name, open_in=tuple(sorted((*context.open_in, child))))


def vma_needs_copy(copy: Vma, vma: Vma) -> bool:
    """Whether the entries must be copied: a fault in the child could not rebuild them (mm/memory.c)."""
    return bool(copy.flags & VM_COPY_ON_FORK or vma.anon_vma)


class copy_page_range(Procedure):
    """Copy the entries of one VMA to the child, table by table."""

    source: ClassVar[str] = "mm/memory.c: copy_page_range, copy_pte_range, copy_present_pte"
    mm: str
    child: str
    start: int
    """Where the VMA starts, in both."""
    vpn: int = 0
    """How far we are."""
    stop: int = 0
    """End of the part of a table that is being copied."""

    @step
    def begin_write_protect(self, tx: Transaction) -> Outcome:
        """Make the mm's write_protect_seq odd: a GUP-fast that pins meanwhile will see it and give its pins back."""
        self.vpn = self.start
        vma = tx.vmas[self.mm, self.start]
        if not track_pfn_copy(tx, self.mm, vma):
            return fail(ENOMEM)
        if is_cow_mapping(vma.flags):
            mmu_notifier_invalidate_range_start(tx, self.mm, vma.start, vma.end)
            bump_write_protect_seq(tx, self.mm)
        return None

    @step
    def find_table(self, tx: Transaction) -> Outcome:
        """Find the parent's next table that has entries, and make sure that the child has one like it."""
        vma = tx.vmas[self.mm, self.start]
        vpn = ceiling(tx.pte_index, self.mm, self.vpn)
        vpn = vma.end if vpn is None or vpn >= vma.end else vpn
        huge = first_huge_pmd(tx, self.mm, self.vpn, vpn)
        if huge is not None:
            self.vpn = huge
            return call(pte_alloc(mm=self.child, vpn=huge, lowest=PUD), then=copy_page_range.copy_huge_pmd)
        if vpn == vma.end:
            return goto(copy_page_range.end_write_protect)
        self.vpn = vpn
        if tables_exist(tx, self.child, vpn):
            self.ret = 0
            return goto(copy_page_range.copy_present_ptes)
        return call(pte_alloc(mm=self.child, vpn=vpn), then=copy_page_range.copy_present_ptes)

    @step
    def copy_huge_pmd(self, tx: Transaction) -> Outcome:
        """Under both locks: one mapping and one reference more for the whole folio, and both entries read-only.

        If it may be pinned, no matter which of its pages, the parent's entry is split, and each page is copied by
        itself. What faults can rebuild (files) is left to them; of the huge zero page nothing is counted.
        """
        if self.ret < 0:
            return goto(copy_page_range.end_write_protect)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if not is_pmd_leaf(tx, self.mm, self.vpn):
            # Reclaim has split it meanwhile, it takes no mmap_lock: mm/huge_memory.c: copy_huge_pmd, !pmd_trans_huge().
            return goto(copy_page_range.find_table)
        vma = tx.vmas[self.mm, self.start]
        self.ret = copy_huge_pmd(tx, self.mm, self.child, vma, self.vpn)
        if self.ret == -EAGAIN:
            split_huge_pmd(tx, self.mm, vma, self.vpn)
        elif self.ret < 0:
            return goto(copy_page_range.end_write_protect)
        else:
            self.vpn += HPAGE_PMD_NR
        return goto(copy_page_range.find_table)

    @step
    def copy_present_ptes(self, tx: Transaction) -> Outcome:
        """Under both page table locks: one reference and one mapcount more for each page, unless it may be pinned.

        Pinned: the child gets a copy at once, and the parent keeps its page, writable. Otherwise the page is no longer
        exclusive. A GUP-fast that pins it after this look and before the next step asks write_protect_seq, and lets go
        (since 5.11, 57efa1fe5957).

        As it was before 70e806e4e645, pins are not asked for: parent and child share the page, and whoever writes first
        gets a copy. If that is the parent, the device is left with the child's page.
        """
        if self.ret < 0:
            return goto(copy_page_range.end_write_protect)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma, copy = tx.vmas[self.mm, self.start], tx.vmas[self.child, self.start]
        self.stop = table_end(self.vpn, vma.end)
        for vpn in populated(tx, self.mm, self.vpn, self.stop):
            pte = tx.ptes[self.mm, vpn]
            pfn = vm_normal_page(tx, vma, pte) if pte.present else None
            if pfn is None or dup_rmap(tx, self.mm, self.child, copy, pfn):
                self.holds += () if pfn is None else (pfn,)
                continue
            if not copy_present_page(tx, self.child, copy, vpn, pfn):
                self.stop, self.ret = vpn, -ENOMEM
                break
        self.owes_rmap = self.holds
        hold_pte_lock(tx, self.mm, self.vpn)
        return None

    @step
    def set_wrprotect(self, tx: Transaction) -> Outcome:
        """Still under the locks: private and writable entries become read-only on both sides; make the child's entries.

        The references are theirs from now on. A special entry is copied as it is: nothing is counted.
        """
        vma, copy = tx.vmas[self.mm, self.start], tx.vmas[self.child, self.start]
        for vpn in list(populated(tx, self.mm, self.vpn, self.stop)):
            if (self.child, vpn) not in tx.ptes:
                copy_pte(tx, self.mm, vma, vpn, self.child, copy)
        self.holds = self.owes_rmap = ()
        pte_unlock(tx, self.mm, self.vpn)
        self.vpn = self.stop
        return goto(copy_page_range.end_write_protect if self.ret < 0 else copy_page_range.find_table)

    @step
    def end_write_protect(self, tx: Transaction) -> Outcome:
        """Make write_protect_seq even again: whoever pins from now on sees read-only entries."""
        if is_cow_mapping(tx.vmas[self.mm, self.start].flags):
            bump_write_protect_seq(tx, self.mm)
            mmu_notifier_invalidate_range_end(tx, self.mm)
        return done(min(self.ret, 0))


def track_pfn_copy(tx: Transaction, mm: str, vma: Vma) -> bool:
    """VM_PAT, up to 6.12: the caching of the range is looked up through its first entry (arch/x86/mm/pat/memtype.c).

    If that page of a private mapping has been copied on write, the entry leads elsewhere, and fork fails.
    """
    first = tx.ptes.get((mm, vma.start))
    return not vma.flags & VM_PAT or first is None or first.special


def bump_write_protect_seq(tx: Transaction, mm: str) -> None:
    """raw_write_seqcount_begin / _end of mm->write_protect_seq."""
    tx.processes.update(mm, write_protect_seq=tx.processes[mm].write_protect_seq + 1)


def dup_rmap(tx: Transaction, mm: str, child: str, copy: Vma, pfn: int) -> bool:
    """One more reference and mapping of a page, for the child; False if it may be pinned (folio_try_dup_anon_rmap)."""
    get_page(tx, pfn)
    if folio_of(tx, pfn).kind == "anon" and page_exclusive(tx, pfn):
        if folio_needs_cow_for_dma(tx, mm, pfn):
            put_page(tx, pfn)
            return False
        set_anon_exclusive(tx, pfn, exclusive=False)
    folio_add_rmap(tx, pfn, copy, child)
    return True


def copy_pte(tx: Transaction, mm: str, vma: Vma, vpn: int, child: str, copy: Vma) -> None:
    """Make the child's entry, and the parent's what both are from now on: not writable where it is private.

    Unless the child has a userfaultfd it has no marks and no markers of it (mm/memory.c: copy_nonpresent_pte).
    """
    pte = tx.ptes[mm, vpn]
    if pte.kind == "swap":
        swap_duplicate(tx, pte.pfn)
    if pte.kind in ("swap", "migration"):
        pte = tx.ptes[mm, vpn] = pte.without(PAGE_SWP_EXCLUSIVE)
    if is_cow_mapping(vma.flags) and pte.writable:
        pte = tx.ptes[mm, vpn] = pte.without(PAGE_RW)
    if copy.flags & VM_UFFD_WP:
        tx.ptes[child, vpn] = inherited(pte, vma)
    elif pte != UFFD_WP_MARKER:
        tx.ptes[child, vpn] = inherited(pte, vma).without(PAGE_UFFD_WP)


def inherited(pte: Pte, vma: Vma) -> Pte:
    """The child's entry is old, and in a shared mapping clean (mm/memory.c: __copy_present_ptes)."""
    return pte.without(PAGE_ACCESSED | (PAGE_DIRTY if vma.flags & VM_SHARED else 0)) if pte.present else pte


def folio_needs_cow_for_dma(tx: Transaction, mm: str, pfn: int) -> bool:
    """folio_maybe_dma_pinned(), if this mm has ever pinned anything.

    The reference for the child has been taken already, and counts (mm/memory.c: copy_present_ptes, folio_get first).
    """
    pinned = tx.processes[mm].has_pinned and folio_maybe_dma_pinned(tx, pfn)
    return pinned and mended(tx, "fork-copies-pinned")


def copy_present_page(tx: Transaction, child: str, copy: Vma, vpn: int, pfn: int) -> bool:
    """Give the child its own copy of a pinned page, now; False without memory (mm/memory.c)."""
    new = alloc_page(tx, "anon", content=tx.content.get(pfn) or 0)
    if new is None:
        return False
    tx.emit(Copied((new,), (pfn,)))
    folio_add_new_anon_rmap(tx, new, copy, vpn)
    tx.ptes[child, vpn] = maybe_mkwrite(mk_pte(new, copy).with_bits(PAGE_DIRTY), copy)
    return True
