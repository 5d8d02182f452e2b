"""What an unmap gathers until the TLBs are flushed: pages, and page tables.

Several may gather in one address space at once, each for itself. One that finds an entry cleared already does not know
whether the other has flushed it. So the mm counts them, and whoever ends while another is at work flushes everything
(mm_tlb_flush_nested, since 4.13). Source: mm/mmu_gather.c.
"""

from typing import ClassVar, Final

from model.engine.config import setting
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, step
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.arch.rcu import call_rcu
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.page import put_page
from model.kernel.mm.swap import free_swap_cache
from model.memory.state import Memory, Transaction
from model.memory.tasks import FlushOwed

MOST_GATHERED: Final = 2048
"""Pages that an mmu_gather collects before it must flush and free (MAX_GATHER_BATCH_COUNT, smaller here)."""


def tlb_gather_mmu(tx: Transaction, mm: str) -> None:
    """One more clears entries of this address space and will flush later: inc_tlb_flush_pending."""
    tx.processes.update(mm, tlb_flush_pending=tx.processes[mm].tlb_flush_pending + 1)


def mm_tlb_flush_nested(mem: Memory, mm: str) -> bool:
    """Whether somebody else gathers in the same address space (include/linux/mm_types.h)."""
    return mem.processes[mm].tlb_flush_pending > 1


class tlb_flush_mmu(Procedure):
    """Flush what has been cleared so far, and free what waits for the flush."""

    source: ClassVar[str] = "mm/mmu_gather.c: tlb_flush_mmu"
    mm: str
    start: int
    """First page whose entry was cleared; -1: none, or all of them are flushed already."""
    end: int
    flush: bool = True
    """False: a driver's bug, see exporter=no-flush."""

    def owes_flush(self) -> FlushOwed | None:
        """The range, until the flush itself owes it."""
        owed = self.start >= 0 and self.flush and not self.pc
        return FlushOwed(self.mm, self.start, self.end) if owed else None

    @step
    def tlb_flush(self, tx: Transaction) -> Outcome:
        """Nothing may be freed while a CPU can still reach it: flush the range on every CPU first."""
        if self.start < 0 or not self.flush:
            return None
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.end))

    @step
    def tlb_batch_pages_flush(self, tx: Transaction) -> Outcome:
        """Give up the mapping's reference on each page. The last one frees the frame, and the next owner may get it."""
        self.put_pages(tx)
        return done()

    def put_pages(self, tx: Transaction) -> None:
        """Put the pages, and free the page tables that were unhooked.

        A flush by interrupts has waited for every walker that could be inside of one. Where it needs none, RCU waits
        for them instead (tlb_remove_table).
        """
        waits = table_waits(tx.base)
        for pfn in self.holds:
            free_swap_cache(tx, pfn)
            if waits and tx.frames[pfn].kind == "pgtable":
                call_rcu(tx, pfn)
            else:
                put_page(tx, pfn)
        self.holds = ()


def table_waits(mem: Memory) -> bool:
    """Whether a page table that was unhooked must wait for walks without locks although the TLBs are flushed.

    In a guest whose hypervisor flushes (6.1, 6.12: arch/x86/kernel/kvm.c: pv_ops.mmu.tlb_remove_table), and on a CPU
    that flushes by broadcast. `set table-free at-once` leaves it out.
    """
    return setting(mem, "tlb-flush") == "broadcast" and setting(mem, "table-free") == "rcu"


class tlb_finish_mmu(tlb_flush_mmu):
    """The end of an unmap: flush, free, and say that this mm has one flush less pending."""

    source: ClassVar[str] = "mm/mmu_gather.c: tlb_finish_mmu"

    @step
    def tlb_flush(self, tx: Transaction) -> Outcome:
        """Nothing may be freed while a CPU can still reach it: flush the range on every CPU first.

        If somebody else unmaps in this address space at the same time, flush all of it: entries that we found empty
        may be theirs, cleared and not flushed yet (mm_tlb_flush_nested).

        As it was before 99baac21e458, who has cleared nothing flushes nothing, and returns as if the pages were gone.
        """
        if mm_tlb_flush_nested(tx, self.mm) and self.flush and mended(tx, "nested-flush"):
            return call(flush_tlb_range(mm=self.mm, start=0, end=TASK_SIZE))
        if self.start < 0 or not self.flush:
            return None
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.end))

    @step
    def tlb_batch_pages_flush(self, tx: Transaction) -> Outcome:
        """Give up the mapping's reference on each page. The last one frees the frame, and the next owner may get it.

        Page tables that were unhooked go as well: no walker can be inside them any more, or RCU keeps them until then.
        """
        self.put_pages(tx)
        tx.processes.update(self.mm, tlb_flush_pending=tx.processes[self.mm].tlb_flush_pending - 1)
        return done()
