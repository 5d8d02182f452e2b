"""Rows as styled segments, what differs between two of them, and which place is nearest."""

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from rich.style import Style

from tui.views.row import BLANK, Row, Stop

Looks = tuple[dict[str, Style], dict[str, Style], dict[str, Style], dict[str, Style]]
"""Role → style: plainly, lit up, under the cursor, and what is not lit where all else is dimmed."""


def segments(
    line: Row, looks: Looks, left: int, right: int, lit: tuple[str, ...], *, dims: bool = False
) -> Iterable[Segment]:
    """The spans of a row in their styles; neighbours of one style are one segment."""
    plainly, lit_up, under_cursor, dimmed = looks
    rest = dimmed if dims else plainly
    text, style, at = "", plainly["plain"], 0
    for span in line.spans:
        if left <= at < right:
            own = under_cursor[span.role]
        elif lit and span.subject in lit:
            own = lit_up[span.role]
        else:
            own = rest[span.role]
        at += len(span.text)
        if own is style:
            text += span.text
            continue
        if text:
            yield Segment(text, style)
        text, style = span.text, own
    if text:
        yield Segment(text, style)


def row_at(rows: Sequence[Row], number: int) -> Row:
    """A row, or an empty one past the end."""
    return rows[number] if 0 <= number < len(rows) else BLANK


def difference(old: Row, new: Row) -> tuple[int, int]:
    """Columns [left, right) outside which two rows look the same.

    >>> from tui.views.row import Span
    >>> difference(Row((Span("ab"), Span("c"))), Row((Span("ab"), Span("x"))))
    (2, 3)
    """
    a, b = old.spans, new.spans
    widths = sum(len(span.text) for span in a), sum(len(span.text) for span in b)
    left = first = 0
    while first < min(len(a), len(b)) and a[first] == b[first]:
        left += len(a[first].text)
        first += 1
    right = max(widths)
    if widths[0] == widths[1]:
        last = 1
        while last <= min(len(a), len(b)) - first and a[-last] == b[-last]:
            right -= len(a[-last].text)
            last += 1
    return left, right


def nearest(places: Sequence[Stop], row: int, left: int) -> Stop | None:
    """The stop nearest to a place: by rows first, then by columns."""
    return min(places, key=lambda stop: (abs(stop.row - row), abs(stop.left - left)), default=None)
