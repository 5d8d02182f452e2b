"""Rows and spans: the text of a pane, each piece with its role and with the subject it stands for."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

ROLES: Final = (
    "plain",
    "dim",
    "title",
    "name",
    "key",
    "strong",
    "emph",
    "code",
    "new",
    "changed",
    "gone",
    "ok",
    "hazard",
    "wrong",
    "corruption",
    "splat",
    "now",
    "here",
    "owner0",
    "owner1",
    "owner2",
    "owner3",
    "owner4",
    "owner5",
)
"""Every way a piece of text can look; a theme gives each of them colours and attributes."""


class Span(msgspec.Struct, frozen=True):
    """A piece of a row."""

    text: str
    role: str = "plain"
    subject: str = ""
    """What it stands for, e.g. `frame:5`; a click or the cursor points there. Empty: nothing."""


class Row(msgspec.Struct, frozen=True):
    """One line of a pane."""

    spans: tuple[Span, ...] = ()
    ground: str = ""
    """The role whose background lies under the whole line; empty: the pane's own."""

    @property
    def text(self) -> str:
        """The line as plain text."""
        return "".join(span.text for span in self.spans)


class Stop(msgspec.Struct, frozen=True):
    """A place where the cursor can stand: columns [left, right) of a row, which belong to one subject."""

    row: int
    left: int
    right: int
    subject: str


BLANK: Final = Row()
GAP: Final = Span(" ")


def row(*spans: Span | str) -> Row:
    """A row of spans; bare text is plain."""
    return Row(tuple(span if isinstance(span, Span) else Span(span) for span in spans))


def fitted(spans: tuple[Span, ...], room: int) -> tuple[Span, ...]:
    """Spans in so many columns: the first is cut where they do not fit, and left out where that is not enough."""
    rest = sum(len(span.text) for span in spans[1:])
    if rest > room:
        return ()
    return tuple(
        replace(span, text=cut(span.text, room - rest)) if not number else span for number, span in enumerate(spans)
    )


def stops(rows: Iterable[Row]) -> Iterator[Stop]:
    """Every place for the cursor in reading order; neighbouring spans of one subject are one place."""
    for number, line in enumerate(rows):
        left = right = 0
        subject = ""
        for span in line.spans:
            if span.subject != subject:
                if subject:
                    yield Stop(number, left, right, subject)
                left, subject = right, span.subject
            right += len(span.text)
        if subject:
            yield Stop(number, left, right, subject)


def padded(spans: list[Span], width: int) -> list[Span]:
    """The spans cut or filled up to exactly `width` columns; the filling belongs to no subject."""
    room = width
    kept = []
    for span in spans:
        if len(span.text) >= room:
            kept.append(replace(span, text=cut(span.text, room)))
            return kept
        kept.append(span)
        room -= len(span.text)
    kept.append(Span(" " * room))
    return kept


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, with a sign where something is missing.

    >>> cut("get_user_pages", 8)
    'get_use~'
    """
    return text if len(text) <= width else text[: max(width - 1, 0)] + "~" * (width > 0)


def grid(cells: list[list[Span]], width: int, cell: int, indent: int) -> list[Row]:
    """Cells of equal width side by side, as many a row as fit; the last column of each stays free."""
    columns = max(1, (width - indent) // cell)
    left = Span(" " * indent)
    return [
        Row((left, *(span for spans in cells[at : at + columns] for span in (*padded(spans, cell - 1), GAP))))
        for at in range(0, len(cells), columns)
    ]


def flow(label: list[Span], items: list[list[Span]], width: int, indent: int) -> list[Row]:
    """A label, then items of different width one after the other, wrapped with an indent where a row is full."""
    rows: list[Row] = []
    spans, used, fresh = list(label), sum(len(span.text) for span in label), True
    for item in items:
        size = sum(len(span.text) for span in item)
        if used + size + (0 if fresh else 2) > width and spans:
            rows.append(Row(tuple(spans)))
            spans, used, fresh = [Span(" " * indent)], indent, True
        if not fresh:
            spans.append(Span("  "))
            used += 2
        spans += item
        used += size
        fresh = False
    rows.append(Row(tuple(spans)))
    return rows


def squeeze(text: str, width: int) -> str:
    """A sentence in at most `width` columns; what follows its last semicolon, mostly advice, stays whole.

    >>> squeeze("`x` is none of this and that; did you mean `y`?", 36)
    '`x` is none of t~; did you mean `y`?'
    """
    if len(text) <= width:
        return text
    head, semicolon, tail = text.rpartition(";")
    room = width - len(semicolon + tail)
    return cut(head, room) + semicolon + tail if semicolon and room > width // 4 else cut(text, width)
