"""What one micro-step looks at: it is made once more on a State whose tables note every key that is asked for.

A step is a pure function of what it reads, so making it again changes nothing and finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rpds import HashTrieMap

from model.engine.procedure import advance
from model.memory.state import TABLES, Change, State


class StateEntry(NamedTuple):
    """One entry of a State: a table's name and a key of it."""

    table: str
    key: Any


class _NotingMap:
    """One map of a State; behaves like a HashTrieMap and notes which entries are looked at."""

    __slots__ = ("base", "noted", "table")

    def __init__(self, table: str, base: HashTrieMap[Any, Any], noted: set[StateEntry]) -> None:
        self.table = table
        self.base = base
        self.noted = noted

    def get(self, key: Any, default: Any = None) -> Any:
        self.noted.add(StateEntry(self.table, key))
        return self.base.get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self.noted.add(StateEntry(self.table, key))
        return self.base[key]

    def __contains__(self, key: Any) -> bool:
        self.noted.add(StateEntry(self.table, key))
        return key in self.base

    def items(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.base.items())

    def keys(self) -> Iterator[Any]:
        return iter(self.base.keys())

    def values(self) -> Iterator[Any]:
        return iter(self.base.values())

    __iter__ = keys

    def __len__(self) -> int:
        return len(self.base)

    def insert(self, key: Any, value: Any) -> HashTrieMap[Any, Any]:
        return self.base.insert(key, value)

    def remove(self, key: Any) -> HashTrieMap[Any, Any]:
        return self.base.remove(key)

    discard = remove


class _NotingState(State, gc=False, eq=False):
    """A State made of noting maps; what grows out of it is thrown away."""

    def successor(self, maps: tuple[Any, ...], journal: tuple[Change, ...]) -> State:
        return State(maps)


def reads_of(state: State, task: str) -> frozenset[StateEntry]:
    """The entries that the next micro-step of a task looks at. Its own record is not among them.

    A walk over a whole table (`items`) counts as no entry: the display of tables is not what a step depends on.
    Raises KeyError if there is no such task.
    """
    noted: set[StateEntry] = set()
    maps: tuple[Any, ...] = tuple(
        _NotingMap(table.name, base, noted) for table, base in zip(TABLES, state.maps, strict=True)
    )
    advance(_NotingState(maps), task)
    return frozenset(entry for entry in noted if entry.table != "tasks")
