"""Handing in and grading: what students did is done again on the model, and nothing else is believed."""

import csv
import json
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from random import Random

import msgspec
import pytest

from lessons.drills.book import exercise
from lessons.file.library import find
from lessons.file.schema import Lesson, NumberQuestion
from lessons.learner.progress import DrillAnswer, LessonProgress, Progress, Store
from lessons.play.any_answer_player import go_on, some_answer
from lessons.play.auto_player import play_next
from lessons.play.player import Player
from lessons.teach.assignment import Assignment, assign, drill_set, read_assignment
from lessons.teach.collect import Collection, collect
from lessons.teach.gradebook import canvas, moodle, questions, table
from lessons.teach.hand_in import HandIn, as_file, hand_in, parse_hand_in
from lessons.teach.replayed import WorkError, replay_lesson
from tests.tui.user import at
from tui import cli

LESSON = "how-the-walk-works"
MONDAY = 1_764_579_600
"""2025-12-01 09:00 UTC."""


class Clock:
    """A student's clock: it goes on with every answer, and may be set."""

    def __init__(self, now: float = MONDAY) -> None:
        self.now = float(now)
        self.dice = Random(now)

    def time(self) -> float:
        self.now += self.dice.uniform(4, 40)
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("lessons.play.player.time.time", clock.time)
    return clock


def work_of(lesson: Lesson, knows: Callable[[], bool], parts: int = 1000) -> LessonProgress:
    """A student who plays a lesson and knows some of the answers."""
    player = Player(lesson)
    while not player.finished and player.place.item < parts:
        waits = player.prediction is not None and "forward" not in player.view().may
        if waits and not knows():
            assert player.prediction is not None
            assert not player.answer(some_answer(player.prediction))
        elif not play_next(player):
            go_on(player)
    return player.progress()


def handed_in(
    folder: Path, name: str, progress: Progress, assignment: Assignment | None = None, student: str = ""
) -> Path:
    path = folder / f"{name}.ptework"
    path.write_bytes(as_file(hand_in(progress, name, student, "1", assignment)))
    return path


def odd(collection: Collection, name: str) -> str:
    return "; ".join(next(one.odd for one in collection.works if one.work.name == name))


def test_sixty_files_are_replayed_graded_and_told_apart(tmp_path: Path, clock: Clock) -> None:
    lesson, dice = find(LESSON), Random(17)
    task = msgspec.structs.replace(assign("Week 1", [LESSON], [drill_set("pte:3", 5)], MONDAY + 7 * 86400), made=MONDAY)
    truths = [exercise("pte", number).right for number in (5, 6, 7)]
    known, unknown = work_of(lesson, lambda: True), work_of(lesson, lambda: False)
    for number in range(60):
        clock.now = MONDAY + dice.uniform(0, 6 * 86400)  # somewhere in the week
        skill = number / 60
        guesses = {
            key: guess if dice.random() < skill else unknown.guesses[key] for key, guess in known.guesses.items()
        }
        times = {key: int(clock.time()) for key in known.times}
        drills = {
            f"pte {5 + nth}": DrillAnswer(truth if dice.random() < skill else (truth + 1) % 2, int(clock.time()))
            for nth, truth in enumerate(truths)
        }
        mine = msgspec.structs.replace(known, guesses=guesses, times=times)
        done = Progress(lessons={LESSON: mine}, exercises=drills)
        handed_in(tmp_path, f"Student {number:02}", done, task, f"s{number}@example.org")
    began = time.process_time()
    found = collect(sorted(tmp_path.iterdir()), task, clock.now + 7 * 86400)
    assert time.process_time() - began < 20
    assert len(found.works) == 60
    assert not any(one.refused or one.odd for one in found.works), table(found, task)
    weak, strong = (sum(one.points for one in part) for part in (found.works[:20], found.works[-20:]))
    assert weak < strong
    rows = list(csv.reader(StringIO(questions(found))))
    assert len(rows) == 1 + 60 * found.possible
    heads, most, *students = csv.reader(StringIO(canvas(found, task)))
    assert heads[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"], "by place, not only by name"
    assert "Points Possible" in most[0]
    assert most[5:] == [str(found.possible - 3), "3"]
    assert len(students) == 60
    assert next(csv.DictReader(StringIO(moodle(found, task))))["Email address"] == "s0@example.org"


def test_what_is_forged_copied_or_late_is_named(tmp_path: Path, clock: Clock) -> None:
    lesson = find(LESSON)
    task = msgspec.structs.replace(assign("Week 1", [LESSON], [], MONDAY + 86400), made=MONDAY)
    honest = Progress(lessons={LESSON: work_of(lesson, lambda: True)})
    handed_in(tmp_path, "Ada", honest, task)
    handed_in(tmp_path, "Copy", honest, task)
    forged = LessonProgress(revision=lesson.revision, finished=True)
    handed_in(tmp_path, "Forged", Progress(lessons={LESSON: forged}), task)
    done = honest.lessons[LESSON]
    machine = msgspec.structs.replace(done, times=dict.fromkeys(done.times, MONDAY + 7))
    handed_in(tmp_path, "Hasty", Progress(lessons={LESSON: machine}), task)
    early = msgspec.structs.replace(done, times={key: at - 9 * 86400 for key, at in done.times.items()})
    handed_in(tmp_path, "Early", Progress(lessons={LESSON: early}), task)
    edited = handed_in(tmp_path, "Edited", Progress(lessons={LESSON: work_of(lesson, lambda: True)}), task)
    edited.write_bytes(edited.read_bytes().replace(b'"student": ""', b'"student": "x"', 1))
    (tmp_path / "junk.json").write_text("[" * 100_000)
    (tmp_path / "other.json").write_text('{"format": 1}')
    found = collect(sorted(tmp_path.iterdir()), task, clock.now)
    assert "in the same seconds as Copy's" in odd(found, "Ada")
    assert "in the same seconds as Ada's" in odd(found, "Copy")
    forged_one = next(one for one in found.works if one.work.name == "Forged")
    assert "the replay stops at section 1: no answer to" in forged_one.refused[0]
    assert forged_one.points == 0
    assert "within 2 seconds of the one before" in odd(found, "Hasty")
    assert "begun before the assignment was made" in odd(found, "Early")
    assert "the file was changed after it was written" in odd(found, "Edited")
    assert {file.file.name for file in found.refused} == {"junk.json", "other.json"}


FORGERIES = (
    ({"guesses": {"nobody-asks-this": "3"}}, "a question that the lesson does not ask"),
    ({"hints": {"after-get-and-pin": 99}}, "there are fewer"),
    ({"item": 9}, "the replay stops at section"),
)


@pytest.mark.parametrize(("change", "said"), FORGERIES)
def test_what_does_not_replay_is_refused(change: dict[str, object], said: str) -> None:
    lesson = find(LESSON)
    if "hints" in change:
        first = next(item.action for item in lesson.items if isinstance(item.action, NumberQuestion))
        change = {"hints": {first.id: 99}}
    with pytest.raises(WorkError, match=said):
        replay_lesson(lesson, LessonProgress(revision=lesson.revision, **change))  # type: ignore[arg-type]


def test_commands_that_never_reached_the_goal_are_refused_and_a_goal_may_be_looked_at_again() -> None:
    lesson = find("copy-on-write")
    player = Player(lesson)
    while not player.finished:
        assert play_next(player)
    whole = player.progress()
    goal = next(iter(whole.commands))
    player.go(0)
    again = Player(lesson, player.progress()).progress()
    assert again.commands == whole.commands, "who goes back to the start has still reached the goal"
    assert replay_lesson(lesson, again).finished
    nothing = msgspec.structs.replace(whole, commands={goal: ("read p0 buf",)})
    with pytest.raises(WorkError, match="is not reached"):
        replay_lesson(lesson, nothing)


def test_a_week_in_which_clocks_are_set(tmp_path: Path, clock: Clock) -> None:
    """Winter time begins, one student's clock is set back by an hour, another's runs a day ahead."""
    lesson = find(LESSON)
    task = msgspec.structs.replace(assign("Week 1", [LESSON], [], MONDAY + 7 * 86400), made=MONDAY)
    steady = work_of(lesson, lambda: True)
    handed_in(tmp_path, "Steady", Progress(lessons={LESSON: steady}), task)
    clock.now = MONDAY + 2 * 86400
    player = Player(lesson)
    for move in range(2000):
        if player.finished:
            break
        if move == 20:
            clock.now -= 3600
        play_next(player)
    handed_in(tmp_path, "Set back", Progress(lessons={LESSON: player.progress()}), task)
    clock.now = MONDAY + 8 * 86400
    ahead = Progress(lessons={LESSON: work_of(lesson, lambda: True)})
    handed_in(tmp_path, "Ahead", ahead, task)
    raw = json.loads((tmp_path / "Ahead.ptework").read_text())
    raw["made"] = MONDAY + 9 * 86400
    (tmp_path / "Ahead.ptework").write_text(json.dumps(raw))
    found = collect(sorted(tmp_path.iterdir()), task, MONDAY + 7 * 86400)
    assert not odd(found, "Steady")
    assert f"{LESSON}: the clock was set back, or an answer was changed" in odd(found, "Set back")
    assert "handed in in the future" in odd(found, "Ahead")
    assert "late" in odd(found, "Ahead")
    assert all(one.lessons[0].finished for one in found.works), "nobody loses anything by a clock"


def test_a_name_is_no_formula_and_the_newest_file_counts(tmp_path: Path, clock: Clock) -> None:
    lesson = find(LESSON)
    half = Progress(lessons={LESSON: work_of(lesson, lambda: True, parts=4)})
    whole = Progress(lessons={LESSON: work_of(lesson, lambda: True)})
    name = '=HYPERLINK("x")'
    for nth, done in enumerate((half, whole)):
        work = hand_in(done, name, "", "1", None)
        path = tmp_path / f"{nth}.json"
        path.write_bytes(as_file(msgspec.structs.replace(work, made=clock.now + nth)))
    found = collect(sorted(tmp_path.iterdir()), None, clock.now)
    assert len(found.works) == 1
    assert found.works[0].lessons[0].finished
    assert "handed in 2 times; the newest counts" in odd(found, name)
    assert "'=HYPERLINK" in questions(found)


async def test_from_the_assignment_to_the_grade_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PTESCOPE_LESSONS", "")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lesson", "new", "of-the-teacher", "--folder", "own"]) == 0
    task, folder = tmp_path / "week.json", tmp_path / "in"
    words = ["class", "--lessons", "own", "assign", "of-the-teacher", LESSON, "--drill", "walk:2", "--title", "Week 1"]
    assert cli.main([*words, "--deadline", "2999-01-01", "-o", str(task)]) == 0
    monkeypatch.setenv("PTESCOPE_LESSONS", "")
    assert set(read_assignment(task).own) == {"of-the-teacher"}
    mine = tmp_path / "data" / "ptescope" / "lessons" / "of-the-teacher.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("a draft of my own")
    assert cli.main(["assignment", str(task), "--plain"]) == 0
    assert mine.with_name("of-the-teacher.md.before-1").read_text() == "a draft of my own"
    said = capsys.readouterr().out
    assert "Of the teacher: not begun" in said, "the lesson came with the file"
    assert "drill walk: 2 exercises not answered" in said
    store = Store()
    store.save(LESSON, work_of(find(LESSON), lambda: True))
    made = exercise("walk", 1)
    store.answered("walk", right=True, seed=1, chosen=made.right)
    async with at(store, None, (120, 60)) as user:
        seen = user.seen()
        assert "Assignment: Week 1  until 2999-01-01 23:59" in seen
        assert "Drill walk, 2 exercises" in seen
        assert "1 of 2" in seen
    folder.mkdir()
    assert cli.main(["hand-in", "--name", "Ada Lovelace", "-o", str(folder / "ada.ptework")]) == 0
    assert "still open: Of the teacher: not begun" in capsys.readouterr().out
    assert parse_hand_in((folder / "ada.ptework").read_bytes()).exercises == {
        "walk 1": store.read().exercises["walk 1"]
    }
    assert cli.main(["class", "collect", str(folder), "--assignment", str(task), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "Ada Lovelace" in said
    assert "answers within 2 seconds of the one before" in said, "the test answers faster than anybody"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"questions.csv", "moodle.csv", "canvas.csv"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["class", "collect", "nowhere"], "there is no folder nowhere"),
        (["class", "collect", "."], "nothing was handed in there"),
        (["class", "assign", "-o", "x.json"], "an assignment has lessons"),
        (
            ["class", "assign", "--drill", "pet:3", "-o", "x.json"],
            "there is no kind of drill `pet` (did you mean `pte`?)",
        ),
        (["class", "assign", "--drill", "pte:0", "-o", "x.json"], "pte: 1 to 100 exercises, please"),
        (["class", "assign", LESSON, "--deadline", "tomorrow", "-o", "x"], "`tomorrow` is no date and time"),
        (["class", "assign", LESSON, "--deadline", "0001-01-01T00:00+23:59", "-o", "x"], "is no date and time"),
        (["class", "assign", LESSON, "--deadline", "2001-01-01", "-o", "x"], "the deadline 2001-01-01 is past"),
        (["class", "assign", "gup-fats", "-o", "x.json"], "no such lesson (did you mean `gup-fast`?)"),
        (["assignment", "nothing.json"], "nothing.json: No such file"),
        (["assignment", "latin.json"], "latin.json:2:12: no UTF-8; this is no assignment"),
        (["hand-in", "--name", "Ada", "--assignment", "cut.json"], "cut.json:2:1: no JSON: Input data was truncated"),
        (["hand-in", "--name", "\x1b[2J"], "There is nothing to hand in yet"),
        (["hand-in", "--name", "  "], "a name, please"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    if words[-1] in ("latin.json", "cut.json"):
        Path(words[-1]).write_bytes(b'{"format": 1,\n' + (b' "title": "\xe4"}' if words[-1] == "latin.json" else b""))
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_hand_in_keeps_what_another_program_could_read() -> None:
    work = msgspec.json.decode(as_file(hand_in(Progress(), "Ada", "", "1", None)), type=HandIn)
    assert work.is_whole
    assert not msgspec.structs.replace(work, name="Eve").is_whole
