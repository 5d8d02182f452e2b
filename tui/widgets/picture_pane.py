"""The pane of the picture: `.` goes along the lines, and what does not hang together with the cursor is dimmed."""

from typing import ClassVar

from tui.views.row import Stop, stops
from tui.widgets.line_pane import LinePane


class PicturePane(LinePane):
    """A pane whose things are joined by lines."""

    dims: ClassVar[bool] = True

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
