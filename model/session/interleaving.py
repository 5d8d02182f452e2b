"""Time and space: who does what when, and only what two of them touch and one of them writes.

A stretch of history is a row of micro-steps, each in the lane of its task (a plain command is a task of its own here).
Beside the lanes stand the *shared entries*: those that at least two lanes touch and at least one writes. A lane
*trusts* an entry from its last look at it until it looks again, or until what it took on the strength of that look is
put back. Where somebody else writes the entry in between, the trust is broken, and every use after that is a stale one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, Final, NamedTuple

from model.invariants.violation import Violation
from model.memory.records import Reference
from model.memory.state import Change, State
from model.session.step_reads import StateEntry, reads_of
from model.session.timeline import Node, Timeline

TELLING: Final = ("ptes", "frames", "content", "buffers", "page_cache", "tlbs", "references", "locks")
"""The tables whose entries can stand in space, the most telling ones first."""
LOOKS: Final = frozenset({"ptes", "tlbs", "page_cache", "references", "buffers"})
"""A read of one of these is a look at something that may be changed by others; frames and bytes are read in passing."""


class Lane(NamedTuple):
    """A task, or a plain command."""

    name: str
    """The task's name; `main` for a plain command."""
    command: str
    cpu: int
    """-1 for a device."""


class LaneStep(NamedTuple):
    """One micro-step in its lane."""

    lane: int
    procedure: str
    step: str
    reads: frozenset[StateEntry]
    writes: dict[StateEntry, Change]
    violations: tuple[Violation, ...]
    state: State
    """The machine after it."""
    ends: bool
    """The call ends with it."""
    node: int = -1
    """The node of the timeline that it led to; -1: it is on a path of a search."""

    def touches(self, entry: StateEntry) -> bool:
        """Whether the step reads or writes it."""
        return entry in self.reads or entry in self.writes


class Trust(NamedTuple):
    """What a lane believes of an entry, from its last look on."""

    lane: int
    entry: StateEntry
    since: int
    """The number of the step that looked last."""
    until: int
    """The number of the step that looks again, gives back, or ends the lane; the last one if it is never given up."""
    broken: int
    """The number of the first step of another lane that wrote it in between."""
    reference: str = ""
    """What was taken on the strength of the look; empty: nothing but the lane's own going on."""
    stale: tuple[int, ...] = ()
    """The steps, of any lane, that use it after it was broken."""


class SharedEntry(NamedTuple):
    """An entry that stands in space, with neighbours that are touched alike."""

    entry: StateEntry
    size: int
    """How many entries it stands for, itself included: the eight PTEs of a buffer are one."""
    lanes: int
    """How many lanes touch it."""
    before: Any
    """Its value before the first step."""


def tells(step: LaneStep, entries: Iterable[StateEntry]) -> bool:
    """Whether a step has something to do with these entries: it writes one, looks at one, or breaks a rule."""
    if step.violations:
        return True
    return any(entry in step.writes or (entry.table in LOOKS and entry in step.reads) for entry in entries)


class Interleaving(NamedTuple):
    """A stretch of history in time and space."""

    lanes: tuple[Lane, ...]
    steps: tuple[LaneStep, ...]
    shared: tuple[SharedEntry, ...]
    """The most telling ones first."""
    trusts: tuple[Trust, ...]
    """Broken ones only: a trust that nobody breaks tells nothing."""


def interleave(lanes: Sequence[Lane], steps: Sequence[LaneStep], start: State) -> Interleaving:
    """Find what is shared, and which trust is broken."""
    shared = tuple(_shared(steps, start))
    kept = {one.entry for one in shared}
    trusts = tuple(trust for trust in (*_looks(steps, kept), *_references(steps)) if trust.entry in kept)
    return Interleaving(tuple(lanes), tuple(steps), tuple(_ranked(shared, trusts)), tuple(dict.fromkeys(trusts)))


def _ranked(shared: Sequence[SharedEntry], trusts: Sequence[Trust]) -> list[SharedEntry]:
    """First the most telling entry of each table, then the second of each: few have room, and one kind tells little."""
    trusted = {trust.entry for trust in trusts}
    ordered = sorted(shared, key=lambda one: (one.entry not in trusted, -one.lanes))
    place = {one: sum(other.entry.table == one.entry.table for other in ordered[:at]) for at, one in enumerate(ordered)}
    return sorted(ordered, key=lambda one: (place[one], TELLING.index(one.entry.table)))


# -- space -------------------------------------------------------------------------------------


def _shared(steps: Sequence[LaneStep], start: State) -> Iterator[SharedEntry]:
    """The entries that two lanes touch and one writes; neighbours that the lanes touch in the same order as one."""
    tables = TELLING if _overlap(steps) else TELLING[: TELLING.index("locks")]
    touched: dict[StateEntry, list[tuple[int, bool]]] = {}
    for step in steps:
        for entry in {*step.reads, *step.writes}:
            if entry.table in tables:
                touches = touched.setdefault(entry, [])
                touch = step.lane, entry in step.writes
                if touch not in touches[-1:]:
                    touches.append(touch)
    alike: dict[tuple[str, tuple[tuple[int, bool], ...]], list[StateEntry]] = {}
    for entry, touches in touched.items():
        if len({lane for lane, _ in touches}) > 1 and any(writes for _, writes in touches):
            alike.setdefault((entry.table, tuple(touches)), []).append(entry)
    groups = [sorted(group, key=lambda entry: _sortable(entry.key)) for group in alike.values()]
    for group in sorted(groups, key=lambda group: (TELLING.index(group[0].table), _sortable(group[0].key))):
        lanes = {lane for lane, _ in touched[group[0]]}
        yield SharedEntry(group[0], len(group), len(lanes), getattr(start, group[0].table).get(group[0].key))


def _overlap(steps: Sequence[LaneStep]) -> bool:
    """Whether some lane moves while another is under way: else a lock keeps nobody waiting."""
    turns = [lane for lane, _ in groupby(step.lane for step in steps)]
    return len(turns) > len(set(turns))


def _sortable(key: object) -> tuple[tuple[int, int, str], ...]:
    """Keys of any kind in one order: numbers as numbers, before names."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in parts)


# -- time --------------------------------------------------------------------------------------


def _looks(steps: Sequence[LaneStep], kept: set[StateEntry]) -> Iterator[Trust]:
    """Between a lane's last look at an entry and the next one, or its end, somebody else writes the entry."""
    for lane in dict.fromkeys(step.lane for step in steps):
        own = [number for number, step in enumerate(steps) if step.lane == lane]
        for entry in kept:
            if entry.table not in LOOKS - {"references"}:
                continue
            looks = [number for number in own if steps[number].touches(entry)]
            if not looks:
                continue
            for since, until in zip(looks, [*looks[1:], own[-1]], strict=True):
                broken = _written(steps, entry, since, until, but=lane)
                if broken is not None:
                    again = until in looks
                    stale = tuple(
                        number for number in own if broken < number < until or (number == until and not again)
                    )
                    yield Trust(lane, entry, since, until, broken, "", stale)


def _references(steps: Sequence[LaneStep]) -> Iterator[Trust]:
    """A reference is taken after a look at an entry; the entry is written while the reference is held."""
    for made, step in enumerate(steps):
        for entry, change in step.writes.items():
            if entry.table != "references" or change.old is not None or not isinstance(change.new, Reference):
                continue
            given_back = next((n for n in range(made + 1, len(steps)) if _removes(steps[n], entry)), len(steps) - 1)
            for place in _places(change.new):
                looks = [n for n in range(made + 1) if steps[n].lane == step.lane and place in steps[n].reads]
                if not looks:
                    continue
                broken = _written(steps, place, looks[-1], given_back, but=step.lane)
                if broken is not None:
                    stale = tuple(n for n in range(broken + 1, given_back + 1) if _uses(steps[n], entry))
                    yield Trust(step.lane, place, looks[-1], given_back, broken, str(entry.key), stale)


def _places(reference: Reference) -> Iterator[StateEntry]:
    """The page-table entries that a reference was taken through."""
    for offset in range(max(1, len(reference.frames))):
        yield StateEntry("ptes", (reference.process, reference.vpn + offset))


def _uses(step: LaneStep, reference: StateEntry) -> bool:
    """Whether a step reads or writes the memory that a reference names."""
    return reference in step.reads and any(entry.table == "content" for entry in (*step.reads, *step.writes))


def _removes(step: LaneStep, entry: StateEntry) -> bool:
    change = step.writes.get(entry)
    return change is not None and change.new is None


def _written(steps: Sequence[LaneStep], entry: StateEntry, after: int, until: int, *, but: int) -> int | None:
    """The first step of another lane that writes an entry behind one step and not behind another."""
    for number in range(after + 1, until + 1):
        if steps[number].lane != but and entry in steps[number].writes:
            return number
    return None


# -- from a history ----------------------------------------------------------------------------


def of_timeline(timeline: Timeline, first: int, last: int) -> Interleaving:
    """The stretch of a timeline from behind node `first` to node `last`, which has `first` on its path.

    Raises ValueError if it has not.
    """
    path = timeline.path_to(timeline.nodes[last])
    numbers = [node.number for node in path]
    if first not in numbers:
        raise ValueError(f"node {first} is not on the way to node {last}")
    nodes = path[numbers.index(first) :]
    lanes: list[Lane] = []
    known: dict[str, int] = {}
    steps: list[LaneStep] = []
    for before, node in pairwise(nodes):
        if node.stepped is None:
            continue
        task = node.stepped.task
        if task not in known or (task == "main" and lanes[known[task]].command != node.command):
            record = before.state.tasks.get(task)
            known[task] = len(lanes)
            lanes.append(Lane(task, _command_of(path, task, node), record.cpu if record else -1))
        steps.append(_step(known[task], before, node))
        if node.stepped.result is not None:
            del known[task]
    return interleave(lanes, steps, nodes[0].state)


def _command_of(path: Iterable[Node], task: str, node: Node) -> str:
    """What a task was begun with; a plain command is its own."""
    prefix = f"begin {task} "
    begun = next((one.command.removeprefix(prefix) for one in path if one.command.startswith(prefix)), node.command)
    return begun.partition(" ")[2] if begun.startswith("cpu=") else begun


def _step(lane: int, before: Node, node: Node) -> LaneStep:
    stepped = node.stepped
    assert stepped is not None
    return LaneStep(
        lane,
        stepped.procedure,
        stepped.step,
        reads_of(before.state, stepped.task),
        {StateEntry(change.table, change.key): change for change in stepped.changes},
        node.new,
        node.state,
        stepped.result is not None,
        node.number,
    )


def recent(timeline: Timeline, most_lanes: int) -> int:
    """The node from which a stretch that ends here has at most so many lanes: where the earliest of them begins."""
    path = timeline.path_to(timeline.here)
    seen: list[tuple[str, str]] = []
    for node in reversed(path):
        if node.stepped is None:
            continue
        lane = node.stepped.task, node.command if node.stepped.task == "main" else ""
        if lane not in seen:
            seen.append(lane)
            if len(seen) > most_lanes:
                return int(node.number)
    return path[0].number
