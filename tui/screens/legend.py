"""The legend of the picture: every sign, and what it means."""

from textual.binding import Binding

from tui.screens.overlay import Overlay
from tui.views.glyphs import ASCII, Glyphs
from tui.views.picture.legend import legend
from tui.views.row import Row


class Legend(Overlay):
    """A page to read; the key that opened it closes it."""

    BINDINGS = [Binding("l,escape,q,space", "dismiss(None)", "Close", id="legend.close")]  # noqa: RUF012 - Textual's own
    title_text = "Legend of the picture"

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(glyphs)

    def rows(self, width: int) -> list[Row]:
        """The table that the picture itself draws with."""
        return legend(width, ascii_only=self.glyphs is ASCII)
