"""A pane that keeps to its end: the log."""

from collections.abc import Sequence

from tui.views.row import Row
from tui.widgets.line_pane import LinePane


class Tail(LinePane):
    """The newest rows are in sight unless one has scrolled away from them."""

    def _take(self, rows: Sequence[Row]) -> None:
        """Stay at the end if that is where we were, in the size in which the rows were last drawn."""
        at_end = self.top >= len(self.rows) - max(self._fitted.height - self.head, 1)
        super()._take(rows)
        if at_end:
            self.top = max(0, len(rows) - self.window)
