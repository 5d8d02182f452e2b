"""The left of the picture: a row for each page, with its name and what its entry says."""

from lessons.i18n.language import tr
from model.memory.flags import PAGE_UFFD_WP
from model.memory.records import Pte, TlbEntry
from tui.views.entries import absent
from tui.views.picture.columns import Cells, Widths, longest
from tui.views.picture.fold import FoldedRun
from tui.views.picture.history import BLOCK
from tui.views.picture.layout_line import Line
from tui.views.picture.legend import sign
from tui.views.picture.levels import lane, lane_head
from tui.views.picture.owners import hue
from tui.views.picture.picture_state import PictureState
from tui.views.row import Span, cut
from tui.views.shown_state import place


class PageCells(Cells):
    """Pages, processes, cached translations; the names of the places where no page is."""

    def __init__(self, drawn: PictureState, columns: Widths) -> None:
        super().__init__(drawn, columns)
        self._table: tuple[str, int] | None = None
        """The page table of the row above."""

    def page(self, line: Line) -> tuple[Span, ...]:
        """What stands on the left of a row."""
        width = self.columns.cell
        if line.head:
            return self._process(line.head, width)
        if line.tlb is not None:
            return self._cached(*line.tlb, width)
        if line.zone:
            return (Span(f"{line.zone:>{width}}", "dim"),)
        if line.run is None or line.column:
            return (Span(" " * width),)
        return self._page(line.run, width)

    def _cached(self, cpu: int, cached: TlbEntry, width: int) -> tuple[Span, ...]:
        """A translation that a CPU still has, and the page table no longer."""
        subject = f"tlb:{cpu}:{cached.process}:{cached.vpn}"
        room = width - self.columns.name - 3
        text = f"{self.mark(subject)} {sign('stale')} cpu{cpu} TLB"
        inner = f"{sign('open')}{_bits(cached.pte):<{room}.{room}}{sign('close')}"
        return (Span(f"{text:<{width - room - 2}}{inner}", hue(self.drawn.past, cached.process), subject),)

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
        mark = self.mark(subject)
        if mark == " " and drawn.last.walked is not None and run.page <= drawn.last.walked < (run.process, run.stop):
            mark = sign("walked")
        head = f"{mark}{_numbered(self._name(run), run, self.columns.name)}"
        if run.more:
            text = f"{head}{sign('open')}{tr('more')}"[: width - 1]
            return (Span(f"{text:<{width - 1}}{sign('close')}", "dim", subject),)
        entry = drawn.entry(page)
        chips = "".join(f"t{cpu}" for cpu in drawn.agreeing(page))
        bits = ("2M " if run.huge else "") + (_bits(entry) if entry is not None else "")
        room = max(width - 3 - self.columns.name - self.columns.levels - len(chips), 0)
        role = self.role(subject, hue(self.drawn.past, run.process) if entry is not None else "dim")
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
    return f"{cut(longest(ways, width), width):<{width}}"
