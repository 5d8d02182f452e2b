"""The holders of frames in a packed state, kept kind by kind, with what they add up to apart from who they are.

A step that adds a holder, or takes one away, has nothing to do with those of other kinds; and a rule that asks whether
a count is right has nothing to do with who the holders are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, Final, cast

from rpds import HashTrieMap

from model.invariants.holder_index import Draft
from model.invariants.holders import WEIGHTS, Held, HeldByKind, Holder, Tally, added, members, removed, tally
from model.search.packed import Component, PackedTable
from model.search.read_tracking import Reads

IN_ALL: Final = ""
"""In place of a kind: what the holders of all kinds add up to, and how many there are."""
KINDS: Final = tuple(sorted(WEIGHTS))

HoldersKey = tuple[int, str]
"""A frame, and a kind of holders."""


def by_kind(held: HashTrieMap[int, Held]) -> HashTrieMap[HoldersKey, Any]:
    """The table of holders, kind by kind."""
    found: dict[HoldersKey, Any] = {}
    for pfn, everybody in held.items():
        parts: dict[str, Held] = {}
        for holder in members(everybody):
            parts[holder.kind] = added(parts.get(holder.kind, ()), holder)
        found |= {(pfn, kind): part for kind, part in parts.items()}
        found[pfn, IN_ALL] = tally(everybody), sum(1 for _ in members(everybody))
    return HashTrieMap(found)


NOTHING: Final = (Tally(), 0)


class TrackedHolders:
    """The table of holders of a packed state; behaves like a HashTrieMap from frames to their holders."""

    __slots__ = ("packed", "packed_table", "reads", "writes")

    def __init__(
        self,
        packed_table: PackedTable,
        packed: int,
        reads: Reads,
        writes: dict[int, HoldersOfFrame] | None = None,
    ) -> None:
        self.packed_table = packed_table
        self.packed = packed
        self.reads = reads
        self.writes = writes or {}

    def get(self, pfn: int, _default: object = ()) -> HoldersOfFrame:
        """The holders of a frame, maybe none. Nothing of them is looked at yet."""
        written = self.writes.get(pfn)
        return HoldersOfFrame(self, pfn, {}) if written is None else written

    def keys(self) -> Iterator[int]:
        """Every frame that has holders. The run depends on the whole table then."""
        self.reads.packed_tables.add(self.packed_table)
        pfns = {cast("HoldersKey", key)[0] for key, _ in self.packed_table.items(self.packed)}
        return iter(sorted(pfns | self.writes.keys()))

    def written(self) -> Iterator[tuple[Component, Any]]:
        """What has changed: components, each with its new value; None where there is no entry any more."""
        for pfn, holders in self.writes.items():
            for kind, value in holders.parts.items():
                yield self.packed_table.component((pfn, kind)), value or None

    def part(self, pfn: int, kind: str, *, peek: bool = False) -> Any:
        """The holders of a kind, or what all add up to; with `peek` for somebody who adds or takes away his own."""
        component = self.packed_table.component((pfn, kind))
        (self.reads.peeked if peek else self.reads.components).add(component)
        return component.by_code[self.packed & component.mask]


class HoldersOfFrame(HeldByKind):
    """The holders of one frame."""

    __slots__ = ("parts", "pfn", "table")

    def __init__(self, table: TrackedHolders, pfn: int, parts: dict[str, Any]) -> None:
        self.table: Final = table
        self.pfn: Final = pfn
        self.parts: Final = parts
        """Those kinds that have changed, and what all add up to."""

    def of(self, kinds: Collection[str]) -> Iterator[Holder]:
        """Those of some kinds; of all, where none is given."""
        return chain.from_iterable(members(self._part(kind) or ()) for kind in kinds or KINDS)

    @property
    def tally(self) -> Tally:
        """What they add up to."""
        return cast("tuple[Tally, int]", self._part(IN_ALL) or NOTHING)[0]

    def __len__(self) -> int:
        return cast("tuple[Tally, int]", self._part(IN_ALL) or NOTHING)[1]

    def _part(self, kind: str) -> Any:
        """A look at a part, also after something was added to it or taken away without one."""
        before = self.table.part(self.pfn, kind)
        return self.parts.get(kind, before)

    def change(self, holder: Holder, times: int) -> None:
        """With one holder more (1) or less (-1), and no look at the others."""
        kind = holder.kind
        part = self.parts[kind] if kind in self.parts else self.table.part(self.pfn, kind, peek=True)
        self.parts[kind] = (added if times > 0 else removed)(part or (), holder)
        known = self.parts[IN_ALL] if IN_ALL in self.parts else self.table.part(self.pfn, IN_ALL, peek=True)
        total, count = known or NOTHING
        count += times
        self.parts[IN_ALL] = (total.plus(WEIGHTS[kind], times), count) if count else None


class PeekingDraft(Draft):
    """Adds holders and takes them away without a look at who else is there."""

    __slots__ = ()

    def entry(self, table: Any, key: Any) -> Any:
        """An entry of the base that is not looked at."""
        return table.peek(key, ())

    def hold(self, pfn: int, holder: Holder) -> None:
        """`holder` now points at the frame."""
        table: object = self.base.held
        if isinstance(table, TrackedHolders):
            self._change(table, pfn, holder, 1)
        else:
            super().hold(pfn, holder)

    def drop(self, pfn: int, holder: Holder) -> None:
        """`holder` points at the frame no longer."""
        table: object = self.base.held
        if isinstance(table, TrackedHolders):
            self._change(table, pfn, holder, -1)
        else:
            super().drop(pfn, holder)

    def _change(self, table: TrackedHolders, pfn: int, holder: Holder, times: int) -> None:
        if pfn not in self.held:
            self.held[pfn] = HoldersOfFrame(table, pfn, {})
        cast("HoldersOfFrame", self.held[pfn]).change(holder, times)
        self._count(pfn, holder, times)

    def after(self, entries: Any, changed: dict[Any, Any]) -> Any:
        """The entries of a table after some have changed."""
        if isinstance(entries, TrackedHolders):
            return TrackedHolders(entries.packed_table, entries.packed, entries.reads, changed)
        return super().after(entries, changed)
