"""Moving a VMA and its page-table entries: the heart of mremap(2).

The pages stay in their frames. Only the entries move, so references and pins are none the wiser; and until the old
translations are flushed, both addresses would work.
"""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import (
    PMD,
    PUD,
    TABLE_SHIFT,
    first_huge_pmd,
    hold_pte_lock,
    populated,
    pte_alloc,
    pte_lock,
    pte_unlock,
    table_end,
    tables_in,
)
from model.kernel.arch.shared_table import is_shared
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.break_ksm import break_ksm
from model.kernel.mm.huge_page import HPAGE_PMD_NR, huge_pmd, pmd_entry
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.huge_zap import move_huge_pmd
from model.kernel.mm.hugetlb_pool import clear_vma_resv_huge_pages, is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import huge_pmd_unshare
from model.kernel.mm.limits import MAX_MAP_COUNT, enough_memory
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.move_table import NOT_MOVED, move_normal_pmd, moves_as_a_whole
from model.kernel.mm.munmap import do_vmi_munmap
from model.kernel.mm.pte_marker import POISON_MARKER, UFFD_WP_MARKER
from model.kernel.mm.rmap import unlink_anon_vmas
from model.kernel.mm.vm_ops import vm_operations
from model.kernel.mm.vma import replace_vma, rmap_write_lock, vma_before, vma_from, vma_lookup
from model.kernel.mm.vma_merge import copy_vma
from model.memory.errno import ENOMEM
from model.memory.flags import PAGE_UFFD_WP, VM_ACCOUNT, VM_LOCKED, VM_LOCKONFAULT, VM_MERGEABLE, VM_UFFD
from model.memory.ordered import ceiling
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.tasks import FlushOwed


class move_vma(Procedure):
    """Move [start, start + pages) of one VMA to `to`, where nothing is mapped, and make it `new_pages` long.

    The caller holds mmap_lock for writing. Returns the new start.
    """

    source: ClassVar[str] = "mm/mremap.c: move_vma, prep_move_vma, copy_vma_and_data"
    mm: str
    start: int
    pages: int
    new_pages: int
    to: int
    dontunmap: bool = False
    """MREMAP_DONTUNMAP: the old VMA stays, empty."""
    whole: bool = False
    """The old VMA is moved from its first page to its last, and has not become part of the new one."""
    error: int = 0

    @step
    def prep_move_vma(self, tx: Transaction) -> Outcome:
        """What ksmd has merged here is taken apart first: at another address nobody would find the KSM page's entry."""
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        self.ret = 0
        if self.may_not_move(tx, vma) or not vma.flags & VM_MERGEABLE or not vma.anon_vma:
            return None
        return call(break_ksm(mm=self.mm, start=self.start, end=self.start + self.pages))

    @step
    def copy_vma(self, tx: Transaction) -> Outcome:
        """Make a VMA like the old one at the new place, or extend a neighbour there over it.

        For the moment two VMAs have the same offsets of the same file, or the same anon_vmas: whoever looks for a
        page's mappings finds it at one of the two places.
        """
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        refused = self.may_not_move(tx, vma) or min(self.ret, 0)
        if refused:
            return done(refused)
        neighbours = (vma_before(tx, self.mm, self.to), vma_from(tx, self.mm, self.to))
        if (wait := rmap_write_lock(tx, vma, *neighbours)) is not None:
            return wait
        new = copy_vma(tx, self.mm, vma, self.to, self.new_pages, vma.pgoff + self.start - vma.start)
        if is_vm_hugetlb_page(vma):
            replace_vma(tx, self.mm, vma, clear_vma_resv_huge_pages(vma))
        swallowed = new.start <= vma.start < new.end
        self.whole = not swallowed and (vma.start, vma.pages) == (self.start, self.pages)
        return None

    def may_not_move(self, tx: Transaction, vma: Vma) -> int:
        """A negated errno where the move cannot be done: too many VMAs, a VMA that must stay whole, no memory."""
        if tx.processes[self.mm].map_count >= MAX_MAP_COUNT - 3:
            return -ENOMEM
        end = self.start + self.pages
        refused = vm_operations(vma.ops).may_split
        if refused and (vma.start != self.start or (vma.end != end)):
            return -refused
        charged = self.new_pages if self.dontunmap else abs(self.new_pages - self.pages)
        return -ENOMEM if vma.flags & VM_ACCOUNT and not enough_memory(tx, charged) else 0

    @step
    def move_page_tables(self, tx: Transaction) -> Outcome:
        """Move the entries of the pages that are there."""
        return call(move_page_tables(mm=self.mm, start=self.start, end=self.start + self.pages, to=self.to))

    @step
    def unmap_source(self, tx: Transaction) -> Outcome:
        """Unmap the old place, which is empty by now. If the entries could not be moved, the new one goes instead."""
        self.error = min(self.ret, 0)
        if self.error:
            return call(do_vmi_munmap(mm=self.mm, start=self.to, pages=self.new_pages))
        mremap_userfaultfd_prep(tx, self.mm, self.to)
        if self.dontunmap:
            vma = vma_lookup(tx, self.mm, self.start)
            assert vma is not None
            vma = replace_vma(tx, self.mm, vma, without_lock(vma))
            if self.whole:
                unlink_anon_vmas(tx, self.mm, vma)
            return goto(move_vma.finish)
        return call(do_vmi_munmap(mm=self.mm, start=self.start, pages=self.pages)) if self.pages else None

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The mapping is at its new place."""
        return done(self.error or self.to)


def mremap_userfaultfd_prep(tx: Transaction, mm: str, at: int) -> None:
    """The VMA at the new place forgets its userfaultfd, with all that it has been merged with (fs/userfaultfd.c)."""
    vma = vma_lookup(tx, mm, at)
    assert vma is not None
    if vma.uffd:
        replace_vma(tx, mm, vma, replaced(vma, flags=vma.flags & ~VM_UFFD, uffd=""))


def without_lock(vma: Vma) -> Vma:
    """What remains of a VMA after MREMAP_DONTUNMAP is not locked: it has no pages any more (dontunmap_complete)."""
    return replaced(vma, flags=vma.flags & ~(VM_LOCKED | VM_LOCKONFAULT))


class move_page_tables(Procedure):
    """Move the entries of [start, end) so that they begin at `to`. Returns 0, or -ENOMEM with nothing moved."""

    source: ClassVar[str] = "mm/mremap.c: move_page_tables, move_ptes"
    mm: str
    start: int
    end: int
    to: int
    at: int = 0
    """The part before it has been moved."""
    stop: int = -1
    """End of the part that is being moved."""
    reverting: bool = False
    passed: int = -1
    """The first page of a table that could not be moved as a whole."""
    unflushed: bool = False
    """As it was before eb66ae030829: entries have been moved whose old translations are still to be flushed."""

    def owes_flush(self) -> FlushOwed | None:
        """The old place, where its flush comes late."""
        return FlushOwed(self.mm, self.start, self.end) if self.unflushed else None

    @step
    def mmu_notifier_invalidate_range_start(self, tx: Transaction) -> Outcome:
        """MMU_NOTIFY_UNMAP: whoever mirrors the old place loses it."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.start, self.end)
        self.at = self.start
        return None

    @step
    def alloc_new_table(self, tx: Transaction) -> Outcome:
        """Find the next entries, and make sure that the page table for their new place exists."""
        if (poison := self.poison(tx)) is not None:
            self.at = poison
            return call(
                pte_alloc(mm=self.mm, vpn=poison + self.to - self.start, lowest=PUD), move_page_tables.move_poison
            )
        vpn = ceiling(tx.pte_index, self.mm, self.at)
        vpn = self.end if vpn is None or vpn >= self.end else vpn
        huge = first_huge_pmd(tx, self.mm, self.at, vpn)
        if huge is not None:
            return self.huge(tx, huge)
        if vpn == self.end:
            if self.unflushed:
                return goto(move_page_tables.flush_tlb_range)
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return done(-ENOMEM if self.reverting else 0)
        shift = self.to - self.start
        if self.passed != vpn and moves_as_a_whole(tx, self.mm, self.start, self.end, self.to, vpn):
            self.at = self.passed = vpn
            first = vpn // HPAGE_PMD_NR * HPAGE_PMD_NR
            return call(move_normal_pmd(mm=self.mm, start=first, to=first + shift), move_page_tables.table_moved)
        self.at = vpn
        self.stop = min(table_end(vpn, self.end), table_end(vpn + shift, self.end + shift) - shift)
        return call(pte_alloc(mm=self.mm, vpn=vpn + shift), move_page_tables.move_ptes)

    def poison(self, mem: Memory) -> int | None:
        """The next huge page of hugetlb that UFFDIO_POISON has declared lost; what says so moves, too."""
        vma = vma_lookup(mem, self.mm, self.start)
        if vma is None or not is_vm_hugetlb_page(vma) or self.at >= self.end:
            return None
        blocks = tables_in(mem, self.mm, PMD, self.at >> TABLE_SHIFT, (self.end - 1) >> TABLE_SHIFT)
        found = next((block for block in blocks if mem.tables[self.mm, PMD, block] == POISON_MARKER), None)
        return None if found is None else found << TABLE_SHIFT

    @step
    def move_poison(self, tx: Transaction) -> Outcome:
        """Take the marker to the new place; the hardware has never seen it, so nothing is flushed."""
        if self.ret < 0:
            return self.revert()
        tx.tables[self.mm, PMD, self.at + self.to - self.start >> TABLE_SHIFT] = POISON_MARKER
        del tx.tables[self.mm, PMD, self.at >> TABLE_SHIFT]
        return goto(move_page_tables.alloc_new_table)

    def huge(self, tx: Transaction, vpn: int) -> Outcome:
        """A huge entry moves as a whole if both places are aligned to 2 MiB and no table is there; else it is split."""
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        self.at, self.stop = vpn, table_end(vpn, self.end)
        if is_shared(tx, self.mm, vpn):
            return self.huge_pmd_unshare(tx, vpn)
        to = vpn + self.to - self.start
        whole = self.stop - vpn == HPAGE_PMD_NR and not to % HPAGE_PMD_NR and pmd_entry(tx, self.mm, to) is None
        if not whole:
            vma = vma_lookup(tx, self.mm, vpn)
            assert vma is not None
            split_huge_pmd(tx, self.mm, vma, vpn)
            return goto(move_page_tables.alloc_new_table)
        return call(pte_alloc(mm=self.mm, vpn=to, lowest=PUD), move_page_tables.move_huge_pmd)

    def huge_pmd_unshare(self, tx: Transaction, vpn: int) -> Outcome:
        """A table of hugetlb that others have as well is given up: at the new place, faults bring the pages back."""
        vma = vma_lookup(tx, self.mm, vpn)
        assert vma is not None
        flush = huge_pmd_unshare(tx, self.mm, vma, vpn)
        return flush if isinstance(flush, Blocked) else call(flush, move_page_tables.alloc_new_table)

    @step
    def table_moved(self, tx: Transaction) -> Outcome:
        """If the table could not be moved as a whole, its entries are."""
        if self.ret < 0:
            return self.revert()
        if self.ret != NOT_MOVED:
            self.at = table_end(self.at, self.end)
        return goto(move_page_tables.alloc_new_table)

    @step
    def move_huge_pmd(self, tx: Transaction) -> Outcome:
        """With the locks of both entries: take the huge entry, and the table kept for its split, to the new place."""
        if self.ret < 0:
            return self.revert()
        shift = self.to - self.start
        for vpn in (self.at, self.at + shift):
            if (wait := pte_lock(tx, self.mm, vpn)) is not None:
                return wait
        if huge_pmd(tx, self.mm, self.at) is None:  # truncation was faster: a file's page, or one of hugetlb
            return goto(move_page_tables.alloc_new_table)
        move_huge_pmd(tx, self.mm, self.at, self.at + shift, keep_uffd=not self.forgets_uffd(tx))
        hold_pte_lock(tx, self.mm, self.at)
        hold_pte_lock(tx, self.mm, self.at + shift)
        return call(flush_tlb_range(mm=self.mm, start=self.at, end=self.stop), move_page_tables.unlock)

    @step
    def move_ptes(self, tx: Transaction) -> Outcome:
        """With the locks of both page tables: take each entry out of the old table and put it into the new one.

        It is moved as it is, dirty bit and all. Nobody's reference or mapcount changes.

        As it was before eb66ae030829, the locks are dropped here, and the flush comes when all entries are moved.
        """
        if self.ret < 0:
            return self.revert()
        shift = self.to - self.start
        for vpn in (self.at, self.at + shift):
            if (wait := pte_lock(tx, self.mm, vpn)) is not None:
                return wait
        uffd = self.forgets_uffd(tx)
        for vpn in list(populated(tx, self.mm, self.at, self.stop)):
            pte = tx.ptes[self.mm, vpn]
            del tx.ptes[self.mm, vpn]
            if pte != UFFD_WP_MARKER or not uffd:
                tx.ptes[self.mm, vpn + shift] = pte.without(PAGE_UFFD_WP) if uffd else pte
        if not mended(tx, "mremap-flush"):
            self.at, self.unflushed = self.stop, True
            return goto(move_page_tables.alloc_new_table)
        hold_pte_lock(tx, self.mm, self.at)
        hold_pte_lock(tx, self.mm, self.at + shift)
        return call(flush_tlb_range(mm=self.mm, start=self.at, end=self.stop))

    def forgets_uffd(self, mem: Memory) -> bool:
        """Whether the old place is registered with a userfaultfd, which the new one will not be."""
        vma = vma_lookup(mem, self.mm, self.at)
        return vma is not None and bool(vma.uffd)

    @step
    def unlock(self, tx: Transaction) -> Outcome:
        """The locks were kept until no CPU remembers the old address.

        Otherwise somebody could clean or unmap a page at its new place while a CPU still writes to it through the old.
        """
        for table in {vpn >> TABLE_SHIFT for vpn in (self.at, self.at + self.to - self.start)}:
            pte_unlock(tx, self.mm, table << TABLE_SHIFT)
        self.at = self.stop
        return goto(move_page_tables.alloc_new_table)

    @step
    def flush_tlb_range(self, tx: Transaction) -> Outcome:
        """One flush for everything that was moved, when the locks are long gone.

        As it was before eb66ae030829: whoever finds an entry at its new place meanwhile can free its page, and a CPU
        still uses the old address.
        """
        self.unflushed = False
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.end), move_page_tables.alloc_new_table)

    def revert(self) -> Outcome:
        """No memory for a page table: move everything back, which cannot fail, for the old tables are still there."""
        moved = self.at - self.start
        self.start, self.to = self.to, self.start
        self.at, self.end, self.reverting = self.start, self.start + moved, True
        return goto(move_page_tables.alloc_new_table)
