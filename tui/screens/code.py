"""The code of a state, and the script that leads to it: to read, to copy, to hand on."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.session.session import Session
from model.session.state_code import CodeError, encode
from model.session.to_script import script_of
from tui.screens.overlay import Overlay
from tui.screens.prompt import Prompt
from tui.views.glyphs import Glyphs
from tui.views.markdown import markdown
from tui.views.row import BLANK, Row, Span, row


class Handout(Overlay):
    """Shows a text to be copied."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c,y", "copy", "Copy it", id="handout.copy")]

    def __init__(self, text: str, about: str, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.text = text
        self.about = about

    def rows(self, width: int) -> list[Row]:
        """What it is, then the text itself, broken where the pane ends."""
        room = max(width - 4, 8)
        parts = [line[at : at + room] for line in self.text.split("\n") for at in range(0, max(len(line), 1), room)]
        return [*markdown(self.about, width), BLANK, *(row("  ", Span(part, "code")) for part in parts)]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [("c", tr("copy"), "copy")]

    def action_copy(self) -> None:
        """Copy it to the clipboard, as far as the terminal allows it."""
        if self.text:
            self.app.copy_to_clipboard(self.text)
            self.notify(tr("Copied, if this terminal lets programs copy."), markup=False)

    def action_choose(self) -> None:
        """Nothing here is chosen."""
        self.action_copy()


class StateCode(Handout):
    """The code of where a session stands."""

    title_text = "State code"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        try:
            text = encode(session.timeline, session.node)
            about = tr(
                "This text is the present state with the schedule that led to it. `ptescope sandbox --code CODE` or "
                "`:code CODE` opens it, anywhere. It contains no program and is safe to paste; spaces and line "
                "breaks do not matter."
            )
        except CodeError as error:
            text, about = "", str(error)
        super().__init__(text, about, glyphs)


class Code(StateCode):
    """In the sandbox. Ends with another code to open, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "open", "Open a code", id="code.open")]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [*super().hints(), ("o", tr("open another code"), "open")]

    def action_open(self) -> None:
        """Ask for a code, typed or pasted, and open it."""

        def typed(code: str | None) -> None:
            if code:
                self.dismiss(code)

        self.app.push_screen(Prompt(tr("state code")), typed)


class ScriptText(Handout):
    """The script that leads here."""

    title_text = "The script that leads here"

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        script = script_of(session.timeline, session.node)
        about = tr("`ptescope run FILE` carries it out; `:save FILE` writes it with the whole history.")
        super().__init__("\n".join(script.lines), about, glyphs)
