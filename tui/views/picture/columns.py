"""How the columns of the picture are divided, and what each of its cells says in the same way."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tui.views.picture.legend import sign
from tui.views.picture.levels import LANE
from tui.views.picture.picture_state import PictureState

LEAST: Final = 76
"""Columns that the picture needs."""
WITH_LEVELS: Final = 150
"""Columns from which the upper levels of the page table have room."""
SEVERE: Final = frozenset({"corruption", "splat"})


class Widths(msgspec.Struct, frozen=True):
    """Columns of the five parts, and of two pieces of the first."""

    cell: int
    left: int
    box: int
    right: int
    holder: int
    name: int
    levels: int
    """For the upper levels of the page table; 0 where there is no room for them."""

    @property
    def whole(self) -> int:
        """Columns of all five parts."""
        return self.cell + self.left + self.box + self.right + self.holder


@lru_cache(maxsize=64)
def widths(width: int) -> Widths:
    """How the columns are divided: what is more than LEAST goes to levels, text and lines.

    >>> widths(76)
    Widths(cell=21, left=9, box=24, right=7, holder=15, name=12, levels=0)
    >>> widths(150).whole
    150
    """
    shown = LANE if width >= WITH_LEVELS else 0
    more = max(width - LEAST - shown, 0)
    name, inner, box, holder = 12 + more // 12, 6 + more // 16, 24 + more // 5, 15 + more // 4
    cell = 3 + name + shown + inner
    gap = width - cell - box - holder
    return Widths(cell, (gap + 2) // 2, box, gap - (gap + 2) // 2, holder, name, shown)


class Cells:
    """Writes one kind of cells of one drawing."""

    def __init__(self, drawn: PictureState, columns: Widths) -> None:
        self.drawn = drawn
        self.scene = drawn.scene
        self.state = drawn.state
        self.columns = columns

    def mark(self, subject: str) -> str:
        """One column: what is broken, else what changed."""
        severity = self.scene.broken.get(subject)
        if severity:
            return sign("corruption") if severity in SEVERE else sign("hazard")
        return self.scene.marks.get(subject, " ")

    def role(self, subject: str, otherwise: str) -> str:
        """How a thing looks: in its owner's colour, struck through where it has gone."""
        return "gone" if self.scene.marks.get(subject) == "-" else otherwise


def longest(ways: Sequence[str], room: int) -> str:
    """The first way to write something that has room, else the last, which is the shortest."""
    return next((way for way in ways if len(way) <= room), ways[-1])
