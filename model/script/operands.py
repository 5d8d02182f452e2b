# ruff: noqa: D102 -- `expected`, `read` and `words` mean in every kind of operand what they mean in Operand
"""The kinds of operands: each reads one word into a value, says what it expects and what could stand there.

Nothing here knows a verb; `model.script.verbs` puts verbs together from these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Final, cast

import msgspec

from model.memory.flags import VM_EXEC, VM_READ, VM_WRITE
from model.script.command import BackingSpec, Value
from model.script.scope import Scope
from model.text.problems import did_you_mean
from model.text.words import LONGEST_NAME, Word, is_name, number, printable

MOST_PAGES: Final = 1 << 52
"""2^64 bytes. Far more than any kernel grants: what is below is the kernel's to refuse."""
TOP_PAGE: Final = 1 << 36
"""48 bits of virtual address; user space ends at half of it."""


class OperandError(Exception):
    """A word that cannot be read as what stands there. The parser makes a ScriptProblem of it."""

    def __init__(self, column: int, message: str) -> None:
        self.column = column
        self.message = message
        super().__init__(message)


class Reading(msgspec.Struct):
    """What an operand may look at: the scope, and the operands read before it."""

    scope: Scope
    values: dict[str, Value]
    spare: int = 0
    """Words that follow and that no other operand needs: a page takes one of them if it is a process's."""


class Operand(msgspec.Struct, frozen=True, kw_only=True):
    """One word of a command: `name` is what the usage line calls it."""

    name: str
    optional: bool = False

    @property
    def expected(self) -> str:
        """What may stand here, for messages and help."""
        return self.name

    def read(self, word: Word, reading: Reading) -> Value:
        """The value of the word. Raises OperandError."""
        raise self.wrong(word)

    def words(self, reading: Reading) -> Iterable[str]:
        """What could be typed here, for completion."""
        return ()

    def following(self, value: Value) -> Signature:
        """What this value demands after it, before the operands that are declared to follow."""
        return Signature()

    def wrong(self, word: Word, known: Iterable[str] = ()) -> OperandError:
        """The complaint that `word` is not what is expected here."""
        hint = did_you_mean(word.text, known)
        return OperandError(word.column, f"`{printable(word.text)}` is not {self.expected}{hint}")


class Number(Operand, frozen=True):
    """A number within bounds."""

    low: int = 0
    high: int = MOST_PAGES
    what: str = "a number"

    @property
    def expected(self) -> str:
        return f"{self.what} ({self.low} to {_bound(self.high)})"

    def read(self, word: Word, reading: Reading) -> int:
        value = number(word.text)
        if value is None or not self.low <= value <= self.limit(reading.scope):
            raise self.wrong(word)
        return value

    def limit(self, scope: Scope) -> int:
        """The largest number allowed here."""
        return self.high


class PageNumbers(Operand, frozen=True):
    """Numbers of frames with commas between them."""

    @property
    def expected(self) -> str:
        return "frame numbers with commas between them"

    def read(self, word: Word, reading: Reading) -> tuple[int, ...]:
        values = [number(part) for part in word.text.split(",")]
        if any(value is None for value in values):
            raise self.wrong(word)
        return tuple(value for value in values if value is not None)


class CpuNumber(Number, frozen=True):
    """The number of a CPU that the machine has."""

    def read(self, word: Word, reading: Reading) -> int:
        value = number(word.text)
        if value is None or value >= reading.scope.cpus:
            raise OperandError(word.column, f"there is no CPU `{printable(word.text)}`: 0 to {reading.scope.cpus - 1}")
        return value

    def words(self, reading: Reading) -> Iterable[str]:
        return map(str, range(reading.scope.cpus))


class Count(Number, frozen=True):
    """A number, or `*` for no limit (read as -1)."""

    @property
    def expected(self) -> str:
        return f"{super().expected}, or `*` for no limit"

    def read(self, word: Word, reading: Reading) -> int:
        return -1 if word.text == "*" else super().read(word, reading)


class Choice(Operand, frozen=True):
    """One of several words."""

    choices: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def read(self, word: Word, reading: Reading) -> str:
        if word.text not in self.choices:
            raise self.wrong(word, self.choices)
        return word.text

    def words(self, reading: Reading) -> Iterable[str]:
        return self.choices


class Name(Operand, frozen=True):
    """The name of something that an earlier command created."""

    kind: str
    made_by: tuple[str, ...] = ()
    """Only what these verbs create."""
    may_be_gone: bool = False
    """It is asked whether there is one: at a prompt, which knows only what there is now, any name will do."""

    @property
    def expected(self) -> str:
        return _a(" or ".join(self.made_by) or self.kind)

    def read(self, word: Word, reading: Reading) -> str:
        known = reading.scope.names[self.kind].get(word.text)
        if known is None and is_name(word.text) and reading.scope.trusts(self.may_be_gone):
            return word.text
        if known is None:
            candidates = reading.scope.made_by(self.kind, self.made_by)
            hint = did_you_mean(word.text, candidates) or _none_yet(self.kind, candidates)
            raise OperandError(word.column, f"there is no {self.kind} `{printable(word.text)}`{hint}")
        if self.made_by and known.verb and known.verb not in self.made_by:
            wanted = " or ".join(f"`{verb}`" for verb in self.made_by)
            raise OperandError(word.column, f"`{word.text}` was made by `{known.verb}`; expected one made by {wanted}")
        return word.text

    def words(self, reading: Reading) -> Iterable[str]:
        return reading.scope.made_by(self.kind, self.made_by)


class NewName(Operand, frozen=True):
    """The name that something new of a kind gets."""

    kind: str
    reserved: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return f"a name for the new {self.kind}"

    def read(self, word: Word, reading: Reading) -> str:
        _check_name(word)
        if word.text in self.reserved:
            raise OperandError(word.column, f"`{word.text}` is reserved: plain commands run under that name")
        known = reading.scope.names[self.kind].get(word.text)
        if known and not known.free and not reading.scope.searching:
            raise OperandError(word.column, f"there is a {self.kind} `{word.text}` already{_since(known.line)}")
        return word.text


class NewLabel(Operand, frozen=True):
    """The label that a new mapping of process P gets."""

    @property
    def expected(self) -> str:
        return "a label for the new mapping"

    def read(self, word: Word, reading: Reading) -> str:
        _check_name(word)
        known = reading.scope.labels.get(cast("str", reading.values.get("P", "")), {}).get(word.text)
        if known and not known.free and not reading.scope.searching:
            raise OperandError(
                word.column, f"`{reading.values['P']}` has a label `{word.text}` already{_since(known.line)}"
            )
        return word.text


class Prot(Operand, frozen=True):
    """Permissions: letters of `rwx`, or `none`; read into VM_* bits."""

    BITS: ClassVar = {"r": VM_READ, "w": VM_WRITE, "x": VM_EXEC}

    @property
    def expected(self) -> str:
        return "a protection: letters of `rwx`, or `none`"

    def read(self, word: Word, reading: Reading) -> int:
        if word.text == "none":
            return 0
        letters = set(word.text)
        if len(letters) != len(word.text) or not letters <= self.BITS.keys():
            raise self.wrong(word)
        return sum(self.BITS[letter] for letter in letters)

    def words(self, reading: Reading) -> Iterable[str]:
        return ("r", "rw", "rx", "rwx", "none")


class MappingOf(Operand, frozen=True):
    """What a mapping shows. `kinds`: each with what must be named after the colon, if anything."""

    kinds: Mapping[str, Name | None]

    @property
    def expected(self) -> str:
        return f"a backing: {', '.join(_backings(self.kinds))}"

    def read(self, word: Word, reading: Reading) -> BackingSpec:
        kind, colon, of = word.text.partition(":")
        if kind not in self.kinds:
            raise self.wrong(word, _backings(self.kinds))
        owner = self.kinds[kind]
        if owner is None:
            if colon:
                raise OperandError(word.column + len(kind), f"`{kind}` takes nothing after it")
            return BackingSpec(kind)
        if not of:
            raise OperandError(word.column, f"expected `{kind}:{owner.name}`, where {owner.name} is {owner.expected}")
        return BackingSpec(kind, owner.read(word.part(len(kind) + 1), reading))

    def words(self, reading: Reading) -> Iterator[str]:
        for kind, owner in self.kinds.items():
            if owner is None:
                yield kind
            else:
                yield from (f"{kind}:{name}" for name in owner.words(reading))


class OneOf(Operand, frozen=True):
    """A word out of a set that another part of the model knows."""

    what: str
    known: Callable[[], Iterable[str]]

    @property
    def expected(self) -> str:
        return self.what

    def read(self, word: Word, reading: Reading) -> str:
        known = sorted(self.known())
        if word.text not in known:
            wrong = self.wrong(word, known)
            if not did_you_mean(word.text, known):
                raise OperandError(wrong.column, f"{wrong}: expected one of {', '.join(known)}")
            raise wrong
        return word.text

    def words(self, reading: Reading) -> Iterable[str]:
        return sorted(self.known())


class Several(OneOf, frozen=True):
    """Such words with commas between them."""

    def read(self, word: Word, reading: Reading) -> tuple[str, ...]:  # type: ignore[override]
        values: list[str] = []
        column = word.column
        for part in word.text.split(","):
            values.append(super().read(Word(part, column), reading))
            column += len(part) + 1
        return tuple(values)


class DriverName(Operand, frozen=True):
    """A driver: one that comes along, or one that the script has brought along."""

    @property
    def expected(self) -> str:
        return "a driver"

    def read(self, word: Word, reading: Reading) -> str:
        known = self.words(reading)
        if word.text not in known:
            hint = did_you_mean(word.text, known) or f"; there is {', '.join(known)}"
            raise OperandError(word.column, f"there is no driver `{printable(word.text)}`{hint}")
        return word.text

    def words(self, reading: Reading) -> list[str]:
        return [*reading.scope.drivers, *reading.scope.bundled_drivers()]


class BufferWithOp(Name, frozen=True):
    """A buffer whose driver has an operation."""

    op: str = ""

    def read(self, word: Word, reading: Reading) -> str:
        name = super().read(word, reading)
        ops = reading.scope.ops_of(name)
        driver = reading.scope.exporters.get(name, "")
        if ops is None and not driver:
            return name
        if self.op not in (ops or ()):
            there = f": it has {', '.join(ops)}" if ops else ""
            raise OperandError(word.column, f"`{driver}`, the driver of `{name}`, has no operation `{self.op}`{there}")
        return name

    def words(self, reading: Reading) -> Iterable[str]:
        return [name for name in super().words(reading) if self.op in (reading.scope.ops_of(name) or (self.op,))]


class SettingValue(Operand, frozen=True):
    """A value for the setting that operand KEY names."""

    values: Mapping[str, tuple[str, ...]]
    also: Mapping[str, Mapping[str, str]] = {}
    """Other words for values of some settings; a command has the value itself."""

    @property
    def expected(self) -> str:
        return "a value of that setting"

    def read(self, word: Word, reading: Reading) -> str:
        key = cast("str | None", reading.values.get("KEY"))
        if key is None:
            return word.text
        value = self.also.get(key, {}).get(word.text, word.text)
        if value not in self.values[key]:
            hint = did_you_mean(word.text, self.values[key])
            wanted = ", ".join(self.values[key])
            raise OperandError(word.column, f"`{printable(word.text)}` is no value of `{key}`: {wanted}{hint}")
        return value

    def words(self, reading: Reading) -> Iterable[str]:
        return self.values.get(cast("str", reading.values.get("KEY", "")), ())


class Rest(Operand, frozen=True):
    """Free text to the end of the line."""

    @property
    def expected(self) -> str:
        return "a text"

    def read(self, word: Word, reading: Reading) -> str:
        return word.text


class Nested(Operand, frozen=True):
    """A whole command, to the end of the line: the parser's own business."""

    @property
    def expected(self) -> str:
        return "a command"


class Branch(Choice, frozen=True):
    """A word that decides what follows it."""

    forms: Mapping[str, Signature]

    @staticmethod
    def of(name: str, forms: Mapping[str, Signature]) -> Branch:
        """The branch whose choices are the keys of `forms`."""
        return Branch(name=name, choices=tuple(forms), forms=forms)

    def following(self, value: Value) -> Signature:
        return self.forms[str(value)]


class Option(msgspec.Struct, frozen=True):
    """`key=value` (its `value` is an operand) or, without one, a bare flag."""

    key: str
    value: Operand | None = None
    required: bool = False
    instead: str = ""
    """Flags with the same word here exclude each other."""
    of_driver: str = ""
    """It belongs to drivers whose pages come from there (`backing`): required with them, of no use with others."""


class Signature(msgspec.Struct, frozen=True):
    """What follows a verb, or a word of a Branch: operands in order, then options in any order."""

    operands: tuple[Operand, ...] = ()
    options: tuple[Option, ...] = ()


def _bound(number: int) -> str:
    """A limit as a reader likes it: powers of two are said as such once they get long."""
    return str(number) if number < 1 << 16 else f"2^{number.bit_length() - 1}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _since(line: int) -> str:
    return f", made in line {line}" if line else ""


def _none_yet(kind: str, candidates: list[str]) -> str:
    """Say what there is, where that is short."""
    if not candidates:
        return f"; no earlier command creates a {kind}"
    return f"; there is {', '.join(sorted(candidates)[:8])}"


def _check_name(word: Word) -> None:
    if not is_name(word.text):
        shape = f"a letter, then letters, digits, `_` or `-`, at most {LONGEST_NAME}"
        raise OperandError(word.column, f"`{printable(word.text)}` is no name: {shape}")


def _backings(kinds: Mapping[str, Name | None]) -> list[str]:
    return [kind if owner is None else f"{kind}:{owner.name}" for kind, owner in kinds.items()]
