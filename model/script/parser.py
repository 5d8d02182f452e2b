r"""Text → Commands. Everything that can be known without running anything is checked here, and all of it is reported.

>>> parse("process p0\nmmap p0 buf anon private rw 4")[1].operands["PAGES"]
4
>>> parse("process p0\nraed p0 @16")
Traceback (most recent call last):
model.text.problems.ScriptError: 2:1: unknown command `raed`; did you mean `read`?
"""

from collections.abc import Iterable, Iterator
from typing import Final

from model.driver_files.resolve import whole
from model.script.command import Command, Condition, Phrase, Place, Value
from model.script.conditions import CONDITIONS
from model.script.line_parser import DEFAULT_DRIVER, LineParser, Syntax
from model.script.operands import (
    NewLabel,
    NewName,
    Operand,
    Rest,
)
from model.script.own_driver import TAKEN, clashes
from model.script.scope import Scope
from model.script.verbs import PROPERTIES, VERBS, Verb, op_verb
from model.text.problems import ScriptError, ScriptProblem, did_you_mean
from model.text.words import printable, split

MOST_LINES: Final = 100_000
MOST_CHARACTERS: Final = 4_000_000
"""A longer script is refused at once. Nothing a person writes comes near."""
LONGEST_LINE: Final = 10_000
NO_FILES: Final = "`use` reads no file here; write the driver out: `driver NAME; LINE; LINE …`"


def parse(text: str) -> tuple[Command, ...]:
    """The commands of a whole script. Raises ScriptError with every problem that it has."""
    if len(text) > MOST_CHARACTERS or text.count("\n") > MOST_LINES:
        raise ScriptError(
            [ScriptProblem(1, 1, f"a script has at most {MOST_LINES} lines and {MOST_CHARACTERS} characters")]
        )
    scope = Scope()
    problems: list[ScriptProblem] = []
    commands: list[Command] = []
    last = dict(_read_last(text))
    for number, line in _lines(text):
        command = _Line(number, line, scope, problems).command() if number not in last else None
        if command is not None:
            commands.append(command)
    return _with_last(last, commands, scope, problems)


def parse_line(line: str, scope: Scope, number: int = 1) -> Command | None:
    """One command, as typed at a prompt; None for a blank line. `scope` learns the names that it creates.

    Raises ScriptError; `scope` is then as before.
    """
    attempt = scope.copy()
    problems: list[ScriptProblem] = []
    command = _Line(number, line, attempt, problems).command()
    if problems:
        raise ScriptError(problems)
    scope.become(attempt)
    return command


def parse_permissions(lines: Iterable[str], scope: Scope) -> tuple[Command, ...]:
    """`may` lines as typed before a machine: each may use what the others of them may create.

    The problems of the ScriptError count lines from 1.
    """
    return _with_last(dict(_read_last("\n".join(lines))), [], scope.copy(), [])


def parse_condition(text: str, scope: Scope) -> Condition:
    """A condition as it may follow `expect`. Raises ScriptError; its line is 1.

    With `Scope.unknown()` names are taken on trust: whether there is such a thing is known when it is judged.
    """
    problems: list[ScriptProblem] = []
    condition = _Line(1, text, scope, problems).condition()
    if problems:
        raise ScriptError(problems)
    return condition


def parse_quantity(text: str, scope: Scope) -> Phrase:
    """A quantity: a condition's form without the number that it is compared with. Raises ScriptError."""
    problems: list[ScriptProblem] = []
    quantity = _Line(1, text, scope, problems).quantity()
    if quantity is None:
        raise ScriptError(problems)
    return quantity


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers. Only a newline ends one; a byte-order mark and carriage returns are dropped."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        yield number, line.removesuffix("\r")


def _with_last(
    last: dict[int, str], commands: list[Command], scope: Scope, problems: list[ScriptProblem]
) -> tuple[Command, ...]:
    """Add the lines that are read last: they may use every name of the script, and what `may` lines may create."""
    scope.searching = True
    for number, line in last.items():
        if _first_word(line) == "may":
            _Line(number, line, scope, []).command()
    for number, line in last.items():
        command = _Line(number, line, scope, problems).command()
        if command is not None:
            commands.append(command)
    if problems:
        raise ScriptError(problems)
    return tuple(sorted(commands, key=lambda command: command.line))


def _read_last(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are about the whole script: `may`, properties, and what is expected behind the first `may`."""
    behind = False
    for number, line in _lines(text):
        word = _first_word(line)
        if word == "may" or word in PROPERTIES or (behind and word == "expect"):
            yield number, line
        behind |= word == "may"


def _first_word(line: str) -> str:
    words = split(line)
    return words[0].text if words else ""


class _Line(LineParser):
    """One line of a script being read."""

    def command(self) -> Command | None:
        """The command of this line; None if it is blank, or wrong."""
        if self.hidden is not None:
            column, name = self.hidden
            self.complain(column, f"the control character {name}: a script has printable text only")
            return None
        if not self.words:
            return None
        if len(self.line) > LONGEST_LINE and self.words[0].text != "driver":
            self.complain(1, f"the line is longer than {LONGEST_LINE} characters")
            return None
        before = len(self.problems)
        command = self.nested(None)
        return command if len(self.problems) == before else None

    def nested(self, outer: Syntax | None) -> Command | None:
        """The command that the words left are; `outer` is the verb that starts it (`begin`, `may`)."""
        first = self.words.pop(0)
        verb = VERBS.get(first.text)
        if verb is None and first.text in (ops := self.scope.ops()):
            verb = op_verb(first.text)
        if verb is None:
            hint = did_you_mean(first.text, [*VERBS, *ops])
            self.complain(first.column, f"unknown command `{printable(first.text)}`{hint}")
            return None
        text = self.line[first.column - 1 :]
        if verb.name == "use" and outer is None:
            self.complain(first.column, NO_FILES)
            return None
        if outer is not None and verb.role != "kernel":
            self.complain(first.column, f"`{verb.name}` cannot be started by `{outer.name}`: it is no kernel operation")
            return None
        if verb.name == "set" and self.scope.touched:
            self.complain(first.column, "`set` comes too late: an earlier command has touched memory")
        if not any(isinstance(operand, Rest) for operand in verb.form.operands):
            text = " ".join((first.text, *(word.text for word in self.words)))
        operands, options = self._arguments(verb, verb.form)
        command = Command(verb.name, operands, options, text, self.number, first.column)
        if verb.name == "driver":
            self._bring(text, first.column)
        if verb.name in PROPERTIES:
            self._about_machine(verb, command, first.column)
        self._affect_scope(verb, command, under_way=outer is not None)
        return command

    def _bring(self, text: str, column: int) -> None:
        """A driver that is written out in the script."""
        try:
            driver = whole(text)
        except ScriptError as error:
            for problem in error.problems:
                self.complain(problem.column + column - 1, problem.message)
            return
        known = self.scope.drivers.get(driver.name)
        if driver.name in self.scope.bundled_drivers():
            self.complain(column, TAKEN.format(name=driver.name))
        elif known is not None and known != driver:
            self.complain(column, f"there is another driver `{driver.name}` already")
        for problem in clashes(driver):
            self.complain(problem.column + column - 1, problem.message)
        self.scope.drivers[driver.name] = driver

    def _about_machine(self, verb: Verb, command: Command, column: int) -> None:
        """A property is about the machine: there is no last command in every state."""
        for phrase in command.phrases:
            if CONDITIONS[phrase.form].about == "command":
                asked = f"`{phrase.text}` is about the last command, and `{verb.name}` about the machine"
                self.complain(column, f"{asked}, such as `{verb.name} present P WHERE`")

    def _affect_scope(self, verb: Verb, command: Command, *, under_way: bool) -> None:
        """What later lines may rely on after this one; `under_way`: it is started, and ends nobody knows when.

        What it makes has its name at the end only. So others may be started that make the same, and one will be late.
        """
        scope = self.scope
        process = str(command.get("P", ""))
        for operand, value in _given(verb, command):
            driver = command.options.get("exporter", DEFAULT_DRIVER)
            if isinstance(operand, NewName) and operand.kind == "buffer" and driver:  # none: that has been told
                scope.exporters[str(value)] = str(driver)
            if isinstance(operand, NewName):
                scope.declare(operand.kind, str(value), verb.name, self.number, free=under_way)
            elif isinstance(operand, NewLabel) and process:
                scope.label(process, str(value), self.number, free=under_way)
            elif operand.name in verb.gives_up and isinstance(value, Place) and value.label:
                scope.release_label(process, value.label)
            elif operand.name in verb.gives_up and (kind := getattr(operand, "kind", "")):
                scope.release(kind, str(value))
        for noted in scope.noted_by(str(command.get("B", "")), verb.name):
            scope.declare("reference", noted, verb.name, self.number, free=True)
        if verb.name == "fork" and process and "CHILD" in command.operands:
            scope.fork(process, str(command.operands["CHILD"]), self.number)
        if verb.name == "userfaultfd" and "event_fork" in command.options and "U" in command.operands:
            scope.fork_events.add(str(command.operands["U"]))
        if verb.name == "set" and command.operands.get("KEY") == "cpus":
            scope.cpus = int(str(command.operands.get("VALUE", scope.cpus)))
        scope.touched |= verb.role in {"kernel", "task"}
        scope.answered |= verb.role != "word"


def _given(verb: Verb, command: Command) -> Iterator[tuple[Operand, Value]]:
    """The operands and options that were given, as (declaration, value)."""
    for operand in verb.form.operands:
        if operand.name in command.operands:
            yield operand, command.operands[operand.name]
    for option in verb.form.options:
        if option.value is not None and option.key in command.options:
            yield option.value, command.options[option.key]
