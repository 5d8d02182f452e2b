"""The machine of a sandbox in plain mode: what was done to it, and how to come back."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from model.script.ask import worth
from model.script.command import Command
from model.script.execute import check_simulated
from model.script.moment import Moment
from model.script.runner import Runner
from tui.views.plain_text import Narrator


class PlainMachine:
    """Carries commands out and tells what happened, on a console."""

    def __init__(self, output: Console) -> None:
        self.narrator = Narrator(output)
        self.runner = Runner()
        self.done: tuple[str, ...] = ()
        """The commands that led here from an empty machine."""
        self.earlier: list[tuple[Runner, tuple[str, ...]]] = []
        """The machine before each command, and what led there: a State costs nothing to keep."""
        self.places: dict[str, tuple[Runner, tuple[str, ...]]] = {}
        """Name → the machine to which it was given, and what led there."""
        self.watched: list[str] = []

    def perform(self, command: Command) -> None:
        """Carry a command out and tell it."""
        before = self.runner.copy(), self.done
        self.narrator.tell(self.runner.perform(command))
        self.done = (*self.done, command.text)
        self.earlier.append(before)
        self.tell_watched()

    def start_over(self, commands: Iterable[Command]) -> None:
        """An empty machine, and on it these commands; `undo` leads back to what was before."""
        commands = tuple(commands)
        check_simulated(commands)
        self.earlier.append((self.runner.copy(), self.done))
        self.runner, self.done = Runner(), ()
        for command in commands:
            self.perform(command)

    def tell_watched(self) -> None:
        """What the watched expressions are worth now."""
        for text in self.watched:
            moment = Moment.after(self.runner.context, self.runner.checker)
            self.narrator.line(6, Text.assemble((text, "bold"), f" = {worth(text, moment)}"))

    def say(self, text: str) -> None:
        """A word to the user, line by line."""
        for line in text.split("\n") if text else ():
            self.narrator.line(6, Text(line))

    def undo(self) -> None:
        """Go back to before the last command."""
        if self.earlier:
            self.runner, self.done = self.earlier.pop()
            self.narrator.line(6, Text("The last command is undone."))
        else:
            self.narrator.line(6, Text("There is nothing to undo."))
