"""How exercises have gone, kind by kind: what is kept of them."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from lessons.i18n.language import tr

Count = Annotated[int, msgspec.Meta(ge=0)]


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a kind of exercise has gone."""

    asked: Count = 0
    right: Count = 0
    streak: Count = 0
    """Right answers in a row, until now."""

    def after(self, *, right: bool) -> "Score":
        """The score with one more answer."""
        return Score(self.asked + 1, self.right + right, self.streak + 1 if right else 0)

    @property
    def mastery(self) -> float:
        """0 for what was never right, growing with every right answer in a row."""
        return self.streak * self.right / self.asked if self.asked else 0.0


def summary(scores: Mapping[str, Score]) -> str:
    """All kinds together, in a few words; empty where nothing was answered.

    >>> summary({"pte": Score(4, 3, 2), "walk": Score(1, 1, 1)})
    '4 of 5'
    """
    asked, right = sum(score.asked for score in scores.values()), sum(score.right for score in scores.values())
    return tr("{right} of {asked}").format(right=right, asked=asked) if asked else ""
