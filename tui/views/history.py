"""The timeline strip and the log."""

from collections.abc import Iterator
from typing import Final

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import Row, Span, cut, row
from tui.views.view_model import LogLine, Picture, ShownHistory

STEP: Final = 2
"""Columns of one node and the line to the next."""
FURTHER: Final = 2
"""Columns by which the rest of a long line of the log stands further in."""


def timeline(history: ShownHistory, width: int, glyphs: Glyphs) -> list[Row]:
    """Past, present and future as a strip, and below it where we are."""
    told = next((told for told in history.captions if len(told) <= width), (*history.captions, "")[-1])
    caption = row(Span(cut(told, width), "dim"))
    if not history.nodes:
        return [row(Span(tr("nothing has happened yet"), "dim")), caption]
    room = max((width - 4) // STEP, 1)
    first = max(0, min(history.here - room * 2 // 3, len(history.nodes) - room))
    shown = history.nodes[first : first + room]
    spans = [Span("<" if first else " ", "dim")]
    for number, node in enumerate(shown, first):
        subject = f"node:{node.number}"
        if number == history.here:
            sign, role = glyphs.here, "here"
        elif node.severity:
            sign = glyphs.caution if node.severity == "hazard" else glyphs.broken
            role = node.severity
        elif node.name:
            sign, role = glyphs.named, "key"
        elif number < history.here:
            sign, role = glyphs.node, "now"
        else:
            sign, role = glyphs.ahead, "dim"
        spans.append(Span(sign, role, subject))
        link = "+" if node.branches else "|" if node.command else glyphs.link
        spans.append(
            Span(link if number < len(history.nodes) - 1 or node.branches else " ", "key" if node.branches else "dim")
        )
    spans.append(Span(">" if first + room < len(history.nodes) else " ", "dim"))
    return [Row(tuple(spans)), caption]


def log(picture: Picture, width: int, *, muted: bool = False) -> list[Row]:
    """The lines of the log, the newest last; `muted`: without those that name a broken rule."""
    lines = (line for line in picture.log if not (muted and line.alarm))
    return [told for line in lines for told in _line(line, width)]


def _line(line: LogLine, width: int) -> Iterator[Row]:
    """A line of the log; what does not fit stands below, further in."""
    indent = " " * (len(line.text) - len(line.text.lstrip()))
    for at, text in enumerate(wrap([Span(line.text.lstrip())], width - len(indent) - FURTHER)):
        yield row(Span(f"{indent}{' ' * FURTHER if at else ''}{text.text}", line.role, line.subject))
