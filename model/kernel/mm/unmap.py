"""Unmapping: clear the entry, drop the mapcount, flush the TLBs, and only then put the page.

The order is what makes it safe: as long as some CPU may still use a cached translation, the frame must not go to
somebody else. Source: mm/memory.c (unmap_page_range, zap_pte_range); what is gathered until the flush: mmu_gather.
"""

from typing import ClassVar

import msgspec

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, goto, step, tail
from model.kernel.arch.pgtable import (
    PMD,
    PTRS_PER_TABLE,
    TABLE_SHIFT,
    TASK_SIZE,
    free_pgtables,
    hold_pte_lock,
    populated,
    pte_lock,
    pte_unlock,
    tables_in,
    vm_normal_page,
)
from model.kernel.arch.shared_table import first_shared
from model.kernel.arch.table_walk import hooked_at
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.huge_page import HPAGE_PMD_NR, vma_is_special_huge
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.huge_zap import zap_huge_pmd
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import huge_pmd_unshare, shareable_range
from model.kernel.mm.hugetlb_zap import hugetlb_zap_begin, zap_hugetlb_entry
from model.kernel.mm.mmu_gather import MOST_GATHERED, tlb_finish_mmu, tlb_flush_mmu, tlb_gather_mmu
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_remove_rmap, set_page_flags
from model.kernel.mm.pte_marker import POISON_MARKER, UFFD_WP_MARKER, pte_install_uffd_wp_if_needed
from model.kernel.mm.swap import free_swap_and_cache
from model.kernel.mm.vma import linked_vma, rmap_write_lock, unlink_vma, vma_is_anonymous
from model.memory.flags import PAGE_UFFD_WP, PG_DIRTY, VM_HUGETLB, VM_MIXEDMAP, VM_PFNMAP
from model.memory.folio import folio_of
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.tasks import FlushOwed
from model.memory.units import Pfn


class Zapped(msgspec.Struct, frozen=True):
    """What has been cleared in one page table."""

    pages: tuple[int, ...]
    """pfns of the normal pages, in the order of their entries."""
    dirty: tuple[int, ...]
    """Those of a file that a dirty entry mapped: some CPU may be able to write them without a fault."""
    cleared: bool
    """Something was cleared: there is something to flush."""


def zap_range(
    tx: Transaction, mm: str, vma: Vma, start: int, end: int, *, even_cows: bool, drop_markers: bool
) -> Zapped:
    """Clear the entries of one page table's part of a VMA.

    A special entry is only cleared: it has never had a reference or a mapcount. With `even_cows` false a private
    copy (an anonymous page) stays (kernel-facts F.1). A guard marker goes only with its VMA: `drop_markers`. So does
    what userfaultfd's write-protection says of a file's page: a marker keeps it.
    """
    normal: list[int] = []
    dirty: list[int] = []
    cleared = False
    for vpn in list(populated(tx, mm, start, end)):
        pte = tx.ptes[mm, vpn]
        if not pte.present:
            if zaps_nonpresent(tx, vma, pte, even_cows=even_cows, drop_markers=drop_markers):
                del tx.ptes[mm, vpn]
                if pte.kind == "swap":
                    free_swap_and_cache(tx, pte.pfn)
                if not drop_markers:
                    pte_install_uffd_wp_if_needed(tx, mm, vma, vpn, pte)
            continue
        pfn = vm_normal_page(tx, vma, pte)
        if pfn is not None and not even_cows and folio_of(tx, pfn).kind == "anon":
            continue
        del tx.ptes[mm, vpn]
        cleared = True
        if not drop_markers:
            pte_install_uffd_wp_if_needed(tx, mm, vma, vpn, pte)
        if pfn is None:
            continue
        if pte.dirty and folio_of(tx, pfn).kind not in ("anon", "free"):
            set_page_flags(tx, pfn, PG_DIRTY)
            dirty.append(pfn)
        normal.append(pfn)
    return Zapped(tuple(normal), tuple(dirty), cleared)


def zaps_nonpresent(mem: Memory, vma: Vma, pte: Pte, *, even_cows: bool, drop_markers: bool) -> bool:
    """Whether an entry goes that maps nothing (zap_nonpresent_ptes); of private memory userfaultfd's marker does.

    What UFFDIO_POISON has left goes with any unmapping that takes private copies as well.
    """
    if pte.kind == "marker":
        if pte == POISON_MARKER:
            return even_cows
        return drop_markers or (pte == UFFD_WP_MARKER and vma_is_anonymous(vma))
    return even_cows or (pte.kind == "migration" and folio_of(mem, pte.pfn).kind == "file")


class zap_vmas(Procedure):
    """What every unmap does first: gather the pages whose entries it clears, to put them after the flush."""

    source: ClassVar[str] = "mm/memory.c: zap_pte_range; mm/mmu_gather.c: tlb_gather_mmu"
    mm: str
    vmas: tuple[Vma, ...]
    start: int
    """What lies before it has been cleared."""
    end: int
    even_cows: bool = True
    drop_markers: bool = False
    """The VMAs go as well: ZAP_FLAG_DROP_MARKER."""
    flush: bool = True
    """False: a driver's bug, see exporter=no-flush."""
    flush_start: int = -1
    """Lowest vpn whose entry was cleared since the last flush."""
    flush_end: int = 0
    vma: Vma | None = None
    """The VMA in which the last cleared entries lie."""
    reclaim_pt: bool = False
    """A table that the range covers, and that is empty now, goes as well: MADV_DONTNEED, since 6.14."""

    def owes_flush(self) -> FlushOwed | None:
        """What has been cleared since the last flush, unless the driver forgets to flush."""
        if self.flush_start < 0 or not self.flush:
            return None
        return FlushOwed(self.mm, self.flush_start, self.flush_end)

    @step
    def mmu_notifier_invalidate_range_start(self, tx: Transaction) -> Outcome:
        """Whoever mirrors this range is told before its entries go. From now on this mm has a TLB flush pending."""
        tlb_gather_mmu(tx, self.mm)
        mmu_notifier_invalidate_range_start(tx, self.mm, *self.notified())
        return None

    def notified(self) -> tuple[int, int]:
        """The range whose mirrors are told."""
        return self.start, self.end

    @step
    def zap_pte_range(self, tx: Transaction) -> Outcome:
        """Under the lock of one page table: clear its entries of the range. From now on no walk finds the pages.

        Each page has one mapping less: mapcount - 1, under the same lock. The mapping's reference is kept until the
        flush, for CPUs may still have the translation in their TLBs. Whoever took a reference still has the page.
        """
        for vma in self.vmas:
            low, high = max(vma.start, self.start), min(vma.end, self.end)
            if vma.flags & VM_HUGETLB and low < high and (shared := first_shared(tx, self.mm, low, high)) is not None:
                return self.huge_pmd_unshare(tx, vma, shared)
            for index in (
                tables_in(tx, self.mm, PMD, low >> TABLE_SHIFT, (high - 1) >> TABLE_SHIFT) if low < high else ()
            ):
                start, end = max(index << TABLE_SHIFT, low), min((index + 1) << TABLE_SHIFT, high)
                if is_vm_hugetlb_page(vma) and (wait := hugetlb_zap_begin(tx, self.mm, vma)) is not None:
                    return wait
                if (wait := pte_lock(tx, self.mm, start)) is not None:
                    return wait
                if tx.tables[self.mm, PMD, index].huge:
                    return self.zap_huge_pmd(tx, vma, start, end)
                if tx.tables[self.mm, PMD, index].kind == "marker":
                    if self.drop_markers or tx.tables[self.mm, PMD, index] == POISON_MARKER:
                        del tx.tables[self.mm, PMD, index]
                    continue
                if next(populated(tx, self.mm, start, end), None) is not None:
                    return self.zap_table(tx, vma, start, end)
                if self.reclaim_pt and end - start == PTRS_PER_TABLE:
                    self.free_pte_table(tx, start)
        return goto(zap_vmas.mmu_notifier_invalidate_range_end)

    def huge_pmd_unshare(self, tx: Transaction, vma: Vma, vpn: int) -> Outcome:
        """A table of hugetlb that others have as well is given up as a whole: no page in it is unmapped."""
        flush = huge_pmd_unshare(tx, self.mm, vma, vpn)
        return flush if isinstance(flush, Blocked) else call(flush, zap_vmas.zap_pte_range)

    def zap_table(self, tx: Transaction, vma: Vma, start: int, end: int) -> Outcome:
        """Clear the entries of one table, and say whether that must be flushed before its lock is given back."""
        zapped = zap_range(tx, self.mm, vma, start, end, even_cows=self.even_cows, drop_markers=self.drop_markers)
        self.start, self.vma = end, vma
        if zapped.cleared:
            self.adjust_range(start, end)
        self.holds += zapped.pages
        if self.reclaim_pt and end - start == PTRS_PER_TABLE:
            self.free_pte_table(tx, start)
        afterwards = zapped.dirty and fact(tx, "dirty file pages lose their mapcount after the flush")
        late = zapped.dirty if afterwards else ()
        for pfn in zapped.pages:
            if pfn not in late:
                folio_remove_rmap(tx, pfn, vma, self.mm)
        if zapped.dirty and self.flush:
            self.owes_rmap = late
            hold_pte_lock(tx, self.mm, start)
            return call(
                flush_tlb_range(mm=self.mm, start=self.flush_start, end=self.flush_end), zap_vmas.tlb_flush_rmaps
            )
        for pfn in late:
            folio_remove_rmap(tx, pfn, vma, self.mm)
        return goto(zap_vmas.tlb_flush_mmu if len(self.holds) > MOST_GATHERED else zap_vmas.zap_pte_range)

    def free_pte_table(self, tx: Transaction, start: int) -> None:
        """If nothing stands in the table any more, take it out of its PMD; its page goes after the flush.

        A walker without locks may still be inside of it.
        """
        if next(populated(tx, self.mm, start, start + PTRS_PER_TABLE), None) is None:
            key = (self.mm, PMD, start >> TABLE_SHIFT)
            self.holds += (tx.tables[key].pfn,)
            del tx.tables[key]
            self.adjust_range(start, start + PTRS_PER_TABLE)

    def zap_huge_pmd(self, tx: Transaction, vma: Vma, start: int, end: int) -> Outcome:
        """Clear a huge entry; if only a part of what it maps is to go, split it first (mm/memory.c: zap_pmd_range).

        One mapping less for the folio, and its reference waits for the flush. Of a driver's raw memory nothing is
        counted, and a part of it takes the whole entry: the rest is faulted in again, in small entries.
        Where userfaultfd has write-protected a huge page of hugetlb, a marker keeps that.
        """
        index = start >> TABLE_SHIFT
        if end - start < HPAGE_PMD_NR and not vma_is_special_huge(vma):
            split_huge_pmd(tx, self.mm, vma, start)
            return goto(zap_vmas.zap_pte_range)
        hugetlb = is_vm_hugetlb_page(vma)
        protected = hugetlb and not self.drop_markers and tx.tables[self.mm, PMD, index].bits & PAGE_UFFD_WP
        head = (zap_hugetlb_entry if hugetlb else zap_huge_pmd)(tx, self.mm, vma, index)
        if protected:
            tx.tables[self.mm, PMD, index] = UFFD_WP_MARKER
        self.holds += () if head is None else (head,)
        self.adjust_range(index << TABLE_SHIFT, (index + 1) << TABLE_SHIFT)
        return goto(zap_vmas.zap_pte_range)

    def adjust_range(self, start: int, end: int) -> None:
        """These pages must be flushed as well: __tlb_adjust_range()."""
        self.flush_start = start if self.flush_start < 0 else min(self.flush_start, start)
        self.flush_end = max(self.flush_end, end)

    @step
    def tlb_flush_rmaps(self, tx: Transaction) -> Outcome:
        """A dirty page of a file: a CPU could still write it, so the table stays locked until every TLB is flushed.

        Since 6.2 its mapcount falls only now: a filesystem that sees no mapping any more may rely on the page's being
        clean once it has written it.
        """
        assert self.vma is not None
        for pfn in self.owes_rmap:
            folio_remove_rmap(tx, pfn, self.vma, self.mm)
        self.owes_rmap = ()
        pte_unlock(tx, self.mm, self.start - 1)
        self.flush_start = -1
        return None

    @step
    def tlb_flush_mmu(self, tx: Transaction) -> Outcome:
        """Flush what was cleared so far, unless that is done, and put the pages. Then go on with the next table."""
        pages, self.holds = self.holds, ()
        start, self.flush_start = self.flush_start, -1
        gather = tlb_flush_mmu(mm=self.mm, start=start, end=self.flush_end, flush=self.flush, holds=pages)
        return call(gather, zap_vmas.zap_pte_range)

    @step
    def mmu_notifier_invalidate_range_end(self, tx: Transaction) -> Outcome:
        """All entries are gone. A mirror may look again, although CPUs may still use what their TLBs remember."""
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return None

    def finish(self) -> Procedure:
        """The call that ends it: the flush, and then what waits for the flush."""
        pages, self.holds = self.holds, ()
        return tlb_finish_mmu(mm=self.mm, start=self.flush_start, end=self.flush_end, flush=self.flush, holds=pages)


class unmap_region(zap_vmas):
    """Unmap VMAs that are detached already: zap, unlink them from the reverse maps, unhook the tables, flush, free."""

    source: ClassVar[str] = "mm/vma.c: unmap_region; mm/mmap.c: exit_mmap; include/asm-generic/tlb.h: tlb_free_vmas"
    drop_markers: bool = True
    floor: int = 0
    """End of the VMA before the range."""
    ceiling: int = TASK_SIZE
    """Start of the VMA behind it."""

    @step
    def tlb_free_vmas(self, tx: Transaction) -> Outcome:
        """A VMA of raw frames is flushed before it is unlinked: nobody counts them, so nobody keeps them for us.

        Once it is unlinked, their owner finds no mapping of them any more, does not flush, and may reuse them.

        As it was before b67fbebd4cf9, the VMA is unlinked first, and the flush comes when it is too late.
        """
        raw = [vma for vma in self.vmas if vma.flags & (VM_PFNMAP | VM_MIXEDMAP)]
        if not raw or self.flush_start < 0 or not self.flush or not mended(tx, "raw-frames-flush"):
            return None
        start, self.flush_start = self.flush_start, -1
        return call(flush_tlb_range(mm=self.mm, start=start, end=self.flush_end))

    @step
    def unlink_vmas(self, tx: Transaction) -> Outcome:
        """Only now, with nothing mapped through them, do the files and the anon_vmas forget the VMAs.

        Until here truncation and the reverse map still found them, and every entry in them.
        """
        if (wait := rmap_write_lock(tx, *self.vmas)) is not None:
            return wait
        for vma in self.vmas:
            unlink_vma(tx, self.mm, vma)
        return None

    @step
    def free_pgtables(self, tx: Transaction) -> Outcome:
        """Then the tables that have become useless."""
        start, end = self.vmas[0].start, self.vmas[-1].end
        return call(free_pgtables(mm=self.mm, start=start, end=end, floor=self.floor, ceiling=self.ceiling))

    @step
    def tlb_finish_mmu(self, tx: Transaction) -> Outcome:
        """One flush for all: pages and page tables are freed after it.

        A table may still be in use by a CPU that translates an address, or by a walker with interrupts off.
        """
        if self.ret:
            self.flush_start = self.vmas[0].start if self.flush_start < 0 else self.flush_start
            self.flush_start, self.flush_end = min(self.flush_start, self.vmas[0].start), self.vmas[-1].end
        return tail(self.finish())


class zap_page_range_single(zap_vmas):
    """Zap a range of one VMA that stays: MADV_DONTNEED, unmap_mapping_range."""

    source: ClassVar[str] = "mm/memory.c: zap_page_range_single; 7.3: zap_vma_range"
    inside: Pfn = -1
    """The table whose lock it has, as it was before 97113eb39fa7 …"""
    stop: int = 0
    """… and the end of what it clears there."""

    def notified(self) -> tuple[int, int]:
        """More than the range where a shared table of hugetlb may go with it as a whole."""
        return shareable_range(self.vmas[0], self.start, self.end)

    def zap_table(self, tx: Transaction, vma: Vma, start: int, end: int) -> Outcome:
        """Under the lock of the table. As it was, that kept nobody from moving the table: mremap-rmap-lock."""
        if not vma.file or mended(tx, "mremap-rmap-lock"):
            return super().zap_table(tx, vma, start, end)
        self.inside = tx.tables[self.mm, PMD, start >> TABLE_SHIFT].pfn
        self.vma, self.start, self.stop = vma, start, end
        return goto(zap_page_range_single.zap_inside)

    @step
    def tlb_finish_mmu(self, tx: Transaction) -> Outcome:
        """Now the TLBs; and after them, not before, the pages."""
        return tail(self.finish())

    @step
    def zap_inside(self, tx: Transaction) -> Outcome:
        """Clear the entries in the table that was found, wherever it hangs by now, and flush where it was found.

        As it was before 97113eb39fa7, mremap() may have moved the table: its new addresses are not flushed.
        """
        assert self.vma is not None
        place = hooked_at(tx, self.inside)
        shift = 0 if place is None else (place[2] - (self.start >> TABLE_SHIFT)) << TABLE_SHIFT
        if not shift:
            return super().zap_table(tx, self.vma, self.start, self.stop)
        zapped = zap_range(
            tx,
            self.mm,
            self.vma,
            self.start + shift,
            self.stop + shift,
            even_cows=self.even_cows,
            drop_markers=self.drop_markers,
        )
        for pfn in zapped.pages:
            folio_remove_rmap(tx, pfn, self.vma, self.mm)
        self.adjust_range(self.start, self.stop)
        self.holds += zapped.pages
        self.start = self.stop
        return goto(zap_vmas.zap_pte_range)


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
    visited: int = 0
    """How many VMAs of i_mmap have been looked at."""

    @step
    def lock_i_mmap(self, tx: Transaction) -> Outcome:
        """Take the lock of the file's tree of mappings: no VMA joins or leaves it while we walk."""
        return down_read(tx, "i_mmap_rwsem", self.file)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Find the next VMA that maps part of the range, and zap that part in its address space.

        A VMA that munmap has detached is still in the tree, until its entries are gone.
        """
        last = self.offset + self.pages if self.pages else 1 << 60
        file = tx.files.get(self.file)
        for mm, start in file.i_mmap[self.visited :] if file is not None else ():
            self.visited += 1
            vma = linked_vma(tx, mm, start)
            low, high = max(self.offset, vma.pgoff), min(last, vma.pgoff + vma.pages)
            if low < high:
                shift = vma.start - vma.pgoff
                return call(
                    zap_page_range_single(
                        mm=mm,
                        vmas=(vma,),
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
