"""Characters that a terminal carries out instead of showing them, in whatever the app draws."""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from model.text.words import HIDDEN

SIGN = "?"
"""In place of each: names of files and messages of the system are drawn as they come, and may have any character."""


class OnlyVisible(LineFilter):
    """Each such character becomes a question mark."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Change what is about to be drawn."""
        del background
        return [
            Segment(HIDDEN.sub(SIGN, segment.text), segment.style)
            if not segment.control and HIDDEN.search(segment.text)
            else segment
            for segment in segments
        ]
