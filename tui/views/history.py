"""The timeline strip and the log."""

from typing import Final

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut, row
from tui.views.view_model import Picture, ShownHistory

STEP: Final = 2
"""Columns of one node and the line to the next."""


def timeline(history: ShownHistory, width: int, glyphs: Glyphs) -> list[Row]:
    """Past, present and future as a strip, and below it where we are."""
    caption = row(Span(cut(history.caption, width), "dim"))
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


def log(picture: Picture, width: int) -> list[Row]:
    """The lines of the log, the newest last."""
    return [row(Span(cut(line.text, width), line.role, line.subject)) for line in picture.log]
