"""Time and space as rows: lanes on the left, what they share on the right, reads and writes as arrows between.

● step   ○ reads   ▶ writes   ┊ still believes   ═ no way back; a cross: uses what is no longer so
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from lessons.i18n.language import tr
from model.memory.buffer_records import Buffer
from model.memory.records import Frame, Lock, Pte, Reference, TlbEntry
from model.session.interleaving import Interleaving, Lane, LaneStep, SharedEntry, tells
from tui.views.glyphs import ASCII, Glyphs
from tui.views.row import BLANK, Row, Span, cut, row
from tui.views.shown_state import pfn_name


class Signs(NamedTuple):
    """What the drawing is made of; each is one column wide."""

    step: str
    reads: str
    writes: str
    runs: str
    """The lane is under way; the entry is there."""
    absent: str
    """The entry is empty."""
    believes: str
    stale: str
    line: str
    no_way: str
    folded: str


UNICODE_SIGNS: Final = Signs("●", "○", "▶", "│", "╎", "┊", "\N{BOX DRAWINGS LIGHT DIAGONAL CROSS}", "─", "═", "⋮")
ASCII_SIGNS: Final = Signs("o", "~", ">", "|", ":", ".", "x", "-", "=", ":")

NARROWEST_LANE: Final = 16
WIDEST_LANE: Final = 27
LEAST_COLUMNS: Final = 3
"""Shared entries that must have room beside lanes with texts of their own."""
COLUMN: Final = 12
"""Columns for one shared entry: its sign and its value."""
SIDE_BY_SIDE: Final = 88
"""Columns that each of two drawings needs to stand beside the other …"""
GAP: Final = 4
"""… and those between them."""
HEADING: Final = 3
"""Lines that a command takes above its lane at most."""
LANE_ROLES: Final = ("name", "key", "code", "ok", "title", "now")
"""How lanes are told apart besides by their place; repeated where there are more."""


def legend(glyphs: Glyphs) -> Row:
    """The signs in one line."""
    signs = signs_of(glyphs)
    words = (
        (signs.step, tr("step")),
        (signs.reads, tr("reads")),
        (signs.writes, tr("writes")),
        (signs.believes, tr("believes")),
        (signs.stale, tr("stale use")),
        (signs.no_way, tr("no way back")),
    )
    return row(*(span for sign, word in words for span in (Span(f" {sign} ", "strong"), Span(word, "dim"))))


def signs_of(glyphs: Glyphs) -> Signs:
    """The signs that this terminal can show."""
    return ASCII_SIGNS if glyphs is ASCII else UNICODE_SIGNS


class Across(NamedTuple):
    """A line through all lanes: before this step, by its number, with these words."""

    before: int
    words: str


def time_space(found: Interleaving, width: int, glyphs: Glyphs, across: Across | None = None) -> list[Row]:
    """The drawing in `width` columns."""
    if not found.steps:
        return [row(Span(tr("Nothing has run here yet."), "dim"))]
    return list(_Drawing(found, width, signs_of(glyphs), glyphs, across).rows())


class DrawnSchedule(NamedTuple):
    """One of several schedules to be compared: what it is, its steps, and where it parts from the others."""

    name: str
    found: Interleaving
    across: Across | None = None


def schedules(shown: Sequence[DrawnSchedule], width: int, glyphs: Glyphs) -> list[Row]:
    """Schedules beside each other where each has room, else one below the other."""
    side = (width - GAP * (len(shown) - 1)) // len(shown)
    if len(shown) == 1 or side < SIDE_BY_SIDE:
        return [line for schedule in shown for line in (BLANK, *_named(schedule, width, glyphs))][1:]
    columns = [_named(schedule, side, glyphs) for schedule in shown]
    rows = []
    for lines in zip_longest(*columns, fillvalue=BLANK):
        *before, last = lines
        spans = [span for line in before for span in (*line.spans, Span(" " * (side + GAP - len(line.text))))]
        rows.append(Row((*spans, *last.spans)))
    return rows


def _named(schedule: DrawnSchedule, width: int, glyphs: Glyphs) -> list[Row]:
    """One schedule under its name."""
    return [row(Span(cut(schedule.name, width), "title")), *time_space(schedule.found, width, glyphs, schedule.across)]


class _Drawing:
    """One drawing, row by row."""

    def __init__(self, found: Interleaving, width: int, signs: Signs, glyphs: Glyphs, across: Across | None) -> None:
        self.found = found
        self.signs = signs
        self.glyphs = glyphs
        self.across = across
        self.width = width
        lanes = len(found.lanes)
        columns = min(len(found.shared), (width - lanes * NARROWEST_LANE) // COLUMN)
        self.narrow = columns < min(len(found.shared), LEAST_COLUMNS)
        """No room for a text in each lane: they are one column each, and share one for their texts."""
        if self.narrow:
            columns = min(len(found.shared), max(1, (width - 2 * lanes - WIDEST_LANE) // COLUMN))
        self.lane_width = 2 if self.narrow else min(WIDEST_LANE, (width - columns * COLUMN) // lanes)
        self.left = 2 * lanes + WIDEST_LANE if self.narrow else self.lane_width * lanes
        self.shared = found.shared[:columns]
        self.values: dict[int, Any] = {number: one.before for number, one in enumerate(self.shared)}
        self.first = {lane: self._of(lane)[0] for lane in range(lanes)}
        self.last = {lane: self._of(lane)[-1] for lane in range(lanes)}
        self.believes = {
            lane: (trust.broken, trust.until, trust.reference)
            for lane in range(lanes)
            for trust in found.trusts
            if trust.lane == lane and trust.reference
        }
        self.stale = {number for trust in found.trusts for number in trust.stale}

    def _of(self, lane: int) -> list[int]:
        return [number for number, step in enumerate(self.found.steps) if step.lane == lane]

    def rows(self) -> Iterator[Row]:
        """Heading, steps, and what they broke."""
        yield from self._heading()
        folded: set[int] = set()
        """Lanes with steps that are not shown, since their last one that is."""
        shown = self._telling()
        for number, step in enumerate(self.found.steps):
            if self.across is not None and number == self.across.before:
                yield self._across(self.across)
            if number not in shown:
                folded.add(step.lane)
                continue
            yield self._step(number, step, self.signs.folded if step.lane in folded else " ")
            folded.discard(step.lane)
            for broken in step.violations:
                sign = self.glyphs.caution if broken.severity == "hazard" else self.glyphs.broken
                indent = 0 if self.narrow else self.lane_width * step.lane
                text = cut(f"{sign} {broken.severity} {broken.invariant}", self.width - indent)
                yield row(Span(" " * indent), Span(text, broken.severity, f"moment:{step.node}"))

    def _telling(self) -> set[int]:
        """The steps that are shown: those that tell something, and of a lane that has none its last one."""
        entries = [one.entry for one in self.shared]
        found = {number for number, step in enumerate(self.found.steps) if number in self.stale or tells(step, entries)}
        lanes = {self.found.steps[number].lane for number in found}
        return found | {last for lane, last in self.last.items() if lane not in lanes}

    def _heading(self) -> Iterator[Row]:
        """Who runs, and what is shared, with its value before."""
        titles = [Span(cut(title(one), COLUMN - 1).ljust(COLUMN), "strong") for one in self.shared]
        values = [Span(f" {value(one, one.before)}"[: COLUMN - 1].ljust(COLUMN), "dim") for one in self.shared]
        places = [f"cpu{one.cpu}" if one.cpu >= 0 else tr("device") for one in self.found.lanes]
        roles = [LANE_ROLES[lane % len(LANE_ROLES)] for lane in range(len(self.found.lanes))]
        if self.narrow:
            for lane, one in enumerate(self.found.lanes):
                left = f"{'  ' * lane}{self.signs.step} {called(one)} ({places[lane]})"
                yield row(Span(cut(left, self.width), roles[lane]))
            yield Row((Span(" " * self.left), *titles))
            yield Row((Span(" " * self.left), *values))
            return
        names = [in_lines(called(one), self.lane_width - 1, HEADING) for one in self.found.lanes]
        for number in range(most := max(map(len, names))):
            spans = [
                Span((lines[number] if number < len(lines) else "").ljust(self.lane_width), role)
                for lines, role in zip(names, roles, strict=True)
            ]
            yield Row((*spans, *(titles if number == most - 1 else ())))
        yield Row((*(Span(place.ljust(self.lane_width), "dim") for place in places), *values))

    def _step(self, number: int, step: LaneStep, before: str) -> Row:
        """A step with its arrows; `before` stands for steps of its lane that are not shown."""
        marks: dict[int, str] = {}
        for column, one in enumerate(self.shared):
            if one.entry in step.writes:
                self.values[column] = step.writes[one.entry].new
                marks[column] = self.signs.writes + value(one, self.values[column])
            elif one.entry in step.reads:
                marks[column] = self.signs.reads
        subject = f"moment:{step.node}" if step.node >= 0 else ""
        return self._row(number, step.lane, before + step.step, marks, subject)

    def _row(self, number: int, lane: int, text: str, marks: dict[int, str], subject: str) -> Row:
        """One row: the lanes, the text of the one that moves, the line to what it touches, the entries."""
        far = max(marks, default=-1)
        spans: list[Span] = []
        taken = lane if self.narrow else self._last_lane_of(lane, number, len(text) + 2)
        for at in range(len(self.found.lanes)):
            role = LANE_ROLES[at % len(LANE_ROLES)]
            if at == lane:
                stale = number in self.stale
                spans.append(Span(self.signs.stale if stale else self.signs.step, "wrong" if stale else role, subject))
                if not self.narrow:
                    room = (taken - lane + 1) * self.lane_width - 1
                    shown = cut(text, room - 1)
                    spans.append(Span(shown, "plain", subject))
                    rest = room - len(shown)
                    spans.append(Span((" " + self.signs.line * (rest - 1)) if far >= 0 and rest else " " * rest, "dim"))
                    continue
                spans.append(Span(text[:1], "dim"))
                continue
            if lane < at <= taken:
                continue
            filler = self.signs.line if far >= 0 and at > lane and not self.narrow else " "
            spans.append(self._other(at, number, role, filler))
        if self.narrow:
            shown = cut(text[1:], WIDEST_LANE - 2)
            rest = WIDEST_LANE - len(shown)
            spans.append(Span(shown, "plain", subject))
            spans.append(Span((" " + self.signs.line * (rest - 1)) if far >= 0 else " " * rest, "dim"))
        for column, one in enumerate(self.shared):
            spans += self._entry(column, one, marks, far)
        return Row(tuple(spans))

    def _last_lane_of(self, lane: int, number: int, columns: int) -> int:
        """The last lane that a long name of a step runs into: those beside its own in which nothing is going on."""
        while columns > self.lane_width and lane + 1 < len(self.found.lanes) and self._is_idle(lane + 1, number):
            lane, columns = lane + 1, columns - self.lane_width
        return lane

    def _is_idle(self, lane: int, number: int) -> bool:
        """Whether a lane is not under way in this row, and believes nothing."""
        _, until, _ = self.believes.get(lane, (0, -1, ""))
        return not self.first[lane] <= number <= max(self.last[lane], until)

    def _other(self, lane: int, number: int, role: str, filler: str) -> Span:
        """A lane that does not move in this row: under way, believing, or nothing."""
        width = self.lane_width
        if self.first[lane] <= number <= self.last[lane]:
            return Span(self.signs.runs + filler * (width - 1), role)
        broken, until, reference = self.believes.get(lane, (0, -1, ""))
        if self.last[lane] < number <= until:
            word = f" {reference} {tr('believes')}" if number <= broken and filler == " " and not self.narrow else ""
            return Span(
                (self.signs.believes + word).ljust(width, filler)[:width], "hazard" if number > broken else "dim"
            )
        return Span(filler * width, "dim")

    def _entry(self, column: int, one: SharedEntry, marks: dict[int, str], far: int) -> list[Span]:
        """A shared entry in one row: touched, passed by a line, or just there."""
        mark = marks.get(column)
        passed = column < far
        if mark is None:
            there = self.signs.absent if self.values[column] is None else self.signs.runs
            return [Span(there, "dim"), Span((self.signs.line if passed else " ") * (COLUMN - 1), "dim")]
        role = "changed" if mark[0] == self.signs.writes else "strong"
        text = cut(mark, COLUMN - 1)
        kind, key = one.entry.table, one.entry.key
        subject = (
            f"frame:{key}" if kind in {"frames", "content"} else f"pte:{key[0]}:{key[1]}" if kind == "ptes" else ""
        )
        return [Span(text, role, subject), Span((self.signs.line if passed else " ") * (COLUMN - len(text)), "dim")]

    def _across(self, across: Across) -> Row:
        """A line through all lanes."""
        word = f" {across.words} "
        side = self.signs.no_way * max(2, (min(self.width, self.left) - len(word)) // 2)
        return row(Span(f"{side}{word}{side}", "wrong", f"moment:{self.found.steps[across.before].node}"))


def called(lane: Lane) -> str:
    """A lane's name and command; the name alone says nothing more where it is that of the command."""
    verb = lane.command.partition(" ")[0]
    return lane.command if lane.name in {"main", verb} else f"{lane.name}: {lane.command}"


def in_lines(text: str, width: int, most: int) -> list[str]:
    """Words in so many lines at most; what is missing is marked.

    >>> in_lines("gup p0 buf as=r write by=nic", 12, 2)
    ['gup p0 buf', 'as=r write ~']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > most:
        lines[most - 1 :] = [f"{lines[most - 1]} {lines[most]}"]
    return [cut(line, width) for line in lines]


EMPTY: Final = {"ptes": "empty", "content": "0"}
"""What a missing entry says; in other tables `-`."""

# -- entries in words --------------------------------------------------------------------------


def title(one: SharedEntry) -> str:
    """What an entry is called above its column."""
    table, key = one.entry
    more = f" +{one.size - 1}" if one.size > 1 else ""
    match table:
        case "ptes":
            return f"PTE {key[0]}:{key[1]}{more}"
        case "tlbs":
            return f"TLB cpu{key}"
        case "page_cache":
            return f"{key[0]}[{key[1]}]{more}"
        case "frames":
            return f"{frame(key)} count{more}"
        case "content":
            return f"{frame(key)} byte{more}"
        case "locks":
            return str(key[0])
        case "references":
            return f"ref {key}"
    return f"{key}{more}"


def subject_of(one: SharedEntry) -> str:
    """What the cursor points at in its column."""
    table, key = one.entry
    if table in {"frames", "content"}:
        return f"frame:{key}"
    return f"pte:{key[0]}:{key[1]}" if table == "ptes" else ""


def frame(pfn: int) -> str:
    """A frame's name: `f5`, or `v0` for the first page of video memory."""
    return pfn_name(pfn)


def value(one: SharedEntry, entry: Any) -> str:
    """What an entry says, in a few letters."""
    match entry:
        case None:
            return EMPTY.get(one.entry.table, "-")
        case Pte():
            return f"{frame(entry.pfn)} {'w' if entry.writable else 'r'}" if entry.kind == "page" else entry.kind
        case Frame():
            return str(entry.refcount)
        case Reference():
            return entry.kind
        case Buffer():
            return entry.place
        case Lock():
            return entry.writer or "+".join(entry.readers)
        case int():
            return frame(entry) if one.entry.table == "page_cache" else str(entry)
        case tuple():
            pfns = [each.pte.pfn for each in entry if isinstance(each, TlbEntry)]
            return " ".join(map(frame, pfns[:2])) + ("…" if len(pfns) > 2 else "") if pfns else "-"
    return str(entry)
