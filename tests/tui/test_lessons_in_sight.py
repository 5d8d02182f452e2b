"""Every lesson played: what its author says and asks is not cut off, nor is the frame that it is about."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessons.file.library import entries
from lessons.learner.progress import Store
from lessons.play.player import Player
from tests.tui.user import NORMAL, SMALL, User, at
from tui.drivers.lesson import LessonDriver
from tui.screens.picture_panes import LEAST, PicturePanes
from tui.screens.stage_keys import STORY_WIDTHS
from tui.views.glyphs import UNICODE
from tui.views.lesson_text import newest, pressing
from tui.views.shown_state import ShownState, marks
from tui.views.verdict import severities
from tui.views.view_model import Picture

LESSONS = {entry.name: entry.lesson for entry in entries() if entry.lesson is not None}
CUT = re.compile(r"\w~(?!f\d)")
"""A word, a number or a byte of a picture that has no room; before a frame the sign says that it has changed."""
FULLEST = 2
"""Places of each lesson that are looked at on the screen: those with most to read."""
ENOUGH = 45
"""Characters by which an alarm is known."""


def played(driver: LessonDriver) -> Iterator[tuple[int, Picture]]:
    """Each place of a lesson from its beginning to its end, by its number."""
    picture = driver.picture()
    while True:
        yield driver.player.here, picture
        ask = picture.tale.ask
        if ask is not None:
            driver.answer(ask.options[0].key if ask.options else "1")
        elif "forward" in picture.can or "hint" not in picture.can:
            if driver.step("forward"):
                return
        else:
            driver.hint()
        picture = driver.picture()


def must_be_seen(picture: Picture, width: int) -> int:
    """Lines from the top to the end of remark, verdict, question and goal; hints and a closing text are scrolled to."""
    tale = picture.tale._replace(hints=())
    if tale.ask is None and not tale.goal:
        tale = tale._replace(text="")
    return pressing(picture._replace(tale=tale), width, UNICODE)


def rows_of(pictures: PicturePanes, picture: Picture) -> list[str]:
    """The picture as narrow as it may be."""
    changed = marks(picture.changes)
    scene = ShownState(picture.state, picture.changes, changed, severities(picture.broken), "", UNICODE)
    pictures.take(scene, picture.start, silent=picture.tale.ask is not None)
    return [line.text for line in pictures.picture(LEAST)]


@pytest.mark.parametrize("name", LESSONS)
async def test_what_must_be_read_is_whole_on_a_screen_of_usual_size(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "progress.json")
    driver = LessonDriver(Player(LESSONS[name]), store)
    needs: dict[int, int] = {}
    alarming: list[int] = []
    pictures = PicturePanes(driver)
    for place, picture in played(driver):
        cut = [row for row in rows_of(pictures, picture) if CUT.search(row)]
        assert not cut, f"cut at place {place}"
        if picture.tale.ask is None and any(broken.fresh for broken in picture.broken):
            alarming.append(place)
        needs[place] = max(needs.get(place, 0), must_be_seen(picture, STORY_WIDTHS["normal"]))
    fullest = sorted(needs, key=lambda place: (-needs[place], place))[:FULLEST]
    async with at(store, driver, NORMAL) as user:
        for place in alarming[:1]:
            await go(user, place)
            assert_alarm_once_and_whole(user)
        for place in fullest:
            await go(user, place)
            story = user.stage.panes["story"]
            must = must_be_seen(user.stage.picture, story.outer_size.width)
            assert must <= story.window, f"{must - story.window} lines are out of sight at place {place}"
            for line in story.rows[:must]:
                assert line.text.strip() in user.seen()
        await user.pilot.resize_terminal(*SMALL)
        for place in alarming[:1]:
            await go(user, place)
            assert_alarm_once_and_whole(user)
        await go(user, 0)
        assert user.pane("story").splitlines()[0] in user.seen()
        for place in fullest:
            await go(user, place)
            told, drawn = user.stage.panes["story"], user.stage.panes["picture"]
            for number, line in enumerate(told.rows):
                if line.text.startswith("│ ") or any(span.subject.startswith("answer:") for span in line.spans):
                    assert told.top <= number < told.top + told.window, f"`{line.text}` out of sight at {place}"
            touched = user.stage.drawing.touched
            boxes = [at for at, line in enumerate(drawn.rows) if any(span.subject == touched for span in line.spans)]
            assert not boxes or any(drawn.top <= box < drawn.top + drawn.window for box in boxes), touched


def assert_alarm_once_and_whole(user: User) -> None:
    """Of what the last move broke the worst is told whole, and nowhere else does it begin; or it only begins."""
    picture = user.stage.picture
    told = bare(" ".join(line for name in user.stage.panes for line in in_sight(user, name)))
    message = bare(newest(picture.broken)[0].message)
    whole, begun = told.count(message), told.count(message[:ENOUGH])
    assert (whole, begun) == (1, 1) or (not whole and user.stage.small), message


def in_sight(user: User, name: str) -> list[str]:
    """The lines of a pane that are on the screen."""
    pane = user.stage.panes[name]
    if not (pane.is_attached and pane.display):
        return []
    return [line.text for line in pane.rows[pane.top : pane.top + pane.window]]


def bare(text: str) -> str:
    """Words without markup, one blank apart."""
    return " ".join(re.sub("[`*]", "", text).split())


async def go(user: User, place: int) -> None:
    """To a place of the lesson's history, as the screen shows it."""
    driver = user.stage.driver
    assert isinstance(driver, LessonDriver)
    driver.go(place)
    user.stage.move(str)
    await user.pilot.pause()
