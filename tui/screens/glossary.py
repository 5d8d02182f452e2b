"""The glossary: each term of the field, in one line."""

from textual.binding import Binding

from tui.screens.overlay import Overlay
from tui.views.glossary import glossary
from tui.views.row import Row


class Glossary(Overlay):
    """A page to read; the key that opened it closes it."""

    BINDINGS = [Binding("g,escape,q,space", "dismiss(None)", "Close", id="glossary.close")]  # noqa: RUF012 - Textual's own
    title_text = "Glossary"

    def rows(self, width: int) -> list[Row]:
        """The table from which docs/glossary.md is made too."""
        return glossary(width)
