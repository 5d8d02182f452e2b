"""The history: back, forward, branches, equal states, bookmarks, differences, since when something is wrong."""

import tracemalloc

import pytest

from model.session.session import Session


def walked(*lines: str) -> Session:
    session = Session()
    for line in lines:
        session.run(line)
    return session


STALE = (
    "device nic",
    "process p0",
    "mmap p0 buf anon private rw 2",
    "write p0 buf 1",
    "gup p0 buf as=r0 write pin by=nic",
    "madvise p0 buf dontneed",
)


def test_every_micro_step_is_a_node_and_can_be_gone_back_to() -> None:
    session = walked("process p0", "mmap p0 buf anon private rw 2")
    before = session.node
    session.run("write p0 buf 7")
    end = session.node
    assert end.depth - before.depth > 10
    assert session.goto(before.number).state == before.state
    assert session.timeline.forward(lambda node: node.number == end.number) is end
    while session.node.number != before.number:
        session.timeline.back()
    assert session.node is before


def test_doing_something_else_after_going_back_grows_a_branch_and_loses_nothing() -> None:
    session = walked("process p0", "mmap p0 buf anon private rw 2")
    fork = session.node
    one = session.run("write p0 buf 7")
    session.goto(fork.number)
    other = session.run("write p0 buf 8")
    assert {one.number, other.number} <= {node.number for node in session.timeline.nodes}
    assert one.state != other.state
    assert session.timeline.common_ancestor(one, other).depth >= fork.depth
    assert session.goto(one.number).outcome is not None


def test_doing_the_same_again_walks_the_way_that_is_there() -> None:
    session = walked("process p0", "mmap p0 buf anon private rw 2")
    fork = session.node
    one = session.run("write p0 buf 7")
    many = len(session.timeline.nodes)
    session.goto(fork.number)
    assert session.run("write p0 buf 7") is one
    assert len(session.timeline.nodes) == many


def test_forward_remembers_the_branch_that_was_walked_last() -> None:
    session = walked("process p0")
    fork = session.node
    first = session.run("mmap p0 a anon private rw 1")
    session.goto(fork.number)
    second = session.run("mmap p0 b anon private rw 2")
    session.goto(fork.number)
    assert session.timeline.way()[-1] is second
    session.goto(first.number)
    session.goto(fork.number)
    assert session.timeline.way()[-1] is first
    session.timeline.branch(1)
    assert session.timeline.way()[-1] is second
    session.timeline.branch(1)
    assert session.timeline.way()[-1] is first


def test_equal_states_are_recognised_whatever_led_to_them() -> None:
    session = walked("process p0", "mmap p0 buf anon private rw 2", "write p0 buf 1", "write p0 buf 9")
    nine = session.node
    session.run("write p0 buf 5")
    session.run("write p0 buf 9")
    assert session.node.state == nine.state
    assert nine in session.timeline.same_as(session.node)
    assert session.node not in session.timeline.same_as(session.node)


def test_the_difference_of_two_nodes_leads_from_one_to_the_other() -> None:
    session = walked("process p0", "mmap p0 buf anon private rw 2", "write p0 buf 1")
    fork = session.node
    one = session.run("write p0 buf 7")
    session.goto(fork.number)
    session.run("write p0 buf 8")
    other = session.run("mprotect p0 buf r")
    there, back = session.timeline.difference(one, other), session.timeline.difference(other, one)
    assert ("content", 7, 8) in {(change.table, change.old, change.new) for change in there}
    assert {(c.table, c.key, c.old, c.new) for c in there} == {(c.table, c.key, c.new, c.old) for c in back}
    assert session.timeline.difference(one, one) == ()


def test_since_when_a_violation_holds() -> None:
    session = walked(*STALE)
    stale = session.violations[0]
    broke = session.timeline.since(stale)
    assert broke.stepped is not None
    assert (broke.command, broke.stepped.step) == ("madvise p0 buf dontneed", "zap_pte_range")
    session.run("mmap p0 more anon private rw 1")
    assert session.timeline.since(stale) is broke
    assert not session.timeline.nodes[broke.parent].checker.stands(stale)


def test_harm_that_leaves_no_trace_in_the_state_is_remembered_along_the_way() -> None:
    session = walked(*STALE)
    assert list(session.timeline.suffered()) == []
    harm = session.run("dma r0 write 9")
    session.run("read p0 buf")
    found = list(session.timeline.suffered())
    assert [(node.command, violation.invariant) for node, violation in found] == [("dma r0 write 9", "lost-write")]
    assert session.timeline.since(found[0][1]).command == "dma r0 write 9"
    session.goto(harm.parent)
    assert list(session.timeline.suffered()) == []
    with pytest.raises(LookupError):
        session.timeline.since(found[0][1])


def test_the_worst_at_a_node() -> None:
    session = walked(*STALE[:-1])
    assert session.timeline.severity(session.node) == ""
    session.run(STALE[-1])
    assert session.timeline.severity(session.node) == "hazard"
    assert session.timeline.severity(session.run("dma r0 write 9")) == "corruption"


def test_bookmarks_name_places() -> None:
    session = walked("process p0")
    session.timeline.bookmark("start")
    assert session.timeline.bookmarks == {session.node.number: "start"}
    session.timeline.bookmark("")
    assert session.timeline.bookmarks == {}


def test_there_is_no_node_that_was_never_reached() -> None:
    timeline = walked("process p0").timeline
    with pytest.raises(IndexError, match="the history has no node 99"):
        timeline.goto(99)
    with pytest.raises(IndexError):
        timeline.goto(-1)


def test_at_the_ends_back_and_forward_stay() -> None:
    session = walked("process p0")
    end = session.node
    assert session.timeline.forward() is end
    session.goto(0)
    assert session.timeline.back() is session.timeline.nodes[0]


def test_a_kept_step_costs_no_more_than_4_kb() -> None:
    session = walked(*STALE, "fork p0 p1")
    tracemalloc.start()
    try:
        at_first = len(session.timeline.nodes)
        for value in range(10):
            for line in (f"write p0 buf {value}", "read p0 buf+1", "madvise p0 buf dontneed", "dma r0 write 3"):
                session.run(line)
        kept = len(session.timeline.nodes) - at_first
        assert kept > 300
        assert tracemalloc.get_traced_memory()[0] / kept < 4096
    finally:
        tracemalloc.stop()


def test_all_harm_on_the_way_is_remembered_not_the_last_alone() -> None:
    session = walked(*STALE, "dma r0 write 9", "dma r0 write 10")
    assert [node.command for node, _ in session.timeline.suffered()] == ["dma r0 write 9", "dma r0 write 10"]


def test_a_copy_of_a_history_grows_on_its_own() -> None:
    session = walked(*STALE[:-1])
    end, many = session.node, len(session.timeline.nodes)
    twin = Session(timeline=session.timeline.copy())
    twin.run("write p0 buf 7")
    assert len(twin.timeline.nodes) > many
    assert len(session.timeline.nodes) == many
    assert session.timeline.forward() is end
    assert session.timeline.way()[-1] is end
