"""Terminals of every size and kind: nothing breaks, nothing is hidden, nothing is written that they cannot show."""

import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator

import pytest
from textual.app import App

from benchmarks.terminal import Program
from lessons.file.library import find
from lessons.learner.progress import Store
from tests.tui.user import User, at
from tui.app.gone_terminal import outliving
from tui.drivers.driver import Driver
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver

SIZES = (
    (80, 24),
    (80, 50),
    (99, 31),
    (99, 32),
    (100, 31),
    (100, 32),
    (120, 40),
    (189, 45),
    (190, 32),
    (250, 24),
    (250, 80),
)
"""The smallest, the largest, and both sides of every border between two layouts."""
LESSON = "a-reference-is-not-a-mapping"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def lesson(store: Store) -> Driver:
    return lesson_driver(find(LESSON), store)


async def resize(user: User, size: tuple[int, int]) -> None:
    await user.pilot.resize_terminal(*size)
    await user.pilot.pause()


def whole(user: User, size: tuple[int, int], title: str) -> None:
    """The screen has a title at its top, keys at its bottom, and every line is as wide as the terminal."""
    lines = user.lines()
    assert len(lines) == size[1]
    assert {len(line) for line in lines} == {size[0]}
    assert title in lines[0]
    assert "?" in lines[-1], "the key line tells how to get help"


async def test_a_lesson_fits_every_terminal_and_every_change_of_its_size(store: Store) -> None:
    async with at(store, lesson(store)) as user:
        for size in SIZES:
            await resize(user, size)
            whole(user, size, "A reference is not a mapping")
            assert "Predict" in user.seen(), size
        await user.enter("1025")
        for number, size in enumerate(random.Random(6).choices(SIZES, k=12)):
            await resize(user, size)
            await user.press("n" if number % 3 else "p")
            whole(user, size, "A reference is not a mapping")


async def test_the_sandbox_fits_every_terminal(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        for size in SIZES:
            await resize(user, size)
            whole(user, size, "Sandbox")
            for pane in "23456":
                await user.press(pane)
                assert not user.stage.panes["head"].region.overlaps(user.stage.body.region)
                whole(user, size, "Sandbox")


async def test_home_and_help_fit_every_terminal(store: Store) -> None:
    async with at(store) as user:
        for size in SIZES:
            await resize(user, size)
            whole(user, size, "ptescope")
            await user.press("question_mark")
            assert (
                "Everywhere" in user.seen()
                or "Panes" in user.seen()
                or "Here" in user.seen()
                or "On this screen" in user.seen()
            )
            await user.press("escape")


@pytest.fixture(params=[{"NO_COLOR": "1"}, {"TERM": "linux", "COLORTERM": ""}], ids=lambda given: next(iter(given)))
def screen(request: pytest.FixtureRequest) -> Iterator[tuple[dict[str, str], Program]]:
    """A lesson in such a terminal, at its first frame."""
    argv = (sys.executable, "-m", "tui", "learn", LESSON)
    with Program(argv, environment=request.param) as program:
        program.first_frame("rules hold")
        yield request.param, program


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_a_terminal_is_sent_only_what_it_can_show(screen: tuple[dict[str, str], Program]) -> None:
    environment, program = screen
    cells = program.screen.cells
    if "NO_COLOR" in environment:
        assert {(cell.fg, cell.bg) for cell in cells} == {("default", "default")}
        assert any(cell.reverse for cell in cells)
    else:
        assert all(cell.data.isascii() for cell in cells)
        assert not any(len(cell.fg) == 6 and set(cell.fg) <= set("0123456789abcdef") for cell in cells), "true colour"


async def test_nothing_that_the_library_draws_needs_more_than_ascii(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTESCOPE_ASCII", "1")
    async with at(store, lesson(store), (80, 24)) as user:
        await user.press("1", "0", "2", "5", "enter")
        for key in (":", "ctrl+p", "question_mark"):
            await user.press(key)
            await user.pilot.pause()
            assert user.seen().isascii(), (key, [line for line in user.lines() if not line.isascii()])
            assert {len(line) for line in user.lines()} == {80}
            await user.press("escape")


async def test_a_terminal_that_calls_itself_enormous_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.drivers.linux_driver import LinuxDriver

    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((65535, 30)))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert vars(outliving(LinuxDriver)(App()))["_size"] == (1000, 30)
