"""The pane of the picture: `.` goes along the lines, and what does not hang together with the cursor is dimmed."""

from typing import ClassVar

from textual.events import Leave, MouseMove
from textual.message import Message

from tui.views.row import Stop, stops
from tui.widgets.line_pane import LinePane


class PicturePane(LinePane):
    """A pane whose things are joined by lines."""

    dims: ClassVar[bool] = True
    _hovered = ""
    """The subject under the mouse."""

    class Hovered(Message):
        """The mouse came to a subject; empty: it left it for none."""

        def __init__(self, subject: str) -> None:
            super().__init__()
            self.subject = subject

    def on_mouse_move(self, event: MouseMove) -> None:
        """What hangs together with the thing under the mouse lights up, as if the cursor stood there."""
        hit = self.stop_at(event.x, event.y)
        self._hover("" if hit is None else hit.subject)

    def on_leave(self, event: Leave) -> None:
        """The mouse has gone elsewhere."""
        del event
        self._hover("")

    def _hover(self, subject: str) -> None:
        """Tell the screen, once for each thing."""
        if subject != self._hovered:
            self._hovered = subject
            self.post_message(self.Hovered(subject))

    def reveal(self, subject: str) -> None:
        """Bring a thing into sight, where nothing is pointed at here."""
        if self.cursor is None:
            rows = (number for number, line in enumerate(self.rows) for span in line.spans if span.subject == subject)
            number = next(rows, None)
            if number is not None:
                self.keep_in_sight(number)

    def action_along(self, cells: int) -> None:
        """To the other end of a line: from a page to its frame, on to the frame's next holder, and to its frames."""
        places = list(stops(self.rows))
        here = self.cursor
        if here is None or not self.lit:
            self.action_move(1)
            return
        joined = [stop for stop in places if stop.subject in self.lit or stop.subject == here.subject]
        firsts: dict[str, Stop] = {}
        for stop in joined:
            firsts.setdefault(stop.subject, stop)
        subjects = list(firsts)
        if here.subject in subjects and len(subjects) > 1:
            self.point(firsts[subjects[(subjects.index(here.subject) + cells) % len(subjects)]])
        else:
            self.action_move(1)
