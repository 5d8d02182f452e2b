"""A screen that is left once, however fast the keys come, and whose list has a top and a bottom."""

from typing import ClassVar, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.widgets.line_pane import LinePane

Result = TypeVar("Result")


class LeavesOnce(Screen[Result]):
    """A second `dismiss`, from a key or click that came in the same burst, does nothing.

    Textual would pop the screen below, or fail where there is none (`ScreenStackError`).
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "to_end(False)", "To the top", id="list.first"),
        Binding("end", "to_end(True)", "To the bottom", id="list.last"),
    ]

    _left = False

    def action_to_end(self, last: bool) -> None:
        """To the top or the bottom of the pane that has the cursor."""
        pane = self.focused if isinstance(self.focused, LinePane) else next(iter(self.query(LinePane)), None)
        if pane is not None:
            pane.to_end(last=last)

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result, unless this screen has been left already."""
        if self._left or not self.is_attached:
            return AwaitComplete()  # nothing to wait for
        self._left = True
        return super().dismiss(result)
