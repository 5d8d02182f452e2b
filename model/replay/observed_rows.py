"""A VMA, a frame or a folio as a row of a recording."""

from collections.abc import Iterator
from typing import Final

from model.memory.flags import (
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_HUGETLB,
    PG_KSM,
    PG_LRU,
    PG_MLOCKED,
    PG_PRIVATE,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_WRITEBACK,
    VM_EXEC,
    VM_MAYSHARE,
    VM_READ,
    VM_WRITE,
    smaps_codes,
)
from model.memory.records import Vma
from model.memory.runs import Runs, filled, rows
from model.memory.state import State
from model.replay.recording import (
    ARENA,
    ARENA_PAGES,
    LargePhysRow,
    PhysRow,
    VmaRow,
)

PHYS_FLAGS: Final = (
    (PG_DIRTY, "dirty"),
    (PG_LRU, "lru"),
    (PG_WRITEBACK, "writeback"),
    (0, "anon"),
    (PG_SWAPCACHE, "swapcache"),
    (PG_SWAPBACKED, "swapbacked"),
    (PG_HUGETLB, "huge"),
    (PG_UNEVICTABLE, "unevictable"),
    (PG_KSM, "ksm"),
    (PG_MLOCKED, "mlocked"),
    (PG_PRIVATE, "private"),
    (PG_ANON_EXCLUSIVE, "excl"),
)
"""The struct-page flags of a recording in its order; `anon` is no flag but what page->mapping says."""

SMAPS_NAMES: Final = {
    "shmem": "shmem",
    "anon_hugepage": "/anon_hugepage",
    "devzero": "/dev/zero",
    "perf": "anon_inode:[perf_event]",
    "packet": "socket",
    "io_uring": "anon_inode:[io_uring]",
    "kvm_vcpu": "anon_inode:kvm-vcpu:0",
    "guest_memfd": "anon_inode:[kvm-gmem]",
    "btf": "/sys/kernel/btf/vmlinux",
    "bpf_map": "anon_inode:bpf-map",
}
"""How /proc/PID/smaps calls files that no scenario has named, by their kind."""


def vma_row(state: State, vma: Vma, outside: dict[int, int], arena: int = ARENA) -> VmaRow:
    """A VMA as the recording shows it, its addresses as page numbers of the scenario."""
    base = arena
    if not 0 <= vma.start - arena < ARENA_PAGES:
        below = max((start for start in outside if start <= vma.start), default=arena)
        base = below - outside.get(below, 0)
    letters = ((VM_READ, "r"), (VM_WRITE, "w"), (VM_EXEC, "x"))
    prot = "".join(letter if vma.flags & flag else "-" for flag, letter in letters)
    share = "s" if vma.flags & VM_MAYSHARE else "p"
    backing, offset = backing_of(state, vma), vma.pgoff if vma.file else 0
    return vma.start - base, vma.end - base, prot + share, backing, offset, " ".join(smaps_codes(vma.flags))


def backing_of(state: State, vma: Vma) -> str | None:
    """What smaps calls the thing that is mapped; None for anonymous memory."""
    if not vma.file:
        return f"[{vma.ops}]" if vma.ops in ("vvar", "vdso") else None
    return SMAPS_NAMES.get(state.files[vma.file].kind, vma.file)


def phys_row(state: State, pfn: int) -> PhysRow | LargePhysRow:
    """A frame's counts, flags and first byte; the kernel itself cannot read secret memory."""
    frame = state.frames[pfn]
    if frame.large:
        return large_phys_row(state, pfn)
    flags = (name for flag, name in PHYS_FLAGS if frame.flags & flag or (not flag and frame.kind == "anon"))
    file = state.files.get(frame.mapping) if frame.kind == "file" else None
    byte = None if file is not None and file.kind == "secretmem" else state.content.get(pfn) or 0
    return frame.refcount, frame.mapcount, " ".join(flags), byte


def large_phys_row(state: State, head: int) -> LargePhysRow:
    """A large folio: what it has as a whole, and of its pages the mapcounts, the marks and the first bytes as runs."""
    frame, folio = state.frames[head], state.folios[head]
    pages = frame.pages
    maps = [[first, length, count + folio.entire] for first, length, count in rows(folio.mapcounts, pages)]
    marks = filled(folio.exclusive, 0, 1, int(frame.exclusive))
    flags = (name for flag, name in PHYS_FLAGS if frame.flags & flag or (not flag and frame.kind == "anon"))
    return {
        "order": frame.order,
        "ref": frame.refcount,
        "pincount": frame.pins,
        "map": maps,
        "flags": " ".join(flags),
        "excl": [list(row) for row in rows(marks, pages)] if frame.kind == "anon" else None,
        "val": [list(row) for row in byte_rows(state, head, pages)],
    }


def byte_rows(state: State, head: int, pages: int) -> Iterator[tuple[int, int, int]]:
    """The first bytes of a folio's pages, as runs."""
    bytes_of: Runs = ()
    for page in range(pages):
        if byte := state.content.get(head + page):
            bytes_of = filled(bytes_of, page, page + 1, byte)
    return rows(bytes_of, pages)
