"""The explorer: choose what may happen, watch the search in its own process, land in the counterexample."""

import asyncio

import pytest
from textual.widgets import DataTable, Input, Static

from lessons.library import find
from lessons.progress import Store
from model.script.parser import parse
from tests.tui.user import NORMAL, SMALL, User, at
from tui.app import lesson_driver
from tui.sandbox_driver import SandboxDriver
from tui.screens.atlas import Map
from tui.screens.explorer import Explorer
from tui.screens.stage import Stage
from tui.trail_driver import TrailDriver

SCENE = """
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
"""


def sandbox(script: str = SCENE) -> SandboxDriver:
    return SandboxDriver(parse(script))


def status(user: User) -> str:
    return str(user.screen.query_one("#status", Static).content)


async def searched(user: User) -> str:
    """Search, and wait for the end; what is said then."""
    await user.press("ctrl+r")
    assert isinstance(user.screen, Explorer)
    if user.screen.searching is not None:
        await user.screen.searching
    await user.pilot.pause()
    return status(user)


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_from_the_stage_into_the_counterexample_and_back(store: Store, size: tuple[int, int]) -> None:
    async with at(store, sandbox(), size) as user:
        await user.press("x")
        assert "gup p0 buf+0 as=r0 write by=nic" in user.seen()
        assert "Every schedule searched" in await searched(user)
        table = user.screen.query_one(DataTable)
        assert table.get_row_at(0)[:3] == ["✗ lost-write", "sometimes", "corruption"]
        await user.press("enter")
        assert user.is_on(Stage)
        assert isinstance(user.stage.driver, TrailDriver)
        assert "The point of no return lies ahead." in user.pane("story")
        assert not user.stage.picture.broken
        await user.press("end")
        assert "lost-write" in user.seen()
        assert "The point of no return lies behind" in user.pane("story")
        await user.press("q")
        assert user.is_on(Explorer)
        await user.press("escape")
        assert user.is_on(Stage)
        assert not isinstance(user.stage.driver, TrailDriver)


async def test_the_safe_schedule_is_the_other_branch_at_the_point_of_no_return(store: Store) -> None:
    async with at(store, sandbox()) as user:
        await user.press("x")
        await searched(user)
        await user.press("enter")
        driver = user.stage.driver
        assert isinstance(driver, TrailDriver)
        await user.pilot.pause()
        user.stage.move(lambda: driver.go(driver.tipping))
        await user.pilot.pause()
        assert "The point of no return: here a safe schedule is open for the last time." in " ".join(
            user.pane("story").split()
        )
        await user.press("left_square_bracket", "end")
        assert not any(broken.invariant == "lost-write" for broken in user.stage.picture.broken)


async def test_what_is_permitted_is_up_to_the_user(store: Store) -> None:
    async with at(store, sandbox()) as user:
        await user.press("x")
        for _ in range(2):  # neither the card nor its DMA
            await user.press("space", "down")
        assert "Every schedule searched" in await searched(user)
        table = user.screen.query_one(DataTable)
        assert all(table.get_row_at(row)[1] == "never" for row in range(table.row_count))
        await user.press("enter")
        assert user.is_on(Explorer), "where no rule is broken there is nothing to step through"


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_the_map_of_a_small_space_is_walked_with_the_arrows(store: Store, size: tuple[int, int]) -> None:
    async with at(store, sandbox(f"{SCENE}gup p0 buf as=r0 write by=nic"), size) as user:
        await user.press("x")
        screen = user.screen
        assert isinstance(screen, Explorer)
        screen.offers = {command: command.startswith(("dma r0 write", "madvise")) for command in screen.offers}
        await searched(user)
        await user.press("M")
        assert isinstance(user.screen, Map)
        assert "corruption" in user.lines()[0], "the ends by class"
        walked = [user.screen.here]
        for _ in range(8):
            await user.press("down")
            walked.append(user.screen.here)
        assert len(set(walked)) == len(walked)
        depth = user.screen.atlas.places[walked[-1]].depth
        await user.press("up", "right", "enter")
        assert user.is_on(Stage)
        assert user.stage.picture.title == "From the map"
        assert any("begin" in line.text for line in user.stage.picture.log)
        await user.press("q", "q")
        assert user.is_on(Explorer)
        assert depth == 8


async def test_a_large_space_is_not_drawn(store: Store) -> None:
    async with at(store, sandbox()) as user:
        await user.press("x")
        await searched(user)
        await user.press("M")
        assert user.is_on(Explorer)
        assert "too many" in status(user)


async def test_a_command_of_ones_own_and_what_is_wrong_with_it(store: Store) -> None:
    async with at(store, sandbox()) as user:
        await user.press("x")
        user.screen.query_one("#own", Input).value = "2 raed p0 buf"
        assert "did you mean `read`?" in await searched(user)
        user.screen.query_one("#own", Input).value = "2 read p0 buf; fork p0 c"
        user.screen.query_one("#states", Input).value = "0"
        assert "above 0" in await searched(user)
        user.screen.query_one("#states", Input).value = "50"
        assert "Ended before everything was searched" in await searched(user)


async def test_a_search_is_ended_by_escape_and_leaves_no_process(store: Store) -> None:
    async with at(store, sandbox()) as user:
        await user.press("x")
        user.screen.query_one("#own", Input).value = "8 write p0 buf 3; 8 madvise p0 buf dontneed; 3 fork p0 c"
        await user.press("ctrl+r")
        assert isinstance(user.screen, Explorer)
        task = user.screen.searching
        assert task is not None
        await asyncio.sleep(1)
        assert status(user).startswith("searching")
        await user.press("escape")
        await task
        assert "ended" in status(user)
        await user.press("escape")
        assert user.is_on(Stage)


async def test_a_lesson_is_explored_and_stays_where_it_was(store: Store) -> None:
    async with at(store, lesson_driver(find("a-reference-is-not-a-mapping"), store)) as user:
        before = user.stage.picture
        await user.press("x")
        assert "Every schedule searched" in await searched(user)
        await user.press("enter", "n", "q", "escape")
        assert user.stage.picture is before
