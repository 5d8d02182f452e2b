"""Which kinds of exercises there are, and how one is made from a number."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Final

from lessons.drills.counts import mapcount, refcount
from lessons.drills.danger import corrupts
from lessons.drills.entries import pte, walk
from lessons.drills.exercise import Exercise, UnsuitableError
from lessons.drills.grabs import errno
from lessons.drills.operations import which_op
from lessons.drills.score import Score

KINDS: Final[Mapping[str, tuple[str, Callable[[int, Random], Exercise]]]] = {
    "refcount": ("what becomes of the refcount of a page", refcount),
    "mapcount": ("what becomes of the mapcount of a page", mapcount),
    "pte": ("what an entry says afterwards", pte),
    "walk": ("which entry of which table the walk reads", walk),
    "which-op": ("what happened between two pictures", which_op),
    "errno": ("what a grab answers on a mapping", errno),
    "corrupts": ("whether a schedule exists that loses bytes", corrupts),
}
"""Name → what it asks for, and what makes one."""
MOST_THROWS: Final = 200
LARGEST_SEED: Final = 2**31 - 1


def today_seed() -> int:
    """The number of the day's first exercise: the same for everybody, and another tomorrow."""
    return int(f"{datetime.now(UTC):%y%m%d}00")


def exercise(kind: str, seed: int) -> Exercise:
    """The exercise of that kind and number: always the same one. KeyError where there is no such kind."""
    make = KINDS[kind][1]
    dice = Random(f"{kind} {seed}")
    for _ in range(MOST_THROWS):
        try:
            return make(seed, dice)
        except UnsuitableError:
            continue
    raise AssertionError(f"no exercise {kind} {seed} in {MOST_THROWS} throws")


def choose(scores: Mapping[str, Score], seed: int) -> str:
    """A kind for the next exercise: those that go badly, or have not been tried, come more often.

    Without scores the number alone decides, so it asks everybody the same.
    """
    weights = [1 / (1 + scores.get(kind, Score()).mastery) for kind in KINDS]
    return Random(f"kind {seed}").choices(list(KINDS), weights)[0]
