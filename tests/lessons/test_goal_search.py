"""Hints computed from where the learner stands: another order, a detour, something that is in the way."""

from collections.abc import Iterator

import pytest

from lessons.file.library import entries, find
from lessons.file.schema import Do, Goal, LessonCommand
from lessons.play.goal_search import reached, remaining
from lessons.play.playback import Standing, play, play_all, set_scene
from lessons.play.player import Player


def goals(name: str) -> Iterator[tuple[Goal, Standing, str]]:
    """The goals of a lesson, each with the machine before it."""
    lesson = find(name)
    standing: Standing | None = None
    for item in lesson.items:
        standing = set_scene(lesson, item) if item.world else standing
        assert standing is not None
        if isinstance(item.action, Do):
            standing = [*play_all(item.action, standing, lesson.file)][-1].standing
        if isinstance(item.action, Goal):
            yield item.action, standing, lesson.file
            standing = after(standing, item.action.solution, lesson.file)


def after(standing: Standing, commands: tuple[LessonCommand, ...], file: str) -> Standing:
    for command in commands:
        standing = play(standing, command, file)[-1].standing
    return standing


@pytest.mark.parametrize("name", [entry.name for entry in entries() if entry.lesson is not None])
def test_from_the_start_of_each_goal_the_way_leads_there_and_is_not_longer_than_the_stored_one(name: str) -> None:
    for goal, standing, file in goals(name):
        way = remaining(goal, standing, file)
        assert way is not None
        assert len(way) <= len(goal.solution)
        assert reached(goal, after(standing, way, file))


@pytest.mark.parametrize(
    ("name", "done", "way"),
    [
        ("get-against-pin", "write p0 buf 9", ["gup p0 buf as=dma0 pin by=nic", "fork p0 p2"]),
        ("gup-slow", "write p0 buf 7", ["gup p0 buf+0 as=look slow write by=nic"]),
        ("moves-that-ask", "move b vram", ["put x", "read p0 win"]),
    ],
)
def test_what_was_done_in_another_order_is_not_done_again(name: str, done: str, way: list[str]) -> None:
    goal, standing, file = next(goals(name))
    there = after(standing, (LessonCommand(done, 1),), file)
    found = remaining(goal, there, file)
    assert found is not None
    assert [command.text for command in found] == way
    assert reached(goal, after(there, found, file))


def test_what_is_in_the_way_is_put_away_first() -> None:
    goal, standing, file = next(goals("a-reference-is-not-a-mapping"))
    there = after(standing, (LessonCommand("gup p0 buf as=dma1 write pin longterm by=nic", 1),), file)
    found = remaining(goal, there, file)
    assert found is not None
    assert [command.text for command in found] == ["put dma0", "dma dma1 write 9"]


def test_the_third_rung_counts_what_remains_and_names_the_next() -> None:
    player = Player(find("get-against-pin"))
    while player.goal is None:
        player.guesses |= {player.prediction.id: "0"} if player.prediction else {}
        assert player.forward() == ""
    assert player.command("write p0 buf 9") == ""
    for _ in range(3):
        player.hint()
    assert player.view().hints[-1].text == "2 commands remain; the next is `gup p0 buf as=dma0 pin by=nic`"
