"""Why is this as it is? The chain of steps behind what the cursor points at; Enter goes to one of them."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from lessons.i18n.language import tr
from model.session.timeline import Timeline
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import EXPORT
from tui.views.glyphs import Glyphs
from tui.views.row import Row, stops
from tui.views.why import accounts, rows
from tui.widgets.line_pane import LinePane


class Why(ModalScreen[int | None], LeavesOnce[int | None]):
    """Ends with the node to go to, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        EXPORT,
        Binding("enter", "go", "Go to this step", id="why.go"),
        Binding("q,escape,W", "dismiss(None)", "Close", id="why.close"),
    ]

    def __init__(self, timeline: Timeline, subject: str, glyphs: Glyphs, *, alarms: bool = True) -> None:
        """Of a thing, and of what is broken; without `alarms`, while a question is open, of the thing alone."""
        super().__init__()
        self.found = accounts(timeline, subject) if subject else []
        if alarms:
            self.found += accounts(timeline, "")
        self.glyphs = glyphs

    def compose(self) -> ComposeResult:
        """One list of causes."""
        self.pane = LinePane(tr("Why? Enter goes to a step, q closes"), "why", "", self.glyphs)
        self.pane.build = self._rows
        yield self.pane

    def on_mount(self) -> None:
        """The cursor on the last link: the step that made it so."""
        last = [stop.subject for stop in stops(self._rows(self.app.size.width))]
        if last:
            self.pane.point_at(last[0])
        self.pane.focus()

    def _rows(self, width: int) -> list[Row]:
        return rows(self.found, width, self.glyphs)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """Go to the step that was clicked."""
        message.stop()
        if message.clicked:
            self.action_go()

    def action_go(self) -> None:
        """To the step under the cursor."""
        kind, _, node = self.pane.cursor.subject.partition(":") if self.pane.cursor else ("", "", "")
        if kind == "moment":
            self.dismiss(int(node))
