"""Whether harm can be reached with few pre-emptions: the fast search, for thousands of scenes one after the other.

It asks less than `fewest_preemptions`, so it remembers less: tasks run until they wait or end, in one loop, and at each
step it is noted that they might have been preempted there. A command is started where its first step comes next. To
start it earlier makes no difference, as long as commands name pages by number: nobody looks at a task that has not
moved but whoever waits for all tasks of a process, and he may as well go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, cast

from model.search.bfs import Property, Search, worst_first
from model.search.packed import Component
from model.search.paths import Path, path_of, turned
from model.search.transition_cache import Actor, Properties


class Trail(NamedTuple):
    """How a place was reached: an actor made so many moves in a row, behind another trail."""

    before: Trail | None
    actor: Actor
    moves: int


class TaskRow(NamedTuple):
    """A task and what is asked of it at every place: the inner loops run over these."""

    task: Actor
    control: Component
    idle: int
    seen: set[int]
    """The packed states from which it has run on."""


class Harm(NamedTuple):
    """What was found, and the way into it."""

    path: Path
    kind: Property


class FewSwitches:
    """A search of all schedules with at most so many pre-emptions, to the first harm.

    Up to `least` pre-emptions it goes on to `most_places`; beyond that only while there are no more than `most_beyond`
    places.
    """

    def __init__(
        self,
        search: Search,
        wanted: Callable[[Property], bool],
        most_preemptions: int,
        most_places: int,
        most_beyond: int | None = None,
        least: int = 1,
    ) -> None:
        self.search: Final = search
        self.cache: Final = search.cache
        assert not self.cache.choosing, "the allocations of this machine are open"
        self.wanted: Final = wanted
        self.most_preemptions: Final = most_preemptions
        self.most_places: Final = most_places
        self.most_beyond: Final = most_places if most_beyond is None else most_beyond
        self.least: Final = least
        self.rows: Final = [TaskRow(task, task.control, task.idle, set()) for task in self.cache.threads]
        self.row_of: Final = {row.task: row for row in self.rows}
        self.proved = -1
        """Every schedule with up to so many pre-emptions was searched; -1: not even all without one."""
        self.places = 0
        """How many packed states were looked at, told apart by who runs."""
        self.stuck: Path | None = None
        """A way to where every task waits for another, or for what never comes."""
        self._harm: Harm | None = None
        self._due: list[tuple[TaskRow, int, Trail | None]] = []
        """What is to run before anybody is preempted once more: a task, from a packed state on."""
        self._preempted: list[tuple[TaskRow, int, int, Trail | None]] = []
        """Where tasks might have been preempted on the way, after so many moves: others run from there later."""

    @property
    def complete(self) -> bool:
        """False: there were more places than allowed."""
        return self.proved >= self.most_preemptions

    def run(self) -> Harm | None:
        """Search; the harm that takes the fewest pre-emptions, or None."""
        self._others(None, 0, None)
        for preemptions in range(self.most_preemptions + 1):
            most = self.most_places if preemptions <= self.least else self.most_beyond
            last = preemptions == self.most_preemptions
            waiting, self._preempted = self._preempted, []
            while self._due or waiting:
                if self.places > most:
                    return None
                if not self._due:
                    self._preempt(*waiting.pop())
                    continue
                self._go(*self._due.pop(), preemptible=not last)
                if self._harm is not None:
                    return self._harm
            self.proved = preemptions
        return None

    def _go(self, row: TaskRow, packed: int, trail: Trail | None, *, preemptible: bool) -> None:
        """Let a task run until it waits or ends; then others go on."""
        task, control, idle, seen = row
        cells = task.cells
        moves = 0
        while packed not in seen:
            seen.add(packed)
            at = packed & control.mask
            if at == idle:
                break
            cell = cells.get(at)
            effect = cell.effects.get(packed & cell.mask) if cell is not None else None
            if effect is None:
                effect = self.cache.learn(task, packed)
            if not effect:
                break
            if effect.__class__ is not int:
                turned_over, kinds = cast("tuple[int, Properties]", effect)
                if bad := sorted(filter(self.wanted, kinds), key=worst_first):
                    self._harm = Harm(self._path(Trail(trail, task, moves + 1)), bad[0])
                    return
                effect = turned_over
            if moves and preemptible:
                self._preempted.append((row, packed, moves, trail))
            packed ^= effect
            moves += 1
        else:
            self.places += moves
            return
        self.places += moves + 1
        self._others(row, packed, Trail(trail, task, moves) if moves else trail)

    def _preempt(self, running: TaskRow, packed: int, moves: int, trail: Trail | None) -> None:
        """Whoever else can move where a task might have been preempted is to run from there."""
        found = [*self._movers(running, packed)]
        if found:
            self._run(found, Trail(trail, running.task, moves))

    def _others(self, running: TaskRow | None, packed: int, trail: Trail | None) -> None:
        """Whoever else can move from a state is to run from there. Nobody can, and somebody waits: they are stuck."""
        self._run(self._movers(running, packed), trail)
        if self.stuck is None and self._waits(packed) and not self._anybody(packed):
            self.stuck = self._path(trail)

    def _run(self, found: Iterable[tuple[TaskRow, int, Actor | None]], trail: Trail | None) -> None:
        for row, packed, starter in found:
            self._due.append((row, packed, Trail(trail, starter, 1) if starter is not None else trail))

    def _movers(self, running: TaskRow | None, packed: int) -> Iterator[tuple[TaskRow, int, Actor | None]]:
        """Every other task that can make a step and has not run from here, and every command that can be started."""
        effect_of = self.cache.effect
        for row in self.rows:
            task, control, idle, seen = row
            if packed & control.mask != idle and row is not running and packed not in seen and effect_of(task, packed):
                yield row, packed, None
        for starter in self.cache.starters:
            if packed & starter.control.mask != starter.idle and (effect := effect_of(starter, packed)):
                turned_over = turned(effect)
                row = next(row for row in self.rows if turned_over & row.control.mask)
                if row is not running and packed ^ turned_over not in row.seen:
                    yield row, packed ^ turned_over, starter

    def _waits(self, packed: int) -> bool:
        """Whether some task has not ended."""
        return any(packed & row.control.mask != row.idle for row in self.rows)

    def _anybody(self, packed: int) -> bool:
        """Whether some task can make a step, or some command be started."""
        return any(self.cache.effect(actor, packed) for actor in (*self.cache.threads, *self.cache.starters))

    def _path(self, trail: Trail | None) -> Path:
        """A trail as a way from the start."""
        actors: list[Actor] = []
        while trail is not None:
            actors += [trail.actor] * trail.moves
            trail = trail.before
        return path_of(self.search, actors[::-1])
