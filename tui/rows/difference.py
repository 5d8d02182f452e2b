"""Changes as rows, table by table: the sign, the thing, what is different about it."""

from collections.abc import Iterable
from itertools import groupby

from model.memory.state import TABLES, Change, State
from model.script.picture import TABLE_NAMES
from tui.changes import HIDDEN, change_line
from tui.rows.glyphs import Glyphs
from tui.rows.markdown import wrap
from tui.rows.row import BLANK, Row, Span, row
from tui.rows.scene import MARK_ROLES, SUBJECTS, subject

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
        for change in members:
            rows += _change(state, change, width, glyphs)
    return rows


def _sortable(key: object) -> tuple[tuple[int, int, str], ...]:
    """A key's parts, numbers by size."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in parts)


def _change(state: State, change: Change, width: int, glyphs: Glyphs) -> list[Row]:
    """One change; it is a place for the cursor where the thing is shown in a pane."""
    line = change_line(state, change, glyphs.arrow)
    about = subject_of(change)
    role = MARK_ROLES[line.sign]
    text = f": {line.text}" if line.text else ""
    spans = [Span(f"{line.sign} ", role, about), Span(line.subject, role, about), Span(text, "plain", about)]
    first, *more = wrap(spans, width - 4)
    return [Row((Span("  "), *first.spans)), *(Row((Span("      "), *each.spans)) for each in more)]


def subject_of(change: Change) -> str:
    """What a change is about, as the panes name it; empty where no pane shows it."""
    if change.table == "content":
        return f"frame:{change.key}"
    if change.table == "frames":
        return f"frame:{change.key}"
    return subject(change.table, change.key) if change.table in SUBJECTS else ""
