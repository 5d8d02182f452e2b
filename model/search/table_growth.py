"""How much memory a table of states is about to take at once.

A hash table grows by making one of twice the size, and both are there until everything is moved: of a large search
that is half of all its memory, and too late to be asked about once it has happened.
"""

import sys
from collections.abc import Collection


def growth_ahead(table: Collection[object], more: int) -> int:
    """Bytes that a set or dict takes besides its own while it grows, if `more` entries might make it grow; else 0.

    CPython's set grows when three fifths of its slots (16 bytes each) are taken (Objects/setobject.c,
    set_add_entry, 3.11 to 3.14), its dict at two thirds, with 4 bytes of index a slot and 24 an entry
    (Objects/dictobject.c, USABLE_FRACTION); both to twice as many slots.

    >>> growth_ahead(set(range(1200)), 10), growth_ahead(set(range(1200)), 100) >= 2 * 16 * 2048
    (0, True)
    """
    size = sys.getsizeof(table, 0)
    room = size // 16 * 3 // 5 if isinstance(table, set) else size // 30
    return 2 * size if len(table) + more > room else 0
