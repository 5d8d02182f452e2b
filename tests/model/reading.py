"""A State that notes which tables, and which fields of their records, are read."""

from collections.abc import Iterator
from typing import Any

import msgspec

from model.memory.state import TABLES, State

Seen = set[tuple[str, str]]
"""(table, field); an empty field where only the entry itself was asked for."""

INDEXES = {
    "pte_index": "ptes",
    "table_index": "tables",
    "vma_index": "vmas",
    "cache_index": "page_cache",
    "disk_index": "disk",
    "swapped_index": "swapped",
}
"""Derived table → the one that it follows from."""


class NotedRecord:
    """A record that notes which of its fields are read; its properties and methods run on it."""

    def __init__(self, table: str, record: Any, seen: Seen) -> None:
        self._table, self._record, self._seen = table, record, seen

    def __getattr__(self, name: str) -> Any:
        kind = type(self._record)
        found = getattr(kind, name, None)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)
        if name not in kind.__struct_fields__ and callable(found):
            return lambda *arguments: found(self, *arguments)
        self._seen.add((self._table, name))
        return getattr(self._record, name)


class NotedTable:
    """One table of a State, read-only."""

    def __init__(self, name: str, entries: Any, seen: Seen) -> None:
        self._name, self._entries, self._seen = INDEXES.get(name, name), entries, seen

    def _noted(self, value: Any) -> Any:
        self._seen.add((self._name, ""))
        if isinstance(value, msgspec.Struct):
            return NotedRecord(self._name, value, self._seen)
        return value

    def get(self, key: Any) -> Any:
        """The entry, or None. Who looks for a page's folio asks for `mthp` on the way: no verdict depends on it."""
        if (self._name, key) == ("settings", "mthp"):
            return self._entries.get(key)
        return self._noted(self._entries.get(key))

    def __getitem__(self, key: Any) -> Any:
        return self._noted(self._entries[key])

    def __contains__(self, key: Any) -> bool:
        self._seen.add((self._name, ""))
        return key in self._entries

    def __iter__(self) -> Iterator[Any]:
        self._seen.add((self._name, ""))
        return iter(self._entries)

    keys = __iter__

    def values(self) -> Iterator[Any]:
        """Every entry."""
        return (self[key] for key in self._entries)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Every key with its entry."""
        return ((key, self[key]) for key in self._entries)

    def __len__(self) -> int:
        self._seen.add((self._name, ""))
        return len(self._entries)


def noting(state: State) -> tuple[State, Seen]:
    """The State, and the set in which everything is noted that is read of it."""
    seen: Seen = set()
    maps: Any = tuple(NotedTable(table.name, state.maps[number], seen) for number, table in enumerate(TABLES))
    return State(maps), seen
