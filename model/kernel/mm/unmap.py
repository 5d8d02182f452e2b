"""Unmapping: clear the entry, drop the mapcount, flush the TLBs, and only then put the page.

The order is what makes it safe: as long as some CPU may still use a cached translation, the frame must not go to
somebody else. Source: mm/memory.c (unmap_page_range, zap_pte_range), mm/mmu_gather.c.
"""

from typing import ClassVar, Final

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import (
    PMD,
    TABLE_SHIFT,
    free_pgtables,
    populated,
    pte_lock,
    put_tables,
    table_end,
    tables_in,
    vm_normal_page,
)
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_remove_rmap, put_page, set_page_flags
from model.kernel.mm.swap import free_swap_and_cache, free_swap_cache
from model.memory.flags import PG_DIRTY
from model.memory.ordered import ceiling
from model.memory.records import FlushOwed, Vma
from model.memory.state import Memory, Transaction

HUGE_PFN_OPS: Final = ("ttm-huge",)
"""vm_ops that map 2 MiB at once without counting anything."""

MOST_GATHERED: Final = 2048
"""Pages that an mmu_gather collects before it must flush and free (MAX_GATHER_BATCH_COUNT, smaller here)."""


def zap_range(
    tx: Transaction, mm: str, vma: Vma, start: int, end: int, *, even_cows: bool, drop_markers: bool
) -> tuple[int, ...]:
    """Clear the entries of one page table's part of a VMA; returns the pfns of the normal pages among them.

    A special entry is only cleared: it has never had a reference or a mapcount. With `even_cows` false a private
    copy (an anonymous page) stays (kernel-facts F.1). A guard marker goes only with its VMA: `drop_markers`.
    """
    normal: list[int] = []
    for vpn in list(populated(tx, mm, start, end)):
        pte = tx.ptes[mm, vpn]
        if not pte.present:
            if drop_markers if pte.kind == "marker" else even_cows:
                del tx.ptes[mm, vpn]
                if pte.kind == "swap":
                    free_swap_and_cache(tx, pte.pfn)
            continue
        pfn = vm_normal_page(tx, vma, pte)
        if pfn is not None and not even_cows and tx.frames[pfn].kind == "anon":
            continue
        del tx.ptes[mm, vpn]
        if pfn is None:
            continue
        if pte.dirty and pfn in tx.frames and tx.frames[pfn].kind != "anon":
            set_page_flags(tx, pfn, PG_DIRTY)
        normal.append(pfn)
    return tuple(normal)


def first_huge_leaf(mem: Memory, mm: str, vma: Vma, start: int, end: int) -> int | None:
    """Where the first huge entry in [start, end) of a VMA begins, if its driver makes such entries.

    A range that covers only a part of one clears it all the same: the rest is faulted in again, in small entries.
    """
    if vma.ops not in HUGE_PFN_OPS:
        return None
    for index in tables_in(mem, mm, PMD, start >> TABLE_SHIFT, (end - 1) >> TABLE_SHIFT):
        if mem.tables[mm, PMD, index].huge:
            return max(index << TABLE_SHIFT, start)
    return None


class unmap_vmas(Procedure):
    """Zap every page of some VMAs: the entries are cleared, the pages gathered for later."""

    source: ClassVar[str] = "mm/memory.c: unmap_page_range, zap_pte_range"
    mm: str
    vmas: tuple[Vma, ...]
    start: int
    end: int
    even_cows: bool = True
    drop_markers: bool = False
    """The VMAs go as well: ZAP_FLAG_DROP_MARKER."""
    flush_tlbs: bool = True
    """False: a driver's bug, see exporter=no-flush."""
    flush_start: int = -1
    """Lowest vpn whose entry was cleared since the last flush."""
    flush_end: int = 0
    vma: Vma | None = None
    """The VMA in which the last cleared entries lie."""

    def owes_flush(self) -> FlushOwed | None:
        """What has been cleared since the last flush, unless the driver forgets to flush."""
        if self.flush_start < 0 or not self.flush_tlbs:
            return None
        return FlushOwed(self.mm, self.flush_start, self.flush_end)

    @step
    def clear_ptes(self, tx: Transaction) -> Outcome:
        """Under the lock of one page table: clear its entries of the range. From now on no walk finds the pages.

        CPUs may still have the translation in their TLBs, and whoever took a reference still has the page.
        """
        for vma in self.vmas:
            low, high = max(vma.start, self.start), min(vma.end, self.end)
            vpn = ceiling(tx.pte_index, self.mm, low) if low < high else None
            huge = first_huge_leaf(tx, self.mm, vma, low, high)
            if huge is not None and (vpn is None or huge <= vpn):
                self.zap_huge_pmd(tx, huge)
                return goto(unmap_vmas.clear_ptes)
            if vpn is None or vpn >= high:
                continue
            if (wait := pte_lock(tx, self.mm, vpn)) is not None:
                return wait
            end = table_end(vpn, high)
            pages = zap_range(tx, self.mm, vma, vpn, end, even_cows=self.even_cows, drop_markers=self.drop_markers)
            self.start, self.vma = end, vma
            self.flush_start = vpn if self.flush_start < 0 else min(self.flush_start, vpn)
            self.flush_end = max(self.flush_end, end)
            self.holds += pages
            self.owes_rmap = pages
            return None
        return goto(unmap_vmas.flush)

    def zap_huge_pmd(self, tx: Transaction, vpn: int) -> None:
        """Clear a huge entry of a PFN mapping: nothing is counted, so nothing is gathered (mm/huge_memory.c)."""
        index = vpn >> TABLE_SHIFT
        del tx.tables[self.mm, PMD, index]
        first, end = index << TABLE_SHIFT, (index + 1) << TABLE_SHIFT
        self.flush_start = first if self.flush_start < 0 else min(self.flush_start, first)
        self.flush_end = max(self.flush_end, end)

    @step
    def remove_rmaps(self, tx: Transaction) -> Outcome:
        """Each page has one mapping less: mapcount - 1. The mapping's reference is kept until the flush."""
        assert self.vma is not None
        for pfn in self.owes_rmap:
            folio_remove_rmap(tx, pfn, self.vma)
        self.owes_rmap = ()
        return goto(unmap_vmas.flush) if len(self.holds) > MOST_GATHERED else goto(unmap_vmas.clear_ptes)

    @step
    def flush(self, tx: Transaction) -> Outcome:
        """Nothing may be freed while a CPU can still reach it: flush the range on every CPU first."""
        if self.flush_start < 0:
            return done()
        start, self.flush_start = self.flush_start, -1
        if not self.flush_tlbs:
            return None
        return call(flush_tlb_range(mm=self.mm, start=start, end=self.flush_end))

    @step
    def put_pages(self, tx: Transaction) -> Outcome:
        """Give up the mapping's reference on each page. The last one frees the frame, and the next owner may get it."""
        for pfn in self.holds:
            free_swap_cache(tx, pfn)
            put_page(tx, pfn)
        self.holds = ()
        return goto(unmap_vmas.clear_ptes)


class unmap_region(Procedure):
    """Unmap VMAs that are detached already: zap, unhook the page tables, flush, free."""

    source: ClassVar[str] = "mm/vma.c: unmap_region"
    mm: str
    vmas: tuple[Vma, ...]
    start: int
    end: int
    floor: int = 0
    """End of the VMA before the range."""
    ceiling: int = 1 << 35
    """Start of the VMA behind it."""

    @step
    def unmap(self, tx: Transaction) -> Outcome:
        """Take the pages out of the page tables first, and tell whoever mirrors them (MMU_NOTIFY_UNMAP)."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.start, self.end)
        return call(unmap_vmas(mm=self.mm, vmas=self.vmas, start=self.start, end=self.end, drop_markers=True))

    @step
    def free_tables(self, tx: Transaction) -> Outcome:
        """Then the tables that have become useless."""
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return call(free_pgtables(mm=self.mm, start=self.start, end=self.end, floor=self.floor, ceiling=self.ceiling))

    @step
    def tlb_finish_mmu(self, tx: Transaction) -> Outcome:
        """Page-table pages are freed only after an IPI to every CPU that may be walking them."""
        if not self.ret:
            return done()
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.end))

    @step
    def put_tables(self, tx: Transaction) -> Outcome:
        """No walker can be inside these tables any more: free them."""
        put_tables(tx, self.holds)
        self.holds = ()
        return done()


class zap_page_range_single(Procedure):
    """Zap a range of one VMA that stays: MADV_DONTNEED, unmap_mapping_range."""

    source: ClassVar[str] = "mm/memory.c: zap_page_range_single"
    mm: str
    vma: Vma
    start: int
    end: int
    even_cows: bool = True
    flush: bool = True

    @step
    def mmu_notifier_invalidate_range_start(self, tx: Transaction) -> Outcome:
        """MMU_NOTIFY_CLEAR: whoever mirrors this range is told first. Then the entries go; the VMA stays."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.start, self.end)
        return call(
            unmap_vmas(
                mm=self.mm,
                vmas=(self.vma,),
                start=self.start,
                end=self.end,
                even_cows=self.even_cows,
                flush_tlbs=self.flush,
            )
        )

    @step
    def mmu_notifier_invalidate_range_end(self, tx: Transaction) -> Outcome:
        """The next access faults, and a mirror may look its pages up again."""
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return done()


class unmap_mapping_range(Procedure):
    """Unmap a range of a file from every process that has it mapped.

    This is how the owner of pages takes them back: it does not ask for references, it clears the entries.
    """

    source: ClassVar[str] = "mm/memory.c: unmap_mapping_pages"
    file: str
    offset: int
    pages: int = 0
    """0 = to the end of the file."""
    even_cows: bool = True
    flush: bool = True
    """False: a driver's bug, see exporter=no-flush."""
    after: tuple[str, int] = ("", -1)
    """The VMA that was done last."""

    @step
    def lock_i_mmap(self, tx: Transaction) -> Outcome:
        """Take the lock of the file's tree of mappings: no VMA joins or leaves it while we walk."""
        return down_read(tx, "i_mmap_rwsem", self.file)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Find the next VMA that maps part of the range, and zap that part in its address space."""
        last = self.offset + self.pages if self.pages else 1 << 60
        file = tx.files.get(self.file)
        for mm, start in file.i_mmap if file is not None else ():
            vma = tx.vmas.get((mm, start))
            if (mm, start) <= self.after or vma is None:
                continue
            low, high = max(self.offset, vma.pgoff), min(last, vma.pgoff + vma.pages)
            if low < high:
                self.after = (mm, start)
                shift = vma.start - vma.pgoff
                return call(
                    zap_page_range_single(
                        mm=mm,
                        vma=vma,
                        start=low + shift,
                        end=high + shift,
                        even_cows=self.even_cows,
                        flush=self.flush,
                    ),
                    then=unmap_mapping_range.next_vma,
                )
        return None

    @step
    def unlock_i_mmap(self, tx: Transaction) -> Outcome:
        """Every mapping of the range is gone, and every TLB has been flushed."""
        up_read(tx, "i_mmap_rwsem", self.file)
        return done()
