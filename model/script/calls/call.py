"""A command over the State that it starts in: its operands as kernel functions take them."""

from collections.abc import Callable
from typing import NamedTuple, cast

from model.engine.procedure import Procedure
from model.memory.state import State
from model.script.command import Command, RefPage
from model.script.places import resolve


class PageRange(NamedTuple):
    """Pages of an address space."""

    start: int
    pages: int


class Call:
    """A command over the State that it starts in: its operands, with places turned into page numbers."""

    def __init__(self, state: State, command: Command) -> None:
        self.state = state
        self.command = command

    def name(self, key: str) -> str:
        """A name or word; empty where an option was not given."""
        return cast("str", self.command.get(key, ""))

    def number(self, key: str, default: int = -1) -> int:
        """A number, or `default` where the option was not given."""
        return cast("int", self.command.get(key, default))

    def given(self, option: str) -> bool:
        """Whether an option was given."""
        return option in self.command.options

    def bits(self, flags: dict[str, int]) -> int:
        """The bits of those flags that were given."""
        return sum(bit for key, bit in flags.items() if self.given(key))

    def words(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some flags that were given, in the order of `known`."""
        return tuple(word for word in known if self.given(word))

    def pages(self, of: str = "P", key: str = "WHERE") -> PageRange:
        """A range, by default WHERE, in the address space of operand `of`."""
        return PageRange(*resolve(self.state, self.name(of), self.command, key))

    def page(self, of: str = "P") -> int:
        """The first page of WHERE."""
        return self.pages(of).start

    @property
    def held(self) -> RefPage:
        """Operand R[+N]."""
        return cast("RefPage", self.command.operands["R[+N]"])


Builder = Callable[[Call], Procedure]
"""How the procedure of a verb is made."""
