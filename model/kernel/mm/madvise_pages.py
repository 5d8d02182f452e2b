"""Advice about pages that are there: they can go when memory is short (FREE, COLD), or now (PAGEOUT)."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import populated, pte_lock, table_end, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import folio_trylock, folio_unlock
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import clear_page_flags, folio_isolate_lru
from model.kernel.mm.reclaim import reclaim_pages
from model.kernel.mm.swap import folio_free_swap, free_swap_and_cache, read_swap_cache_async, swapped_pages
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PG_DIRTY,
    PG_LRU,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
)
from model.memory.ordered import ceiling
from model.memory.records import FlushOwed, Vma
from model.memory.state import Transaction


class madvise_free_single_vma(Procedure):
    """MADV_FREE: the content of these anonymous pages may be thrown away, unless they are written again first."""

    source: ClassVar[str] = "mm/madvise.c: madvise_free_single_vma, madvise_free_pte_range"
    mm: str
    vma: Vma
    start: int
    end: int
    flush_start: int = -1
    flush_end: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """The entries that were made clean and old."""
        return None if self.flush_start < 0 else FlushOwed(self.mm, self.flush_start, self.flush_end)

    @step
    def mmu_notifier_invalidate_range_start(self, tx: Transaction) -> Outcome:
        """MMU_NOTIFY_CLEAR: a device that mirrors these pages must fault again before it writes."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.start, self.end)
        return None

    @step
    def madvise_free_pte_range(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: make each entry clean and old, and its page clean and not swap-backed.

        Reclaim drops a clean page without swap space; a store makes the entry dirty again and so takes the advice
        back. The pages stay mapped, and readable. References and pins do not matter here.
        """
        vpn = ceiling(tx.pte_index, self.mm, self.start)
        if vpn is None or vpn >= self.end:
            return None
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        self.start = table_end(vpn, self.end)
        for page in list(populated(tx, self.mm, vpn, self.start)):
            if free_pte(tx, self.mm, self.vma, page):
                self.flush_start = page if self.flush_start < 0 else self.flush_start
                self.flush_end = page + 1
        return goto(madvise_free_single_vma.madvise_free_pte_range)

    @step
    def flush_tlb(self, tx: Transaction) -> Outcome:
        """A CPU that has cached an entry as dirty would not mark it dirty again: make it forget."""
        mmu_notifier_invalidate_range_end(tx, self.mm)
        if self.flush_start < 0:
            return done()
        return call(flush_tlb_range(mm=self.mm, start=self.flush_start, end=self.flush_end))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """Nothing has been freed yet."""
        return done()


def free_pte(tx: Transaction, mm: str, vma: Vma, vpn: int) -> bool:
    """Mark one page as freeable, unless it is dirty and somebody else maps it; tells whether the entry was changed.

    What has been written to swap is not wanted either: the page's slot is given back.
    """
    pte = tx.ptes[mm, vpn]
    if not pte.present:
        if pte.kind == "swap":
            del tx.ptes[mm, vpn]
            free_swap_and_cache(tx, pte.pfn)
        return False
    pfn = vm_normal_page(tx, vma, pte)
    if pfn is None:
        return False
    frame = tx.frames[pfn]
    if frame.flags & (PG_DIRTY | PG_SWAPCACHE):
        if frame.mapcount != 1 or not folio_trylock(tx, pfn):
            return False
        if frame.flags & PG_SWAPCACHE and not folio_free_swap(tx, pfn):
            folio_unlock(tx, pfn)
            return False
        clear_page_flags(tx, pfn, PG_DIRTY)
        folio_unlock(tx, pfn)
        frame = tx.frames[pfn]
    changed = bool(pte.bits & (PAGE_ACCESSED | PAGE_DIRTY))
    if changed:
        tx.ptes[mm, vpn] = pte.without(PAGE_ACCESSED | PAGE_DIRTY)
    if frame.kind == "anon" and not frame.flags & (PG_UNEVICTABLE | PG_SWAPCACHE):
        clear_page_flags(tx, pfn, PG_SWAPBACKED)
    return changed


class madvise_cold_or_pageout(Procedure):
    """MADV_COLD: these pages are the next to go when memory is short. MADV_PAGEOUT: they go now."""

    source: ClassVar[str] = "mm/madvise.c: madvise_cold_or_pageout_pte_range"
    mm: str
    vma: Vma
    start: int
    end: int
    pageout: bool = False

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: make the entries old; for PAGEOUT take the pages off their LRU list.

        A page that somebody else has mapped as well is left alone.
        """
        vpn = ceiling(tx.pte_index, self.mm, self.start)
        if vpn is None or vpn >= self.end:
            return done()
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        self.start = table_end(vpn, self.end)
        for page in populated(tx, self.mm, vpn, self.start):
            pte = tx.ptes[self.mm, page]
            pfn = vm_normal_page(tx, self.vma, pte) if pte.present else None
            if pfn is None or not tx.frames[pfn].flags & PG_LRU or tx.frames[pfn].mapcount != 1:
                continue
            if pte.bits & PAGE_ACCESSED:
                tx.ptes[self.mm, page] = pte.without(PAGE_ACCESSED)
            if self.pageout and not tx.frames[pfn].flags & PG_UNEVICTABLE:
                folio_isolate_lru(tx, pfn)
                self.holds = (*self.holds, pfn)
        return None

    @step
    def reclaim_pages(self, tx: Transaction) -> Outcome:
        """Try to free each of them: clean pages of files are dropped, what nobody can write back stays."""
        pages, self.holds = self.holds, ()
        return call(reclaim_pages(holds=pages), then=madvise_cold_or_pageout.isolate)


class madvise_willneed_swap(Procedure):
    """MADV_WILLNEED where pages may be in swap: read them ahead, into the swap cache alone."""

    source: ClassVar[str] = "mm/madvise.c: swapin_walk_pmd_entry, shmem_swapin_range"
    mm: str
    vma: Vma
    start: int
    """The part before it has been looked at."""
    end: int

    @step
    def read_swap_cache_async(self, tx: Transaction) -> Outcome:
        """Find the next swapped page of the range and read it. No entry changes: the next fault finds it in memory.

        Private memory has swap entries in its page table; of a shmem file the file itself knows what is swapped.
        """
        found = self.next_swapped(tx)
        if found is None:
            return done()
        vpn, slot = found
        self.start = vpn + 1
        read_swap_cache_async(tx, slot, "file" if self.vma.ops else "anon")
        return goto(madvise_willneed_swap.read_swap_cache_async)

    def next_swapped(self, tx: Transaction) -> tuple[int, int] | None:
        """The next virtual page that is swapped out, and its slot."""
        if self.vma.ops:
            shift = self.vma.pgoff - self.vma.start
            indices = swapped_pages(tx, self.vma.file, self.start + shift, self.end + shift - 1)
            index = next(indices, None)
            return None if index is None else (index - shift, tx.swapped[self.vma.file, index])
        for vpn in populated(tx, self.mm, self.start, self.end):
            pte = tx.ptes[self.mm, vpn]
            if pte.kind == "swap":
                return vpn, pte.pfn
        return None
