"""From a step of a lesson into the sandbox, and as a code to anywhere."""

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.play.player import Player
from model.session.move_log import can_be_recorded
from tests.tui.user import at
from tui.drivers.drill import DrillDriver
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.sandbox_from_lesson import aside


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


def test_every_step_of_a_lesson_with_tasks_left_waiting_is_reached_by_its_own_way() -> None:
    player = Player(find("gup-fast"))
    reached = 0
    while player.spot.item < 11:
        view = player.view()
        if "answer" in view.may and not view.guess:
            assert not player.answer("1") or not player.answer(view.choices[0])
        elif player.forward():
            break
        driver = aside(player)
        assert driver.session.state == player.standing.context.state
        assert can_be_recorded(driver.session.timeline), "so it can be saved and handed on"
        reached += 1
    assert reached > 20
