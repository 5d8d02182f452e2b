"""The teacher's second terminal: notes, what comes next, what they will believe, and the clock."""

import time
from pathlib import Path
from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from lessons.teach.presenter_state import published
from tui.views.glyphs import choose
from tui.views.presenter import notes
from tui.views.row import Row
from tui.widgets.line_pane import LinePane
from tui.widgets.role_styles import PTESCOPE, THEMES

EVERY: Final = 0.5
"""Seconds between two looks at what the presenter says."""


class Notes(App[None]):
    """Follows whoever presents on this machine, started before or after."""

    TITLE = "ptescope notes"
    CSS = "LinePane { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,escape", "quit", "Quit")]

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.file = file
        self.glyphs = choose()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = PTESCOPE.name

    def compose(self) -> ComposeResult:
        """The page of notes."""
        self.pane = LinePane("", "notes", "", self.glyphs)
        self.pane.build = self._rows
        yield self.pane

    def on_mount(self) -> None:
        """Follow what is presented."""
        self.set_interval(EVERY, self.pane.renew)

    def _rows(self, width: int) -> list[Row]:
        return notes(published(self.file), time.time(), width, self.glyphs)
