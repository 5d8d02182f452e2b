"""The shortest way to a goal from where the learner stands: a search over commands, breadth first.

The stored solution is one way from the beginning. A learner may have done half of it in another order, or something
else that is in the way now. So its commands are tried in every order, then together with whatever else could be done
to the machine; equal machines are looked at once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from lessons.file.problems import LessonError
from lessons.file.schema import Goal, LessonCommand
from lessons.play.playback import PlayedStep, Standing, play, understand
from model.memory.state import State
from model.script.ask import is_so
from model.script.context import Outcome
from model.script.moment import NoAnswerError
from model.text.problems import ScriptError

MOST_PLAYED: Final = 400
"""Commands that one search plays at most …"""
MOST_STEPS: Final = 2000
"""… and their micro-steps, a little more if one command has many: about half a second."""
DETOUR: Final = 2
"""How many commands more than the solution has a way may take."""

Commands = tuple[LessonCommand, ...]


class _Seen(msgspec.Struct, frozen=True):
    """What counts as the same place: the machine, and the answer that the goal may ask for."""

    state: State
    last: Outcome


def reached(goal: Goal, standing: Standing) -> bool:
    """Every condition of a goal holds."""
    return all(holds(check.condition, standing) for check in goal.checks)


def holds(text: str, standing: Standing) -> bool:
    """Whether a goal's condition holds; one that speaks of something that does not exist does not."""
    try:
        return is_so(text, standing.moment)
    except NoAnswerError:
        return False


def remaining(goal: Goal, standing: Standing, file: str) -> Commands | None:
    """The shortest way that is found from here to the goal; None if none is."""
    known = _rest_of_solution(goal, standing, file)
    if known is not None and len(known) <= 1:
        return known
    most = len(known) - 1 if known is not None else len(goal.solution) + DETOUR
    found = _search(goal, standing, file, lambda _: goal.solution, most)
    if found is not None or known is not None:
        return found if found is not None else known
    return _search(goal, standing, file, lambda here: _everything(goal, here), most)


def _rest_of_solution(goal: Goal, standing: Standing, file: str) -> Commands | None:
    """The shortest end of the stored solution that leads from here to the goal; None if none does."""
    for start in range(len(goal.solution), -1, -1):
        rest = goal.solution[start:]
        here = standing
        for command in rest:
            played_steps = _played(here, command, file)
            if not played_steps:
                break
            here = played_steps[-1].standing
        else:
            if reached(goal, here):
                return rest
    return None


def _everything(goal: Goal, standing: Standing) -> Iterator[LessonCommand]:
    """What the solution uses, then all else that makes sense on this machine."""
    from model.search.enabled import enabled_commands

    yield from goal.solution
    for offer in enabled_commands(standing.context.state):
        try:
            command = understand(offer.line, standing)
        except ScriptError:
            continue
        if command is not None:
            yield LessonCommand(command.text, command.line)


def _search(
    goal: Goal, standing: Standing, file: str, choices: Callable[[Standing], Iterable[LessonCommand]], most: int
) -> Commands | None:
    """Breadth first over commands, at most `most` of them in a row."""
    seen = {_Seen(standing.context.state, standing.context.last)}
    level: list[tuple[Standing, Commands]] = [(standing, ())]
    played = steps = 0
    for _ in range(most):
        following: list[tuple[Standing, Commands]] = []
        for here, way in level:
            for command in choices(here):
                played_steps = _played(here, command, file)
                played += 1
                steps += len(played_steps)
                if played > MOST_PLAYED or steps > MOST_STEPS:
                    return None
                after = played_steps[-1].standing if played_steps else here
                if (place := _Seen(after.context.state, after.context.last)) in seen:
                    continue
                if reached(goal, after):
                    return (*way, command)
                seen.add(place)
                following.append((after, (*way, command)))
        level = following
    return None


def _played(standing: Standing, command: LessonCommand, file: str) -> tuple[PlayedStep, ...]:
    """The steps of a command; none if it cannot be played from here."""
    try:
        return play(standing, command, file)
    except LessonError:
        return ()
