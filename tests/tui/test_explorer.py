"""The explorer: chosen, searched in a process of its own, walked into; nothing is left behind."""

import asyncio
import xml.etree.ElementTree as ET
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lessons.file.library import find
from lessons.learner.progress import Store
from model.script.parser import parse
from tests.tui.user import LARGE, NORMAL, SMALL, User, at
from tui.drivers.counterexample import CounterexampleDriver
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.export.screen import write_screen
from tui.screens.explorer import Explorer
from tui.screens.sandbox_stage import SandboxStage
from tui.screens.stage import Stage
from tui.screens.state_graph import Map

PINNED = """
process p0
device nic
mmap p0 buf anon private rw 1
write p0 buf 65
gup p0 buf as=r0 write pin by=nic
"""
BUFFER = """
process p0
device nic
bo b 1 in=gtt exporter=insert-page caching=cached
export b as=d
mmap p0 buf dmabuf:d shared rw 1
"""


def sandbox(text: str) -> SandboxDriver:
    return SandboxDriver(parse(text))


async def until(user: User, true: Callable[[], bool]) -> None:
    """Wait for the worker."""
    for _ in range(3000):
        await user.pilot.pause(0.02)
        if true():
            return
    raise AssertionError(user.seen())


def explorer(user: User) -> Explorer:
    assert isinstance(user.screen, Explorer)
    return user.screen


async def searched(user: User) -> None:
    """Wait for the result."""
    screen = explorer(user)
    await until(user, lambda: screen.shown.found is not None and not screen.searching)


def rows(user: User, pane: str) -> str:
    return "\n".join(line.text.rstrip() for line in getattr(explorer(user), pane).rows)


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_from_the_stage_into_the_corruption_and_back(store: Store, size: tuple[int, int]) -> None:
    async with at(store, sandbox(PINNED), size) as user:
        await user.press("x")
        assert "[x] 1 x dma r0 write 99" in rows(user, "may")
        assert "[x] 1 x madvise p0 buf dontneed" in rows(user, "may")
        await user.press("enter")
        await searched(user)
        result = rows(user, "result")
        assert "✗ lost-write" in result
        assert "Sometimes" in result
        assert "✓ foreign-dma" in result
        assert "7 steps at least" in result
        assert "Never" in result
        assert "every schedule searched" in result
        await user.press("enter")
        await until(user, lambda: isinstance(user.screen, Stage))
        driver = user.stage.driver
        assert isinstance(driver, CounterexampleDriver)
        assert driver.found is not None
        assert driver.found.counterexample is not None
        await user.pilot.pause()
        assert "lost-write (corruption): 16 micro-steps" in user.seen()
        for _ in driver.found.counterexample.actions:
            assert not any(broken.invariant == "lost-write" for broken in user.stage.picture.broken)
            await user.press("n")
        assert any(broken.invariant == "lost-write" for broken in user.stage.picture.broken)
        assert "Here the rule is broken" in user.pane("story")
        await user.press("q")
        assert user.is_on(Explorer)
        await user.press("q")
        assert user.stage.driver is not driver


async def test_what_must_hold_is_searched_too(store: Store) -> None:
    """A property is typed as a line, gets its verdict, and is walked into like a rule."""
    async with at(store, sandbox(PINNED)) as user:
        await user.press("x", "colon")
        await user.enter("always present p0 buf")
        assert "[x]     always present p0 buf" in rows(user, "may")
        await user.press("colon")
        await user.enter("final refcount r0 9")
        await user.press("x")
        await searched(user)
        found = explorer(user).shown.found
        assert found is not None
        judged = {one.invariant: one for one in found.judgements}
        assert judged["always present p0 buf"].verdict == "always"
        assert judged["final refcount r0 9"].verdict == "always"
        explorer(user).result.point_at("found:corruption:always present p0 buf")
        explorer(user).action_go()
        await until(user, lambda: isinstance(user.screen, Stage))
        assert "That is what you said must hold." in user.seen()


async def test_what_was_found_is_drawn_with_the_nearest_safe_schedule(store: Store, tmp_path: Path) -> None:
    async with at(store, sandbox(PINNED), LARGE) as user:
        await user.press("x", "enter")
        await searched(user)
        await user.press("S")
        heads = [line for line in user.lines() if "the way that was found" in line]
        assert len(heads) == 1
        assert "the nearest safe schedule" in heads[0], "side by side where there is room"
        assert "here the two part" in user.seen()
        assert "no way back" in user.seen()
        assert "read: cpu" not in user.seen()
        assert write_screen(user.app, str(tmp_path / "x.svg")).startswith("Saved")
        (title, *_) = ET.fromstring((tmp_path / "x.svg").read_text()).iter("{http://www.w3.org/2000/svg}title")
        assert title.text == "ptescope"
        assert "<path" in (tmp_path / "x.svg").read_text()
        await user.press("q", "enter")
        await until(user, lambda: isinstance(user.screen, Stage))
        assert "S draws it in time and space" in " ".join(user.pane("story").split())
        await user.press("n", "n", "S", "enter")
        assert isinstance(user.screen, Stage)
        assert user.stage.driver.past().here.depth > 0


async def test_the_point_of_no_return_and_the_nearest_safe_schedule(store: Store) -> None:
    async with at(store, sandbox(f"set kernel 6.1{PINNED}")) as user:
        await user.press("x", "enter")
        await searched(user)
        await user.press("enter")
        await until(user, lambda: isinstance(user.screen, Stage))
        assert user.lines()[0].count("kernel 6.1") == 1, "in the title of the trail"
        driver = user.stage.driver
        assert isinstance(driver, CounterexampleDriver)
        assert driver.found is not None
        assert driver.found.counterexample is not None
        assert driver.found.counterexample.cut >= 0
        await user.press(*["n"] * driver.found.counterexample.cut)
        assert "The point of no return" in user.pane("story")
        assert "Next moves madvise. Instead could: dma r0 write 99, read p0 buf." in " ".join(
            user.pane("story").split()
        )
        await user.press("right_square_bracket", "n")
        assert "nearest safe schedule" in user.pane("story")
        await user.press("end")
        assert not any(broken.invariant == "lost-write" for broken in user.stage.picture.broken)
        assert not driver.session.tasks()


async def test_a_line_of_ones_own_more_often_and_less(store: Store) -> None:
    async with at(store, sandbox(BUFFER)) as user:
        await user.press("x", "colon")
        await user.enter("may 2 grab p0 buf as=m")
        await user.press("minus", "plus", "plus")
        assert "[x] 3 x grab p0 buf as=m" in rows(user, "may")
        await user.press("plus", "space")
        assert "[ ]     grab p0 buf as=m" in rows(user, "may")
        await user.press("colon")
        await user.enter("dma m wriet 3")
        assert user.is_on(Explorer)
        assert "m wriet" not in rows(user, "may")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """Every process that is started."""
    processes: list[Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*arguments: str, **options: Any) -> Process:
        processes.append(await start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    return processes


def permit(user: User, lines: int) -> Explorer:
    """Permit the first lines, and no others."""
    screen = explorer(user)
    screen.choices = [choice._replace(on=number < lines) for number, choice in enumerate(screen.choices)]
    return screen


async def test_escape_ends_the_search_at_once_and_the_process_with_it(store: Store, started: list[Process]) -> None:
    async with at(store, sandbox(BUFFER)) as user:
        await user.press("x", "b", "b")
        screen = permit(user, 9)
        await user.press("x")
        await until(user, lambda: screen.shown.reached is not None)
        assert "frontier" in user.seen()
        await user.press("escape")
        await until(user, lambda: "You ended the search" in user.seen())
        assert started[0].returncode is not None
        assert user.is_on(Explorer)


async def test_a_killed_worker_is_told_of_and_the_next_search_has_another(store: Store, started: list[Process]) -> None:
    async with at(store, sandbox(BUFFER)) as user:
        await user.press("x", "b", "b")
        screen = permit(user, 9)
        await user.press("x")
        await until(user, lambda: screen.shown.reached is not None)
        started[0].kill()
        await until(user, lambda: bool(screen.shown.failed))
        assert "killed" in user.seen()
        permit(user, 1)
        await user.press("x")
        await searched(user)


async def test_leaving_in_the_middle_of_a_search_leaves_no_process(store: Store, started: list[Process]) -> None:
    async with at(store, sandbox(BUFFER)) as user:
        await user.press("x")
        permit(user, 9)
        await user.press("x")
        await until(user, lambda: bool(started))
    for _ in range(100):
        if started[0].returncode is not None:
            break
        await asyncio.sleep(0.02)
    assert started[0].returncode is not None


async def test_from_a_lesson_the_lesson_stays_untouched(store: Store) -> None:
    driver = lesson_driver(find("a-reference-is-not-a-mapping"), store)
    async with at(store, driver) as user:
        await user.press("n", "n")
        before = user.stage.picture
        await user.press("x", "enter")
        await until(user, lambda: not explorer(user).searching)
        await user.press("q")
        assert user.stage.driver is driver
        assert user.stage.picture == before
        assert driver.picture() == before


async def test_a_command_under_way_is_one_of_the_tasks(store: Store) -> None:
    driver = sandbox(PINNED)
    driver.command("madvise p0 buf dontneed")
    async with at(store, driver) as user:
        await user.press("i", "i", "x", "x")
        await searched(user)
        await user.press("enter")
        await until(user, lambda: isinstance(user.screen, Stage))
        found = user.stage.driver
        assert isinstance(found, CounterexampleDriver)
        assert found.found is not None
        assert found.found.counterexample is not None
        assert {"main", "dma"} <= {step.task for step in found.found.counterexample.actions}
        await user.press(*["n"] * len(found.found.counterexample.actions))
        assert any(broken.invariant == found.found.invariant for broken in user.stage.picture.broken)


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_the_map_is_walked_along_its_edges_to_any_state(store: Store, size: tuple[int, int]) -> None:
    async with at(store, sandbox(PINNED), size) as user:
        await user.press("x", *["down"] * 3)
        screen = explorer(user)
        wanted = {"dma r0 write 99", "madvise p0 buf dontneed"}
        screen.choices = [choice._replace(on=choice.line in wanted) for choice in screen.choices]
        await user.press("x")
        await searched(user)
        await user.press("X")
        await until(user, lambda: user.is_on(Map))
        await user.pilot.pause()
        assert isinstance(user.screen, Map)
        drawn = user.screen.drawn
        assert drawn is not None
        assert screen.shown.found is not None
        assert drawn.states == screen.shown.found.states
        assert {place.standing for place in drawn.places if place.ends} == {"hazard", "corruption"}
        shown = "\n".join(line.text for line in user.screen.map.rows)
        assert "[▲]" in shown
        assert "[✗]" in shown
        await user.press("down", "right", "down")
        assert [drawn.edges[number].step.starts for number in user.screen.walk.way] in (
            [0, 1],
            [0, -1],
            [1, 0],
            [1, -1],
        )
        await user.press("up", "up")
        assert not user.screen.walk.way
        await user.press("e")
        way: tuple[int, ...] = user.screen.walk.way
        assert drawn.places[drawn.edges[way[-1]].end].ends
        assert user.screen.map.cursor is not None
        await user.press("enter")
        found = user.stage.driver
        assert isinstance(found, CounterexampleDriver)
        assert found.session.node.depth == screen.origin.depth + len(way)
        assert not found.session.tasks()


@pytest.mark.parametrize("scene", [PINNED, BUFFER])
async def test_the_map_is_one_key_away(store: Store, scene: str) -> None:
    async with at(store, sandbox(scene)) as user:
        await user.press("X")
        await until(user, lambda: "[▲]" in user.seen() or user.is_on(Map))
        assert isinstance(user.screen, Map)
        assert user.screen.drawn is not None
        await user.press("q", "q")
        assert user.is_on(SandboxStage)


async def test_a_space_that_is_too_large_for_a_map_is_shown_by_depth(store: Store) -> None:
    async with at(store, sandbox(PINNED), SMALL) as user:
        await user.press("x", "x")
        await searched(user)
        await user.press("X")
        await until(user, lambda: "too many for a map" in user.seen())
        assert "▲" in user.seen()
        await user.press("down", "q")
        assert user.is_on(Explorer)
