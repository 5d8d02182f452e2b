"""What a page table says of one virtual page, to whoever asks neither VMA nor lock."""

from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, TABLE_SHIFT
from model.memory.state import Memory


def pfn_at(mem: Memory, mm: str, vpn: int) -> int | None:
    """The frame that the page table names for `vpn`, special or not, writable or not; None if there is no entry."""
    pmd = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    if pmd is not None and pmd.huge:
        return pmd.pfn + vpn % PTRS_PER_TABLE
    pte = mem.ptes.get((mm, vpn))
    return pte.pfn if pte is not None and pte.present else None


def entry_writable(mem: Memory, mm: str, vpn: int) -> bool:
    """pte_write() of the entry for `vpn`, on whichever level it is."""
    pmd = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    entry = pmd if pmd is not None and pmd.huge else mem.ptes.get((mm, vpn))
    return entry is not None and entry.writable
