"""The words of one line → operands, options and conditions, by the form of a verb."""

from typing import Final, Protocol

from model.script.command import Command, Condition, Phrase, Value
from model.script.conditions import AND, CONDITIONS, NOT, QUANTITIES, Asked, ConditionForm
from model.script.operands import (
    Branch,
    Nested,
    Operand,
    OperandError,
    Option,
    Reading,
    Rest,
    Signature,
)
from model.script.page_operands import PageOf
from model.script.scope import Scope
from model.text.problems import ScriptProblem, did_you_mean
from model.text.words import Word, hidden, printable, split, without_comment

DEFAULT_DRIVER: Final = "qxl"
"""Of `bo` without `exporter=`."""


class Syntax(Protocol):
    """What a message needs to know about a verb, or about a form of the condition language."""

    @property
    def name(self) -> str:
        """Its first word."""

    @property
    def usage(self) -> str:
        """Its syntax in one line."""


class LineParser:
    """One line being read: the words that are left, and what was found so far."""

    def __init__(self, number: int, line: str, scope: Scope, problems: list[ScriptProblem]) -> None:
        self.number = number
        self.hidden = hidden(line)
        self.line = without_comment(line)
        self.words = split(line)
        self.end = len(self.line) + 1
        self.scope = scope
        self.problems = problems

    def nested(self, outer: Syntax) -> Command | None:
        """The remaining words as the command that `outer` starts (`begin`, `may`). A condition starts none."""
        raise NotImplementedError(outer.name)

    def complain(self, column: int, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(ScriptProblem(self.number, column, message))

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
            nested = self.nested(verb)
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
