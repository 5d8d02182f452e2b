"""What can be done at home besides opening things: beginning a lesson anew, and reading what was learnt."""

import asyncio

import pytest

from lessons.library import find
from lessons.player import Player
from lessons.progress import LessonProgress, Progress, Store
from tests.tui.user import NORMAL, SMALL, User, at
from tui.app import lesson_driver
from tui.panes.line_pane import LinePane
from tui.screens.home import Home
from tui.screens.stage_keys import KEEP_AFTER

FIRST, SECOND = "a-mapping-costs-no-memory", "faults-and-the-zero-page"


@pytest.fixture
def begun(store: Store) -> Store:
    """Somebody who has begun the first lesson, done the tour, and answered a drill."""
    player = Player(find(FIRST))
    player.answer("1000")
    while not player.judged:
        player.forward()
    store.save(FIRST, player.progress())
    store.save("tour", LessonProgress(finished=True))
    store.answered("pte", right=True)
    return store


def point(user: User, subject: str) -> None:
    assert user.app.screen.query_one("#home", LinePane).point_at(subject)


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_one_lesson_is_begun_anew_and_a_copy_is_kept(begun: Store, size: tuple[int, int]) -> None:
    before = begun.read()
    async with at(begun, size=size) as user:
        point(user, f"lesson:{FIRST}")
        await user.press("R")
        assert "is forgotten" in user.seen()
        await user.press("y")
        assert user.is_on(Home)
        assert "Forgotten" in user.told()
    assert begun.read() == Progress(lessons={"tour": before.lessons["tour"]}, drills=before.drills)
    (copy,) = begun.path.parent.glob("*.before-reset-1")
    assert Store(copy).read() == before


@pytest.mark.parametrize("keys", [("enter",), ("n",), ("q",), ("escape",)])
async def test_nothing_is_forgotten_without_a_yes(begun: Store, keys: tuple[str, ...]) -> None:
    before = begun.path.read_bytes()
    async with at(begun) as user:
        point(user, f"lesson:{FIRST}")
        await user.press("delete", *keys)
        assert user.is_on(Home)
    assert begun.path.read_bytes() == before
    assert not list(begun.path.parent.glob("*.before-reset-*"))


@pytest.mark.parametrize("subject", [f"lesson:{SECOND}", "open:sandbox", "action:app.drill"])
async def test_where_nothing_was_done_nothing_is_asked(begun: Store, subject: str) -> None:
    async with at(begun) as user:
        point(user, subject)
        await user.press("R")
        assert user.is_on(Home)
        assert "Nothing was done here" in user.told()


async def test_a_lesson_left_a_moment_ago_does_not_come_back(begun: Store) -> None:
    async with at(begun, lesson_driver(find(FIRST), begun)) as user:
        await user.press("p", "q")
        begun.reset(FIRST)
        await asyncio.sleep(KEEP_AFTER + 0.3)
        assert user.is_on(Home)
    assert FIRST not in begun.read().lessons
