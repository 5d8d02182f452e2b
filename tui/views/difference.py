"""Changes as rows, table by table: the sign, the thing, what is different about it."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from model.memory.state import TABLES, Change, State
from model.script.json_state import TABLE_NAMES
from model.session.timeline import Node, Timeline
from tui.views.change_text import HIDDEN, ChangeLine, change_line
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, row
from tui.views.shown_state import MARK_ROLES, SUBJECTS, subject

ORDER = {table.name: number for number, table in enumerate(TABLES)}


def difference(
    state: State, changes: Iterable[Change], width: int, glyphs: Glyphs, *, everything: bool = False
) -> list[Row]:
    """The changes in words, as they look in the State after them; the kernel's bookkeeping only where asked for."""
    shown = [change for change in changes if everything or change.table not in HIDDEN]
    shown.sort(key=lambda change: (ORDER[change.table], _sortable(change.key)))
    rows: list[Row] = []
    for table, members in groupby(shown, key=lambda change: change.table):
        if rows:
            rows.append(BLANK)
        rows.append(row(Span(TABLE_NAMES.get(table, table).replace("_", " "), "strong")))
        for run in _runs(state, members, glyphs):
            rows += _change(run, width)
    return rows


def between(timeline: Timeline, one: Node, other: Node) -> tuple[Change, ...]:
    """What turns the machine at one node into that at another, tasks included."""
    old, new = one.state.tasks, other.state.tasks
    tasks = (Change("tasks", name, old.get(name), new.get(name)) for name in sorted({*old, *new}))
    return (*timeline.difference(one, other), *(change for change in tasks if change.old != change.new))


class _Run(NamedTuple):
    """One change, or as many frames in a row as have changed alike."""

    change: Change
    line: ChangeLine
    last: int = -1
    """The last of the frames; -1: it is one change."""


def _runs(state: State, changes: Iterable[Change], glyphs: Glyphs) -> Iterator[_Run]:
    """The changes in words; a block of 2 MiB is one line, not 512."""
    run: _Run | None = None
    for change in changes:
        line = change_line(state, change, glyphs.arrow)
        if run is not None and isinstance(change.key, int):
            end = run.last if run.last >= 0 else run.change.key
            if change.key == end + 1 and line._replace(subject="") == run.line._replace(subject=""):
                run = run._replace(last=change.key)
                continue
        if run is not None:
            yield run
        run = _Run(change, line)
    if run is not None:
        yield run


def _sortable(key: object) -> tuple[tuple[int, int, str], ...]:
    """A key's parts, numbers by size."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in parts)


def _change(run: _Run, width: int) -> list[Row]:
    """One change; it is a place for the cursor where the thing is shown in a pane."""
    line, about = run.line, subject_of(run.change)
    role = MARK_ROLES[line.sign]
    name = f"{line.subject}-{run.last}" if run.last >= 0 else line.subject
    text = f": {line.text}" if line.text else ""
    spans = [Span(f"{line.sign} ", role, about), Span(name, role, about), Span(text, "plain", about)]
    first, *more = wrap(spans, width - 4)
    return [Row((Span("  "), *first.spans)), *(Row((Span("      "), *each.spans)) for each in more)]


def subject_of(change: Change) -> str:
    """What a change is about, as the panes name it; empty where no pane shows it."""
    if change.table in {"content", "frames"}:
        return f"frame:{change.key}"
    return subject(change.table, change.key) if change.table in SUBJECTS else ""
