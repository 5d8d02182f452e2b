"""What a search has seen of each place in the code: what may be looked at and changed there and further on."""

from __future__ import annotations

from typing import Final, NamedTuple

from model.search.packed import Component
from model.search.symmetry import Image
from model.search.touch import Touch
from model.search.transition_cache import Actor

CodePlaceKey = tuple[Actor, int]
"""A task at a place: by its record, as bits. Or a permission: how often it may still be used."""

MOST_TIMES: Final = 16
"""A permission that may be used more often than that is at one place until it may not be any more."""
MANY_TIMES: Final = -1
"""In place of the bits that say how often a permission may still be used."""
EVERY_LOCK: Final = -1


def place_of(actor: Actor, code: int) -> CodePlaceKey:
    """The place of a task, or of a permission, by the bits of its record."""
    if actor.permission is not None and actor.permission.times > MOST_TIMES:
        left: int | None = actor.control.by_code.get(code)
        if left is not None and left > MOST_TIMES:
            return actor, MANY_TIMES
    return actor, code


class Held(NamedTuple):
    """The locks that somebody holds, as marks."""

    write: int = 0
    """For writing, or interrupts off: nobody passes who takes them."""
    any: int = 0
    """All of them: nobody passes who takes them for writing."""

    def __or__(self, other: object) -> Held:
        assert isinstance(other, Held)
        return Held(self.write | other.write, self.any | other.any)


NONE_HELD: Final = Held()


class CodePlace:
    """What was seen of a task, or of a permission, at one place."""

    __slots__ = (
        "ahead",
        "changed",
        "known_later",
        "later_changed",
        "later_looked",
        "looked",
        "read_locks",
        "sticky",
        "was_sticky",
        "write_locks",
    )

    def __init__(self) -> None:
        self.looked = 0
        self.changed = 0
        self.read_locks = EVERY_LOCK
        """The locks that whatever is made here takes for reading: who cannot have them does not pass."""
        self.write_locks = EVERY_LOCK
        self.ahead: set[CodePlace] = set()
        """The places that a step from here leads to, those of a task that it starts too."""
        self.sticky = False
        """A step from here may close a circle of places."""
        self.was_sticky = False
        """That was known before this search."""
        self.later_looked = 0
        """What may be looked at from here on, as far as it was seen before this search …"""
        self.later_changed = 0
        """… and changed."""
        self.known_later: dict[Held, tuple[int, int]] = {NONE_HELD: (0, 0)}
        """The same while others hold some locks, as far as somebody has asked."""

    def note(self, touch: Touch) -> None:
        """Take in what an attempt has to do with others."""
        self.looked |= touch.looked
        self.changed |= touch.changed
        not_asked = 0 if touch.made else ~touch.looked
        self.read_locks &= touch.read_locks | not_asked
        self.write_locks &= touch.write_locks | not_asked

    def later(self, held: Held) -> tuple[int, int]:
        """What may be looked at and changed from here on, as far as it was seen, while others hold some locks."""
        found = self.known_later.get(held)
        if found is None:
            found = self.known_later[held] = later(self, held)
        return found

    def barred_by(self, held: Held) -> int:
        """The locks that let nobody pass here as long as somebody else holds these."""
        return self.read_locks & held.write | self.write_locks & held.any


class CodePlaces:
    """All places that a search has seen."""

    def __init__(self) -> None:
        self.places: Final[dict[CodePlaceKey, CodePlace]] = {}

    def settle(self) -> list[CodePlaceKey]:
        """Take what was seen so far for all there is; returns the places of which something else was thought before."""
        self._find_sticky()
        changed = []
        for key, place in self.places.items():
            thought = place.known_later, place.was_sticky
            place.known_later = {held: later(place, held) for held in place.known_later}
            place.later_looked, place.later_changed = place.known_later[NONE_HELD]
            place.was_sticky = place.sticky
            if thought != (place.known_later, place.sticky):
                changed.append(key)
        return changed

    def place(self, key: CodePlaceKey) -> CodePlace:
        """A place, which may be new."""
        place = self.places.get(key)
        if place is None:
            place = self.places[key] = CodePlace()
        return place

    def note(self, key: CodePlaceKey, touch: Touch) -> CodePlace:
        """Take in an attempt."""
        place = self.place(key)
        place.note(touch)
        return place

    def lead(self, place: CodePlace, key: CodePlaceKey) -> None:
        """Take in where a step has led."""
        place.ahead.add(self.place(key))

    def _find_sticky(self) -> None:
        """Find the places from which a step may close a circle of places."""
        done: set[CodePlace] = set()
        for start in self.places.values():
            if start in done:
                continue
            way: dict[CodePlace, list[CodePlace]] = {start: list(start.ahead)}
            while way:
                place, ahead = next(reversed(way.items()))
                if not ahead:
                    done.add(place)
                    del way[place]
                    continue
                following = ahead.pop()
                if following in way:
                    place.sticky = True
                elif following not in done:
                    way[following] = list(following.ahead)


def later(place: CodePlace, held: Held) -> tuple[int, int]:
    """What may be looked at and changed from a place on, while others hold some locks."""
    looked = changed = 0
    reached, todo = {place}, [place]
    while todo:
        one = todo.pop()
        if barred := one.barred_by(held):
            looked |= one.looked & ~barred
            continue
        looked |= one.looked
        changed |= one.changed
        todo += one.ahead - reached
        reached |= one.ahead
    return looked, changed


class MarkImage:
    """What components are called under other names, as marks."""

    def __init__(self, image: Image) -> None:
        self.image: Final = image
        self.known: Final[dict[int, int]] = {}

    def of(self, touch: Touch) -> Touch:
        """What the same transition has to do with others under other names, as far as places keep it."""
        return touch._replace(
            looked=self._of(touch.looked),
            changed=self._of(touch.changed),
            read_locks=self._of(touch.read_locks),
            write_locks=self._of(touch.write_locks),
        )

    def _of(self, marks: int) -> int:
        found = self.known.get(marks)
        if found is None:
            found, rest, marked = 0, marks, self.image.cache.layout.marked
            while rest:
                least = rest & -rest
                rest ^= least
                one = marked[least.bit_length() - 1]
                found |= self.image.partner(one).mark if isinstance(one, Component) else one.mark
            self.known[marks] = found
        return found
