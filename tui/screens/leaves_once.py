"""A screen that is left once, however fast the keys come."""

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import Screen

Result = TypeVar("Result")


class LeavesOnce(Screen[Result]):
    """A second `dismiss`, from a key or click that came in the same burst, does nothing.

    Textual would pop the screen below, or fail where there is none (`ScreenStackError`).
    """

    _left = False

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result, unless this screen has been left already."""
        if self._left or not self.is_attached:
            return AwaitComplete()  # nothing to wait for
        self._left = True
        return super().dismiss(result)
