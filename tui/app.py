"""The Textual app: themes, screens, and how it is started."""

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.driver import Driver
from tui.rows.glyphs import choose
from tui.style import PTESCOPE, THEMES


class PtescopeApp(App[None]):
    """ptescope on the screen."""

    TITLE = "ptescope"
    CSS_PATH = "ptescope.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("t", "next_theme", "Next theme", show=False, id="app.theme"),
    ]

    def __init__(self, driver: Driver | None = None) -> None:
        super().__init__()
        self.glyphs = choose()
        self.driver = driver
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = PTESCOPE.name

    def get_default_screen(self) -> Screen[None]:
        """The first screen is the one that was asked for: no other is laid out and painted before it."""
        from tui.screens.stage import Stage  # noqa: PLC0415 - only when a lesson or the sandbox opens

        if self.driver is not None:
            return Stage(self.driver, self.glyphs)
        return Screen()
