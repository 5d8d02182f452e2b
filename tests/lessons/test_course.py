"""Every lesson of the course: it is checked, and played to its end with right and with wrong answers."""

import re
from functools import cache
from pathlib import Path

import pytest

from lessons.file.library import COURSE, entries, find
from lessons.file.schema import Goal, Lesson, Prediction
from lessons.file.translation import texts_of
from lessons.play.playback import PlayedStep, set_scene
from lessons.play.player import Player
from model.engine.config import setting
from model.script.ask import is_so
from tests.lessons.playing import knowing, mistaken, play, wrong_answers

LESSONS = [entry.name for entry in entries()]
SCENES = {path.stem for path in (COURSE.parent / "scenes").glob("*.pte")}
RECORDINGS = Path(__file__).parents[1] / "recordings" / "hand"


MOST_WRONG = 3
"""Of answers to a prediction that are wrong, so many are tried."""


@cache
def course(name: str) -> Lesson:
    return find(name)


@cache
def played(name: str) -> Player:
    """A lesson, played to its end by somebody who knows everything. Nobody may play on: the tests share it."""
    return play(course(name), knowing(course(name)))


def truths(name: str) -> dict[str, str]:
    return {prediction: verdict.truth for prediction, verdict in played(name).judged.items()}


@pytest.fixture(params=LESSONS)
def lesson(request: pytest.FixtureRequest) -> Lesson:
    return course(request.param)


def test_who_knows_everything_is_always_right(lesson: Lesson) -> None:
    player = played(lesson.id)
    summary = player.summary()
    assert summary.right == summary.predictions > 0
    assert len(player.reached) == 1
    assert summary.hints == 0


def test_who_is_always_wrong_is_answered_each_time_and_comes_to_the_end(lesson: Lesson) -> None:
    """Once by the hints, which do not depend on what was answered; then as often as there is another wrong answer."""
    known = truths(lesson.id)
    predictions = [item.action for item in lesson.items if isinstance(item.action, Prediction)]
    most = max(len(wrong_answers(prediction, known[prediction.id])) for prediction in predictions)
    for which in range(min(most, MOST_WRONG)):
        player = play(lesson, mistaken(known, which), by_hints=which == 0)
        summary = player.summary()
        assert summary.right == 0
        assert summary.predictions == len(known) == len(predictions)
        for name, verdict in player.judged.items():
            assert verdict.reply, name
            assert verdict.guess != verdict.truth


def test_every_surprise_is_predicted_and_the_learner_acts_soon(lesson: Lesson) -> None:
    actions = [item.action for item in lesson.items]
    assert any(isinstance(action, Prediction | Goal) for action in actions[:3])
    assert 5 <= lesson.header.minutes <= 12
    assert any(isinstance(action, Goal) for action in actions)


def test_a_lesson_names_the_kernel_of_each_of_its_machines(lesson: Lesson) -> None:
    said = "\n".join(texts_of(lesson))
    for item in lesson.items:
        if item.world:
            kernel = setting(set_scene(lesson, item).moment.state, "kernel")
            assert f"Linux {kernel}" in said, f"the machine in line {item.line} is Linux {kernel}"


def test_recordings_that_a_lesson_names_exist(lesson: Lesson) -> None:
    for name in lesson.header.recordings:
        assert (RECORDINGS / f"{name}.json").is_file(), name


def test_a_lesson_ends_in_the_sandbox_with_scenes_that_exist(lesson: Lesson) -> None:
    after = " ".join(lesson.items[-1].text.split())
    assert lesson.items[-1].last
    assert "in the sandbox" in after
    for named in re.findall(r"scenes? ((?:`[a-z0-9-]+`(?:,| and)? ?)+)", after):
        assert set(re.findall(r"`([a-z0-9-]+)`", named)) <= SCENES


def test_each_micro_step_explains_itself(lesson: Lesson) -> None:
    played_steps = [
        played_step for place in played(lesson.id).places for played_step in place.played_steps if played_step.stepped
    ]
    assert len(played_steps) > 50
    assert [
        played_step.name for played_step in played_steps if played_step.stepped and not played_step.stepped.doc
    ] == []


# -- what the two model lessons are about ------------------------------------------------------------


def beats_of(player: Player, command: str) -> list[PlayedStep]:
    """The micro-steps of the first time that a command was played."""
    found: list[PlayedStep] = []
    for place in player.places:
        for played_step in place.played_steps:
            if played_step.command == command and not (found and found[-1].outcome):
                found.append(played_step)
    return found


def test_the_answers_about_references_are_those_of_the_recordings() -> None:
    """061: 1025, then 1024, and a 0 is read; 068: SIGBUS and two pages; 024: the child keeps it; 029: the parent."""
    assert truths("a-reference-is-not-a-mapping") == {
        "count-of-a-pin": "1025",
        "does-the-pin-stop-the-zap": "no",
        "count-after-the-zap": "1024",
        "what-does-p0-read": "0",
        "where-does-the-7-go": "p0 buf",
        "read-after-truncate": "SIGBUS",
        "do-they-meet-again": "no",
        "get-and-fork": "p1 buf",
        "pin-and-fork": "p0 buf",
    }


def test_the_stale_reference_and_the_lost_write_are_noticed_at_the_very_step() -> None:
    player = played("a-reference-is-not-a-mapping")
    (cleared,) = [played_step for played_step in beats_of(player, "finish zap") if played_step.fresh]
    assert (cleared.name, cleared.fresh[0].invariant) == ("zap_page_range_single.zap_pte_range", "stale-reference")
    (written,) = [played_step for played_step in beats_of(player, "dma dma0 write 9") if played_step.fresh]
    assert [violation.invariant for violation in written.fresh] == ["lost-write"]


def test_a_prediction_is_revealed_at_the_step_that_decides_it() -> None:
    lesson = course("a-reference-is-not-a-mapping")
    player = play(lesson, knowing(lesson))
    shown: dict[str, str] = {}
    for number in range(len(player.places)):
        player.go(number)
        for judged in player.view().judged:
            if player.place.played_steps:
                shown[judged.prediction.id] = player.place.played_steps[-1].name
    assert shown["does-the-pin-stop-the-zap"] == "zap_page_range_single.zap_pte_range"
    assert shown["count-after-the-zap"] == "tlb_finish_mmu.tlb_batch_pages_flush"


def test_the_tlb_is_stale_until_it_is_flushed() -> None:
    player = played("how-the-walk-works")
    for place in player.places:
        moment = player.standing_at(place).moment
        if place.played_steps and place.played_steps[-1].name == "zap_page_range_single.zap_pte_range":
            assert is_so("absent p0 buf and cached 0 p0 buf", moment)
        if any(
            played_step.name == "flush_tlb_range.flush_local" and played_step.command == "finish zap"
            for played_step in place.played_steps
        ):
            assert is_so("absent p0 buf and not cached 0 p0 buf", moment)
            break
    else:
        raise AssertionError("the TLB was never flushed")


def test_the_course_ships_with_every_world_that_it_needs() -> None:
    for name in LESSONS:
        assert set(course(name).worlds) <= {path.stem for path in (COURSE / "worlds").glob("*.pte")}
