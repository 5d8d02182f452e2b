"""What was learnt, to read: the Markdown of `ptescope recap` on a screen of its own."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Markdown

from lessons.file.library import entries
from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.learner.progress import ProgressError, Store
from lessons.teach.recap import recap
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import EXPORT
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.row import Row
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane


class Recap(ModalScreen[None], LeavesOnce[None]):
    """The rules of what is done, the wrong guesses beside the truth, what to read in the kernel, what comes next."""

    DEFAULT_CSS = """
    Recap { background: $background; }
    Recap #recap { height: 1fr; padding: 0 1; }
    Recap Markdown { max-width: 100; margin: 0; padding: 0 1; background: $background; }
    Recap #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        EXPORT,
        Binding("q,escape,enter", "dismiss", "Close", id="recap.close"),
        Binding("c,y", "copy", "Copy it", id="recap.copy"),
        Binding("j", "scroll('down')", "Line down", show=False, id="recap.down"),
        Binding("k", "scroll('up')", "Line up", show=False, id="recap.up"),
        Binding("space", "scroll('page_down')", "Page down", show=False, id="recap.page-down"),
        Binding("g", "scroll('home')", "To the start", show=False, id="recap.first"),
        Binding("G", "scroll('end')", "To the end", show=False, id="recap.last"),
    ]

    def __init__(self, store: Store, glyphs: Glyphs) -> None:
        super().__init__()
        self.store = store
        self.glyphs = glyphs
        self.text = self._text()

    def compose(self) -> ComposeResult:
        """The text, which scrolls, and below it the keys."""
        self.keys = Bar(pane_id="keys")
        self.keys.build = self._keys
        with VerticalScroll(id="recap"):
            text = Markdown(self.text, open_links=False)
            text.BULLETS = [f"{self.glyphs.bullet} ", "- "]
            yield text
        yield self.keys

    def on_mount(self) -> None:
        """Give the text the focus, so that keys scroll it."""
        self.query_one("#recap").focus()

    def _text(self) -> str:
        """The recap, or why there is none."""
        try:
            return recap(entries(), self.store.read())
        except (LessonError, ProgressError) as error:
            return str(error)

    def _keys(self, width: int) -> list[Row]:
        """The rows of the key line."""
        hints = [
            ("up/down Space", tr("scroll"), "scroll('page_down')"),
            ("c", tr("copy"), "copy"),
            ("q", tr("close"), "dismiss"),
        ]
        return [keys(hints, width)]

    def action_copy(self) -> None:
        """Copy the Markdown to the clipboard, as far as the terminal allows it."""
        self.app.copy_to_clipboard(self.text)
        self.notify(tr("Copied, if this terminal lets programs copy."), markup=False)

    def action_scroll(self, way: str) -> None:
        """Scroll the text."""
        text = self.query_one("#recap")
        {
            "down": text.scroll_down,
            "up": text.scroll_up,
            "page_down": text.scroll_page_down,
            "home": text.scroll_home,
            "end": text.scroll_end,
        }[way](animate=False)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click on the key line does what the key does."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
