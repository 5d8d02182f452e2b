"""Advice about pages that are there: they can go when memory is short (FREE, COLD), or now (PAGEOUT)."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, populated, pte_lock, table_end, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm import large_rmap
from model.kernel.mm.filemap import folio_lock, folio_trylock, folio_unlock, folio_unlock_put
from model.kernel.mm.huge_page import HPAGE_PMD_NR, huge_pmd, vm_normal_page_pmd
from model.kernel.mm.large_batch import FolioBatch, large_batch, may_be_split, next_entry
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import clear_page_flags, folio_isolate_lru, get_page
from model.kernel.mm.reclaim import reclaim_pages
from model.kernel.mm.split_folio import split_folio
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
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed
from model.memory.units import Pfn


# Its walk and that of madvise_cold_or_pageout are as alike as madvise_free_pte_range() and
# madvise_cold_or_pageout_pte_range() in mm/madvise.c: two functions there, so two here.
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
        vpn = next_entry(tx, self.mm, self.start, self.end)
        if vpn is None:
            return goto(madvise_free_single_vma.flush_tlb)
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        end = table_end(vpn, self.end)
        if (pmd := huge_pmd(tx, self.mm, vpn)) is not None:
            self.start = end
            return self.free_huge_pmd(tx, vpn, end, pmd)
        for page in list(populated(tx, self.mm, vpn, end)):
            if page < self.start:
                continue
            batch = large_batch(tx, self.vma, self.mm, page, end)
            if batch is not None:
                self.start = page + batch.pages
                if not batch.whole and may_be_split(tx, batch.head):
                    return self.split(tx, batch.head, page)
                if batch.whole and free_large(tx, self.mm, page, batch):
                    self.adjust_range(page, self.start)
            elif free_pte(tx, self.mm, self.vma, page):
                self.adjust_range(page, page + 1)
        self.start = end
        return goto(madvise_free_single_vma.madvise_free_pte_range)

    def adjust_range(self, start: int, end: int) -> None:
        """These pages must be flushed as well."""
        self.flush_start = start if self.flush_start < 0 else self.flush_start
        self.flush_end = end

    def free_huge_pmd(self, tx: Transaction, vpn: int, end: int, pmd: Pte) -> Outcome:
        """A huge entry: all of it becomes clean and old, or, if only a part is meant, the folio is split first.

        One that others may map, and the huge zero page, are left alone (mm/huge_memory.c: madvise_free_huge_pmd).
        """
        head = vm_normal_page_pmd(tx, self.vma, pmd)
        again = goto(madvise_free_single_vma.madvise_free_pte_range)
        if head is None or large_rmap.folio_maybe_mapped_shared(tx, head) or not folio_trylock(tx, head):
            return again
        if end - vpn < HPAGE_PMD_NR:
            folio_unlock(tx, head)
            return self.split(tx, head, vpn)
        clear_page_flags(tx, head, PG_DIRTY)
        folio_unlock(tx, head)
        if pmd.bits & (PAGE_ACCESSED | PAGE_DIRTY):
            tx.tables[self.mm, PMD, vpn >> TABLE_SHIFT] = pmd.without(PAGE_ACCESSED | PAGE_DIRTY)
            self.adjust_range(vpn, end)
        folio_mark_lazyfree(tx, head)
        return again

    def split(self, tx: Transaction, head: int, vpn: int) -> Outcome:
        """Only small pages can be given up one by one. Keep the folio, locked, while it is split."""
        keep_locked(tx, head)
        self.holds, self.start = (head,), vpn
        return call(split_folio(head=head), madvise_free_single_vma.split_folio)

    @step
    def split_folio(self, tx: Transaction) -> Outcome:
        """Go on with its small pages. If it could not be split, leave those that are mapped here as they are."""
        (head,), self.holds = self.holds, ()
        folio_unlock_put(tx, head)
        if self.ret < 0:
            self.start = behind(tx, self.mm, self.vma, self.start, self.end)
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


def keep_locked(tx: Transaction, head: int) -> None:
    """Lock a folio that nobody has locked, and take a reference: it is going to be split."""
    folio_trylock(tx, head)
    get_page(tx, head)


def behind(tx: Transaction, mm: str, vma: Vma, vpn: int, end: int) -> int:
    """Where a walk goes on behind a folio that it could not split: behind its pages here, or behind its huge entry."""
    stop = table_end(vpn, end)
    if huge_pmd(tx, mm, vpn) is not None:
        return stop
    batch = large_batch(tx, vma, mm, vpn, stop) if (mm, vpn) in tx.ptes else None
    return vpn + 1 if batch is None else vpn + batch.pages


def folio_mark_lazyfree(tx: Transaction, head: int) -> None:
    """An anonymous folio that reclaim may throw away as long as it is clean (mm/swap.c)."""
    frame = tx.frames[head]
    if frame.kind == "anon" and not frame.flags & (PG_UNEVICTABLE | PG_SWAPCACHE):
        clear_page_flags(tx, head, PG_SWAPBACKED)


def free_large(tx: Transaction, mm: str, vpn: int, batch: FolioBatch) -> bool:
    """Mark a large folio as freeable of which all pages are mapped here; tells whether an entry was changed."""
    frame = tx.frames[batch.head]
    if frame.flags & (PG_DIRTY | PG_SWAPCACHE):
        if frame.mapcount != frame.pages or not folio_trylock(tx, batch.head):
            return False
        freed = not frame.flags & PG_SWAPCACHE or folio_free_swap(tx, batch.head)
        folio_unlock(tx, batch.head)
        if not freed:
            return False
        clear_page_flags(tx, batch.head, PG_DIRTY)
    changed = False
    for at in range(vpn, vpn + batch.pages):
        pte = tx.ptes[mm, at]
        if pte.bits & (PAGE_ACCESSED | PAGE_DIRTY):
            tx.ptes[mm, at] = pte.without(PAGE_ACCESSED | PAGE_DIRTY)
            changed = True
    folio_mark_lazyfree(tx, batch.head)
    return changed


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
    folio_mark_lazyfree(tx, pfn)
    return changed


class madvise_cold_or_pageout(Procedure):
    """MADV_COLD: these pages are the next to go when memory is short. MADV_PAGEOUT: they go now."""

    source: ClassVar[str] = "mm/madvise.c: madvise_cold_or_pageout_pte_range"
    mm: str
    vma: Vma
    start: int
    end: int
    pageout: bool = False
    splitting: Pfn = -1
    """The folio that is being split."""

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: make the entries old; for PAGEOUT take the pages off their LRU list.

        A page that somebody else has mapped as well is left alone.
        """
        vpn = next_entry(tx, self.mm, self.start, self.end)
        if vpn is None:
            return goto(madvise_cold_or_pageout.reclaim_pages) if self.holds else done()
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        end = table_end(vpn, self.end)
        if (pmd := huge_pmd(tx, self.mm, vpn)) is not None:
            self.start = end
            return self.isolate_huge(tx, vpn, end, pmd)
        for page in list(populated(tx, self.mm, vpn, end)):
            if page < self.start:
                continue
            batch = large_batch(tx, self.vma, self.mm, page, end)
            if batch is not None:
                self.start = page + batch.pages
                if not batch.whole and may_be_split(tx, batch.head):
                    return self.split(tx, batch.head, page)
                if batch.whole:
                    self.isolate_pages(tx, page, batch.pages)
            else:
                self.isolate_pages(tx, page, 1)
        self.start = end
        return goto(madvise_cold_or_pageout.reclaim_pages)

    def isolate_pages(self, tx: Transaction, vpn: int, pages: int) -> None:
        """Make the entries of a folio old, if nobody else maps it, and take it off its list for PAGEOUT."""
        pte = tx.ptes[self.mm, vpn]
        pfn = vm_normal_page(tx, self.vma, pte) if pte.present else None
        if pfn is None or not tx.frames[pfn].flags & PG_LRU or tx.frames[pfn].mapcount != pages:
            return
        for at in range(vpn, vpn + pages):
            if tx.ptes[self.mm, at].bits & PAGE_ACCESSED:
                tx.ptes[self.mm, at] = tx.ptes[self.mm, at].without(PAGE_ACCESSED)
        self.isolate_folio(tx, pfn)

    def isolate_folio(self, tx: Transaction, head: int) -> None:
        """For PAGEOUT take a folio off its LRU list."""
        if self.pageout and not tx.frames[head].flags & PG_UNEVICTABLE and folio_isolate_lru(tx, head):
            self.holds = (*self.holds, head)

    def isolate_huge(self, tx: Transaction, vpn: int, end: int, pmd: Pte) -> Outcome:
        """A huge entry: the folio as a whole, or, if only a part of it is meant, it is split first."""
        head = vm_normal_page_pmd(tx, self.vma, pmd)
        if head is None or large_rmap.folio_maybe_mapped_shared(tx, head):
            return goto(madvise_cold_or_pageout.reclaim_pages)
        if end - vpn < HPAGE_PMD_NR:
            if (wait := folio_lock(tx, head)) is not None:
                return wait
            folio_unlock(tx, head)
            return self.split(tx, head, vpn)
        if pmd.bits & PAGE_ACCESSED and not self.pageout:
            tx.tables[self.mm, PMD, vpn >> TABLE_SHIFT] = pmd.without(PAGE_ACCESSED)
        self.isolate_folio(tx, head)
        return goto(madvise_cold_or_pageout.reclaim_pages)

    def split(self, tx: Transaction, head: int, vpn: int) -> Outcome:
        """Small pages can go one by one. Keep the folio, locked, while it is split."""
        keep_locked(tx, head)
        self.splitting, self.start = head, vpn
        self.holds = (*self.holds, head)
        return call(split_folio(head=head), madvise_cold_or_pageout.split_folio)

    @step
    def split_folio(self, tx: Transaction) -> Outcome:
        """Go on with its small pages. If it could not be split, leave those that are mapped here as they are."""
        self.holds = self.holds[:-1]
        folio_unlock_put(tx, self.splitting)
        if self.ret < 0:
            self.start = behind(tx, self.mm, self.vma, self.start, self.end)
        return goto(madvise_cold_or_pageout.isolate)

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
