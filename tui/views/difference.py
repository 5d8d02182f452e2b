"""Changes as rows, table by table: the sign, the thing, what is different about it."""

from collections.abc import Iterable
from itertools import groupby

from model.memory.state import TABLES, Change, State
from model.script.json_state import TABLE_NAMES
from model.session.timeline import Node, Timeline
from tui.views.change_text import HIDDEN, ChangeRow, change_rows
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
        for each in change_rows(state, members, glyphs.arrow):
            rows += _change(each, width)
    return rows


def between(timeline: Timeline, one: Node, other: Node) -> tuple[Change, ...]:
    """What turns the machine at one node into that at another, tasks included."""
    old, new = one.state.tasks, other.state.tasks
    tasks = (Change("tasks", name, old.get(name), new.get(name)) for name in sorted({*old, *new}))
    return (*timeline.difference(one, other), *(change for change in tasks if change.old != change.new))


def _sortable(key: object) -> tuple[tuple[int, int, str], ...]:
    """A key's parts, numbers by size."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in parts)


def _change(changed: ChangeRow, width: int) -> list[Row]:
    """One change; it is a place for the cursor where the thing is shown in a pane."""
    line, about = changed.line, subject_of(changed.first)
    role = MARK_ROLES[line.sign]
    text = f": {line.text}" if line.text else ""
    spans = [Span(f"{line.sign} ", role, about), Span(line.subject, role, about), Span(text, "plain", about)]
    first, *more = wrap(spans, width - 4)
    return [Row((Span("  "), *first.spans)), *(Row((Span("      "), *each.spans)) for each in more)]


def subject_of(change: Change) -> str:
    """What a change is about, as the panes name it; empty where no pane shows it."""
    if change.table in {"content", "frames"}:
        return f"frame:{change.key}"
    return subject(change.table, change.key) if change.table in SUBJECTS else ""
