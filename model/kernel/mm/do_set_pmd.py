"""Mapping a huge page of a file with one entry (mm/memory.c: do_set_pmd)."""

from model.kernel.arch.pgtable import PMD, TABLE_SHIFT
from model.kernel.mm import large_rmap
from model.kernel.mm.huge_page import HPAGE_PMD_ORDER, pmd_entry, thp_vma_suitable
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.memory.flags import PAGE_DIRTY, PAGE_PSE, VM_NOHUGEPAGE
from model.memory.folio import page_folio
from model.memory.records import Vma
from model.memory.state import Transaction


def do_set_pmd(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int, *, write: bool = False) -> bool:
    """Map the 2 MiB around `vpn` if `pfn` is a page of a huge folio that fits there; tells whether that was done.

    The caller's reference on the page is the entry's from then on.
    """
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    if vma.flags & VM_NOHUGEPAGE or not thp_vma_suitable(vma, vpn) or not frame.large:
        return False
    if frame.order != HPAGE_PMD_ORDER or pmd_entry(tx, mm, vpn) is not None:
        return False
    entry = mk_pte(head, vma).with_bits(PAGE_PSE)
    if write:
        entry = maybe_mkwrite(entry.with_bits(PAGE_DIRTY), vma)
    large_rmap.add_entire(tx, head, mm)
    tx.tables[mm, PMD, vpn >> TABLE_SHIFT] = entry
    return True
