"""Free memory by the size of its blocks: lists of those that were freed, and memory that was never used.

The page allocator and the pool of huge pages take from here, and give back.
"""

from typing import Final

from model.kernel.mm.free_list import give, take
from model.memory.state import Transaction

BIG_ORDER: Final = 9
"""From this order on fresh blocks lie behind each other, and the small pages go around them."""


def fresh_block(tx: Transaction, order: int) -> int:
    """Where a block would begin in memory that was never used, whether there is room or not."""
    mark = tx.counters["high_water"]
    if order >= BIG_ORDER:
        return align(max(mark, tx.counters.get("high_water:blocks") or 0), order)
    return behind_blocks(tx, align(behind_blocks(tx, mark), order))


def align(pfn: int, order: int) -> int:
    """The first pfn from `pfn` on at which a block of 2^order pages may begin."""
    return -(-pfn >> order) << order


def behind_blocks(tx: Transaction, mark: int) -> int:
    """Where memory that was never used goes on, if a big block begins at `mark`: behind it and those that follow."""
    return max(mark, tx.counters.get("high_water:blocks") or 0) if mark % (1 << BIG_ORDER) == 0 else mark


def take_block(tx: Transaction, order: int) -> int | None:
    """A freed block of that size, or fresh memory; what alignment skips is left to smaller blocks and single frames."""
    first = fresh_block(tx, order)
    room = first + (1 << order) <= tx.counters["managed_pages"]
    taken = take(tx, tx.free, f"free_head:{order}", first if room else None)
    if taken != first:
        return taken
    if order >= BIG_ORDER:
        for pfn in range(fresh_block(tx, BIG_ORDER), first, 1 << BIG_ORDER):
            push_free(tx, pfn, BIG_ORDER)
        tx.counters["high_water:blocks"] = first + (1 << order)
        return first
    mark = behind_blocks(tx, tx.counters["high_water"])
    for pfn in range(min(first, align(mark, BIG_ORDER)) - 1, mark - 1, -1):
        push_free(tx, pfn, 0)
    tx.counters["high_water"] = first + (1 << order)
    return first


def push_free(tx: Transaction, pfn: int, order: int) -> None:
    """Put a frame or a block on the free list of its size."""
    give(tx, tx.free, f"free_head:{order}" if order else "free_head", pfn)
