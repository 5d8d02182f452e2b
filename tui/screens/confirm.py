"""A question before something is done that is hard to undo."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from tui.screens.overlay import Overlay, choice
from tui.views.glyphs import Glyphs
from tui.views.markdown import markdown
from tui.views.row import BLANK, Row

YES = "choice:yes"
NO = "choice:no"


class Confirm(Overlay):
    """Ends with `YES`, or with anything else where it is not to be done. The cursor begins at no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", f"dismiss('{YES}')", "Yes", id="confirm.yes"),
        Binding("n", "dismiss(None)", "No", id="confirm.no"),
    ]

    def __init__(self, title: str, text: str, deed: str, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.title_text = title
        self.text = text
        self.deed = deed

    def on_mount(self) -> None:
        """Enter alone does nothing bad."""
        super().on_mount()
        self.pane.point_at(NO)

    def rows(self, width: int) -> list[Row]:
        """What will be done, and both answers."""
        answers = (("n", tr("No, leave everything as it is"), NO), ("y", tr("Yes: {deed}").format(deed=self.deed), YES))
        choices = [line for key, text, subject in answers for line in choice(key, text, subject, width)]
        return [*markdown(self.text, width), BLANK, *choices]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys of the key line."""
        return [("y", tr("yes"), f"dismiss('{YES}')"), ("n", tr("no"), "dismiss(None)")]
