"""The index of holders, kept up to date from the journal: O(changes) a step, whatever the size of the machine.

An Index depends on the State alone: however one got there, it equals the one built from scratch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from rpds import HashTrieMap

from model.invariants.call_holdings import OWNED, own_alike, owned_by, times_each, unlike
from model.invariants.grips import (
    OF_BUFFER_GRIPS,
    Grip,
    Place,
    buffer_grips,
    cache_grip,
    deposit_grip,
    pgd_grip,
    pte_grip,
    reference_grips,
    table_grip,
)
from model.invariants.holders import (
    REFERENCE_KINDS,
    WEIGHTS,
    Held,
    HeldByKind,
    Holder,
    HolderKind,
    Tally,
    added,
    large_weight,
    members,
    removed,
)
from model.memory.buffer_records import Buffer
from model.memory.flags import PG_HEAD
from model.memory.record_base import differ
from model.memory.records import Cpu, Frame, Lock, Reference, TlbEntry
from model.memory.state import Change
from model.memory.tasks import FlushOwed, Locals, Task

LockKey = tuple[str, str]
"""A lock: (kind, owner). A CPU with interrupts off counts as one: (`cpu`, its number)."""


class LargeTally(NamedTuple):
    """What the holders of all pages of a large folio add up to."""

    order: int
    tally: Tally = Tally()


class Index(NamedTuple):
    """Who holds what, in one State. What it keeps is keyed by what it is about, so that a step reads what it concerns.

    Two steps that have no entry in common, here or in the State, do not notice each other.
    """

    held: HashTrieMap[int, Held] = HashTrieMap()
    """pfn → whoever holds it or has it mapped; without TLBs, which add nothing to any count."""
    watched: HashTrieMap[Place, tuple[Holder, ...]] = HashTrieMap()
    """Virtual page → the references taken there and the TLB entries of it, sorted."""
    cached: HashTrieMap[int, tuple[Holder, ...]] = HashTrieMap()
    """pfn → the TLB entries that lead to it, sorted."""
    owed: HashTrieMap[str, tuple[tuple[str, FlushOwed], ...]] = HashTrieMap()
    """Address space → the flushes that are still to come, each with the task that owes it; sorted."""
    kept: HashTrieMap[str, tuple[LockKey, ...]] = HashTrieMap()
    """Task → the locks that it holds, and the CPUs on which it has interrupts off; sorted."""
    large: HashTrieMap[int, LargeTally] = HashTrieMap()
    """Head of a large folio → what the holders of its pages add up to: its counts are those of all of them."""

    @property
    def pfns(self) -> set[int]:
        """Every frame that has holders, or that a TLB leads to. O(all of them)."""
        return {*self.held, *self.cached}

    def holders(self, pfn: int) -> Held:
        """Everybody who points at a frame, TLBs too."""
        held = self.held.get(pfn, ())
        cached = self.cached.get(pfn, ())
        if cached and isinstance(held, HeldByKind):
            held = tuple(sorted(held))
        for holder in cached:
            held = added(held, holder)
        return held


def head_among(large: HashTrieMap[int, LargeTally], pfn: int, orders: tuple[int, ...]) -> int | None:
    """The head of the one among these folios that a page belongs to, or None; `orders` are those that there can be."""
    for order in orders:
        head = pfn >> order << order
        found = large.get(head)
        if found is not None and pfn - head < 1 << found.order:
            return head
    return None


def order_of(frame: Frame | None) -> int:
    """The order of a large folio; 0 for whatever is none."""
    return frame.order if frame is not None and frame.flags & PG_HEAD else 0


def order_changed(old: Frame | None, new: Frame | None) -> bool:
    """Whether a large folio has come or gone, or has become smaller; looks at no fields that have not changed."""
    if old is not None and new is not None and not differ(old, new, "flags") and not differ(old, new, "order"):
        return False
    return order_of(old) != order_of(new)


class Draft:
    """The changes of one step on their way into an Index."""

    __slots__ = (
        "base",
        "cached",
        "came_or_went",
        "held",
        "kept",
        "kinds",
        "large",
        "locks",
        "made",
        "orders",
        "owed",
        "places",
        "tallies",
        "watched",
    )

    def __init__(self, base: Index, orders: tuple[int, ...]) -> None:
        self.base = base
        self.orders = orders
        """Of large folios, those that this machine can have (large_orders)."""
        self.kinds: dict[int, set[HolderKind]] = {}
        """Frame → the kinds of holders that have come or gone …"""
        self.tallies: dict[int, Tally] = {}
        """… and what they add up to, those that have gone as less."""
        self.cached: dict[int, tuple[Holder, ...]] = {}
        self.owed: dict[str, tuple[tuple[str, FlushOwed], ...]] = {}
        """Address spaces in which a flush has become due, or has been done."""
        self.kept: dict[str, tuple[LockKey, ...]] = {}
        self.locks: dict[LockKey, tuple[str, ...]] = {}
        """Locks that have changed hands → who has come."""
        self.came_or_went: set[str] = set()
        """Tasks that have begun or ended."""
        self.large: dict[int, LargeTally] = {}
        """Large folios whose holders have changed."""
        self.made: dict[int, int] = {}
        """Large folios that have come, with their order, or gone (0)."""
        self.held: dict[int, Held] = {}
        """Frames whose holders have changed; the checker must look at them again."""
        self.watched: dict[Place, tuple[Holder, ...]] = {}
        self.places: set[Place] = set()
        """Virtual pages whose translation has changed, in a page table or in a TLB."""

    def entry(self, table: Any, key: Any) -> Any:
        """An entry of the base for somebody who adds or takes away his own, and looks at no others."""
        return table.get(key, ())

    # -- one holder ------------------------------------------------------------------------

    def hold(self, pfn: int, holder: Holder) -> None:
        """`holder` now points at the frame."""
        held = self.held.get(pfn)
        self.held[pfn] = added(self.entry(self.base.held, pfn) if held is None else held, holder)
        self._count(pfn, holder, 1)

    def drop(self, pfn: int, holder: Holder) -> None:
        """`holder` points at the frame no longer."""
        held = self.held.get(pfn)
        self.held[pfn] = removed(self.entry(self.base.held, pfn) if held is None else held, holder)
        self._count(pfn, holder, -1)

    def _count(self, pfn: int, holder: Holder, times: int) -> None:
        self.kinds.setdefault(pfn, set()).add(holder.kind)
        self.tallies[pfn] = self.tallies.get(pfn, NOTHING).plus(WEIGHTS[holder.kind], times)
        head = head_among(self.base.large, pfn, self.orders)
        if head is not None:  # the holders of its pages count for the folio
            order, so_far = self.large.get(head) or self.base.large[head]
            self.large[head] = LargeTally(order, so_far.plus(large_weight(holder, order), times))

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
            watchers = self.entry(self.base.watched, place)
        if on:
            self.watched[place] = tuple(sorted((*watchers, holder)))
        else:
            self.watched[place] = tuple(other for other in watchers if other != holder)
        if holder.kind not in REFERENCE_KINDS:
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
            case "frames" if order_changed(old, new):
                self.made[key] = order_of(new)
            case "deposits":
                self._move(deposit_grip(key, old), deposit_grip(key, new))
            case "processes":
                self._move(pgd_grip(key, old), pgd_grip(key, new))
            case "page_cache":
                self._move(cache_grip(key, old), cache_grip(key, new))
            case "references":
                self._references(key, old, new)
            case "buffers":
                self._buffer(key, old, new)
            case "tlbs":
                self._tlb(key, old or (), new or ())
            case "locks":
                self._lock(key, lock_holders(old), lock_holders(new))
            case "cpus":
                self._lock(("cpu", str(key)), irqs_off(old), irqs_off(new))
            case "rcu":
                self._rcu(key, old or (), new or ())

    def _buffer(self, name: str, old: Buffer | None, new: Buffer | None) -> None:
        if old is not None and new is not None and not any(differ(old, new, field) for field in OF_BUFFER_GRIPS):
            return
        for pfn, holder in buffer_grips(name, old):
            self.drop(pfn, holder)
        for pfn, holder in buffer_grips(name, new):
            self.hold(pfn, holder)

    def _rcu(self, cpu: int, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        for pfn in before:
            self.drop(pfn, Holder("rcu", "", cpu))
        for pfn in after:
            self.hold(pfn, Holder("rcu", "", cpu))

    def _lock(self, lock: LockKey, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        came = tuple(task for task in after if task not in before)
        gone = [task for task in before if task not in after]
        if came or gone:
            self.locks[lock] = came
        for task in (*came, *gone):
            kept = self.kept.get(task)
            kept = self.entry(self.base.kept, task) if kept is None else kept
            at = bisect_left(kept, lock)  # 512 pages of a folio are locked one after the other: nothing is sorted anew
            has = at < len(kept) and kept[at] == lock
            self.kept[task] = (*kept[:at], *((lock,) if task in came else ()), *kept[at + has :])

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
            self._cached(gone.pte.pfn, holder, on=False)
            self.watch((gone.process, gone.vpn), holder, on=False)
        for fresh in after - before:
            holder = Holder("tlb", fresh.process, fresh.vpn, cpu)
            self._cached(fresh.pte.pfn, holder, on=True)
            self.watch((fresh.process, fresh.vpn), holder, on=True)

    def _cached(self, pfn: int, holder: Holder, *, on: bool) -> None:
        cached = self.cached.get(pfn)
        cached = self.entry(self.base.cached, pfn) if cached is None else cached
        rest = (other for other in cached if other != holder)
        self.cached[pfn] = tuple(sorted((*rest, holder) if on else rest))

    def task(self, name: str, old: Task | None, new: Task | None) -> None:
        """Follow what a task in flight owns and owes."""
        if old is None or new is None:
            self.came_or_went.add(name)
        before, after = old.stack if old else (), new.stack if new else ()
        gone, come = unlike(before, after)
        if own_alike(gone, come):
            return
        self._flushes(name, gone, come)
        alone = len(gone) == len(come) == 1
        for kind, field in OWNED.items():
            # A step that leaves a field alone leaves the same object in it.
            if alone and getattr(gone[0], field) is getattr(come[0], field):
                continue
            if owned_by(gone, field) != owned_by(come, field):
                self._owned(kind, name, times_each(owned_by(before, field)), times_each(owned_by(after, field)))

    def _flushes(self, task: str, gone: tuple[Locals, ...], come: tuple[Locals, ...]) -> None:
        """Follow which flushes are owed by the calls that have left a task's stack, and by those that have come."""
        before = [owed for call in gone if (owed := call.owes_flush()) is not None]
        after = [owed for call in come if (owed := call.owes_flush()) is not None]
        if before == after:
            return
        for mm in {owed.mm for owed in (*before, *after)}:
            owing = self.owed.get(mm)
            left = list(self.entry(self.base.owed, mm) if owing is None else owing)
            for owed in before:
                if owed.mm == mm:
                    left.remove((task, owed))
            left += [(task, owed) for owed in after if owed.mm == mm]
            self.owed[mm] = tuple(sorted(left))

    def _owned(self, kind: HolderKind, task: str, before: dict[int, int], after: dict[int, int]) -> None:
        for pfn in before.keys() | after.keys():
            was, now = before.get(pfn, 0), after.get(pfn, 0)
            for number in range(now, was):
                self.drop(pfn, Holder(kind, task, number))
            for number in range(was, now):
                self.hold(pfn, Holder(kind, task, number))

    @property
    def idle(self) -> bool:
        """Whether no task has come or gone, and no translation has changed."""
        return not self.came_or_went and not self.places

    def commit(self) -> Index:
        """The Index with all of it."""
        changed: tuple[dict[Any, Any], ...] = (self.held, self.watched, self.cached, self.owed, self.kept, self.large)
        if not any(changed) and not self.made:
            return self.base
        tables: list[Any] = [self.after(old, new) if new else old for old, new in zip(self.base, changed, strict=True)]
        index = Index(*tables)
        if not self.made:
            return index
        large = index.large
        for head, order in self.made.items():
            large = large.insert(head, weighed_anew(index.held, head, order)) if order else large.discard(head)
        return index._replace(large=large)

    def after(self, entries: Any, changed: dict[Any, Any]) -> Any:
        """The entries of a table after some have changed; an empty one is none."""
        for key, value in changed.items():
            entries = entries.insert(key, value) if value else entries.discard(key)
        return entries

    def references_of(self, pfns: Iterable[int]) -> set[tuple[str, int]]:
        """Which pages of which references hold one of the frames: (reference, page)."""
        found: set[tuple[str, int]] = set()
        for pfn in pfns:
            before = self.base.held.get(pfn, ())
            held = self.held.get(pfn, before)
            found.update((holder.owner, holder.number) for holder in members(held, REFERENCE_KINDS))
        return found


def weighed_anew(held: HashTrieMap[int, Held], head: int, order: int) -> LargeTally:
    """What the holders of the pages of a new folio add up to: a few of its pages may have had some before."""
    total = Tally()
    for pfn in range(head, head + (1 << order)):
        for holder in members(held.get(pfn, ()) or ()):
            total = total.plus(large_weight(holder, order))
    return LargeTally(order, total)


def lock_holders(lock: Lock | None) -> tuple[str, ...]:
    """The tasks that hold a lock."""
    return () if lock is None else (lock.writer,) if lock.writer else lock.readers


def irqs_off(cpu: Cpu | None) -> tuple[str, ...]:
    """The task that has interrupts off on a CPU, if any."""
    return (cpu.irqs_off_by,) if cpu is not None and cpu.irqs_off_by else ()


NOTHING: Final = Tally()
