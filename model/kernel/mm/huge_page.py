"""Huge pages: what a PMD that maps 2 MiB says, who may have one, and the huge zero page (mm/huge_memory.c)."""

from typing import Final

from model.engine.config import setting
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, TABLE_SHIFT, vm_get_page_prot
from model.kernel.mm import large_rmap
from model.kernel.mm.page import mlock_vma_folio
from model.kernel.mm.page_alloc import alloc_folio
from model.memory.flags import (
    PAGE_DIRTY,
    PAGE_PSE,
    PAGE_RW,
    PAGE_SPECIAL,
    PG_ANON_EXCLUSIVE,
    PG_LRU,
    PG_RESERVED,
    PG_SWAPBACKED,
    PG_UPTODATE,
    VM_HUGEPAGE,
    VM_MIXEDMAP,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_WRITE,
)
from model.memory.records import Folio, Pte, Vma
from model.memory.state import Memory, Transaction

HPAGE_PMD_ORDER: Final = TABLE_SHIFT
HPAGE_PMD_NR: Final = PTRS_PER_TABLE
"""Pages of a huge page."""


def pmd_start(vpn: int) -> int:
    """The first page of the 2 MiB around a page: address & HPAGE_PMD_MASK."""
    return vpn - vpn % HPAGE_PMD_NR


def pmd_entry(mem: Memory, mm: str, vpn: int) -> Pte | None:
    """The PMD entry above a page, whatever it is."""
    return mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))


def huge_pmd(mem: Memory, mm: str, vpn: int) -> Pte | None:
    """The PMD entry above a page, if it maps 2 MiB."""
    entry = pmd_entry(mem, mm, vpn)
    return entry if entry is not None and entry.huge else None


def thp_vma_suitable(vma: Vma, vpn: int) -> bool:
    """Whether the 2 MiB around a page lie in the VMA, aligned in the file as in memory (thp_vma_suitable_order)."""
    start = pmd_start(vpn)
    if vma.ops and (vma.start - vma.pgoff) % HPAGE_PMD_NR:
        return False
    return vma.start <= start and start + HPAGE_PMD_NR <= vma.end


def thp_fault_allowed(mem: Memory, vma: Vma) -> bool:
    """Whether a fault on anonymous memory may get a huge page: …/transparent_hugepage/enabled and MADV_HUGEPAGE."""
    if vma.ops or vma.flags & VM_NOHUGEPAGE:
        return False
    match setting(mem, "thp"):
        case "always":
            return True
        case "madvise":
            return bool(vma.flags & VM_HUGEPAGE)
        case _:
            return False


def vma_is_special_huge(vma: Vma) -> bool:
    """A driver's mapping: its huge entries are raw, nothing about them is counted (mm/huge_memory.c)."""
    return bool(vma.flags & (VM_PFNMAP | VM_MIXEDMAP))


def vm_normal_page_pmd(mem: Memory, vma: Vma, pmd: Pte) -> int | None:
    """The head of the folio that a huge entry maps, or None: a raw PFN mapping, or the huge zero page (mm/memory.c)."""
    if pmd.special or vma_is_special_huge(vma) or is_huge_zero(mem, pmd.pfn):
        return None
    return pmd.pfn


# -- the huge zero page --------------------------------------------------------------------------


def is_huge_zero(mem: Memory, pfn: int) -> bool:
    """is_huge_zero_folio(): the 2 MiB of zeros that all processes share."""
    return mem.counters.get("huge_zero") == pfn


def get_huge_zero_folio(tx: Transaction) -> int | None:
    """The huge zero page; the first who needs it allocates it, and it stays (mm_get_huge_zero_folio)."""
    head = tx.counters.get("huge_zero")
    if head is None:
        head = alloc_folio(tx, HPAGE_PMD_ORDER, "zero", flags=PG_RESERVED | PG_UPTODATE)
        if head is not None:
            tx.counters["huge_zero"] = head
    return head


def huge_zero_pmd(head: int, vma: Vma) -> Pte:
    """A read-only, special entry of the huge zero page: nobody counts it (set_huge_zero_folio)."""
    return Pte(head, vm_get_page_prot(vma.flags) | PAGE_PSE | PAGE_SPECIAL)


# -- mapping a folio as a whole -------------------------------------------------------------------


def map_anon_folio_pmd(tx: Transaction, mm: str, vma: Vma, start: int, head: int) -> None:
    """Map a fresh anonymous folio with one entry: one reference, one mapping, the head marked exclusive.

    Of the 512 marks only that of the head counts as long as one entry maps them all. In a VM_LOCKED VMA
    folio_add_lru_vma() makes the folio mlocked.
    """
    flags = tx.frames[head].flags | PG_SWAPBACKED | PG_ANON_EXCLUSIVE | PG_LRU | PG_UPTODATE
    index = vma.pgoff + start - vma.start
    tx.frames.update(head, kind="anon", flags=flags, mapping=f"anon_vma:{vma.anon_vma}", index=index)
    tx.folios[head] = Folio()
    large_rmap.add_entire(tx, head, mm)
    write = PAGE_RW if vma.flags & VM_WRITE else 0
    tx.tables[mm, PMD, start >> TABLE_SHIFT] = Pte(head, vm_get_page_prot(vma.flags) | PAGE_PSE | PAGE_DIRTY | write)
    mlock_vma_folio(tx, head, vma)
