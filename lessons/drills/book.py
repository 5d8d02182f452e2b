"""Which kinds of exercises there are, and how one is made from a number."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from random import Random
from typing import Final

from lessons.drills.counts import mapcount, refcount
from lessons.drills.danger import corrupts
from lessons.drills.entries import pte, walk
from lessons.drills.exercise import Exercise, UnsuitableError
from lessons.drills.folios_and_tables import folio, hugetlb, ksm, swap, tables
from lessons.drills.grabs import errno
from lessons.drills.operations import which_op
from lessons.drills.own_worlds import WorldError, world_lines, world_scene
from lessons.drills.scenes import DrillScene
from lessons.drills.score import Score
from lessons.drills.userfaults import userfaultfd
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import own_worlds

KINDS: Final[Mapping[str, tuple[str, Callable[[int, Random], Exercise]]]] = {
    "refcount": ("what becomes of the refcount of a page", refcount),
    "mapcount": ("what becomes of the mapcount of a page", mapcount),
    "pte": ("what an entry says afterwards", pte),
    "walk": ("which entry of which table the walk reads", walk),
    "which-op": ("what happened between two pictures", which_op),
    "errno": ("what a grab answers on a mapping", errno),
    "corrupts": ("whether a schedule exists that loses bytes", corrupts),
    "folio": ("what becomes of the counts of a huge page", folio),
    "hugetlb": ("what becomes of a page of the pool, and of the pool", hugetlb),
    "tables": ("how many pages the page tables are", tables),
    "userfaultfd": ("what happens at an access where a program handles page faults", userfaultfd),
    "ksm": ("what becomes of the counts of a page that ksmd merges", ksm),
    "swap": ("what becomes of a page that goes to swap, or comes from there", swap),
}
"""Name → what it asks for, and what makes one."""
ON_WORLDS: Final[Mapping[str, Callable[[int, Random, DrillScene], Exercise]]] = {
    "refcount": refcount,
    "mapcount": mapcount,
    "pte": pte,
    "which-op": which_op,
}
"""What can be asked on a world of one's own, as `KIND@WORLD`."""
MOST_THROWS: Final = 200
LARGEST_SEED: Final = 2**31 - 1


def today_seed() -> int:
    """The number of the day's first exercise: the same for everybody, and another tomorrow."""
    return int(f"{datetime.now(UTC):%y%m%d}00")


def exercise(kind: str, seed: int) -> Exercise:
    """The exercise of that kind and number: always the same one.

    Raises KeyError where there is no such kind, WorldError where it cannot be asked on the world that is named.
    """
    name, _, world = kind.partition("@")
    dice = Random(f"{kind} {seed}")
    lines = world_lines(world) if world else ()
    for _ in range(MOST_THROWS):
        try:
            if not world:
                return KINDS[name][1](seed, dice)
            return ON_WORLDS[name](seed, dice, world_scene(lines, dice))._replace(kind=kind)
        except UnsuitableError:
            continue
    if world:
        raise WorldError(tr("{world}: nothing of kind {kind} can be asked there").format(world=world, kind=name))
    raise AssertionError(f"no exercise {kind} {seed} in {MOST_THROWS} throws")


def unknown_kind(kind: str) -> str:
    """Why there is no such kind of exercise; empty: there is."""
    name, at, world = kind.partition("@")
    known: Mapping[str, object] = ON_WORLDS if at else KINDS
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = tr("did you mean `{word}`?").format(word=near[0]) if near else ", ".join(known)
        return f"{tr('there is no kind of drill `{kind}`').format(kind=kind)} ({hint})"
    try:
        if at:
            world_lines(world)
    except WorldError as error:
        return str(error)
    return ""


def unknown_choice(wanted: str) -> str:
    """Why nothing can be chosen from that: a kind, `@WORLD` or `@` (see `chosen`); empty: it can."""
    if not wanted.startswith("@"):
        return unknown_kind(wanted) if wanted else ""
    if wanted == "@" and not own_worlds():
        return tr("no folder of your own has a world; `ptescope lesson guide` tells how to write one")
    return unknown_kind(f"{next(iter(ON_WORLDS))}{wanted}") if wanted != "@" else ""


def chosen(wanted: str, scores: Mapping[str, Score], seed: int) -> str:
    """The kind of the exercise of that number.

    `wanted`: a kind; empty for all kinds; `@WORLD` for all that can be asked on that world, `@` on any world of one's
    own. Those that go badly, or have not been tried, come more often. Raises WorldError where nothing can be asked.
    """
    if wanted and not wanted.startswith("@"):
        return wanted
    if not wanted:
        return choose(scores, seed)
    worlds = own_worlds() if wanted == "@" else (wanted[1:],)
    kinds = [f"{kind}@{world}" for world in worlds for kind in ON_WORLDS]
    dice, why = Random(f"kind {seed}"), WorldError(unknown_choice(wanted))
    while kinds:
        kind = _weighed(kinds, scores, dice)
        try:
            exercise(kind, seed)
        except WorldError as error:
            kinds.remove(kind)
            why = error
        else:
            return kind
    raise why


def choose(scores: Mapping[str, Score], seed: int) -> str:
    """A kind for the next exercise: those that go badly, or have not been tried, come more often.

    Without scores the number alone decides, so it asks everybody the same.
    """
    return _weighed(list(KINDS), scores, Random(f"kind {seed}"))


def _weighed(kinds: Sequence[str], scores: Mapping[str, Score], dice: Random) -> str:
    weights = [1 / (1 + scores.get(kind, Score()).mastery) for kind in kinds]
    return dice.choices(kinds, weights)[0]
