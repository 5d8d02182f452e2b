"""Who holds each frame: the truth that the stored counts are compared with.

The kernel stores counts and never a list of the holders; that is why a wrong count goes unnoticed. Here every holder is
known by name: page-table entries, page-cache slots, references, the tasks in flight, table pages, TLB entries.
What is kept for one frame does not depend on the order in which its holders came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Final, Literal, NamedTuple

from rpds import HashTrieSet

from model.invariants.subjects import subject
from model.memory.flags import GUP_PIN_COUNTING_BIAS

HolderKind = Literal[
    "pte",
    "special",
    "huge",
    "huge-special",
    "table",
    "shared-table",
    "shared-huge",
    "deposit",
    "rcu",
    "cache",
    "buffer",
    "borrowed",
    "borrowed-pin",
    "get",
    "pin",
    "covered",
    "loose",
    "task",
    "task-pin",
    "rmap",
    "tlb",
]
"""`special`: an entry that core mm does not count. `buffer`: a driver lists the frame among a buffer's pages, which
is no reference; `borrowed`, `borrowed-pin`: the page belongs to a memfd and the driver holds a reference or a pin on it
(udmabuf). `get`: one counted reference, however taken. `covered`: a page of a folio that one pin on another page of it
keeps (io_uring). `shared-table`, `shared-huge`: a table of hugetlb that hangs in elsewhere as well, and counts there,
and an entry in it. `deposit`: the table that is kept for the split of a huge entry; `rcu`: one that waits for
a CPU with interrupts off. `loose`: a mirror or mapping that
holds no page reference. `task`, `task-pin`, `rmap`: what a task in flight owns or still owes (`Locals.holds`,
`Locals.pins`, `Locals.owes_rmap`)."""


PGD_LEVEL: Final = 4
"""The level under which a process's pointer to its top-level table page is kept."""


class Holder(NamedTuple):
    """One thing that points at a frame."""

    kind: HolderKind
    owner: str
    """Process, file, reference or task."""
    number: int
    """Virtual page, table index, offset in the file, page of the reference; for a task: which of its holds."""
    level: int = 0
    """The level of a page table; for a TLB entry: the CPU."""

    @property
    def subject(self) -> str:
        """What the screen knows it as."""
        match self.kind:
            case "pte" | "special":
                return subject("pte", self.owner, self.number)
            case "huge" | "huge-special" | "shared-huge" | "deposit":
                return subject("table", self.owner, 1, self.number)
            case "table" if self.level == PGD_LEVEL:
                return subject("process", self.owner)
            case "table" | "shared-table":
                return subject("table", self.owner, self.level, self.number)
            case "cache":
                return subject("cache", self.owner, self.number)
            case "buffer" | "borrowed" | "borrowed-pin":
                return subject("buffer", self.owner)
            case "rcu":
                return subject("cpu", self.number)
            case "tlb":
                return subject("tlb", self.level, self.owner, self.number)
            case "task" | "task-pin" | "rmap":
                return subject("task", self.owner)
            case _:
                return subject("ref", self.owner)


class Tally(NamedTuple):
    """What the holders of a frame add up to."""

    refs: int = 0
    """The refcount that they explain."""
    maps: int = 0
    """The mapcount that they explain."""
    entries: int = 0
    """Normal page-table entries; `maps` without what tasks owe."""
    special: int = 0
    """Special entries, which explain nothing."""
    pins: int = 0

    def plus(self, other: Tally, times: int = 1) -> Tally:
        """The sum, or with `times` = -1 the difference."""
        refs, maps, entries, special, pins = self
        return Tally(
            refs + times * other.refs,
            maps + times * other.maps,
            entries + times * other.entries,
            special + times * other.special,
            pins + times * other.pins,
        )


WEIGHTS: Final[dict[HolderKind, Tally]] = {
    "pte": Tally(refs=1, maps=1, entries=1),
    "huge": Tally(),  # of a large folio, whose counts are its own business, or of a buffer, and then it counts nothing
    "special": Tally(special=1),
    "huge-special": Tally(special=1),
    "table": Tally(refs=1),
    "shared-table": Tally(),
    "shared-huge": Tally(),
    "deposit": Tally(refs=1),
    "rcu": Tally(refs=1),
    "cache": Tally(refs=1),
    "buffer": Tally(),
    "borrowed": Tally(refs=1),
    "borrowed-pin": Tally(refs=GUP_PIN_COUNTING_BIAS, pins=1),
    "get": Tally(refs=1),
    "pin": Tally(refs=GUP_PIN_COUNTING_BIAS, pins=1),
    "task": Tally(refs=1),
    "task-pin": Tally(refs=GUP_PIN_COUNTING_BIAS, pins=1),
    "rmap": Tally(maps=1),
    "covered": Tally(pins=1),
    "loose": Tally(),
    "tlb": Tally(),
}
"""What each is of a small page, or of a page that its driver counts."""

LARGE_WEIGHTS: Final[dict[HolderKind, Tally]] = {
    **WEIGHTS,
    "huge": Tally(refs=1, maps=1, entries=1),
    "borrowed-pin": Tally(refs=1, pins=1),
    "pin": Tally(refs=1, pins=1),
    "covered": Tally(),
    "task-pin": Tally(refs=1, pins=1),
}
"""What each is of a large folio: its pins are counted apart, and one entry may map it as a whole."""


def large_weight(holder: Holder, order: int) -> Tally:
    """What a holder of a page of a large folio is of the folio; the page cache has a reference a page."""
    return Tally(refs=1 << order) if holder.kind == "cache" else LARGE_WEIGHTS[holder.kind]


ENTRY_KINDS: Final = frozenset({"pte", "special", "huge", "huge-special", "shared-huge"})
"""Holders that are page-table entries: through them a process reaches the frame."""

BORROWED_KINDS: Final[tuple[HolderKind, ...]] = ("borrowed", "borrowed-pin")

REFERENCE_KINDS: Final = frozenset({"get", "pin", "covered", "loose"})

FEW: Final = 12
"""Up to so many holders stand in a sorted tuple, which is all that most frames ever need."""


class Crowd(NamedTuple):
    """The holders of a frame that has many of them, such as the zero page."""

    tally: Tally
    members: HashTrieSet[Holder]


class HeldByKind(ABC):
    """The holders of a frame as a search keeps them, kind by kind: who asks for some of them looks at no others."""

    __slots__ = ()

    @abstractmethod
    def of(self, kinds: Collection[str]) -> Iterator[Holder]:
        """Those of some kinds; of all, where none is given."""

    @property
    @abstractmethod
    def tally(self) -> Tally:
        """What they add up to."""

    @abstractmethod
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Holder]:
        return self.of(())


Held = tuple[Holder, ...] | Crowd | HeldByKind
"""All holders of one frame. Always a Crowd above FEW of them and never below, so equal sets are equal values."""


def tally(held: Held) -> Tally:
    """What the holders add up to. O(FEW)."""
    if isinstance(held, Crowd | HeldByKind):
        return held.tally
    if len(held) == 1:
        return WEIGHTS[held[0].kind]
    total = Tally()
    for holder in held:
        total = total.plus(WEIGHTS[holder.kind])
    return total


def added(held: Held, holder: Holder) -> Held:
    """With one holder more, which is not among them yet."""
    if isinstance(held, Crowd):
        return Crowd(held.tally.plus(WEIGHTS[holder.kind]), held.members.insert(holder))
    more = tuple(sorted((*held, holder)))
    return more if len(more) <= FEW else Crowd(tally(more), HashTrieSet(more))


def removed(held: Held, holder: Holder) -> Held:
    """With one holder less. KeyError or ValueError if it is not among them: then the index has gone wrong."""
    if isinstance(held, Crowd):
        left = held.members.remove(holder)
        if len(left) <= FEW:
            return tuple(sorted(left))
        return Crowd(held.tally.plus(WEIGHTS[holder.kind], -1), left)
    few = tuple(held)
    position = few.index(holder)
    return few[:position] + few[position + 1 :]


def members(held: Held, kinds: Collection[str] = ()) -> Iterator[Holder]:
    """Each holder, or each of some kinds; in order only where there are few."""
    if isinstance(held, HeldByKind):
        return held.of(kinds)
    everybody = held.members if isinstance(held, Crowd) else held
    return (holder for holder in everybody if holder.kind in kinds) if kinds else iter(everybody)


def some(held: Held, kinds: Collection[str] = (), most: int = FEW) -> list[Holder]:
    """At most `most` holders, or of some kinds, the least ones, in order. O(all holders) for a Crowd."""
    return sorted(members(held, kinds))[:most]
