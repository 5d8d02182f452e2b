r"""Text → Commands. Everything that can be known without running anything is checked here, and all of it is reported.

>>> parse("process p0\nmmap p0 buf anon private rw 4")[1].operands["PAGES"]
4
>>> parse("process p0\nraed p0 @16")
Traceback (most recent call last):
model.text.problems.ScriptError: 2:1: unknown command `raed`; did you mean `read`?
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from model.driver_files.resolve import whole
from model.script.command import Command, Condition, Phrase, Place, Value
from model.script.conditions import AND, CONDITIONS, NOT, QUANTITIES, Asked, ConditionForm
from model.script.operands import (
    Branch,
    Nested,
    NewLabel,
    NewName,
    Operand,
    OperandError,
    Option,
    Reading,
    Rest,
    Signature,
)
from model.script.page_operands import PageOf
from model.script.scope import Scope
from model.script.verbs import PROPERTIES, VERBS, Verb, op_verb
from model.text.problems import ScriptError, ScriptProblem, did_you_mean
from model.text.words import Word, hidden, printable, split, without_comment

MOST_LINES: Final = 100_000
MOST_CHARACTERS: Final = 4_000_000
"""A longer script is refused at once. Nothing a person writes comes near."""
LONGEST_LINE: Final = 10_000
NO_FILES: Final = "`use` reads no file here; write the driver out: `driver NAME; LINE; LINE …`"
DEFAULT_DRIVER: Final = "qxl"
"""Of `bo` without `exporter=`."""
SHARED_OPS: Final = frozenset({"move", "evict", "invalidate"})
"""Verbs of the language that are operations of drivers as well."""


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


class Syntax(Protocol):
    """What a message needs to know about a verb, or about a form of the condition language."""

    @property
    def name(self) -> str:
        """Its first word."""

    @property
    def usage(self) -> str:
        """Its syntax in one line."""


class _Line:
    """One line being read: the words that are left, and what was found so far."""

    def __init__(self, number: int, line: str, scope: Scope, problems: list[ScriptProblem]) -> None:
        self.number = number
        self.hidden = hidden(line)
        self.line = without_comment(line)
        self.words = split(line)
        self.end = len(self.line) + 1
        self.scope = scope
        self.problems = problems

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
        command = self._command(outer=None)
        return command if len(self.problems) == before else None

    def complain(self, column: int, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(ScriptProblem(self.number, column, message))

    def _command(self, outer: Syntax | None) -> Command | None:
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
        self._affect_scope(verb, command)
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
        if driver.name in self.scope.drivers_along():
            self.complain(column, f"a driver `{driver.name}` comes along: choose another name")
        elif known is not None and known != driver:
            self.complain(column, f"there is another driver `{driver.name}` already")
        clash = next((op for op in driver.ops if op in VERBS and op not in SHARED_OPS), "")
        if clash:
            self.complain(
                column, f"the operation `{clash}` of `{driver.name}` has the name of a verb: choose another name"
            )
        self.scope.drivers[driver.name] = driver

    def _about_machine(self, verb: Verb, command: Command, column: int) -> None:
        """A property is about the machine: there is no last command in every state."""
        for phrase in command.phrases:
            if CONDITIONS[phrase.form].about == "command":
                asked = f"`{phrase.text}` is about the last command, and `{verb.name}` about the machine"
                self.complain(column, f"{asked}, such as `{verb.name} present P WHERE`")

    def _arguments(
        self, verb: Syntax, form: Signature, *, by_reference: bool = False
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """All operands and options of `form`; those that are wrong are reported and left out.

        `by_reference`: the first page is one of what a reference holds, although it could be a process's.
        """
        values: dict[str, Value] = {}
        allowed = list(form.options)
        pending = list(form.operands)
        while pending:
            operand = pending.pop(0)
            if isinstance(operand, Asked):
                values[operand.name] = self.condition()
                return values, {}
            if isinstance(operand, Nested | Rest):
                early = self._options_before(operand, verb, allowed, values)
                self._rest(operand, verb, values)
                return values, early
            if not self.words or self._is_option(self.words[0], allowed, operand, values):
                if not operand.optional:
                    self._missing(operand, verb)
                    return values, {}
                continue
            spare = 0 if by_reference and not values else self._spare(pending, allowed)
            value = self._value(operand, self.words.pop(0), values, spare)
            if value is None and isinstance(operand, Branch | PageOf):
                return values, {}
            if value is not None:
                values[operand.name] = value
                following = operand.following(value)
                pending = [*following.operands, *pending]
                allowed += following.options
        return values, self._options(verb, allowed, values)

    # -- conditions --------------------------------------------------------------------------------

    def condition(self) -> Condition:
        """The words that are left, as a condition."""
        phrases: list[Phrase] = []
        words, end = self.words, self.end
        while True:
            ahead = next((at for at, word in enumerate(words) if word.text == AND), len(words))
            self.words, self.end = words[:ahead], words[ahead].column if ahead < len(words) else end
            if (phrase := self._phrase()) is not None:
                phrases.append(phrase)
            if ahead == len(words):
                self.words = []
                return Condition(tuple(phrases))
            words = words[ahead + 1 :]

    def _phrase(self) -> Phrase | None:
        """One phrase of a condition: all words that are left."""
        negated = bool(self.words) and self.words[0].text == NOT
        if negated:
            self.words.pop(0)
        if not self.words:
            self.complain(self.end, "a condition is missing, such as `present P WHERE` (or `ok`, `refcount PAGE N` …)")
            return None
        form = CONDITIONS.get(self.words[0].text)
        if form is None:
            hint = did_you_mean(self.words[0].text, [*CONDITIONS, NOT])
            self.complain(self.words[0].column, f"`{printable(self.words[0].text)}` is no condition{hint}")
            return None
        if form.about == "command" and not self.scope.answered:
            self.complain(self.words[0].column, "there is no command before this whose result could be expected")
        return self._read_phrase(form, form.form, negated=negated)

    def quantity(self) -> Phrase | None:
        """The words that are left, as a quantity."""
        word = self.words[0] if self.words else Word("", self.end)
        if word.text not in QUANTITIES:
            hint = did_you_mean(word.text, QUANTITIES)
            self.complain(word.column, f"`{printable(word.text)}` is no quantity{hint}")
            return None
        form = CONDITIONS[word.text]
        return self._read_phrase(form, form.quantity)

    def _read_phrase(self, asked: ConditionForm, form: Signature, *, negated: bool = False) -> Phrase | None:
        """A phrase of which the form is known."""
        text = " ".join(word.text for word in self.words)
        before, words = len(self.problems), self.words[1:]
        otherwise: Phrase | None = None
        if self.scope.open and len(words) == 3 and sum(isinstance(it, PageOf) for it in form.operands) == 2:
            # `same r p0 buf` or `same p0 buf r`: only the machine can say which of the names is a reference.
            self.words = list(words)
            values, _ = self._arguments(asked, form, by_reference=True)
            if len(self.problems) == before:
                otherwise = Phrase(asked.name, values, text, negated)
            del self.problems[before:]
        self.words = list(words)
        values, options = self._arguments(asked, form)
        if len(self.problems) > before:
            del self.problems[before if otherwise else len(self.problems) :]
            return otherwise
        return Phrase(asked.name, values | options, text, negated, otherwise)

    def _spare(self, pending: list[Operand], allowed: list[Option]) -> int:
        """How many of the words after the next one no operand needs that is still to come."""
        keys = {option.key for option in allowed}
        words = sum(word.text.partition("=")[0] not in keys for word in self.words[1:])
        return max(0, words - sum(not operand.optional for operand in pending))

    def _options_before(
        self, operand: Operand, verb: Syntax, allowed: list[Option], values: dict[str, Value]
    ) -> dict[str, Value]:
        """The options of a verb that starts a command: they stand before that command, which has its own."""
        words, count = self.words, 0
        while count < len(words) and self._is_option(words[count], allowed, operand, values):
            count += 1
        self.words = words[:count]
        options = self._options(verb, allowed, values)
        self.words = words[count:]
        return options

    def _is_option(self, word: Word, allowed: list[Option], operand: Operand, values: dict[str, Value]) -> bool:
        """Whether an option stands where an operand should."""
        key, equals, _ = word.text.partition("=")
        if word.text in operand.words(Reading(self.scope, values)):
            return False
        return any(option.key == key and bool(equals) == (option.value is not None) for option in allowed)

    def _missing(self, operand: Operand, verb: Syntax) -> None:
        column = self.words[0].column if self.words else self.end
        self.complain(column, f"{operand.name} is missing: expected {operand.expected} (`{verb.usage}`)")
        self.words.clear()

    def _rest(self, operand: Operand, verb: Syntax, values: dict[str, Value]) -> None:
        """An operand that takes all that is left of the line."""
        if not self.words:
            self._missing(operand, verb)
        elif isinstance(operand, Nested):
            nested = self._command(verb)
            if nested is not None:
                values[operand.name] = nested
        else:
            values[operand.name] = self.line[self.words[0].column - 1 :]
        self.words.clear()

    def _value(self, operand: Operand, word: Word, values: dict[str, Value], spare: int = 0) -> Value | None:
        try:
            value = operand.read(word, Reading(self.scope, values, spare))
        except OperandError as wrong:
            self.complain(wrong.column, wrong.message)
            return None
        return value

    def _options(self, verb: Syntax, allowed: list[Option], values: dict[str, Value]) -> dict[str, Value]:
        """What follows the operands."""
        known = {option.key: option for option in allowed}
        options: dict[str, Value] = {}
        chosen: dict[str, str] = {}
        while self.words:
            word = self.words.pop(0)
            key, equals, _ = word.text.partition("=")
            option = known.get(key)
            if option is None:
                self._surplus(verb, word, known)
            elif key in options:
                self.complain(word.column, f"`{key}` is given twice")
            elif option.instead and option.instead in chosen:
                self.complain(word.column, f"`{key}` and `{chosen[option.instead]}` exclude each other")
            elif (value := self._option(option, word, bool(equals), values)) is not None:
                options[key] = value
                chosen[option.instead or key] = key
            else:
                options.setdefault(key, False)
        for option in allowed:
            if option.required and option.key not in options and option.value is not None:
                self.complain(self.end, f"`{option.key}={option.value.name}` is missing (`{verb.usage}`)")
            elif option.of_driver:
                self._belongs(option, options)
        return options

    def _belongs(self, option: Option, options: dict[str, Value]) -> None:
        """An option that goes with drivers whose pages come from one place: both or neither."""
        name = str(options.get("exporter", DEFAULT_DRIVER))
        if self.scope.has_backing(name, option.of_driver) == (option.key in options):
            return
        given = f"`{option.key}={option.value.name if option.value is not None else ''}`"
        missing = f"`exporter={name}` needs {given}: {option.value.expected if option.value is not None else ''}"
        only = f"{given} is for drivers with `backing {option.of_driver}` only, such as `exporter=udmabuf`"
        self.complain(self.end, only if option.key in options else missing)

    def _surplus(self, verb: Syntax, word: Word, known: dict[str, Option]) -> None:
        """A word that is neither an operand nor an option."""
        key, equals, _ = word.text.partition("=")
        what = f"takes no option `{printable(key)}`" if equals else f"does not expect `{printable(key)}` here"
        self.complain(word.column, f"`{verb.name}` {what}{did_you_mean(key, known)} (`{verb.usage}`)")

    def _option(self, option: Option, word: Word, has_value: bool, values: dict[str, Value]) -> Value | None:
        if option.value is None:
            if has_value:
                self.complain(word.column, f"`{option.key}` takes no value")
                return None
            return True
        start = len(option.key) + 1
        if not has_value or len(word.text) == start:
            self.complain(word.column, f"expected `{option.key}={option.value.name}`: {option.value.expected}")
            return None
        return self._value(option.value, word.part(start), values)

    def _affect_scope(self, verb: Verb, command: Command) -> None:
        """What later lines may rely on after this one."""
        scope = self.scope
        process = str(command.get("P", ""))
        for operand, value in _given(verb, command):
            if isinstance(operand, NewName) and operand.kind == "buffer":
                scope.exporters[str(value)] = str(command.get("exporter", DEFAULT_DRIVER))
            if isinstance(operand, NewName):
                scope.declare(operand.kind, str(value), verb.name, self.number)
            elif isinstance(operand, NewLabel) and process:
                scope.label(process, str(value), self.number)
            elif operand.name in verb.gives_up and isinstance(value, Place) and value.label:
                scope.release_label(process, value.label)
            elif operand.name in verb.gives_up and (kind := getattr(operand, "kind", "")):
                scope.release(kind, str(value))
        if kept := scope.noted_by(str(command.get("B", "")), verb.name):
            scope.declare("reference", kept, verb.name, self.number)
        if verb.name == "fork" and process and "CHILD" in command.operands:
            scope.copy_labels(process, str(command.operands["CHILD"]))
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
