"""Conditions and quantities as text, asked of a moment: what lessons, exercises and watched expressions do.

A text is read once, however often it is asked.

>>> from model.script.runner import Runner
>>> machine = Runner()
>>> is_so("ok and not broken", Moment.after(machine.context))
True
"""

from functools import lru_cache

from model.script.command import Condition, Phrase
from model.script.conditions import CONDITIONS, NOT, QUANTITIES, holds, measure
from model.script.moment import Moment, NoAnswerError, NoValueError
from model.script.parser import parse_condition, parse_quantity
from model.script.scope import KINDS, Scope
from model.text.problems import ScriptError, did_you_mean
from model.text.words import number, printable

KEPT = 4096
"""Texts that are kept as they were read."""


class MalformedError(NoAnswerError):
    """A text that is no condition, or no quantity."""

    column: int = 1
    """Where the mistake stands in the text, counted from 1."""

    @classmethod
    def of(cls, error: ScriptError) -> "MalformedError":
        """What is wrong, in one line."""
        malformed = cls("; ".join(problem.message for problem in error.problems))
        malformed.column = error.problems[0].column
        return malformed


@lru_cache(KEPT)
def condition(text: str) -> Condition:
    """The condition that a text is, of whatever machine. Raises MalformedError."""
    try:
        return parse_condition(text, Scope.unknown())
    except ScriptError as error:
        raise MalformedError.of(error) from None


@lru_cache(KEPT)
def quantity(text: str) -> Phrase:
    """The quantity that a text is, of whatever machine. Raises MalformedError."""
    try:
        return parse_quantity(text, Scope.unknown())
    except ScriptError as error:
        raise MalformedError.of(error) from None


def is_so(text: str, moment: Moment) -> bool:
    """Whether a condition holds. Raises NoAnswerError."""
    try:
        return holds(condition(text), moment)
    except NoAnswerError as error:
        raise type(error)(f"`{text.strip()}`: {explained(error, moment)}") from None


def amount(text: str, moment: Moment) -> int:
    """The number that a quantity is now; a number is itself. Raises NoAnswerError, NoValueError if there is none."""
    literal = literal_number(text)
    if literal is not None:
        return literal
    try:
        return measure(quantity(text), moment)
    except NoAnswerError as error:
        raise type(error)(f"`{text.strip()}`: {explained(error, moment)}") from None


def explained(error: NoAnswerError, moment: Moment) -> str:
    """Why there is no answer, and what was probably meant."""
    if error.missing is None:
        return str(error)
    kind, name = error.missing.kind, error.missing.name
    if kind == "label":
        name, _, process = name.partition(" of ")
        return f"{error}{did_you_mean(name, [label for owner, label in moment.state.labels if owner == process])}"
    return f"{error}{did_you_mean(name, getattr(moment.state, KINDS[kind]))}"


def literal_number(text: str) -> int | None:
    """The number that is written there; None: it is no number.

    >>> literal_number("-0x10"), literal_number("12"), literal_number("refcount p0 buf")
    (-16, 12, None)
    """
    plain = text.strip()
    found = number(plain.removeprefix("-"))
    return -found if found is not None and plain.startswith("-") else found


def expression(text: str) -> Condition | Phrase:
    """What somebody may watch: a quantity if it can be read as one, else a condition. Raises MalformedError."""
    words = text.split() or [""]
    if words[0] not in {*CONDITIONS, NOT}:
        hint = did_you_mean(words[0], [*CONDITIONS, NOT])
        raise MalformedError(f"`{printable(words[0])}` is no quantity and no condition{hint}")
    try:
        return quantity(text)
    except MalformedError as no_quantity:
        try:
            return condition(text)
        except MalformedError as no_condition:
            compared = words[0] not in QUANTITIES or literal_number(words[-1]) is not None
            raise (no_condition if compared else no_quantity) from None


def value_text(text: str, moment: Moment) -> str:
    """The value of an expression in words: a number, yes or no, or why it has none."""
    try:
        asked = expression(text)
        if isinstance(asked, Condition):
            return "yes" if holds(asked, moment) else "no"
        value = measure(asked, moment)
    except NoValueError:
        return "no page" if text.split(maxsplit=1)[0] != "value" else "none"
    except NoAnswerError as error:
        return explained(error, moment)
    return f"{value:#x}" if asked.form == "address" else str(value)
