"""A huge entry goes, or moves: the folio behind it, and the table that is kept for the entry's split, follow."""

from model.kernel.arch.pgtable import PMD, TABLE_SHIFT
from model.kernel.mm import large_rmap
from model.kernel.mm.huge_page import vm_normal_page_pmd
from model.kernel.mm.page import munlock_vma_folio, put_page, set_page_flags
from model.memory.flags import PAGE_UFFD_WP, PG_DIRTY
from model.memory.records import Vma
from model.memory.state import Transaction


def zap_huge_pmd(tx: Transaction, mm: str, vma: Vma, index: int) -> int | None:
    """Clear a huge entry. Returns the head whose reference the caller puts after the flush; None: nothing was counted.

    Source: mm/huge_memory.c: zap_huge_pmd, zap_deposited_table.
    """
    pmd = tx.tables[mm, PMD, index]
    del tx.tables[mm, PMD, index]
    head = vm_normal_page_pmd(tx, vma, pmd)
    if head is not None:
        if pmd.dirty and tx.frames[head].kind != "anon":
            set_page_flags(tx, head, PG_DIRTY)
        large_rmap.remove_entire(tx, head, mm)
        munlock_vma_folio(tx, head, vma)
    zap_deposited_table(tx, mm, index)
    return head


def zap_deposited_table(tx: Transaction, mm: str, index: int) -> None:
    """Free the table that was kept for the split of an entry, if there is one. No walker has ever seen it."""
    table = tx.deposits.get((mm, index))
    if table is not None:
        del tx.deposits[mm, index]
        put_page(tx, table)


def move_huge_pmd(tx: Transaction, mm: str, start: int, to: int, *, keep_uffd: bool = False) -> None:
    """Take a huge entry to another address, with the table that is kept for it (mm/huge_memory.c: move_huge_pmd)."""
    old, new = start >> TABLE_SHIFT, to >> TABLE_SHIFT
    pmd = tx.tables[mm, PMD, old]
    tx.tables[mm, PMD, new] = pmd if keep_uffd else pmd.without(PAGE_UFFD_WP)
    del tx.tables[mm, PMD, old]
    table = tx.deposits.get((mm, old))
    if table is not None:
        tx.deposits[mm, new] = table
        del tx.deposits[mm, old]
