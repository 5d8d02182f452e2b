"""The State of the machine, and the Transaction: the only way to change one.

A State is a tuple of persistent maps, one per kind of record, keyed as the kernel would look the thing up. Only
what differs from a default is stored. Keeping, branching or going back costs nothing: a State never changes.

A Transaction gathers the writes of one micro-step over a State and hands out the next State with the journal of
changes. Nothing in a State depends on time, on Python's object identity or on the path that led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, ValuesView
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar, cast, overload

import msgspec
from msgspec.structs import replace
from rpds import HashTrieMap

from model.memory import ordered
from model.memory.buffer_records import Attachment, Buffer, Device, DmaBuf
from model.memory.digest import entry_hash
from model.memory.events import Event
from model.memory.records import (
    AnonVma,
    Cpu,
    File,
    Folio,
    Frame,
    KsmRmapItem,
    KsmStableNode,
    Label,
    Lock,
    Process,
    Pte,
    Reference,
    SwapSlot,
    TlbEntry,
    Userfaultfd,
    Vma,
)
from model.memory.tasks import Task
from model.memory.units import AnonVmaNumber, CpuNumber, Pfn, Word

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Change(NamedTuple):
    """One entry of the journal: `old` or `new` is None where the entry did not exist."""

    table: str
    key: Any
    old: Any
    new: Any


class TableType(msgspec.Struct, frozen=True):
    """How a table is declared: its name in changes and JSON, and the types of its keys and values."""

    name: str
    key: Any
    value: Any
    derived: bool = False
    """An index that follows from another table: neither hashed nor written to JSON nor shown as a change."""
    number: int = -1
    """Its place in State.maps."""
    missing: Any = None
    """What stands under every key that is not stored; None where that is no record."""


TABLES: Final[list[TableType]] = []
"""Every table of a State, in the order of State.maps; filled by the declarations in `State`."""


class Table(Generic[K, V]):
    """Declares one table: a State has a map under this name, a Transaction a View."""

    def __init__(
        self,
        name: str,
        key: object,
        value: object,
        *,
        indexed: Table[Any, int] | None = None,
        derived: bool = False,
        missing: Any = None,
    ) -> None:
        self.name = name
        self.number = len(TABLES)
        self.index = indexed
        self.type = TableType(name, key, value, derived, self.number, missing)
        TABLES.append(self.type)

    @overload
    def __get__(self, owner: State, kind: type[State]) -> HashTrieMap[K, V]: ...
    @overload
    def __get__(self, owner: Transaction, kind: type[Transaction]) -> TableView[K, V]: ...
    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    def __get__(self, owner: State | Transaction | None, kind: type) -> HashTrieMap[K, V] | TableView[K, V] | Self:
        if isinstance(owner, State):
            return owner.maps[self.number]
        if owner is None:
            return self
        base = owner.base.maps[self.number]
        view: TableView[K, V]
        if self.index is not None:
            view = IndexedView(self.type, base, {}, getattr(owner, self.index.name))
        elif self.type.missing is not None:
            view = DefaultView(self.type, base, {})
        else:
            view = TableView(self.type, base, {})
        # A plain attribute from now on: Table is a non-data descriptor, so the instance wins over it.
        owner.__dict__[self.name] = view
        return view


class Tables:
    """The tables, declared once for State and Transaction."""

    __slots__ = ()

    settings: Table[Word, Word] = Table("settings", Word, Word)
    """`set KEY VALUE` of the script language; a missing key means its default."""
    counters: Table[Word, int] = Table("counters", Word, int)
    """Machine-wide numbers: heads of free lists, high-water marks, next ids."""
    frames: Table[Pfn, Frame] = Table("frames", Pfn, Frame, missing=Frame())
    """pfn → struct page. A free frame is not stored: whoever still has its number finds Frame() there."""
    folios: Table[Pfn, Folio] = Table("folios", Pfn, Folio)
    """pfn of the head of a large folio → the rest of its struct folio. Its tail pages are stored nowhere else."""
    content: Table[Pfn, int] = Table("content", Pfn, int)
    """pfn → the byte that stands for the page's content; missing = 0. It survives the frame's being freed."""
    free: Table[Pfn, Pfn] = Table("free", Pfn, Pfn)
    """pfn → the pfn behind it on its free list."""
    pool: Table[Pfn, Pfn] = Table("pool", Pfn, Pfn)
    """First pfn of a block in the TTM pool → the one behind it in the list of its kind."""
    pte_index: Table[tuple[str, int, int], int] = Table("pte_index", tuple[str, int, int], int, derived=True)
    """Occupancy of page tables: which vpns of a process have a non-empty PTE."""
    ptes: Table[tuple[str, int], Pte] = Table("ptes", tuple[str, int], Pte, indexed=pte_index)
    """(process, vpn) → lowest-level entry."""
    table_index: Table[tuple[Hashable, int, int], int] = Table("table_index", tuple[str, int, int], int, derived=True)
    """Which upper-level entries exist, per (process, level)."""
    tables: Table[tuple[str, int, int], Pte] = Table("tables", tuple[str, int, int], Pte, indexed=table_index)
    """(process, level, index) → upper-level entry: level 1 = PMD (index vpn >> 9), 2 = PUD, 3 = PGD."""
    deposits: Table[tuple[str, int], Pfn] = Table("deposits", tuple[str, int], Pfn)
    """(process, index of a PMD entry that maps a huge page) → the table page kept for its split: pmd_huge_pte."""
    shared_tables: Table[Pfn, tuple[tuple[str, int], ...]] = Table("shared_tables", Pfn, tuple[tuple[str, int], ...])
    """pfn of a table of huge entries that hangs in several places → (process, index of the PUD entry) of each. The
    first is where its entries count. The kernel has their number alone, less one: pt_share_count."""
    rcu: Table[CpuNumber, tuple[Pfn, ...]] = Table("rcu", CpuNumber, tuple[Pfn, ...])
    """CPU → page tables that are freed when it has interrupts on again: those that wait for a grace period."""
    vma_index: Table[tuple[str, int, int], int] = Table("vma_index", tuple[str, int, int], int, derived=True)
    """Where VMAs of a process start, in address order."""
    vmas: Table[tuple[str, int], Vma] = Table("vmas", tuple[str, int], Vma, indexed=vma_index)
    """(process, start) → VMA."""
    detached_vmas: Table[tuple[str, int], Vma] = Table("detached_vmas", tuple[str, int], Vma)
    """(process, start) → a VMA that no address finds any more (munmap, exit); the reverse maps may still know it."""
    anon_vmas: Table[AnonVmaNumber, AnonVma] = Table("anon_vmas", AnonVmaNumber, AnonVma)
    ksm_rmap_index: Table[tuple[str, int, int], int] = Table("ksm_rmap_index", tuple[str, int, int], int, derived=True)
    """Which vpns of a process ksmd has an rmap_item for."""
    ksm_rmap_items: Table[tuple[str, int], KsmRmapItem] = Table(
        "ksm_rmap_items", tuple[str, int], KsmRmapItem, indexed=ksm_rmap_index
    )
    """(process, vpn) → what ksmd remembers of the page there."""
    ksm_stable_nodes: Table[Pfn, KsmStableNode] = Table("ksm_stable_nodes", Pfn, KsmStableNode)
    """pfn → node of the stable tree. It may outlive its page: ksmd finds out when it comes by."""
    ksm_stable_tree: Table[int, tuple[Pfn, ...]] = Table("ksm_stable_tree", int, tuple[Pfn, ...])
    """Content → the KSM pages that have it: one, or several when the first is shared too often."""
    ksm_unstable_tree: Table[int, tuple[str, int]] = Table("ksm_unstable_tree", int, tuple[str, int])
    """Content → (process, vpn) of the page that had it when ksmd put it there in this scan."""
    processes: Table[str, Process] = Table("processes", str, Process)
    labels: Table[tuple[str, str], Label] = Table("labels", tuple[str, str], Label)
    cpus: Table[CpuNumber, Cpu] = Table("cpus", CpuNumber, Cpu)
    tlbs: Table[CpuNumber, tuple[TlbEntry, ...]] = Table("tlbs", CpuNumber, tuple[TlbEntry, ...])
    """CPU → its cached translations, oldest first."""
    files: Table[str, File] = Table("files", str, File)
    cache_index: Table[tuple[str, int, int], int] = Table("cache_index", tuple[str, int, int], int, derived=True)
    """Which indices of a file have a page in the page cache."""
    page_cache: Table[tuple[str, int], Pfn] = Table("page_cache", tuple[str, int], Pfn, indexed=cache_index)
    """(file, index) → pfn: address_space->i_pages."""
    disk_index: Table[tuple[str, int, int], int] = Table("disk_index", tuple[str, int, int], int, derived=True)
    """Which indices of a file have a block on disk."""
    disk: Table[tuple[str, int], int] = Table("disk", tuple[str, int], int, indexed=disk_index)
    """(file, index) → the byte that stands on disk, for files that have one."""
    swap_slots: Table[int, SwapSlot] = Table("swap_slots", int, SwapSlot)
    swapped_index: Table[tuple[str, int, int], int] = Table("swapped_index", tuple[str, int, int], int, derived=True)
    """Which indices of a shmem file are swapped out."""
    swapped: Table[tuple[str, int], int] = Table("swapped", tuple[str, int], int, indexed=swapped_index)
    """(file, index) → the swap slot that a shmem page was written to."""
    references: Table[str, Reference] = Table("references", str, Reference)
    devices: Table[str, Device] = Table("devices", str, Device)
    buffers: Table[str, Buffer] = Table("buffers", str, Buffer)
    dma_bufs: Table[str, DmaBuf] = Table("dma_bufs", str, DmaBuf)
    attachments: Table[tuple[str, str], Attachment] = Table("attachments", tuple[str, str], Attachment)
    """(dma-buf, device) → what the importer can do."""
    locks: Table[tuple[str, str], Lock] = Table("locks", tuple[str, str], Lock)
    """(kind, owner) → a sleeping lock that somebody holds, e.g. (`mmap_lock`, `p0`)."""
    tasks: Table[str, Task] = Table("tasks", str, Task)
    drivers: Table[Word, Word] = Table("drivers", Word, Word)
    """Name → the text of a driver that a script has brought along; those that come with the program are not stored."""
    userfaultfds: Table[str, Userfaultfd] = Table("userfaultfds", str, Userfaultfd)


MOST_UNHASHED: Final = 1024
"""Changes that a State carries unhashed at most: most States are passed through and never compared."""

DERIVED: Final = frozenset(table.name for table in TABLES if table.derived)


class Unhashed(msgspec.Struct, frozen=True, gc=False):
    """The journals that a State's hash does not know yet, newest first; States share the tail of this list."""

    journal: tuple[Change, ...]
    older: Unhashed | None
    changes: int
    """How many changes there are in this journal and the older ones."""


def _empty_maps() -> tuple[HashTrieMap[Any, Any], ...]:
    return tuple([HashTrieMap() for _ in TABLES])


class State(Tables, msgspec.Struct, gc=False, eq=False):
    """One state of the whole machine. Immutable; hash and equality cost O(changes) the first time, then O(1)."""

    maps: tuple[HashTrieMap[Any, Any], ...] = msgspec.field(default_factory=_empty_maps)
    _hash: int = 0
    _unhashed: Unhashed | None = None

    @property
    def fingerprint(self) -> int:
        """64-bit xor over the hashes of all entries: the same for the same memory, in every run of Python."""
        if self._unhashed is not None:
            self._hash ^= _changes_hash(self._unhashed)
            self._unhashed = None
        return self._hash

    def successor(self, maps: tuple[HashTrieMap[Any, Any], ...], journal: tuple[Change, ...]) -> State:
        """The State that differs from this one by `journal`; only a Transaction calls this."""
        older = self._unhashed
        if older is None or older.changes > MOST_UNHASHED:
            return State(maps, self.fingerprint, Unhashed(journal, None, len(journal)))
        return State(maps, self._hash, Unhashed(journal, older, older.changes + len(journal)))

    def __hash__(self) -> int:
        return self.fingerprint

    def __eq__(self, other: object) -> bool:
        """Equal memory. Decided by the 64-bit fingerprint: two of a billion states collide with a chance of 3 %."""
        return isinstance(other, State) and self.fingerprint == other.fingerprint

    def __ne__(self, other: object) -> bool:
        """Said as well: a Struct has a `!=` of its own, which asks whether the two are one object."""
        return not self == other

    def to_json(self) -> bytes:
        """The whole State as JSON, entries sorted: the same bytes for the same memory."""
        tables = {
            table.name: sorted(self.maps[number].items(), key=lambda entry: cast("Any", entry[0]))
            for number, table in enumerate(TABLES)
            if not table.derived and len(self.maps[number])
        }
        return msgspec.json.encode(tables)


def _changes_hash(unhashed: Unhashed) -> int:
    """What the changes do to the fingerprint: xor the oldest entries out and the newest in.

    What was written again and again in between, as a task is in every step, need not be hashed.
    """
    oldest: dict[tuple[str, Hashable], object] = {}
    newest: dict[tuple[str, Hashable], object] = {}
    rest: Unhashed | None = unhashed
    while rest is not None:
        for table, key, old, new in rest.journal:
            oldest[table, key] = old
            newest.setdefault((table, key), new)
        rest = rest.older
    total = 0
    for (table, key), old in oldest.items():
        if old is not None:
            total ^= entry_hash(table, key, old)
        new = newest[table, key]
        if new is not None:
            total ^= entry_hash(table, key, new)
    return total


class TableView(msgspec.Struct, Generic[K, V], gc=False, eq=False):
    """One table inside a Transaction: reads come from the State below unless written here.

    A Struct because a step makes several, and nothing else is made as fast.
    """

    table: TableType
    base: HashTrieMap[K, V]
    writes: dict[K, V | None]

    def get(self, key: K, /) -> V | None:
        """The record, or None."""
        return self.writes[key] if key in self.writes else self.base.get(key)

    def __getitem__(self, key: K, /) -> V:
        """The record; KeyError if there is none. Spelled out, like `get`: the two are most of a step's time."""
        value = self.writes[key] if key in self.writes else self.base.get(key)
        if value is None:
            raise KeyError((self.table.name, key))
        return value

    def __contains__(self, key: K, /) -> bool:
        return self.get(key) is not None

    def field(self, key: K, name: str) -> Any:
        """One field of a record, None without one. A table that notes what is read may note that field alone."""
        if key not in self.writes and (part := getattr(self.base, "part", None)) is not None:
            return part(key, name)
        record = self.get(key)
        return None if record is None else getattr(record, name)

    def all_keys(self) -> list[K]:
        """Every key, sorted: for small tables only."""
        kept = {key for key in self.base if key not in self.writes}
        kept.update(key for key, value in self.writes.items() if value is not None)
        return sorted(cast("Any", kept))

    def items(self) -> list[tuple[K, V]]:
        """Every entry, sorted by key: for small tables only."""
        merged: dict[K, V | None] = {**dict(self.base.items()), **self.writes}
        return sorted(
            ((key, value) for key, value in merged.items() if value is not None), key=lambda e: cast("Any", e[0])
        )

    def __setitem__(self, key: K, value: V) -> None:
        self.writes[key] = value

    def __delitem__(self, key: K) -> None:
        self.writes[key] = None

    def update(self, key: K, **fields: object) -> V:
        """Replace the named fields of an existing record; returns the new record."""
        record: Any = self[key]
        changed: Any  # as by `replaced`, without one more call in every step
        changed = replace(record, **fields) if isinstance(record, msgspec.Struct) else record.with_fields(fields)
        value: V = changed
        self[key] = value
        return value


def _owner_and_number(key: tuple[Any, ...]) -> tuple[Hashable, int]:
    """Split a key for the index: the last part is the number, what stands before it the owner."""
    return (key[0] if len(key) == 2 else key[:-1]), key[-1]


class DefaultView(TableView[K, V], gc=False, eq=False):
    """A table that has a record for every key: what is not stored is `missing`, as a struct page is there for good."""

    def __getitem__(self, key: K, /) -> V:
        value = self.writes[key] if key in self.writes else self.base.get(key)
        if value is None:
            missing: V = self.table.missing
            return missing
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.writes[key] = None if value == self.table.missing else value


class IndexedView(TableView[K, V], gc=False, eq=False):
    """A table whose keys are (owner, number), or (owner, level, number), and can be walked in order of the number."""

    bitmaps: ordered.Bitmaps

    def __setitem__(self, key: K, value: V) -> None:
        if self.get(key) is None:
            ordered.add(self.bitmaps, *_owner_and_number(cast("tuple[Any, ...]", key)))
        self.writes[key] = value

    def __delitem__(self, key: K) -> None:
        if self.get(key) is not None:
            ordered.discard(self.bitmaps, *_owner_and_number(cast("tuple[Any, ...]", key)))
        self.writes[key] = None


class Wait(NamedTuple):
    """A sleeping lock that a micro-step takes: held by somebody else against it, the step is not made."""

    lock: tuple[str, str]
    """Kind and owner; `cpu` and its number for a CPU with interrupts off."""
    write: bool
    """Taken for writing, so readers hold it up too."""


class Transaction(Tables, msgspec.Struct, dict=True, eq=False):
    """The writes of one micro-step over a State, with its journal.

    Its dict holds nothing but the views that are in use; Table puts them there.
    """

    base: State
    task: Task = Task()
    """The task whose step this is; an empty one outside the engine."""
    task_name: str = ""
    events: list[Event] = []
    waits: list[Wait] = []
    """The locks that it has taken, or waits for: the last one."""

    def emit(self, event: Event) -> None:
        """Report something that leaves no record in the State: an access, a splat, a line for the log."""
        self.events.append(event)

    def choose(self, free: Sequence[Pfn], fresh: Pfn | None) -> Pfn:
        """Which page an allocation gets that may get any: one of `free`, or `fresh` memory that was never used."""
        return min(free) if fresh is None else fresh

    def commit(self) -> tuple[State, tuple[Change, ...]]:
        """The next State, and what differs from the one below in the order it was first written."""
        maps: list[HashTrieMap[Any, Any]] | None = None
        changes: list[Change] = []
        for view in self.__dict__.values():
            if not view.writes:
                continue
            table = view.table
            before = after = view.base
            for key, new in view.writes.items():
                old = before.get(key)
                if old == new:
                    continue
                after = after.insert(key, new) if new is not None else after.remove(key)
                if not table.derived:
                    # Change(…), without the Python function that a NamedTuple has around it.
                    changes.append(tuple.__new__(Change, (table.name, key, old, new)))
            if after is not before:
                if maps is None:
                    maps = list(self.base.maps)
                maps[table.number] = after
        if maps is None:
            return self.base, ()
        journal = tuple(changes)
        return self.base.successor(tuple(maps), journal), journal

    @property
    def views(self) -> ValuesView[TableView[Any, Any]]:
        """The tables that this transaction has touched, in the order of the first touch."""
        return self.__dict__.values()


Choose = Callable[[Sequence[Pfn], Pfn | None], Pfn]
"""Picks a page for an allocation: see Transaction.choose."""


class ChoosingTransaction(Transaction, dict=True, eq=False, kw_only=True):
    """A step whose allocations get the pages that somebody picks."""

    picks: Choose

    def choose(self, free: Sequence[Pfn], fresh: Pfn | None) -> Pfn:
        """The page that was picked."""
        return self.picks(free, fresh)


Memory = State | Transaction
"""For helpers that only look: both give `.get(key)` on every table."""


def state_of(mem: Memory) -> State:
    """The State, or what a Transaction stands on: for tables that no micro-step writes, such as the settings."""
    return mem.base if isinstance(mem, Transaction) else mem
