"""The way into a violation that is easiest to follow: fewest pre-emptions first, then fewest steps.

A race that needs one badly timed interrupt says more than a shorter one that needs three. A pre-emption is a change
from a task that could have gone on; waiting and ending are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from model.search.bfs import SAMPLE, Property, Search, worst_first
from model.search.final_states import broken_at
from model.search.paths import Action, Path, action_of, path_of, turned
from model.search.transition_cache import STATED, Actor

MOST_PLACES: Final = 150_000
"""How many states, told apart by who moved last, are looked at before the search gives up."""

Place = tuple[int, Actor | None]
"""A packed state, and the task that has moved last if it can be preempted."""

Layer = dict[int, list[tuple[Place, tuple[Place, Actor] | None]]]
"""Places by the number of micro-steps that lead to them, each with the place before it and who moved."""


class BoundedSearch:
    """A search in layers: everything that can be reached without a pre-emption, then with one, and so on.

    It makes use of the transitions that another search remembers, or has not even begun to.
    """

    def __init__(
        self,
        search: Search,
        wanted: Callable[[Property], bool],
        most_preemptions: int | None = None,
        most_places: int = MOST_PLACES,
        progress: Callable[[int, int], bool] = lambda _, __: True,
    ) -> None:
        self.search = search
        self.wanted = wanted
        """It ends at the first violation of such a kind."""
        self.most_preemptions = most_preemptions
        """None: as many as there can be."""
        self.most_places = most_places
        self.progress = progress
        """Hears now and then of how many places there are, and of how many pre-emptions; ends the search with False."""
        self.proved = -1
        """Everything with so many pre-emptions has been searched."""
        self.whole = False
        """And there is nothing that takes more."""
        self.complete = True
        """False: there were more places than allowed. Else nothing wanted has fewer pre-emptions than were tried."""
        self.stuck = False
        """In some place every task waits for another, and nothing can be started."""
        self.broken: set[Property] = set()
        """Everything that is broken on the way, wanted or not."""
        self.before: dict[Place, tuple[Place, Actor] | None] = {(0, None): None}
        """Place → the place before it, and who moved."""
        self.settled: set[Place] = set()
        self._due = SAMPLE
        self.hits: dict[tuple[int, int], tuple[Place, Actor, Property]] = {}
        """(pre-emptions, steps) → a transition that violates."""
        self.nearest: dict[Property, tuple[tuple[int, int], Place, Actor | None]] = {}
        """Whatever is broken → its cost, and where; None where it is broken because nothing can happen there."""
        self.stuck_at: Place | None = None
        """Where every task waits for another, or for ever."""

    def run(self) -> tuple[Path, Property] | None:
        """The best way into what is wanted; None if there is none, or too many places to find it among."""
        layer: Layer = {0: [((0, None), None)]}
        preemptions = 0
        while layer and (self.most_preemptions is None or preemptions <= self.most_preemptions):
            following: Layer = {}
            while layer:
                steps = min(layer)
                if (preemptions, steps) in self.hits:
                    return self._path(preemptions, steps)
                for place, before in layer.pop(steps):
                    if place in self.settled:
                        continue
                    self.settled.add(place)
                    self.before[place] = before
                    self._expand(place, (preemptions, steps), layer, following)
                    if len(self.settled) > self.most_places or not self._goes_on(preemptions):
                        self.complete = False
                        return None
            self.proved = preemptions
            later = [steps for number, steps in self.hits if number == preemptions]
            if later:
                return self._path(preemptions, min(later))
            layer = following
            preemptions += 1
        self.whole = not layer
        return None

    def _goes_on(self, preemptions: int) -> bool:
        """Tell how far it is, where there is enough that is new."""
        if len(self.settled) < self._due:
            return True
        self._due = len(self.settled) + SAMPLE
        return self.progress(len(self.settled), preemptions)

    def path_into(self, prop: Property) -> Path:
        """The way into what is broken, with the fewest pre-emptions. KeyError if it is not."""
        _, place, actor = self.nearest[prop]
        return self.path_from(place, actor)

    def path_from(self, place: Place, actor: Actor | None = None) -> Path:
        """The way to a place, and the move of `actor` from there."""
        actors = [] if actor is None else [actor]
        while (came := self.before[place]) is not None:
            place, mover = came
            actors.append(mover)
        return path_of(self.search, actors[::-1])

    def _expand(
        self,
        place: Place,
        cost: tuple[int, int],
        layer: Layer,
        following: Layer,
    ) -> None:
        """Note where one can go from a place, and what that costs."""
        packed, last = place
        cache = self.search.cache
        preemptions, steps = cost
        could_go_on = last is not None and cache.effect(last, packed) != 0
        moved = False
        for actor in (*cache.tasks, *cache.starters):
            effect = cache.effect(actor, packed)
            if not effect:
                continue
            moved = True
            starting = actor.permission is not None
            preempted = could_go_on and not starting and actor.first is not last
            arrived = preemptions + preempted, steps + (not starting)
            if not isinstance(effect, int):
                self.broken |= effect[1]
                for prop in effect[1]:
                    if prop not in self.nearest or arrived < self.nearest[prop][0]:
                        self.nearest[prop] = arrived, place, actor
                if properties := sorted(filter(self.wanted, effect[1]), key=worst_first):
                    self.hits.setdefault(arrived, (place, actor, properties[0]))
            after = packed ^ turned(effect)
            mover = last if starting else actor.first
            if mover is not None and after & mover.control.mask == mover.idle:
                mover = None
            target = following if preempted else layer
            if (after, mover) not in self.settled:
                target.setdefault(arrived[1], []).append(((after, mover), (place, actor)))
        if not moved:
            self._ends(place, cost)

    def _ends(self, place: Place, cost: tuple[int, int]) -> None:
        """Nothing can happen in a place any more: everything is done, or every task waits."""
        if any(place[0] & task.control.mask != task.idle for task in self.search.cache.threads):
            self.stuck = True
            self.stuck_at = self.stuck_at or place
        for name in broken_at(self.search.cache, place[0]):
            self.nearest.setdefault((name, STATED), (cost, place, None))

    def _path(self, preemptions: int, steps: int) -> tuple[Path, Property]:
        """The way to the place of a violation, and the transition that violates there."""
        place, actor, prop = self.hits[preemptions, steps]
        actions: list[Action] = [action_of(self.search, actor, place[0])]
        states = [place[0] ^ turned(self.search.cache.effect(actor, place[0])), place[0]]
        while (came := self.before[place]) is not None:
            place, actor = came
            actions.append(action_of(self.search, actor, place[0]))
            states.append(place[0])
        return Path(tuple(reversed(actions)), tuple(reversed(states)), preemptions), prop


def fewest_preemptions(search: Search, prop: Property, shortest: Path) -> Path:
    """The way with the fewest pre-emptions, and of those the shortest; `shortest` where it is not found in time."""
    if not shortest.preemptions:
        return shortest
    found = BoundedSearch(search, lambda other: other == prop).run()
    return found[0] if found else shortest
