"""An ordered set of numbers per owner, inside one table of bitmaps.

A persistent hash map has no order, but the kernel asks for the next VMA and the next non-empty PTE. This index
answers in four reads, however many entries there are: a radix tree of 512-bit bitmaps, as page tables are.
"""

from collections.abc import Hashable
from typing import Any, Final, Protocol

LEVELS: Final = 4
FANOUT_BITS: Final = 9
FANOUT: Final = 1 << FANOUT_BITS


class Bitmaps(Protocol):
    """The table that the bitmaps live in: (owner, level, prefix) → 512 bits, missing = 0."""

    def get(self, key: tuple[Any, int, int], /) -> int | None:
        """The bitmap, or None."""

    def __setitem__(self, key: tuple[Any, int, int], value: int) -> None: ...

    def __delitem__(self, key: tuple[Any, int, int]) -> None: ...


class BitmapReads(Protocol):
    """The part of Bitmaps that looking needs."""

    def get(self, key: tuple[Any, int, int], /) -> int | None:
        """The bitmap, or None."""


def ceiling(bitmaps: BitmapReads, owner: Hashable, number: int) -> int | None:
    """The smallest member that is at least `number`, or None."""
    level, prefix = 0, number >> FANOUT_BITS
    bits = (bitmaps.get((owner, 0, prefix)) or 0) >> (number % FANOUT) << (number % FANOUT)
    while not bits:
        if level == LEVELS - 1:
            return None
        slot, level, prefix = prefix % FANOUT + 1, level + 1, prefix >> FANOUT_BITS
        bits = (bitmaps.get((owner, level, prefix)) or 0) >> slot << slot
    prefix = (prefix << FANOUT_BITS) + (bits & -bits).bit_length() - 1
    while level:
        level -= 1
        bits = bitmaps.get((owner, level, prefix)) or 0
        prefix = (prefix << FANOUT_BITS) + (bits & -bits).bit_length() - 1
    return prefix


def floor(bitmaps: BitmapReads, owner: Hashable, number: int) -> int | None:
    """The largest member that is at most `number`, or None."""
    level, prefix = 0, number >> FANOUT_BITS
    bits = (bitmaps.get((owner, 0, prefix)) or 0) & ((2 << number % FANOUT) - 1)
    while not bits:
        if level == LEVELS - 1:
            return None
        slot, level, prefix = prefix % FANOUT, level + 1, prefix >> FANOUT_BITS
        bits = (bitmaps.get((owner, level, prefix)) or 0) & ((1 << slot) - 1)
    prefix = (prefix << FANOUT_BITS) + bits.bit_length() - 1
    while level:
        level -= 1
        bits = bitmaps.get((owner, level, prefix)) or 0
        prefix = (prefix << FANOUT_BITS) + bits.bit_length() - 1
    return prefix


def add(bitmaps: Bitmaps, owner: Hashable, number: int) -> None:
    """Put `number` into the set; it must not be a member yet."""
    for level in range(LEVELS):
        prefix, slot = number >> FANOUT_BITS, number % FANOUT
        bits = bitmaps.get((owner, level, prefix)) or 0
        bitmaps[owner, level, prefix] = bits | 1 << slot
        if bits:
            return
        number = prefix


def discard(bitmaps: Bitmaps, owner: Hashable, number: int) -> None:
    """Take the member `number` out of the set."""
    for level in range(LEVELS):
        prefix, slot = number >> FANOUT_BITS, number % FANOUT
        bits = (bitmaps.get((owner, level, prefix)) or 0) & ~(1 << slot)
        if bits:
            bitmaps[owner, level, prefix] = bits
            return
        del bitmaps[owner, level, prefix]
        number = prefix
