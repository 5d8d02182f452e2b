"""Which row has what: pages in order, frames beside the page that first mapped them, holders beside frames.

Rows keep their order from step to step: processes stand in the order of their creation, pages by number, frames where
the history has put them, what is mapped nowhere by pfn. So nothing jumps; a frame moves where it changes its kind:
mapped for the first time, moved to video memory, given back to the pool or to the allocator.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Final, Literal, NamedTuple

import msgspec

from model.kernel.drivers.ttm_pool import POOL, VRAM_BASE
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.folio import page_folio, page_frame
from model.memory.ordered import ceiling
from model.memory.records import TlbEntry
from model.memory.state import State
from tui.views.picture.fold import LEAST, FoldedRun, frame_look, runs
from tui.views.picture.history import BLOCK, HOLE, Page, idle
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import gone

MOST_VMAS: Final = 64
MOST_APART: Final = 64
"""Pages of one file, or of one reference, that are looked at where they are mapped nowhere."""
MOST_OF_BUFFER: Final = 512
"""The same of a buffer, whose pages are mostly alike."""
MOST_LOOKED: Final = 2048
"""Frames mapped nowhere that are looked at."""
MOST_LISTED: Final = 12
"""Frames of the pool or the free list that are named."""

HolderKey = tuple[Literal["ref", "task", "buffer"], str]
"""Who stands on the right: a reference, a task in flight, a driver that borrows pages."""


class Line(msgspec.Struct):
    """One row of the drawing."""

    head: str = ""
    """A process whose pages follow."""
    run: FoldedRun | None = None
    """The pages on the left."""
    tlb: tuple[int, TlbEntry] | None = None
    """A cached translation that the page table no longer has, and the CPU."""
    zone: str = ""
    """What kind of frames these are that stand beside no page."""
    frames: tuple[int, ...] = ()
    """The frames in the box; more than one where equal neighbours are folded."""
    ghost: bool = False
    """They are no longer there: so it was one step ago."""
    listed: tuple[int, ...] = ()
    """Frames that are only named: pool and free list."""
    waits: str = ""
    """A task that cannot go on."""
    holder: HolderKey | None = None
    note: HolderKey | None = None
    """Whose second line stands here."""
    column: int = 0
    """Which of the frames beside the page."""
    folio: int = -1
    """The large folio whose box begins here, with its count; -1: none."""
    part: str = ""
    """The frames are pages of a folio: `page`, or `last` where its box ends."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same row in another step."""
        if self.run is not None:
            return "page", self.run.process, self.run.first, self.column
        if self.tlb is not None:
            return "tlb", self.tlb[0], self.tlb[1].process, self.tlb[1].vpn
        if self.folio >= 0:
            return "folio", self.folio
        return self.head, self.zone, self.frames[:1], self.waits


class Layout(NamedTuple):
    """All rows, and where the frames and the holders are."""

    lines: list[Line]
    at: dict[int, int]
    """pfn → its row."""
    held_at: dict[HolderKey, int]
    """Holder → its row."""
    holders: dict[HolderKey, list[int]]
    """Holder → the frames that its line leads to, each once."""
    folio_at: dict[int, int]
    """Head of a large folio → the row with its count."""

    def row_of(self, mem: State, pfn: int) -> int | None:
        """The row of a frame; of a page of a folio that has none of its own, that of the folio."""
        row = self.at.get(pfn)
        return self.folio_at.get(page_folio(mem, pfn)) if row is None else row


def layout(drawn: PictureState) -> Layout:
    """Every row of the drawing."""
    lines: list[Line] = []
    placed: set[int] = set()
    for process in _processes(drawn):
        lines.append(Line(head=process))
        for run in _runs(drawn, process):
            lines += _beside(drawn, run, placed)
    lines += _apart(drawn, placed)
    lines += _lists(drawn, placed)
    lines += [Line(waits=name) for name, task in sorted(drawn.state.tasks.items()) if task.blocked]
    return _with_holders(drawn, list(_with_folios(drawn, lines)))


def _with_folios(drawn: PictureState, lines: list[Line]) -> Iterator[Line]:
    """Each large folio is one box: a row with its count, then the rows of its pages, to the last of them."""
    last: dict[int, Line] = {}
    for line in lines:
        head = large_folio(drawn, line)
        if head is not None:
            last[head] = line
    begun: set[int] = set()
    for line in lines:
        head = large_folio(drawn, line)
        if head is not None:
            whole = line.run is not None and line.run.huge and line.frames == (head,) and not line.column
            if head not in begun and whole:
                line.folio = head
            elif head not in begun:
                yield Line(folio=head)
            begun.add(head)
            if line.folio < 0:
                line.part = "last" if last[head] is line else "page"
        yield line


def large_folio(drawn: PictureState, line: Line) -> int | None:
    """The head of the large folio that the frames of a row are pages of."""
    if not line.frames or line.ghost:
        return None
    head = page_folio(drawn.state, line.frames[0])
    frame = drawn.state.frames.get(head)
    return head if frame is not None and frame.large else None


def _processes(drawn: PictureState) -> list[str]:
    """Processes in the order of their creation; then those that have gone and that somebody still believes in."""
    living = sorted(drawn.state.processes, key=lambda name: (drawn.state.processes[name].pid, name))
    pages = (*drawn.before, *drawn.believed, *drawn.cached)
    return [*living, *sorted({process for process, _ in pages} - set(living))]


def _runs(drawn: PictureState, process: str) -> Iterator[FoldedRun]:
    """The pages of a process: those of its VMAs, those that only others still know, and those that have just gone."""
    outside = [
        vpn
        for vpn in drawn.special.get(process, ())
        if (not drawn.covered((process, vpn)))
        and (drawn.stands((process, vpn)) or drawn.before.get((process, vpn)) is not None)
    ]
    index, shown = drawn.state.vma_index, 0
    start = ceiling(index, process, 0)
    while start is not None and shown < MOST_VMAS:
        while outside and outside[0] < start:
            yield FoldedRun(process, outside[0], outside.pop(0) + 1)
        yield from runs(drawn, process, drawn.state.vmas[process, start])
        start, shown = ceiling(index, process, start + 1), shown + 1
    for vpn in outside:
        yield FoldedRun(process, vpn, vpn + 1)


def _beside(drawn: PictureState, run: FoldedRun, placed: set[int]) -> Iterator[Line]:
    """The rows of some pages: their own, cached translations that are out of date, more frames beside them."""
    if run.more:
        yield Line(run=run)
        return
    if run.huge:
        yield from _block(drawn, run, placed)
        return
    columns = [_frames(drawn, (run.process, vpn), placed) for vpn in _one_by_one(drawn, run)]
    longest = max(map(len, columns), default=0)
    for number in range(max(longest, 1)):
        there = tuple(column[number] for column in columns if number < len(column) and column[number] != HOLE)
        if number and not there:
            continue
        ghost = bool(there) and there[0] not in drawn.past.home and idle(drawn.state, drawn.index, there[0])
        yield Line(run=run, frames=tuple(dict.fromkeys(there)), ghost=ghost, column=number)
        if not number:
            yield from (Line(tlb=stale) for stale in drawn.stale(run.page))


def _block(drawn: PictureState, run: FoldedRun, placed: set[int]) -> Iterator[Line]:
    """The rows of a block of 2 MiB: its head, and each page of it that somebody holds by itself."""
    frames = _frames(drawn, run.page, placed)
    yield Line(run=run, frames=tuple(pfn for pfn in frames[:1] if pfn != HOLE))
    inside = (vpn for vpn in drawn.special.get(run.process, ()) if run.first <= vpn < run.stop)
    column = 0
    for vpn in inside:
        beside = _frames(drawn, (run.process, vpn), placed) if vpn != run.first else []
        for pfn in beside:
            if pfn != HOLE:
                column += 1
                yield Line(run=run, frames=(pfn,), column=column)
        yield from (Line(tlb=stale) for stale in drawn.stale((run.process, vpn)))
        for pfn in dict.fromkeys(belief.pfn for belief in drawn.believed.get((run.process, vpn), ())):
            if pfn not in placed and pfn < VRAM_BASE:
                placed.add(pfn)
                column += 1
                yield Line(run=run, frames=(pfn,), column=column)
    for pfn in frames[1:]:
        if pfn != HOLE:
            column += 1
            yield Line(run=run, frames=(pfn,), column=column)


def _one_by_one(drawn: PictureState, run: FoldedRun) -> Iterable[int]:
    """The pages of a run at which frames can stand."""
    anything = drawn.entry(run.page) or run.page in drawn.past.slots or run.page in drawn.before
    return range(run.first, run.stop) if anything else (run.first,)


def _frames(drawn: PictureState, page: Page, placed: set[int]) -> list[int]:
    """The frames beside a page: its own, one that it maps and that stands nowhere else, one that has just gone."""
    found = list(drawn.past.slots.get(page, ()))
    entry, old = drawn.entry(page), drawn.before.get(page)
    if entry is not None and entry.present and entry.pfn < VRAM_BASE and entry.pfn not in (*placed, *found):
        home = drawn.past.home.get(entry.pfn)
        if home is None or not drawn.stands(home):
            _put(found, entry.pfn)
    lost = old is not None and old.present and old.pfn < VRAM_BASE and (entry is None or entry.pfn != old.pfn)
    if lost and old is not None and old.pfn not in drawn.past.home and old.pfn not in placed:
        _put(found, old.pfn)
    for pfn in drawn.just_left.get(page, ()):
        if pfn not in placed:
            _put(found, pfn)
    placed.update(found)
    return found


def _put(frames: list[int], pfn: int) -> None:
    """In the first free place."""
    if HOLE in frames:
        frames[frames.index(HOLE)] = pfn
    elif pfn not in frames:
        frames.append(pfn)


# -- frames that stand beside no page ----------------------------------------------------------


def _apart(drawn: PictureState, placed: set[int]) -> Iterator[Line]:
    """What is mapped nowhere, and the video memory; equal neighbours are folded."""
    candidates = sorted({pfn for pfn in _mentioned(drawn) if pfn not in placed and not _hidden(drawn, pfn)})
    group: list[int] = []
    look: object = None
    for pfn in candidates[:MOST_LOOKED]:
        its = _zone(drawn, pfn), frame_look(drawn, pfn, pfn)
        if group and its == look and pfn == group[-1] + 1:
            group.append(pfn)
            continue
        yield from _grouped(drawn, group)
        group, look = [pfn], its
    yield from _grouped(drawn, group)


def _grouped(drawn: PictureState, group: list[int]) -> Iterator[Line]:
    """Equal frames in one row where that is worth it."""
    if len(group) >= LEAST:
        yield Line(zone=_zone(drawn, group[0]), frames=tuple(group))
    else:
        yield from (Line(zone=_zone(drawn, pfn), frames=(pfn,)) for pfn in group)


def _zone(drawn: PictureState, pfn: int) -> str:
    """The place of a frame that is mapped nowhere."""
    frame = page_frame(drawn.state, pfn)
    if frame.kind == "vram":
        return "video memory"
    if frame.kind == "buffer":
        return "pool" if frame.mapping == POOL else "buffer"
    return "page cache" if frame.kind in {"file", "dax"} and frame.mapping else "mapped nowhere"


def _hidden(drawn: PictureState, pfn: int) -> bool:
    """Whether it stands beside a page of a long VMA that is not drawn, or has its place in a list."""
    home = drawn.past.home.get(pfn)
    if home is not None and drawn.stands(home):
        return True
    return idle(drawn.state, drawn.index, pfn)


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


def _lists(drawn: PictureState, placed: set[int]) -> Iterator[Line]:
    """The pool, and the head of the free list; a frame that has just come there is still seen where it stood."""
    pooled = [pfn for pfn in sorted(drawn.state.pool) if idle(drawn.state, drawn.index, pfn) and pfn not in placed]
    if pooled:
        yield Line(zone="pool", listed=tuple(pooled[:MOST_LISTED]))
    free: list[int] = []
    pfn = drawn.state.counters.get("free_head") or 0
    while pfn and len(free) < MOST_LISTED:
        free += [pfn] if pfn not in placed else []
        pfn = drawn.state.free.get(pfn) or 0
    if free:
        yield Line(zone="free", listed=tuple(free))


# -- holders -----------------------------------------------------------------------------------


def _holders(drawn: PictureState) -> dict[HolderKey, list[int]]:
    """Everybody on the right, and the frames that each knows, by name."""
    state = drawn.state
    found: dict[HolderKey, list[int]] = {}
    for name in sorted({*state.references, *gone(drawn.scene.changes, "references")}):
        reference = state.references.get(name) or gone(drawn.scene.changes, "references")[name]
        now = [pfn for pfn in reference.frames if pfn != NOT_MAPPED]
        found["ref", name] = [*now, *(pfn for pfn in drawn.forgotten.get(name, ()) if pfn not in now)]
    for name, task in sorted(state.tasks.items()):
        owned = [pfn for call in task.stack for pfn in (*call.holds, *call.pins)]
        if owned:
            found["task", name] = owned
    for name, buffer in sorted(state.buffers.items()):
        if buffer.memfd:
            found["buffer", name] = list(buffer.frames)
    return found


def _anchors(drawn: PictureState, lines: list[Line], holders: dict[HolderKey, list[int]]) -> dict[HolderKey, int]:
    """Holder → its first frame that has a row; where none has, the folio around one, as -1 - its head."""
    shown = {pfn for line in lines for pfn in line.frames}
    heads = {line.folio for line in lines if line.folio >= 0}
    found: dict[HolderKey, int] = {}
    for key, frames in holders.items():
        around = (-1 - head for pfn in frames if (head := page_folio(drawn.state, pfn)) in heads)
        anchor = next((pfn for pfn in frames if pfn in shown), None)
        anchor = next(around, None) if anchor is None else anchor
        if anchor is not None:
            found[key] = anchor
    return found


def _with_holders(drawn: PictureState, lines: list[Line]) -> Layout:
    """Each holder beside its first frame that is drawn; rows are put in where one frame has several."""
    holders = _holders(drawn)
    anchors = _anchors(drawn, lines, holders)
    waiting: dict[int, list[HolderKey]] = {}
    for key, anchor in anchors.items():
        waiting.setdefault(anchor, []).append(key)
    out: list[Line] = []
    queue: list[HolderKey] = []
    for line in lines:
        while queue and (line.frames or line.folio >= 0):
            out.append(Line(holder=queue.pop(0)))
        here = (-1 - line.folio, *line.frames) if line.folio >= 0 else line.frames
        queue += [key for pfn in here for key in waiting.pop(pfn, ())]
        if queue:
            line.holder = queue.pop(0)
        out.append(line)
    out += [Line(holder=key) for key in (*queue, *(key for key in holders if key not in anchors))]
    if out and out[-1].holder is not None:
        out.append(Line())
    for line, below in pairwise(out):
        if line.holder is not None and below.holder is None:
            below.note = line.holder
    return _numbered(out, holders)


def _numbered(lines: list[Line], holders: dict[HolderKey, list[int]]) -> Layout:
    """Where each frame, each folio and each holder is."""
    at: dict[int, int] = {}
    held_at: dict[HolderKey, int] = {}
    folio_at: dict[int, int] = {}
    for number, line in enumerate(lines):
        if line.folio >= 0:
            folio_at[line.folio] = number
        for pfn in line.frames:
            at.setdefault(pfn, number)
        if line.holder is not None:
            held_at[line.holder] = number
    return Layout(lines, at, held_at, holders, folio_at)
