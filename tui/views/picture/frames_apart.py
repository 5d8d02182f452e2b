"""Frames that stand beside no page: in groups, and the lists of pool and allocator."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from lessons.i18n.language import tr
from model.kernel.drivers.ttm_pool import POOL
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.mm.physical import BAR_BASE
from model.memory.folio import folio_of
from model.memory.ordered import ceiling
from tui.views.picture.fold import LEAST, looks
from tui.views.picture.history import BLOCK, idle
from tui.views.picture.layout_line import Line
from tui.views.picture.picture_state import PictureState, small

MOST_APART: Final = 64
"""Pages of one file, or of one reference, that are looked at where they are mapped nowhere."""
MOST_OF_BUFFER: Final = 512
"""The same of a buffer, whose pages are mostly alike."""
MOST_LOOKED: Final = 2048
"""Frames mapped nowhere that are looked at."""
MOST_LISTED: Final = 12
"""Frames of the pool or the free list that are named."""


def frames_apart(drawn: PictureState, placed: set[int]) -> Iterator[Line]:
    """What is mapped nowhere, and the video memory; equal neighbours are folded.

    A frame that stands beside a page of a long VMA is not drawn here, even where that page is not drawn either.
    """
    group: list[int] = []
    look: tuple[object, ...] = ()
    stop = -1
    home, stands = small(drawn.past.home).get, drawn.stands
    apart = [pfn for pfn in sorted({*_mentioned(drawn)} - placed) if (page := home(pfn)) is None or not stands(page)]
    for pfn, its in zip(apart[:MOST_LOOKED], looks(drawn, zip(apart, apart, strict=True)), strict=False):
        kind, mapping, *_ = its
        if (kind == "free" or mapping == POOL) and idle(drawn.state, drawn.index, pfn):
            continue  # It has its place in a list.
        if its != look or pfn != stop:
            yield from _grouped(drawn, group)
            group, look = [], its
        group.append(pfn)
        stop = pfn + 1
    yield from _grouped(drawn, group)


def _grouped(drawn: PictureState, group: list[int]) -> Iterator[Line]:
    """Equal frames in one row where that is worth it."""
    if len(group) >= LEAST:
        yield Line(zone=_zone(drawn, group[0]), frames=tuple(group))
    else:
        yield from (Line(zone=_zone(drawn, pfn), frames=(pfn,)) for pfn in group)


def _zone(drawn: PictureState, pfn: int) -> str:
    """The place of a frame that is mapped nowhere."""
    frame = folio_of(drawn.state, pfn)
    if frame.kind == "vram":
        return tr("device memory") if pfn >= BAR_BASE else tr("video memory")
    if frame.kind == "buffer":
        return tr("pool") if frame.mapping == POOL else tr("buffer")
    if frame.mapping and frame.kind in {"file", "dax"}:
        return tr("page cache") if frame.kind == "file" else tr("storage (DAX)")
    return tr("mapped nowhere")


def _mentioned(drawn: PictureState) -> Iterator[int]:
    """Frames that the files, buffers, references and tasks know of."""
    state = drawn.state
    for name in state.files:
        index, count = ceiling(state.cache_index, name, 0), 0
        while index is not None and count < MOST_APART:
            yield state.page_cache[name, index]
            index, count = ceiling(state.cache_index, name, index + 1), count + 1
    for buffer in state.buffers.values():
        frames = buffer.frames
        yield from frames[:: BLOCK if _in_blocks(drawn, frames) else 1][:MOST_OF_BUFFER]
    for reference in state.references.values():
        yield from (pfn for pfn in islice(reference.frames, MOST_APART) if pfn != NOT_MAPPED)
    for task in state.tasks.values():
        for call in task.stack:
            yield from (*call.holds, *call.pins)


def _in_blocks(drawn: PictureState, frames: tuple[int, ...]) -> bool:
    """Whether a buffer is made of blocks of 2 MiB."""
    head = drawn.state.frames.get(frames[0]) if frames else None
    return head is not None and head.order >= BLOCK.bit_length() - 1


def named_lists(drawn: PictureState, placed: set[int]) -> Iterator[Line]:
    """The pool, and the head of the free list; a frame that has just come there is still seen where it stood."""
    pooled = [pfn for pfn in sorted(drawn.state.pool) if idle(drawn.state, drawn.index, pfn) and pfn not in placed]
    if pooled:
        yield Line(zone=tr("pool"), listed=tuple(pooled[:MOST_LISTED]))
    free: list[int] = []
    pfn = drawn.state.counters.get("free_head") or 0
    while pfn and len(free) < MOST_LISTED:
        free += [pfn] if pfn not in placed else []
        pfn = drawn.state.free.get(pfn) or 0
    if free:
        yield Line(zone=tr("free"), listed=tuple(free))
