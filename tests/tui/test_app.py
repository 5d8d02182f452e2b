"""The app as it is used: home, lessons, the sandbox; keys, clicks and what stands on the screen then."""

import pytest
from textual.widgets import Input

from lessons.file.library import find
from lessons.learner.progress import Store
from tests.tui.sandboxes import STALE, driver_of
from tests.tui.user import at
from tui.drivers.driver import Driver
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.screens.home import Home
from tui.screens.stage import Stage
from tui.widgets.line_pane import LinePane

LESSON = "a-reference-is-not-a-mapping"


def lesson(store: Store) -> Driver:
    return lesson_driver(find(LESSON), store)


# -- home ------------------------------------------------------------------------------------------


async def test_home_leads_to_lesson_and_sandbox_and_back(store: Store) -> None:
    async with at(store) as user:
        assert "A reference is not a mapping" in user.seen()
        pane = user.app.query_one("#home", LinePane)
        assert pane.cursor is not None
        assert pane.cursor.subject.startswith("lesson:")
        await user.press("enter")
        assert user.is_on(Stage)
        await user.press("q")
        assert user.is_on(Home)
        await user.press("s")
        assert "Sandbox" in user.lines()[0]
        await user.press("q", "q")
    assert user.app.return_code == 0


async def test_a_lesson_opened_directly_is_left_for_home(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        assert "section 1 of" in user.lines()[0]
        await user.press("q")
        assert user.is_on(Home)
        assert "12 min" in user.seen()


async def test_home_by_mouse(store: Store) -> None:
    async with at(store) as user:
        row = next(number for number, line in enumerate(user.lines()) if "A reference is not" in line)
        await user.pilot.click(offset=(10, row))
        await user.pilot.pause()
        assert "A reference is not a mapping" in user.lines()[0]


# -- a lesson ----------------------------------------------------------------------------------------


async def test_nothing_is_shown_before_the_guess(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        before = user.stage.picture.state
        await user.press("n")
        assert "Answer first" in user.seen()
        assert user.stage.picture.state is before
        assert "forward" not in user.lines()[-1], "the key line promises only what is possible"


async def test_no_digit_is_lost_however_fast_it_comes(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        await user.press_at_once("42\n")
        assert "Your guess: 42" in user.pane("story")


@pytest.mark.parametrize("typed", [":process p0", ":process p0\n"])
async def test_what_is_typed_at_once_goes_into_the_prompt(store: Store, typed: str) -> None:
    async with at(store, SandboxDriver()) as user:
        await user.press_at_once(typed)
        if not typed.endswith("\n"):
            assert user.screen.query_one(Input).value == "process p0"
            await user.press("enter")
        await user.press("c")
        assert "p0" in user.stage.picture.state.processes


async def test_digits_answer_a_question_for_a_number(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        await user.press("1")
        assert isinstance(user.app.focused, Input)
        await user.enter("025")
        assert "Your guess: 1025" in user.pane("story")
        await user.press("n")
        assert "section 2 of" in user.lines()[0]


@pytest.mark.parametrize(("letter", "answer"), [("a", "the zero page"), ("b", "EFAULT"), ("c", "a fresh frame")])
async def test_each_letter_chooses_its_answer_and_enter_gives_it(store: Store, letter: str, answer: str) -> None:
    async with at(store, lesson_driver(find("gup-slow"), store)) as user:
        await user.press(letter)
        assert "Your guess" not in user.pane("story"), "the letter chooses"
        await user.press("enter")
        assert f"Your guess: {answer}" in user.pane("story")


async def test_a_typed_answer_that_is_none_is_refused(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        await user.press("enter")
        await user.enter("many")
        assert "a number, please" in user.seen()


async def test_space_and_backspace_step_as_well_and_escape_loses_nothing(store: Store) -> None:
    async with at(store, driver_of(*STALE)) as user:
        before = user.stage.picture.state
        await user.press("backspace")
        assert user.stage.picture.state != before
        await user.press("space", "escape", "escape")
        assert user.stage.picture.state == before
        assert user.is_on(Stage)


async def test_forward_and_back_walk_the_same_way(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        await user.press("1", "enter", "n")
        seen = []
        for _ in range(6):
            seen.append(user.pane("spaces"))
            await user.press("right")
        for expected in reversed(seen):
            await user.press("left")
            assert user.pane("spaces") == expected


async def test_where_one_stops_is_where_one_goes_on(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        await user.press("1", "enter", "n", "n", "n")
        stopped = user.stage.picture
        await user.press("q")
    async with at(store, lesson(store)) as user:
        assert user.stage.picture.state == stopped.state
        assert user.stage.picture.position == stopped.position


async def test_the_whole_lesson_can_be_played_with_one_key_and_guesses(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        for _ in range(400):
            picture = user.stage.picture
            if picture.tale.ask is not None and picture.tale.ask.options:
                await user.press("b", "enter")
            elif picture.tale.ask is not None:
                await user.press("2", "enter")
            elif picture.tale.goal and "forward" not in picture.can:
                await user.press("h")
            elif picture.enter.startswith("app.next_lesson"):
                break
            else:
                await user.press("n")
        assert "The rule." in user.pane("story")
        severities = {one.severity for one in user.stage.picture.broken}
        assert severities <= {"hazard", "corruption", "splat"}
        await user.press("enter")
        assert user.stage.driver.picture().position.startswith("section 1 of"), "the next lesson, at its beginning"
        await user.press("q")
        assert user.is_on(Home)
        assert "done" in user.seen()


# -- the sandbox -------------------------------------------------------------------------------------


async def test_commands_are_typed_and_stepped(store: Store) -> None:
    async with at(store, SandboxDriver()) as user:
        await user.press("v")
        await user.command("process p0")
        await user.command("mmap p0 buf anon private rw 2")
        assert '"buf"' not in user.pane("spaces"), "a command begins before its first micro-step"
        await user.press("c")
        assert '16..17 rw-p anon "buf"' in user.pane("spaces")
        await user.command("write p0 buf 65")
        await user.press("i")
        assert user.stage.picture.position.startswith("step ")
        await user.press("o", "u", "c")
        assert "=65" in user.pane("spaces")
        assert "> write p0 buf 65" in user.pane("log")
        assert "p0 stores 65" in user.pane("log")


async def test_a_wrong_word_is_named_with_a_better_one(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.command("madvise p0 buf dontned")
        assert "did you mean `dontneed`?" in user.seen()


async def test_the_prompt_completes_and_remembers(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("colon", *"muns", "backspace")
        assert "munmap(2)" in user.seen()
        await user.press("tab", "tab")
        assert user.screen.query_one(Input).value.startswith("munmap p")
        await user.press("escape")
        await user.command("read p0 buf")
        await user.press("colon", "up")
        assert user.screen.query_one(Input).value == "read p0 buf"


async def test_going_back_and_doing_something_else_keeps_both_ways(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        await user.command("write p0 buf+2 1")
        await user.press("c")
        one = user.stage.picture.state
        await user.press("home")
        await user.command("munmap p0 buf")
        await user.press("c")
        assert '- 16..19 rw-p anon "buf" unmapped' in user.pane("spaces")
        await user.press("home")
        assert "+" in user.pane("foot"), "the strip shows where a way branches off"
        await user.press("right_square_bracket", "end")
        assert user.stage.picture.state == one


async def test_a_click_on_the_strip_goes_there(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.command("read p0 buf")
        await user.press("c")
        assert user.stage.picture.history.here > 0
        await user.pilot.click("#foot", offset=(1, 1))
        await user.pilot.pause()
        assert user.stage.picture.history.here == 0


async def test_a_command_that_waits_goes_on_when_the_other_task_lets_it(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        await user.command("begin t1 gup p0 buf as=r1 write pin")
        await user.command("step t1 6")
        await user.press("c")
        await user.command("munmap p0 buf")
        await user.press("c")
        assert "It must wait: cpu0: t1 runs there with interrupts off" in " ".join(user.pane("story").split("\n"))
        assert "task t1 is in" in user.pane("story")
        await user.command("finish t1")
        assert "task t1" not in user.pane("holders")
        await user.press("c")
        assert '"buf"' not in user.pane("spaces") or "unmapped" in user.pane("spaces")
        assert "ref r1" in user.pane("holders")
        assert "HAZARD  stale-reference" in user.seen()
