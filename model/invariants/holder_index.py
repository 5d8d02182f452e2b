"""The index of holders, kept up to date from the journal: O(changes) a step, whatever the size of the machine.

An Index depends on the State alone: however one got there, it equals the one built from scratch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from rpds import HashTrieMap

from model.invariants.holders import (
    PGD_LEVEL,
    REFERENCE_KINDS,
    Held,
    Holder,
    HolderKind,
    Tally,
    added,
    members,
    removed,
    tally,
)
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.records import Buffer, Process, Pte, Reference, Task, TlbEntry
from model.memory.state import Change

Place = tuple[str, int]
"""A virtual page: process and vpn."""


class Index(NamedTuple):
    """Who holds what, in one State."""

    held: HashTrieMap[int, Held] = HashTrieMap()
    """pfn → its holders."""
    watched: HashTrieMap[Place, tuple[Holder, ...]] = HashTrieMap()
    """Virtual page → the references taken there and the TLB entries of it, sorted."""

    def holders(self, pfn: int) -> Held:
        """All holders of a frame."""
        return self.held.get(pfn, ())

    def tally(self, pfn: int) -> Tally:
        """What they add up to."""
        return tally(self.held.get(pfn, ()))


Grip = tuple[int, Holder]
"""A frame and one of its holders."""


def pte_grip(place: Place, pte: Pte | None) -> Grip | None:
    """What a lowest-level entry holds: nothing unless it is present."""
    if pte is None or not pte.present:
        return None
    return pte.pfn, Holder("special" if pte.special else "pte", *place)


def table_grip(key: tuple[str, int, int], entry: Pte | None) -> Grip | None:
    """What an upper-level entry holds: the next table page, or a whole block of memory."""
    if entry is None or entry.kind != "page":
        return None
    process, level, number = key
    kind: HolderKind = "table" if not entry.huge else "huge-special" if entry.special else "huge"
    return entry.pfn, Holder(kind, process, number, level)


def pgd_grip(name: str, process: Process | None) -> Grip | None:
    """A process holds its top-level table page."""
    return (process.pgd, Holder("table", name, 0, PGD_LEVEL)) if process and process.pgd else None


def cache_grip(key: tuple[str, int], pfn: int | None) -> Grip | None:
    """A file holds the pages in its page cache."""
    return None if pfn is None else (pfn, Holder("cache", *key))


def reference_grips(name: str, reference: Reference | None) -> Iterator[Grip]:
    """A reference holds each of its pages; a mirror or a mapping only remembers which they are."""
    if reference is not None:
        kind: HolderKind = "loose" if not reference.counted else "pin" if reference.kind == "pin" else "get"
        for page, pfn in enumerate(reference.frames):
            if pfn != NOT_MAPPED:
                yield pfn, Holder(kind, name, page)


def buffer_grips(name: str, buffer: Buffer | None) -> Iterator[Grip]:
    """A driver lists the frames of each buffer. Only those that it borrows from a memfd does it hold.

    i915's pages are simply those of the buffer's shmem file.
    """
    if buffer is not None and buffer.exporter != "i915-shmem":
        kind: HolderKind = "borrowed-pin" if buffer.pinned else "borrowed" if buffer.memfd else "buffer"
        for page, pfn in enumerate(buffer.frames):
            yield pfn, Holder(kind, name, page)


class Draft:
    """The changes of one step on their way into an Index."""

    __slots__ = ("base", "held", "places", "watched")

    def __init__(self, base: Index) -> None:
        self.base = base
        self.held: dict[int, Held] = {}
        """Frames whose holders have changed; the checker must look at them again."""
        self.watched: dict[Place, tuple[Holder, ...]] = {}
        self.places: set[Place] = set()
        """Virtual pages whose translation or watchers have changed."""

    # -- one holder ------------------------------------------------------------------------

    def hold(self, pfn: int, holder: Holder) -> None:
        """`holder` now points at the frame."""
        held = self.held.get(pfn)
        self.held[pfn] = added(self.base.held.get(pfn, ()) if held is None else held, holder)

    def drop(self, pfn: int, holder: Holder) -> None:
        """`holder` points at the frame no longer."""
        held = self.held.get(pfn)
        self.held[pfn] = removed(self.base.held.get(pfn, ()) if held is None else held, holder)

    def _move(self, old: Grip | None, new: Grip | None) -> None:
        if old == new:
            return
        if old:
            self.drop(*old)
        if new:
            self.hold(*new)

    def watch(self, place: Place, holder: Holder, *, on: bool) -> None:
        """`holder` remembers the translation of a virtual page, or does so no longer."""
        watchers = self.watched.get(place)
        if watchers is None:
            watchers = self.base.watched.get(place, ())
        if on:
            self.watched[place] = tuple(sorted((*watchers, holder)))
        else:
            self.watched[place] = tuple(other for other in watchers if other != holder)
        self.places.add(place)

    # -- one change ------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Follow one entry of the journal."""
        table, key, old, new = change
        match table:
            case "ptes":
                self._move(pte_grip(key, old), pte_grip(key, new))
                self.places.add(key)
            case "tables":
                self._move(table_grip(key, old), table_grip(key, new))
            case "processes":
                self._move(pgd_grip(key, old), pgd_grip(key, new))
            case "page_cache":
                self._move(cache_grip(key, old), cache_grip(key, new))
            case "references":
                self._references(key, old, new)
            case "buffers":
                for pfn, holder in buffer_grips(key, old):
                    self.drop(pfn, holder)
                for pfn, holder in buffer_grips(key, new):
                    self.hold(pfn, holder)
            case "tlbs":
                self._tlb(key, old or (), new or ())

    def _references(self, name: str, old: Reference | None, new: Reference | None) -> None:
        for pfn, holder in reference_grips(name, old):
            self.drop(pfn, holder)
            if old and old.process:
                self.watch((old.process, old.vpn + holder.number), holder, on=False)
        for pfn, holder in reference_grips(name, new):
            self.hold(pfn, holder)
            if new and new.process:
                self.watch((new.process, new.vpn + holder.number), holder, on=True)

    def _tlb(self, cpu: int, old: tuple[TlbEntry, ...], new: tuple[TlbEntry, ...]) -> None:
        before, after = set(old), set(new)
        for gone in before - after:
            holder = Holder("tlb", gone.process, gone.vpn, cpu)
            self.drop(gone.pte.pfn, holder)
            self.watch((gone.process, gone.vpn), holder, on=False)
        for fresh in after - before:
            holder = Holder("tlb", fresh.process, fresh.vpn, cpu)
            self.hold(fresh.pte.pfn, holder)
            self.watch((fresh.process, fresh.vpn), holder, on=True)

    def task(self, name: str, old: Task | None, new: Task | None) -> None:
        """Follow what a task in flight owns and owes."""
        before, after = _owned(old), _owned(new)
        if before == after:  # usually the very same tuples, which costs nothing to see
            return
        for kind, gone, come in zip(OWNED_KINDS, before, after, strict=True):
            self._owned(kind, name, Counter(chain(*gone)), Counter(chain(*come)))

    def _owned(self, kind: HolderKind, task: str, before: Counter[int], after: Counter[int]) -> None:
        for pfn in before.keys() | after.keys():
            for number in range(after[pfn], before[pfn]):
                self.drop(pfn, Holder(kind, task, number))
            for number in range(before[pfn], after[pfn]):
                self.hold(pfn, Holder(kind, task, number))

    def commit(self) -> Index:
        """The Index with all of it."""
        if not self.held and not self.watched:
            return self.base
        held, watched = self.base.held, self.base.watched
        for pfn, holders in self.held.items():
            held = held.insert(pfn, holders) if holders else held.discard(pfn)
        for place, watchers in self.watched.items():
            watched = watched.insert(place, watchers) if watchers else watched.discard(place)
        return Index(held, watched)

    def references_of(self, pfns: Iterable[int]) -> set[tuple[str, int]]:
        """Which pages of which references hold one of the frames: (reference, page)."""
        found: set[tuple[str, int]] = set()
        for pfn in pfns:
            held = self.held.get(pfn, self.base.held.get(pfn, ()))
            found.update((holder.owner, holder.number) for holder in members(held) if holder.kind in REFERENCE_KINDS)
        return found


OWNED_KINDS: Final[tuple[HolderKind, ...]] = ("task", "task-pin", "rmap")


def _owned(task: Task | None) -> tuple[list[tuple[int, ...]], ...]:
    """What the calls of a task own and owe, in the order of OWNED_KINDS; empty tuples are left out."""
    owned: tuple[list[tuple[int, ...]], ...] = ([], [], [])
    for call in task.stack if task else ():
        if call.holds:
            owned[0].append(call.holds)
        if call.pins:
            owned[1].append(call.pins)
        if call.owes_rmap:
            owned[2].append(call.owes_rmap)
    return owned
