"""What differs between two places of the history: by table and key, with the old value and the new one."""

from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.memory.state import Change
from model.session.timeline import Node, Timeline
from tui.screens.overlay import Overlay
from tui.views.difference import between, difference
from tui.views.glyphs import Glyphs
from tui.views.row import BLANK, Row, Span, cut, row

MOST_BASES: Final = 9


class Difference(Overlay):
    """Ends with the thing to point at. The first rows choose what a state, the present one, is compared with."""

    title_text = "What differs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "all", "Show the kernel's own bookkeeping too", id="difference.all"),
        *(Binding(str(digit), f"base({digit})", show=False) for digit in range(1, MOST_BASES + 1)),
    ]

    def __init__(self, timeline: Timeline, glyphs: Glyphs, base: int = -1, to: int = -1) -> None:
        super().__init__(glyphs)
        self.timeline = timeline
        self.to = timeline.nodes[to] if to >= 0 else timeline.here
        """The state that is compared."""
        self.bases = _bases(timeline, base, self.to)
        self.base = self.bases[0][1]
        self.everything = False

    def rows(self, width: int) -> list[Row]:
        """The places to compare with, then the differences."""
        rows = []
        for number, (name, node) in enumerate(self.bases, 1):
            chosen = node.number == self.base.number
            sign = self.glyphs.pointer if chosen else " "
            text = cut(f"{sign} {number} {name}: {_where(node)}", width)
            rows.append(row(Span(text, "strong" if chosen else "dim", f"base:{number}")))
        rows += [BLANK, row(Span(cut(f"{_where(self.base)}  {self.glyphs.arrow}  {_where(self.to)}", width), "title"))]
        found = difference(self.to.state, self.changes(), width, self.glyphs, everything=self.everything)
        return [*rows, *(found or [row(Span(tr("Nothing differs: it is the same machine."), "ok"))])]

    def changes(self) -> tuple[Change, ...]:
        """What turns the base into the state that is compared, tasks included."""
        return between(self.timeline, self.base, self.to)

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        last = min(len(self.bases), MOST_BASES)
        return [
            (f"1-{last}", tr("compare with"), "base(1)"),
            ("Enter", tr("point at it"), "choose"),
            ("a", tr("less") if self.everything else tr("everything"), "all"),
        ]

    def choose(self, subject: str) -> None:
        """Compare with another place, or end with a thing to point at."""
        kind, _, rest = subject.partition(":")
        if kind == "base":
            self.action_base(int(rest))
        else:
            self.dismiss(subject)

    def action_base(self, number: int) -> None:
        """Compare with another place."""
        if number <= len(self.bases):
            self.base = self.bases[number - 1][1]
            self.renew()

    def action_all(self) -> None:
        """Show everything, or only what matters."""
        self.everything = not self.everything
        self.renew()


def _bases(timeline: Timeline, wanted: int, here: Node) -> list[tuple[str, Node]]:
    """What one may want to compare a state with, each once."""
    before = timeline.nodes[max(here.parent, 0)]
    found = [
        (tr("this step"), before),
        (tr("this command"), timeline.began(here)),
        (tr("the start"), timeline.nodes[0]),
    ]
    found += [(name, timeline.nodes[number]) for number, name in sorted(timeline.bookmarks.items())]
    if wanted >= 0:
        found.insert(0, (tr("chosen"), timeline.nodes[wanted]))
    seen: dict[int, tuple[str, Node]] = {}
    for name, node in found:
        if node.number != here.number or node.number == wanted:
            seen.setdefault(node.number, (name, node))
    return list(seen.values()) or [(tr("the start"), timeline.nodes[0])]


def _where(node: Node) -> str:
    """The name of a place in words."""
    step = tr("step {step}").format(step=node.depth)
    return f"{step} ({node.command})" if node.command else step
