"""What can be done at home besides opening things: beginning a lesson anew, and reading what was learnt."""

import asyncio

import pytest

from lessons.file.library import find
from lessons.i18n.language import use
from lessons.learner.progress import LessonProgress, Progress, Store
from lessons.play.player import Player
from tests.tui.user import NORMAL, SMALL, User, at
from tui.drivers.opening import lesson_driver
from tui.screens.home import Home
from tui.screens.recap import Recap
from tui.screens.stage import Stage
from tui.screens.stage_keys import KEEP_AFTER
from tui.widgets.line_pane import LinePane

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


@pytest.mark.parametrize("language", ["en", "de"])
async def test_on_a_small_screen_every_summary_is_whole(store: Store, language: str) -> None:
    use(language)
    try:
        async with at(store, size=SMALL) as user:
            rows = [row.text for row in user.app.screen.query_one("#home", LinePane).rows]
    finally:
        use("en")
    assert [row for row in rows if "~" in row] == []
    assert max(map(len, rows)) <= SMALL[0]


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


async def test_the_tour_is_begun_anew_too(begun: Store) -> None:
    async with at(begun) as user:
        point(user, "lesson:tour")
        await user.press("R")
        assert find("tour").header.title in user.seen()
        await user.press("y")
    assert set(begun.read().lessons) == {FIRST}


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
        assert "There is nothing here to forget" in user.told()


async def test_a_lesson_left_a_moment_ago_does_not_come_back(begun: Store) -> None:
    async with at(begun, lesson_driver(find(FIRST), begun)) as user:
        await user.press("p", "q")
        begun.reset(FIRST)
        await asyncio.sleep(KEEP_AFTER + 0.3)
        assert user.is_on(Home)
    assert FIRST not in begun.read().lessons


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_the_recap_is_read_and_scrolled(begun: Store, size: tuple[int, int]) -> None:
    async with at(begun, size=size) as user:
        await user.press("r")
        assert "What I have learnt" in user.seen()
        await user.press("G")
        assert "Next" in user.seen()
        assert "pte: 1 of 1" in user.seen()
        await user.press("g")
        assert "What I have learnt" in user.seen()
        await user.press("q")
        assert user.is_on(Home)


async def test_the_recap_has_a_line_of_its_own_at_home(begun: Store) -> None:
    async with at(begun) as user:
        point(user, "action:app.recap")
        await user.press("enter")
        await user.pilot.pause()
        assert "I said 1000; it is 0." in user.seen()


async def test_the_recap_opens_from_a_lesson_and_leads_back(begun: Store) -> None:
    async with at(begun, lesson_driver(find(FIRST), begun)) as user:
        await user.press("ctrl+r")
        assert "What I have learnt" in user.seen()
        await user.press("escape")
        assert user.is_on(Stage)


async def test_the_recap_is_in_the_readers_language(begun: Store) -> None:
    use("de")
    try:
        async with at(begun, size=(120, 60)) as user:
            await user.press("r", "G")
            assert "1 von 1 richtig." in user.seen()
    finally:
        use("en")


async def test_the_recap_opens_from_the_palette(begun: Store) -> None:
    async with at(begun) as user:
        await user.press("ctrl+p")
        await user.press(*"learnt")
        await user.press("enter")
        assert user.is_on(Recap)


async def test_the_recap_needs_nothing_but_ascii_where_that_is_wanted(
    begun: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTESCOPE_ASCII", "1")
    async with at(begun) as user:
        await user.press("r")
        assert "* RSS is 0." in user.seen()
        assert "•" not in user.seen()


async def test_home_and_end_lead_to_the_ends_of_the_list(store: Store) -> None:
    async with at(store) as user:
        await user.press("end")
        assert isinstance(user.app.screen, Home)
        last = user.app.screen.pane.cursor
        await user.press("home")
        first = user.app.screen.pane.cursor
        assert first is not None
        assert last is not None
        assert first.row < last.row
        assert user.app.screen.pane.top == 0


async def test_home_and_end_lead_to_the_ends_of_what_lies_above(store: Store) -> None:
    async with at(store, size=(80, 24)) as user:
        await user.press("question_mark")
        top = user.seen()
        await user.press("end")
        assert user.seen() != top
        await user.press("home")
        assert user.seen() == top
