"""The page tables of all who map a collapsed file are taken away; faults bring them back."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, pte_lock
from model.kernel.arch.tlb import flush_tlb_range, tlb_remove_table_sync_one
from model.kernel.mm.collapse_scan import (
    SUCCEED,
    pmd_state,
)
from model.kernel.mm.huge_page import HPAGE_PMD_NR
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import put_page
from model.kernel.mm.retracted_table import free_retracted_table, waits_by_ipi
from model.kernel.mm.vma import linked_vma
from model.memory.flags import VM_UFFD_WP
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.tasks import FlushOwed


def mappings(mem: Memory, file: str, index: int) -> list[tuple[str, Vma]]:
    """The VMAs that map 2 MiB of a file from a page on as a huge page would be: aligned, and all of it."""
    found = []
    for mm, start in mem.files[file].i_mmap:
        vma = linked_vma(mem, mm, start)
        vpn = vma.start + index - vma.pgoff
        if vma.pgoff <= index and vpn % HPAGE_PMD_NR == 0 and vpn + HPAGE_PMD_NR <= vma.end:
            found.append((mm, vma))
    return found


class retract_page_tables(Procedure):
    """Take the tables of small entries away that map a part of a file: faults will map its huge page instead."""

    source: ClassVar[str] = "mm/khugepaged.c: retract_page_tables (6.1: collapse_and_free_pmd)"
    file: str
    index: int
    target: tuple[str, int] = ("", 0)
    """MADV_COLLAPSE in 6.1: the only address space whose table it takes, and where."""
    visited: int = 0
    mm: str = ""
    vpn: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """The range of the table that has just been taken away."""
        return FlushOwed(self.mm, self.vpn, self.vpn + HPAGE_PMD_NR) if self.holds else None

    @step
    def i_mmap_lock_read(self, tx: Transaction) -> Outcome:
        """No VMA joins or leaves the file's mappings while we walk them."""
        return down_read(tx, "i_mmap_rwsem", self.file)

    @step
    def pmdp_collapse_flush(self, tx: Transaction) -> Outcome:
        """Clear the next PMD entry above a table, and make every CPU forget what it has read there.

        Not where private copies may stand in the table, or marks of userfaultfd: those a fault could not bring back.
        6.1 does it under mmap_lock, and passes by an address space where somebody has that. MADV_COLLAPSE leaves those
        of others to khugepaged. Since 6.6 nobody who walks under mmap_lock keeps us away.
        """
        found = mappings(tx, self.file, self.index)[self.visited :]
        if not found:
            return goto(retract_page_tables.i_mmap_unlock_read)
        mm, vma = found[0]
        vpn = vma.start + self.index - vma.pgoff
        if vma.anon_vma or vma.flags & VM_UFFD_WP or pmd_state(tx, mm, vpn) != SUCCEED:
            self.visited += 1
            return goto(retract_page_tables.pmdp_collapse_flush)
        if (wait := pte_lock(tx, mm, vpn)) is not None:
            return wait
        self.visited += 1
        if not fact(tx, "file tables are retracted without mmap_lock") and not self.mmap_write_trylock(tx, mm, vpn):
            return goto(retract_page_tables.pmdp_collapse_flush)
        mmu_notifier_invalidate_range_start(tx, mm, vpn, vpn + HPAGE_PMD_NR)
        self.mm, self.vpn = mm, vpn
        self.holds = (tx.tables[mm, PMD, vpn >> TABLE_SHIFT].pfn,)
        del tx.tables[mm, PMD, vpn >> TABLE_SHIFT]
        mmu_notifier_invalidate_range_end(tx, mm)
        return call(flush_tlb_range(mm=mm, start=vpn, end=vpn + HPAGE_PMD_NR))

    def mmap_write_trylock(self, tx: Transaction, mm: str, vpn: int) -> bool:
        """Lock an address space, if it is ours to collapse and nobody has it locked: waiting could be a deadlock."""
        return self.target in (("", 0), (mm, vpn)) and down_write(tx, "mmap_lock", mm) is None

    @step
    def pte_free_defer(self, tx: Transaction) -> Outcome:
        """The page of the table is freed when no lockless walk is inside of it any more: RCU sees to that.

        6.1 interrupts every CPU, waits, and frees it then.

        As it was before 2ba99c5e0881, nobody waits: the page is free at once.
        """
        if waits_by_ipi(tx):
            return call(tlb_remove_table_sync_one(mm=self.mm))
        (table,), self.holds = self.holds, ()
        free_retracted_table(tx, table)
        return goto(retract_page_tables.unlock_mm)

    @step
    def pte_free(self, tx: Transaction) -> None:
        """Every such walk has ended: free the page of the table."""
        (table,), self.holds = self.holds, ()
        put_page(tx, table)

    @step
    def unlock_mm(self, tx: Transaction) -> Outcome:
        """Go on with the next mapping. 6.1 gives mmap_lock of this address space back."""
        if not fact(tx, "file tables are retracted without mmap_lock"):
            up_write(tx, "mmap_lock", self.mm)
        return goto(retract_page_tables.pmdp_collapse_flush)

    @step
    def i_mmap_unlock_read(self, tx: Transaction) -> Outcome:
        """All of them are gone."""
        up_read(tx, "i_mmap_rwsem", self.file)
        return done()
