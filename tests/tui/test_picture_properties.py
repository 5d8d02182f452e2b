"""What holds of every picture, whatever was done: counts agree, lines lead where the state says, no row jumps."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from model.invariants.case import case_of
from model.invariants.holders import WEIGHTS, Holder, large_weight, members
from model.invariants.machine_view import MachineView
from model.invariants.rules.counts import expected_refs
from model.memory.flags import GUP_PIN_COUNTING_BIAS
from model.memory.folio import page_folio
from model.session.session import Session
from model.session.timeline import Node
from tests.model.random_scripts import commands, scripts
from tests.model.test_random_scripts import COUNTED, UNCOUNTED, possible
from tests.tui.moments import MOMENTS, seen
from tests.tui.moments import commands as read
from tui.views.picture.draw import picture
from tui.views.picture.history import History
from tui.views.picture.layout import layout
from tui.views.picture.lines import Lines
from tui.views.picture.picture_state import PictureState
from tui.views.picture.routing import Net
from tui.views.picture.units import counted, token_counts, units

EXAMPLES: Final = int(os.environ.get("PTESCOPE_EXAMPLES", "250")) // 16
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def session_of(lines: list[str]) -> Session:
    """The script as far as it can be carried out."""
    session = Session()
    for command in commands(lines):
        if possible(command):
            session.perform(command)
    return session


def way(session: Session) -> list[Node]:
    """Every place of the way, from the first process on."""
    return [node for node in session.timeline.path_to(session.node) if node.state.processes][-120:]


def pictures(session: Session) -> Iterator[PictureState]:
    """What is to be drawn at each micro-step, with what that step changed."""
    history = History(session.timeline)
    for node in way(session):
        yield seen(session.timeline, history, node, max(node.depth - 1, 0))


def check_all(drawn: PictureState, before: PictureState | None) -> None:
    """What holds of one picture; counts only where they can have changed since the one before."""
    check_counts(drawn, before)
    check_lines(drawn)
    check_boxes(drawn)


def untouched(pfn: int, one: PictureState, other: PictureState) -> bool:
    """Whether a step has left a small frame and its holders alone."""
    frame, held = one.state.frames[pfn], one.index.held.get(pfn)
    same = other.state.frames.get(pfn) is frame and other.index.held.get(pfn) is held
    return same and not frame.large and other.index.cached.get(pfn) is one.index.cached.get(pfn)


def check_counts(drawn: PictureState, before: PictureState | None) -> None:
    """Tokens and number agree for every frame; what no holder explains is marked as nobody's."""
    for pfn, frame in drawn.state.frames.items():
        if not counted(frame) or (before is not None and untouched(pfn, drawn, before)):
            continue
        found = units(drawn.state, drawn.index, pfn)
        assert sum(unit.weight for unit in found) == frame.refcount
        surplus = sum(unit.weight for unit in found if unit.token in {"nobody", "missing"})
        scene = MachineView(drawn.state, drawn.index)
        drawn_tokens = Counter({unit.token: 0 for unit in found})
        for unit in found:
            drawn_tokens[unit.token] += 1 if unit.weight == GUP_PIN_COUNTING_BIAS else abs(unit.weight)
        assert token_counts(drawn.state, drawn.index, pfn) == drawn_tokens
        case = case_of(scene, page_folio(drawn.state, pfn), of_folio=True) if frame.large else case_of(scene, pfn)
        expected = expected_refs(case)
        assert expected is None or expected == frame.refcount - surplus
        lines = [unit.holder for unit in found if unit.holder is not None]
        single = [holder for holder in lines if not frame.large or holder.kind != "task"]  # it may hold several pages
        assert len(set(single)) == len(single), "one line a unit"
        if frame.large:
            assert all(large_weight(holder, frame.order).refs for holder in lines)
            held = case.held
        else:
            assert all(WEIGHTS[holder.kind].refs for holder in lines)
            held = drawn.index.holders(pfn)
        assert set(lines) <= set(members(held))


def rows_of(nets: list[Net]) -> set[tuple[str, int]]:
    """(subject, row of the frame) of each line."""
    return {(near.subject, far.row) for net in nets for near in net.near for far in net.far}


def check_lines(drawn: PictureState) -> None:
    """Every entry and every holder has a line to each of its frames that is drawn; there are no other lines."""
    found = layout(drawn)
    entries, _ = Lines(drawn, found).on_the_left()
    wanted = set()
    for line in found.lines:
        run = line.run
        if run is None or line.column or run.more:
            continue
        for vpn in (run.first,) if run.huge else range(run.first, run.stop):
            entry = drawn.entry((run.process, vpn))
            if entry is not None and entry.present and entry.pfn in found.at:
                whole = found.folio_at.get(entry.pfn) if run.huge else None
                wanted.add((run.process, run.first, found.at[entry.pfn] if whole is None else whole))
    starts = {number: line.run.page for number, line in enumerate(found.lines) if line.run is not None}
    led = {(*starts[near.row], far.row) for net in entries for near in net.near for far in net.far}
    assert led == wanted
    held = rows_of(Lines(drawn, found).on_the_right())
    assert held == {
        (f"{kind}:{name}", found.at[pfn])
        for (kind, name), frames in found.holders.items()
        for pfn in frames
        if pfn in found.at
    }


def check_boxes(drawn: PictureState) -> None:
    """No frame has two boxes, no row stands for two things."""
    found = layout(drawn)
    boxes = [pfn for line in found.lines for pfn in line.frames]
    assert len(set(boxes)) == len(boxes)
    names = [line.identity for line in found.lines if line.identity != BLANK]
    assert len(set(names)) == len(names)
    holders = [line.holder for line in found.lines if line.holder is not None]
    assert sorted(holders) == sorted(found.holders)


BLANK = ("", "", (), "")


def check_order(before: PictureState, after: PictureState) -> None:
    """What stands in both pictures stands in the same order; a frame that stays beside its page stays on its row."""
    one = [line.identity for line in layout(before).lines if line.identity != BLANK]
    other = [line.identity for line in layout(after).lines if line.identity != BLANK]
    assert [name for name in one if name in set(other)] == [name for name in other if name in set(one)]


@MANY
@given(scripts(COUNTED))
def test_tokens_lines_and_number_agree_in_ordinary_memory(lines: list[str]) -> None:
    for before, drawn in pairwise(chain([None], pictures(session_of(lines)))):
        assert drawn is not None
        check_all(drawn, before)
        assert all(len(row.text) <= 76 for row in picture(drawn, 76))


@MANY
@given(scripts(UNCOUNTED))
def test_tokens_lines_and_number_agree_with_every_driver(lines: list[str]) -> None:
    for before, drawn in pairwise([None, *list(pictures(session_of(lines)))[-20:]]):
        assert drawn is not None
        check_all(drawn, before)
        assert all(len(row.text) <= 76 for row in picture(drawn, 76))


@MANY
@given(scripts(COUNTED))
def test_no_row_jumps_from_step_to_step(lines: list[str]) -> None:
    for before, after in pairwise(pictures(session_of(lines))):
        check_order(before, after)


@MANY
@given(scripts(COUNTED))
def test_back_and_forward_give_the_same_picture(lines: list[str]) -> None:
    session = session_of(lines)
    forward = [picture(drawn, 76) for drawn in pictures(session)]
    history = History(session.timeline)
    back = [
        picture(seen(session.timeline, history, node, max(node.depth - 1, 0)), 76) for node in reversed(way(session))
    ]
    assert forward == back[::-1]


@pytest.mark.parametrize("name", MOMENTS)
def test_the_decisive_moments_keep_all_of_it_at_every_micro_step(name: str) -> None:
    session = Session()
    for command in read(MOMENTS[name]):
        session.perform(command)
    states = list(pictures(session))
    for number, drawn in enumerate(states):
        check_all(drawn, states[number - 1] if number else None)
    for before, after in pairwise(states):
        check_order(before, after)


@pytest.mark.parametrize("name", MOMENTS)
def test_the_ledger_knows_since_which_step_a_unit_is_held(name: str) -> None:
    session = Session()
    for command in read(MOMENTS[name]):
        session.perform(command)
    history = History(session.timeline)
    since: dict[tuple[int, Holder], int] = {}
    for node in session.timeline.path_to(session.node):
        index = node.checker.scene.holding
        now = {(pfn, holder) for pfn in index.pfns for holder in members(index.holders(pfn))}
        since = {each: since.get(each, node.depth) for each in now}
        assert dict(history.at(node).since.items()) == since
