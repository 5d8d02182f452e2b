"""Lists of free pages, and which page of one is handed out: setting `allocator`.

A list lies in a table in which each page names the one behind it; its ends stand in `counters`. The page allocator, the
TTM pool, the video memory and the DAX device have such lists.

`lifo`, as per-CPU page lists are: what is freed last is handed out first, so a stale reference meets a new owner at
once. `fifo`: what is free for longest comes first. `any`: the search lets an allocation take any page; a plain run
takes memory that was never used as long as there is some, then the page with the lowest number.
"""

from collections.abc import Iterator
from typing import Final

from model.engine.config import setting
from model.memory.state import TableView, Transaction

NOT_FROM_HERE: Final = 0
"""Instead of a page, of which none has this number: the list is passed over, and memory comes from where it came from
at first."""

Links = TableView[int, int]


def give(tx: Transaction, links: Links, head: str, pfn: int) -> None:
    """Put a page on the list whose first one stands in counter `head`.

    One that is on it already, freed twice under a count that has run over, stays where it is: "list_add double add"
    (lib/list_debug.c, CONFIG_LIST_HARDENED).
    """
    if pfn in links:
        return
    first = tx.counters.get(head)
    how = setting(tx, "allocator")
    if first is None or how == "lifo":
        links[pfn] = first or 0
        tx.counters[head] = pfn
    elif how == "fifo":
        links[pfn] = 0
        links[tx.counters[last_of(head)]] = pfn
    else:
        before = max((other for other in members(tx, links, head) if other < pfn), default=0)
        links[pfn] = (links[before] if before else first) or 0
        if before:
            links[before] = pfn
        else:
            tx.counters[head] = pfn
    if how == "fifo":
        tx.counters[last_of(head)] = pfn


def take(tx: Transaction, links: Links, head: str, fresh: int | None) -> int | None:
    """A page of the list, off it by now; or `fresh`, which stands for memory that was never used; None: there is none.

    The caller notes that fresh memory is used.
    """
    first = tx.counters.get(head)
    if setting(tx, "allocator") != "any":
        chosen = fresh if first is None else first
    else:
        free = members(tx, links, head)
        chosen = tx.choose(free, fresh) if free else fresh
    if chosen is not None and chosen != fresh:
        _take_off(tx, links, head, chosen)
    return chosen


def members(tx: Transaction, links: Links, head: str) -> list[int]:
    """Every page of a list, in its order."""
    return list(_walk(links, tx.counters.get(head)))


def _walk(links: Links, pfn: int | None) -> Iterator[int]:
    while pfn:
        yield pfn
        pfn = links.get(pfn)


def _take_off(tx: Transaction, links: Links, head: str, pfn: int) -> None:
    behind = links[pfn]
    if pfn == tx.counters[head]:
        if behind:
            tx.counters[head] = behind
        else:
            del tx.counters[head]
            if tx.counters.get(last_of(head)) is not None:
                del tx.counters[last_of(head)]
    else:
        before = next(other for other in members(tx, links, head) if links[other] == pfn)
        links[before] = behind
    del links[pfn]


def last_of(head: str) -> str:
    """The counter in which the last page of a list stands, where somebody asks for it.

    >>> last_of("free_head")
    'free_head:last'
    """
    return f"{head}:last"
