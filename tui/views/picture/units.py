"""Who owns which unit of a frame's count: the tokens in its box, and the lines of its ledger.

The holders are those that the checker keeps from step to step, and what they should add up to is what its rule
`reference-accounting` says; here is only how it is shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Final

import msgspec

from model.invariants.holder_index import Index
from model.invariants.holders import WEIGHTS, Holder, HolderKind, large_weight, members
from model.invariants.machine_view import MachineView
from model.invariants.rules.counts import NOT_COUNTED, first_of_block
from model.kernel.mm.physical import idle_count
from model.memory.flags import GUP_PIN_COUNTING_BIAS, PG_FROZEN, PG_NOREF, PG_PRIVATE, PG_SWAPCACHE
from model.memory.folio import folio_of, page_folio
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
OF_SMALL: Final[dict[HolderKind, tuple[str, int]]] = {
    kind: (token, WEIGHTS[kind].refs) for kind, token in TOKENS.items()
}
"""Kind of holder → its token, and how much of the count of a small page it is."""
OF_DAX: Final[dict[HolderKind, tuple[str, int]]] = {kind: told for kind, told in OF_SMALL.items() if kind != "cache"}
"""The same of storage mapped directly: its file has no reference."""
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
    frame = folio_of(state, pfn)
    if not counted(frame):
        return []
    signs = _signs(frame)
    found = [*_owners(state, index, page_folio(state, pfn), frame)]
    holders = sorted(_holders(index, pfn, frame))
    found += [Unit(*signs[holder.kind], holder) for holder in holders if holder.kind in signs]
    rest = frame.refcount - sum(unit.weight for unit in found)
    found += [Unit("nobody", 1)] * rest if rest > 0 else [Unit("missing", -1)] * -rest
    return sorted(found, key=lambda unit: ORDER.index(unit.token))


def token_counts(state: State, index: Index, pfn: int) -> Counter[str]:
    """How many tokens of each sign a frame's units are; one for each 1 of a weight, and one for a pin's 1024.

    The same as `units` tells, from the kinds of the holders alone: a box is drawn at every step, a ledger's list of 512
    entries only where somebody looks.
    """
    frame = folio_of(state, pfn)
    found: Counter[str] = Counter()
    if not counted(frame):
        return found
    explained = 0
    signs = _signs(frame)
    for kind, number in Counter(map(itemgetter(0), _holders(index, pfn, frame))).items():
        if kind in signs:
            token, weight = signs[kind]
            found[token] += number * (1 if weight == GUP_PIN_COUNTING_BIAS else weight)
            explained += number * weight
    for unit in _owners(state, index, page_folio(state, pfn), frame):
        found[unit.token] += unit.weight
        explained += unit.weight
    found["nobody" if frame.refcount > explained else "missing"] += abs(frame.refcount - explained)
    return +found


def _holders(index: Index, pfn: int, frame: Frame) -> Iterator[Holder]:
    """Whoever holds a page; of a large folio, whoever holds any page of it."""
    if not frame.large:
        return members(index.held.get(pfn, ()))
    head = pfn >> frame.order << frame.order
    each = map(index.held.get, range(head, head + frame.pages))
    return chain.from_iterable(members(held) for held in each if held)


def _signs(frame: Frame) -> dict[HolderKind, tuple[str, int]]:
    """Kind of holder → its token, and how much of the count of such a frame it is."""
    if frame.large:
        return _of_folio(frame.order)
    if frame.flags & (PG_FROZEN | PG_NOREF):
        return {}
    return OF_DAX if frame.kind == "dax" else OF_SMALL


@lru_cache(maxsize=16)
def _of_folio(order: int) -> dict[HolderKind, tuple[str, int]]:
    """The same of a large folio of 2^order pages: one entry may map it as a whole."""
    signs: dict[HolderKind, str] = {"huge": "whole", **TOKENS}
    return {kind: (token, large_weight(Holder(kind, "", 0), order).refs) for kind, token in signs.items()}


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


def tokens(counts: Mapping[str, int], room: int) -> str:
    """One sign a token; where there are too many, how many of each.

    >>> tokens({"entry": 2, "pin": 1}, 4), tokens({"whole": 1, "cache": 512}, 8)
    ('●●◆', '◉512▪')
    """
    if sum(counts.values()) <= min(room, MOST_TOKENS):
        return "".join(sign(token) * counts.get(token, 0) for token in ORDER)
    return "".join(
        f"{number if number > 1 else ''}{sign(token)}" for token in ORDER if (number := counts.get(token, 0))
    )
