"""The lines of the picture: entries, beliefs and cached translations on the left, holders on the right."""

from typing import Final

from model.memory.records import Access
from tui.views.picture.fold import FoldedRun
from tui.views.picture.history import BLOCK
from tui.views.picture.layout import HolderKey, Layout
from tui.views.picture.legend import LINES, sign
from tui.views.picture.owners import holder_hue, hue, reference_of
from tui.views.picture.picture_state import PictureState
from tui.views.picture.routing import Channel, End, Net
from tui.views.shown_state import gone

PIECES: Final = {style: drawn for style, (drawn, _) in LINES.items()}


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
            target = self.found.at.get(entry.pfn)
            if target is None or target in seen:
                continue
            seen.add(target)
            style = "heavy" if entry.writable and not entry.protnone else "light"
            subject = f"table:{run.process}:1:{vpn // BLOCK}" if run.huge else f"pte:{run.process}:{vpn}"
            net = nets.setdefault(target, Net())
            hollow = entry.special or run.huge
            net.near.append(End(number, style, hue(self.drawn.past, run.process), subject, hollow))
            first = self.found.lines[target].frames[0]
            if not net.far:
                net.far.append(End(target, style, hue(self.drawn.past, run.process), f"frame:{first}"))
            elif style == "heavy":
                net.far[0].style = "heavy"

    def _beliefs(self, number: int, run: FoldedRun, nets: dict[tuple[str, int], Net]) -> None:
        """Dotted lines to where a page led: somebody still believes it, or it was so before the last move."""
        seen: set[int] = set()
        role = hue(self.drawn.past, run.process)
        for vpn in range(run.first, run.stop) if not run.huge else self._believed_in(run):
            page = (run.process, vpn)
            entry, old = self.drawn.entry(page), self.drawn.before.get(page)
            now = entry.pfn if entry is not None and entry.kind == "page" else None
            were = [belief.pfn for belief in self.drawn.believed.get(page, ())]
            if old is not None and old.present:
                were.append(old.pfn)
            for pfn in were:
                target = self.found.at.get(pfn)
                if pfn == now or target is None or target in seen:
                    continue
                seen.add(target)
                net = nets.setdefault(("belief", target), Net(late=1))
                net.near.append(End(number, "dash", role, f"pte:{run.process}:{vpn}"))
                if not net.far:
                    net.far.append(End(target, "dash", role, f"frame:{pfn}"))

    def _believed_in(self, run: FoldedRun) -> list[int]:
        """The pages of a block that somebody was given a frame for."""
        return [vpn for vpn in self.drawn.special.get(run.process, ()) if run.first <= vpn < run.stop]

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
                _carry(channel, number, str(access.value), out=False)
                return

    # -- on the right: who holds a frame ---------------------------------------------------------

    def right(self, width: int) -> Channel:
        """References and tasks to the frames that they hold."""
        channel = Channel(width, len(self.found.lines), mirrored=True)
        channel.draw(self.on_the_right(), MIRRORED, (sign("held"), sign("known")))
        for access in self.drawn.last.accesses:
            reached = self.found.at.get(access.pfn)
            if access.reference and reached is not None:
                _carry(channel, reached, str(access.value), out=not access.write)
        return channel

    def on_the_right(self) -> list[Net]:
        """One line a holder, to every frame that it has."""
        nets: list[Net] = []
        lost = gone(self.drawn.scene.changes, "references")
        for key, number in self.found.held_at.items():
            frames = self.found.holders[key]
            rows: dict[int, int] = {}
            for pfn in frames:
                target = self.found.at.get(pfn)
                if target is not None:
                    rows.setdefault(target, pfn)
            if not rows:
                continue
            style, hollow = self._hold(key)
            role, subject = holder_hue(self.drawn, key), f"{key[0]}:{key[1]}"
            if key[0] == "ref" and key[1] in lost:
                style, role = "dash", "dim"
            near = End(number, style, role, subject, hollow)
            nets.append(Net([near], [End(row, style, role, f"frame:{pfn}") for row, pfn in rows.items()]))
        return nets

    def _hold(self, key: HolderKey) -> tuple[str, bool]:
        """How the line of a holder is drawn, and whether the count knows nothing of it."""
        kind, name = key
        if kind == "ref":
            reference = reference_of(self.drawn, name)
            return ("double" if reference.kind == "pin" else "light"), not reference.counted
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


def _carry(channel: Channel, row: int, byte: str, *, out: bool) -> None:
    """A byte on its way over a line; `out`: from the frame to the device that reads it."""
    cells = channel.at(row)
    whole = {PIECES[style][12] for style in PIECES}
    longest: list[int] = []
    stretch: list[int] = []
    for column, cell in enumerate(cells):
        stretch = [*stretch, column] if cell[0] in whole else []
        longest = max(longest, stretch, key=len)
    if len(longest) < len(byte):
        return
    if cells[longest[0]][0] != PIECES["dash"][12]:
        for column in longest:
            cells[column] = (PIECES["heavy"][12], cells[column][1], cells[column][2])
    if out:
        cells[longest[0]] = (sign("counted"), *cells[longest[0]][1:])
    start = longest[(len(longest) - len(byte)) // 2]
    shown = byte if channel.mirrored is False else byte[::-1]
    for offset, digit in enumerate(shown):
        column = start + offset
        cells[column] = (digit, "strong", cells[column][2])
