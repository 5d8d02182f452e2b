"""Locks that the operations of a driver take in different orders, so that two at once can wait for each other.

An operation that waits for a lock while it holds another one makes an edge between the two. A circle of edges is a
deadlock, unless somebody on it cannot be there at the same time: all read, or a lock that is held as well keeps them
apart, or the buffer would have to be in two states.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from model.driver_files.check_paths import DriverWay
from model.driver_files.findings import DriverFault, error
from model.driver_files.records import DriverLine, KernelDriver

FAULT: Final = "->fault"


class LockEdge(NamedTuple):
    """Somebody waits for a lock and holds another one."""

    who: str
    """The operation."""
    held: str
    held_read: bool
    wanted: str
    wanted_read: bool
    also: tuple[tuple[str, bool], ...] = ()
    """(lock, whether for reading) of what it holds besides."""
    known: tuple[tuple[str, bool], ...] = ()
    """What it has found out about the buffer's states."""
    step: DriverLine | None = None
    """Where it waits; None: in ->fault."""

    @property
    def text(self) -> str:
        """The edge as a clause."""
        where = f" (line {self.step.line})" if self.step is not None else ""
        return f"{self.who if self.step is None else f'`{self.who}`'}{where} takes `{self.wanted}` under `{self.held}`"

    def blocks(self, other: "LockEdge") -> bool:
        """Whether the other one waits for the lock that this one holds."""
        return self.held == other.wanted and not (self.held_read and other.wanted_read)

    def together_with(self, other: "LockEdge") -> bool:
        """Whether both can wait at the same time."""
        apart = any(lock == also and not (read and shared) for lock, read in self.also for also, shared in other.also)
        known = dict(self.known)
        return not apart and all(known.get(state, value) == value for state, value in other.known)


def waits_under(who: str, walk: DriverWay, step: DriverLine) -> Iterator[LockEdge]:
    """The edges of a step that waits for a lock; none of one that only tries."""
    if step.has("try"):
        return
    for lock, read in walk.held:
        also = tuple(pair for pair in walk.held if pair[0] != lock)
        yield LockEdge(who, lock, read, step.word_at("LOCK"), step.has("read"), also, walk.known, step)


def waits_in_fault(driver: KernelDriver) -> Iterator[LockEdge]:
    """Those of ->fault, which takes the driver's locks one after the other."""
    held: list[tuple[str, bool]] = []
    for lock, how in driver.fault_locks:
        read = how == "read"
        for other, shared in held if how != "trylock-retry" else ():
            also = tuple(pair for pair in held if pair[0] != other)
            yield LockEdge(FAULT, other, shared, lock, read, also)
        held.append((lock, read))


def inversions(edges: list[LockEdge]) -> Iterator[DriverFault]:
    """Each set of locks that somebody takes in a circle, told once: at the last step of it in the file."""
    told: set[frozenset[str]] = set()
    for first in edges:
        for circle in _circles([first], edges):
            locks = frozenset(edge.held for edge in circle)
            placed = sorted((edge.step.line, edge.step.column, edge) for edge in circle if edge.step is not None)
            if locks in told or not placed:
                continue
            told.add(locks)
            last = placed[-1][2]
            at = circle.index(last)
            others = "; ".join(edge.text for edge in (*circle[at + 1 :], *circle[:at]))
            assert last.step is not None
            what = (
                f"`{last.who}` takes `{last.wanted}` under `{last.held}`; {others}: at once, they wait for each other"
            )
            yield error(last.step, "lock-order", what)


def _circles(way: list[LockEdge], edges: list[LockEdge]) -> Iterator[list[LockEdge]]:
    """Every circle that begins with some edges, each of which waits for a lock that the next one holds."""
    last = way[-1]
    if len(way) > 1 and way[0].blocks(last):
        yield way
        return
    for edge in edges:
        new = edge.held not in {one.held for one in way}
        if new and edge.blocks(last) and all(edge.together_with(one) for one in way):
            yield from _circles([*way, edge], edges)
