"""The search: every state that a scene can reach, level by level, so that what is found first is nearest.

A transition is one micro-step of a task, or the start of a permitted command. Distance counts micro-steps: starting
costs nothing, and happens before the level is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from model.invariants.violation import SEVERITIES, Severity
from model.script.moment import Moment
from model.search.final_states import FinalVerdict, judge_ends
from model.search.problem import SearchProblem
from model.search.symmetry import AsymmetryError, Image, Symmetry, symmetry_of
from model.search.table_growth import growth_ahead
from model.search.transition_cache import STATED, Actor, Effect, Properties, TransitionCache

MOST_STATES: Final = 1_000_000
"""States that a search visits at most unless told otherwise: less than a hundred megabytes."""

SAMPLE: Final = 1000
"""One in so many states has its remembered transitions run anew, as a guard."""

MOST_TRANSITIONS: Final = 256
"""Transitions of equal distance that are kept for one kind of violation; the best of them is told."""

Property = tuple[str, Severity]
"""A violation as far as the search tells them apart: invariant and severity."""


class Transition(NamedTuple):
    """A transition that violates a property."""

    packed: int
    """The state before it."""
    actor: Actor


class SearchProgress(NamedTuple):
    """How far a search is."""

    states: int
    depth: int
    frontier: int
    """States of this depth."""
    growth: int = 0
    """Bytes that its tables may take at once, besides what they take now, before it is asked again."""


def at_start(scene: SearchProblem, cache: TransitionCache) -> list[Property]:
    """What is broken before anything happens. Properties of the script that speak of what exists there are noted."""
    found: list[Property] = [
        (violation.invariant, violation.severity)
        for violation in scene.checker.violations
        if scene.whose is None or scene.whose.counts("", violation)
    ]
    here = Moment(scene.context.state, checker=scene.checker)
    for stated in cache.stated:
        broken = stated.is_broken(here)
        if broken is not None:
            cache.answered.add(stated.text)
        if broken:
            found.append((stated.text, STATED))
    return found


class Search:
    """A search under way, and what it has found. `run` does it."""

    def __init__(self, scene: SearchProblem, *, symmetry: bool = True, cache: TransitionCache | None = None) -> None:
        self.scene: Final = scene
        self.cache: Final = cache or TransitionCache(scene)
        self.symmetry: Final[Symmetry | None] = (
            symmetry_of(scene, self.cache) if symmetry and not scene.properties else None
        )
        """Which states count as the same; None: only equal ones. Properties use names, so where some are stated."""
        self.levels: list[list[int]] = [[0]]
        """The states by their distance from the start, each once."""
        self.seen: set[int] = {0}
        self.transitions = 0
        self.complete = False
        self.stuck: Transition | None = None
        """The first state found in which every task waits for another."""
        self.found: dict[Property, list[Transition]] = {}
        """The nearest transitions into each kind of violation."""
        self.distance: dict[Property, int] = {}
        """How many micro-steps they take, with the one that violates."""
        for prop in at_start(scene, self.cache):
            self.distance[prop] = 0
            self.found[prop] = []
        self._due = SAMPLE
        self._far: Callable[[SearchProgress], bool] = lambda _: True
        self._ended = False
        """The search was ended from outside."""

    def run(
        self,
        most_states: int = MOST_STATES,
        stop: Callable[[Property], bool] = lambda _: False,
        progress: Callable[[SearchProgress], bool] = lambda _: True,
    ) -> None:
        """Search until nothing new is reachable, `most_states` are known, or a violation for which `stop` holds is met.

        `progress` hears of every level, and of a large one more often; it ends the search by returning False.
        """
        self._far = progress
        self._due = min(self._due, most_states)
        while self.levels[-1]:
            if any(stop(prop) for prop in self.found):
                return
            level = self.levels[-1]
            if self.symmetry is not None:
                for packed in level[:: len(level) // self.symmetry.samples + 1]:
                    self.symmetry.check(packed)
            self._start_commands(level, most_states)
            if self._is_over(most_states):
                return
            following: list[int] = []
            self._step_tasks(level, following, most_states)
            self.levels.append(following)
            if self._is_over(most_states) or not progress(self.progressed(len(following))):
                return
        self.levels.pop()
        self.complete = not self.cache.left_out

    def _is_over(self, most_states: int) -> bool:
        """Whether the search must end, although there may be more states."""
        return len(self.seen) > most_states or self._ended

    @cached_property
    def final(self) -> dict[str, FinalVerdict]:
        """What became of the properties of the end, by their texts; asked when the search is over."""
        return judge_ends(self.cache, self.levels)

    def ends_badly(self, name: str, packed: int) -> bool:
        """Whether a state in which nothing more can happen breaks the property of the end with this text."""
        return name in self.final and packed in self.final[name].broken

    def progressed(self, frontier: int) -> SearchProgress:
        """How far it is, with so many states of the last depth."""
        growth = growth_ahead(self.seen, 2 * SAMPLE)
        return SearchProgress(len(self.seen), len(self.levels) - 1, frontier, growth)

    def _start_commands(self, level: list[int], most_states: int) -> None:
        """Add to a level what starting commands leads to: with many permissions that alone are very many states."""
        learn, seen, canonical = self.cache.learn, self.seen, self.canonical
        starters = [(actor.control, actor.idle, actor.cells, actor) for actor in self.cache.starters]
        for packed in level:
            for control, idle, cells, actor in starters:
                at = packed & control.mask
                if at == idle:
                    continue
                cell = cells.get(at)
                effect = cell.effects.get(packed & cell.mask) if cell is not None else None
                if effect is None:
                    effect = learn(actor, packed)
                if not effect:
                    continue
                after = packed ^ (effect if effect.__class__ is int else self._noted(effect, packed, actor, 0))
                self.transitions += 1
                if after not in seen and (after := canonical(after)) not in seen:
                    seen.add(after)
                    level.append(after)
            if len(seen) > self._due:
                self._due = min(len(seen) + SAMPLE, max(most_states, len(seen)))
                self._ended = not self._far(self.progressed(len(level)))
                if self._is_over(most_states):
                    return

    def _step_tasks(self, level: list[int], following: list[int], most_states: int) -> None:
        """One micro-step of every task in every state of a level. The inner loop of everything.

        Bits that are added meanwhile are 0 in all states of this level, so the masks of before still do.
        """
        learn, seen, symmetric, canonical = self.cache.learn, self.seen, self.symmetry is not None, self.canonical
        tasks = [(actor.control.mask, actor.idle, actor.cells, actor) for actor in self.cache.tasks]
        transitions = 0
        for packed in level:
            before = transitions
            waiting = None
            for control, idle, cells, actor in tasks:
                at = packed & control
                if at == idle:
                    continue
                cell = cells.get(at)
                effect = cell.effects.get(packed & cell.mask) if cell is not None else None
                if effect is None:
                    effect = learn(actor, packed)
                if effect.__class__ is not int:
                    effect = self._noted(effect, packed, actor, 1)
                if not effect:
                    waiting = actor
                    continue
                after = packed ^ effect
                transitions += 1
                if after not in seen:
                    if symmetric and (after := canonical(after)) in seen:
                        continue
                    seen.add(after)
                    following.append(after)
            if waiting is not None and before == transitions and self.stuck is None:
                self._note_stuck(packed, waiting)
            if len(seen) > self._due:
                self._due = min(len(seen) + SAMPLE, max(most_states, len(seen)))
                self.verify(packed)
                self._ended = not self._far(self.progressed(len(following)))
                if self._is_over(most_states):
                    break
        self.transitions += transitions

    def canonical(self, packed: int) -> int:
        """The state that stands for this one and all that count as the same."""
        return packed if self.symmetry is None else self.symmetry.canonical(packed)

    def stands_for(self, packed: int) -> tuple[int, Image | None]:
        """The canonical state, with the permutation of names that leads to it; None where it is the state itself."""
        return (packed, None) if self.symmetry is None else self.symmetry.standing_for(packed)

    def actors_along(self, path: Sequence[Transition]) -> list[Actor]:
        """Who moves on a path whose transitions are told of states that stand for others."""
        actors = [transition.actor for transition in path]
        return actors if self.symmetry is None else self.symmetry.actors_along(path)

    def _note_stuck(self, packed: int, waiting: Actor) -> None:
        """Every task waits; unless something can be started that might help, that is for ever."""
        if not any(self.cache.effect(actor, packed) for actor in self.cache.starters):
            self.stuck = Transition(packed, waiting)

    def _noted(self, effect: Effect, packed: int, actor: Actor, cost: int) -> int:
        """The bits that a transition turns over; what it violates is noted."""
        if isinstance(effect, int):
            return effect
        turned, properties = effect
        self._note(properties, Transition(packed, actor), len(self.levels) - 1 + cost)
        return turned

    def _note(self, properties: Properties, transition: Transition, distance: int) -> None:
        for prop in properties:
            known = self.found.setdefault(prop, [])
            if self.distance.setdefault(prop, distance) == distance and len(known) < MOST_TRANSITIONS:
                known.append(transition)

    def verify(self, packed: int) -> None:
        """Run the transitions out of a state anew, and compare; also with those of states that count as the same."""
        for actor in self.cache.tasks:
            if packed & actor.control.mask != actor.idle:
                remembered = self.cache.effect(actor, packed)
                run = self.cache.run(actor, packed)
                if run.effect != remembered:
                    raise AssertionError(f"{actor.name} does {run.effect}, but {remembered} is remembered")
        if self.symmetry is not None:
            self.symmetry.check(packed)


def worst_first(prop: Property) -> tuple[int, str]:
    """For sorting kinds of violations."""
    return -SEVERITIES.index(prop[1]), prop[0]


def explore(
    scene: SearchProblem,
    most_states: int = MOST_STATES,
    stop: Callable[[Property], bool] = lambda _: False,
    progress: Callable[[SearchProgress], bool] = lambda _: True,
    *,
    symmetry: bool = True,
    cache: TransitionCache | None = None,
) -> Search:
    """Search a scene; see `Search.run`. If its symmetry turns out to be none, it is searched without."""
    search = Search(scene, symmetry=symmetry, cache=cache)
    try:
        search.run(most_states, stop, progress)
    except AsymmetryError:
        return explore(scene, most_states, stop, progress, symmetry=False, cache=cache)
    return search
