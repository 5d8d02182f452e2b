"""Watched expressions: what each is worth at a place of the history, and when that last changed.

An expression is a quantity such as `refcount p0 buf`, or a condition (`model.script.conditions`).
"""

from typing import Final, NamedTuple

from lessons.file.problems import did_you_mean
from lessons.play.playback import Standing
from model.script.ask import expression, value_text
from model.script.moment import Moment, NoAnswerError
from model.session.timeline import Node, Timeline

MOST_WATCHED: Final = 12
LONGEST: Final = 120
"""Characters of an expression."""


class Watched(NamedTuple):
    """An expression at a place of the history."""

    text: str
    value: str
    before: str
    """What it was before it last changed; empty: it never has."""
    node: int
    """Where it got its value."""
    fresh: bool
    """The last micro-step changed it."""


class _Known(NamedTuple):
    value: str
    before: str
    node: int


class Watches:
    """The watched expressions of one history, each evaluated once a node."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline: Final = timeline
        self.texts: list[str] = []
        self._known: dict[str, dict[int, _Known]] = {}

    def add(self, text: str) -> str:
        """Watch one more; says why not."""
        text = " ".join(text.split())
        try:
            expression(text)
        except NoAnswerError as malformed:
            return str(malformed)
        if text in self.texts:
            return f"`{text}` is watched already."
        if len(self.texts) == MOST_WATCHED or len(text) > LONGEST:
            return f"At most {MOST_WATCHED} expressions of {LONGEST} characters are watched."
        self.texts.append(text)
        return ""

    def remove(self, text: str) -> str:
        """Watch one less; says why not."""
        text = " ".join(text.split())
        if text not in self.texts:
            return f"`{text[:LONGEST]}` is not watched; {did_you_mean(text, self.texts)}"
        self.texts.remove(text)
        self._known.pop(text, None)
        return ""

    def at(self, node: Node) -> tuple[Watched, ...]:
        """All of them at a node."""
        return tuple(self._watched(text, node) for text in self.texts)

    def _watched(self, text: str, node: Node) -> Watched:
        known = self._known.setdefault(text, {})
        unknown, place = [], node
        while place.number not in known:
            unknown.append(place)
            if place.parent < 0:
                break
            place = self.timeline.nodes[place.parent]
        for later in reversed(unknown):
            value, before = value_text(text, moment_at(later)), known.get(later.parent)
            if before is not None and before.value == value:
                known[later.number] = before
            else:
                known[later.number] = _Known(value, before.value if before else "", later.number)
        now = known[node.number]
        return Watched(text, now.value, now.before, now.node, fresh=bool(now.before) and now.node == node.number)


def moment_at(node: Node) -> Moment:
    """What an expression is asked about at a node; while a command is under way, its answer is the one before."""
    return Standing.at(node).moment
