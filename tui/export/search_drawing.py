"""What a search has found, as SVG and Markdown: the way in time and space, the nearest safe schedule beside it."""

from collections.abc import Sequence
from typing import Final

from tui.export.picture_svg import Drawing, svg
from tui.views.glyphs import UNICODE
from tui.views.row import BLANK, Row
from tui.views.time_space import DrawnSchedule, legend, schedules

BESIDE: Final = 180
"""Columns where the two stand side by side: on a slide."""
BELOW: Final = 110
"""Columns where one stands below the other: in text."""


def as_svg(shown: Sequence[DrawnSchedule], title: str) -> str:
    """The drawing with strokes of its own."""
    return svg([Drawing(title, _rows(shown, BESIDE if len(shown) > 1 else BELOW))], title)


def as_markdown(shown: Sequence[DrawnSchedule], title: str) -> str:
    """The drawing as a block of text."""
    lines = (line.text.rstrip() for line in _rows(shown, BELOW))
    return "\n".join((f"# {title}", "", "```text", *lines, "```", ""))


def _rows(shown: Sequence[DrawnSchedule], width: int) -> list[Row]:
    return [legend(UNICODE), BLANK, *schedules(shown, width, UNICODE)]
