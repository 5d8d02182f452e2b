"""For teachers: the presentation, ballots, notes in a second terminal, autoplay."""

import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.terminal import Program
from lessons.file.library import find
from lessons.file.schema import Goal
from lessons.learner.progress import Store
from lessons.teach import presenter_state as presenting
from lessons.teach.lecture import Lectures
from lessons.teach.room import RoomState, publish_room, room_file
from tests.tui.user import SMALL, User, at
from tui import cli
from tui.app.autoplay import Autoplay
from tui.app.notes_app import Notes
from tui.drivers.lecture import LectureDriver
from tui.drivers.lesson import LessonDriver
from tui.drivers.opening import lesson_driver
from tui.screens.presenter import Presenter
from tui.screens.stage import Stage
from tui.views.glyphs import UNICODE
from tui.views.presenter import as_markdown, notes, shown

WIDE = (160, 50)
LESSON = "the-secret-of-a-stranger"


def is_on(playing: Autoplay) -> bool:
    return playing.timer is not None


async def present(user: User) -> Presenter:
    await user.press("P")
    assert isinstance(user.screen, Presenter)
    await user.pilot.pause()
    return user.screen


@pytest.mark.parametrize("size", [SMALL, WIDE])
async def test_a_clicker_is_enough_and_ballots_answer_for_the_room(store: Store, size: tuple[int, int]) -> None:
    async with at(store, lesson_driver(find(LESSON), store), size) as user:
        screen = await present(user)
        assert "What does GUP answer?" in user.seen() or "uffer" in user.seen()
        assert "letter chooses" not in user.seen(), "the room has no keys"
        while "more text" in user.seen():
            await user.press("space")
        await user.press("space")
        assert "V takes a ballot's counts" in user.seen(), "nothing is shown before the room has voted"
        await user.press("b", "full_stop", "b", "full_stop")
        assert not screen.driver.player.guesses, "what clickers send to blank never answers"
        await user.press("V")
        await user.enter("3 14 5")
        await user.press("V")
        await user.enter("12 6 4")
        assert screen.driver.ballots["is-the-pin-given"].counts == ((3, 14, 5), (12, 6, 4))
        for _ in range(9):
            if screen.picture.last is None:
                await user.press("pagedown")
        assert screen.picture.last is not None
        assert screen.driver.player.guesses["is-the-pin-given"] == "1"
        await user.press("pageup", "escape", "escape")
        assert user.is_on(Presenter), "what clickers send too does not end the lecture"
        await user.press("q", "e")
        assert user.is_on(Stage)
        assert not user.stage.driver.player.guesses, "what the room said is not the teacher's"  # type: ignore[attr-defined]
    assert not store.lesson(LESSON).guesses


async def test_a_ballot_of_the_wrong_length_is_refused(store: Store) -> None:
    async with at(store, lesson_driver(find(LESSON), store)) as user:
        screen = await present(user)
        await user.press("V")
        await user.enter("3 14")
        assert "3 counts, one for each answer" in " ".join(user.seen().split())
        assert not screen.driver.ballots
        publish_room(RoomState(time.time(), 3))
        screen._keep()
        await user.pilot.pause()
        assert "3 here, 0 voted" in user.seen()
        room_file().unlink()
        screen._keep()
        await user.pilot.pause()
        assert " here, " not in user.seen(), "the server has ended"
        await user.press("full_stop")
        assert screen.has_class("-blank")


async def test_the_second_terminal_follows(store: Store) -> None:
    async with at(store, lesson_driver(find(LESSON), store)) as user:
        await present(user)
        notes = Notes()
        async with notes.run_test(size=(100, 40)) as pilot:
            await pilot.pause()
            shown = "\n".join(line.text for line in notes.pane.rows)
            assert "The secret of a stranger" in shown
            assert "/ 12:00" in shown, "the clock"
            assert "EFAULT: this memory belongs to a driver: How would GUP know?" in shown, "the belief"
            assert "Right: ok: the page is pinned" in " ".join(shown.split())
        await user.press("b")
        heard = presenting.published()
        assert heard is not None
        assert heard.part == 1
        await user.press("q", "l")
        assert presenting.published() is None, "nobody presents any more"


async def test_notes_without_a_presenter_say_so() -> None:
    notes = Notes()
    async with notes.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "Nobody is presenting" in notes.pane.rows[1].text


def test_notes_show_no_signs_of_markdown() -> None:
    marked = "the **entry** of `p0`"
    told = (presenting.Beliefs(marked, f"Almost: {marked}."), presenting.Beliefs("read p0 buf", marked))
    where = presenting.Presented("x", "X", 1, 2, 12, 0.0, 0.0, (marked,), marked, marked, "q", (), marked, marked)
    votes = presenting.Ballots((marked,), ((3,),))
    where = replace(where, beliefs=told, ahead=told[1:], following=marked, ballots={"q": votes})
    text = "\n".join(line.text for line in notes(where, 0.0, 80, UNICODE))
    assert text.count("the entry of p0") == 11
    assert not {"`", "*"} & set(text)


def test_browsers_are_told_what_the_room_reads(tmp_path: Path) -> None:
    driver = LectureDriver(find("copy-on-write"), Lectures(tmp_path))
    for part in range(1, len(driver.player.lesson.items) + 1):
        driver.to_part(str(part))
        for _ in range(3):
            picture = driver.picture()
            room, told = shown(picture, 100, UNICODE, hinted=True), as_markdown(picture, hinted=True)
            if picture.tale.ask is None:
                lines = [
                    line.text for line in room if any(span.role != "dim" for span in line.spans if span.text.strip())
                ]
                missing = words("\n".join(lines)) - words(told)
                assert not missing - {"ends", "call", "after", "just", "goal", "type", "commands", "with"}, told
            assert driver.player.view().may & {"forward"} == set() or not driver.step("forward")


def words(text: str) -> set[str]:
    """Words of four letters or more."""
    return set(re.findall(r"[a-z]{4,}", text.lower()))


async def test_autoplay_steps_by_itself_and_stops_at_a_question(store: Store) -> None:
    async with at(store, lesson_driver(find(LESSON), store)) as user:
        playing = user.app.autoplay
        await user.press("A")
        assert is_on(playing)
        playing._step()
        assert not is_on(playing), "a question waits"
        await user.press("a", "enter", "n", "A", "plus")
        assert playing.speed > 1
        before = user.stage.picture.position, user.stage.picture.history.here
        playing._step()
        await user.pilot.pause()
        assert (user.stage.picture.position, user.stage.picture.history.here) != before
        await user.press("A")
        assert not is_on(playing), "nothing is done at rest"


async def test_only_lessons_are_presented(store: Store, made: object) -> None:
    from tui.drivers.sandbox import SandboxDriver

    assert isinstance(made, SandboxDriver)
    async with at(store, made) as user:
        await user.press("P")
        assert not isinstance(user.screen, Presenter)


def test_a_ballot_on_a_number(store: Store) -> None:
    driver = lesson_driver(find("a-reference-is-not-a-mapping"), store)
    assert isinstance(driver, LessonDriver)
    votes = presenting.ballot_of(driver.player, "2:7, 0x2:4 1025:4")
    assert votes.answers == ("2", "1025")
    second = presenting.joined(votes, presenting.ballot_of(driver.player, "1025:9 1:2"))
    assert second.answers == ("2", "1025", "1")
    assert second.counts == ((11, 4, 0), (0, 9, 2))
    for typed, said in (("11 4", "answers with their counts"), ("abc:3 2:1", "`abc`: a number"), ("2:99999", "e.g.")):
        with pytest.raises(ValueError, match=said):
            presenting.ballot_of(driver.player, typed)


async def test_a_number_is_asked_for_in_sight_and_answered_by_typing_it(store: Store) -> None:
    async with at(store, lesson_driver(find("gup-fast"), store), SMALL) as user:
        screen = await present(user)
        for _ in range(3):
            if "What is the refcount afterwards?" in user.seen():
                break
            assert "more text" in user.seen(), "the key line says that there is more"
            await user.press("pagedown")
        assert "What is the refcount afterwards?" in user.seen(), "the room sees what it is asked"
        await user.press("pagedown")
        assert "number answers" in user.seen()
        await user.press("b")
        assert screen.has_class("-blank"), "what many clickers send"
        assert "s shows it without asking." in " ".join(user.seen().split()), "two rows where one is not enough"
        await user.press("b", "4", "enter")
        await user.press("U")
        assert not screen.driver.player.guesses, "it is asked again"
        await user.press("4", "enter")
        assert screen.driver.player.guesses == {"count-without-a-lock": "4"}


async def test_back_leads_to_the_beginning_of_a_long_text_first(store: Store) -> None:
    async with at(store, lesson_driver(find("the-proposal-vm-pfnmap"), store), SMALL) as user:
        screen = await present(user)
        screen.text.show([*screen.text.rows] * 4)
        screen.text.scroll_rows(5)
        place = screen.picture.position
        await user.press("pageup")
        assert (screen.text.top, screen.picture.position) == (0, place)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--autoplay", "gup-fats"], "gup-fats: no such lesson (did you mean `gup-fast`?)"),
        (["--autoplay", "fast", "gup-fast"], "`fast` is no speed, and `gup-fast` is a lesson"),
        (["--autoplay", "9", "gup-fast"], "expected a speed from 0.25 to 8.0, not `9`"),
        (["--plain", "--present", "gup-fast"], "--plain has none"),
        (["--plain", "--autoplay", "2", "gup-fast"], "--plain has none"),
    ],
)
def test_what_cannot_be_presented_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        assert cli.main(["learn", *words]) == 2
    assert said in capsys.readouterr().err


async def test_the_room_sees_how_much_of_a_goal_is_reached_and_gets_hints(store: Store) -> None:
    lesson = find("copy-on-write")
    part = next(number for number, item in enumerate(lesson.items, 1) if isinstance(item.action, Goal))
    async with at(store, lesson_driver(lesson, store), SMALL) as user:
        await present(user)
        await user.press("G")
        await user.enter("99")
        assert f"a section from 1 to {len(lesson.items)}" in user.seen()
        await user.press("G")
        await user.enter(str(part))
        assert ": command" in user.lines()[-1]
        await user.press("colon")
        await user.enter("fork p0 p1")
        assert "- Picture -" in user.seen().replace("─", "-"), "the pane is called what it shows"
        assert "ok p0 and p1 share one frame" in user.seen().replace("✓", "ok"), "in sight with what was just done"
        assert "nobody else holds it" in user.seen()
        await user.press("h")
        assert "hint, where" in user.seen()
        await user.press("colon")
        await user.enter("read p0 buf")
        assert "hint, where" not in user.seen()


async def test_a_question_may_be_shown_without_an_answer_and_the_machine_is_in_sight(store: Store) -> None:
    async with at(store, lesson_driver(find("a-reference-is-not-a-mapping"), store), (120, 40)) as user:
        screen = await present(user)
        while "more text" in user.seen():
            await user.press("space")
        assert "● 1" in user.seen(), "the count that is asked about"
        await user.press("s")
        for _ in range(6):
            if "It is 1025." in user.seen():
                break
            await user.press("space")
        seen = " ".join(user.seen().split())
        assert "It is 1025. 1 for the PTE, 1024 for the pin" in seen
        assert "You said" not in seen
        assert screen.driver.player.summary().predictions == 0
        for title in ("Walk", "Memory", "Holders", "Ledger", "Address spaces", "Picture"):
            await user.press("v")
            assert f" {title} " in user.seen()
        await user.press("f5")
        assert "dma0" in user.seen()


async def test_a_lecture_that_was_left_goes_on_and_one_that_is_over_does_not(store: Store) -> None:
    async with at(store, lesson_driver(find(LESSON), store), WIDE) as user:
        await present(user)
        await user.press("V")
        await user.enter("3 14 5")
        await user.press("space", "space", "space", "q", "l")
        screen = await present(user)
        assert screen.driver.ballots
        assert screen.driver.goes_on
        assert "goes on where it was left" in user.seen()
        part = screen.picture.position
        await user.press("R", "y")
        assert screen.picture.position == "section 1 of 18" != part
        assert not screen.driver.ballots
        await user.press("q", "e")
        screen = await present(user)
        assert not screen.driver.goes_on
    kept = sorted(path.name for path in (store.path.parent / "lectures").iterdir())
    assert len(kept) == 3, "both that are over, with their ballots, and the one that was on when the program ended"


async def test_who_presents_presents_alone(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Notes and room follow one file: two lectures would make them jump to and fro, and undo each other's ballots."""
    async with at(store, lesson_driver(find(LESSON), store), WIDE) as user:
        await present(user)
        assert presenting.become_presenter() is None
        assert "The secret of a stranger is being presented" in presenting.already_presenting()
        await user.press("q", "l")
        other = presenting.become_presenter()
        assert other is not None, "whoever leaves lets others"
        await user.press("P")
        assert not isinstance(user.screen, Presenter)
        assert "is being presented by another ptescope" in user.told()
    assert cli.main(["learn", LESSON, "--present"]) == 2
    assert "is being presented by another ptescope" in capsys.readouterr().err
    other.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_a_presenter_that_is_killed_in_the_middle_of_a_ballot_comes_back_where_it_was(tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    words = [sys.executable, "-m", "tui", "learn", LESSON, "--present"]
    with Program(words, 80, 24, environment) as program:
        program.first_frame("PgUp")
        for typed in (b"V", b"3 14 5\r", b"V", b"12 6"):
            program.send(typed)
            program.settle()
        assert "14   64%" in program.shown()
        program.end(signal.SIGKILL)
    heard = presenting.published(tmp_path / "ptescope" / presenting.NAME)
    assert heard is not None, "the notes still show where it was"
    assert heard.ballots["is-the-pin-given"].counts == ((3, 14, 5),)
    with Program(words, 80, 24, environment) as program:
        program.first_frame("goes on where it was left")
        program.press("space")
        assert "14   64%" in program.shown()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_large_type_is_drawn_by_a_terminal_that_can_and_undone(tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XTERM_VERSION": "XTerm(390)"}
    words = [sys.executable, "-m", "tui", "learn", LESSON, "--present"]
    with Program(words, 160, 48, environment) as program:
        program.first_frame("PgUp")
        program.press("L")
        program.first_frame(r"section 1 of 18\n[^\n]*section 1 of 18.*help.*help")
        lines = program.shown().split("\n")
        assert lines[::2] == lines[1::2], "the upper and the lower half of each letter"
        assert max(map(len, lines)) <= 80
        program.press("L")
        program.first_frame(r"^[^\n]{120,}section 1 of 18\n[^\n]*Picture")


async def test_who_cannot_draw_large_type_says_how_to_enlarge_the_font(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XTERM_VERSION", "KITTY_WINDOW_ID", "TERM_PROGRAM", "WT_SESSION", "KONSOLE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    async with at(store, lesson_driver(find(LESSON), store)) as user:
        await present(user)
        assert "says how to enlarge the font." in " ".join(user.seen().split())
        await user.press("q")
        assert "the next presentation goes on here" in " ".join(user.seen().split()), "no word is cut off"
        await user.press("escape")
        await user.press("L")
        assert "enlarge its font" in user.told()
