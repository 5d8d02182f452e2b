"""The lines of the picture: entries, beliefs and cached translations on the left, holders on the right."""

from collections.abc import Iterable
from typing import Final

from model.memory.events import Access
from tui.views.picture.fold import FoldedRun
from tui.views.picture.history import BLOCK
from tui.views.picture.layout_line import HolderKey, Layout
from tui.views.picture.legend import LINES, sign
from tui.views.picture.owners import holder_hue, hue, reference_of
from tui.views.picture.picture_state import PictureState
from tui.views.picture.routing import Channel, End, Net

PIECES: Final = {style: drawn for style, (drawn, _) in LINES.items()}
SOLID: Final = frozenset(PIECES[style][12] for style in ("light", "heavy", "double"))
"""Horizontal pieces of lines that lead somewhere …"""
DOTTED: Final = frozenset(PIECES["dash"][12])
"""… and of those that a TLB remembers."""


def _mirrored(pieces: str) -> str:
    """The pieces of a line with left and right changed over."""
    return "".join(pieces[arms & 3 | (arms & 4) << 1 | (arms & 8) >> 1] for arms in range(16))


MIRRORED: Final = {style: _mirrored(drawn) for style, drawn in PIECES.items()}


class Lines:
    """Draws the two channels of one layout."""

    def __init__(self, drawn: PictureState, found: Layout) -> None:
        self.drawn = drawn
        self.found = found

    # -- on the left: where pages lead, and where somebody believes they do ----------------------

    def left(self, width: int) -> Channel:
        """Entries to frames, beliefs, cached translations."""
        solid, dashed = self.on_the_left()
        channel = Channel(width, len(self.found.lines))
        channel.draw([*solid, *dashed], PIECES, (sign("counted"), sign("special")))
        for row in {end.row: end.subject for net in dashed if net.late for end in net.near}.items():
            _cross(channel, *row)
        for access in self.drawn.last.accesses:
            self._carried_by_cpu(channel, access)
        return channel

    def on_the_left(self) -> tuple[list[Net], list[Net]]:
        """The lines of entries; those of beliefs and of cached translations."""
        solid: dict[int, Net] = {}
        dashed: dict[tuple[str, int], Net] = {}
        for number, line in enumerate(self.found.lines):
            if line.run is not None and not line.column and not line.run.more:
                self._entries(number, line.run, solid)
                self._beliefs(number, line.run, dashed)
            elif line.tlb is not None:
                cpu, cached = line.tlb
                target = self.found.at.get(cached.pte.pfn)
                if target is not None:
                    subject, role = f"tlb:{cpu}:{cached.process}:{cached.vpn}", hue(self.drawn.past, cached.process)
                    net = dashed.setdefault((subject, target), Net())
                    net.near.append(End(number, "dash", role, subject))
                    net.far.append(End(target, "dash", role, f"frame:{cached.pte.pfn}"))
        return list(solid.values()), list(dashed.values())

    def _entries(self, number: int, run: FoldedRun, nets: dict[int, Net]) -> None:
        """The line of each entry of a run; entries to frames of one row are one line."""
        seen: set[int] = set()
        for vpn in range(run.first, run.stop) if not run.huge else (run.first,):
            entry = self.drawn.entry((run.process, vpn))
            if entry is None or not entry.present:
                break
            whole = run.huge and entry.pfn in self.found.folio_at
            target = self.found.folio_at[entry.pfn] if whole else self.found.row_of(self.drawn.state, entry.pfn)
            if target is None or target in seen:
                continue
            seen.add(target)
            style = "double" if whole else "heavy" if entry.writable and not entry.protnone else "light"
            subject = f"table:{run.process}:1:{vpn // BLOCK}" if run.huge else f"pte:{run.process}:{vpn}"
            net = nets.setdefault(target, Net())
            hollow = entry.special or (run.huge and not whole)
            net.near.append(End(number, style, hue(self.drawn.past, run.process), subject, hollow))
            first = entry.pfn if whole or not self.found.lines[target].frames else self.found.lines[target].frames[0]
            if not net.far:
                net.far.append(End(target, style, hue(self.drawn.past, run.process), f"frame:{first}"))
            elif style == "heavy":
                net.far[0].style = "heavy"

    def _beliefs(self, number: int, run: FoldedRun, nets: dict[tuple[str, int], Net]) -> None:
        """Dotted lines to where a page led: somebody still believes it, or it was so before the last move."""
        seen: set[int] = set()
        role = hue(self.drawn.past, run.process)
        for vpn in self.drawn.led_elsewhere(run.process, run.first, run.stop):
            page = (run.process, vpn)
            entry, old = self.drawn.entry(page), self.drawn.before.get(page)
            now = entry.pfn if entry is not None and entry.kind == "page" else None
            were = [belief.pfn for belief in self.drawn.believed.get(page, ())]
            were += [entry.pfn for entry in (old, self.drawn.left_over(page)) if entry is not None and entry.present]
            for pfn in were:
                target = self.found.row_of(self.drawn.state, pfn)
                if pfn == now or target is None or target in seen:
                    continue
                seen.add(target)
                net = nets.setdefault(("belief", target), Net(late=1))
                net.near.append(End(number, "dash", role, f"pte:{run.process}:{vpn}"))
                if not net.far:
                    net.far.append(End(target, "dash", role, f"frame:{pfn}"))

    def _carried_by_cpu(self, channel: Channel, access: Access) -> None:
        """The byte that a process has just stored or loaded, on its line."""
        if access.reference or not access.process:
            return
        page = access.process, access.vpn
        entry = self.drawn.entry(page)
        agrees = entry is not None and entry.present and entry.pfn == access.pfn
        for number, line in enumerate(self.found.lines):
            run, cached = line.run, line.tlb
            through_tlb = cached is not None and (cached[1].process, cached[1].vpn, cached[1].pte.pfn) == (
                *page,
                access.pfn,
            )
            through_entry = (
                run is not None and not line.column and (run.process, run.first) <= page < (run.process, run.stop)
            )
            if through_entry if agrees else through_tlb:
                rows = (number, self.found.at.get(access.pfn, number))
                _carry(channel, rows, str(access.value), SOLID if agrees else DOTTED, out=not access.write)
                return

    # -- on the right: who holds a frame ---------------------------------------------------------

    def right(self, width: int) -> Channel:
        """References and tasks to the frames that they hold."""
        channel = Channel(width, len(self.found.lines), mirrored=True)
        nets = self.on_the_right()
        channel.draw(nets, MIRRORED, (sign("held"), sign("known")))
        for end in (near for net in nets for near in net.near if near.style == "dash"):
            _cross(channel, end.row, end.subject)
        for access in self.drawn.last.accesses:
            reached = self.found.at.get(access.pfn)
            if access.reference and reached is not None:
                _carry(channel, (reached,), str(access.value), SOLID, out=not access.write)
        return channel

    def on_the_right(self) -> list[Net]:
        """One line a holder, to every frame that it has."""
        nets: list[Net] = []
        for key, number in self.found.held_at.items():
            frames = self.found.holders[key]
            rows: dict[int, int] = {}
            for pfn in frames:
                target = self.found.row_of(self.drawn.state, pfn)
                if target is not None:
                    rows.setdefault(target, pfn)
            if not rows:
                continue
            style, hollow = self._hold(key)
            role, subject = holder_hue(self.drawn, key), f"{key[0]}:{key[1]}"
            forgotten = self.drawn.forgotten.get(key[1], ()) if key[0] == "ref" else ()
            ends: dict[bool, list[End]] = {}
            for row, pfn in rows.items():
                past = pfn in forgotten
                look = ("dash", "dim") if past else (style, role)
                ends.setdefault(past, []).append(End(row, *look, f"frame:{pfn}"))
            for past, far in ends.items():
                look = ("dash", "dim") if past else (style, role)
                nets.append(Net([End(number, *look, subject, hollow)], far, late=int(past)))
        return nets

    def _hold(self, key: HolderKey) -> tuple[str, bool]:
        """How the line of a holder is drawn, and whether the count knows nothing of it."""
        kind, name = key
        if kind == "ref":
            reference = reference_of(self.drawn, name)
            if not reference.write:
                return "light", not reference.counted
            return ("double" if reference.kind == "pin" else "heavy"), not reference.counted
        if kind == "task":
            pins = any(call.pins for call in self.drawn.state.tasks[name].stack)
            return ("double" if pins else "light"), False
        return ("double" if self.drawn.state.buffers[name].pinned else "light"), False


def _cross(channel: Channel, row: int, subject: str) -> None:
    """A cross on the dotted part of a row."""
    cells = channel.at(row)
    dots = [column for column, cell in enumerate(cells) if cell[0] == sign("dash")]
    if dots:
        cells[dots[len(dots) // 2]] = (sign("cross"), "hazard", subject)


def _carry(channel: Channel, rows: Iterable[int], byte: str, pieces: frozenset[str], *, out: bool) -> None:
    """A byte on its way, with the way that it goes, on the first of the rows where the line has room for it.

    `pieces`: what the line is drawn with; `out`: from the frame to who reads it.
    """
    to_the_left = out != channel.mirrored
    drawn = f"{sign('back')}{byte}" if to_the_left else f"{byte}{sign('walked')}"
    for row in rows:
        cells = channel.at(row)
        longest: list[int] = []
        stretch: list[int] = []
        for column, cell in enumerate(cells):
            stretch = [*stretch, column] if cell[0] in pieces else []
            longest = max(longest, stretch, key=len)
        if len(longest) >= len(drawn):
            start = longest[(len(longest) - len(drawn)) // 2]
            for offset, char in enumerate(reversed(drawn) if channel.mirrored else drawn):
                cells[start + offset] = (char, "strong", cells[start + offset][2])
            return
