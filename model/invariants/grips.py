"""What an entry, a table, the page cache, a reference or a buffer holds: a frame and its holder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from model.invariants.holders import (
    PGD_LEVEL,
    Holder,
    HolderKind,
)
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.buffer_records import Buffer
from model.memory.flags import PAGE_SHARED_TABLE
from model.memory.records import Process, Pte, Reference

Place = tuple[str, int]
"""A virtual page: process and vpn."""


Grip = tuple[int, Holder]
"""A frame and one of its holders."""


def pte_grip(place: Place, pte: Pte | None) -> Grip | None:
    """What a lowest-level entry holds: nothing unless it is present."""
    if pte is None or not pte.present:
        return None
    return pte.pfn, Holder("special" if pte.special else "pte", *place)


def table_grip(key: tuple[str, int, int], entry: Pte | None) -> Grip | None:
    """What an upper-level entry holds: the next table page, or a whole block of memory."""
    if entry is None or entry.kind != "page":
        return None
    process, level, number = key
    if entry.bits & PAGE_SHARED_TABLE:
        return entry.pfn, Holder("shared-huge" if entry.huge else "shared-table", process, number, level)
    kind: HolderKind = "table" if not entry.huge else "huge-special" if entry.special else "huge"
    return entry.pfn, Holder(kind, process, number, level)


def pgd_grip(name: str, process: Process | None) -> Grip | None:
    """A process holds its top-level table page."""
    return (process.pgd, Holder("table", name, 0, PGD_LEVEL)) if process and process.pgd else None


def deposit_grip(key: tuple[str, int], table: int | None) -> Grip | None:
    """A huge entry holds the table that is kept for its split."""
    return None if table is None else (table, Holder("deposit", *key))


def cache_grip(key: tuple[str, int], pfn: int | None) -> Grip | None:
    """A file holds the pages in its page cache."""
    return None if pfn is None else (pfn, Holder("cache", *key))


def reference_grips(name: str, reference: Reference | None) -> Iterator[Grip]:
    """A reference holds each of its pages; a mirror or a mapping only remembers which they are."""
    if reference is not None:
        kind: HolderKind = "loose" if not reference.counted else "pin" if reference.kind == "pin" else "get"
        for page, pfn in enumerate(reference.frames):
            if pfn != NOT_MAPPED:
                kept = not reference.heads or pfn in reference.heads
                yield pfn, Holder(kind if kept else "covered", name, page)


OF_BUFFER_GRIPS: Final = ("frames", "counted", "pinned")
"""The fields of a buffer on which its grips depend."""


def buffer_grips(name: str, buffer: Buffer | None) -> Iterator[Grip]:
    """A driver lists the frames of each buffer; on some it holds a pin or a reference of its own.

    i915's pages are not listed: they are simply those of the buffer's shmem file.
    """
    if buffer is not None:
        kind: HolderKind = "borrowed-pin" if buffer.pinned else "borrowed" if buffer.counted else "buffer"
        for page, pfn in enumerate(buffer.frames):
            yield pfn, Holder(kind, name, page)
