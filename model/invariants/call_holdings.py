"""What calls in flight own or still owe: page references, pins, mapcounts, flushes."""

from __future__ import annotations

from typing import Final

from model.invariants.holders import (
    HolderKind,
)
from model.memory.tasks import Locals, Task

OWNED: Final[dict[HolderKind, str]] = {"task": "holds", "task-pin": "pins", "rmap": "owes_rmap"}
"""What a call in flight owns or still owes: as a kind of holder, and as a field of its variables."""


def of_concern(old: Task | None, new: Task | None) -> bool:
    """Whether a step of a task makes a difference to the index, if it changes nothing but the task."""
    if old is None or new is None:
        return True
    return not own_alike(*unlike(old.stack, new.stack))


def own_alike(gone: tuple[Locals, ...], come: tuple[Locals, ...]) -> bool:
    """Whether the calls that have left a stack owned and owed what those own and owe that have come."""
    if len(gone) == len(come) == 1:
        (one,), (other,) = gone, come
        return (
            one.holds == other.holds
            and one.pins == other.pins
            and one.owes_rmap == other.owes_rmap
            and one.owes_flush() == other.owes_flush()
        )
    return own_nothing(gone) and own_nothing(come)


def unlike(old: tuple[Locals, ...], new: tuple[Locals, ...]) -> tuple[tuple[Locals, ...], tuple[Locals, ...]]:
    """The calls of two stacks above those that they share: usually one each."""
    if old[:-1] == new[:-1]:
        return old[-1:], new[-1:]
    same = 0
    for one, other in zip(old, new, strict=False):
        if one is not other:
            break
        same += 1
    return old[same:], new[same:]


def own_nothing(calls: tuple[Locals, ...]) -> bool:
    """Whether calls own and owe nothing, as most do."""
    for call in calls:  # noqa: SIM110 -- any() makes a generator, and this is asked after every step
        if call.holds or call.pins or call.owes_rmap or call.owes_flush() is not None:
            return False
    return True


def times_each(pfns: tuple[int, ...]) -> dict[int, int]:
    """How often each is there. A Counter takes longer to make than there is to count."""
    times: dict[int, int] = {}
    for pfn in pfns:
        times[pfn] = times.get(pfn, 0) + 1
    return times


def owned_by(calls: tuple[Locals, ...], field: str) -> tuple[int, ...]:
    """What calls own or owe, by one field of their variables."""
    if len(calls) == 1:
        alone: tuple[int, ...] = getattr(calls[0], field)
        return alone
    return tuple([pfn for call in calls for pfn in getattr(call, field)])
