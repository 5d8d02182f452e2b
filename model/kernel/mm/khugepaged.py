"""Collapse: 512 small pages are copied into a huge one, and one entry takes the place of a table (mm/khugepaged.c).

The program asks for it (MADV_COLLAPSE), or khugepaged finds the place. The pages get new frames; so whoever holds a
reference on one of them makes it fail. The table that is taken away may still be walked without locks: its entry is
cleared first, and every CPU is waited for.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, is_zero_pfn, populated, pte_lock
from model.kernel.arch.tlb import flush_tlb_range, tlb_remove_table_sync_one
from model.kernel.mm.collapse_file import collapse_shmem
from model.kernel.mm.collapse_scan import (
    ERRNO,
    GO_ON,
    NO_VMA,
    NO_WHOLE,
    PMD_MAPPED,
    RESULTS,
    SUCCEED,
    collapse_allowed,
    forbidden,
    number_of,
    pmd_state,
    scan_entries,
)
from model.kernel.mm.filemap import folio_trylock, folio_unlock
from model.kernel.mm.huge_page import HPAGE_PMD_NR, HPAGE_PMD_ORDER, map_anon_folio_pmd, thp_vma_suitable
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import clear_page_flags, folio_remove_rmap, put_page, set_page_flags
from model.kernel.mm.page_alloc import alloc_folio
from model.kernel.mm.swap import free_swap_cache
from model.kernel.mm.swap_fault import do_swap_page
from model.kernel.mm.vma import vma_is_anonymous, vma_lookup
from model.memory.errno import EINVAL
from model.memory.events import Refusal
from model.memory.flags import (
    PG_LRU,
    VM_FAULT_ERROR,
)
from model.memory.folio import page_folio
from model.memory.records import Pte
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed, Replacement
from model.memory.units import Pfn, Word


class madvise_collapse(Procedure):
    """MADV_COLLAPSE on a part of one VMA. The caller holds mmap_lock for reading, and does so again at the end.

    Returns 0 if each 2 MiB of the range is a huge page now, else an errno. mmap_lock is given up on the way.
    """

    source: ClassVar[str] = "mm/khugepaged.c: madvise_collapse, madvise_collapse_errno"
    mm: str
    start: int
    end: int
    at: int = 0
    collapsed: int = 0
    result: Word = SUCCEED
    """Of the last 2 MiB that could not be collapsed."""

    @step
    def thp_vma_allowable_order(self, tx: Transaction) -> Outcome:
        """May this mapping have huge pages at all? Then take the 2 MiB one after the other that lie in the range."""
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None or not collapse_allowed(vma):
            tx.emit(Refusal(forbidden(vma) if vma is not None else NO_VMA))
            return fail(EINVAL)
        self.start = -(-self.start // HPAGE_PMD_NR) * HPAGE_PMD_NR
        self.end = self.end // HPAGE_PMD_NR * HPAGE_PMD_NR
        self.at = self.start
        return None

    @step
    def next_pmd(self, tx: Transaction) -> Outcome:
        """Look whether the next 2 MiB can be collapsed, and do it."""
        if self.at >= self.end:
            return self.finish(tx)
        vma = vma_lookup(tx, self.mm, self.at)
        assert vma is not None
        return call((hpage_collapse_scan_pmd if vma_is_anonymous(vma) else collapse_shmem)(mm=self.mm, vpn=self.at))

    @step
    def count(self, tx: Transaction) -> Outcome:
        """Some failures concern these 2 MiB alone, others end the call. The lock may have been given up: look again."""
        result = RESULTS[self.ret]
        self.at += HPAGE_PMD_NR
        if result in (SUCCEED, PMD_MAPPED):
            self.collapsed += 1
        else:
            self.result = result
            go_on = (*GO_ON, "page table is empty") if fact(tx, "collapse goes on behind an empty PMD") else GO_ON
            if result not in go_on:
                return self.finish(tx)
        vma = vma_lookup(tx, self.mm, self.at)
        if self.at < self.end and (vma is None or not collapse_allowed(vma)):
            self.result = "VMA has changed"
            return self.finish(tx)
        return goto(madvise_collapse.next_pmd)

    def finish(self, tx: Transaction) -> Outcome:
        """0 if all of it is huge now. Until 6.18 a range inside of one huge page is EINVAL."""
        inside = self.end < self.start and not fact(tx, "collapse of less than a huge page does nothing")
        if self.collapsed == max(self.end - self.start, 0) // HPAGE_PMD_NR and not inside:
            return done()
        tx.emit(Refusal(NO_WHOLE if inside else self.result))
        return fail(ERRNO.get(self.result, EINVAL))


class hpage_collapse_scan_pmd(Procedure):
    """Can the 512 entries of a table be collapsed? Then do it. Caller holds mmap_lock for reading, and gets it back.

    Returns the number of a result in RESULTS.
    """

    source: ClassVar[str] = "mm/khugepaged.c: hpage_collapse_scan_pmd (7.3: collapse_scan_pmd)"
    mm: str
    vpn: int
    is_khugepaged: bool = False

    @step
    def scan(self, tx: Transaction) -> Outcome:
        """Under the page table lock: look at every entry. A page that is not ours to move ends it.

        Empty entries and the zero page are filled with zeros, swapped pages read back, shared ones copied. But nobody
        may hold a reference besides the page tables: they would go on with a page that nobody maps any more.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        found = pmd_state(tx, self.mm, self.vpn)
        if found != SUCCEED:
            return done(number_of(found))
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        result, swapped = scan_entries(tx, self.mm, vma, self.vpn, is_khugepaged=self.is_khugepaged)
        if result != SUCCEED:
            return done(number_of(result))
        return tail(collapse_huge_page(mm=self.mm, vpn=self.vpn, unmapped=swapped, is_khugepaged=self.is_khugepaged))


class collapse_huge_page(Procedure):
    """Copy 512 pages into a huge one and map it instead. Caller holds mmap_lock for reading, and gets it back."""

    source: ClassVar[str] = (
        "mm/khugepaged.c: collapse_huge_page, __collapse_huge_page_isolate, __collapse_huge_page_copy"
    )
    mm: str
    vpn: int
    unmapped: int = 0
    """How many pages are in swap."""
    is_khugepaged: bool = False
    head: Pfn = -1
    """The new folio."""
    table: Pte | None = None
    """The PMD entry as it was."""
    isolated: tuple[Pfn, ...] = ()
    """The folios that are locked, and off their lists."""
    result: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """All of the range, between the clearing of the PMD and its flush."""
        cleared = self.positions["pmdp_collapse_flush"] < self.pc <= self.positions["tlb_remove_table_sync_one"]
        return FlushOwed(self.mm, self.vpn, self.vpn + HPAGE_PMD_NR) if cleared else None

    def replaces(self) -> Replacement | None:
        """The small pages by those of the huge page, when they are copied."""
        copies = self.pc == self.positions["copy"]
        return Replacement(self.mm, self.vpn, self.vpn + HPAGE_PMD_NR, self.head) if copies else None

    @step
    def alloc_charge_folio(self, tx: Transaction) -> Outcome:
        """Give mmap_lock up, for getting 2 MiB may take long, and allocate the huge page."""
        up_read(tx, "mmap_lock", self.mm)
        head = alloc_folio(tx, HPAGE_PMD_ORDER, "anon")
        if head is None:
            self.result = number_of("no memory")
            return goto(collapse_huge_page.mmap_read_lock_at_last)
        self.head, self.holds = head, (head,)
        return None

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space again, and look whether mapping and table are still there."""
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        self.result = number_of(self.revalidate(tx))
        if self.result:
            up_read(tx, "mmap_lock", self.mm)
            return goto(collapse_huge_page.mmap_read_lock_at_last)
        return None

    @step
    def swapin(self, tx: Transaction) -> Outcome:
        """Read back what is in swap: a fault on each of those pages."""
        for vpn in populated(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR) if self.unmapped else ():
            pte = tx.ptes[self.mm, vpn]
            if pte.kind == "swap":
                return call(do_swap_page(mm=self.mm, vpn=vpn, flags=0), then=collapse_huge_page.swapped_in)
            if not pte.present:
                self.ret = VM_FAULT_ERROR
                return goto(collapse_huge_page.swapped_in)
        up_read(tx, "mmap_lock", self.mm)
        return goto(collapse_huge_page.mmap_write_lock)

    @step
    def swapped_in(self, tx: Transaction) -> Outcome:
        """If a page cannot be had, the collapse fails."""
        if not self.ret & VM_FAULT_ERROR:
            return goto(collapse_huge_page.swapin)
        up_read(tx, "mmap_lock", self.mm)
        self.result = number_of("entry is not present")
        return goto(collapse_huge_page.mmap_read_lock_at_last)

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Now for writing: no fault and no slow GUP meanwhile. GUP-fast and the hardware do not care."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def pmdp_collapse_flush(self, tx: Transaction) -> Outcome:
        """Take the table out of its PMD: no walk gets into it any more. Then make every CPU forget what it read there.

        A walker that is inside of it reads the PMD again after it has taken its reference, and lets go.
        """
        found = self.revalidate(tx)
        self.result = number_of(found)
        if self.result:
            return goto(collapse_huge_page.mmap_write_unlock)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        mmu_notifier_invalidate_range_start(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR)
        key = (self.mm, PMD, self.vpn >> TABLE_SHIFT)
        self.table = tx.tables[key]
        self.holds = (*self.holds, self.table.pfn)
        del tx.tables[key]
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return call(flush_tlb_range(mm=self.mm, start=self.vpn, end=self.vpn + HPAGE_PMD_NR))

    @step
    def tlb_remove_table_sync_one(self, tx: Transaction) -> Outcome:
        """Interrupt every CPU once more: when all have answered, no lockless walk is inside of the table any more.

        As it was before 2ba99c5e0881, nobody waits: where the flush itself did not, a walk may be inside still.
        """
        if not mended(tx, "collapse-sync"):
            return None
        return call(tlb_remove_table_sync_one(mm=self.mm))

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Nobody can take a new reference by a walk now. Look at every page again, lock it, take it off its list.

        A GUP-fast that was faster is found here, by its reference: then the table is hung in again as it was.
        """
        assert self.table is not None
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        result, swapped = scan_entries(tx, self.mm, vma, self.vpn, is_khugepaged=self.is_khugepaged)
        if swapped:
            result = "entry is not present"
        if result != SUCCEED:
            tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT] = self.table
            self.result, self.holds = number_of(result), self.holds[:1]
            return goto(collapse_huge_page.mmap_write_unlock)
        for vpn in populated(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR):
            pte = tx.ptes[self.mm, vpn]
            head = page_folio(tx, pte.pfn)
            if not is_zero_pfn(pte.pfn) and head not in self.isolated:
                folio_trylock(tx, head)
                clear_page_flags(tx, head, PG_LRU)
                self.isolated += (head,)
        return None

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """Copy the pages into the huge one; what is empty stays zero. Then clear the entries: one mapping less each."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        for vpn in list(populated(tx, self.mm, self.vpn, self.vpn + HPAGE_PMD_NR)):
            pte = tx.ptes[self.mm, vpn]
            del tx.ptes[self.mm, vpn]
            if is_zero_pfn(pte.pfn):
                continue
            byte = tx.content.get(pte.pfn)
            if byte:
                tx.content[self.head + vpn - self.vpn] = byte
            folio_remove_rmap(tx, pte.pfn, vma, self.mm)
            self.holds = (*self.holds, pte.pfn)
        return None

    @step
    def release_pages(self, tx: Transaction) -> Outcome:
        """Unlock the old pages and drop the references of their entries: what nobody else maps is free."""
        for head in self.isolated:
            set_page_flags(tx, head, PG_LRU)
            folio_unlock(tx, head)
        pages, self.holds, self.isolated = self.holds[2:], self.holds[:2], ()
        for pfn in pages:
            free_swap_cache(tx, page_folio(tx, pfn))
            put_page(tx, pfn)
        return None

    @step
    def set_pmd(self, tx: Transaction) -> Outcome:
        """Map the huge page with one entry. The old table is empty now; it is kept for the day this entry is split."""
        assert self.table is not None
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        tx.deposits[self.mm, self.vpn >> TABLE_SHIFT] = self.table.pfn
        map_anon_folio_pmd(tx, self.mm, vma, self.vpn, self.head)
        self.holds = ()
        return None

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Let others at the address space again."""
        up_write(tx, "mmap_lock", self.mm)
        return None

    @step
    def mmap_read_lock_at_last(self, tx: Transaction) -> Outcome:
        """The caller expects the lock, for reading. A huge page that was not needed is free again."""
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        pages, self.holds = self.holds, ()
        for pfn in pages:
            put_page(tx, pfn)
        return done(self.result)

    def revalidate(self, tx: Transaction) -> str:
        """Whether the mapping may still be collapsed, and has a table of small entries (hugepage_vma_revalidate)."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or not collapse_allowed(vma) or not thp_vma_suitable(vma, self.vpn) or not vma_is_anonymous(vma):
            return "VMA has changed"
        return pmd_state(tx, self.mm, self.vpn)
