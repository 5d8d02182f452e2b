"""The sandbox as text in, text out: for screen readers, pipes and terminals without cursor movement."""

from collections.abc import Iterable
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from model.script.command import Command
from model.script.parser import parse_line
from model.script.problems import ScriptError, did_you_mean
from model.script.scope import Scope
from model.script.verbs import VERBS
from tui.plain.machine import PlainMachine
from tui.plain.sandbox_commands import PLAIN_WORDS, use

PROMPT: Final = "ptescope> "
HELP: Final = (
    ("COMMAND", "carry it out, and tell what happened"),
    ("undo", "take the last command back"),
    *((word.usage, word.help) for word in PLAIN_WORDS),
    ("? [VERB]", "this help, or what a verb does"),
    ("quit", "leave (so does the end of the input)"),
)


WORD_NAMES: Final = frozenset(word.name for word in PLAIN_WORDS)


class PlainSandbox(PlainMachine):
    """Free play on a console."""

    def __init__(self, commands: Iterable[Command], lines: TextIO, output: Console) -> None:
        super().__init__(output)
        self.commands = tuple(commands)
        self.lines = lines
        self.output = output
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

    def help(self, verb: str) -> None:
        """What can be typed."""
        if verb and verb not in VERBS:
            self.narrator.line(6, Text(f"There is no `{verb}`{did_you_mean(verb, VERBS)}"))
            return
        if not verb:
            for key, text in HELP:
                self.narrator.line(2, Text(f"{key:18}", "bold").append(text, "none"))
        self.narrator.verbs(known for known in VERBS.values() if verb in {"", known.name})
