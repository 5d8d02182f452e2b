"""Virtual memory areas: where they are, and who must know of them.

A VMA is found by address through `vma_index`, the model's maple tree. Two more indexes name it: the i_mmap tree of
the file it maps, which truncation walks, and the trees of its anon_vmas, which the reverse map walks. The three
functions that put a VMA in, take it out or exchange it keep all of them in step.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from model.engine.lock import down_write, up_write
from model.engine.procedure import Blocked
from model.memory.flags import VM_ACCESS, VM_SEALED
from model.memory.ordered import ceiling, floor
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

FIRST_UNUSED: Final = "anon_vma_unused"
"""Counter: the smallest number that no anon_vma has; missing = 1."""

# -- looking ----------------------------------------------------------------------------------


def find_vma(mem: Memory, mm: str, vpn: int) -> Vma | None:
    """The first VMA that ends above `vpn`: the one around it, or the next one behind it (mm/mmap.c: find_vma)."""
    around = vma_lookup(mem, mm, vpn)
    return around if around is not None else vma_from(mem, mm, vpn)


def vma_lookup(mem: Memory, mm: str, vpn: int) -> Vma | None:
    """The VMA that contains page `vpn`, or None (include/linux/mm.h: vma_lookup)."""
    vma = vma_before(mem, mm, vpn + 1)
    return vma if vma is not None and vpn < vma.end else None


def vma_from(mem: Memory, mm: str, vpn: int) -> Vma | None:
    """The first VMA that starts at or above `vpn`."""
    start = ceiling(mem.vma_index, mm, vpn)
    return None if start is None else mem.vmas[mm, start]


def vma_before(mem: Memory, mm: str, vpn: int) -> Vma | None:
    """The last VMA that starts below `vpn`."""
    start = floor(mem.vma_index, mm, vpn - 1) if vpn > 0 else None
    return None if start is None else mem.vmas[mm, start]


def vmas_in(mem: Memory, mm: str, start: int, end: int) -> Iterator[Vma]:
    """Every VMA that overlaps [start, end), in address order (for_each_vma_range)."""
    vma = find_vma(mem, mm, start) if start < end else None
    while vma is not None and vma.start < end:
        yield vma
        vma = vma_from(mem, mm, vma.end)


def find_vma_intersection(mem: Memory, mm: str, start: int, end: int) -> Vma | None:
    """The first VMA that overlaps [start, end), or None (include/linux/mm.h)."""
    return next(vmas_in(mem, mm, start, end), None)


def vma_is_anonymous(vma: Vma) -> bool:
    """Nobody handles its faults but the kernel itself: no vm_ops (a private /dev/zero is anonymous too)."""
    return not vma.ops


def vma_is_accessible(vma: Vma) -> bool:
    """Not PROT_NONE (include/linux/mm.h)."""
    return bool(vma.flags & VM_ACCESS)


def vma_is_sealed(vma: Vma) -> bool:
    """mseal() has forbidden to change it (mm/vma.h)."""
    return bool(vma.flags & VM_SEALED)


# -- changing ---------------------------------------------------------------------------------


def i_mmap_lock(tx: Transaction, *files: str) -> Blocked | None:
    """Wait until nobody walks the mappings of these files: the step may then change their i_mmap trees.

    The lock is taken and given back within the step, so it leaves no trace.
    """
    for file in files:
        if file:
            wait = down_write(tx, "i_mmap_rwsem", file)
            if wait is not None:
                return wait
            up_write(tx, "i_mmap_rwsem", file)
    return None


def insert_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Put a VMA into the address space, its file's i_mmap and its anon_vmas (mm/vma.c: vma_link)."""
    tx.vmas[mm, vma.start] = vma
    tx.processes.update(mm, map_count=tx.processes[mm].map_count + 1)
    link_vma(tx, mm, vma)


def detach_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Take a VMA out of the address space only: no address finds it any more, but the reverse maps still do."""
    del tx.vmas[mm, vma.start]
    tx.processes.update(mm, map_count=tx.processes[mm].map_count - 1)


def remove_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Take a VMA out of everything. Whoever removes a file's last VMA must release the file."""
    detach_vma(tx, mm, vma)
    unlink_vma(tx, mm, vma)


def replace_vma(tx: Transaction, mm: str, old: Vma, new: Vma) -> Vma:
    """Exchange a VMA for a changed one: other bounds, flags or anon_vmas. Returns `new`."""
    if (old.start, old.file, old.chain, old.anon_vma) == (new.start, new.file, new.chain, new.anon_vma):
        tx.vmas[mm, new.start] = new
        return new
    if old.start != new.start:
        del tx.vmas[mm, old.start]
    tx.vmas[mm, new.start] = new
    link_vma(tx, mm, new)
    if old.start != new.start:
        unlink_vma(tx, mm, old)
    else:
        _unlink_anon_vmas(tx, mm, old, kept=new.chain)
    return new


def link_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Make the VMA known to its file and its anon_vmas."""
    here = (mm, vma.start)
    if vma.file:
        _join(tx, vma.file, here)
    for number in vma.chain:
        anon_vma = tx.anon_vmas[number]
        if here not in anon_vma.vmas:
            tx.anon_vmas.update(number, vmas=tuple(sorted((*anon_vma.vmas, here))))
    if vma.anon_vma:
        tx.anon_vmas.update(vma.anon_vma, num_active_vmas=tx.anon_vmas[vma.anon_vma].num_active_vmas + 1)


def unlink_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """The reverse maps forget the VMA (mm/vma.c: unlink_file_vma, mm/rmap.c: unlink_anon_vmas)."""
    if vma.file:
        i_mmap = tx.files[vma.file].i_mmap
        tx.files.update(vma.file, i_mmap=tuple(other for other in i_mmap if other != (mm, vma.start)))
    _unlink_anon_vmas(tx, mm, vma, kept=())


def _join(tx: Transaction, file: str, here: tuple[str, int]) -> None:
    i_mmap = tx.files[file].i_mmap
    if here not in i_mmap:
        tx.files.update(file, i_mmap=tuple(sorted((*i_mmap, here))))


def _unlink_anon_vmas(tx: Transaction, mm: str, vma: Vma, kept: tuple[int, ...]) -> None:
    """Leave the anon_vmas that are not `kept`; one that nobody is in any more is freed, the youngest first."""
    if vma.anon_vma:
        tx.anon_vmas.update(vma.anon_vma, num_active_vmas=tx.anon_vmas[vma.anon_vma].num_active_vmas - 1)
    for number in reversed(vma.chain):
        if number in kept:
            continue
        anon_vma = tx.anon_vmas[number]
        left = tuple(other for other in anon_vma.vmas if other != (mm, vma.start))
        if left:
            tx.anon_vmas[number] = msgspec.structs.replace(anon_vma, vmas=left)
        else:
            free_anon_vma(tx, number)


# -- anon_vmas come and go with the VMAs in them ------------------------------------------------


def free_anon_vma(tx: Transaction, number: int) -> None:
    """The last VMA has left: the anon_vma is gone, and its number is the next to be used if it is the smallest."""
    parent = tx.anon_vmas[number].parent
    if parent != number and (above := tx.anon_vmas.get(parent)) is not None:
        tx.anon_vmas[parent] = msgspec.structs.replace(above, num_children=above.num_children - 1)
    del tx.anon_vmas[number]
    if number == 1:
        del tx.counters[FIRST_UNUSED]
    elif number < (tx.counters.get(FIRST_UNUSED) or 1):
        tx.counters[FIRST_UNUSED] = number


def first_unused_anon_vma(tx: Transaction) -> int:
    """Take the smallest number that no anon_vma has: equal memory numbers its anon_vmas equally."""
    number = unused = tx.counters.get(FIRST_UNUSED) or 1
    while unused == number or unused in tx.anon_vmas:
        unused += 1
    tx.counters[FIRST_UNUSED] = unused
    return number
