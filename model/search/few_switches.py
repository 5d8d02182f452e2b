"""Whether harm can be reached with few pre-emptions: the fast search, for thousands of scenes one after the other.

It asks less than `fewest_preemptions`, so it remembers less: tasks run until they wait or end, in one loop, and at each
step it is noted that they might have been preempted there. A command is started where its first step comes next. To
start it earlier makes no difference, as long as commands name pages by number: nobody looks at a task that has not
moved but whoever waits for all tasks of a process, and he may as well go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from model.search.bfs import Property, Search, worst_first
from model.search.paths import Path, path_of, turned
from model.search.transition_cache import Actor


class Trail(NamedTuple):
    """How a place was reached: an actor made so many moves in a row, behind another trail."""

    before: Trail | None
    actor: Actor
    moves: int


class Run(NamedTuple):
    """A task that is to run from a packed state on."""

    task: Actor
    packed: int
    trail: Trail | None


class Harm(NamedTuple):
    """What was found, and the way into it."""

    path: Path
    kind: Property


class FewSwitches:
    """A search of all schedules with at most so many pre-emptions, to the first harm."""

    def __init__(
        self, search: Search, wanted: Callable[[Property], bool], most_preemptions: int, most_places: int
    ) -> None:
        self.search: Final = search
        self.cache: Final = search.cache
        assert not self.cache.choosing, "the allocations of this machine are open"
        self.wanted: Final = wanted
        self.most_preemptions: Final = most_preemptions
        self.most_places: Final = most_places
        self.seen: Final[dict[Actor, set[int]]] = {task: set() for task in self.cache.threads}
        """The packed states from which each task has run on."""
        self.complete = True
        """False: there were more places than allowed."""
        self.stuck: Path | None = None
        """A way to where every task waits for another, or for what never comes."""
        self._harm: Harm | None = None
        self._due: list[Run] = []
        """What is to run before anybody is preempted once more."""
        self._preempted: list[Run] = []
        """Where tasks might have been preempted on the way: others run from there in the next round."""

    @property
    def places(self) -> int:
        """How many packed states were looked at, told apart by who runs."""
        return sum(map(len, self.seen.values()))

    def run(self) -> Harm | None:
        """Search; the harm that takes the fewest pre-emptions, or None."""
        self._others(0, None, None)
        for preemptions in range(self.most_preemptions + 1):
            last = preemptions == self.most_preemptions
            while self._due:
                run = self._due.pop()
                self._go(run, preemptible=not last)
                if self._harm is not None:
                    return self._harm
                if self.places > self.most_places:
                    self.complete = False
                    return None
            waiting, self._preempted = self._preempted, []
            for run in waiting:
                self._others(run.packed, run.task, run.trail)
        return None

    def _go(self, run: Run, *, preemptible: bool) -> None:
        """Let a task run until it waits or ends; then others go on."""
        task, packed, trail = run
        cache, control, cells, idle, seen = self.cache, task.control, task.cells, task.idle, self.seen[task]
        moves = 0
        while packed not in seen:
            seen.add(packed)
            at = packed & control.mask
            if at == idle:
                break
            cell = cells.get(at)
            effect = cell.effects.get(packed & cell.mask) if cell is not None else None
            if effect is None:
                effect = cache.learn(task, packed)
            if not effect:
                break
            if not isinstance(effect, int):
                if kinds := sorted(filter(self.wanted, effect[1]), key=worst_first):
                    self._harm = Harm(self._path(Trail(trail, task, moves + 1)), kinds[0])
                    return
                effect = effect[0]
            if moves and preemptible:
                self._preempted.append(Run(task, packed, Trail(trail, task, moves)))
            packed ^= effect
            moves += 1
        else:
            return
        self._others(packed, task, Trail(trail, task, moves) if moves else trail)

    def _others(self, packed: int, task: Actor | None, trail: Trail | None) -> None:
        """Whoever else can move from a state is to run from there. Nobody can, and somebody waits: they are stuck."""
        nobody = True
        for run in self._movers(packed, trail):
            nobody = False
            if run.task is not task and run.packed not in self.seen[run.task]:
                self._due.append(run)
        if nobody and self.stuck is None and self._waits(packed):
            self.stuck = self._path(trail)

    def _movers(self, packed: int, trail: Trail | None) -> Iterator[Run]:
        """Every task that can make a step, and every command that can be started."""
        for task in self.cache.threads:
            if self.cache.effect(task, packed):
                yield Run(task, packed, trail)
        for starter in self.cache.starters:
            if effect := self.cache.effect(starter, packed):
                after = packed ^ turned(effect)
                turned_over = packed ^ after
                task = next(task for task in self.cache.threads if turned_over & task.control.mask)
                yield Run(task, after, Trail(trail, starter, 1))

    def _waits(self, packed: int) -> bool:
        """Whether some task has not ended."""
        return any(packed & task.control.mask != task.idle for task in self.cache.threads)

    def _path(self, trail: Trail | None) -> Path:
        """A trail as a way from the start."""
        actors: list[Actor] = []
        while trail is not None:
            actors += [trail.actor] * trail.moves
            trail = trail.before
        return path_of(self.search, actors[::-1])
