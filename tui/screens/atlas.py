"""The map of a small state space: walk any path with the arrows, and step onto the stage where you like."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from lessons.language import tr
from model.invariants.checker import Checker
from model.script.context import Context
from model.search.atlas import Atlas, Step
from model.session.session import Session
from tui.panes.bar import Bar
from tui.panes.line_pane import LinePane
from tui.rows.atlas import chart, legend, ways_on
from tui.rows.bars import keys
from tui.rows.glyphs import Glyphs
from tui.rows.row import Row, Span, cut, row
from tui.sandbox_driver import SandboxDriver


class Map(Screen[None]):
    """Down takes the chosen step, up goes back, left and right choose."""

    DEFAULT_CSS = """
    Map #chart { height: 2fr; }
    Map #ways { height: 8; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,n", "on", "Take the chosen step", id="map.on"),
        Binding("up,k,p", "back", "Back by a step", id="map.back"),
        Binding("right", "choose(1)", "Choose the next step", id="map.next"),
        Binding("left", "choose(-1)", "Choose the step before", id="map.before"),
        Binding("home,g", "start", "To the start", id="map.start"),
        Binding("enter", "open", "Open this state on the stage", id="map.open"),
        Binding("q,escape", "app.pop_screen", "Leave", id="map.leave"),
    ]

    def __init__(self, atlas: Atlas, context: Context, checker: Checker, glyphs: Glyphs) -> None:
        super().__init__()
        self.atlas = atlas
        self.context = context
        self.checker = checker
        self.glyphs = glyphs
        self.ways: dict[int, list[Step]] = {}
        for step in atlas.steps:
            self.ways.setdefault(step.start, []).append(step)
        self.path: list[Step] = []
        """How one came here from the start."""
        self.chosen = 0

    @property
    def here(self) -> int:
        """Where the cursor is."""
        return self.path[-1].end if self.path else 0

    def compose(self) -> ComposeResult:
        """Title, map, ways on, keys."""
        self.head = Bar(pane_id="head")
        self.chart = LinePane(tr("Map: a row for each depth"), "chart", "", self.glyphs)
        self.ahead = LinePane(tr("Here, and the ways on"), "ways", "", self.glyphs)
        self.foot = Bar(pane_id="keys")
        self.head.build = self._title
        self.chart.build = self._chart
        self.ahead.build = lambda width: ways_on(self.atlas, self.here, self.chosen, width, self.glyphs)
        self.foot.build = self._keys
        for pane in (self.chart, self.ahead):
            pane.can_focus = False  # the arrows walk the map
        yield from (self.head, self.chart, self.ahead, self.foot)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A key of the key line was clicked."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)

    def _title(self, width: int) -> list[Row]:
        return [row(Span(cut(f" {legend(self.atlas, self.glyphs)}", width).ljust(width), "title"))]

    def _chart(self, width: int) -> list[Row]:
        ways = self.ways.get(self.here, [])
        ahead = ways[self.chosen].end if ways else -1
        way = {0, *(step.end for step in self.path)}
        return chart(self.atlas, self.here, tuple(way), ahead, width, self.glyphs)

    def _keys(self, width: int) -> list[Row]:
        hints = [
            ("Enter", "open this state", "screen.open"),
            ("down", "take the step", "screen.on"),
            ("up", "back", "screen.back"),
            ("left/right", "choose", "screen.choose(1)"),
            ("?", "help", "app.help"),
            ("q", "leave", "app.pop_screen"),
        ]
        return [keys(hints, width)]

    def _moved(self) -> None:
        """Show where one is now."""
        for pane in (self.chart, self.ahead):
            pane.renew()
        depth = self.atlas.places[self.here].depth
        if not self.chart.top <= depth < self.chart.top + self.chart.window:
            self.chart.scroll_rows(depth - self.chart.window // 2 - self.chart.top)

    def action_on(self) -> None:
        """Take the chosen step."""
        ways = self.ways.get(self.here, [])
        if ways:
            self.path.append(ways[self.chosen])
            self.chosen = 0
            self._moved()

    def action_back(self) -> None:
        """Back by a step; that step stays chosen."""
        if self.path:
            step = self.path.pop()
            self.chosen = self.ways[self.here].index(step)
            self._moved()

    def action_choose(self, by: int) -> None:
        """Another of the steps that lead on."""
        ways = self.ways.get(self.here, [])
        if ways:
            self.chosen = (self.chosen + by) % len(ways)
            self._moved()

    def action_start(self) -> None:
        """To where it begins."""
        self.path.clear()
        self.chosen = 0
        self._moved()

    def action_open(self) -> None:
        """The way here on a stage, at its end."""
        from tui.screens.sandbox_stage import SandboxStage  # noqa: PLC0415 - the stage opens other screens

        driver = SandboxDriver(session=Session(self.context, self.checker), title=tr("From the map"))
        for step in self.path:
            driver.session.run(step.line)
        driver.came_from = driver.session.node
        self.app.push_screen(SandboxStage(driver, self.glyphs))
