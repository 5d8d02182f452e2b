"""The way into a violation that is easiest to follow: fewest pre-emptions first, then fewest steps.

A race that needs one badly timed interrupt says more than a shorter one that needs three. A pre-emption is a change
from a task that could have gone on; waiting and ending are none.
"""

from __future__ import annotations

from typing import Final

from model.search.bfs import Property, Search
from model.search.paths import Action, Path, action_of, turned
from model.search.transition_cache import Actor

MOST_PLACES: Final = 150_000
"""How many states, told apart by who moved last, are looked at before the search gives up."""

Place = tuple[int, Actor | None]
"""A packed state, and the task that has moved last if it can be preempted."""

Steps = list[list[Place]]
"""Places by the number of micro-steps that lead to them."""


class FewestPreemptions:
    """A search in layers: everything that can be reached without a pre-emption, then with one, and so on."""

    def __init__(self, search: Search, kind: Property) -> None:
        self.search = search
        self.kind = kind
        self.before: dict[Place, tuple[Place, Actor] | None] = {(0, None): None}
        """Place → the place before it, and who moved."""
        self.settled: set[Place] = set()
        self.hits: dict[tuple[int, int], tuple[Place, Actor]] = {}
        """(pre-emptions, steps) → a transition that violates."""

    def run(self) -> Path | None:
        """The best way; None if there are too many places to find it among."""
        layer: dict[int, list[tuple[Place, tuple[Place, Actor] | None]]] = {0: [((0, None), None)]}
        preemptions = 0
        while layer:
            following: dict[int, list[tuple[Place, tuple[Place, Actor] | None]]] = {}
            while layer:
                steps = min(layer)
                if (hit := self.hits.get((preemptions, steps))) is not None:
                    return self._path(*hit, preemptions)
                for place, before in layer.pop(steps):
                    if place in self.settled:
                        continue
                    self.settled.add(place)
                    self.before[place] = before
                    self._expand(place, (preemptions, steps), layer, following)
                if len(self.settled) > MOST_PLACES:
                    return None
                if (hit := self.hits.get((preemptions, steps))) is not None:
                    return self._path(*hit, preemptions)
            later = [steps for number, steps in self.hits if number == preemptions]
            if later:
                return self._path(*self.hits[preemptions, min(later)], preemptions)
            layer = following
            preemptions += 1
        later_hits = sorted(self.hits)
        return self._path(*self.hits[later_hits[0]], later_hits[0][0]) if later_hits else None

    def _expand(
        self,
        place: Place,
        cost: tuple[int, int],
        layer: dict[int, list[tuple[Place, tuple[Place, Actor] | None]]],
        following: dict[int, list[tuple[Place, tuple[Place, Actor] | None]]],
    ) -> None:
        """Note where one can go from a place, and what that costs."""
        packed, last = place
        memo = self.search.memo
        preemptions, steps = cost
        could_go_on = last is not None and memo.effect(last, packed) != 0
        for actor in (*memo.tasks, *memo.starters):
            effect = memo.effect(actor, packed)
            if not effect:
                continue
            starting = actor.permission is not None
            preempted = could_go_on and not starting and actor is not last
            arrived = preemptions + preempted, steps + (not starting)
            if not isinstance(effect, int) and self.kind in effect[1]:
                self.hits.setdefault(arrived, (place, actor))
            after = packed ^ turned(effect)
            mover = last if starting else actor
            if mover is not None and after & mover.control.mask == mover.idle:
                mover = None
            target = following if preempted else layer
            if (after, mover) not in self.settled:
                target.setdefault(arrived[1], []).append(((after, mover), (place, actor)))

    def _path(self, place: Place, actor: Actor, preemptions: int) -> Path:
        """The way to a place and the transition that violates there."""
        moves: list[Action] = [action_of(self.search, actor, place[0])]
        states = [place[0] ^ turned(self.search.memo.effect(actor, place[0])), place[0]]
        while (came := self.before[place]) is not None:
            place, actor = came
            moves.append(action_of(self.search, actor, place[0]))
            states.append(place[0])
        return Path(tuple(reversed(moves)), tuple(reversed(states)), preemptions)


def fewest_preemptions(search: Search, kind: Property, shortest: Path) -> Path:
    """The way with the fewest pre-emptions, and of those the shortest; `shortest` where it is not found in time."""
    if not shortest.preemptions:
        return shortest
    return FewestPreemptions(search, kind).run() or shortest
