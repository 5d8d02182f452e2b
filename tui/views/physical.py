"""Physical memory: every frame in use as a cell, page-table pages and free frames compact."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from lessons.i18n.language import tr
from model.memory.flags import PAGE_FLAGS, names
from model.memory.ordered import ceiling
from model.memory.records import Frame
from model.memory.state import State
from tui.views.row import Row, Span, flow, grid
from tui.views.shown_state import HUGE_PAGES, LEVEL_NAMES, Before, ShownState, frame_name

CELL: Final = 37
"""Columns of a frame's cell, at least."""
MOST_FRAMES: Final = 512
"""With more frames in use, only those that somebody shown refers to have cells."""
MOST_FREE: Final = 12
"""Free frames that are listed."""
HUGE_ORDER: Final = 9
"""A block of 2 MiB is one cell."""
USUAL: Final = frozenset({"lru", "swapbacked", "uptodate", "reserved"})
"""Page flags that nearly every page of a kind has: left out of the cells."""


def physical(scene: ShownState, width: int) -> list[Row]:
    """The frames that hold somebody's bytes, then the tables, then what is free."""
    state = scene.state
    touched = (int(name[6:]) for name in scene.marks if name.startswith("frame:"))
    pfns = shown_frames(state) | set(islice(touched, MOST_FRAMES))
    tables: list[int] = []
    cells: list[list[Span]] = []
    was = Before.of(scene.changes)
    for pfn in sorted(pfns):
        frame = state.frames.get(pfn)
        if frame is not None and frame.kind == "pgtable":
            tables.append(pfn)
        elif _in_block(scene, pfn):
            continue
        elif frame is not None or f"frame:{pfn}" in scene.marks or f"frame:{pfn}" in scene.broken:
            cells.append(list(_cell(scene, pfn, frame or Frame(), was)))
    rows = grid(cells, width, width // _columns(cells, width), 0)
    if tables:
        owners = _table_owners(state)
        items = [_table(scene, pfn, owners.get(pfn, "")) for pfn in tables]
        rows += flow([Span(f"  {tr('page tables')} ", "strong")], items, width, indent=4)
    return rows + flow([Span(f"  {tr('free')} ", "strong")], list(_free(scene)), width, indent=4)


def _columns(cells: list[list[Span]], width: int) -> int:
    """Cells a row: as many as have room for every name and byte; only flags, the last of a cell, may be cut."""
    widest = max((sum(len(span.text) for span in cell[:-1]) for cell in cells), default=0)
    return max(1, min(width // max(CELL, widest + 1), len(cells)))


def shown_frames(state: State) -> set[int]:
    """The frames that get a cell: all that are stored, or, in a big memory, those that somebody refers to by name."""
    if len(state.frames) <= MOST_FRAMES:
        return set(state.frames)
    found = {pfn for reference in state.references.values() for pfn in reference.frames}
    for buffer in islice(state.buffers.values(), MOST_FRAMES):
        heads = islice(buffer.frames, 0, None, HUGE_PAGES)
        found.update(pfn for pfn in heads if _is_block(state.frames.get(pfn)))
    for process, record in state.processes.items():
        found.add(record.pgd)
        vpn = ceiling(state.pte_index, process, 0)
        while vpn is not None and len(found) < MOST_FRAMES:
            found.add(state.ptes[process, vpn].pfn)
            vpn = ceiling(state.pte_index, process, vpn + 1)
    return {pfn for pfn in found if pfn in state.frames}


def _is_block(frame: Frame | None) -> bool:
    """Whether it is the head of a block of 2 MiB."""
    return frame is not None and frame.order == HUGE_ORDER


def _in_block(scene: ShownState, pfn: int) -> bool:
    """Whether the cell of its block says all about a frame: nobody holds, wrote or broke this page of it alone."""
    head, frame, subject = pfn - pfn % HUGE_PAGES, scene.state.frames.get(pfn), f"frame:{pfn}"
    if pfn == head or frame is None or not _is_block(scene.state.frames.get(head)):
        return False
    return not frame.refcount and scene.marks.get(subject, "+") == "+" and subject not in scene.broken


def owner(frame: Frame) -> str:
    """Whose page it is, as far as struct page says: the file and index, or for anonymous memory the page number.

    A block of 2 MiB that a driver owns has the name of its buffer.
    """
    if not frame.mapping:
        return ""
    if _is_block(frame) and frame.kind == "buffer":
        return frame.mapping.removeprefix("bo:")
    if frame.mapping.startswith("anon_vma:"):
        return f"@{frame.index}"
    return f"{frame.mapping}[{frame.index}]"


def _cell(scene: ShownState, pfn: int, frame: Frame, was: Before) -> Iterator[Span]:
    """One frame: number, kind, owner, the three counts, the byte, its flags; only what has changed is marked."""
    subject = f"frame:{pfn}"
    old = was.frames.get(pfn) or frame
    role = scene.part(subject, changed=(old.kind, old.mapping, old.index) != (frame.kind, frame.mapping, frame.index))
    yield scene.sign(subject)
    pages = f"f{pfn}-f{pfn + HUGE_PAGES - 1} " if _is_block(frame) else f"{frame_name(scene.state, pfn)} "
    yield Span(pages.ljust(4), scene.part(subject, changed=False, otherwise="strong"), subject)
    what = frame.kind if frame.kind in {"free", "zero"} else f"{frame.kind} {owner(frame)}".rstrip()
    yield Span(f"{what} ".ljust(10), role, subject)
    if frame.order and not _is_block(frame):
        yield Span(f"order {frame.order} ", role, subject)
    counts = () if frame.kind == "free" else tuple(zip(_counts(frame), _counts(old), ("", "/", "/"), strict=True))
    room = 8 - sum(len(f"{between}{count}") for count, _, between in counts)
    yield Span(" " * max(room, 0), "plain", subject)
    for count, before_it, between in counts:
        yield Span(between, scene.part(subject, changed=False), subject)
        yield Span(f"{count}", scene.part(subject, count != before_it), subject)
    yield Span(" ", "plain", subject)
    yield Span(f"={scene.state.content.get(pfn, 0)}", scene.part(subject, pfn in was.content), subject)
    yield Span(" ", "plain", subject)
    yield Span(" ".join(name for name in names(frame.flags, PAGE_FLAGS) if name not in USUAL), "dim", subject)


def _counts(frame: Frame) -> tuple[int, int, int]:
    """References, entries that map it, pins."""
    return frame.refcount, frame.mapcount, frame.pins


def _table_owners(state: State) -> dict[int, str]:
    """The pfn of a table page → which table of whose it is."""
    owners = {record.pgd: f"{LEVEL_NAMES[3]} {process}" for process, record in state.processes.items()}
    if len(state.tables) <= MOST_FRAMES:
        for (process, level, _), entry in state.tables.items():
            owners[entry.pfn] = f"{LEVEL_NAMES[level - 1]} {process}"
    return owners


def _table(scene: ShownState, pfn: int, owner_name: str) -> list[Span]:
    """One page-table page."""
    subject = f"frame:{pfn}"
    return [*scene.inline_sign(subject), Span(f"f{pfn} {owner_name}".rstrip(), scene.role(subject), subject)]


def _free(scene: ShownState) -> Iterator[list[Span]]:
    """The free list from its head: the next frame to be handed out first."""
    state = scene.state
    pfn = state.counters.get("free_head") or 0
    for _ in range(MOST_FREE):
        if not pfn:
            break
        subject = f"frame:{pfn}"
        byte = state.content.get(pfn, 0)
        yield [Span(f"f{pfn}" + (f"={byte}" if byte else ""), scene.role(subject, "dim"), subject)]
        pfn = state.free.get(pfn) or 0
    high, managed = state.counters.get("high_water") or 0, state.counters.get("managed_pages") or 0
    never = tr("f{first}-f{last}, never used").format(first=high, last=managed - 1)
    lead = f"... {tr('then')} " if pfn else f"{tr('then')} " if state.counters.get("free_head") else ""
    yield [Span(f"{lead}{never}", "dim")]
