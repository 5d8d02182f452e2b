"""Merging and splitting VMAs.

Neighbours become one VMA when nothing tells them apart: flags, file, consecutive offsets, and anonymous pages that
belong to the same anon_vma, or to none on one side (mm/vma.c of 6.16 and newer). These rules decide what
/proc/PID/maps looks like after every mmap, mprotect, madvise, mlock and mremap.
"""

from typing import Final

import msgspec

from model.engine.config import fact
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.drivers.mapping_counts import count_open
from model.kernel.mm.hugetlb_pool import consumed_in, is_vm_hugetlb_page
from model.kernel.mm.limits import MAX_MAP_COUNT
from model.kernel.mm.rmap import vma_is_fork_child
from model.kernel.mm.vm_ops import vm_operations
from model.kernel.mm.vma import (
    insert_vma,
    remove_vma,
    replace_vma,
    vma_before,
    vma_from,
    vma_is_anonymous,
)
from model.memory.errno import EINVAL, ENOMEM
from model.memory.flags import VM_MAYBE_GUARD, VM_SPECIAL
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.units import AnonVmaNumber

VM_STICKY: Final = VM_MAYBE_GUARD
"""Flags that do not hinder a merge; the merged VMA has them if any part had."""


class MergeRange(msgspec.Struct, frozen=True):
    """struct vma_merge_struct: pages [start, end) that are to get these attributes."""

    start: int
    end: int
    flags: int
    pgoff: int
    file: str = ""
    anon_vma: AnonVmaNumber = 0
    middle: Vma | None = None
    """The existing VMA whose range changes; None for a new range."""
    copied_from: Vma | None = None
    """The VMA that mremap() copies into a new range."""
    uffd: str = ""
    """The userfaultfd that it is registered with."""


def is_mergeable_vma(mem: Memory, vmg: MergeRange, target: Vma) -> bool:
    """Same flags, file and userfaultfd, and anon_vmas that may become one (is_mergeable_vma, is_mergeable_anon_vma).

    A VMA that came from fork may hold its parents' pages; its chain is not spread over further VMAs. Before 6.16 a
    range that has an anon_vma was not merged with a VMA that has none.
    """
    if (target.flags ^ vmg.flags) & ~VM_STICKY or target.file != vmg.file or target.uffd != vmg.uffd:
        return False
    if vmg.anon_vma and not target.anon_vma:
        forked = vma_is_fork_child(vmg.middle) or vma_is_fork_child(vmg.copied_from)
        return not forked and fact(mem, "faulted range merges with unfaulted VMA")
    if target.anon_vma and not vmg.anon_vma:
        return not vma_is_fork_child(target)
    return target.anon_vma == vmg.anon_vma


def can_merge_left(mem: Memory, vmg: MergeRange, before: Vma | None) -> bool:
    """Whether the VMA that ends where the range starts can be extended over it."""
    return (
        before is not None
        and before.end == vmg.start
        and is_mergeable_vma(mem, vmg, before)
        and before.pgoff + before.pages == vmg.pgoff
    )


def can_merge_right(mem: Memory, vmg: MergeRange, behind: Vma | None, left: Vma | None) -> bool:
    """Whether the VMA that starts where the range ends can be extended; with `left` they all must fit together."""
    if behind is None or behind.start != vmg.end or not is_mergeable_vma(mem, vmg, behind):
        return False
    if behind.pgoff != vmg.pgoff + vmg.end - vmg.start:
        return False
    return left is None or not left.anon_vma or not behind.anon_vma or left.anon_vma == behind.anon_vma


def can_remove(vma: Vma) -> bool:
    """A VMA whose driver wants to hear of its end (a close hook) cannot vanish in a merge."""
    return not vm_operations(vma.ops).close


def dup_anon_vma(tx: Transaction, mm: str, target: Vma, source: Vma) -> Vma:
    """The extended VMA takes over the anon_vmas of what it swallows, if it has none; returns it."""
    if target.anon_vma or not source.anon_vma:
        return target
    return replace_vma(tx, mm, target, replaced(target, anon_vma=source.anon_vma, chain=source.chain))


def vma_merge_new_range(tx: Transaction, mm: str, vmg: MergeRange) -> Vma | None:
    """Extend a neighbour over an empty range instead of making a new VMA; None if neither fits."""
    if vmg.flags & VM_SPECIAL:
        return None
    before, behind = vma_before(tx, mm, vmg.start), vma_from(tx, mm, vmg.end)
    left = before if can_merge_left(tx, vmg, before) else None
    right = behind if can_merge_right(tx, vmg, behind, left) else None
    if left is not None:
        return _expand_left(tx, mm, vmg, left, right if right is not None and can_remove(right) else None)
    if right is not None:
        if vmg.copied_from is not None:
            right = dup_anon_vma(tx, mm, right, vmg.copied_from)
        flags = right.flags | vmg.flags
        return replace_vma(tx, mm, right, replaced(right, start=vmg.start, pgoff=vmg.pgoff, flags=flags))
    return None


def _expand_left(tx: Transaction, mm: str, vmg: MergeRange, left: Vma, right: Vma | None) -> Vma:
    """The VMA before the range grows over it, and over the VMA behind it where that fits too."""
    end, flags = vmg.end, left.flags | vmg.flags
    if right is not None:
        left = dup_anon_vma(tx, mm, left, right)
        remove_vma(tx, mm, right)
        end, flags = right.end, flags | right.flags
    if vmg.copied_from is not None:
        left = dup_anon_vma(tx, mm, left, vmg.copied_from)
    return replace_vma(tx, mm, left, replaced(left, end=end, flags=flags))


def vma_merge_existing_range(tx: Transaction, mm: str, vmg: MergeRange) -> Vma | None:
    """Part of a VMA has got the attributes of a neighbour: move the border, or make them one. None if nothing fits."""
    middle = vmg.middle
    assert middle is not None
    from_start, to_end = vmg.start == middle.start, vmg.end == middle.end
    if vmg.flags & VM_SPECIAL or not (from_start or to_end):
        return None
    before, behind = vma_before(tx, mm, middle.start), vma_from(tx, mm, middle.end)
    left = before if from_start and can_merge_left(tx, vmg, before) else None
    right = behind if to_end and can_merge_right(tx, vmg, behind, left) else None
    if (left is None and right is None) or (from_start and to_end and not can_remove(middle)):
        return None
    if left is not None:
        if right is not None and not can_remove(right):
            right = None
        return _merge_into_left(tx, mm, vmg, left, right)
    assert right is not None
    return _merge_into_right(tx, mm, vmg, right)


def _merge_into_left(tx: Transaction, mm: str, vmg: MergeRange, left: Vma, right: Vma | None) -> Vma:
    """The VMA before grows over the range; of the middle one remains what lies behind the range."""
    middle = vmg.middle
    assert middle is not None
    left = dup_anon_vma(tx, mm, left, right if right is not None and right.anon_vma else middle)
    if vmg.end < middle.end:
        from model.kernel.mm.huge_split import vma_adjust_trans_huge

        vma_adjust_trans_huge(tx, mm, middle, vmg.end)
        rest = replaced(middle, start=vmg.end, pgoff=middle.pgoff + vmg.end - middle.start)
        replace_vma(tx, mm, middle, rest)
    else:
        remove_vma(tx, mm, middle)
    end, flags = vmg.end, left.flags | vmg.flags
    if right is not None:
        remove_vma(tx, mm, right)
        end, flags = right.end, flags | right.flags
    return replace_vma(tx, mm, left, replaced(left, end=end, flags=flags))


def _merge_into_right(tx: Transaction, mm: str, vmg: MergeRange, right: Vma) -> Vma:
    """The VMA behind grows down over the range; of the middle one remains what lies before the range."""
    middle = vmg.middle
    assert middle is not None
    right = dup_anon_vma(tx, mm, right, middle)
    if middle.start < vmg.start:
        from model.kernel.mm.huge_split import vma_adjust_trans_huge

        vma_adjust_trans_huge(tx, mm, middle, vmg.start)
        replace_vma(tx, mm, middle, replaced(middle, end=vmg.start))
    else:
        remove_vma(tx, mm, middle)
    pgoff, flags = right.pgoff - (vmg.end - vmg.start), right.flags | vmg.flags
    return replace_vma(tx, mm, right, replaced(right, start=vmg.start, pgoff=pgoff, flags=flags))


# -- splitting and modifying --------------------------------------------------------------------


def split_vma(tx: Transaction, mm: str, vma: Vma, at: int, *, unlimited: bool = False) -> tuple[Vma, Vma] | int:
    """Cut a VMA in two at page `at`; returns both halves, or a negated errno.

    -ENOMEM if the process has too many VMAs already (unless `unlimited`: munmap() checks beforehand), or what the
    driver's may_split() says.
    """
    if not unlimited and tx.processes[mm].map_count >= MAX_MAP_COUNT:
        return -ENOMEM
    refused = vm_operations(vma.ops).may_split
    if refused:
        return -refused
    if is_vm_hugetlb_page(vma) and at % HUGETLB_NR:
        return -EINVAL

    from model.kernel.mm.huge_split import vma_adjust_trans_huge

    vma_adjust_trans_huge(tx, mm, vma, at)
    if is_vm_hugetlb_page(vma):
        from model.kernel.mm.hugetlb_share import hugetlb_split

        hugetlb_split(tx, mm, vma, at)
    low = replace_vma(tx, mm, vma, replaced(vma, end=at, consumed=consumed_in(vma, vma.start, at)))
    high = replaced(vma, start=at, pgoff=vma.pgoff + at - vma.start, consumed=consumed_in(vma, at, vma.end))
    count_open(tx, high)
    insert_vma(tx, mm, high)
    return low, high


def vma_modify_flags(
    tx: Transaction, mm: str, vma: Vma, start: int, end: int, flags: int, uffd: str | None = None
) -> Vma | int:
    """Give [start, end) of a VMA new flags, and maybe a userfaultfd: merge with neighbours where possible, else split.

    Returns the VMA that covers the range afterwards (it may reach further, where it was merged), or a negated errno.
    What has been split before an error stays split.
    """
    pgoff = vma.pgoff + start - vma.start
    uffd = vma.uffd if uffd is None else uffd
    vmg = MergeRange(start, end, flags, pgoff, vma.file, vma.anon_vma, vma, uffd=uffd)
    merged = vma_merge_existing_range(tx, mm, vmg)
    if merged is not None:
        return merged
    if vma.start < start:
        halves = split_vma(tx, mm, vma, start)
        if isinstance(halves, int):
            return halves
        vma = halves[1]
    if end < vma.end:
        halves = split_vma(tx, mm, vma, end)
        if isinstance(halves, int):
            return halves
        vma = halves[0]
    return replace_vma(tx, mm, vma, replaced(vma, flags=flags, uffd=uffd))


def vma_merge_extend(tx: Transaction, mm: str, vma: Vma, pages: int) -> Vma | None:
    """Extend a VMA at its end, and over the VMA behind it if it meets one that fits (mremap() in place)."""
    pgoff = vma.pgoff + vma.pages
    vmg = MergeRange(vma.end, vma.end + pages, vma.flags, pgoff, vma.file, vma.anon_vma, uffd=vma.uffd)
    merged = vma_merge_new_range(tx, mm, vmg)
    if merged is None and fact(tx, "mremap extends any VMA"):
        return replace_vma(tx, mm, vma, replaced(vma, end=vma.end + pages))
    return merged


def copy_vma(tx: Transaction, mm: str, vma: Vma, start: int, pages: int, pgoff: int) -> Vma:
    """A VMA like `vma` at a new place, merged with neighbours there if possible (mremap() moves its pages next).

    Anonymous memory that has never been written has no pages that know their offset: it is renumbered to its new
    address, as if it had been mapped there, and so merges anywhere.
    """
    if vma_is_anonymous(vma) and not vma.anon_vma:
        pgoff = start
    end = start + pages
    vmg = MergeRange(start, end, vma.flags, pgoff, vma.file, vma.anon_vma, copied_from=vma, uffd=vma.uffd)
    merged = vma_merge_new_range(tx, mm, vmg)
    if merged is not None:
        return merged
    source = vma.start + pgoff - vma.pgoff
    copy = replaced(vma, start=start, end=end, pgoff=pgoff, consumed=consumed_in(vma, source, source + pages))
    count_open(tx, copy)
    insert_vma(tx, mm, copy)
    return copy
