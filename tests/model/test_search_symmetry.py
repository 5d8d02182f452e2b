"""States that differ only in names are searched once, and nothing is lost by it."""

import json
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from model.script.parser import parse
from model.search.bfs import Search, explore
from model.search.interchangeable import MOST_PERMISSIONS, exchanges
from model.search.problem import SearchProblem, set_up
from model.search.report import report
from model.search.result import result_of
from model.search.symmetry import AsymmetryError, renamings
from model.search.verdicts import successors
from tests.model import naive_search
from tests.model.naive_search import Place

SCENES = Path(__file__).parent / "scenes"

TWO_READERS = """
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 2 read p0 buf
"""
THREE_WRITERS = """
process p0
mmap p0 buf anon private rw 1
may 3 write p0 buf 5
"""
TWO_PAIRS = """
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
gup p0 buf as=r write by=nic
may 2 madvise p0 buf dontneed
may 2 dma r write 5
"""
TWO_DEVICES = """
device nic0
device nic1
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r0 write by=nic0
may 1 gup p0 buf as=r1 write by=nic1
may 1 dma r0 write 65
may 1 dma r1 write 65
"""
TWO_PROCESSES = """
process p0 cpu=0
process p1 cpu=1
mmap p0 buf anon private rw 2
mmap p1 buf anon private rw 2
write p0 buf 1
write p1 buf 1
may 1 write p0 buf 5
may 1 write p1 buf 5
may 1 munmap p0 buf
may 1 munmap p1 buf
"""
LET_GO = (
    TWO_PROCESSES.replace("may 1 write p0 buf 5\nmay 1 write p1 buf 5\n", "")
    .replace("munmap p0 buf", "madvise p0 buf dontneed")
    .replace("munmap p1 buf", "madvise p1 buf dontneed")
)
FAULTS_OF_TWO = """
process p0 cpu=0
process p1 cpu=1
mmap p0 buf anon private rw 2
mmap p1 buf anon private rw 2
may 1 write p0 buf+1 5
may 1 write p1 buf+1 5
"""
MISSING_FLUSH = (SCENES / "missing-flush.pte").read_text(encoding="utf-8")

WITH_SYMMETRY = {
    "two readers": TWO_READERS,
    "three writers": THREE_WRITERS,
    "two pairs": TWO_PAIRS,
    "two devices": TWO_DEVICES,
    "two processes": FAULTS_OF_TWO,
    "two processes that let go": LET_GO,
    "a flush that is missing": MISSING_FLUSH,
}
SMALL = ("two readers", "a flush that is missing")
"""Those that can be searched without remembering anything."""


def scene_of(text: str) -> SearchProblem:
    return set_up(parse(text))


def under(names: dict[str, str], value: Any) -> Any:
    """JSON under other names; what is a set in the kernel is sorted anew."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [under(names, one) for one in value]
    if isinstance(value, dict):
        new = {under(names, key): under(names, one) for key, one in value.items()}
        return new | {"readers": sorted(new["readers"])} if "readers" in new else new
    return value


def same_tasks(scene: SearchProblem) -> naive_search.Same:
    """What is left of a place if nobody looks at which of the equal tasks is which: the least of all JSON texts."""
    groups = [permission.tasks for permission in scene.permissions]
    orders = [
        dict(zip([name for group in groups for name in group], [name for way in ways for name in way], strict=True))
        for ways in product(*(permutations(group) for group in groups))
    ]

    def text(place: Place, names: dict[str, str]) -> str:
        tables = under(names, json.loads(place.state.to_json()))
        return json.dumps({name: sorted(entries, key=repr) for name, entries in tables.items()}, sort_keys=True)

    return lambda place: (min(text(place, names) for names in orders), place.left)


@pytest.mark.parametrize("name", SMALL)
def test_as_many_states_as_a_search_that_remembers_nothing_tells_apart(name: str) -> None:
    scene = scene_of(WITH_SYMMETRY[name])
    search = explore(scene)
    assert search.symmetry is not None
    assert naive_search.search(scene, same_tasks(scene)) == (len(search.seen), search.transitions, search.distance)


@pytest.mark.parametrize("name", WITH_SYMMETRY)
def test_finds_what_a_search_without_symmetry_finds(name: str) -> None:
    scene = scene_of(WITH_SYMMETRY[name])
    search, whole = explore(scene), explore(scene, symmetry=False)
    assert search.complete
    assert search.distance == whole.distance
    drawn, wholly = report(search), report(whole)
    assert drawn.verdicts == wholly.verdicts
    assert (drawn.counted is None) == (wholly.counted is None)
    if drawn.counted is not None and wholly.counted is not None:
        same = wholly.counted._replace(
            commands=drawn.counted.commands
        )  # a command that takes another's place has no count
        assert drawn.counted == same, "every schedule counts, whichever task is called what"
    assert [(one.prop, one.shortest.steps, one.shortest.preemptions) for one in drawn.findings] == [
        (one.prop, one.shortest.steps, one.shortest.preemptions) for one in wholly.findings
    ]


@pytest.mark.parametrize("name", WITH_SYMMETRY)
def test_every_state_has_one_that_stands_for_it(name: str) -> None:
    """The states that stand for those of the whole search are those of the search with symmetry."""
    search = explore(scene_of(WITH_SYMMETRY[name]))
    assert search.symmetry is not None
    whole, ahead = {0}, [0]
    while ahead:
        found = {after for _, after, _ in successors(search.cache, ahead.pop())} - whole
        whole |= found
        ahead += found
    assert len(search.seen) < len(whole)
    assert {search.canonical(packed) for packed in whole} == set(search.seen)
    for packed in sorted(whole)[:: len(whole) // 1000 + 1]:
        search.symmetry.check(packed)


def test_a_name_that_something_else_bears_is_left_alone() -> None:
    assert renamings(scene_of(TWO_READERS))
    assert not renamings(scene_of(TWO_READERS.replace("p0", "read-1")))


REFUSED = {
    "other content": TWO_PROCESSES.replace("write p1 buf 1", "write p1 buf 2"),
    "other values": TWO_PROCESSES.replace("may 1 write p1 buf 5", "may 1 write p1 buf 6"),
    "not the same may happen": TWO_PROCESSES.replace("may 1 munmap p1 buf", "may 1 madvise p1 buf dontneed"),
    "another page": TWO_PROCESSES.replace("may 1 write p1 buf 5", "may 1 write p1 buf+1 5"),
    "a third command is about one of them": TWO_PROCESSES + "may 1 read p0 buf",
    "one has been busy": TWO_PROCESSES.replace("may 1 write p0", "read p0 buf+1\nmay 1 write p0"),
    "both on a list that is walked by name": TWO_PROCESSES.replace("process p0", "memfd f 2\nprocess p0").replace(
        "anon private", "memfd:f shared"
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_not_alike_does_not_change_places(why: str) -> None:
    assert not renamings(scene_of(REFUSED[why]))


def test_where_the_numbers_of_freed_things_are_used_again_lowest_first_the_search_goes_without() -> None:
    """A new anon_vma takes the lowest number that is free: then it matters which of two is 1 and which is 2."""
    only = TWO_PROCESSES.replace("may 1 write p0 buf 5\nmay 1 write p1 buf 5\n", "")
    assert renamings(scene_of(only))
    search, whole = explore(scene_of(only)), explore(scene_of(only), symmetry=False)
    assert search.symmetry is None
    assert (len(search.seen), search.distance) == (len(whole.seen), whole.distance)


def test_the_names_that_change_places_are_told() -> None:
    alike = result_of(explore(scene_of(TWO_DEVICES))).alike
    assert ("nic0", "nic1") in alike
    assert ("r0", "r1") in alike


def test_names_that_do_make_a_difference_are_noticed_and_the_search_goes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if reading and writing were the same."""
    scene = scene_of("process p0\nmmap p0 buf anon private rw 1\nmay 1 read p0 buf\nmay 1 write p0 buf 5")
    whole = explore(scene, symmetry=False)
    wrong = [
        renamings(scene_of(TWO_READERS))[0]._replace(strings={"read": "write", "write": "read"}, permissions=(1, 0))
    ]
    monkeypatch.setattr("model.search.symmetry.renamings", lambda _: wrong)
    with pytest.raises(AsymmetryError):
        Search(scene).run()
    search = explore(scene)
    assert search.symmetry is None
    assert len(search.seen) == len(whole.seen)


@pytest.mark.parametrize(("commands", "found"), [(3, 3), (MOST_PERMISSIONS + 1, 0)])
def test_among_very_many_commands_nobody_looks_for_exchanges(commands: int, found: int) -> None:
    """A hundred equal ones took minutes before the search began."""
    text = "process p0\nmmap p0 m anon private rw 1\n" + "may 1 read p0 m\n" * commands
    assert len(list(exchanges(set_up(parse(text))))) == found
