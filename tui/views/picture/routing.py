"""Lines through a channel: which vertical track each line takes, so that none lies on another.

A channel has rows on two sides. A *net* joins some rows of the near side to some of the far side: horizontally from
the near side to its track, along the track, and on to the far side. This is channel routing as chips have it; tracks
are given out by the left-edge algorithm (Hashimoto and Stevens, 1971): by upper end, each to the first track that is
free there. Where one net leaves a row on which another comes in, the one that leaves must turn off first.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tui.views.row import Span


class End(msgspec.Struct):
    """One end of a net: a row, and how its piece of the line looks."""

    row: int
    style: str
    """Which pieces it is drawn with: light, heavy, double, dash."""
    role: str
    subject: str
    hollow: bool = False
    """No unit of the count belongs to it."""


class Net(msgspec.Struct):
    """A line with all its ends."""

    near: list[End] = []
    far: list[End] = []
    late: int = 0
    """Of those that leave one row, the higher turns off later."""
    track: int = 0

    @property
    def rows(self) -> set[int]:
        """Every row that it touches."""
        return {end.row for end in (*self.near, *self.far)}

    @property
    def top(self) -> int:
        """Its first row."""
        return min(end.row for end in (*self.near, *self.far))

    @property
    def bottom(self) -> int:
        """Its last row."""
        return max(end.row for end in (*self.near, *self.far))

    @property
    def straight(self) -> bool:
        """Whether it runs straight across and needs no track."""
        return self.top == self.bottom


def left_edge(nets: Sequence[Net]) -> int:
    """Give every net that bends a track, 0 nearest to the near side; how many tracks that takes.

    Two entries that are swapped (each leaves the row where the other comes in) cannot both turn off first: then one
    crosses the other.
    """
    bent = sorted((net for net in nets if not net.straight), key=lambda net: (net.top, net.bottom, net.late))
    before = [_before(net, bent) for net in bent]
    placed: set[int] = set()
    track = 0
    while len(placed) < len(bent):
        rest = [number for number in range(len(bent)) if number not in placed]
        end, took = -1, []
        for number in rest:
            if bent[number].top > end and before[number] <= placed:
                took.append(number)
                end = bent[number].bottom
        for number in took or rest[:1]:
            bent[number].track = track
            placed.add(number)
        track += 1
    return track


def _before(net: Net, nets: Sequence[Net]) -> set[int]:
    """The nets that must have turned off before this one."""
    coming, leaving = {end.row for end in net.far}, {end.row for end in net.near}
    found = set()
    for number, other in enumerate(nets):
        if other is net:
            continue
        gone = {end.row for end in other.near}
        if gone & coming or (gone & leaving and (other.late, number) < (net.late, nets.index(net))):
            found.add(number)
    return found


MOST_APART: Final = 6
"""Columns between two tracks where there is room: what is dotted beside a line that has turned off must be seen."""
Cell = tuple[str, str, str]
"""A sign, its role and its subject."""
BLANK: Cell = (" ", "plain", "")


class Channel:
    """The columns between two sides, row by row. The near side is at column 0; mirrored, that is on the right."""

    def __init__(self, width: int, rows: int, *, mirrored: bool = False) -> None:
        self.width = width
        self.mirrored = mirrored
        self.rows: list[list[Cell] | None] = [None] * rows
        """Only the rows in which something is drawn."""

    def at(self, row: int) -> list[Cell]:
        """The cells of a row, to draw in."""
        cells = self.rows[row]
        if cells is None:
            cells = self.rows[row] = [BLANK] * self.width
        return cells

    def draw(self, nets: Sequence[Net], pieces: dict[str, str], tips: Sequence[str]) -> None:
        """All nets, routed. `tips` are the arrow heads at the far side: counted, hollow, and none where dashed."""
        tracks = left_edge(nets)
        first, step = self._tracks(tracks)
        columns = {id(net): min(max(first + step * net.track, 0), self.width - 2) for net in nets}
        for net in nets:
            if not net.straight:
                self._trunk(net, columns[id(net)], pieces)
        for net in nets:
            self._ends(net, columns[id(net)], pieces, tips)

    def _tracks(self, tracks: int) -> tuple[int, int]:
        """The column of the first track, and the columns from one to the next.

        On the left they stand apart where there is room, so that what is dotted beside a line that has turned off is
        seen, and a byte has room on its way.
        """
        room = self.width - 1
        if 2 * tracks > room:
            return room - tracks, 1
        if self.mirrored or tracks > 2:
            return room - 2 * tracks, 2
        return (room // 2, 2) if tracks < 2 else (room - 2 - min(room - 5, MOST_APART), min(room - 5, MOST_APART))

    def _trunk(self, net: Net, column: int, pieces: dict[str, str]) -> None:
        """The vertical piece: horizontal ones are drawn over it, so where lines cross the horizontal stays whole."""
        look = net.far[0] if net.far else net.near[0]
        drawn = pieces[look.style][3]
        for row in range(net.top + 1, net.bottom):
            self.at(row)[column] = (drawn, look.role, look.subject)

    def _ends(self, net: Net, column: int, pieces: dict[str, str], tips: Sequence[str]) -> None:
        """The horizontal pieces, and the corners where they meet the trunk."""
        if net.straight:
            for end in net.near:
                self._fill(end, 0, self.width, pieces)
            far = net.far[0] if net.far else None
        else:
            top, bottom = net.top, net.bottom
            arms: dict[int, int] = {}
            for end in net.near:
                self._fill(end, 0, column, pieces)
                arms[end.row] = arms.get(end.row, 0) | 4
            for end in net.far:
                self._fill(end, column + 1, self.width, pieces)
                arms[end.row] = arms.get(end.row, 0) | 8
            look = net.far[0] if net.far else net.near[0]
            for row, arm in arms.items():
                whole = arm | (1 if row > top else 0) | (2 if row < bottom else 0)
                if look.style == "dash" and self.at(row)[column][0] in _solid(*pieces.values()):
                    continue
                self.at(row)[column] = (pieces[look.style][whole], look.role, look.subject)
            far = None
        hollow = all(end.hollow for end in net.near)
        for end in [far] if far is not None else net.far:
            if end.style != "dash":
                self.at(end.row)[self.width - 1] = (tips[hollow], end.role, end.subject)

    def _fill(self, end: End, start: int, stop: int, pieces: dict[str, str]) -> None:
        """A horizontal piece; a dashed one lets what is drawn already be."""
        cells = self.at(end.row)
        cell = (pieces[end.style][12], end.role, end.subject)
        dashed = end.style == "dash"
        for column in range(max(start, 0), stop):
            if not dashed or cells[column] is BLANK:
                cells[column] = cell

    def free(self, row: int) -> int:
        """Columns on the near side of a row in which nothing is drawn."""
        cells = self.rows[row]
        if cells is None:
            return self.width
        return next((column for column, cell in enumerate(cells) if cell is not BLANK), self.width)

    def spans(self, row: int, without: int = 0) -> list[Span]:
        """A row as spans, from left to right; without so many columns on the near side."""
        cells, without = self.rows[row], max(without, 0)
        if cells is None:
            return [Span(" " * (self.width - without))]
        cells = cells[without:]
        return list(joined(reversed(cells) if self.mirrored else cells))


@lru_cache(maxsize=2)
def _solid(light: str, heavy: str, double: str, dash: str) -> frozenset[str]:
    """Pieces of lines that lead somewhere: a dotted one that turns off there lets them be."""
    return frozenset(light + heavy + double).difference(dash)


def joined(cells: Iterable[Cell]) -> Iterable[Span]:
    """Neighbouring cells of one role and subject are one span."""
    text, role, subject = "", "", ""
    for drawn, its_role, its_subject in cells:
        if text and (its_role != role or its_subject != subject):
            yield Span(text, role, subject)
            text = ""
        text += drawn
        role, subject = its_role, its_subject
    if text:
        yield Span(text, role, subject)
