"""The sandbox beyond single steps: history tree, tasks, watches, differences, codes, files, settings, forms."""

from pathlib import Path

import pytest
from textual.events import Paste

from lessons.library import find
from lessons.player import Player
from lessons.progress import Store
from model.script.account import Runner
from model.script.parser import parse
from model.session.record import can_be_recorded
from tests.tui.user import KEYS, NORMAL, SMALL, User, at
from tui.app import free_driver, lesson_driver
from tui.aside import aside
from tui.drill_driver import DrillDriver
from tui.sandbox_driver import SandboxDriver
from tui.screens.code import Code
from tui.screens.form import Form
from tui.screens.overlay import Overlay
from tui.screens.prompt import Line
from tui.screens.settings import Settings
from tui.screens.stage import Stage

STALE = (
    "process p0",
    "mmap p0 buf anon private rw 1",
    "write p0 buf 1",
    "gup p0 buf as=r write pin",
    "madvise p0 buf dontneed",
)
SIZES = pytest.mark.parametrize("size", [SMALL, NORMAL])


def driver_of(*lines: str, store: Store | None = None) -> SandboxDriver:
    driver = SandboxDriver() if store is None else free_driver(store)
    for line in lines:
        assert not driver.command(line)
        driver.step("command")
    return driver


def overlay(user: User) -> str:
    assert isinstance(user.screen, Overlay)
    return "\n".join(row.text for row in user.screen.pane.rows)


# -- the history ---------------------------------------------------------------------------------------


@SIZES
async def test_the_tree_shows_every_way_and_leads_anywhere(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver, size) as user:
        await user.press("B")
        await user.enter("stale")
        await user.press("home")
        await user.command("memfd f 2")
        await user.press("c", "T")
        shown = overlay(user)
        assert "[stale] madvise p0 buf dontneed" in shown
        assert "memfd f 2" in shown
        assert shown.index("memfd f 2") < shown.index("mmap p0 buf"), "a side branch stands before the trunk goes on"
        await user.press("right_square_bracket", "enter")
        assert user.is_on(Stage)
        timeline = driver.session.timeline
        assert timeline.bookmarks[timeline.here.number] == "stale"
        await user.press("T", "end", "up", "d")
        assert "step " in overlay(user)
        await user.press("q")
        await user.command("goto 0")
        assert timeline.here.number == 0
        await user.command("goto stael")
        assert "did you mean `stale`" in user.pane("foot")


@SIZES
async def test_what_differs_names_old_and_new(store: Store, size: tuple[int, int]) -> None:
    async with at(store, driver_of(*STALE[:3]), size) as user:
        await user.press("B")
        await user.enter("before")
        await user.command(STALE[3])
        await user.press("c")
        await user.command("diff before")
        shown = overlay(user)
        assert "~ frame 5: refcount 1 → 1025" in shown
        assert "+ reference r: kind pin" in shown
        assert "free" not in shown
        await user.press("2")
        await user.press("q")
        await user.press("D", "3")
        assert "+ process p0" in overlay(user)


async def test_a_block_of_2_mib_is_one_difference(store: Store) -> None:
    async with at(store, SandboxDriver(), SMALL) as user:
        await user.command("scene huge-page-hole")
        await user.press("D", "3")
        shown = overlay(user)
        assert "frame 513-1023: buffer, refcount 0, mapcount 0" in shown
        assert len(shown.splitlines()) < 70


async def test_watched_expressions_say_when_they_changed(store: Store) -> None:
    async with at(store, driver_of(*STALE[:3]), SMALL) as user:
        await user.press("w")
        await user.enter("refcount p0 buf")
        await user.command("watch present p0 buf")
        await user.command("watch refcuont p0 buf")
        assert "refcount" in user.pane("foot"), "the nearest word is named"
        await user.command(STALE[3])
        await user.press("c")
        step = user.stage.picture.position
        assert "refcount p0 buf = 1025  (was 1 until " in user.pane("story")
        await user.command(STALE[4])
        await user.press("c")
        assert "refcount p0 buf = no page" in user.pane("story")
        assert "present p0 buf = no  (was yes until" in user.pane("story")
        assert user.stage.picture.position != step
        await user.command("watch present p0 buf")
        assert "present p0 buf" not in user.pane("story")


# -- tasks ---------------------------------------------------------------------------------------------


@SIZES
async def test_tasks_are_scheduled_by_number_and_say_who_is_in_the_way(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE[:3])
    async with at(store, driver, size) as user:
        await user.command("begin a mprotect p0 buf r")
        await user.press("r")
        for _ in range(10):
            if any(lock.writer == "a" for lock in driver.session.state.locks.values()):
                break
            await user.press("1")
        await user.press("q")
        await user.command("munmap p0 buf")
        await user.press("r", "2", "f")
        shown = user.seen()
        assert "mmap_lock of p0" in shown
        assert "a is at" in shown
        await user.press("q")
        await user.command("read p0 buf")
        assert "waits" in user.pane("foot"), "a command that waits is not given up silently"
        await user.command("finish a")
        await user.press("c")
        assert not len(driver.session.state.vmas)


# -- codes and files -----------------------------------------------------------------------------------


async def test_a_code_carries_a_state_to_another_sandbox(store: Store) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver) as user:
        await user.press("y")
        assert isinstance(user.screen, Code)
        code = user.screen.text
        await user.press("q")
    other = SandboxDriver()
    async with at(store, other, SMALL) as user:
        await user.command(f"code {code[:-1]}")
        assert "damaged" in user.pane("foot")
        await user.command(f"code {code}")
        assert other.session.state == driver.session.state
        assert "stale-reference" in user.seen()


async def test_a_saved_session_comes_back_with_every_branch(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pte").write_text("process p0\nraed p0 buf\n")
    driver = driver_of(*STALE)
    async with at(store, driver) as user:
        await user.command("watch refcount p0 buf")
        await user.press("home")
        await user.command("memfd f 2")
        await user.press("n", "ctrl+s")
        await user.enter("mine")
        assert "Saved as mine.pte" in user.pane("foot")
        await user.command("save mine.pte")
        assert "Saved as mine.pte" in user.pane("foot")
        await user.command("save bad.pte")
        assert "is no saved session" in user.pane("foot"), "what somebody has written by hand is not replaced"
    other = SandboxDriver()
    async with at(store, other) as user:
        await user.command("load mine.pte")
        assert len(other.session.timeline.nodes) == len(driver.session.timeline.nodes)
        assert other.session.state == driver.session.state
        assert other.watched == ["refcount p0 buf"]
        await user.command("load nobody.pte")
        assert "nobody.pte" in user.pane("foot")
        await user.command("load bad.pte")
        assert "2:1" in user.pane("foot")


async def test_what_was_not_saved_is_offered_the_next_time(store: Store) -> None:
    driver = driver_of(*STALE, store=store)
    assert not driver.keep()
    other = free_driver(store)
    async with at(store, other, SMALL) as user:
        assert ":restore" in user.pane("story")
        await user.command("restore")
        assert other.session.state == driver.session.state


async def test_a_session_left_at_its_start_is_not_said_to_have_no_commands(store: Store) -> None:
    driver = driver_of(*STALE, store=store)
    driver.end(last=False)
    assert not driver.keep()
    async with at(store, free_driver(store)) as user:
        story = user.pane("story")
        assert ":restore" in story
        assert "0 commands" not in story
        await user.command("restore")
        await user.press("end")
        assert "r" in user.stage.picture.state.references


async def test_what_was_typed_is_there_in_the_next_session(store: Store) -> None:
    async with at(store, driver_of(*STALE[:2])) as user:
        await user.command("write p0 buf 1")
        await user.command("read p0 buf")
    async with at(store, driver_of(*STALE[:2])) as user:
        await user.press("colon", "up", "up", "enter")
        assert "write p0 buf 1" in user.pane("foot")
        await user.press("c", "colon", *(KEYS.get(char, char) for char in "read"), "ctrl+r", "enter")
        assert "read p0 buf" in user.pane("foot")


@SIZES
async def test_a_ready_scene_is_loaded_by_its_number(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of("memfd f 2")
    async with at(store, driver, size) as user:
        await user.press("L", "1", "9")
        assert "stale-pin-punch" in driver.session.timeline.bookmarks.values()
        assert "lost-write" in user.seen() or "stale-reference" in user.seen()
        assert any(node.command == "memfd f 2" for node in driver.session.timeline.nodes), "nothing is lost"


async def test_bookmarks_stand_on_the_strip_and_are_a_key_away(store: Store) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver) as user:
        end = driver.session.node.number
        await user.press("home", "n", "n", "B")
        await user.enter("here")
        marked = driver.session.node.number
        await user.press("home")
        assert "◆" in user.seen(), "it stands on the strip"
        await user.press("end")
        assert driver.session.node.number == end
        await user.press("left_curly_bracket")
        assert driver.session.node.number == marked
        assert "here" in user.seen()
        await user.press("left_curly_bracket")
        assert driver.session.node.number == marked
        assert "No bookmark lies in that direction" in " ".join(user.seen().split())
        await user.press("home", "right_curly_bracket")
        assert driver.session.node.number == marked


@SIZES
async def test_any_two_places_can_be_compared(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver, size) as user:
        await user.command("bookmark end")
        await user.press("home")
        await user.command("memfd f 2")
        await user.press("c")
        await user.command("bookmark aside")
        await user.command("diff end aside")
        shown = overlay(user)
        assert "process p0" in shown, "what is only on the other way"
        assert "file f" in shown, "and what is only on this one"
        await user.press("q", "T", "m")
        await user.press("left_square_bracket", "d")
        backwards = overlay(user)
        assert "process p0" in backwards
        assert backwards != shown
        await user.press("q")
        await user.command("diff end asied")
        assert "did you mean `aside`?" in user.seen()
        await user.command("diff nowhere")
        assert "There is no place `nowhere`" in user.seen()
        await user.command("bookmark over there")
        await user.command("diff over there end")
        assert "reference r" in overlay(user), "a name may have blanks"
        await user.press("q", "T", "m")
        (marked,) = (line for line in overlay(user).splitlines() if "<marked>" in line)
        assert "over there" in marked
        await user.press("m")
        assert "<marked>" not in overlay(user)


SCRIPT = """
# a page, and a card that keeps it
process p0
mmap p0 buf anon private rw 1  # one page
write p0 buf 65
"""


async def test_a_pasted_script_is_carried_out(store: Store) -> None:
    driver = SandboxDriver()
    async with at(store, driver) as user:
        user.screen.post_message(Paste(SCRIPT))
        await user.pilot.pause()
        assert ("p0", "buf") in driver.session.state.labels
        assert len(driver.session.state.ptes), "the last line too, to its end"
        tasks = "begin one read p0 buf\nbegin two read p0 buf\nstep one 2\nstep two 1"
        user.screen.post_message(Paste(tasks))
        await user.pilot.pause()
        runner = Runner()
        for command in parse(SCRIPT + tasks):
            runner.perform(command)
        assert driver.session.state == runner.context.state, "as if the script had been run"


async def test_several_lines_pasted_into_the_prompt_are_carried_out_after_what_stands_there(store: Store) -> None:
    driver = SandboxDriver()
    async with at(store, driver) as user:
        await user.press("colon", *"note hello")
        user.screen.query_one(Line).post_message(Paste(" and\nprocess p0\nprocess p1\nmmap p1 buf"))
        await user.press("c")
        assert user.is_on(Stage)
        assert set(driver.session.state.processes) == {"p0", "p1"}
        await user.press("colon", "up", "up")
        assert user.screen.query_one(Line).value == "process p1", "each is in the history of the prompt"


async def test_a_pasted_script_ends_at_the_line_that_cannot_be_carried_out(store: Store) -> None:
    driver = SandboxDriver()
    async with at(store, driver) as user:
        user.screen.post_message(Paste("process p0\nmmp p0 buf\nprocess p1"))
        await user.pilot.pause()
        assert set(driver.session.state.processes) == {"p0"}
        assert "2 of 3; the rest is left out" in " ".join(user.seen().split())
        assert "mmap" in user.seen()


# -- other machines, forms, lessons --------------------------------------------------------------------


@SIZES
async def test_another_kernel_side_by_side(store: Store, size: tuple[int, int]) -> None:
    driver = SandboxDriver()
    async with at(store, driver, size) as user:
        await user.command("scene kvm-read-only")
        await user.press("comma")
        assert isinstance(user.screen, Settings)
        await user.press("left")
        shown = overlay(user)
        assert "6.1 → 6.18" in shown or "6.1 → 7.3" in shown
        first = user.screen.pairs[user.screen.first]
        assert first.command.startswith("follow p0 buf")
        await user.press("d")
        assert user.screen.chosen == f"pair:{user.screen.first}"
        await user.press("a")
        assert user.is_on(Stage)
        assert driver.session.state.settings.get("kernel") != "6.1"


@SIZES
async def test_a_form_makes_a_command_of_what_is_valid_here(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE[:3], "device nic")
    async with at(store, driver, size) as user:
        await user.command("form gup")
        assert isinstance(user.screen, Form)
        form = user.screen
        assert form.line == "gup p0 buf as=r0"
        await user.press(*["tab"] * 7, "space")
        assert form.line.endswith(" pin")
        await user.press("enter")
        assert user.is_on(Stage)
        assert "gup p0 buf as=r0 pin" in user.pane("foot")
        await user.press("c")
        await user.command("form dma")
        assert isinstance(user.screen, Form)
        form = user.screen
        assert form.line == "dma r0 write 65"
        await user.press("tab", "down")
        assert form.line == "dma r0 read"
        await user.press("escape")
        assert user.is_on(Stage)


async def test_the_palette_has_a_form_for_every_verb_and_the_words_of_the_session(store: Store) -> None:
    async with at(store, driver_of(*STALE[:2])) as user:
        for typed, screen in (("command madvise", Form), ("session history", Overlay)):
            await user.press("ctrl+p")
            await user.pilot.pause(0.3)
            await user.press(*(KEYS.get(char, char) for char in typed))
            await user.pilot.pause(0.5)
            await user.press("enter")
            await user.pilot.pause(0.3)
            assert isinstance(user.screen, screen)
            await user.press("escape")


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


async def test_the_code_of_a_lesson_s_step_is_pasted_into_a_sandbox(store: Store) -> None:
    async with at(store, lesson_driver(find("a-reference-is-not-a-mapping"), store)) as user:
        await user.press("1", "enter", "n", "n", "y")
        state = user.app.screen_stack[-2].picture.state  # type: ignore[attr-defined]
        code = overlay(user).partition("pte1")
        assert "o open" not in user.seen(), "a lesson does not go where a code leads"
        await user.press("q")
    async with at(store, driver_of("process p9")) as user:
        user.screen.post_message(Paste("".join(code[1:])))
        await user.pilot.pause()
        assert user.stage.picture.state == state


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
        assert driver.session.state == player.spot.standing.context.state
        assert can_be_recorded(driver.session.timeline), "so it can be saved and handed on"
        reached += 1
    assert reached > 20
