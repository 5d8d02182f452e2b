"""Which row has what: pages in order, frames beside the page that first mapped them, holders beside frames.

Rows keep their order from step to step: processes stand in the order of their creation, pages by number, frames where
the history has put them, what is mapped nowhere by pfn. So nothing jumps; a frame moves where it changes its kind:
mapped for the first time, moved to video memory, given back to the pool or to the allocator.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from model.kernel.mm.physical import VRAM_BASE
from model.memory.folio import page_folio
from model.memory.ordered import ceiling
from tui.views.picture.fold import FoldedRun, alike, runs
from tui.views.picture.frames_apart import frames_apart, named_lists
from tui.views.picture.history import HOLE, Page, idle
from tui.views.picture.holders_beside import with_holders
from tui.views.picture.layout_line import Layout, Line
from tui.views.picture.picture_state import PictureState

MOST_VMAS: Final = 64


def layout(drawn: PictureState) -> Layout:
    """Every row of the drawing."""
    lines: list[Line] = []
    placed: set[int] = set()
    for process in _processes(drawn):
        lines.append(Line(head=process))
        for run in _runs(drawn, process):
            lines += _beside(drawn, run, placed)
    lines += frames_apart(drawn, placed)
    lines += named_lists(drawn, placed)
    lines += [Line(waits=name) for name, task in sorted(drawn.state.tasks.items()) if task.blocked]
    return with_holders(drawn, list(_with_folios(drawn, lines)))


def _with_folios(drawn: PictureState, lines: list[Line]) -> Iterator[Line]:
    """Each large folio is one box: a row with its count, then the rows of its pages, to the last of them."""
    heads = [large_folio(drawn, line) for line in lines]
    shown: dict[int, list[Line]] = {}
    for line, head in zip(lines, heads, strict=True):
        if head is not None:
            shown.setdefault(head, []).append(line)
    for line, head in zip(lines, heads, strict=True):
        if head is not None:
            its = shown[head]
            pages = tuple(each.frames[0] for each in its)
            whole = line.run is not None and line.run.huge and line.frames == (head,) and not line.column
            if its[0] is line and whole:
                line.folio, line.pages = head, pages
            elif its[0] is line:
                yield Line(folio=head, pages=pages)
            if line.folio < 0:
                line.part = "last" if its[-1] is line else "page"
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
        for vpn in drawn.outside(process)
        if drawn.stands((process, vpn)) or drawn.before.get((process, vpn)) is not None
    ]
    index, shown, at = drawn.state.vma_index, 0, 0
    start = ceiling(index, process, 0)
    while start is not None and shown < MOST_VMAS:
        below = bisect_left(outside, start, at)
        yield from alike(drawn, process, outside[at:below])
        yield from runs(drawn, process, drawn.state.vmas[process, start])
        start, shown, at = ceiling(index, process, start + 1), shown + 1, below
    yield from alike(drawn, process, outside[at:])


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
