"""Random small scenes: the search equals one that remembers nothing, and its ways lead where it says."""

import random
from collections.abc import Iterator
from itertools import count

import pytest

from model.script.parser import parse
from model.search.bfs import Search, explore
from model.search.paths import best_path, verified
from model.search.problem import SearchProblem, set_up
from model.search.report import report
from model.text.problems import ScriptError
from tests.model import naive_search

SETTING = (
    "memfd f 2",
    "mmap p0 m memfd:f shared rw 2",
    "mmap p0 q memfd:f private rw 1",
    "write p0 buf 1",
    "gup p0 buf as=g write by=nic",
    "fork p0 kid",
    "write p0 m 5",
    "bo b 1 in=gtt",
    "mmap p0 w bo:b shared rw 1",
    "write p0 w 3",
    "mlock p0 buf",
    "begin early write p0 buf+1 9",
)
PERMITTED = (
    "gup p0 buf as=r write by=nic fast-only",
    "gup p0 buf as=r pin by=nic",
    "madvise p0 buf dontneed",
    "munmap p0 buf[0:1]",
    "write p0 buf 7",
    "read p0 buf+1",
    "dma r write 9",
    "dma g read",
    "put g",
    "punch f 0 1",
    "read p0 q",
    "mprotect p0 buf r",
    "mremap p0 buf[0:1] pages=1 to=40 maymove",
    "exit p0",
    "pwrite f 0 5",
    "move b vram",
    "grab p0 w as=r by=nic",
    "remote-read p0 p0 buf",
    "migrate p0 buf",
    "process px",
)
MOST_STATES = 2500


def random_scene(dice: random.Random) -> SearchProblem | None:
    """A scene, or None if the lines do not fit together."""
    kernel = dice.choice(["6.1", "6.18", "7.3"])
    lines = [f"set kernel {kernel}", "device nic", "process p0", "mmap p0 buf anon private rw 2"]
    lines += [line for line in SETTING if dice.random() < 0.45]
    lines += [f"may {dice.choice([1, 1, 2])} {line}" for line in dice.sample(PERMITTED, 2)]
    try:
        return set_up(parse("\n".join(lines)))
    except ScriptError:
        return None


def random_search(seed: int, *, symmetry: bool = True) -> Search:
    """A whole search of the first random scene that is small enough."""
    for attempt in count():
        scene = random_scene(random.Random(1000 * seed + attempt))
        if scene is not None and (search := explore(scene, MOST_STATES, symmetry=symmetry)).complete:
            return search
    raise AssertionError("unreachable: attempts never end")


@pytest.mark.parametrize("seed", range(16))
def test_equals_a_search_that_remembers_nothing(seed: int) -> None:
    search = random_search(seed, symmetry=False)
    assert naive_search.search(search.scene) == (len(search.seen), search.transitions, search.distance)
    for prop, distance in search.distance.items():
        path = verified(search, prop, best_path(search, prop))
        assert path.steps == distance


def told(search: Search) -> Iterator[object]:
    """What a search comes to, as far as it does not depend on the order in which it went."""
    yield len(search.seen), search.transitions, search.complete, search.distance, search.stuck is None
    yield [len(level) for level in search.levels]
    drawn = report(search)
    yield drawn.verdicts
    yield [(found.prop, found.shortest.steps, found.shortest.preemptions, found.share) for found in drawn.findings]


@pytest.mark.parametrize("seed", range(24))
def test_symmetry_loses_nothing(seed: int) -> None:
    whole = random_search(seed, symmetry=False)
    search = explore(whole.scene)
    assert search.distance == whole.distance
    drawn, wholly = report(search), report(whole)
    assert (drawn.verdicts, drawn.counted) == (wholly.verdicts, wholly.counted)
    assert len(search.seen) <= len(whole.seen)
    if search.symmetry is not None:
        for packed in list(search.seen)[::7]:
            search.symmetry.check(packed)
