"""A command typed where no prompt is open: letters that come as fast as a word and begin a verb open the prompt.

Single letters are keys, and they stay so: they act at once. With the third letter of a verb it is clear that a word was
meant. Then what the letters before it did is taken back, and the prompt opens with what has been typed.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec
from textual.events import Key

if TYPE_CHECKING:
    from tui.screens.stage import Stage

PACE: Final = 0.5
"""Seconds within which the next letter of a word comes."""
LEAST: Final = 3
"""Letters after which a word is a word, and no row of keys."""


class TypedLetter(msgspec.Struct, frozen=True):
    """A letter, and what it found in front: a stage, where that stood in its history, the theme."""

    letter: str
    time: float
    stage: "Stage | None"
    """None: no stage, or one on which letters answer a question."""
    place: int
    theme: str


class TypedCommand:
    """Watches the keys that are pressed."""

    def __init__(self, in_front: Callable[[], "Stage | None"], theme: Callable[[], str]) -> None:
        self.in_front = in_front
        self.theme = theme
        self.letters: deque[TypedLetter] = deque(maxlen=LEAST)
        self.at_prompt = -inf
        """When the last key came that was on its way to the prompt: the one that opens it, and letters close behind."""

    def takes(self, event: Key) -> tuple[str, TypedLetter] | None:
        """With the key that completes the beginning of a verb: that beginning, and its first letter."""
        letter = event.character or ""
        if letter == ":" or event.time - self.at_prompt <= PACE:
            self.at_prompt = event.time
            self.letters.clear()
            return None
        if not (letter.isascii() and (letter.islower() or letter in "- ")):
            self.letters.clear()
            return None
        if self.letters and event.time - self.letters[-1].time > PACE:
            self.letters.clear()
        stage = self.in_front()
        if stage is not None and not stage.takes_typing:
            stage = None
        place = -1 if stage is None else stage.driver.past().here.number
        self.letters.append(TypedLetter(letter, event.time, stage, place, self.theme()))
        begun, first = "".join(typed.letter for typed in self.letters), self.letters[0]
        if len(begun) < LEAST or first.stage is None or not begins_a_verb(begun):
            return None
        self.letters.clear()
        return begun, first


def begins_a_verb(letters: str) -> bool:
    """Whether a command can begin so.

    >>> begins_a_verb("mad"), begins_a_verb("bo "), begins_a_verb("npi")
    (True, True, False)
    """
    from model.script.verbs import VERBS

    return any(f"{verb} ".startswith(letters) for verb in VERBS)
