"""The text of the picture: pages on the left, frames in boxes, holders on the right."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from lessons.i18n.language import tr
from model.engine.procedure import advance
from model.memory.flags import PAGE_UFFD_WP, PG_KSM
from model.memory.folio import page_frame, page_mapcount
from model.memory.records import Pte
from model.memory.state import State
from tui.views.entries import absent
from tui.views.picture.fold import FoldedRun
from tui.views.picture.history import BLOCK
from tui.views.picture.layout_line import HolderKey, Line
from tui.views.picture.legend import sign
from tui.views.picture.levels import LANE, lane, lane_head, progress
from tui.views.picture.owners import holder_hue, hue, owner_now, reference_of
from tui.views.picture.picture_state import PictureState
from tui.views.picture.units import counted, token_counts, tokens
from tui.views.row import Span, cut
from tui.views.shown_state import by_name, frame_name, pfn_name, place, size_of

LEAST: Final = 76
"""Columns that the picture needs."""
WITH_LEVELS: Final = 150
"""Columns from which the upper levels of the page table have room."""
PAGE_OF_FILE: Final = re.compile(r"\[\d+\]")
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
    """Writes the cells of one drawing."""

    def __init__(self, drawn: PictureState, columns: Widths) -> None:
        self.drawn = drawn
        self.scene = drawn.scene
        self.state = drawn.state
        self.columns = columns
        self._table: tuple[str, int] | None = None
        """The page table of the row above."""

    def page(self, line: Line) -> tuple[Span, ...]:
        """What stands on the left of a row."""
        width = self.columns.cell
        if line.head:
            return self._process(line.head, width)
        if line.tlb is not None:
            cpu, cached = line.tlb
            inner = _bits(cached.pte)
            subject = f"tlb:{cpu}:{cached.process}:{cached.vpn}"
            room = width - self.columns.name - 3
            text = f"{self._mark(subject)} {sign('stale')} cpu{cpu} TLB"
            role = hue(self.drawn.past, cached.process)
            return (
                Span(f"{text:<{width - room - 2}}{sign('open')}{inner:<{room}.{room}}{sign('close')}", role, subject),
            )
        if line.zone:
            return (Span(f"{line.zone:>{width}}", "dim"),)
        if line.run is None or line.column:
            return (Span(" " * width),)
        return self._page(line.run, width)

    def waiting(self, line: Line, width: int) -> tuple[Span, ...]:
        """A task that cannot go on, or could by now, over the whole row."""
        reason = advance(self.state, line.waits).blocked
        told = tr("{task} waits for {reason}") if reason else tr("{task} waits no longer: it can go on")
        text = f"{sign('waits')} {told.format(task=line.waits, reason=by_name(self.state, reason))}"
        return (Span(f"{cut(text, width):<{width}}", "plain", f"task:{line.waits}"),)

    def _process(self, name: str, width: int) -> tuple[Span, ...]:
        """The head of a process's pages."""
        record = self.state.processes.get(name)
        where = f"cpu{record.cpu}" if record is not None else tr("has exited")
        room = self.columns.name + 1 if self.columns.levels else width
        text = cut(f"{name}  {where}", room)
        spans = (Span(f"{text:<{room}}", hue(self.drawn.past, name), f"process:{name}"),)
        return (*spans, Span(f"{lane_head():<{width - room}}", "dim")) if self.columns.levels else spans

    def _page(self, run: FoldedRun, width: int) -> tuple[Span, ...]:
        """Sign, number, name, what the entry says, and which CPUs have cached it."""
        drawn, page = self.drawn, run.page
        subject = f"table:{run.process}:1:{run.first // BLOCK}" if run.huge else f"pte:{run.process}:{run.first}"
        mark = self._mark(subject)
        if mark == " " and drawn.last.walked is not None and run.page <= drawn.last.walked < (run.process, run.stop):
            mark = sign("walked")
        head = f"{mark}{_numbered(self._name(run), run, self.columns.name)}"
        if run.more:
            return (Span(f"{head:<{width}}", "dim", subject),)
        entry = drawn.entry(page)
        chips = "".join(f"t{cpu}" for cpu in drawn.agreeing(page))
        bits = ("2M " if run.huge else "") + (_bits(entry) if entry is not None else "")
        room = max(width - 3 - self.columns.name - self.columns.levels - len(chips), 0)
        role = self._role(subject, hue(self.drawn.past, run.process) if entry is not None else "dim")
        left_over = drawn.left_over(page)
        if left_over is not None:
            bits = f"({_bits(left_over)})"
        elif entry is None and drawn.covered(page):
            from tui.views.picture.next_fault import next_fault

            bits, role = next_fault(drawn, run), "dim"
        elif entry is None:
            bits, role = tr("no VMA"), "gone"
        inside = Span(f"{sign('open')}{bits:<{room}.{room}}{chips}{sign('close')}", role, subject)
        return (Span(head, role, subject), *self._lane(run), inside)

    def _lane(self, run: FoldedRun) -> list[Span]:
        """The upper levels of the page table, where there is room for them."""
        if not self.columns.levels:
            return []
        table = run.process, run.first // BLOCK
        spans = lane(self.drawn, run, whole=table != self._table)
        self._table = table
        return spans

    def _name(self, run: FoldedRun) -> str:
        """What a script calls the page; empty where it has no name."""
        name = place(self.state, run.process, run.first)
        return "" if name.startswith("@") else name

    def box(self, line: Line) -> tuple[Span, ...]:
        """The frame of a row."""
        width = self.columns.box
        if line.listed:
            return self._list(line, width)
        if line.head and not self.columns.levels:
            return tuple(progress(self.drawn, line.head, width))
        if line.folio >= 0:
            return self._folio(line, width)
        if not line.frames:
            return (Span(" " * width),)
        return self._page_of_folio(line, width) if line.part else self._frame(line, width)

    def _folio(self, line: Line, width: int) -> tuple[Span, ...]:
        """A large folio: how large, whose, and the one count that all its pages have."""
        drawn, head, subject = self.drawn, line.folio, f"frame:{line.folio}"
        frame = self.state.frames[head]
        owners = {name for pfn in line.pages for name in self._owner(pfn).split("+")} - {""}
        role = self._role(subject, hue(drawn.past, next(iter(owners))) if len(owners) == 1 else "plain")
        named, whose = f"{self._mark(subject)}{frame_name(self.state, head)}", "+".join(sorted(owners))
        text = f"{named} {size_of(frame.order)} {whose}".rstrip()
        shown = tokens(token_counts(self.state, drawn.index, head), 6)
        tail = _longest(_counts(shown, str(frame.refcount), ""), width - 2 - len(text)).rstrip()
        room = width - 2 - len(tail)
        text = text if len(text) <= room else f"{named} {whose}"
        return (
            Span(f"{sign('open')}{cut(text, room):<{room}}", role, subject),
            Span(tail, self._changed(head, "frames", role), subject),
            Span(sign("close"), role, subject),
        )

    def _owner(self, pfn: int) -> str:
        """Whose a page is now."""
        owner, known = owner_now(self.drawn, pfn)
        return owner if known else ""

    def _page_of_folio(self, line: Line, width: int) -> tuple[Span, ...]:
        """One page of a folio, or some that are alike: which, how many entries map it, its byte. Its count is above."""
        pfn = line.frames[0]
        subject = f"frame:{pfn}"
        owner, known = owner_now(self.drawn, pfn)
        role = self._role(subject, hue(self.drawn.past, owner) if known else "dim")
        byte = f"={self.state.content.get(pfn, 0)}"
        mapped = page_mapcount(self.state, pfn)
        tail = f" map {mapped} "
        room = width - 2 - len(tail) - len(byte)
        names = _names(self.state, line.frames, 9)
        head = cut(f"{self._mark(subject)}{sign(line.part)}{names}", room)
        return (
            Span(f"{sign('open')}{head:<{room}}{tail}", role, subject),
            Span(byte, self._changed(pfn, "content", role), subject),
            Span(sign("close"), role, subject),
        )

    def _frame(self, line: Line, width: int) -> tuple[Span, ...]:
        """Number, owner, a token for each unit of the count, the count, the byte."""
        drawn, pfn = self.drawn, line.frames[0]
        subject = f"frame:{pfn}"
        frame = page_frame(self.state, pfn)
        owner, known = owner_now(self.drawn, pfn)
        role = self._role(subject, hue(self.drawn.past, owner) if known else "dim")
        names = _names(self.state, line.frames, 9)
        byte = f"={self.state.content.get(pfn, 0)}"
        of_kind = size_of(frame.order) if frame.order >= BLOCK.bit_length() - 1 and len(line.frames) == 1 else ""
        of_kind = "ksm" if frame.flags & PG_KSM else of_kind
        told = "" if frame.kind == "zero" else owner if known else f"({owner})" if owner else ""
        told = tr("table") if frame.kind == "pgtable" else told
        if frame.kind == "free":
            ways: tuple[str, ...] = (f" free {byte}",)
        elif not counted(frame):
            ways = (f" no count {byte}",)
        else:
            ways = _counts(tokens(token_counts(self.state, self.drawn.index, pfn), 6), str(frame.refcount), byte)
        named = f"{self._mark(subject)}{names} {of_kind}".rstrip()
        head = _whose(named, told, width - 2 - len(ways[-1]))
        tail = _longest(ways, width - 2 - len(head))
        room = width - 2 - len(tail)
        source = None if line.ghost else drawn.past.source(pfn)
        if source is not None:
            copy = f" ←{frame_name(self.state, source)}"
            head += copy if len(head) + len(copy) <= room else ""
        head = f"{cut(head, room):<{room}}"
        if line.ghost:
            return (Span(f"{sign('open')}{head}{tail}{sign('close')}", "gone", subject),)
        counted_role = self._changed(pfn, "frames", role)
        return (
            Span(f"{sign('open')}{head} ", role, subject),
            Span(tail[1 : len(tail) - len(byte)], counted_role, subject),
            Span(byte, self._changed(pfn, "content", role), subject),
            Span(sign("close"), role, subject),
        )

    def _list(self, line: Line, width: int) -> tuple[Span, ...]:
        """Frames that are only named: the pool, the free list with the next to be handed out first."""
        spans = [Span(sign("open"), "dim")]
        room = width - 2
        for number, pfn in enumerate(line.listed):
            subject = f"frame:{pfn}"
            mark = self._mark(subject)  # What a move freed has come here.
            text = f"{'+' if mark == '-' else mark}{frame_name(self.state, pfn)}"
            if len(text) > room - (3 if number < len(line.listed) - 1 else 0):
                more = f" +{len(line.listed) - number}"[:room]
                spans.append(Span(more, "dim"))
                room -= len(more)
                break
            spans.append(Span(text, self._role(subject, "dim"), subject))
            room -= len(text)
        return (*spans, Span(" " * room), Span(sign("close"), "dim"))

    def holder(self, line: Line) -> tuple[Span, ...]:
        """Who holds the frame."""
        if line.holder is None:
            return ()
        subject = f"{line.holder[0]}:{line.holder[1]}"
        heads, _ = self._holder_text(line.holder)
        width = self.columns.holder
        head = _longest(heads, width)
        return (Span(cut(head, width), self._role(subject, holder_hue(self.drawn, line.holder)), subject),)

    def note(self, line: Line, before: int) -> tuple[Span, ...]:
        """The row below a holder: for whom, and through which page. `before`: columns on the left that are free too.

        A long one begins there, so that it ends where the picture does.
        """
        if line.holder is not None or line.note is None:
            return ()
        width = self.columns.holder
        _, told = self._holder_text(line.note)
        text = f"  {told}" if len(told) + 2 <= width else cut(told, width + max(before - 1, 0))
        return (Span(text, "dim", f"{line.note[0]}:{line.note[1]}"),)

    def _holder_text(self, key: HolderKey) -> tuple[tuple[str, ...], str]:
        """A holder in two short lines; the first also shorter: of a reference the sign says what it is."""
        kind, name = key
        if kind == "ref":
            reference = reference_of(self.drawn, name)
            token = sign("pin" if reference.kind == "pin" else "get" if reference.counted else "loose")
            mark = self._mark(f"ref:{name}").strip()
            where = place(self.state, reference.process, reference.vpn) if reference.process else reference.dmabuf
            via = f"{reference.process}:{where}" if reference.process else where
            put = " put" if name not in self.state.references else ""
            told = f"{reference.by}: {via}" if reference.by else via
            head = f"{token}{mark or ' '}{name}"
            return (f"{head} {reference.kind}{put}", f"{head}{put}"), told
        if kind == "task":
            pins = any(call.pins for call in self.state.tasks[name].stack)
            running = self.state.tasks[name].stack[-1].function
            return (f"{sign('pin' if pins else 'get')} {name} {tr('task')}",), running
        buffer = self.state.buffers[name]
        head = f"{sign('pin' if buffer.pinned else 'get')} {name}"
        return (f"{head} {buffer.exporter}", head), f"memfd {buffer.memfd}"

    def _mark(self, subject: str) -> str:
        """One column: what is broken, else what changed."""
        severity = self.scene.broken.get(subject)
        if severity:
            return sign("corruption") if severity in SEVERE else sign("hazard")
        return self.scene.marks.get(subject, " ")

    def _role(self, subject: str, otherwise: str) -> str:
        """How a thing looks: in its owner's colour, struck through where it has gone."""
        return "gone" if self.scene.marks.get(subject) == "-" else otherwise

    def _changed(self, pfn: int, table: str, otherwise: str) -> str:
        """How a number looks: marked where the last move changed it."""
        for change in self.drawn.changed.get(pfn, ()):
            if change.table == table:
                if table == "content" or change.old is None or change.new is None:
                    return "changed"
                return "changed" if change.old.refcount != change.new.refcount else otherwise
        return otherwise


def _counts(shown: str, count: str, byte: str) -> tuple[str, ...]:
    """Tokens, their sum and the byte; where it is narrow, spaces go before a name is cut.

    >>> _counts("●◆", "1025", "=65")
    (' ●◆ 1025 =65', ' ●◆1025 =65', ' ●◆1025=65')
    """
    return f" {shown} {count} {byte}", f" {shown}{count} {byte}", f" {shown}{count}{byte}"


def _longest(ways: Sequence[str], room: int) -> str:
    """The first way to write something that has room, else the last, which is the shortest."""
    return next((way for way in ways if len(way) <= room), ways[-1])


def _whose(named: str, owner: str, room: int) -> str:
    """A frame and its owner; where both do not fit, without the owner's page.

    >>> _whose("f9", "secretmem#1[0]", 14), _whose("f9", "(secretmem#1[0])", 16)
    ('f9 secretmem#1', 'f9 (secretmem#1)')
    """
    ways = f"{named} {owner}".rstrip(), f"{named} {PAGE_OF_FILE.sub('', owner)}".rstrip()
    return _longest(ways, room)


def _bits(entry: Pte) -> str:
    """`w` or `r`, `s` for special, `u` for write-protected by userfaultfd; what it is where it maps nothing."""
    if not entry.present:
        return "u" if entry.kind == "marker" and entry.bits & PAGE_UFFD_WP else absent(entry)
    if entry.protnone:
        return "none"
    return ("w" if entry.writable else "r") + "s" * entry.special + "u" * bool(entry.bits & PAGE_UFFD_WP)


def _numbered(name: str, run: FoldedRun, width: int) -> str:
    """Number and name of some pages in so many columns; where both do not fit, the name gives way first.

    >>> _numbered("buf+1", FoldedRun("p0", 17, 24), 12), _numbered("buf+1", FoldedRun("p0", 513, 1024), 12)
    (' 17 buf+1..7', '513 +1..511 ')
    >>> _numbered("buf", FoldedRun("p0", 512, 1024), 12), _numbered("huge", FoldedRun("p0", 512, 1024), 12)
    ('512 buf..511', '512 huge..  ')
    """
    number = f"{run.first:>3}"
    if not name:
        text = f"{number}..{run.stop - 1}" if run.pages > 1 else number
        return f"{cut(text, width):<{width}}"
    shorter: tuple[str, ...] = ()
    if run.pages > 1:
        base, _, offset = name.partition("+")
        first, last = int(offset or 0), int(offset or 0) + run.pages - 1
        name = f"{base}+{first}..{last}"
        shorter = (f"+{first}..{last}" if first else f"{base}..{last}", f"{base}..")
    ways = (*(f"{number} {way}" for way in (name, *shorter)), name)
    return f"{cut(_longest(ways, width), width):<{width}}"


def _names(state: State, frames: tuple[int, ...], width: int) -> str:
    """Some frames in so many columns: as a range, as a list of ranges, or the first and how many more.

    >>> _names(State(), (5, 6, 7), 9), _names(State(), (7, 8, 6, 9), 9), _names(State(), (7, 1, 5), 5)
    ('f5..7', 'f7..8,6,9', 'f7+2')
    """
    first = frame_name(state, frames[0])
    if len(frames) == 1 or not first[1:].isdigit():
        return first
    parts: list[list[int]] = []
    for pfn in frames:
        if parts and pfn == parts[-1][-1] + 1:
            parts[-1][1:] = [pfn]
        else:
            parts.append([pfn])
    numbers = ("..".join(pfn_name(pfn)[1:] for pfn in part) for part in parts)
    text = first[0] + ",".join(numbers)
    return text if len(text) <= width else f"{first}+{len(frames) - 1}"
