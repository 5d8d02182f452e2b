"""The baseline of `screen.py`: the smallest Textual app in which a key changes what is shown."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Static


class Counter(App[None]):
    """One number; `n` counts up."""

    BINDINGS: ClassVar[list[BindingType]] = [("n", "count", "Up"), ("q", "quit", "Quit")]
    count = 0

    def compose(self) -> ComposeResult:
        """The number."""
        yield Static("step 0 of 999")

    def action_count(self) -> None:
        """Show the next number."""
        self.count += 1
        self.query_one(Static).update(f"step {self.count} of 999", layout=False)


if __name__ == "__main__":
    Counter().run()
