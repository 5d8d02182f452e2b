"""What a line of a script becomes: a Command and the values of its operands."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Pages of an address space, as a script names them."""

    label: str = ""
    """Empty: `first` is a virtual page number, not an offset into what the label names."""
    first: int = 0
    pages: int = 0
    """0 for a bare `LABEL`: all of it, or its first page, as the verb takes ranges or not."""


class RefPage(msgspec.Struct, frozen=True):
    """`R` or `R+N`: page N of what a reference holds."""

    reference: str
    page: int = 0


class BackingSpec(msgspec.Struct, frozen=True):
    """What a mapping shows, as in `anon`, `memfd:F` or `vvar`."""

    kind: str
    of: str = ""
    """The file, device, buffer or dma-buf behind it, where the kind has one."""


class Command(msgspec.Struct, frozen=True):
    """One command of a script, checked as far as that goes without running anything."""

    verb: str
    operands: dict[str, Value]
    """By their names in the verb table: `{"P": "p0", "WHERE": Place("buf", 1, 1), …}`."""
    options: dict[str, Value]
    """Only those that were given; a bare flag is True."""
    text: str
    """As written, single spaces, no comment."""
    line: int = 1
    column: int = 1

    def get(self, key: str, default: Value | None = None) -> Value | None:
        """An operand or option by name, or `default` where it was not given."""
        value = self.operands.get(key)
        return value if value is not None else self.options.get(key, default)

    @property
    def shown(self) -> str:
        """The text for people: of a driver that is written out in a line, no more than its name.

        >>> Command("driver", {}, {}, "driver mine; vma IO; op go:; zap").shown
        'driver mine; … (3 lines)'
        """
        head, *lines = self.text.split("; ") if self.verb == "driver" else [self.text]
        return f"{head}; … ({len(lines)} lines)" if len(lines) > 1 else self.text

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """What an `expect` asks; empty for any other verb."""
        condition = self.operands.get("CONDITION")
        return condition.phrases if isinstance(condition, Condition) else ()


class Phrase(msgspec.Struct, frozen=True):
    """One question of a condition, such as `not present p0 buf`; or a quantity, such as `refcount p0 buf`."""

    form: str
    """Its first word, which says what is asked."""
    values: dict[str, Value]
    """Operands and options by their names in the table of conditions."""
    text: str
    """As written, single spaces, without `not`."""
    negated: bool = False
    otherwise: Phrase | None = None
    """Another way to read it, for when the first process that it names does not exist: `same r p0 buf`."""


class Condition(msgspec.Struct, frozen=True):
    """Phrases that must all hold."""

    phrases: tuple[Phrase, ...]


Value: TypeAlias = (
    bool | int | str | Place | RefPage | BackingSpec | tuple[str, ...] | tuple[int, ...] | Command | Condition
)
