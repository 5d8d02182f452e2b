"""A State whose tables are read out of a packed state, entry by entry, and that notes what is read.

The kernel's procedures and the checker run on it as on any other State. They are deterministic, so what they do depends
on nothing but the entries that they have looked at; that is what makes it right to remember it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from typing import Any, Final, cast

from model.invariants.incremental import KeptByFrame
from model.memory.state import Change, State, Tables
from model.search.packed import ENTRY, Component, PackedTable, SplitTable

TASKS: Final = Tables.tasks.number
"""Where the tasks stand among the tables of a State."""


class Reads:
    """What one run has looked at."""

    __slots__ = ("changed", "components", "note", "packed_tables", "peeked", "shared")

    def __init__(self) -> None:
        self.components: set[Component] = set()
        self.note: Final = self.components.add
        """For each table of a run: made once."""
        self.packed_tables: set[PackedTable] = set()
        self.peeked: set[Component] = set()
        """What it has added to or taken from, without a look at what else there is."""
        self.changed: set[Component] = set()
        """What it has made another value of …"""
        self.shared: set[Component] = set()
        """… and those of these where others can do the same before or after: the order makes no difference."""

    @property
    def depends_on(self) -> set[Component]:
        """Everything that the values after it depend on."""
        return self.components | self.peeked if self.peeked else self.components

    @property
    def looked(self) -> int:
        """The marks of what it has looked at, as far as others can have to do with that."""
        looked = 0
        for component in self.components:
            if component not in self.shared:
                looked |= component.mark
        for packed_table in self.packed_tables:
            looked |= packed_table.mark
        return looked

    @property
    def turned(self) -> int:
        """The marks of what it has made another value of, and of the tables where that stands.

        Who goes through a table that is kept field by field looks at which entries it has, and then at fields: a field
        alone is no change of the table.
        """
        changed = 0
        for component in self.changed:
            changed |= component.mark
            table = component.packed_table
            if table.__class__ is not SplitTable or cast("tuple[Hashable, str]", component.key)[1] == ENTRY:
                changed |= table.mark
        return changed


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
        self.note = reads.note
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

    def written(self) -> Iterator[tuple[Component, Any]]:
        """What has changed: components, each with its new value; None where there is no entry any more."""
        component = self.packed_table.component
        for key, value in (self.writes or {}).items():
            yield component(key), value

    def _write(self, key: Any, value: Any) -> Tracked:
        if self.writes is None:
            written = type(self)(self.packed_table, self.packed, self.reads)
            written.whole = self.whole
            written.writes = {key: value}
            return written
        self.writes[key] = value
        return self


class TrackedRecords(Tracked):
    """A table that is kept field by field. What it hands out notes which fields are asked for."""

    __slots__ = ()

    def get(self, key: Any, default: Any = None) -> Any:
        """The entry, or `default`."""
        if self.writes is not None and key in self.writes:
            value = self.writes[key]
            return default if value is None else value
        return TrackedRecord(self, key, {}) if self.part(key, ENTRY) else default

    def part(self, key: Any, field: str) -> Any:
        """A field of the entry as it was before the run; None if there was no entry."""
        component = self.components.get((key, field)) or self.packed_table.component((key, field))
        self.note(component)
        return component.by_code[self.packed & component.mask]

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every entry. The run depends on which there are, and on the fields that are looked at."""
        self.reads.packed_tables.add(self.packed_table)
        writes = self.writes or {}
        for key, _ in cast("SplitTable", self.packed_table).items(self.packed):
            if key not in writes:
                yield key, TrackedRecord(self, key, {})
        for key, value in list(writes.items()):
            if value is not None:
                yield key, value

    def written(self) -> Iterator[tuple[Component, Any]]:
        """What has changed: components, each with its new value."""
        table = cast("SplitTable", self.packed_table)
        for key, value in (self.writes or {}).items():
            if isinstance(value, TrackedRecord) and value.stands_for(self, key):
                fields = value.changed
            else:
                fields = {name: None if value is None else getattr(value, name) for name in table.fields}
                fields[ENTRY] = None if value is None else True
            for name, one in fields.items():
                yield table.component((key, name)), one


class TrackedRecord:
    """A record of such a table: it has the fields, properties and methods of the real one, and notes what is read."""

    __slots__ = ("changed", "key", "table")

    def __init__(self, table: TrackedRecords, key: Any, changed: dict[str, Any]) -> None:
        self.table = table
        self.key = key
        self.changed = changed
        """Fields with values other than in the table."""

    def __getattr__(self, name: str) -> Any:
        changed = self.changed
        if name in changed:
            return changed[name]
        table = cast("SplitTable", self.table.packed_table)
        if name in table.fields:
            return self.table.part(self.key, name)
        found = getattr(table.record, name)
        if isinstance(found, property):
            return cast("Any", found.fget)(self)
        return partial(found, self)

    def with_fields(self, fields: dict[str, Any]) -> TrackedRecord:
        """The record with some fields changed."""
        return TrackedRecord(self.table, self.key, {**self.changed, **fields})

    def differs(self, old: object, field: str) -> bool:
        """Whether the field has another value than in `old`; of what nobody has set nothing is read."""
        before = old.changed if isinstance(old, TrackedRecord) and old.stands_for(self.table, self.key) else None
        if before is not None and field not in before and field not in self.changed:
            return False
        return bool(getattr(old, field) != getattr(self, field))

    def stands_for(self, table: TrackedRecords, key: Any) -> bool:
        """Whether this is the entry of a table with nothing but what `changed` says changed."""
        return self.table.packed_table is table.packed_table and self.key == key

    def __eq__(self, other: object) -> bool:
        """Field by field, as far as it takes to find a difference."""
        if isinstance(other, TrackedRecord) and other.stands_for(self.table, self.key):
            names: Iterable[str] = {**self.changed, **other.changed}
        else:
            names = cast("SplitTable", self.table.packed_table).fields
        return other is not None and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]


class TrackedTasks(Tracked):
    """The tasks. Which there are is read from a table of its own: to ask for that is no look at where they are."""

    __slots__ = ("alive",)

    alive: PackedTable

    def keys(self) -> Iterator[Any]:
        """The name of every task."""
        self.reads.packed_tables.add(self.alive)
        writes = self.writes or {}
        yield from (key for key, _ in self.alive.items(self.packed) if key not in writes)
        yield from (key for key, value in writes.items() if value is not None)

    __iter__ = keys

    def part(self, key: Any, field: str) -> Any:
        """For whom a task runs, or where; None if there is no such task. Where it is in its code does not matter."""
        component = self.alive.component(key)
        self.note(component)
        task = component.by_code[self.packed & component.mask]
        return None if task is None else getattr(task, field)

    def _write(self, key: Any, value: Any) -> Tracked:
        written = super()._write(key, value)
        cast("TrackedTasks", written).alive = self.alive
        return written


class TrackedIndex(Tracked):
    """A table of the index of holders: sorted tuples, to which a step adds and from which it takes its own."""

    __slots__ = ()

    def get(self, key: Any, default: Any = None) -> Any:
        """Everybody there, or `default`: that is a look at the others, also after some were added by `peek`."""
        component = self.components.get(key) or self.packed_table.component(key)
        self.note(component)
        if self.writes is not None and key in self.writes:
            value = self.writes[key]
        else:
            value = component.by_code[self.packed & component.mask]
        return default if value is None else value

    def peek(self, key: Any, default: Any = None) -> Any:
        """Everybody there, for somebody who adds or takes away his own, and looks at nothing else."""
        component = self.components.get(key) or self.packed_table.component(key)
        self.reads.peeked.add(component)
        value = component.by_code[self.packed & component.mask]
        return default if value is None else value


class TrackedFrames(Tracked, KeptByFrame):
    """A set of (invariant, pfn), kept as one entry a frame: the rules that it breaks."""

    __slots__ = ()

    def at(self, pfn: int) -> frozenset[str]:
        """The rules that a frame breaks."""
        return cast("frozenset[str]", self.get(pfn, frozenset()))

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key[0] in self.at(key[1])

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


def tracked_state(packed_tables: list[PackedTable], alive: PackedTable, packed: int, reads: Reads) -> TrackedState:
    """The State of which `packed` is the packed form, its tables on `packed_tables` in the order of State.maps.

    `alive` has the names of the tasks.
    """
    maps: list[Any] = [
        (TrackedRecords if packed_table.__class__ is SplitTable else Tracked)(packed_table, packed, reads)
        for packed_table in packed_tables
    ]
    tasks = maps[TASKS] = TrackedTasks(packed_tables[TASKS], packed, reads)
    tasks.alive = alive
    return TrackedState(tuple(maps))
