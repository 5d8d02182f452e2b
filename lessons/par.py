"""Par: the fewest commands that lead from the start of a goal to it, found by search."""

from collections.abc import Iterable
from typing import Final

from lessons.format import Goal
from lessons.performing import Standing, try_out
from lessons.problems import LessonError
from lessons.ways import reached
from model.script.problems import ScriptError
from model.search.offers import offers

MOST_PLAYS: Final = 3000
"""Commands that the search tries at most."""


def shortest(goal: Goal, standing: Standing, below: int) -> tuple[tuple[str, ...] | None, bool]:
    """A way to the goal with fewer than `below` commands, and whether every such way was tried.

    What is tried are the commands of the stored solution and whatever the machine offers: each process, buffer, device,
    file and reference of it. A way of commands that nobody would think of may still be shorter.
    """
    stored = [command.text for command in goal.solution]
    level: list[tuple[Standing, tuple[str, ...]]] = [(standing, ())]
    seen = {_place(standing)}
    plays = 0
    for _ in range(1, below):
        following: list[tuple[Standing, tuple[str, ...]]] = []
        for place, way in level:
            for line in _candidates(stored, place):
                plays += 1
                if plays > MOST_PLAYS:
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


def _place(standing: Standing) -> tuple[object, object]:
    """What tells two places apart: the machine, and how the last command ended."""
    return standing.context.state, standing.context.last


def _candidates(stored: Iterable[str], standing: Standing) -> list[str]:
    """Commands worth trying here, each once."""
    offered = (offer.line for offer in offers(standing.context.state))
    return list(dict.fromkeys((*stored, *offered)))


def _after(standing: Standing, line: str) -> Standing | None:
    """Where a command leads; None if it cannot be given here."""
    try:
        beats = try_out(standing, line)
    except (ScriptError, LessonError):
        return None
    return beats[-1].standing if beats else None
