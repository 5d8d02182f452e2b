"""Properties in the search: the same verdicts as asking every state that a search without memory of its own reaches."""

import pytest

from model.script.moment import Moment
from model.script.parser import parse
from model.script.properties import StateProperty
from model.search.bfs import explore
from model.search.report import report
from tests.model import naive_search
from tests.model.test_search_random import random_search

STATED = """\
process p0
device nic
mmap p0 buf anon private rw 2
always present p0 buf
never writable p0 buf
always rss p0 1
never content p0 buf 65
never mapcount p0 buf 2
never broken
never broken stale-tlb
"""
PROPERTIES = tuple(StateProperty.of(command) for command in parse(STATED)[3:])


SEEDS = (0, 1, 3, 4, 5, 7)
"""Random scenes; those of 2 and 6 have so many states that a search without any short cut takes ten times as long."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_property_is_broken_where_some_reachable_state_breaks_it(seed: int) -> None:
    scene = random_search(seed, symmetry=False).scene._replace(properties=PROPERTIES)
    met: set[str] = set()

    def judge(place: naive_search.Place) -> naive_search.Place:
        moment = Moment(place.state)
        met.update(one.text for one in PROPERTIES if one.text not in met and one.is_broken(moment))
        return place

    naive_search.search(scene, judge)
    found = report(explore(scene))
    assert {name for name, verdict in found.stated.items() if verdict in {"sometimes", "always"}} == met
    for finding in found.findings:  # each way was walked on the plain kernel to where it breaks the property
        assert found.search.distance[finding.prop] == finding.shortest.steps
