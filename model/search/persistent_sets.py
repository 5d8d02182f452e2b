"""Of what may happen in a state, a part with which a search may go on alone (see `model.search.reduction`)."""

from __future__ import annotations

from typing import Final

from model.search.code_places import NONE_HELD, CodePlace, Held
from model.search.packed import Footprint
from model.search.transition_cache import Actor, Properties


class NextStep:
    """What one task, or permission, may do in a state; the same in all states that look the same to it."""

    __slots__ = ("breaks", "changed", "heeds", "looks_at", "moves", "name", "place", "waits_for")

    def __init__(
        self,
        name: str,
        place: CodePlace,
        looks_at: Footprint,
        moves: tuple[tuple[Actor, int], ...],
        breaks: tuple[tuple[Actor, Properties], ...],
        *,
        heeds: int,
        changed: int,
        waits_for: int,
    ) -> None:
        self.name: Final = name
        """Of the task; empty for a permission."""
        self.place: Final = place
        self.looks_at: Final = looks_at
        """The bits of a state on which all this depends."""
        self.moves: Final = moves
        """Its possible next steps with the bits that they turn over: one, or one for each choice of pages."""
        self.breaks: Final = breaks
        """Those that violate something."""
        self.heeds: Final = heeds
        """What its next step looks at and somebody else might change before …"""
        self.changed: Final = changed
        """… and what it changes; 0 where it is not possible."""
        self.waits_for: Final = waits_for
        """If it is not because of a lock that somebody holds: that lock."""


Live = list[NextStep | None]
"""Of each task and permission what it may do; None: it is not there."""


def smallest(live: Live, able: list[int], last: int, holding: dict[str, Held]) -> list[int]:
    """Of the sets of which each holds one that can move and all that must go with it, the smallest; of two the first.

    Only those that can move are told, by their numbers in `live`. A set that holds a sticky step is no smaller than
    all. `last`: who has moved last, who is asked first; -1 for nobody.
    """
    if last in able and _alone(live, last, holding):
        return [last]
    for number in able:
        if number != last and _alone(live, number, holding):
            return [number]
    best = able
    failed: set[int] = set()
    for number in able:
        members = _with_all_concerned(live, number, holding, len(best), failed)
        if members is None:
            if not holding:
                failed.add(number)
        else:
            best = members
            if len(best) == 1:
                break
    return best


def _alone(live: Live, number: int, holding: dict[str, Held]) -> bool:
    """Whether nothing that anybody else may once do has to do with the next step of one."""
    one = live[number]
    assert one is not None
    if one.place.sticky:
        return False
    changed, heeds = one.changed, one.heeds
    held = holding.get(one.name)
    if held is not None:
        for other in live:
            if other is not one and other is not None and not other.waits_for & held.any:
                later_looked, later_changed = other.place.known_later.get(held) or other.place.later(held)
                if changed & later_looked or heeds & later_changed:
                    return False
        return True
    for other in live:
        if other is not one and other is not None:
            place = other.place
            if changed & place.later_looked or heeds & place.later_changed:
                return False
    return True


def _with_all_concerned(
    live: Live, first: int, holding: dict[str, Held], size: int, failed: set[int]
) -> list[int] | None:
    """One that can move, and whoever must go with it; None if there are `size` of them, a sticky one or a failed one.

    Of the others whoever may once do something that has to do with the next step of one of the set must go with it,
    unless all of the set have to stay where they are until then. Who waits for a lock needs one of its holders.
    """
    todo, able = [first], []
    rest = [number for number, other in enumerate(live) if other is not None and number != first]
    held = NONE_HELD
    while todo:
        number = todo.pop()
        one = live[number]
        assert one is not None
        if one.moves:
            able.append(number)
            if len(able) >= size or one.place.sticky or number in failed:
                return None
        if holding:
            mine = holding.get(one.name)
            if mine is not None:
                held = mine if held is NONE_HELD else held | mine
            if one.waits_for and not one.waits_for & held.any:
                holder = next((n for n, other in enumerate(live) if _holds(other, one, holding)), number)
                if holder in rest:
                    rest.remove(holder)
                    todo.append(holder)
        joined = _concerned(live, rest, one, held)
        if joined:
            todo += joined
            rest = [number for number in rest if number not in joined]
    return sorted(able)


def _concerned(live: Live, rest: list[int], one: NextStep, held: Held) -> list[int]:
    """Who of some others may do something that has to do with the next step of one, while some locks are held.

    This is asked more often than anything else of a reduced search.
    """
    changed, heeds = one.changed, one.heeds
    if held is NONE_HELD:
        return [
            number
            for number in rest
            if changed & (place := live[number].place).later_looked or heeds & place.later_changed  # type: ignore[union-attr]
        ]
    found = []
    for number in rest:
        other = live[number]
        assert other is not None
        if not other.waits_for & held.any:
            later_looked, later_changed = other.place.known_later.get(held) or other.place.later(held)
            if changed & later_looked or heeds & later_changed:
                found.append(number)
    return found


def _holds(other: NextStep | None, one: NextStep, holding: dict[str, Held]) -> bool:
    """Whether one task waits for a lock that another one holds."""
    return other is not None and other.name in holding and bool(one.waits_for & holding[other.name].any)
