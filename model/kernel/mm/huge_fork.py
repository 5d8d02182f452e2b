"""fork of a huge entry: parent and child share the folio, all 512 pages of it, until one of them writes."""

from model.engine.mends import mended
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT
from model.kernel.mm import large_rmap
from model.kernel.mm.huge_page import is_huge_zero, vm_normal_page_pmd
from model.kernel.mm.page import folio_maybe_dma_pinned, get_page, set_anon_exclusive
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EAGAIN, ENOMEM
from model.memory.flags import PAGE_ACCESSED, PAGE_RW, PAGE_UFFD_WP, VM_UFFD_WP
from model.memory.records import Vma
from model.memory.state import Transaction


def copy_huge_pmd(tx: Transaction, mm: str, child: str, vma: Vma, vpn: int) -> int:
    """Give the child the parent's huge entry. 0, -EAGAIN if the folio may be pinned, -ENOMEM (mm/huge_memory.c).

    A raw entry of a driver is copied as it is; one of a file is not, for a fault can rebuild it.
    """
    index = vpn >> TABLE_SHIFT
    pmd = tx.tables[mm, PMD, index]
    if vma.ops:
        if pmd.special:
            tx.tables[child, PMD, index] = pmd.without(PAGE_ACCESSED)
        return 0
    head = vm_normal_page_pmd(tx, vma, pmd)
    if head is None and not is_huge_zero(tx, pmd.pfn):
        return 0
    may_be_pinned = head is not None and tx.processes[mm].has_pinned and folio_maybe_dma_pinned(tx, head)
    if may_be_pinned and tx.frames[pmd.pfn].exclusive and mended(tx, "fork-copies-pinned"):
        return -EAGAIN
    table = alloc_page(tx, "pgtable", mapping=f"mm:{child}", index=0)
    if table is None:
        return -ENOMEM
    tx.deposits[child, index] = table
    if head is not None:
        get_page(tx, head)
        set_anon_exclusive(tx, head, exclusive=False)
        large_rmap.add_entire(tx, head, child)
    tx.tables[mm, PMD, index] = pmd.without(PAGE_RW)
    copy = vma_lookup(tx, child, vpn)
    assert copy is not None
    marks = 0 if copy.flags & VM_UFFD_WP else PAGE_UFFD_WP
    tx.tables[child, PMD, index] = pmd.without(PAGE_RW | PAGE_ACCESSED | marks)
    return 0
