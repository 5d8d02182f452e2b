"""Searches of a part of all schedules, for spaces that are too large: up to a number of pre-emptions, or at random.

Each says exactly what it has shown. Musuvathi & Qadeer, "Iterative Context Bounding" (PLDI 2007): most races need few
pre-emptions, so the first levels are worth the most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from model.search.bfs import SAMPLE, Property, Search, SearchProgress
from model.search.fewest_preemptions import BoundedSearch
from model.search.final_states import broken_at
from model.search.paths import Action, Path, path_of, turned
from model.search.table_growth import growth_ahead
from model.search.transition_cache import STATED, Actor

MOST_PLACES: Final = 200_000
"""Places of the bounded search that is made where a whole one has hit its bound."""
TOLD_EVERY: Final = 100
"""Moves of a random schedule."""
LONGEST: Final = 20_000
"""Moves of a random schedule; a longer one is given up: `may *` may go on for ever."""

Progress = Callable[[SearchProgress], bool]


class PartSearch(NamedTuple):
    """What a search of a part of all schedules has found."""

    paths: dict[Property, Path]
    """What can be broken, each with a way into it."""
    waits_for_ever: tuple[Action, ...] | None
    """The moves to where some task waits and nothing can go on; None: that was not met."""
    places: int = 0
    """How many states it looked at, told apart by who moved last."""
    proved: int = -1
    """Every schedule with up to so many pre-emptions was searched; -1: not even all without one."""
    whole: bool = False
    """There are no others."""
    schedules: int = 0
    """How many random schedules were tried …"""
    unended: int = 0
    """… how many of them were given up before their end …"""
    broken_in: dict[str, int] = {}  # noqa: RUF012 -- never changed
    """… and in how many each rule or property was broken."""


def up_to(search: Search, preemptions: int | None, most_places: int, progress: Progress = lambda _: True) -> PartSearch:
    """Search level by level of pre-emptions, up to a number of them or as many as there can be."""

    def far(places: int, level: int) -> bool:
        growth = growth_ahead(bounded.settled, 2 * SAMPLE) + growth_ahead(bounded.before, 2 * SAMPLE)
        return progress(SearchProgress(places, level, 0, growth))

    bounded = BoundedSearch(search, lambda _: False, preemptions, most_places, far)
    bounded.run()
    paths = {prop: bounded.path_into(prop) for prop in bounded.nearest}
    stuck = bounded.path_from(bounded.stuck_at).actions if bounded.stuck_at is not None else None
    return PartSearch(paths, stuck, len(bounded.settled), bounded.proved, bounded.whole)


def at_random(search: Search, schedules: int, pick: Callable[[int], int], progress: Progress) -> PartSearch:
    """Follow random schedules to their ends. `pick(n)` is a number below n: which of n moves comes next.

    Every move that is possible has the same chance; so schedules do not all have the same.
    """
    count: Counter[str] = Counter()
    shortest: dict[Property, list[Actor]] = {}
    stuck: list[Actor] | None = None
    tried = unended = 0
    while tried < schedules:
        walked, broken, ended = _one(search, pick, tried, progress)
        tried += 1
        count.update({name for name, _ in broken})
        for prop, moves in broken.items():
            if prop not in shortest or moves < len(shortest[prop]):
                shortest[prop] = walked[:moves]
        unended += not ended
        if ended and stuck is None and _waits(search, walked):
            stuck = walked
        if not progress(SearchProgress(tried, len(walked), 0)):
            break
    return PartSearch(
        {prop: path_of(search, actors) for prop, actors in shortest.items()},
        path_of(search, stuck).actions if stuck is not None else None,
        schedules=tried,
        unended=unended,
        broken_in=dict(sorted(count.items())),
    )


def _one(
    search: Search, pick: Callable[[int], int], number: int, progress: Progress
) -> tuple[list[Actor], dict[Property, int], bool]:
    """One schedule: who moved, after how many moves each property was broken first, and whether it came to its end.

    `progress` hears now and then of its number and its moves; it ends the schedule by returning False.
    """
    cache = search.cache
    packed = 0
    walked: list[Actor] = []
    broken: dict[Property, int] = {}
    while len(walked) < LONGEST:
        if walked and not len(walked) % TOLD_EVERY and not progress(SearchProgress(number, len(walked), 0)):
            break
        possible = [actor for actor in (*cache.tasks, *cache.starters) if cache.effect(actor, packed)]
        if not possible:
            for name in broken_at(cache, packed):
                broken.setdefault((name, STATED), len(walked))
            return walked, broken, True
        actor = possible[pick(len(possible))]
        effect = cache.effect(actor, packed)
        walked.append(actor)
        packed ^= turned(effect)
        for prop in () if isinstance(effect, int) else effect[1]:
            broken.setdefault(prop, len(walked))
    return walked, broken, False


def _waits(search: Search, walked: list[Actor]) -> bool:
    """Whether some task is still under way where these moves end."""
    packed = path_of(search, walked).states[-1]
    return any(packed & task.control.mask != task.idle for task in search.cache.threads)
