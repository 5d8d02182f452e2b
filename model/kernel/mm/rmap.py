"""anon_vma: which VMAs may map an anonymous page.

An anonymous page outlives moves, splits and merges of the VMA that it was first written through, and fork puts it
into further address spaces. So the page does not name its VMA but an anon_vma, and that names every VMA in which the
page can be. Each VMA has a chain of the anon_vmas whose pages it may hold: after fork those of all its ancestors.
"""

from model.kernel.mm.vma import first_unused_anon_vma, replace_vma, vma_before, vma_from
from model.memory.flags import VM_ACCESS, VM_MAYBE_GUARD
from model.memory.record_base import replaced
from model.memory.records import AnonVma, Vma
from model.memory.state import Memory, Transaction


def anon_vma_alloc(tx: Transaction, parent: int = 0) -> int:
    """A new anon_vma, the root of its own tree or the child of `parent`; returns its number."""
    number = first_unused_anon_vma(tx)
    if parent:
        above = tx.anon_vmas[parent]
        tx.anon_vmas[number] = AnonVma(parent=parent, root=above.root)
        tx.anon_vmas[parent] = replaced(above, num_children=above.num_children + 1)
    else:
        # A root is its own parent and so its own child: it is never reused by a fork (mm/rmap.c).
        tx.anon_vmas[number] = AnonVma(parent=number, root=number, num_children=1)
    return number


def anon_vma_prepare(tx: Transaction, mm: str, vma: Vma) -> Vma:
    """Give a VMA an anon_vma before its first anonymous page is mapped; returns the VMA as it is then.

    The anon_vma of a neighbour is shared where a later mprotect could make the two one VMA (mm/rmap.c).
    """
    if vma.anon_vma:
        return vma
    number = find_mergeable_anon_vma(tx, mm, vma) or anon_vma_alloc(tx)
    return replace_vma(tx, mm, vma, replaced(vma, anon_vma=number, chain=(*vma.chain, number)))


def find_mergeable_anon_vma(mem: Memory, mm: str, vma: Vma) -> int:
    """The anon_vma of the VMA behind or before that could be shared, or 0 (mm/vma.c)."""
    behind = vma_from(mem, mm, vma.end)
    if behind is not None and anon_vma_compatible(vma, behind) and len(behind.chain) == 1:
        return behind.anon_vma
    before = vma_before(mem, mm, vma.start)
    if before is not None and anon_vma_compatible(before, vma) and len(before.chain) == 1:
        return before.anon_vma
    return 0


def anon_vma_compatible(low: Vma, high: Vma) -> bool:
    """Whether two VMAs touch, count their pages alike and differ in nothing but what mprotect may change."""
    return (
        low.end == high.start
        and low.file == high.file
        and not (low.flags ^ high.flags) & ~(VM_ACCESS | VM_MAYBE_GUARD)
        and high.pgoff == low.pgoff + low.pages
    )


def anon_vma_fork(tx: Transaction, vma: Vma, parent: Vma) -> Vma:
    """The child's VMA with its anon_vmas: all of the parent's, and one of its own; insert_vma() then links it.

    An anon_vma of the chain that no VMA calls its own any more is reused instead of a new one, so that endless forking
    and exiting does not grow the chain (mm/rmap.c: anon_vma_fork, anon_vma_clone).
    """
    if not parent.anon_vma:
        return replaced(vma, anon_vma=0, chain=())
    for number in parent.chain:
        anon_vma = tx.anon_vmas[number]
        if anon_vma.num_children < 2 and anon_vma.num_active_vmas == 0:
            return replaced(vma, anon_vma=number, chain=parent.chain)
    own = anon_vma_alloc(tx, parent.anon_vma)
    return replaced(vma, anon_vma=own, chain=(*parent.chain, own))


def unlink_anon_vmas(tx: Transaction, mm: str, vma: Vma) -> Vma:
    """Take a VMA that stays out of all its anon_vmas: its pages have gone elsewhere. Returns the VMA."""
    return replace_vma(tx, mm, vma, replaced(vma, anon_vma=0, chain=()))


def vma_is_fork_child(vma: Vma | None) -> bool:
    """Whether the VMA may hold pages of its parent: its chain has more than one anon_vma (mm/vma.c)."""
    return vma is not None and bool(vma.anon_vma) and len(vma.chain) != 1
