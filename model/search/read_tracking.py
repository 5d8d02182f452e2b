"""A State whose tables are read out of a packed state, entry by entry, and that notes what is read.

The kernel's procedures and the checker run on it as on any other State. They are deterministic, so what they do depends
on nothing but the entries that they have looked at; that is what makes it right to remember it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from model.memory.state import TABLES, Change, State
from model.search.packed import Component, PackedTable

TASKS: Final = next(number for number, table in enumerate(TABLES) if table.name == "tasks")
"""Where the tasks stand among the tables of a State."""


class Reads:
    """What one run has looked at."""

    __slots__ = ("changed", "components", "packed_tables", "shared")

    def __init__(self) -> None:
        self.components: set[Component] = set()
        self.packed_tables: set[PackedTable] = set()
        self.changed: set[Component] = set()
        """What it has made another value of …"""
        self.shared: set[Component] = set()
        """… and those of these that it did no more to than take or give back a lock as one of its readers."""

    def touch(self) -> Touch:
        """What others can notice of the run, and what it can notice of others."""
        looked = changed = 0
        for component in self.components:
            if component not in self.shared:
                looked |= component.mark
        for packed_table in self.packed_tables:
            looked |= packed_table.mark
        for component in self.changed:
            changed |= component.mark | component.packed_table.mark
        return Touch(looked, changed)


class Touch(NamedTuple):
    """What a transition has to do with others, as marks of components and tables.

    Two transitions neither of which changes what the other one looks at can change places: both do what they did, and
    break what they broke. What a transition changes it also looks at, so two that change the same thing are no such
    pair; with one exception. Readers of a lock come and go in any order (kernel/locking/rwsem.c): `down_read` looks
    for a writer alone, and the readers are kept in an order of their own.
    """

    looked: int
    changed: int

    def concerns(self, other: Touch) -> bool:
        """Whether the order of the two may matter."""
        return bool(self.changed & other.looked or self.looked & other.changed)


class Tracked:
    """One table of a packed state; behaves like a HashTrieMap, and for keys alone like a HashTrieSet.

    `insert`, `remove` and `discard` return another table with that entry changed. They are used as a chain, each on
    what the one before returned, so only the first makes a copy.
    """

    __slots__ = ("components", "note", "packed", "packed_table", "reads", "whole", "writes")

    def __init__(self, packed_table: PackedTable, packed: int, reads: Reads) -> None:
        self.packed_table = packed_table
        self.packed = packed
        self.reads = reads
        self.writes: dict[Any, Any] | None = None
        """Entries that were changed: key → value, None if removed. None in the table as it was."""
        self.components = packed_table.components
        self.note = reads.components.add
        self.whole: list[tuple[Any, Any]] | None = None
        """Every entry of the table as it was, once somebody has asked for all of them."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The entry, or `default`. Much of the time of a run is spent here."""
        if self.writes is not None and key in self.writes:
            value = self.writes[key]
        else:
            component = self.components.get(key) or self.packed_table.component(key)
            self.note(component)
            value = component.by_code[self.packed & component.mask]
        return default if value is None else value

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every entry. The run depends on the whole table then."""
        if self.whole is None:
            self.reads.packed_tables.add(self.packed_table)
            self.whole = list(self.packed_table.items(self.packed))
        if not self.writes:
            yield from self.whole
            return
        for key, value in self.whole:
            if key not in self.writes:
                yield key, value
        for key, value in list(self.writes.items()):
            if value is not None:
                yield key, value

    def keys(self) -> Iterator[Any]:
        """Every key."""
        return (key for key, _ in self.items())

    def values(self) -> Iterator[Any]:
        """Every value."""
        return (value for _, value in self.items())

    __iter__ = keys

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def __bool__(self) -> bool:
        return any(True for _ in self.items())

    def insert(self, key: Any, value: Any = True) -> Tracked:
        """With this entry; a set takes the key alone."""
        return self._write(key, value)

    def discard(self, key: Any) -> Tracked:
        """Without this entry, if there is one."""
        return self._write(key, None)

    remove = discard

    def _write(self, key: Any, value: Any) -> Tracked:
        if self.writes is None:
            written = type(self)(self.packed_table, self.packed, self.reads)
            written.whole = self.whole
            written.writes = {key: value}
            return written
        self.writes[key] = value
        return self


class TrackedFrames(Tracked):
    """A set of (invariant, pfn), kept as one entry a frame: the rules that it breaks."""

    __slots__ = ()

    def __contains__(self, key: tuple[str, int]) -> bool:
        broken = self.get(key[1])
        return broken is not None and key[0] in broken

    def insert(self, key: tuple[str, int], value: Any = True) -> Tracked:
        """With this rule broken by this frame."""
        return self._write(key[1], (self.get(key[1]) or frozenset()) | {key[0]})

    def remove(self, key: tuple[str, int]) -> Tracked:
        """With this rule kept by this frame."""
        return self._write(key[1], (self.get(key[1]) or frozenset()) - {key[0]} or None)


class TrackedState(State, gc=False, eq=False):
    """A State made of tracked tables, and what grows out of it."""

    def successor(self, maps: tuple[Any, ...], journal: tuple[Change, ...]) -> State:
        """Needs no journal: nobody asks such a State for its hash."""
        return TrackedState(maps)


def tracked_state(packed_tables: list[PackedTable], packed: int, reads: Reads) -> TrackedState:
    """The State of which `packed` is the packed form, its tables on `packed_tables` in the order of State.maps."""
    maps: tuple[Any, ...] = tuple([Tracked(packed_table, packed, reads) for packed_table in packed_tables])
    return TrackedState(maps)
