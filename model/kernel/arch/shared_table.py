"""Page tables that hang in several places at once: tables of huge entries, which hugetlb shares (huge_pmd_share).

Entries are kept by process and address. So those of a shared table are kept once for each place, and who writes one
writes them all, in the same step. The kernel counts what such a table maps once, and so do we: the first place counts,
at all others the entries bear PAGE_SHARED_TABLE.
"""

from typing import Final

from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, PUD, TABLE_SHIFT, tables_in
from model.memory.flags import PAGE_SHARED_TABLE
from model.memory.records import Pte
from model.memory.state import Memory, Transaction

PUD_SHIFT: Final = TABLE_SHIFT * PUD
PUD_PAGES: Final = 1 << PUD_SHIFT
"""Pages that one table of huge entries covers: 1 GiB."""


def pmd_table(mem: Memory, mm: str, vpn: int) -> int | None:
    """The page of the table that the huge entry of `vpn` would stand in, or None."""
    pud = mem.tables.get((mm, PUD, vpn >> PUD_SHIFT))
    return None if pud is None else pud.pfn


def is_shared(mem: Memory, mm: str, vpn: int) -> bool:
    """ptdesc_pmd_is_shared() of the table above `vpn`."""
    table = pmd_table(mem, mm, vpn)
    return table is not None and mem.shared_tables.get(table) is not None


def first_shared(mem: Memory, mm: str, start: int, end: int) -> int | None:
    """The first page of [start, end) whose table is shared, or None."""
    for block in tables_in(mem, mm, PUD, start >> PUD_SHIFT, (end - 1) >> PUD_SHIFT):
        if is_shared(mem, mm, block << PUD_SHIFT):
            return max(start, block << PUD_SHIFT)
    return None


def set_huge_pmd(tx: Transaction, mm: str, vpn: int, entry: Pte | None) -> None:
    """Write a huge entry, or clear it, wherever its table hangs."""
    table = pmd_table(tx, mm, vpn)
    places = None if table is None else tx.shared_tables.get(table)
    for number, (owner, block) in enumerate(places or ((mm, vpn >> PUD_SHIFT),)):
        key = owner, PMD, (block << TABLE_SHIFT) + (vpn >> TABLE_SHIFT) % PTRS_PER_TABLE
        if entry is None:
            del tx.tables[key]
        else:
            tx.tables[key] = entry.with_bits(PAGE_SHARED_TABLE) if number else entry.without(PAGE_SHARED_TABLE)


def share_table(tx: Transaction, mm: str, vpn: int, other: str, other_vpn: int) -> None:
    """Hang the table above a page of another address space in above `vpn`, where none is: pt_share_count + 1."""
    block, source = vpn >> PUD_SHIFT, other_vpn >> PUD_SHIFT
    pud = tx.tables[other, PUD, source]
    places = tx.shared_tables.get(pud.pfn) or ((other, source),)
    tx.shared_tables[pud.pfn] = (*places, (mm, block))
    tx.tables[mm, PUD, block] = pud.with_bits(PAGE_SHARED_TABLE)
    for index in huge_entries(tx, other, source):
        key = mm, PMD, index + (block - source << TABLE_SHIFT)
        tx.tables[key] = tx.tables[other, PMD, index].with_bits(PAGE_SHARED_TABLE)


def unshare_table(tx: Transaction, mm: str, vpn: int) -> bool:
    """Take a shared table out above `vpn`: pt_share_count - 1. Returns whether it hangs in one place alone now."""
    block = vpn >> PUD_SHIFT
    table = tx.tables[mm, PUD, block].pfn
    places = tx.shared_tables[table]
    assert places is not None
    rest = tuple(place for place in places if place != (mm, block))
    for index in huge_entries(tx, mm, block):
        del tx.tables[mm, PMD, index]
    del tx.tables[mm, PUD, block]
    if len(rest) > 1:
        tx.shared_tables[table] = rest
    else:
        del tx.shared_tables[table]
    if rest[0] != places[0]:
        _count_here(tx, table, *rest[0])
    return len(rest) == 1


def _count_here(tx: Transaction, table: int, mm: str, block: int) -> None:
    """From now on what the table maps counts at this place."""
    for key in ((mm, PUD, block), *((mm, PMD, index) for index in huge_entries(tx, mm, block))):
        tx.tables[key] = tx.tables[key].without(PAGE_SHARED_TABLE)
    tx.frames.update(table, mapping=f"mm:{mm}")


def huge_entries(mem: Memory, mm: str, block: int) -> list[int]:
    """The index of each entry that stands in the table of one GiB."""
    first = block << TABLE_SHIFT
    return list(tables_in(mem, mm, PMD, first, first + PTRS_PER_TABLE - 1))
