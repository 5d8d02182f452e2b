"""Properties: what a script says must hold of the machine in every state, in none, or at the end.

`ptescope run` judges them on the one way that a script goes, after every micro-step; the search judges them in every
state that it reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from model.script.command import Command, Condition
from model.script.conditions import found_instead, holds
from model.script.moment import Moment, NoAnswerError

When = Literal["always", "never", "final"]
"""In every state, in no state, in the state in which nothing more happens."""


class StateProperty(msgspec.Struct, frozen=True):
    """A line such as `always present p0 buf`."""

    when: When
    condition: Condition
    text: str
    """As written."""
    line: int = 1

    @staticmethod
    def of(command: Command) -> StateProperty:
        """The property that a line states; an `expect` behind the first `may` states a final one."""
        when = "final" if command.verb == "expect" else cast("When", command.verb)
        return StateProperty(when, cast("Condition", command.operands["CONDITION"]), command.text, command.line)

    def is_broken(self, moment: Moment) -> bool | None:
        """Whether a moment breaks it. None: the condition speaks of something that does not exist then."""
        try:
            return holds(self.condition, moment) is (self.when == "never")
        except NoAnswerError:
            return None

    def why_broken(self, moment: Moment) -> str:
        """What there is instead."""
        found = "it holds" if self.when == "never" else f"found {found_instead(self.condition, moment)}"
        return f"`{self.text}` is broken: {found}"

    def broken_at_once(self, moment: Moment) -> str:
        """What is wrong with it in the moment where it is stated; empty: nothing.

        At the end whatever it speaks of must exist, as for `expect`.
        """
        broken = self.is_broken(moment)
        wrong = broken is not False if self.when == "final" else broken
        return self.why_broken(moment) if wrong else ""

    def asks(self, form: str) -> bool:
        """Whether a phrase of the condition has this form."""
        return any(phrase.form == form for phrase in self.condition.phrases)


class BrokenProperty(msgspec.Struct, frozen=True):
    """A property that a micro-step has broken."""

    property: StateProperty
    step: int
    """Which micro-step of the command it was, counted from 1; 0: none was needed."""
    at: str
    """That micro-step, `procedure.step`; empty where none was needed."""
    message: str


class PropertyWatch:
    """Judges properties state by state, and tells each time one comes to be broken."""

    def __init__(self, properties: Sequence[StateProperty] = (), broken: frozenset[str] = frozenset()) -> None:
        self.properties = tuple(properties)
        self.broken = broken
        """The texts of those that are broken now."""

    def copy(self) -> PropertyWatch:
        """Another watch that stands where this one stands."""
        return PropertyWatch(self.properties, self.broken)

    def add(self, added: StateProperty, moment: Moment) -> None:
        """Watch one more from this moment on. One about the end is none of the watch's business."""
        if added.when == "final":
            return
        self.properties += (added,)
        if added.is_broken(moment):
            self.broken |= {added.text}

    def newly_broken(self, moment: Moment) -> list[StateProperty]:
        """The properties that this moment breaks and the moment before it did not."""
        broken = [one for one in self.properties if one.is_broken(moment)]
        found = [one for one in broken if one.text not in self.broken]
        self.broken = frozenset(one.text for one in broken)
        return found
