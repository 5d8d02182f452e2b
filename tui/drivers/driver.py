"""What a stage shows and moves: a lesson that is played, or a session in the sandbox."""

from typing import TYPE_CHECKING, Protocol

from tui.views.view_model import Picture

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from model.invariants.checker import Checker
    from model.script.complete import Completion
    from model.script.context import Context
    from model.session.timeline import Timeline


class Driver(Protocol):
    """Every move answers with a word to the learner if it could not be made, and with an empty text if it was."""

    free: bool
    """One plays freely: the stage has the sandbox's keys."""
    folds: bool
    """A step forward goes on to the next one that changes something in sight."""

    def picture(self) -> Picture:
        """Everything that the stage shows now."""

    def step(self, size: "StepSize") -> str:
        """Take one step of that size."""

    def back(self) -> str:
        """Undo the last move; the future stays."""

    def go(self, node: int) -> str:
        """Jump to a node of the strip."""

    def revisit(self, moment: int) -> str:
        """Jump to the micro-step that a line of the log, or a violation, tells of."""

    def end(self, *, last: bool) -> str:
        """Jump to the first or the last node of this way."""

    def branch(self, by: int) -> str:
        """Choose the next (or previous) of the branches that lead on from here."""

    def answer(self, typed: str) -> str:
        """Answer the question that waits."""

    def command(self, line: str) -> str:
        """Carry out a line of the script language."""

    def hint(self) -> str:
        """Show one more hint."""

    def assist(self, line: str) -> "Completion":
        """Help for a command that is being typed."""

    def refers(self, subject: str) -> tuple[frozenset[str], frozenset[str]]:
        """What a subject refers to, and what refers to it."""

    def machine(self) -> "tuple[Context, Checker]":
        """The machine as it stands, and what its checker knows: what a search sets out from."""

    def past(self) -> "Timeline":
        """The history that led here."""

    def keep(self) -> str:
        """Keep what must not be lost; called when the learner pauses and when the screen is left."""
