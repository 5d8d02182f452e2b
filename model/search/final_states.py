"""The ends of schedules: the states in which nothing more can happen, and what a script says of them (`final`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from model.script.moment import Moment

if TYPE_CHECKING:
    from model.search.bfs import Search
    from model.search.transition_cache import TransitionCache

MOST_NEAREST: Final = 256
"""Ends of equal distance that are kept; the one that is easiest to reach is told."""


class FinalVerdict(NamedTuple):
    """What the ends that a search has reached say of one property."""

    ends: int
    """How many ends there are."""
    broken: frozenset[int]
    """The ends that break it, packed."""
    nearest: tuple[int, ...] = ()
    """Those of them that take the fewest micro-steps."""
    depth: int = 0
    """How many."""


def is_end(cache: TransitionCache, packed: int) -> bool:
    """Whether nothing can happen in a state, be it that all is done or that tasks wait for ever."""
    return not any(cache.effect(actor, packed) for actor in (*cache.tasks, *cache.starters))


def broken_at(search: Search, packed: int) -> list[str]:
    """The properties of the end that a state breaks. What speaks of something that does not exist is broken too."""
    finals = [one for one in search.scene.properties if one.when == "final"]
    if not finals:
        return []
    whole = any(one.asks("broken") for one in finals)
    moment = Moment(search.cache.state(packed) if whole else search.cache.tracked(packed))
    return [one.text for one in finals if one.is_broken(moment) is not False]


def judge_ends(search: Search) -> dict[str, FinalVerdict]:
    """Judge the properties of the end wherever the states that are known end."""
    broken: dict[str, list[tuple[int, int]]] = {one.text: [] for one in search.scene.properties if one.when == "final"}
    ends = 0
    for depth, level in enumerate(search.levels if broken else ()):
        for packed in level:
            if is_end(search.cache, packed):
                ends += 1
                for name in broken_at(search, packed):
                    broken[name].append((depth, packed))
    return {name: _verdict(ends, found) for name, found in broken.items()}


def _verdict(ends: int, found: list[tuple[int, int]]) -> FinalVerdict:
    if not found:
        return FinalVerdict(ends, frozenset())
    depth = found[0][0]
    nearest = [packed for at, packed in found if at == depth]
    return FinalVerdict(ends, frozenset(packed for _, packed in found), tuple(nearest[:MOST_NEAREST]), depth)
