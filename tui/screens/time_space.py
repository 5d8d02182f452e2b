"""Time and space of what has happened: who did what when, and whom it touched."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.session.interleaving import Interleaving, of_timeline, recent
from model.session.timeline import Timeline
from tui.drivers.counterexample import CounterexampleDriver
from tui.screens.overlay import Overlay
from tui.views.glyphs import Glyphs
from tui.views.row import BLANK, Row, Span, row, stops
from tui.views.time_space import GAP, SIDE_BY_SIDE, DrawnSchedule, legend, schedules, time_space

if TYPE_CHECKING:
    from tui.screens.stage import Stage

FEW_LANES: Final = 3
"""Commands and tasks that are drawn at first: what has just happened, and what it met."""
MOST_LANES: Final = 12
FILE_WIDTH: Final = 120
"""Columns of one drawing in a file."""


class TimeSpace(Overlay):
    """Ends with the step, or the thing, to go to. A longer stretch of the history is one key away."""

    title_text = "Time and space"
    DEFAULT_CSS = "TimeSpace #box { max-width: 100%; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "lanes(1)", "From an earlier command on", id="time-space.earlier"),
        Binding("right,plus", "lanes(-1)", "From a later command on", id="time-space.later"),
    ]

    def __init__(self, timeline: Timeline, glyphs: Glyphs, shown: Sequence[DrawnSchedule] = ()) -> None:
        super().__init__(glyphs)
        self.timeline = timeline
        self.shown: Final = shown
        """Ways that a search has laid out; none: the history is drawn."""
        self.lanes = FEW_LANES
        self.found = self._found()

    @classmethod
    def over(cls, stage: "Stage") -> "TimeSpace":
        """Of the history that led to what the stage shows, or of the ways that a search has laid out there."""
        driver = stage.driver
        return cls(driver.past(), stage.glyphs, driver.schedules() if isinstance(driver, CounterexampleDriver) else ())

    def finished(self, stage: "Stage", chosen: str) -> None:
        """Go to a step, or point at a thing."""
        kind, _, number = chosen.partition(":")
        if kind == "moment":
            stage.move(lambda: stage.driver.revisit(int(number)))
        else:
            stage.point(chosen)

    def _found(self) -> Interleaving:
        return of_timeline(self.timeline, recent(self.timeline, self.lanes), self.timeline.here.number)

    def on_mount(self) -> None:
        """The cursor is on the step that has just been made, or on the last one before it that is shown."""
        super().on_mount()
        made = {f"moment:{node.number}" for node in self.timeline.path_to(self.timeline.here)}
        shown = [stop.subject for stop in stops(self.rows(self.app.size.width)) if stop.subject.startswith("moment:")]
        behind = [subject for subject in shown if subject in made]
        for subject in (*behind[-1:], *shown[:1])[:1]:
            self.pane.point_at(subject)

    def rows(self, width: int) -> list[Row]:
        """What the signs mean, and the drawing."""
        if self.shown:
            return [legend(self.glyphs), BLANK, *schedules(self.shown, width, self.glyphs)]
        if not self.found.steps:
            return [row(Span(tr("Nothing has run here yet."), "dim"))]
        return [legend(self.glyphs), BLANK, *time_space(self.found, width, self.glyphs)]

    def whole_drawing(self) -> list[Row]:
        """All of it, for a file: two schedules side by side."""
        return self.rows(2 * SIDE_BY_SIDE + GAP if len(self.shown) > 1 else FILE_WIDTH)

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        if self.shown:
            return [("Enter", tr("go to this step"), "choose"), ("E", tr("file"), "app.export")]
        return [
            ("Enter", tr("go to this step"), "choose"),
            (f"{self.glyphs.arrow} / +", tr("fewer commands"), "lanes(-1)"),
            ("-", tr("more commands"), "lanes(1)"),
            ("E", tr("file"), "app.export"),
        ]

    def action_lanes(self, by: int) -> None:
        """Begin with an earlier command, or with a later one."""
        wanted = min(max(1, self.lanes + by), MOST_LANES)
        if wanted != self.lanes and not self.shown:
            self.lanes = wanted
            self.found = self._found()
            self.renew()
