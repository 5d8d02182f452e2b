"""The hints of an item: where to look, what to think of, the next step, the whole answer.

An author writes the hints of a prediction. For a goal the author writes the first two; the next step and the rest of
the way are computed from where the learner stands, so they fit what has been done already.
"""

from collections.abc import Callable
from typing import Final

from lessons.file.schema import Goal, Hint, Item
from lessons.i18n.language import tr
from lessons.play.goal_search import Commands

COMPUTED: Final = ("next", "show")
"""The hints of a goal that no author writes."""


def hint_count(item: Item) -> int:
    """How many hints an item has."""
    return len(item.hints) + (len(COMPUTED) if isinstance(item.action, Goal) else 0)


def first_hints(item: Item, count: int, remaining: Callable[[Goal], Commands | None]) -> tuple[Hint, ...]:
    """The first `count` hints of an item, as they read where the learner stands.

    `remaining`: the shortest way from there to the goal, which is searched for only when a hint tells of it.
    """
    written = item.hints[:count]
    goal = item.action
    if count <= len(item.hints) or not isinstance(goal, Goal):
        return written
    rest = remaining(goal)
    if rest is None:
        lost = tr("From here the solution that I know no longer works: go back to where this goal begins.")
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
    computed = [Hint(kind, text, goal.line) for kind, text in zip(COMPUTED, texts, strict=True)]
    return (*written, *computed[: count - len(written)])
