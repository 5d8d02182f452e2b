"""The table of mutants: one small change each that makes the program wrong, and the tests that must notice."""

from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = Path(__file__).with_name("mutants.toml")


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One change of one file."""

    name: str
    breaks: str
    """What the program does wrong with it, in one line."""
    file: str
    """Path from the root of the repository."""
    old: str
    """Stands exactly once in the file."""
    new: str
    tests: tuple[str, ...]
    """Files or node ids: the cheapest tests that must notice."""
    equal: str = ""
    """Why the program with this change does the same as before, so that no test can notice; empty if it does not."""

    def applied(self, source: str) -> str:
        """The text of the file with the change. ValueError where `old` does not stand there exactly once."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"mutant `{self.name}`: {self.file} has its old text {found} times, it must be once")
        return source.replace(self.old, self.new)


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    mutant: tuple[Mutant, ...]


def mutants() -> tuple[Mutant, ...]:
    """Every mutant, in the order of the table. Raises msgspec.ValidationError."""
    return msgspec.toml.decode(TABLE.read_bytes(), type=_Table).mutant
