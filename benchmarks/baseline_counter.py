"""The baseline of `screen.py`: the smallest Textual app in which a key changes what is shown."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Static


class Counter(App[None]):
    """One number; `n` counts up, `p` down."""

    BINDINGS: ClassVar[list[BindingType]] = [("n", "count(1)", "Up"), ("p", "count(-1)", "Down"), ("q", "quit", "Quit")]
    count = 0

    def compose(self) -> ComposeResult:
        """The number."""
        yield Static("step 0 of 999")

    def action_count(self, by: int) -> None:
        """Show another number."""
        self.count += by
        self.query_one(Static).update(f"step {self.count} of 999", layout=False)


if __name__ == "__main__":
    Counter().run()
