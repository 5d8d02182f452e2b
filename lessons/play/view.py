"""What a player shows: the place where the learner is, and everything there is to see and to do there."""

from typing import Literal

import msgspec

from lessons.file.schema import Hint, Item, Prediction
from lessons.play.grading import GradedGuess
from lessons.play.playback import PlayedStep, Standing

Act = Literal["forward", "back", "answer", "hint", "command"]


class LessonPlace(msgspec.Struct, frozen=True):
    """A place of the lesson that was reached: an item, at a node of the history. No two share both."""

    number: int
    item: int
    at: int
    """The node."""
    scene: int
    """The node at which its scene begins."""
    entry: int
    """The place at which the item was entered."""
    came_from: int
    """The place from which it was reached last; -1 for the first."""
    played: int = 0
    """Beats of the item's commands that have been played."""
    played_steps: tuple[PlayedStep, ...] = ()
    """What the move that led here did to the machine."""
    typed: tuple[str, ...] = ()
    """Commands given to reach the item's goal."""


class RevealedPrediction(msgspec.Struct, frozen=True):
    """A prediction that has been revealed."""

    prediction: Prediction
    verdict: GradedGuess


class LessonView(msgspec.Struct, frozen=True):
    """Everything that there is to show."""

    number: int
    """Of the item, counted from 1."""
    total: int
    item: Item
    text: str
    ask: str
    """The question on the screen, answered or not; empty if none."""
    choices: tuple[str, ...]
    """Its answers to choose from; empty where any number will do."""
    guess: str
    """What was answered, as the learner reads it; empty: nothing yet."""
    waiting: tuple[tuple[str, str], ...]
    """Questions that the commands of this item are going to answer, each with what was guessed."""
    judged: tuple[RevealedPrediction, ...]
    """What has just been revealed: guesses beside the truth."""
    goal: tuple[tuple[bool, str], ...]
    """Each condition of the goal: whether it holds now, and how it reads."""
    hints: tuple[Hint, ...]
    """The hints taken so far."""
    notes: tuple[str, ...]
    upcoming: str
    """The command that going forward starts or goes on with; empty if none."""
    next_step: PlayedStep | None
    """The micro-step that comes next, where it is known."""
    played_steps: tuple[PlayedStep, ...]
    """What the last move did."""
    standing: Standing
    may: frozenset[Act]
    finished: bool


class Summary(msgspec.Struct, frozen=True):
    """What a lesson has come to."""

    right: int
    predictions: int
    """Those that were made and revealed."""
    hints: int
    rule: str
    read: tuple[str, ...]
