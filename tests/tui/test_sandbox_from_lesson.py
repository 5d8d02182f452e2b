"""From a step of a lesson into the sandbox, and as a code to anywhere."""

from collections.abc import Iterator

import pytest

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.play.any_answer_player import go_on
from lessons.play.player import Player
from model.script import drive
from model.session.session import Session
from model.session.state_code import encode, follow
from tests.tui.user import at
from tui.drivers.drill import DrillDriver
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.sandbox_from_lesson import sandbox_from
from tui.session.session_file import as_text, load


async def test_from_a_lesson_to_the_same_state_and_back_untouched(store: Store) -> None:
    driver = lesson_driver(find("a-reference-is-not-a-mapping"), store)
    async with at(store, driver) as user:
        lesson = user.stage
        before = (lesson.picture, user.lines())
        await user.press("s")
        assert user.stage is not lesson
        beside = user.stage.driver
        assert isinstance(beside, SandboxDriver)
        assert beside.session.state == lesson.picture.state
        await user.command("munmap p0 buf")
        await user.press("c", "s")
        assert user.stage is lesson
        assert (lesson.picture, user.lines()) == before


async def test_an_exercise_has_no_code(store: Store) -> None:
    async with at(store, DrillDriver(store, "pte", 3)) as user:
        await user.press("y")
        assert "A state code is of a lesson's step" in user.told()


def through(name: str) -> Iterator[Player]:
    """A player at every place of a lesson, one after the other."""
    player = Player(find(name))
    yield player
    while not player.finished:
        assert go_on(player) == ""
        yield player


@pytest.mark.parametrize("name", ["gup-fast", "fault-against-move"])
def test_every_place_of_a_lesson_with_tasks_left_waiting_has_a_code_that_leads_there(name: str) -> None:
    reached = 0
    for player in through(name):
        session = sandbox_from(player).session
        assert session.state == player.standing.context.state
        if reached % 7 == 0:
            elsewhere = Session()
            assert follow(elsewhere, encode(session.timeline, session.node))
            assert elsewhere.state.tasks.items() >= session.state.tasks.items()
        reached += 1
    assert reached > 40


def test_the_sandbox_of_a_lesson_carries_nothing_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, player = through("notifiers-and-hmm")
    with monkeypatch.context() as patched:
        patched.setattr(drive, "start", lambda *_: pytest.fail("a command was begun"))
        patched.setattr(drive, "proceed", lambda *_: pytest.fail("a micro-step was made"))
        driver = sandbox_from(player)
    ours, theirs = driver.session.timeline, player.timeline
    assert [id(node) for node in ours.nodes] == [id(node) for node in theirs.nodes]
    driver.command("process bystander")
    driver.step("command")
    assert len(ours.nodes) > len(theirs.nodes)
    assert theirs.here is player.timeline.nodes[player.place.at]


def test_the_history_of_a_lesson_with_several_scenes_is_saved_and_opened_again() -> None:
    *_, player = through("fault-against-move")
    session = sandbox_from(player).session
    scenes = {place.scene for place in player.places}
    assert len(scenes) > 1
    text, _ = as_text(session, [])
    opened = Session()
    load(opened, text)
    assert opened.state == session.state
    assert [node.state.fingerprint for node in opened.timeline.nodes] == [
        node.state.fingerprint for node in session.timeline.nodes
    ]
