"""A list over the stage: rows to read or to choose from, and a line that tells the keys."""

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from lessons.i18n.language import tr
from tui.screens.leaves_once import LeavesOnce
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import Row, Span, row
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

if TYPE_CHECKING:
    from tui.screens.stage import Stage

EXPORT: Final = Binding("E", "app.export", "This screen as a file, SVG or Markdown", show=False, id="modal.export")
"""Textual hands no key of a modal screen on to the app: those that are worth a picture have this of their own."""


def choice(key: str, text: str, subject: str, width: int) -> list[Row]:
    """One answer of a question: its key, and what it does, in as many rows as that needs."""
    lead = Span(f" {key}  ", "key", subject)
    lines = wrap([Span(text, "plain", subject)], width - len(lead.text))
    return [
        row(lead if at == 0 else Span(" " * len(lead.text), "plain", subject), *line.spans)
        for at, line in enumerate(lines)
    ]


class Overlay(ModalScreen[str], LeavesOnce[str]):
    """Ends with what was chosen, or with None."""

    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background; }
    Overlay #box { width: 100%; max-width: 160; height: 100%; }
    Overlay #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "dismiss(None)", "Close", id="overlay.close"),
        Binding("enter", "choose", "Choose", id="overlay.choose"),
        EXPORT,
    ]
    title_text = ""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self.glyphs = glyphs

    @classmethod
    def over(cls, stage: "Stage") -> "Overlay":
        """The screen for what a stage shows now: what a key that opens it makes."""
        return cls(stage.glyphs)

    def finished(self, stage: "Stage", chosen: str) -> None:
        """What was chosen here, done on the stage; by default nothing."""

    def compose(self) -> ComposeResult:
        """The list, and below it the keys."""
        self.pane = LinePane(tr(self.title_text), "overlay", "", self.glyphs)
        self.pane.build = self.rows
        self.keys = Bar(pane_id="keys")
        self.keys.build = lambda width: [keys([*self.hints(), ("q", tr("close"), "dismiss(None)")], width)]
        with Container(id="box"):
            yield self.pane
            yield self.keys

    def on_mount(self) -> None:
        """The list has the cursor."""
        self.pane.focus()

    def rows(self, width: int) -> list[Row]:
        """The rows of the list. Each overlay says its own."""
        raise NotImplementedError

    def hints(self) -> list[tuple[str, str, str]]:
        """What the key line says: key, what it does, the action behind it."""
        return []

    def renew(self) -> None:
        """Show what has changed."""
        self.pane.renew()
        self.keys.renew()

    @property
    def chosen(self) -> str:
        """The subject under the cursor."""
        return self.pane.cursor.subject if self.pane.cursor is not None else ""

    def action_choose(self) -> None:
        """Take what is under the cursor."""
        if self.chosen:
            self.choose(self.chosen)

    def choose(self, subject: str) -> None:
        """What Enter, or a click, does with what is under the cursor."""
        self.dismiss(subject)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click chooses; on the key line it does what the key does."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif message.clicked:
            self.choose(message.subject)
        else:
            self.moved()

    def moved(self) -> None:
        """The cursor stands on something else."""
