"""Virtual memory areas: where they are, and who must know of them.

A VMA is found by address through `vma_index`, the model's maple tree. Two more indexes name it: the i_mmap tree of
the file it maps, which truncation walks, and the trees of its anon_vmas, which the reverse map walks. The three
functions that put a VMA in, take it out or exchange it keep all of them in step.

A VMA that munmap or exit takes away leaves them one after the other: first no address finds it, then its entries are
cleared, and only then do the reverse maps forget it. Until then others still reach its entries through them.
"""

from collections.abc import Iterator
from typing import Final

from model.engine.lock import await_free
from model.engine.procedure import Blocked
from model.memory.flags import VM_ACCESS, VM_SEALED
from model.memory.ordered import ceiling, floor
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

Place = tuple[str, int]
"""How a VMA is named: its process, and where it starts."""

ANON_VMA_RWSEM: Final = "anon_vma_rwsem"
"""Kind of lock: anon_vma->root->rwsem, for all VMAs of one tree of anon_vmas."""

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


def rmap_write_lock(tx: Transaction, *vmas: Vma | None, file: str = "") -> Blocked | None:
    """Wait until nobody walks the reverse maps that these VMAs are in: the step may then change the trees.

    Those are i_mmap of the file (that of `file` as well), and the tree of anon_vmas, which has one lock, its root's.
    The locks are taken and given back within the step, so they leave no trace (mm/vma.c: vma_prepare; mm/rmap.c:
    unlink_anon_vmas).
    """
    if file and (wait := await_free(tx, "i_mmap_rwsem", file)) is not None:
        return wait
    for vma in vmas:
        if vma is None:
            continue
        if vma.file and (wait := await_free(tx, "i_mmap_rwsem", vma.file)) is not None:
            return wait
        if vma.chain and (wait := await_free(tx, ANON_VMA_RWSEM, anon_vma_root(tx, vma.chain[0]))) is not None:
            return wait
    return None


def anon_vma_root(mem: Memory, number: int) -> str:
    """Whose rwsem guards the tree of an anon_vma (include/linux/rmap.h: anon_vma_lock_write)."""
    return f"anon_vma:{mem.anon_vmas[number].root}"


def insert_vma(tx: Transaction, mm: str, vma: Vma, *, behind: Place | None = None) -> None:
    """Put a VMA into the address space, its file's i_mmap and its anon_vmas (mm/vma.c: vma_link).

    `behind`: fork puts the child's VMA right behind the parent's in i_mmap (vma_interval_tree_insert_after).
    """
    tx.vmas[mm, vma.start] = vma
    tx.processes.update(mm, map_count=tx.processes[mm].map_count + 1)
    link_vma(tx, mm, vma, behind=behind)


def detach_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Take a VMA out of the address space only: no address finds it any more, but the reverse maps still do."""
    del tx.vmas[mm, vma.start]
    tx.detached_vmas[mm, vma.start] = vma
    tx.processes.update(mm, map_count=tx.processes[mm].map_count - 1)


def free_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """A detached VMA, unlinked from everything, is gone; whoever frees a file's last VMA must release the file."""
    del tx.detached_vmas[mm, vma.start]


def remove_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """Take a VMA out of everything at once. Whoever removes a file's last VMA must release the file."""
    del tx.vmas[mm, vma.start]
    tx.processes.update(mm, map_count=tx.processes[mm].map_count - 1)
    unlink_vma(tx, mm, vma)


def replace_vma(tx: Transaction, mm: str, old: Vma, new: Vma) -> Vma:
    """Exchange a VMA for a changed one: other bounds, flags or anon_vmas. Returns `new`.

    With other bounds it leaves its trees and joins them anew, behind its equals (mm/vma.c: vma_prepare, vma_complete).
    """
    tx.vmas[mm, new.start] = new
    if (old.start, old.end, old.chain, old.anon_vma) == (new.start, new.end, new.chain, new.anon_vma):
        return new
    if old.start != new.start:
        del tx.vmas[mm, old.start]
    if (old.start, old.end) != (new.start, new.end):
        _leave_trees(tx, mm, old)
    link_vma(tx, mm, new)
    _unlink_anon_vmas(tx, mm, old, kept=new.chain)
    return new


def link_vma(tx: Transaction, mm: str, vma: Vma, *, behind: Place | None = None) -> None:
    """Make the VMA known to its file and its anon_vmas."""
    here = (mm, vma.start)
    if vma.file:
        i_mmap = tx.files[vma.file].i_mmap
        if here not in i_mmap:
            tx.files.update(vma.file, i_mmap=_inserted(tx, i_mmap, here, vma.pgoff, behind))
    for number in vma.chain:
        vmas = tx.anon_vmas[number].vmas
        if here not in vmas:
            tx.anon_vmas.update(number, vmas=_inserted(tx, vmas, here, vma.pgoff))
    if vma.anon_vma:
        tx.anon_vmas.update(vma.anon_vma, num_active_vmas=tx.anon_vmas[vma.anon_vma].num_active_vmas + 1)


def _inserted(
    mem: Memory, tree: tuple[Place, ...], here: Place, pgoff: int, behind: Place | None = None
) -> tuple[Place, ...]:
    """An interval tree in the order in which it is walked: by first offset, equal ones as they came.

    Source: include/linux/interval_tree_generic.h; with `behind` mm/interval_tree.c: vma_interval_tree_insert_after.
    """
    if behind is not None:
        at = tree.index(behind) + 1
    else:
        at = len(tree)
        while at and linked_vma(mem, *tree[at - 1]).pgoff > pgoff:
            at -= 1
    return (*tree[:at], here, *tree[at:])


def linked_vma(mem: Memory, mm: str, start: int) -> Vma:
    """A VMA that a reverse map names: in its address space, or detached from it already."""
    vma = mem.vmas.get((mm, start))
    return vma if vma is not None else mem.detached_vmas[mm, start]


def file_is_held(mem: Memory, file: str) -> bool:
    """Whether a VMA holds the file, one in i_mmap or one that has left it and is not freed yet, or a call in flight."""
    record = mem.files[file]
    return bool(record.users or record.i_mmap) or any(vma.file == file for _, vma in mem.detached_vmas.items())


def unlink_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """The reverse maps forget the VMA (mm/vma.c: unlink_file_vma, mm/rmap.c: unlink_anon_vmas)."""
    _leave_i_mmap(tx, mm, vma)
    _unlink_anon_vmas(tx, mm, vma, kept=())


def _leave_trees(tx: Transaction, mm: str, vma: Vma) -> None:
    """No tree names the VMA any more; an anon_vma that is empty now is not freed yet."""
    _leave_i_mmap(tx, mm, vma)
    here = (mm, vma.start)
    for number in vma.chain:
        vmas = tx.anon_vmas[number].vmas
        tx.anon_vmas.update(number, vmas=tuple(other for other in vmas if other != here))


def _leave_i_mmap(tx: Transaction, mm: str, vma: Vma) -> None:
    """The file it maps, if any, no longer knows it."""
    if vma.file:
        here = (mm, vma.start)
        tx.files.update(vma.file, i_mmap=tuple(other for other in tx.files[vma.file].i_mmap if other != here))


def _unlink_anon_vmas(tx: Transaction, mm: str, vma: Vma, kept: tuple[int, ...]) -> None:
    """Leave the anon_vmas that are not `kept`; one that nobody is in any more is freed, the youngest first."""
    if vma.anon_vma:
        tx.anon_vmas.update(vma.anon_vma, num_active_vmas=tx.anon_vmas[vma.anon_vma].num_active_vmas - 1)
    here = (mm, vma.start)
    for number in reversed(vma.chain):
        if number in kept:
            continue
        anon_vma = tx.anon_vmas[number]
        left = tuple([other for other in anon_vma.vmas if other != here])
        if left:
            tx.anon_vmas[number] = replaced(anon_vma, vmas=left)
        else:
            free_anon_vma(tx, number)


# -- anon_vmas come and go with the VMAs in them ------------------------------------------------


def free_anon_vma(tx: Transaction, number: int) -> None:
    """The last VMA has left: the anon_vma is gone, and its number is the next to be used if it is the smallest."""
    parent = tx.anon_vmas[number].parent
    if parent != number and (above := tx.anon_vmas.get(parent)) is not None:
        tx.anon_vmas[parent] = replaced(above, num_children=above.num_children - 1)
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
