"""The way into a violation that is easiest to follow: fewest pre-emptions first, then fewest steps.

A race that needs one badly timed interrupt says more than a shorter one that needs three. A pre-emption is a change
from a task that could have gone on; waiting and ending are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from model.search.bfs import Property, Search, worst_first
from model.search.paths import Action, Path, action_of, turned
from model.search.transition_cache import Actor

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
    ) -> None:
        self.search = search
        self.wanted = wanted
        """It ends at the first violation of such a kind."""
        self.most_preemptions = most_preemptions
        """None: as many as there can be."""
        self.most_places = most_places
        self.complete = True
        """False: there were more places than allowed. Else nothing wanted has fewer pre-emptions than were tried."""
        self.stuck = False
        """In some place every task waits for another, and nothing can be started."""
        self.broken: set[Property] = set()
        """Everything that is broken on the way, wanted or not."""
        self.before: dict[Place, tuple[Place, Actor] | None] = {(0, None): None}
        """Place → the place before it, and who moved."""
        self.settled: set[Place] = set()
        self.hits: dict[tuple[int, int], tuple[Place, Actor, Property]] = {}
        """(pre-emptions, steps) → a transition that violates."""

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
                if len(self.settled) > self.most_places:
                    self.complete = False
                    return None
            later = [steps for number, steps in self.hits if number == preemptions]
            if later:
                return self._path(preemptions, min(later))
            layer = following
            preemptions += 1
        return None

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
                if properties := sorted(filter(self.wanted, effect[1]), key=worst_first):
                    self.hits.setdefault(arrived, (place, actor, properties[0]))
            after = packed ^ turned(effect)
            mover = last if starting else actor.first
            if mover is not None and after & mover.control.mask == mover.idle:
                mover = None
            target = following if preempted else layer
            if (after, mover) not in self.settled:
                target.setdefault(arrived[1], []).append(((after, mover), (place, actor)))

        if not moved and any(packed & task.control.mask != task.idle for task in cache.threads):
            self.stuck = True

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
