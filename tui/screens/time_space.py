"""Time and space of what has happened: who did what when, and whom it touched."""

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.session.interleaving import Interleaving, of_timeline, recent
from model.session.timeline import Timeline
from tui.screens.overlay import Overlay
from tui.views.glyphs import Glyphs
from tui.views.row import BLANK, Row, Span, row
from tui.views.time_space import legend, time_space

if TYPE_CHECKING:
    from tui.screens.stage import Stage

FEW_LANES: Final = 3
"""Commands and tasks that are drawn at first: what has just happened, and what it met."""
MOST_LANES: Final = 12


class TimeSpace(Overlay):
    """Ends with the step, or the thing, to go to. A longer stretch of the history is one key away."""

    title_text = "Time and space"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "lanes(1)", "From an earlier command on", id="time-space.earlier"),
        Binding("right,plus", "lanes(-1)", "From a later command on", id="time-space.later"),
    ]

    def __init__(self, timeline: Timeline, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.timeline = timeline
        self.lanes = FEW_LANES
        self.found = self._found()

    @classmethod
    def over(cls, stage: "Stage") -> "TimeSpace":
        """Of the history that led to what the stage shows."""
        return cls(stage.driver.past(), stage.glyphs)

    def finished(self, stage: "Stage", chosen: str) -> None:
        """Go to a step, or point at a thing."""
        kind, _, number = chosen.partition(":")
        if kind == "moment":
            stage.move(lambda: stage.driver.revisit(int(number)))
        else:
            stage.point(chosen)

    def _found(self) -> Interleaving:
        return of_timeline(self.timeline, recent(self.timeline, self.lanes), self.timeline.here.number)

    def rows(self, width: int) -> list[Row]:
        """What the signs mean, and the drawing."""
        if not self.found.steps:
            return [row(Span(tr("Nothing has run here yet."), "dim"))]
        return [legend(self.glyphs), BLANK, *time_space(self.found, width, self.glyphs)]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [
            ("Enter", tr("go to this step"), "choose"),
            (f"{self.glyphs.arrow} / +", tr("fewer commands"), "lanes(-1)"),
            ("-", tr("more commands"), "lanes(1)"),
        ]

    def action_lanes(self, by: int) -> None:
        """Begin with an earlier command, or with a later one."""
        wanted = min(max(1, self.lanes + by), MOST_LANES)
        if wanted != self.lanes:
            self.lanes = wanted
            self.found = self._found()
            self.renew()
