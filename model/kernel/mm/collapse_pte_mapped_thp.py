"""A huge page of a file that a process still maps page by page: its table goes; one huge entry may take its place."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, populated, pte_lock
from model.kernel.arch.tlb import flush_tlb_range, tlb_remove_table_sync_one
from model.kernel.mm.collapse_scan import (
    PMD_MAPPED,
    SUCCEED,
    collapse_allowed,
    number_of,
    pmd_state,
)
from model.kernel.mm.do_set_pmd import do_set_pmd
from model.kernel.mm.filemap import (
    folio_lock,
    folio_unlock_put,
)
from model.kernel.mm.huge_page import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_remove_rmap, get_page, put_page
from model.kernel.mm.retracted_table import free_retracted_table, waits_by_ipi
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import VM_UFFD_WP
from model.memory.folio import filemap_get_entry, page_folio
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed


class collapse_pte_mapped_thp(Procedure):
    """Map a huge page of a file with one entry where small entries map it, or nothing. Caller holds mmap_lock.

    Returns the number of a result.
    """

    source: ClassVar[str] = "mm/khugepaged.c: collapse_pte_mapped_thp (7.3: try_collapse_pte_mapped_thp)"
    mm: str
    vpn: int
    result: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """The range of the table that has just been taken away."""
        return FlushOwed(self.mm, self.vpn, self.vpn + HPAGE_PMD_NR) if len(self.holds) > 1 else None

    @step
    def filemap_lock_folio(self, tx: Transaction) -> Outcome:
        """Find the file's page there, and lock it: it cannot be truncated, or split, meanwhile."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or not vma.file or not collapse_allowed(vma):
            return done(number_of("VMA has changed"))
        found = pmd_state(tx, self.mm, self.vpn)
        if found == PMD_MAPPED:
            return done(number_of(found))
        if vma.flags & VM_UFFD_WP:
            return done(number_of("entry is write-protected by userfaultfd"))
        pfn = filemap_get_entry(tx, vma.file, vma.pgoff + self.vpn - vma.start)
        if pfn is None:
            return done(number_of("no ordinary page"))
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        get_page(tx, pfn)
        self.holds = (pfn,)
        if page_folio(tx, pfn) != pfn or tx.frames[pfn].order != HPAGE_PMD_ORDER:
            self.result = number_of("page is a part of a large folio")
            return goto(collapse_pte_mapped_thp.drop_folio)
        return None

    @step
    def pmdp_collapse_flush(self, tx: Transaction) -> Outcome:
        """Under the locks: every entry must map a page of this folio. Clear them all, and the PMD entry above them.

        Each small entry was a mapping and a reference.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        head = self.holds[0]
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        if pmd_state(tx, self.mm, self.vpn) != SUCCEED:
            return goto(collapse_pte_mapped_thp.set_huge_pmd)
        entries = list(populated(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR))
        for vpn in entries:
            pte = tx.ptes[self.mm, vpn]
            if not pte.present or pte.special or pte.pfn != head + vpn - self.vpn:
                self.result = number_of("VMA has changed" if pte.present else "entry is not present")
                return goto(collapse_pte_mapped_thp.drop_folio)
        mmu_notifier_invalidate_range_start(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR)
        for vpn in entries:
            pfn = tx.ptes[self.mm, vpn].pfn
            del tx.ptes[self.mm, vpn]
            folio_remove_rmap(tx, pfn, vma, self.mm)
            put_page(tx, pfn)
        self.holds = (head, tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT].pfn)
        del tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT]
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return call(flush_tlb_range(mm=self.mm, start=self.vpn, end=self.vpn + HPAGE_PMD_NR))

    @step
    def pte_free_defer(self, tx: Transaction) -> Outcome:
        """The page of the table is freed when no lockless walk is inside of it any more: RCU sees to that.

        6.1 interrupts every CPU, waits, and frees it then.

        As it was before 2ba99c5e0881, nobody waits: the page is free at once.
        """
        if waits_by_ipi(tx):
            return call(tlb_remove_table_sync_one(mm=self.mm))
        head, table = self.holds
        self.holds = (head,)
        free_retracted_table(tx, table)
        return goto(collapse_pte_mapped_thp.set_huge_pmd)

    @step
    def pte_free(self, tx: Transaction) -> None:
        """Every such walk has ended: free the page of the table."""
        head, table = self.holds
        self.holds = (head,)
        put_page(tx, table)

    @step
    def set_huge_pmd(self, tx: Transaction) -> Outcome:
        """Map the huge page with one entry, clean: a store will make it dirty."""
        head = self.holds[0]
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        get_page(tx, head)
        if not do_set_pmd(tx, self.mm, vma, self.vpn, head):
            put_page(tx, head)
            self.result = number_of("VMA has changed")
        return None

    @step
    def drop_folio(self, tx: Transaction) -> Outcome:
        """Unlock the folio and drop our reference."""
        (head,), self.holds = self.holds, ()
        folio_unlock_put(tx, head)
        return done(self.result)
