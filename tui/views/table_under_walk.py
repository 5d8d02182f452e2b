"""What has become of a page table that a walk without locks still stands in."""

from collections.abc import Iterator
from typing import Any, Final, Literal

from model.memory.state import State
from tui.views.shown_state import INDEX_BITS

Fate = Literal["free", "data", "kept", "out", "other", "shared"]
"""Its page is free, or holds data; RCU keeps it; it is taken out; it is a table of somebody else, or was shared with
him and still is what it was."""
HARMLESS: Final = ("kept", "out", "shared")
"""It is still the table that the walk has entered."""


def fate_of(state: State, table: int) -> tuple[Fate, str]:
    """What has become of the page of a table that was taken away, and whose table it is now."""
    from model.kernel.arch.table_walk import hooked_at, is_given_up

    frame = state.frames.get(table)
    if frame is None:
        return "free", ""
    if frame.kind != "pgtable":
        return "data", ""
    place = hooked_at(state, table)
    if place is not None:
        return ("other" if is_given_up(state, table, *place) else "shared"), place[0]
    return ("kept" if any(table in waiting for waiting in state.rcu.values()) else "out"), ""


def stranded(state: State, process: str) -> Iterator[tuple[str, int]]:
    """The walks without locks in a process whose table hangs at its place no longer: task and table."""
    for name, task in sorted(state.tasks.items()):
        innermost: Any = task.stack[-1]
        table = innermost.stands_in() if task.process == process else None
        if table is not None and not _hangs(state, process, innermost.vpn, table):
            yield name, table


def _hangs(state: State, process: str, vpn: int, table: int) -> bool:
    """Whether one of the entries above a page leads to a table."""
    entries = (state.tables.get((process, level, vpn >> INDEX_BITS * level)) for level in (1, 2))
    return any(entry is not None and entry.pfn == table for entry in entries)
