"""Scenes of real races and mistakes: what the search says of them, and that it says the same as the plain kernel."""

from functools import cache
from pathlib import Path

import pytest

from model.script.parser import parse
from model.search.bfs import Search, explore, worst_first
from model.search.paths import replay
from model.search.problem import SearchProblem, set_up
from model.search.report import report, story
from tests.model import naive_search

SCENES = Path(__file__).parent / "scenes"

WORST = {
    "collapse-pmd-not-rechecked": "lost-write",
    "hugetlb-leak": "foreign-dma",
    "hugetlb-punched": "lost-write",
    "huge-page-hole": "foreign-dma",
    "missing-flush": "foreign-access",
    "retract-frees-at-once": "freed-table",
    "stale-get-fork": "lost-write",
    "stale-pin": "lost-write",
    "tables-freed-at-once": "freed-table",
    "udmabuf-punched": "splat",
    "uffd-snapshot": "untracked-write",
}
HARMLESS = (
    "collapse-against-walk",
    "huge-page-hole-closed",
    "kvm-follows",
    "retract-against-walk",
    "tables-freed-by-rcu",
    "uffd-move-pinned",
)


def scene(name: str) -> SearchProblem:
    return set_up(parse((SCENES / f"{name}.pte").read_text(encoding="utf-8")))


@cache
def searched(name: str) -> Search:
    return explore(scene(name))


@pytest.mark.parametrize("name", WORST)
def test_the_worst_that_can_happen_is_found_and_told(name: str) -> None:
    search = searched(name)
    found = report(search)
    assert search.complete
    assert found.findings[0].prop[0] == WORST[name]
    assert found.verdicts[WORST[name]] == "sometimes"
    told = story(search, found.findings[0])
    assert told.path.preemptions <= found.findings[0].shortest.preemptions
    last = list(replay(search.scene, told.path.actions))[-1]
    assert told.prop in {(broken.invariant, broken.severity) for broken in last.violations}


@pytest.mark.parametrize("name", WORST)
def test_the_nearest_safe_schedule_runs_to_its_end_and_keeps_the_rule(name: str) -> None:
    search = searched(name)
    told = story(search, report(search).findings[0])
    assert told.point_of_no_return is not None
    safe = (*told.path.actions[: told.point_of_no_return.actions], *told.point_of_no_return.safe)
    done = list(replay(search.scene, safe))
    assert WORST[name] not in {broken.invariant for each in done for broken in each.violations}
    assert not len(done[-1].state.tasks)


BESIDE = """\
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 65
gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 5
may 1 process p1
"""


def test_what_has_nothing_to_do_with_it_is_no_part_of_the_safe_schedule() -> None:
    search = explore(set_up(parse(BESIDE)))
    told = story(search, next(one for one in report(search).findings if one.prop[0] == "lost-write"))
    assert told.point_of_no_return is not None
    assert {action.task for action in told.point_of_no_return.safe} == {"dma", "madvise"}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_defence_that_works_leaves_nothing_worse_than_a_hazard(name: str) -> None:
    search = searched(name)
    assert search.complete
    assert [prop for prop in search.found if prop[1] != "hazard"] == []


@pytest.mark.parametrize(
    "name", ["missing-flush", "stale-get-fork", "tables-freed-by-rcu", "udmabuf-punched", "uffd-move-pinned"]
)
def test_equals_a_search_that_remembers_nothing(name: str) -> None:
    search = explore(scene(name), symmetry=False)
    assert naive_search.search(search.scene) == (len(search.seen), search.transitions, search.distance)


def test_the_first_corruption_is_found_without_searching_everything() -> None:
    whole = searched("stale-pin")
    first = explore(scene("stale-pin"), stop=lambda prop: prop[1] == "corruption")
    assert min(first.found, key=worst_first) == min(whole.found, key=worst_first)
    assert len(first.seen) < len(whole.seen) / 5
