"""Random scripts, drawn from the verb table itself, so that a new verb is covered on the day it is added.

A dialect says which verbs and backings are drawn, and what a script begins with.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple, Protocol, TypeVar

from hypothesis import strategies as st

from model.engine.config import SETTINGS
from model.script.command import Command
from model.script.operands import (
    Branch,
    Choice,
    DriverName,
    MappingOf,
    Name,
    Nested,
    NewLabel,
    NewName,
    Number,
    OneOf,
    Operand,
    PageNumbers,
    Prot,
    Rest,
    SettingValue,
    Signature,
)
from model.script.page_operands import HELD, PageOf, ReferencePage, Where
from model.script.parser import parse_line
from model.script.scope import Scope
from model.script.verbs import VERBS
from model.text.problems import ScriptError

LONGEST: Final = 25
PROCESS: Final = Name(name="P", kind="process")
T = TypeVar("T")


class Chance(Protocol):
    """Where a script's choices come from."""

    def number(self, low: int, high: int) -> int:
        """One of low … high."""

    def one_of(self, these: Sequence[T]) -> T:
        """One of these; a failing example shrinks to the first."""


class Hypothesis:
    """Choices that shrink."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def number(self, low: int, high: int) -> int:
        """One of low … high."""
        return self.draw(st.integers(low, high))

    def one_of(self, these: Sequence[T]) -> T:
        """One of these."""
        return self.draw(st.sampled_from(these))


class Seeded:
    """Choices that follow from a number: fast, for long runs."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def number(self, low: int, high: int) -> int:
        """One of low … high."""
        return self.random.randint(low, high)

    def one_of(self, these: Sequence[T]) -> T:
        """One of these."""
        return self.random.choice(these)


class Dialect(NamedTuple):
    """What random scripts are made of."""

    prelude: tuple[str, ...]
    """What most scripts begin with."""
    verbs: tuple[str, ...]
    """Drawn with equal chance; what comes first is what a failing example shrinks to."""
    backings: tuple[str, ...]
    """Likewise."""
    settings: tuple[str, ...] = ()
    """Keys of which a few are set first."""


class Drawing(NamedTuple):
    """A script while it is drawn: the source of chance, the names so far, the dialect."""

    chance: Chance
    scope: Scope
    dialect: Dialect

    def line(self, verbs: tuple[str, ...]) -> str:
        """One command, mostly of names that exist."""
        verb = self.chance.one_of(verbs)
        return " ".join((verb, *self.form(VERBS[verb].form, {})))

    def form(self, form: Signature, chosen: dict[str, str]) -> list[str]:
        """Operands, then some of the options."""
        words: list[str] = []
        for operand in form.operands:
            if operand.optional and self.chance.number(0, 1):
                continue
            word = self.word(operand, chosen)
            chosen[operand.name] = word
            words.append(word)
            if isinstance(operand, Branch):
                words += self.form(operand.forms[word], chosen)
        for option in form.options:
            if option.required or not self.chance.number(0, 3):
                value = f"={self.word(option.value, chosen)}" if option.value is not None else ""
                words.append(option.key + value)
        return words

    def word(self, operand: Operand, chosen: dict[str, str]) -> str:  # noqa: C901 - one case an operand
        """Something for an operand, sensible or not."""
        chance = self.chance
        match operand:
            case Number():
                # Small or absurd: what lies between is only slow.
                absurd = chance.number(0, 15) == 15
                return str(operand.high if absurd else chance.number(operand.low, min(operand.high, 12)))
            case PageOf():
                held = chance.number(0, 1)
                return self.word(HELD, chosen) if held else f"{self.existing(PROCESS)} {chance.one_of('abcd')}"
            case ReferencePage():
                return f"{self.existing(operand)}{chance.one_of(('', '', '+1', '+9'))}"
            case Name():
                return self.existing(operand)
            case NewName():
                return f"{operand.kind[0]}{chance.number(0, 3)}"
            case NewLabel():
                return chance.one_of("abcd")
            case MappingOf():
                kind = chance.one_of(self.dialect.backings)
                owner = operand.kinds[kind]
                return kind if owner is None else f"{kind}:{self.existing(owner)}"
            case Where():
                return self.place(operand, chosen)
            case Prot():
                return chance.one_of(("r", "rw", "rw", "rwx", "x", "none"))
            case SettingValue():
                return chance.one_of(operand.values[chosen["KEY"]])
            case Nested():
                return self.line(tuple(verb for verb in self.dialect.verbs if VERBS[verb].role == "kernel"))
            case Choice():
                return chance.one_of(operand.choices)
            case OneOf():
                return chance.one_of(sorted(operand.known()))
            case DriverName():
                return chance.one_of([*self.scope.drivers, *self.scope.bundled_drivers(), "nobody"])
            case PageNumbers():
                return ",".join(str(chance.number(0, 12)) for _ in range(chance.number(1, 3)))
            case Rest():
                return "".join(chance.one_of("ab #") for _ in range(chance.number(1, 5)))
            case _:
                raise AssertionError(f"nothing to draw for {operand}")

    def existing(self, operand: Name) -> str:
        """A name that is known, nine times out of ten."""
        known = self.scope.made_by(operand.kind, operand.made_by)
        return self.chance.one_of([*known] * 9 + ["nobody"])

    def place(self, operand: Where, chosen: dict[str, str]) -> str:
        """Some pages of a process, of a mapping where it has one."""
        chance = self.chance
        label: str = chance.one_of([*self.scope.labels.get(chosen.get(operand.of, ""), ()), "@"])
        pages = (0, 1, 2, 3, 4) if label != "@" else (0, 16, 17, 20, 21, 23, 511, (1 << 35) - 1)
        page = chance.one_of(pages)
        if label != "@" and chance.number(0, 1):
            return label
        if operand.many and chance.number(0, 1):
            return f"{label}[{page}:{page + chance.one_of((1, 2, 3, 600))}]"
        return f"{label}{page}" if label == "@" else f"{label}+{page}"


@st.composite
def scripts(draw: st.DrawFn, dialect: Dialect) -> list[str]:
    """The lines of a script, wrong ones included; the names of the right ones are there for those that follow."""
    drawing = Drawing(Hypothesis(draw), Scope(), dialect)
    lines = []
    if dialect.settings:
        keys = draw(st.lists(st.sampled_from(dialect.settings), max_size=3, unique=True))
        lines += [f"set {key} {draw(st.sampled_from(SETTINGS[key].values))}" for key in keys]
    lines += dialect.prelude if draw(st.integers(0, 9)) else ()
    for line in lines:
        parse_line(line, drawing.scope)
    for _ in range(draw(st.integers(1, LONGEST))):
        line = drawing.line(dialect.verbs)
        lines.append(line)
        try:
            parse_line(line, drawing.scope)
        except ScriptError:
            continue
    return lines


def commands(lines: list[str]) -> list[Command]:
    """Those of the lines that are commands, read one after the other as at the prompt."""
    scope, found = Scope(), []
    for number, line in enumerate(lines, 1):
        try:
            command = parse_line(line, scope, number)
        except ScriptError:
            continue
        if command is not None:
            found.append(command)
    return found
