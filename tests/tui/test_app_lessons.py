"""Every lesson of the course on the stage, without a terminal: each step can be shown, nothing promised is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lessons.file.library import entries, find
from lessons.learner.progress import Store
from lessons.play.player import Player
from tests.tui.user import at
from tui.drivers.lesson import LessonDriver
from tui.drivers.opening import first_driver
from tui.screens.home import Home
from tui.views.bars import header
from tui.views.glyphs import UNICODE
from tui.views.history import log, timeline
from tui.views.holders import holders
from tui.views.lesson_text import steps, story
from tui.views.physical import physical
from tui.views.row import Row
from tui.views.shown_state import ShownState, follow, marks
from tui.views.spaces import spaces
from tui.views.verdict import rules, severities, verdict
from tui.views.view_model import Picture
from tui.views.walk import walk

LESSONS = [entry.name for entry in entries()]
STORY, SIDE, NARROW = 44, 75, 80
MOST_MOVES = 3000


def rows_of(picture: Picture) -> Iterator[tuple[int, list[Row]]]:
    """The rows of every pane with the width that they must keep to; 0 where the pane may cut them."""
    broken = severities(picture.broken)
    scene = ShownState(picture.state, picture.changes, marks(picture.changes), broken, follow(picture.changes))
    yield STORY, story(picture, STORY, UNICODE)
    yield STORY, steps(picture, STORY, UNICODE)
    yield NARROW, story(picture, NARROW, UNICODE, alarms=True)
    yield SIDE, spaces(scene, SIDE)
    yield SIDE, physical(scene, SIDE)
    yield 0, walk(scene, SIDE)
    yield 0, holders(scene, SIDE)
    yield SIDE, log(picture, SIDE)
    yield SIDE, rules(picture, SIDE, UNICODE)
    yield NARROW, verdict(picture, NARROW, UNICODE)
    yield NARROW, timeline(picture.history, NARROW, UNICODE)
    yield NARROW, [header(picture, NARROW)]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_shown_at_every_step_to_its_end(name: str, tmp_path: Path) -> None:
    driver = LessonDriver(Player(find(name)), Store(tmp_path / "progress.json"))
    for _ in range(MOST_MOVES):
        picture = driver.picture()
        for width, rows in rows_of(picture):
            assert not width or not [line.text for line in rows if len(line.text) > width]
        ask = picture.tale.ask
        if ask is not None:
            word = driver.answer(ask.options[0].key if ask.options else "1")
        elif picture.enter == "leave" or picture.enter.startswith("app.next_lesson"):
            break
        elif "forward" in picture.can:
            word = driver.step("forward")
        elif "hint" in picture.can:
            word = driver.hint()
        else:
            word = driver.step("forward")
        assert not word, "what the key line promises is possible"
    else:
        pytest.fail(f"{name} has no end")
    driver.end(last=False)
    assert driver.picture().position.startswith("section 1 of")


async def test_the_first_time_the_tour_opens_and_later_home(store: Store) -> None:
    async with at(store, first_driver(store)) as user:
        assert "A tour in ninety seconds" in user.lines()[0]
        await user.press("a")
        for _ in range(3):
            await user.press("n")
        await user.press("q")
        assert user.is_on(Home)
        assert "What is where, in ninety seconds." in user.seen(), "it can be seen again"
    assert first_driver(store) is None
