"""Par: the fewest commands that lead from the start of a goal to it, found by search."""

from collections.abc import Iterable
from typing import Final

from lessons.file.problems import LessonError
from lessons.file.schema import Goal
from lessons.play.goal_search import reached
from lessons.play.playback import Standing, try_out
from model.search.enabled import enabled_commands
from model.text.problems import ScriptError

MOST_PLAYS: Final = 3000
"""Commands that the search tries at most to prove a par …"""
FEW_PLAYS: Final = 400
"""… and where none was promised: a fifth of a second."""

Found = tuple[str, ...] | None
"""A way to a goal, if one was found."""


def shortest(goal: Goal, standing: Standing, below: int, most: int = MOST_PLAYS) -> tuple[Found, bool]:
    """A way to the goal with fewer than `below` commands, and whether every such way was tried.

    What is tried are the commands of the stored solution and whatever the machine offers: each process, buffer, device,
    file and reference of it. A way of commands that nobody would think of may still be shorter. Where that is too much
    the stored commands alone are tried in other orders, and in theirs with some left out.
    """
    way, complete = _search(goal, standing, below, most, offered=True)
    if way is None and not complete:
        way, _ = _search(goal, standing, below, most, offered=False)
        way = way or _leaving_out(goal, standing, below, most)
    return way, complete


def _search(goal: Goal, standing: Standing, below: int, most: int, *, offered: bool) -> tuple[Found, bool]:
    """Breadth first over commands, at most `most` of them; `offered`: those that the machine offers as well."""
    stored = [command.text for command in goal.solution]
    level: list[tuple[Standing, tuple[str, ...]]] = [(standing, ())]
    seen = {_place(standing)}
    plays = 0
    for _ in range(1, below):
        following: list[tuple[Standing, tuple[str, ...]]] = []
        for place, way in level:
            for line in _candidates(stored, place) if offered else stored:
                plays += 1
                if plays > most:
                    return None, False
                after = _after(place, line)
                if after is None:
                    continue
                if reached(goal, after):
                    return (*way, line), True
                if (key := _place(after)) not in seen:
                    seen.add(key)
                    following.append((after, (*way, line)))
        level = following
    return None, True


def _leaving_out(goal: Goal, standing: Standing, below: int, most: int) -> Found:
    """The fewest commands of the stored solution that reach the goal in their order; None if that takes `below`."""
    stored = [command.text for command in goal.solution]
    level: list[tuple[Standing, tuple[str, ...], int]] = [(standing, (), 0)]
    plays = 0
    for _ in range(1, below):
        following: list[tuple[Standing, tuple[str, ...], int]] = []
        for place, way, start in level:
            for number in range(start, len(stored)):
                plays += 1
                if plays > most:
                    return None
                after = _after(place, stored[number])
                if after is None:
                    continue
                if reached(goal, after):
                    return (*way, stored[number])
                following.append((after, (*way, stored[number]), number + 1))
        level = following
    return None


def _place(standing: Standing) -> tuple[object, object]:
    """What tells two places apart: the machine, and how the last command ended."""
    return standing.context.state, standing.context.last


def _candidates(stored: Iterable[str], standing: Standing) -> list[str]:
    """Commands worth trying here, each once."""
    offered = (offer.line for offer in enabled_commands(standing.context.state))
    return list(dict.fromkeys((*stored, *offered)))


def _after(standing: Standing, line: str) -> Standing | None:
    """Where a command leads; None if it cannot be given here."""
    try:
        played_steps = try_out(standing, line)
    except (ScriptError, LessonError):
        return None
    return played_steps[-1].standing if played_steps else None
