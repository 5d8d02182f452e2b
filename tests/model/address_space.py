"""What must be true of every address space, and a naive one to compare with: one record a page."""

from itertools import pairwise
from typing import NamedTuple

from model.memory.flags import VM_ACCOUNT
from model.memory.records import Vma
from model.memory.state import State

BASE = 1024
"""Where the naive address space begins."""


def vmas(state: State, mm: str = "p0") -> list[Vma]:
    """The VMAs of a process in address order."""
    return sorted((vma for (owner, _), vma in state.vmas.items() if owner == mm), key=lambda vma: vma.start)


def ranges(state: State, mm: str = "p0") -> list[tuple[int, int]]:
    """Where the VMAs of a process begin and end."""
    return [(vma.start, vma.end) for vma in vmas(state, mm)]


def assert_consistent(state: State) -> None:
    """VMAs, reverse maps and page tables say the same of one another, and nobody holds a lock."""
    assert not state.locks
    assert not len(state.detached_vmas)
    for mm in state.processes:
        mapped = vmas(state, mm)
        assert all(one.end <= other.start for one, other in pairwise(mapped))
        assert all(vma.start < vma.end for vma in mapped)
        assert state.processes[mm].map_count == len(mapped)
    for file in state.files:
        here = sorted(key for key, vma in state.vmas.items() if vma.file == file)
        assert sorted(state.files[file].i_mmap) == here
        offsets = [state.vmas[key].pgoff for key in state.files[file].i_mmap]
        assert offsets == sorted(offsets)
    assert_anon_vmas_consistent(state)
    for (mm, vpn), pte in state.ptes.items():
        vma = next(vma for vma in vmas(state, mm) if vma.start <= vpn < vma.end)
        frame = state.frames.get(pte.pfn)
        if pte.kind == "page" and frame is not None and frame.kind == "anon":
            assert int(frame.mapping.removeprefix("anon_vma:")) in vma.chain
            assert frame.index == vma.pgoff + vpn - vma.start


def assert_anon_vmas_consistent(state: State) -> None:
    """Each anon_vma names exactly the VMAs that have it in their chain, and counts them rightly."""
    for number, anon_vma in state.anon_vmas.items():
        chained = sorted(key for key, vma in state.vmas.items() if number in vma.chain)
        own = [vma for vma in state.vmas.values() if vma.anon_vma == number]
        children = [child for child, other in state.anon_vmas.items() if other.parent == number]
        assert sorted(anon_vma.vmas) == chained
        offsets = [state.vmas[key].pgoff for key in anon_vma.vmas]
        assert offsets == sorted(offsets)
        assert chained
        assert anon_vma.num_active_vmas == len(own)
        assert anon_vma.num_children == len(children)
    for vma in state.vmas.values():
        assert not vma.anon_vma or vma.anon_vma in vma.chain
        assert len(set(vma.chain)) == len(vma.chain)
    unused = next(number for number in range(1, len(state.anon_vmas) + 2) if number not in state.anon_vmas)
    assert state.counters.get("anon_vma_unused", 1) == unused


class Page(NamedTuple):
    """One page of the naive address space: everything that the program can have asked for."""

    flags: int
    """vm_flags but VM_ACCOUNT, which depends on history."""
    file: str = ""
    offset: int = 0
    """Offset in the file."""
    own: int = -1
    """The byte in a private page; -1: never written."""


def as_pages(state: State, mm: str) -> dict[int, tuple[int, str, int]]:
    """The model's VMAs as one record a page, to be compared with the naive address space."""
    return {
        page: (vma.flags & ~VM_ACCOUNT, vma.file, vma.pgoff + page - vma.start if vma.file else 0)
        for vma in vmas(state, mm)
        for page in range(vma.start, vma.end)
    }
