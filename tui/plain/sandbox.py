"""The sandbox as text in, text out: for screen readers, pipes and terminals without cursor movement."""

from collections.abc import Iterable
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from lessons.play.playback import Standing
from lessons.play.watches import worth
from model.script.command import Command
from model.script.execute import check_simulated
from model.script.parser import parse_line
from model.script.problems import ScriptError, did_you_mean
from model.script.runner import Runner
from model.script.scope import Scope
from model.script.verbs import VERBS
from tui.plain.sandbox_commands import PLAIN_WORDS, use
from tui.views.plain_text import Narrator

PROMPT: Final = "ptescope> "
HELP: Final = (
    ("COMMAND", "carry it out, and tell what happened"),
    ("undo", "take the last command back"),
    *((word.usage, word.help) for word in PLAIN_WORDS),
    ("? [VERB]", "this help, or what a verb does"),
    ("quit", "leave (so does the end of the input)"),
)


WORD_NAMES: Final = frozenset(word.name for word in PLAIN_WORDS)


class PlainSandbox:
    """Free play on a console."""

    def __init__(self, commands: Iterable[Command], lines: TextIO, output: Console) -> None:
        self.commands = tuple(commands)
        self.lines = lines
        self.output = output
        self.narrator = Narrator(output)
        self.runner = Runner()
        self.done: tuple[str, ...] = ()
        """The commands that led here from an empty machine."""
        self.earlier: list[tuple[Runner, tuple[str, ...]]] = []
        """The machine before each command, and what led there: a State costs nothing to keep."""
        self.places: dict[str, tuple[Runner, tuple[str, ...]]] = {}
        """Name → the machine to which it was given, and what led there."""
        self.watched: list[str] = []
        self.number = 0

    def run(self) -> int:
        """Until the input ends, or `quit`. Returns the exit status. Raises ScriptError if the script cannot be run."""
        for command in self.commands:
            self.perform(command)
        self.number = max((command.line for command in self.commands), default=0)
        while line := self._ask():
            match line.split():
                case [] | ["?"]:
                    self.help("")
                case ["?", verb]:
                    self.help(verb)
                case ["undo"]:
                    self.undo()
                case ["quit" | "q" | "exit"]:
                    break
                case [word, *_] if word in WORD_NAMES:
                    self.say(use(self, line))
                case _:
                    self.type(line)
        return 0

    def _ask(self) -> str:
        """The next line with its newline; empty at the end of the input."""
        if self.lines.isatty():
            self.output.print(PROMPT, end="")
        return self.lines.readline()

    def type(self, line: str) -> None:
        """A line that was typed: a command, or what is wrong with it."""
        self.number += 1
        try:
            command = parse_line(line.rstrip("\n"), Scope.of(self.runner.context.state), self.number)
            if command is not None:
                self.perform(command)
        except ScriptError as error:
            for problem in error.problems:
                self.narrator.line(6, Text(f"column {problem.column}: {problem.message}", "yellow"))

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
            moment = Standing(self.runner.context, self.runner.checker).moment
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

    def help(self, verb: str) -> None:
        """What can be typed."""
        if verb and verb not in VERBS:
            self.narrator.line(6, Text(f"There is no `{verb}`{did_you_mean(verb, VERBS)}"))
            return
        if not verb:
            for key, text in HELP:
                self.narrator.line(2, Text(f"{key:18}", "bold").append(text, "none"))
        self.narrator.verbs(known for known in VERBS.values() if verb in {"", known.name})
