"""Who owns which unit of a frame's count: the tokens in its box, and the lines of its ledger.

The holders are those that the checker keeps from step to step, and what they should add up to is what its rule
`reference-accounting` says; here is only how it is shown.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from model.invariants.case import case_of
from model.invariants.holder_index import Index
from model.invariants.holders import WEIGHTS, Holder, HolderKind, large_weight, members
from model.invariants.machine_view import MachineView
from model.invariants.rules.counts import NOT_COUNTED, first_of_block
from model.kernel.mm.physical import idle_count
from model.memory.flags import GUP_PIN_COUNTING_BIAS, PG_FROZEN, PG_NOREF, PG_PRIVATE, PG_SWAPCACHE
from model.memory.folio import page_folio, page_frame
from model.memory.records import Frame
from model.memory.state import State
from tui.views.picture.legend import sign

TOKENS: Final[dict[HolderKind, str]] = {
    "pte": "entry",
    "table": "entry",
    "deposit": "entry",  # a table of no use yet, kept for the split of a huge entry
    "rcu": "get",  # a table that waits for a walker
    "cache": "cache",
    "get": "get",
    "pin": "pin",
    "task": "get",
    "task-pin": "pin",
    "borrowed": "get",
    "borrowed-pin": "pin",
}
"""Kind of holder → the sign of its unit; the other kinds have none."""
OF_FOLIO: Final[dict[HolderKind, str]] = {"huge": "whole", **TOKENS}
"""The same of a large folio: one entry may map it as a whole."""
ORDER: Final = ("whole", "entry", "cache", "driver", "get", "pin", "nobody", "missing")
"""In which tokens stand in a box."""
MOST_TOKENS: Final = 6
"""Tokens that stand side by side; more are a number and a sign."""


class Unit(msgspec.Struct, frozen=True):
    """One entry of a frame's ledger."""

    token: str
    """The name of its sign."""
    weight: int
    """How much of the count it is."""
    holder: Holder | None = None
    """Who has it; None: the owner of the page, or nobody."""


def counted(frame: Frame) -> bool:
    """Whether somebody counts the references of such a frame."""
    return frame.kind not in NOT_COUNTED and (frame.large or not frame.order or frame.kind == "buffer")


def units(state: State, index: Index, pfn: int) -> list[Unit]:
    """Every unit of a frame's count, in the order of the tokens; nothing where nobody counts. O(holders).

    Of a page of a large folio: those of the folio, for that is what is counted; O(its pages). The weights add up to the
    count: a unit without a holder is `nobody`, a holder without a unit `missing` (-1).
    """
    frame = page_frame(state, pfn)
    if not counted(frame):
        return []
    if frame.large:
        return _of_folio(state, index, page_folio(state, pfn), frame)
    held = index.holders(pfn)
    found = list(_owners(state, index, pfn, frame))
    if not frame.flags & (PG_FROZEN | PG_NOREF):
        idle = frame.kind == "dax"
        for holder in members(held):
            token = TOKENS.get(holder.kind)
            if token is not None and not (idle and holder.kind == "cache"):
                found.append(Unit(token, WEIGHTS[holder.kind].refs, holder))
    return _balanced(found, frame)


def _of_folio(state: State, index: Index, head: int, frame: Frame) -> list[Unit]:
    """The units of a large folio: of whoever holds any page of it."""
    case = case_of(MachineView(state, index), head, of_folio=True)
    found = list(_owners(state, index, head, frame))
    for holder in members(case.held):
        token = OF_FOLIO.get(holder.kind)
        if token is not None:
            found.append(Unit(token, large_weight(holder, frame.order).refs, holder))
    return _balanced(found, frame)


def _balanced(found: list[Unit], frame: Frame) -> list[Unit]:
    """In the order of the tokens, with what nobody owns or what has no unit."""
    rest = frame.refcount - sum(unit.weight for unit in found)
    found += [Unit("nobody", 1)] * rest if rest > 0 else [Unit("missing", -1)] * -rest
    return sorted(found, key=lambda unit: ORDER.index(unit.token))


def _owners(state: State, index: Index, pfn: int, frame: Frame) -> Iterator[Unit]:
    """The units of whoever the page belongs to."""
    if frame.flags & PG_PRIVATE and frame.kind != "buffer":
        yield Unit("cache", 1)
    if frame.flags & PG_SWAPCACHE and frame.kind != "buffer":
        yield Unit("cache", frame.pages)
    if frame.kind == "dax" and idle_count(state):
        yield Unit("cache", 1)
    if frame.kind == "buffer" and first_of_block(MachineView(state, index), pfn, frame):
        yield Unit("driver", 1)


def tokens(found: list[Unit], room: int) -> str:
    """One sign a unit, pins as one of 1024; where there are too many, how many of each. A folio's cache has 512 units.

    >>> tokens([Unit("entry", 1)] * 2 + [Unit("pin", 1024)], 4), tokens([Unit("whole", 1), Unit("cache", 512)], 8)
    ('●●◆', '◉512▪')
    """
    counts: Counter[str] = Counter()
    for unit in found:
        counts[unit.token] += 1 if unit.weight == GUP_PIN_COUNTING_BIAS else abs(unit.weight)
    if counts.total() <= min(room, MOST_TOKENS):
        return "".join(sign(unit.token) for unit in found)
    return "".join(f"{counts[token] if counts[token] > 1 else ''}{sign(token)}" for token in ORDER if counts[token])
