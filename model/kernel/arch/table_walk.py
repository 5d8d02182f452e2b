"""What a walk without locks reads where it stands: in a table page, whatever has become of that page meanwhile.

Entries are kept by address, and a table page only knows where it hangs. A walker remembers the entry that led it in.
As long as that entry is there the two are the same. When it is gone, the page is: taken out and still as it was; free;
a table of somebody else; or data, which the walker takes for entries.
"""

from model.kernel.arch.boot import ZERO_PFN
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, PUD, TABLE_SHIFT
from model.kernel.arch.shared_table import PUD_PAGES, PUD_SHIFT, pmd_table
from model.kernel.mm.vma import find_vma_intersection
from model.memory.events import FreedTableRead
from model.memory.flags import PAGE_SHARED_TABLE
from model.memory.records import Pte
from model.memory.state import Memory, Transaction

TableKey = tuple[str, int, int]
"""Process, level and index of an upper entry, as in `tables`."""


def entry_under_walk(tx: Transaction, mm: str, vpn: int, pmd: Pte) -> Pte | None:
    """The PTE of `vpn` in the table page that `pmd` led to when it was read (include/linux/pgtable.h: pte_offset_map).

    Only for a step that has written nothing yet: it looks at the State below, which costs least.
    """
    memory = tx.base
    if memory.tables.get((mm, PMD, vpn >> TABLE_SHIFT)) == pmd:
        return memory.ptes.get((mm, vpn))
    return _entry_in_unhooked(tx, mm, vpn, pmd.pfn)


def _entry_in_unhooked(tx: Transaction, mm: str, vpn: int, table: int) -> Pte | None:
    """The same where the table is not hooked in there any more. Reports the read if the page has been freed."""
    frame = tx.frames[table]
    now = tx.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    if frame.kind == "pgtable":
        place = hooked_at(tx, table)
        if place is None:
            # Nobody has touched its entries; if another table hangs there by now, this one was empty when it went.
            return tx.ptes.get((mm, vpn)) if now is None or now.huge else None
        owner, level, index = place
        if owner != mm or level != PMD:  # else mremap() has moved it as it is: it was never free
            tx.emit(FreedTableRead(table, process=mm, vpn=vpn))
        number = (index << TABLE_SHIFT) + vpn % PTRS_PER_TABLE
        return tx.ptes.get((owner, number)) if level == PMD else tx.tables.get((owner, level - 1, number))
    tx.emit(FreedTableRead(table, process=mm, vpn=vpn))
    byte = 0 if frame.kind == "free" or vpn % PTRS_PER_TABLE else tx.content.get(table)
    # The first byte of the page is the low byte of its first entry: all flags, and no page number.
    return Pte(ZERO_PFN, byte) if byte else None


def pmd_under_walk(tx: Transaction, mm: str, vpn: int, table: int) -> Pte | None:
    """The PMD entry of `vpn` in the table that its PUD led to when it was read: a shared one of hugetlb.

    If it has been given up here meanwhile it is still a page table, of others. Reports the read if one of them has it
    alone by now, and may use it for anything.
    """
    block = vpn >> PUD_SHIFT
    if pmd_table(tx, mm, vpn) != table:
        place = hooked_at(tx, table)
        if place is None or is_given_up(tx, table, *place):
            tx.emit(FreedTableRead(table, process=mm, vpn=vpn))
        if place is None or place[1] != PUD:
            return None  # free, or anything else by now: what a walk would take for an entry leads nowhere
        mm, _, block = place
    entry = tx.tables.get((mm, PMD, (block << TABLE_SHIFT) + (vpn >> TABLE_SHIFT) % PTRS_PER_TABLE))
    return None if entry is None else entry.without(PAGE_SHARED_TABLE)


def is_given_up(mem: Memory, table: int, mm: str, level: int, block: int) -> bool:
    """Whether a table that was shared is one process's alone, and nobody keeps him from using it for something else.

    Who gives it up keeps the lock of the file's mappings until he has waited for walkers.
    """
    if level == PUD and mem.shared_tables.get(table) is not None:
        return False
    start = block << PUD_SHIFT
    vma = find_vma_intersection(mem, mm, start, start + PUD_PAGES) if level == PUD else None
    lock = mem.locks.get(("i_mmap_rwsem", vma.file)) if vma is not None else None
    return lock is None or not lock.writer


def hooked_at(mem: Memory, table: int) -> TableKey | None:
    """Which entry leads to a table page, or None. Looks through all of them: for the rare case."""
    for key, entry in mem.tables.items():
        if entry.pfn == table and not entry.huge:
            return key
    for name, process in mem.processes.items():
        if process.pgd == table:
            return name, 4, 0
    return None
