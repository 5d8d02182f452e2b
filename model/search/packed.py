"""Packed states: a whole machine as one integer, for sets of a million of them.

A component is one entry of one table, (table, key), that somebody has looked at. Each value that it ever takes gets a
number, 0 for the value in the state that the search sets out from; the state is the numbers side by side. An entry
that never changes takes no bits, and one that gets more values than its bits can number is given further bits at the
top, where all integers made before have zeros. So nothing is ever encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, cast

import msgspec
from rpds import HashTrieMap


class Component:
    """One entry of a table, and the values that it has had."""

    __slots__ = ("by_code", "codes", "free_codes", "key", "mark", "mask", "packed_table", "watchers")

    def __init__(self, packed_table: PackedTable, key: Hashable, initial: Any) -> None:
        self.packed_table = packed_table
        self.key = key
        self.mask = 0
        """The bits of a packed state that say which value it has."""
        self.by_code: dict[int, Any] = {0: initial}
        """Those bits → the value; None where there is no entry."""
        self.codes: dict[Hashable, int] = {packed_table.identity(initial): 0}
        self.free_codes: list[int] = []
        """Codes that have no value yet, the next one last."""
        self.watchers: list[Footprint] = []
        self.mark = packed_table.layout.next_mark(self)
        """A bit that stands for the component where sets of components are compared: no bit of a state."""

    def code(self, value: Any) -> int:
        """The bits that stand for `value`, new ones if it was never seen here."""
        identity = self.packed_table.identity(value)
        code = self.codes.get(identity)
        if code is None:
            if not self.free_codes:
                self._widen()
            code = self.codes[identity] = self.free_codes.pop()
            self.by_code[code] = value
            self.packed_table.layout.news.append((self, code))
        return code

    def _widen(self) -> None:
        """Take one more bit; whoever depends on this component depends on it too."""
        more = self.packed_table.layout.allot()
        self.free_codes = [code | more for code in reversed(self.by_code)]
        self.mask |= more
        for footprint in (*self.watchers, *self.packed_table.watchers):
            footprint.mask |= more


class Footprint:
    """What something depends on: components, and whole tables."""

    __slots__ = ("components", "mask", "packed_tables")

    def __init__(self) -> None:
        self.components: set[Component] = set()
        self.packed_tables: set[PackedTable] = set()
        self.mask = 0
        """All their bits."""

    def covers(self, components: set[Component], packed_tables: set[PackedTable]) -> bool:
        """Whether depending on these as well would add no bits."""
        others = ~self.mask
        return all(not component.mask & others for component in components) and all(
            not component.mask & others
            for packed_table in packed_tables - self.packed_tables
            for component in packed_table.components.values()
        )

    def include(self, components: Iterable[Component], packed_tables: Iterable[PackedTable] = ()) -> None:
        """Depend on more components and tables."""
        new = [component for component in components if component not in self.components]
        mask = self.mask
        for component in new:
            component.watchers.append(self)
            mask |= component.mask
        self.components.update(new)
        self.mask = mask
        for packed_table in packed_tables:
            if packed_table not in self.packed_tables:
                self.packed_tables.add(packed_table)
                packed_table.watchers.append(self)
                for component in packed_table.components.values():
                    self.mask |= component.mask


class PackedTable:
    """The components of one table."""

    __slots__ = ("components", "identity", "initial", "layout", "mark", "watchers")

    def __init__(
        self,
        layout: BitLayout,
        initial: HashTrieMap[Any, Any],
        identity: Callable[[Any], Hashable] = lambda value: value,
    ) -> None:
        self.layout = layout
        self.initial = initial
        """The table in the state that the search sets out from."""
        self.identity = identity
        """What tells two values apart; for values that cannot be hashed."""
        self.components: dict[Hashable, Component] = {}
        self.watchers: list[Footprint] = []
        """What depends on the whole table."""
        self.mark = layout.next_mark(self)
        """A bit that stands for whatever the table has, also entries that are still to come."""

    def component(self, key: Hashable) -> Component:
        """The component of an entry, whether there is such an entry or not."""
        found = self.components.get(key)
        if found is None:
            found = self.components[key] = Component(self, key, self.initial.get(key))
        return found

    def items(self, packed: int) -> Iterator[tuple[Any, Any]]:
        """Every entry that the table has in a packed state."""
        for key, value in self.initial.items():
            if key not in self.components:
                yield key, value
        for key, component in self.components.items():
            value = component.by_code[packed & component.mask]
            if value is not None:
                yield key, value

    def met(self, key: Hashable, field: str) -> Iterator[Any]:
        """Every value that a field of an entry has had in a state of the search."""
        for record in self.component(key).by_code.values():
            if record is not None:
                yield getattr(record, field)


ENTRY: Final = ""
"""In place of a field: whether there is such an entry."""


class SplitTable(PackedTable):
    """A table whose records are kept field by field: a component is a field of an entry, or whether there is one.

    So steps that have to do with different fields of the same record do not notice each other. The fields of an entry
    that is not there have the value None.
    """

    __slots__ = ("entries", "fields", "record")

    def __init__(self, layout: BitLayout, initial: HashTrieMap[Any, Any], record: Any) -> None:
        super().__init__(layout, initial)
        self.record = record
        self.fields: tuple[str, ...] = self.record.__struct_fields__
        self.entries: dict[Hashable, dict[str, Component]] = {}
        """Key → the components of its fields."""

    def component(self, key: Hashable) -> Component:
        """The component of (key, field)."""
        found = self.components.get(key)
        if found is None:
            entry, field = cast("tuple[Hashable, str]", key)
            record = self.initial.get(entry)
            value = None if record is None else True if field == ENTRY else getattr(record, field)
            found = self.components[key] = Component(self, key, value)
            self.entries.setdefault(entry, {})[field] = found
        return found

    def items(self, packed: int) -> Iterator[tuple[Any, Any]]:
        """Every entry that the table has in a packed state, as plain records."""
        for key in (*self.initial.keys(), *(key for key in self.entries if key not in self.initial)):
            record = self.entry(key, packed)
            if record is not None:
                yield key, record

    def met(self, key: Hashable, field: str) -> Iterator[Any]:
        """Every value that a field of an entry has had in a state of the search."""
        part = self.entries.get(key, {}).get(field)
        if part is not None:
            yield from (value for value in part.by_code.values() if value is not None)

    def entry(self, key: Hashable, packed: int) -> Any:
        """An entry as a plain record; None if there is none."""
        parts, record = self.entries.get(key, {}), self.initial.get(key)
        there = parts.get(ENTRY)
        if record is None if there is None else there.by_code[packed & there.mask] is None:
            return None
        values = {name: one.by_code[packed & one.mask] for name, one in parts.items() if name != ENTRY}
        return self.record(**values) if record is None else msgspec.structs.replace(record, **values)


class BitLayout:
    """All packed tables, and which bits of the integer are taken."""

    def __init__(self) -> None:
        self.bits = 0
        self.marked: Final[list[Component | PackedTable]] = []
        """Whatever has a mark, in the order of the bits."""
        self.packed_tables: Final[list[PackedTable]] = []
        self.news: Final[list[tuple[Component, int]]] = []
        """Every value but those of the start, in the order in which they came: component and code."""

    def allot(self) -> int:
        """Take the next bit."""
        self.bits += 1
        return 1 << self.bits - 1

    def next_mark(self, marked: Component | PackedTable) -> int:
        """A bit of its own for something that is marked."""
        self.marked.append(marked)
        return 1 << len(self.marked) - 1

    def packed_table(
        self, initial: HashTrieMap[Any, Any] | None = None, identity: Callable[[Any], Hashable] | None = None
    ) -> PackedTable:
        """One more table, as it is at the start."""
        table = HashTrieMap() if initial is None else initial
        self.packed_tables.append(PackedTable(self, table, identity) if identity else PackedTable(self, table))
        return self.packed_tables[-1]

    def split_table(self, initial: HashTrieMap[Any, Any], record: Any) -> PackedTable:
        """One more table, whose records are kept field by field."""
        self.packed_tables.append(SplitTable(self, initial, record))
        return self.packed_tables[-1]
