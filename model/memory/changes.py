"""The changes of several steps taken together."""

from collections.abc import Iterable
from typing import Any

from model.memory.state import Change


def net_changes(changes: Iterable[Change]) -> list[Change]:
    """What is different after all of `changes`, one entry a record, in the order of first change.

    >>> net_changes([Change("content", 5, None, 1), Change("content", 5, 1, 2)])
    [Change(table='content', key=5, old=None, new=2)]
    """
    first: dict[tuple[str, Any], Change] = {}
    for change in changes:
        place = change.table, change.key
        earlier = first.get(place)
        first[place] = change if earlier is None else earlier._replace(new=change.new)
    return [change for change in first.values() if change.old != change.new]
