"""The map of a state space on the screen: arrows walk along its edges, Enter goes to a state on a stage."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message

from lessons.i18n.language import tr
from model.invariants.violation import SEVERITIES
from model.search.result import SearchResult
from model.search.state_graph import MOST_STATES, GraphNode
from tui.screens.leaves_once import LeavesOnce
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut, row
from tui.views.state_graph import Plan, Walk, beside, edges_from, graph_of, here, legend, picture, plan, too_large
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

if TYPE_CHECKING:
    import networkx as nx

    from tui.drivers.counterexample import CounterexampleDriver

NARROW: Final = 100


class MapPane(LinePane):
    """A pane whose cursor keys walk along edges instead of rows."""

    class Walked(Message):
        """Along the chosen edge (1), or back (-1)."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def action_move(self, rows: int) -> None:
        """Move the cursor: down to a following state, up to the one before."""
        self.post_message(self.Walked(rows))


class Map(LeavesOnce[None]):
    """Every state of a small scene. `play` makes a driver that stands where the search set out from."""

    DEFAULT_CSS = """
    Map #state-map { layout: horizontal; height: 1fr; }
    Map #map { width: 2fr; height: 1fr; }
    Map #ways { width: 1fr; height: 1fr; margin: 0 0 0 1; }
    Map.-narrow #state-map { layout: vertical; }
    Map.-narrow #map { width: 1fr; }
    Map.-narrow #ways { width: 1fr; height: 7; margin: 0; }
    Map #foot { height: 2; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal")]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Go to this state on a stage", id="map.open"),
        Binding("n", "walk(1)", "Along the chosen edge", id="map.on"),
        Binding("p", "walk(-1)", "Back along the way", id="map.back"),
        Binding("left", "choose(-1)", "Choose another edge", id="map.left"),
        Binding("right", "choose(1)", "Choose another edge", id="map.right"),
        Binding("e", "end", "To the next end, the worst first", id="map.end"),
        Binding("home,g", "start", "To the start", id="map.start"),
        Binding("tab", "app.focus_next", "Next pane", id="map.next-pane"),
        Binding("q,escape", "leave", "Back", id="map.leave"),
    ]

    def __init__(
        self, found: SearchResult, play: "Callable[[str], CounterexampleDriver]", title: str, glyphs: Glyphs
    ) -> None:
        super().__init__()
        self.found = found
        self.drawn = found.state_graph
        """None: there are too many states to be drawn."""
        self.play = play
        self.name_of_it = title
        self.glyphs = glyphs
        self.walk = Walk((), 0)
        self.graph: nx.DiGraph[int] | None = None
        self.plan: Plan | None = None
        self.ends: list[int] = []
        """The ends, the worst first."""
        if self.drawn is not None:
            self.graph = graph_of(self.drawn)
            self.plan = plan(self.graph)
            ends = [(number, place) for number, place in enumerate(self.drawn.places) if place.ends]
            self.ends = [number for number, place in sorted(ends, key=lambda one: (-badness(one[1]), one[1].depth))]

    def compose(self) -> ComposeResult:
        """The map, and beside it the way and the choices."""
        self.head = Bar(pane_id="head")
        self.map = MapPane(tr("State space"), "map", "", self.glyphs)
        self.ways = LinePane(tr("Here"), "ways", "", self.glyphs)
        self.foot = Bar(pane_id="foot")
        title = tr("every schedule of {title}").format(title=self.name_of_it)
        self.head.build = lambda width: [Row((Span(" ptescope", "title"), Span(cut(f"  {title}", width - 10))), "bar")]
        self.map.build = self._map
        self.ways.build = self._beside
        self.foot.build = self._foot
        yield self.head
        with Container(id="state-map"):
            yield self.map
            yield self.ways
        yield self.foot

    def on_mount(self) -> None:
        """The cursor at the start."""
        self.map.focus()
        self._show()

    # -- showing ------------------------------------------------------------------------------------

    def _map(self, width: int) -> list[Row]:
        if self.drawn is None or self.plan is None:
            return too_large(self.found, MOST_STATES, width, self.glyphs)
        return picture(self.drawn, self.plan, self.walk, width, self.glyphs)

    def _beside(self, width: int) -> list[Row]:
        if self.drawn is None:
            return [row(Span(cut(f" {tr('For a map, permit less or begin later.')}", width), "dim"))]
        return beside(self.drawn, self.walk, width, self.glyphs)

    def _foot(self, width: int) -> list[Row]:
        """The legend and the keys."""
        hints = [
            ("down/up", "go on, back", "walk(1)"),
            ("left/right", "edge", "choose(1)"),
            ("e", "ends", "end"),
            ("Enter", "stage", "open"),
            ("?", "help", "app.help"),
            ("q", "back", "leave"),
        ]
        shown = hints if self.drawn is not None else hints[-2:]
        signs = legend(self.drawn, width, self.glyphs) if self.drawn is not None else row()
        return [signs, keys(shown, width)]

    def _show(self) -> None:
        """Everything anew; the cursor stands on the state where one is, and what leads on from it is lit."""
        for pane in (self.map, self.ways, self.foot):
            pane.renew()
        if self.drawn is not None:
            at = here(self.drawn, self.walk)
            self.map.point_at(f"place:{at}")
            self.map.light({f"place:{self.drawn.edges[number].end}": "to" for number in edges_from(self.drawn, at)})

    # -- walking ------------------------------------------------------------------------------------

    def on_map_pane_walked(self, message: MapPane.Walked) -> None:
        """Follow the cursor keys."""
        message.stop()
        if self.drawn is not None:
            self.action_walk(message.by)
        else:
            self.map.scroll_rows(message.by)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click goes to a state, along an edge, or does what the key line says."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif kind == "place" and message.clicked:
            self._go(int(rest))
        elif kind == "edge":
            self.walk = self.walk._replace(chosen=int(rest))
            if message.clicked:
                self.action_walk(1)
            else:
                self._show()

    def action_walk(self, by: int) -> None:
        """Along the chosen edge, or back along the way."""
        if self.drawn is None:
            return
        way = self.walk.way
        if by < 0:
            if way:
                before = self.drawn.edges[way[-1]].start
                self.walk = Walk(way[:-1], edges_from(self.drawn, before).index(way[-1]))
        elif ways := edges_from(self.drawn, here(self.drawn, self.walk)):
            self.walk = Walk((*way, ways[self.walk.chosen]), 0)
        self._show()

    def action_choose(self, by: int) -> None:
        """Choose another of the edges that lead on."""
        if self.drawn is not None and (ways := edges_from(self.drawn, here(self.drawn, self.walk))):
            self.walk = self.walk._replace(chosen=(self.walk.chosen + by) % len(ways))
            self._show()

    def action_start(self) -> None:
        """Go to the start."""
        self.walk = Walk((), 0)
        self._show()

    def action_end(self) -> None:
        """To the next end, the shortest way."""
        if self.drawn is not None and self.ends:
            at = here(self.drawn, self.walk)
            self._go(self.ends[(self.ends.index(at) + 1) % len(self.ends) if at in self.ends else 0])

    def _go(self, state: int) -> None:
        """To a state, the shortest way."""
        import networkx as nx

        assert self.graph is not None
        way = nx.shortest_path(self.graph, 0, state)
        numbers = [self.graph.edges[pair]["number"] for pair in pairwise(way)]
        self.walk = Walk(tuple(numbers), 0)
        self._show()

    def action_open(self) -> None:
        """This state on a stage, with the way that was walked behind it."""
        if self.drawn is not None:
            from tui.screens.sandbox_stage import SandboxStage

            driver = self.play(tr("on the map of {title}").format(title=self.name_of_it))
            driver.lead([self.drawn.edges[number].step for number in self.walk.way])
            self.app.push_screen(SandboxStage(driver, self.glyphs))

    def action_leave(self) -> None:
        """Go back to the results."""
        self.dismiss()


def badness(place: GraphNode) -> int:
    """For sorting ends: stuck and safe ones last."""
    return SEVERITIES.index(place.standing) + 1 if place.standing in SEVERITIES else 0
