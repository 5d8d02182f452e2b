"""The ends of schedules: the states in which nothing more can happen, and what a script says of them (`final`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from model.script.moment import Moment

if TYPE_CHECKING:
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


def broken_at(cache: TransitionCache, packed: int) -> list[str]:
    """The properties of the end that a state breaks. What speaks of something that does not exist is broken too."""
    if not cache.finals:
        return []
    whole = any(one.asks("broken") for one in cache.finals)
    moment = Moment(cache.state(packed) if whole else cache.tracked(packed))
    return [one.text for one in cache.finals if one.is_broken(moment) is not False]


def judge_ends(cache: TransitionCache, levels: Sequence[Sequence[int]]) -> dict[str, FinalVerdict]:
    """Judge the properties of the end wherever the known states, level by level, end."""
    broken: dict[str, list[tuple[int, int]]] = {one.text: [] for one in cache.finals}
    ends = 0
    for depth, level in enumerate(levels if broken else ()):
        for packed in level:
            if is_end(cache, packed):
                ends += 1
                for name in broken_at(cache, packed):
                    broken[name].append((depth, packed))
    return {name: _verdict(ends, found) for name, found in broken.items()}


def _verdict(ends: int, found: list[tuple[int, int]]) -> FinalVerdict:
    if not found:
        return FinalVerdict(ends, frozenset())
    depth = found[0][0]
    nearest = [packed for at, packed in found if at == depth]
    return FinalVerdict(ends, frozenset(packed for _, packed in found), tuple(nearest[:MOST_NEAREST]), depth)
