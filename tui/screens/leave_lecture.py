"""Leaving a presentation: over, or kept for later. A clicker's Esc must not end a lecture."""

from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from tui.screens.overlay import Overlay, choice
from tui.views.markdown import markdown
from tui.views.row import BLANK, Row

STAY: Final = "choice:stay"
KEEP: Final = "choice:keep"
OVER: Final = "choice:over"


class LeaveLecture(Overlay):
    """Ends with `KEEP` or `OVER`, or with anything else where the lecture goes on. The cursor begins at that."""

    title_text = "Leave the presentation?"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", f"dismiss('{KEEP}')", "Leave, and keep it for later", id="leave.keep"),
        Binding("e", f"dismiss('{OVER}')", "The lecture is over", id="leave.over"),
        Binding("pagedown,pageup,full_stop,b", "nothing", "A clicker's other keys do nothing here", show=False),
    ]

    def on_mount(self) -> None:
        """Enter alone goes on with the lecture."""
        super().on_mount()
        self.pane.point_at(STAY)

    def action_nothing(self) -> None:
        """A clicker's other keys."""

    def rows(self, width: int) -> list[Row]:
        """What can be done."""
        answers = (
            ("Esc", tr("No: go on with the lecture"), STAY),
            (
                "l",
                tr("For later: place, ballots and clock are kept, the next presentation goes on here"),
                KEEP,
            ),
            ("e", tr("It is over: the next presentation of this lesson starts over"), OVER),
        )
        choices = [line for key, text, subject in answers for line in choice(f"{key:3}", text, subject, width)]
        told = tr("Your own progress in the lesson stays as it is, whatever you choose.")
        return [*markdown(told, width), BLANK, *choices]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys of the key line."""
        return [("l", tr("for later"), f"dismiss('{KEEP}')"), ("e", tr("end it"), f"dismiss('{OVER}')")]
