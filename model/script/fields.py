"""A command as a form: the fields of a verb, with what each may hold here and now, and the line that they make.

Read from the same table as everything else about the language, so a new verb has its form on the day it is added.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from model.script.command import Value
from model.script.operands import (
    MappingOf,
    Name,
    Nested,
    NewLabel,
    NewName,
    Number,
    Operand,
    OperandError,
    Option,
    Reading,
    Rest,
)
from model.script.page_operands import PageOf, Where
from model.script.scope import Scope
from model.script.verbs import verb_of
from model.text.words import Word

FIRST_LETTERS: Final = {"process": "p", "file": "f", "device": "nic", "buffer": "b", "dma-buf": "d", "reference": "r"}
"""What a new name begins with that a form proposes."""
MOST_CHOICES: Final = 200


class Field(NamedTuple):
    """One operand or option of a verb."""

    key: str
    expected: str
    """What may stand there, in words."""
    choices: tuple[str, ...]
    """What could be chosen here and now; empty: something is to be typed."""
    proposed: str
    """What a form begins with; empty for what may be left out."""
    required: bool
    option: bool = False
    flag: bool = False
    """It is given or not; `choices` has its word."""


def fields(verb: str, given: Mapping[str, str], scope: Scope) -> list[Field]:
    """The fields of a verb in order. `given`: what the fields hold; what follows a word may depend on it."""
    form = verb_of(verb).form
    reading = Reading(scope, {})
    found: list[Field] = []
    pending, options = list(form.operands), list(form.options)
    while pending:
        operand = pending.pop(0)
        if isinstance(operand, Nested):
            found += [_option(option, reading) for option in options]
            options = []
        field = _operand(operand, reading)
        found.append(field)
        text = given.get(field.key, field.proposed)
        value = _value(operand, text, reading)
        if value is not None:
            reading.values[operand.name] = value
            following = operand.following(value)
            pending = [*following.operands, *pending]
            options = [*following.options, *options]
    return [*found, *(_option(option, reading) for option in options)]


def line_of(verb: str, shown: list[Field], given: Mapping[str, str]) -> str:
    """The command that a form makes, whole or not."""
    words = [verb]
    for field in shown:
        text = given.get(field.key, field.proposed).strip()
        if text:
            words.append(text if field.flag or not field.option else f"{field.key}={text}")
    return " ".join(words)


def _operand(operand: Operand, reading: Reading) -> Field:
    choices = tuple(operand.words(reading))[:MOST_CHOICES]
    proposed = "" if operand.optional else choices[0] if choices else _proposed(operand, reading)
    return Field(operand.name, operand.expected, choices, proposed, required=not operand.optional)


def _option(option: Option, reading: Reading) -> Field:
    if option.value is None:
        return Field(option.key, "a flag", (option.key,), "", required=False, option=True, flag=True)
    inner = _operand(option.value, reading)
    proposed = inner.proposed if option.required else ""
    return Field(option.key, inner.expected, inner.choices, proposed, required=option.required, option=True)


def _value(operand: Operand, text: str, reading: Reading) -> Value | None:
    """What a field's text means; None while it means nothing."""
    if isinstance(operand, Nested | Rest) or not text:
        return None
    try:
        return operand.read(Word(text, 1), Reading(reading.scope, reading.values, 1))
    except OperandError:
        return None


def _proposed(operand: Operand, reading: Reading) -> str:
    """Something that may well stand there."""
    match operand:
        case NewName():
            taken = reading.scope.names[operand.kind]
            first = FIRST_LETTERS.get(operand.kind, "t")
            return next(name for n in range(len(taken) + 1) if (name := f"{first}{n}") not in taken)
        case NewLabel():
            taken = reading.scope.labels.get(str(reading.values.get("P", "")), {})
            return "buf" if "buf" not in taken else next(f"m{n}" for n in range(len(taken) + 1) if f"m{n}" not in taken)
        case Number(what="a byte"):
            return "65"
        case Number():
            return str(max(operand.low, 1 if "pages" in operand.what else 0))
        case Name() | Where() | PageOf() | MappingOf():
            return ""  # there is nothing of the kind yet
        case _:
            return ""
