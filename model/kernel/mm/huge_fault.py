"""Faults on 2 MiB at once: the first touch of memory that may have huge pages, and writes to what is shared."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, goto, step, tail
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, hold_pte_lock, pte_lock, pte_unlock
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.do_fault import the_vma
from model.kernel.mm.filemap import folio_trylock, folio_unlock
from model.kernel.mm.huge_page import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    get_huge_zero_folio,
    huge_zero_pmd,
    is_huge_zero,
    map_anon_folio_pmd,
    pmd_entry,
    pmd_start,
    thp_vma_suitable,
)
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import put_page
from model.kernel.mm.page_alloc import alloc_folio, alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.userfaultfd import handle_userfault
from model.kernel.mm.wp_fault import cow_broken, folio_move_anon_rmap
from model.memory.flags import (
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PG_SWAPCACHE,
    VM_FAULT_FALLBACK,
    VM_FAULT_OOM,
    VM_UFFD_MISSING,
)
from model.memory.records import Pte
from model.memory.state import Transaction


class do_huge_pmd_anonymous_page(Procedure):
    """First touch of anonymous memory that may have huge pages: 2 MiB at once. VM_FAULT_FALLBACK: a small page then."""

    source: ClassVar[str] = "mm/huge_memory.c: do_huge_pmd_anonymous_page"
    mm: str
    vpn: int
    flags: int

    @step
    def vmf_anon_prepare(self, tx: Transaction) -> Outcome:
        """Only where all the 2 MiB around the address lie in the mapping. Make sure that the VMA has an anon_vma.

        A read needs nothing but zeros, and 2 MiB of zeros are enough for everybody; a write goes on to get its own.
        """
        vma = the_vma(tx, self.mm, self.vpn)
        if not thp_vma_suitable(vma, self.vpn):
            return done(VM_FAULT_FALLBACK)
        anon_vma_prepare(tx, self.mm, vma)
        return goto(do_huge_pmd_anonymous_page.alloc_anon_folio_pmd) if self.flags & FAULT_FLAG_WRITE else None

    @step
    def set_huge_zero_folio(self, tx: Transaction) -> Outcome:
        """Map the huge zero page, read-only and special: nobody counts it.

        The table for the entry's split is allocated now and put aside: a split must not fail for want of memory.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if pmd_entry(tx, self.mm, self.vpn) is not None:
            return done()
        if the_vma(tx, self.mm, self.vpn).flags & VM_UFFD_MISSING:
            return tail(self.userfault())
        zero = get_huge_zero_folio(tx)
        if zero is None:
            return done(VM_FAULT_FALLBACK)
        table = alloc_deposit(tx, self.mm)
        if table is None:
            return done(VM_FAULT_OOM)
        index = self.vpn >> TABLE_SHIFT
        tx.deposits[self.mm, index] = table
        tx.tables[self.mm, PMD, index] = huge_zero_pmd(zero, the_vma(tx, self.mm, self.vpn))
        return done()

    @step
    def alloc_anon_folio_pmd(self, tx: Transaction) -> Outcome:
        """Get a zeroed folio of 512 pages: one refcount for them all, 1. If there is none, small pages have to do."""
        head = alloc_folio(tx, HPAGE_PMD_ORDER, "anon")
        if head is None:
            return done(VM_FAULT_FALLBACK)
        table = alloc_deposit(tx, self.mm)
        if table is None:
            put_page(tx, head)
            return done(VM_FAULT_OOM)
        self.holds = (head, table)
        return None

    @step
    def map_anon_folio_pmd(self, tx: Transaction) -> Outcome:
        """Under the lock: if the entry is still empty, map all 512 pages with it, writable and dirty.

        One entry, one reference, one mapping. The page for the table that a split will need is put aside.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        head, table = self.holds
        self.holds = ()
        vma, filled = the_vma(tx, self.mm, self.vpn), pmd_entry(tx, self.mm, self.vpn) is not None
        if filled or vma.flags & VM_UFFD_MISSING:
            put_page(tx, head)
            put_page(tx, table)
            return done() if filled else tail(self.userfault())
        tx.deposits[self.mm, self.vpn >> TABLE_SHIFT] = table
        map_anon_folio_pmd(tx, self.mm, vma, pmd_start(self.vpn), head)
        return done()

    def userfault(self) -> Procedure:
        """The call that leaves the fault to userfaultfd: missing pages are its business here."""
        return handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=VM_UFFD_MISSING)


def alloc_deposit(tx: Transaction, mm: str) -> int | None:
    """A table page that is put aside for the split of a huge entry (pgtable_trans_huge_deposit)."""
    return alloc_page(tx, "pgtable", mapping=f"mm:{mm}", index=0)


class do_huge_pmd_wp_page(Procedure):
    """A write (or FAULT_FLAG_UNSHARE) met a huge entry that is not writable. VM_FAULT_FALLBACK: it has been split."""

    source: ClassVar[str] = "mm/huge_memory.c: do_huge_pmd_wp_page, do_huge_zero_wp_pmd"
    mm: str
    vpn: int
    flags: int
    old: Pte
    """The entry as it was when the fault began."""

    @step
    def reuse_or_split(self, tx: Transaction) -> Outcome:
        """Under the lock: if the folio is this process's alone, exclusive or with a refcount of 1, reuse all of it.

        If anybody else has a reference, on whichever of its pages, the entry is split, and one small page is copied.
        Nobody copies 2 MiB for a byte.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if pmd_entry(tx, self.mm, self.vpn) != self.old:
            return done()
        if is_huge_zero(tx, self.old.pfn):
            if fact(tx, "a write to the huge zero page gets a huge page"):
                return None
            return self.split(tx)
        vma = the_vma(tx, self.mm, self.vpn)
        head = self.old.pfn
        frame = tx.frames[head]
        if not frame.exclusive or not mended(tx, "anon-exclusive"):
            if not folio_trylock(tx, head):
                return self.split(tx)
            folio_unlock(tx, head)
            if frame.refcount > 1 or frame.flags & PG_SWAPCACHE:
                return self.split(tx)
            tx.frames.update(head, mapping=f"anon_vma:{vma.anon_vma}")
            folio_move_anon_rmap(tx, head, vma)
        if not self.flags & FAULT_FLAG_UNSHARE:
            entry = maybe_mkwrite(self.old.with_bits(PAGE_ACCESSED | PAGE_DIRTY), vma)
            tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT] = entry
        return done(cow_broken(tx))

    def split(self, tx: Transaction) -> Outcome:
        """Make it 512 small entries; the fault goes on with one of them."""
        split_huge_pmd(tx, self.mm, the_vma(tx, self.mm, self.vpn), self.vpn)
        return done(VM_FAULT_FALLBACK)

    @step
    def alloc_anon_folio_pmd(self, tx: Transaction) -> Outcome:
        """The huge zero page is to be written: get a zeroed folio. Without one, split the entry and copy a page."""
        head = alloc_folio(tx, HPAGE_PMD_ORDER, "anon")
        if head is None:
            return self.split(tx)
        self.holds = (head,)
        start = pmd_start(self.vpn)
        mmu_notifier_invalidate_range_start(tx, self.mm, start, start + HPAGE_PMD_NR)
        return None

    @step
    def pmdp_huge_clear_flush(self, tx: Transaction) -> Outcome:
        """Under the lock: take the entry of the zero page away and make every CPU forget it."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if pmd_entry(tx, self.mm, self.vpn) != self.old:
            (head,), self.holds = self.holds, ()
            put_page(tx, head)
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return done()
        hold_pte_lock(tx, self.mm, self.vpn)
        del tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT]
        start = pmd_start(self.vpn)
        return call(flush_tlb_range(mm=self.mm, start=start, end=start + HPAGE_PMD_NR))

    @step
    def map_anon_folio_pmd(self, tx: Transaction) -> Outcome:
        """Map the folio, all of it, writable; the table put aside for the old entry's split serves the new one."""
        (head,), self.holds = self.holds, ()
        map_anon_folio_pmd(tx, self.mm, the_vma(tx, self.mm, self.vpn), pmd_start(self.vpn), head)
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return done(cow_broken(tx))
