"""The middle of the picture: frames in boxes, large folios, pool and free list."""

import re
from typing import Final

from lessons.i18n.language import tr
from model.memory.flags import PG_KSM
from model.memory.folio import page_frame, page_mapcount
from model.memory.state import State
from tui.views.picture.columns import Cells, longest
from tui.views.picture.history import BLOCK
from tui.views.picture.layout_line import Line
from tui.views.picture.legend import sign
from tui.views.picture.levels import progress
from tui.views.picture.owners import hue, owner_now
from tui.views.picture.units import counted, token_counts, tokens
from tui.views.row import Span, cut
from tui.views.shown_state import frame_name, pfn_name, size_of

PAGE_OF_FILE: Final = re.compile(r"\[\d+\]")


class BoxCells(Cells):
    """Frames: whose they are, a token for each unit of the count, the count, the byte."""

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
        role = self.role(subject, hue(drawn.past, next(iter(owners))) if len(owners) == 1 else "plain")
        named, whose = f"{self.mark(subject)}{frame_name(self.state, head)}", "+".join(sorted(owners))
        text = f"{named} {size_of(frame.order)} {whose}".rstrip()
        shown = tokens(token_counts(self.state, drawn.index, head), 6)
        tail = longest(_counts(shown, str(frame.refcount), ""), width - 2 - len(text)).rstrip()
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
        role = self.role(subject, hue(self.drawn.past, owner) if known else "dim")
        byte = f"={self.state.content.get(pfn, 0)}"
        mapped = page_mapcount(self.state, pfn)
        tail = f" map {mapped} "
        room = width - 2 - len(tail) - len(byte)
        names = _names(self.state, line.frames, 9)
        head = cut(f"{self.mark(subject)}{sign(line.part)}{names}", room)
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
        role = self.role(subject, hue(self.drawn.past, owner) if known else "dim")
        names = _names(self.state, line.frames, 9)
        byte = f"={self.state.content.get(pfn, 0)}"
        of_kind = size_of(frame.order) if frame.order >= BLOCK.bit_length() - 1 and len(line.frames) == 1 else ""
        of_kind = "ksm" if frame.flags & PG_KSM else of_kind
        told = "" if frame.kind == "zero" else owner if known else f"({owner})" if owner else ""
        told = tr("table") if frame.kind == "pgtable" else told
        if frame.kind == "free":
            ways: tuple[str, ...] = (f" {tr('free')} {byte}",)
            told = told if len(names) + len(told) + 2 <= width - 2 - len(ways[0]) else ""
        elif not counted(frame):
            ways = (f" {tr('no count')} {byte}",)
        else:
            ways = _counts(tokens(token_counts(self.state, self.drawn.index, pfn), 6), str(frame.refcount), byte)
        named = f"{self.mark(subject)}{names} {of_kind}".rstrip()
        head = _whose(named, told, width - 2 - len(ways[-1]))
        tail = longest(ways, width - 2 - len(head))
        room = width - 2 - len(tail)
        source = None if line.ghost else drawn.past.source(pfn)
        if source is not None:
            copy = f" ←{frame_name(self.state, source)}"
            head += copy if len(head) + len(copy) <= room else ""
        head = f"{cut(head, room):<{room}}"
        if line.ghost:
            return (Span(f"{sign('open')}{head}{tail}{sign('close')}", "gone", subject),)
        counted_role = self._changed(pfn, "frames", role) if counted(frame) else role
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
            mark = self.mark(subject)  # What a move freed has come here.
            text = f"{'+' if mark == '-' else mark}{frame_name(self.state, pfn)}"
            if len(text) > room - (3 if number < len(line.listed) - 1 else 0):
                more = f" +{len(line.listed) - number}"[:room]
                spans.append(Span(more, "dim"))
                room -= len(more)
                break
            spans.append(Span(text, self.role(subject, "dim"), subject))
            room -= len(text)
        return (*spans, Span(" " * room), Span(sign("close"), "dim"))

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


def _whose(named: str, owner: str, room: int) -> str:
    """A frame and its owner; where both do not fit, without the owner's page.

    >>> _whose("f9", "secretmem#1[0]", 14), _whose("f9", "(secretmem#1[0])", 16)
    ('f9 secretmem#1', 'f9 (secretmem#1)')
    """
    ways = f"{named} {owner}".rstrip(), f"{named} {PAGE_OF_FILE.sub('', owner)}".rstrip()
    return longest(ways, room)


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
