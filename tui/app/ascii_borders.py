"""What Textual itself draws (frames, scroll bars, a magnifying glass), for terminals that have only ASCII."""

from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

HORIZONTAL: Final = "─━═▔▁▀▄"
VERTICAL: Final = "│┃║▌▐▊▎▍▋▉▏▕█"
CORNERS: Final = "┌┐└┘╭╮╰╯├┤┬┴┼▛▜▙▟▗▖▝▘"
OTHER: Final = {"…": ".", "🔎": "> ", "→": ">", "←": "<", "↑": "^", "↓": "v", "·": ".", "•": "*", "●": "*", "▶": ">"}
SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys(HORIZONTAL, "-"),
        **dict.fromkeys(VERTICAL, "|"),
        **dict.fromkeys(CORNERS, "+"),
        **dict.fromkeys("▂▃▅▆▇", " "),
        **OTHER,
    }
)


class OnlyAscii(LineFilter):
    """Signs become others of the same width; letters stay, whatever their language."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Change what is about to be drawn."""
        del background
        return [
            segment if segment.text.isascii() else Segment(_same_width(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def _same_width(text: str) -> str:
    """The text in other signs.

    >>> _same_width("🔎 Ü…▔▂▌")
    '>  Ü.- |'
    """
    plain = text.translate(SIGNS)
    assert cell_len(plain) == cell_len(text)
    return plain
