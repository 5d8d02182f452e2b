"""The hint ladder: where to look, what to think of, the next step, the whole answer.

An author writes the rungs of a prediction. For a goal the author writes the first two; the next step and the rest of
the way are computed from where the learner stands, so they fit what has been done already.
"""

from typing import Final

from lessons.expressions import ExpressionError, condition
from lessons.format import Command, Goal, Hint, Item
from lessons.language import tr
from lessons.performing import Standing, play
from lessons.problems import LessonError

COMPUTED: Final = ("next", "show")
"""The rungs of a goal's ladder that no author writes."""


def height(item: Item) -> int:
    """How many rungs an item's ladder has."""
    return len(item.hints) + (len(COMPUTED) if isinstance(item.action, Goal) else 0)


def climb(item: Item, rungs: int, standing: Standing, file: str) -> tuple[Hint, ...]:
    """The first `rungs` rungs of an item's ladder, as they read where the learner stands."""
    written = item.hints[:rungs]
    goal = item.action
    if rungs <= len(item.hints) or not isinstance(goal, Goal):
        return written
    rest = remaining(goal, standing, file)
    if rest is None:
        lost = tr("From here the way that I know does not lead to the goal: go back to where it begins.")
        texts = [lost, lost]
    elif not rest:
        texts = [tr("The goal is reached: go forward.")] * 2
    else:
        lines = "\n".join(command.text for command in rest)
        ahead = (
            tr("{count} commands remain; the next is").format(count=len(rest))
            if len(rest) > 1
            else tr("One command remains:")
        )
        texts = [f"{ahead} `{rest[0].text}`", f"{tr('Going forward plays it for you:')}\n\n```\n{lines}\n```"]
    computed = [Hint(rung, text, goal.line) for rung, text in zip(COMPUTED, texts, strict=True)]
    return (*written, *computed[: rungs - len(written)])


def reached(goal: Goal, standing: Standing) -> bool:
    """Every condition of a goal holds."""
    return all(holds(check.condition, standing) for check in goal.checks)


def holds(text: str, standing: Standing) -> bool:
    """Whether a goal's condition holds; one that speaks of something that does not exist does not."""
    try:
        return condition(text, standing.moment)
    except ExpressionError:
        return False


def remaining(goal: Goal, standing: Standing, file: str) -> tuple[Command, ...] | None:
    """The shortest end of the stored solution that leads from here to the goal; None if none does."""
    for start in range(len(goal.solution), -1, -1):
        rest = goal.solution[start:]
        if _leads_to(goal, rest, standing, file):
            return rest
    return None


def _leads_to(goal: Goal, commands: tuple[Command, ...], standing: Standing, file: str) -> bool:
    """Whether these commands, from here, reach the goal. What cannot be played from here leads nowhere."""
    for command in commands:
        try:
            beats = play(standing, command, file)
        except LessonError:
            return False
        standing = beats[-1].standing
    return reached(goal, standing)
