"""The entry that maps a virtual page, whatever its size: a PTE, or a PMD that maps 2 MiB."""

from typing import Final

from model.memory.records import Pte
from model.memory.state import Memory

PMD: Final = 1
"""The level of an entry that maps 2 MiB, or points at a table of PTEs; its index is vpn >> TABLE_SHIFT."""
TABLE_SHIFT: Final = 9
PTRS_PER_TABLE: Final = 1 << TABLE_SHIFT
"""Entries of a table; a PMD maps as many pages."""


def leaf_entry(mem: Memory, mm: str, vpn: int) -> Pte | None:
    """The entry that maps a page; a PMD's is taken for this one page. None where nothing is mapped.

    What stands in place of a huge entry of hugetlb, a marker, is one for each of its pages.
    """
    pte = mem.ptes.get((mm, vpn))
    if pte is not None:
        return pte
    block = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    if block is not None and block.kind == "marker":
        return block
    return Pte(block.pfn + vpn % PTRS_PER_TABLE, block.bits) if block is not None and block.huge else None
