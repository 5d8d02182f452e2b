"""The hint ladder: where to look, what to think of, the next step, the whole answer.

An author writes the rungs of a prediction. For a goal the author writes the first two; the next step and the rest of
the way are computed from where the learner stands, so they fit what has been done already.
"""

from collections.abc import Callable
from typing import Final

from lessons.file.schema import Goal, Hint, Item
from lessons.i18n.language import tr
from lessons.play.goal_search import Way

COMPUTED: Final = ("next", "show")
"""The rungs of a goal's ladder that no author writes."""


def height(item: Item) -> int:
    """How many rungs an item's ladder has."""
    return len(item.hints) + (len(COMPUTED) if isinstance(item.action, Goal) else 0)


def climb(item: Item, rungs: int, remaining: Callable[[Goal], Way | None]) -> tuple[Hint, ...]:
    """The first `rungs` rungs of an item's ladder, as they read where the learner stands.

    `remaining`: the shortest way from there to the goal, which is searched for only when a rung tells of it.
    """
    written = item.hints[:rungs]
    goal = item.action
    if rungs <= len(item.hints) or not isinstance(goal, Goal):
        return written
    rest = remaining(goal)
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
