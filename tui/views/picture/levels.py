"""The levels of the page table above a page, and how far a walk has come."""

from collections.abc import Iterator
from typing import Final

import msgspec

from lessons.i18n.language import tr
from model.memory.state import Change
from tui.views.picture.fold import FoldedRun
from tui.views.picture.history import Page
from tui.views.picture.legend import sign
from tui.views.picture.picture_state import PictureState
from tui.views.row import Span
from tui.views.shown_state import INDEX_BITS, INDEX_MASK, LEVEL_NAMES
from tui.views.table_under_walk import HARMLESS, fate_of, stranded

ITEM: Final = 7
"""Columns of one level: `f4[16]`."""
LANE: Final = 4 * (ITEM + 1)
"""Columns of all four, a sign before each."""


class Level(msgspec.Struct, frozen=True):
    """One entry on the way down to a page."""

    level: int
    """3 = PGD … 0 = PTE."""
    table: int | None
    """The frame of the table in which it stands; None: there is no such table."""
    number: int
    """Of the entry in the table."""
    subject: str


def levels(drawn: PictureState, page: Page) -> Iterator[Level]:
    """From the PGD down to the PTE, or to the PMD that maps 2 MiB."""
    process, vpn = page
    record = drawn.state.processes.get(process)
    table: int | None = record.pgd if record is not None else None
    for level in (3, 2, 1, 0):
        index = vpn >> INDEX_BITS * level
        subject = f"table:{process}:{level}:{index}" if level else f"pte:{process}:{vpn}"
        yield Level(level, table, index & INDEX_MASK, subject)
        entry = drawn.state.tables.get((process, level, index)) if level else None
        if entry is not None and entry.huge:
            return
        table = entry.pfn if entry is not None and entry.kind == "page" else None


def lane(drawn: PictureState, run: FoldedRun, *, whole: bool) -> list[Span]:
    """The four levels of some pages; only the PTE where the row above has the same table."""
    walked = drawn.last.walked
    here = walked is not None and (run.process, run.first) <= walked < (run.process, run.stop)
    spans: list[Span] = []
    for one in levels(drawn, walked if here and walked is not None else run.page):
        shown = whole or here or not one.level
        text = f"f{one.table}[{one.number}]" if one.table is not None else "-"
        reached = here and one.level >= drawn.last.level
        before = sign("walked") if reached else drawn.scene.marks.get(one.subject, " ") if one.level else " "
        role = "dim" if not reached else "here" if one.level == drawn.last.level else "now"
        text, before = (text, before) if shown else ("", " ")
        spans += [Span(before, "dim"), Span(text[:ITEM], role, one.subject if text else "")]
        spans.append(Span(" " * (ITEM - len(text[:ITEM]))))
    missing = LANE - sum(len(span.text) for span in spans)
    return [*spans, Span(" " * missing)]


def lane_head() -> str:
    """What stands above the lane."""
    return "".join(f" {LEVEL_NAMES[level]:<{ITEM}}" for level in (3, 2, 1, 0))


def progress(drawn: PictureState, process: str, width: int) -> list[Span]:
    """How far a walk in this process has come, which tables have come or gone, or where one is missing."""
    walked = drawn.last.walked
    if walked is None or walked[0] != process:
        return (
            _left_behind(drawn, process, width)
            or _tables_changed(drawn, process, width)
            or _empty_pmd(drawn, process, width)
        )
    spans: list[Span] = []
    found = list(levels(drawn, walked))
    for level in (3, 2, 1, 0):
        reached = level >= drawn.last.level
        role = "here" if level == drawn.last.level else "now" if reached else "dim"
        spans.append(Span((sign("walked") if reached else " ") + LEVEL_NAMES[level], role))
    at = next((one for one in found if one.level == drawn.last.level), None)
    where = f" f{at.table}[{at.number}]" if at is not None and at.table is not None else ""
    room = width - sum(len(span.text) for span in spans)
    return [*spans, Span(f"{where[:room]:<{room}}", "now", at.subject if at is not None and where else "")]


def _left_behind(drawn: PictureState, process: str, width: int) -> list[Span]:
    """A walk that stands in a table which has been taken away from under it, and what that is by now."""
    for name, table in stranded(drawn.state, process):
        fate, owner = fate_of(drawn.state, table)
        match fate:
            case "free":
                now = tr("free")
            case "data":
                now = tr("data")
            case "kept":
                now = "RCU"
            case "out":
                now = tr("taken out")
            case "other" | "shared":
                now = owner
        text = f" {name} {tr('in')} f{table}: {now}"
        role = "hazard" if fate in HARMLESS else "corruption"
        return [Span(text[:width].ljust(width), role, f"frame:{table}")]
    return []


def _is_marker(change: Change) -> bool:
    """Whether no table is concerned: what has come or gone stands in place of a huge entry."""
    return any(entry is not None and entry.kind == "marker" for entry in (change.old, change.new))


def _tables_changed(drawn: PictureState, process: str, width: int) -> list[Span]:
    """The levels, with a sign at each that has got or lost a table, and the last of these tables."""
    hung_in: dict[int, int] = {}
    taken_out: dict[int, int] = {}
    for change in drawn.scene.changes:
        if change.table != "tables" or change.key[0] != process or _is_marker(change):
            continue
        if change.old is None and not change.new.huge:
            hung_in[change.key[1] - 1] = change.new.pfn
        elif change.new is None and not change.old.huge:
            taken_out[change.key[1] - 1] = change.old.pfn
    changed = hung_in or taken_out
    if not changed:
        return []
    mark, role = ("+", "new") if hung_in else ("-", "gone")
    spans = [
        Span(f"{mark if level in changed else ' '}{LEVEL_NAMES[level]}", role if level in changed else "dim")
        for level in (3, 2, 1, 0)
    ]
    table = changed[min(changed)]
    others = [other for other, _ in drawn.state.shared_tables.get(table) or () if other != process]
    text = f" f{table}" + (f"={others[0]}" if others else "")
    room = width - sum(len(span.text) for span in spans)
    return [*spans, Span(text[:room].ljust(room), role, f"frame:{table}")]


def _empty_pmd(drawn: PictureState, process: str, width: int) -> list[Span]:
    """The entry that led to a table which was taken out with all that is in it."""
    for owner, block in sorted(drawn.taken_out):
        if owner == process:
            text = f" PMD[{block & INDEX_MASK}] {tr('is empty')}"
            return [Span(text[:width].ljust(width), "hazard", f"table:{process}:1:{block}")]
    return [Span(" " * width)]
