"""Splitting a huge entry: one PMD becomes 512 PTEs. The folio stays one, and is counted page by page from then on.

Of anonymous memory no CPU has to forget anything: each address leads to the same page as before.
"""

from model.kernel.arch.pgtable import PAGE_TABLE, PMD, TABLE_SHIFT, vm_get_page_prot, zero_pte
from model.kernel.arch.tlb import tlb_drop
from model.kernel.mm import large_rmap
from model.kernel.mm.huge_page import (
    HPAGE_PMD_NR,
    huge_pmd,
    is_huge_zero,
    pmd_start,
    vm_normal_page_pmd,
)
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import page_ref_add, put_page, set_anon_exclusive, set_page_flags
from model.memory.flags import PAGE_ACCESSED, PAGE_DIRTY, PAGE_RW, PAGE_UFFD_WP, PG_DIRTY
from model.memory.records import Pte, Vma
from model.memory.state import Transaction


def split_huge_pmd(tx: Transaction, mm: str, vma: Vma, vpn: int) -> None:
    """Replace the huge entry around a page by 512 small ones, under the PMD's lock (__split_huge_pmd_locked).

    A huge entry of a file, or of a driver, is only cleared: faults bring its pages back, one by one.
    """
    start = pmd_start(vpn)
    pmd = tx.tables[mm, PMD, start >> TABLE_SHIFT]
    mmu_notifier_invalidate_range_start(tx, mm, start, start + HPAGE_PMD_NR)
    if vma.ops:
        clear_file_pmd(tx, mm, vma, start, pmd)
    elif is_huge_zero(tx, pmd.pfn):
        fill_table(tx, mm, start, zero_pte(vma).with_bits(pmd.bits & PAGE_UFFD_WP), step=0)
    else:
        share_by_pages(tx, mm, pmd)
        kept = pmd.bits & (PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY | PAGE_UFFD_WP)
        entry = Pte(pmd.pfn, vm_get_page_prot(vma.flags) & ~(PAGE_RW | PAGE_ACCESSED) | kept)
        fill_table(tx, mm, start, entry, step=1)
    mmu_notifier_invalidate_range_end(tx, mm)


def clear_file_pmd(tx: Transaction, mm: str, vma: Vma, start: int, pmd: Pte) -> None:
    """A huge entry that faults can rebuild goes; its folio has one mapping and one reference less.

    All of it under the lock, also the flush of every CPU's TLB (pmdp_huge_clear_flush).
    """
    del tx.tables[mm, PMD, start >> TABLE_SHIFT]
    for cpu in range(tx.counters["cpus"]):
        tlb_drop(tx, cpu, mm, start, start + HPAGE_PMD_NR)
    head = vm_normal_page_pmd(tx, vma, pmd)
    if head is not None:
        if pmd.dirty:
            set_page_flags(tx, head, PG_DIRTY)
        large_rmap.remove_entire(tx, head, mm)
        put_page(tx, head)


def share_by_pages(tx: Transaction, mm: str, pmd: Pte) -> None:
    """One mapping of the whole folio becomes one of each page: 511 references more, the head's mark on all of them."""
    head = pmd.pfn
    if pmd.dirty:
        set_page_flags(tx, head, PG_DIRTY)
    page_ref_add(tx, head, HPAGE_PMD_NR - 1)
    large_rmap.add_ptes(tx, head, HPAGE_PMD_NR, mm)
    if tx.frames[head].exclusive:
        set_anon_exclusive(tx, head, HPAGE_PMD_NR)
    large_rmap.remove_entire(tx, head, mm)


def fill_table(tx: Transaction, mm: str, start: int, first: Pte, *, step: int) -> None:
    """Take the table that was kept for this, write its 512 entries, and hang it in where the huge entry was."""
    index = start >> TABLE_SHIFT
    for page in range(HPAGE_PMD_NR):
        tx.ptes[mm, start + page] = Pte(first.pfn + page * step, first.bits)
    tx.tables[mm, PMD, index] = Pte(tx.deposits[mm, index], PAGE_TABLE)
    del tx.deposits[mm, index]


def vma_adjust_trans_huge(tx: Transaction, mm: str, vma: Vma, at: int) -> None:
    """A VMA is about to begin or end at page `at`: a huge entry across that border is split first."""
    start = pmd_start(at)
    if at != start and vma.start <= start and start + HPAGE_PMD_NR <= vma.end and huge_pmd(tx, mm, at) is not None:
        split_huge_pmd(tx, mm, vma, at)
