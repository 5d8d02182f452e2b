"""Entries side by side that map consecutive pages of one large folio: what a walk over a page table takes at once."""

import msgspec

from model.kernel.arch.pgtable import first_huge_pmd, vm_normal_page
from model.kernel.mm.large_rmap import folio_maybe_mapped_shared
from model.memory.folio import page_folio
from model.memory.ordered import ceiling
from model.memory.records import Vma
from model.memory.state import Memory, Transaction


class FolioBatch(msgspec.Struct, frozen=True):
    """`pages` entries in a row that map as many pages of a large folio."""

    head: int
    pages: int
    whole: bool
    """They are all pages that the folio has."""


def large_batch(tx: Transaction, vma: Vma, mm: str, vpn: int, end: int) -> FolioBatch | None:
    """The batch that begins at an entry, up to `end`; None if it maps no page of a large folio (folio_pte_batch)."""
    pte = tx.ptes[mm, vpn]
    pfn = vm_normal_page(tx, vma, pte) if pte.present else None
    if pfn is None or not tx.frames[head := page_folio(tx, pfn)].large:
        return None
    pages, length = tx.frames[head].pages, 1
    most = min(end - vpn, head + pages - pfn)
    while length < most:
        other = tx.ptes.get((mm, vpn + length))
        if other is None or not other.present or other.pfn != pfn + length:
            break
        length += 1
    return FolioBatch(head, length, length == pages)


def may_be_split(mem: Memory, head: int) -> bool:
    """Whether advice about a part of a folio may split it: nobody else seems to map it, and nobody has it locked."""
    return not folio_maybe_mapped_shared(mem, head) and ("folio", str(head)) not in mem.locks


def next_entry(mem: Memory, mm: str, start: int, end: int) -> int | None:
    """The first page of [start, end) with an entry, small or huge; None if there is none."""
    vpn = ceiling(mem.pte_index, mm, start)
    vpn = end if vpn is None or vpn >= end else vpn
    huge = first_huge_pmd(mem, mm, start, vpn)
    if huge is not None:
        return huge
    return None if vpn >= end else vpn
