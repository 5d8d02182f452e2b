"""What leaves a sandbox and comes into one: codes, files, what was kept, what is pasted and recalled."""

import os
from pathlib import Path

import pytest
from textual.events import Paste

from lessons.file.library import find
from lessons.learner.progress import Store
from model.script.parser import parse
from model.script.runner import Runner
from tests.tui.sandboxes import STALE, driver_of, overlay
from tests.tui.user import KEYS, SMALL, at
from tui.drivers.opening import lesson_driver, sandbox_driver
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.session_commands import carry_out
from tui.export.screen import write_screen
from tui.screens.code import Code
from tui.screens.prompt import PromptInput
from tui.screens.stage import Stage
from tui.session.session_file import check


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


def test_a_session_comes_back_whose_script_no_reader_would_take(tmp_path: Path) -> None:
    driver, other = SandboxDriver(), SandboxDriver()
    two_ask_for_one_name = ("begin A fork p0 p2", "begin B fork p1 p2", "finish A", "munmap p2 buf")
    for line in ("process p0", "process p1", "mmap p0 buf anon private rw 1", *two_ask_for_one_name):
        command = driver.session.understand(line)
        assert command is not None
        driver.session.perform(command)
    assert "by the history below it" in carry_out(driver, f"save {tmp_path / 'mine.pte'}")
    assert not carry_out(other, f"load {tmp_path / 'mine.pte'}")
    assert other.session.state == driver.session.state
    check((tmp_path / "mine.pte").read_text())


async def test_what_was_not_saved_is_offered_the_next_time(store: Store) -> None:
    driver = driver_of(*STALE, store=store)
    assert not driver.keep()
    other = sandbox_driver(store)
    async with at(store, other, SMALL) as user:
        assert ":restore" in user.pane("story")
        await user.command("restore")
        assert other.session.state == driver.session.state


async def test_a_session_left_at_its_start_is_not_said_to_have_no_commands(store: Store) -> None:
    driver = driver_of(*STALE, store=store)
    driver.end(last=False)
    assert not driver.keep()
    async with at(store, sandbox_driver(store)) as user:
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
        user.screen.query_one(PromptInput).post_message(Paste(" and\nprocess p0\nprocess p1\nmmap p1 buf"))
        await user.press("c")
        assert user.is_on(Stage)
        assert set(driver.session.state.processes) == {"p0", "p1"}
        await user.press("colon", "up", "up")
        assert user.screen.query_one(PromptInput).value == "process p1", "each is in the history of the prompt"


async def test_a_pasted_script_ends_at_the_line_that_cannot_be_carried_out(store: Store) -> None:
    driver = SandboxDriver()
    async with at(store, driver) as user:
        user.screen.post_message(Paste("process p0\nmmp p0 buf\nprocess p1"))
        await user.pilot.pause()
        assert set(driver.session.state.processes) == {"p0"}
        assert "2 of 3; the rest is left out" in " ".join(user.seen().split())
        assert "mmap" in user.seen()


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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("save .", ". is a folder"),
        ("save /", "/ is a folder"),
        ("save ..", ".. is a folder"),
        ("save ~nobody-of-that-name/x", "there is no such user"),
        ("save pipe.pte", "no ordinary file"),
        ("save endless", "no ordinary file"),
        (f"save {'x' * 300}", "too long"),
        ("load .", "is a folder"),
        ("load ~nobody-of-that-name/x", "there is no such user"),
        ("load pipe.pte", "no ordinary file"),
        ("load endless.pte", "no ordinary file"),
    ],
)
def test_a_bad_file_name_is_said_to_be_one(
    line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.pte")
    (tmp_path / "endless.pte").symlink_to("/dev/zero")
    driver = driver_of(*STALE)
    assert told in carry_out(driver, line)
    assert len(driver.session.timeline.nodes) > len(STALE), "nothing is lost"


async def test_a_screen_is_not_written_to_a_folder(store: Store, tmp_path: Path) -> None:
    async with at(store, driver_of()) as user:
        assert "is a folder" in write_screen(user.app, str(tmp_path))
        assert "there is no such user" in write_screen(user.app, "~nobody-of-that-name/x.svg")
