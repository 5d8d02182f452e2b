"""How a scene is searched: every state where they are few; else fewer for the verdict, and then what tells the story.

Shares of schedules, nearest ways and the map are those of a search of every state. Where that is too large the verdict
comes from a reduced search (`reduction`), and a breadth-first search goes on from the start only until it has met what
the reduced one has found to be reachable. Where even that is too large, the schedules with few pre-emptions are left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from model.search.bfs import MOST_STATES, Property, Search, SearchProgress
from model.search.part_searches import MOST_PLACES, PartSearch, up_to
from model.search.problem import SearchProblem
from model.search.reduction import Reduction
from model.search.symmetry import AsymmetryError
from model.search.transition_cache import STATED
from model.search.verdicts import MOST_COUNTED

FEW: Final = MOST_COUNTED
"""States of which every one is visited in any case: as many as schedules are counted for."""

Progress = Callable[[SearchProgress], bool]


class SearchOutcome(NamedTuple):
    """What was searched."""

    search: Search
    """Breadth first: everything, or what tells of the nearest ways."""
    part: PartSearch | None = None
    """What was searched instead, where everything was too much."""
    reduction: Reduction | None = None
    """What the verdicts come from, where not every state was visited."""


def search_scene(
    scene: SearchProblem,
    most_states: int = MOST_STATES,
    progress: Progress = lambda _: True,
    *,
    symmetry: bool = True,
    every_state: bool = False,
    stop: Callable[[Property], bool] = lambda _: False,
) -> SearchOutcome:
    """Search all schedules of a scene, visiting `most_states` at most; `progress` ends it by returning False.

    With `every_state` the number of states is not reduced. It ends where something is met for which `stop` holds. A
    symmetry that turns out to be none is not made use of.
    """
    try:
        return Strategy(scene, most_states, progress, stop, symmetry=symmetry).run(every_state=every_state)
    except AsymmetryError:
        return Strategy(scene, most_states, progress, stop, symmetry=False).run(every_state=every_state)


class Strategy:
    """One scene, and one search after the other with what was learnt before."""

    def __init__(
        self,
        scene: SearchProblem,
        most_states: int,
        progress: Progress,
        stop: Callable[[Property], bool],
        *,
        symmetry: bool,
    ) -> None:
        self.first = Search(scene, symmetry=symmetry)
        self.most_states = most_states
        self.asked = progress
        self.stop = stop
        self.ended = False

    def progress(self, far: SearchProgress) -> bool:
        """Ask whether to go on, and remember the answer."""
        self.ended = self.ended or not self.asked(far)
        return not self.ended

    def run(self, *, every_state: bool) -> SearchOutcome:
        """Search."""
        search = self.first
        search.run(self.most_states if every_state else min(FEW, self.most_states), self.stop, self.progress)
        if search.complete or self.ended or any(map(self.stop, search.found)):
            return SearchOutcome(search)
        if every_state:
            return SearchOutcome(search, self._few_preemptions(search))
        reduction = Reduction(search.scene, search.cache, search.symmetry)
        reduction.run(self.most_states, self.progress)
        if reduction.complete:
            return SearchOutcome(self._until_met(reduction), reduction=reduction)
        return self._as_far_as_it_goes(reduction)

    def _as_far_as_it_goes(self, reduction: Reduction) -> SearchOutcome:
        """Breadth first up to the bound, and what few pre-emptions can do."""
        search = self.first
        if not self.ended and self.most_states > FEW:
            search = self._again()
            search.run(self.most_states, self.stop, self.progress)
        return SearchOutcome(search, None if self.ended else self._few_preemptions(search), reduction)

    def _again(self) -> Search:
        """A new search with the same cache: it knows the transitions already."""
        first = self.first
        return Search(first.scene, symmetry=first.symmetry is not None, cache=first.cache)

    def _until_met(self, reduction: Reduction) -> Search:
        """Breadth first, until everything has been met that is known to be broken somewhere."""
        finals = {(one.text, STATED) for one in reduction.cache.finals}
        wanted = reduction.kinds - finals
        if wanted <= self.first.found.keys():
            return self.first
        met: set[Property] = set()

        def stop(kind: Property) -> bool:
            met.add(kind)
            return wanted <= met or self.stop(kind)

        search = self._again()
        search.run(self.most_states, stop, self.progress)
        return search

    def _few_preemptions(self, search: Search) -> PartSearch:
        return up_to(search, None, min(self.most_states, MOST_PLACES), self.progress)
