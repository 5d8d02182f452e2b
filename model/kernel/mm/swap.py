"""Swap: anonymous and shmem pages on a device, and the swap cache between the two (mm/swap_state.c, mm/swapfile.c).

A slot is kept as long as something refers to it: swap entries in page tables, a shmem file, or the page that is its
cache. The next free slot behind the last one is taken, round and round, so a number may come to mean another page.
"""

from collections.abc import Iterator
from typing import Final

from model.engine.config import fact, setting
from model.kernel.mm.page import clear_page_flags, get_page, page_ref_add, put_page, set_page_flags
from model.kernel.mm.page_alloc import alloc_page
from model.memory.flags import PG_DIRTY, PG_LRU, PG_SWAPBACKED, PG_SWAPCACHE, PG_UPTODATE
from model.memory.folio import folio_of, page_folio
from model.memory.ordered import ceiling
from model.memory.record_base import replaced
from model.memory.records import FrameKind, SwapSlot
from model.memory.state import Memory, Transaction


def total_swap(mem: Memory) -> bool:
    """Whether there is any swap space."""
    return setting(mem, "swap") != "off"


def synchronous_io(mem: Memory) -> bool:
    """SWP_SYNCHRONOUS_IO: what is written is written at once, so reads need no swap cache (zram)."""
    return setting(mem, "swap") == "zram"


SWAPFILE_CLUSTER: Final = 512
"""Slots for small pages: one cluster, in which the kernel looks for a free one behind the last (mm/swapfile.c)."""
CLUSTERS: Final = 32
"""All other clusters are for large folios: the kernel has lists of them by order."""


def folio_alloc_swap(tx: Transaction, pfn: int) -> bool:
    """Give a page a slot and make it the slot's cache: one reference more; it is dirty, for the slot is empty.

    A large folio needs as many slots side by side, aligned; one of 2 MiB a whole cluster. False if swap is full,
    or if there is none.
    """
    if not total_swap(tx):
        return False
    if (pages := tx.frames[pfn].pages) > 1:
        places = range(SWAPFILE_CLUSTER, SWAPFILE_CLUSTER * CLUSTERS, pages)
        free = (slot for slot in places if not any(slot + page in tx.swap_slots for page in range(pages)))
        slot = next(free, None)
        if slot is not None:
            swap_cache_add(tx, slot, SwapSlot(), pfn)
            set_page_flags(tx, pfn, PG_DIRTY)
        return slot is not None
    first = tx.counters.get("next_swap_slot") or 0
    for offset in range(SWAPFILE_CLUSTER):
        slot = (first + offset) % SWAPFILE_CLUSTER
        if slot not in tx.swap_slots:
            break
    else:
        return False
    tx.counters["next_swap_slot"] = (slot + 1) % SWAPFILE_CLUSTER
    swap_cache_add(tx, slot, SwapSlot(), pfn)
    set_page_flags(tx, pfn, PG_DIRTY)
    return True


def swap_cache_add(tx: Transaction, slot: int, record: SwapSlot, pfn: int) -> None:
    """The folio becomes the cache of the slot, or of one a page: one reference for each (swap_cache_add_folio)."""
    frame = tx.frames[pfn]
    for page in range(frame.pages):
        tx.swap_slots[slot + page] = replaced(record, pfn=pfn + page)
    tx.frames[pfn] = replaced(frame, flags=frame.flags | PG_SWAPCACHE, swap=slot)
    page_ref_add(tx, pfn, frame.pages)


def delete_from_swap_cache(tx: Transaction, pfn: int) -> None:
    """The folio is nobody's cache any more: one reference a page less. A slot that nothing refers to is free."""
    frame = tx.frames[pfn]
    for number in range(frame.swap, frame.swap + frame.pages):
        slot = tx.swap_slots[number]
        if slot.count:
            tx.swap_slots[number] = replaced(slot, pfn=-1)
        else:
            del tx.swap_slots[number]
    tx.frames[pfn] = replaced(frame, flags=frame.flags & ~PG_SWAPCACHE, swap=-1)
    put_page(tx, pfn, frame.pages)


def folio_free_swap(tx: Transaction, pfn: int) -> bool:
    """If no swap entry refers to the page's slot any more, free it: the page is the only copy now, and so dirty."""
    pfn = page_folio(tx, pfn)
    frame = tx.frames[pfn]
    if not frame.flags & PG_SWAPCACHE or any(tx.swap_slots[frame.swap + page].count for page in range(frame.pages)):
        return False
    set_page_flags(tx, pfn, PG_DIRTY)
    delete_from_swap_cache(tx, pfn)
    return True


def free_swap_cache(tx: Transaction, pfn: int) -> None:
    """A page is being given up: if nobody maps it, its slot need not be kept for it (mm/swap_state.c)."""
    frame = folio_of(tx, pfn)
    if frame.flags & PG_SWAPCACHE and not frame.mapcount:
        folio_free_swap(tx, pfn)


def swap_duplicate(tx: Transaction, slot: int) -> None:
    """One more swap entry refers to the slot."""
    record = tx.swap_slots[slot]
    tx.swap_slots[slot] = replaced(record, count=record.count + 1)


def swap_free(tx: Transaction, slot: int) -> None:
    """One swap entry less. With the last one a slot without cache is free."""
    record = tx.swap_slots[slot]
    if record.count == 1 and record.pfn < 0:
        del tx.swap_slots[slot]
    else:
        tx.swap_slots[slot] = replaced(record, count=record.count - 1)


def free_swap_and_cache(tx: Transaction, slot: int) -> None:
    """A swap entry is zapped: nobody will read it back. A cached page that nobody maps goes with the last entry."""
    swap_free(tx, slot)
    record = tx.swap_slots.get(slot)
    if record is not None and not record.count and record.pfn >= 0:
        free_swap_cache(tx, record.pfn)


def swap_writeout(tx: Transaction, pfn: int) -> bool:
    """Write a folio to its slots: it is clean from now on. True if that has ended already.

    Of a folio of zeros only a bit is kept, and nothing is written (is_folio_zero_filled, mm/page_io.c, since 6.12).
    """
    frame = tx.frames[pfn]
    zeros = True
    for page in range(frame.pages):
        slot = tx.swap_slots[frame.swap + page]
        content = tx.content.get(pfn + page) or 0
        zeros = zeros and not content
        tx.swap_slots[frame.swap + page] = replaced(slot, content=content)
    clear_page_flags(tx, pfn, PG_DIRTY)
    return synchronous_io(tx) or (zeros and fact(tx, "zeros are not written to swap"))


# -- shmem: a page of a file that lives in memory alone -----------------------------------------


def shmem_writeout(tx: Transaction, pfn: int) -> bool:
    """Move a shmem page from its file's page cache to the swap cache: the file notes the slot instead (mm/shmem.c).

    False if swap is full.
    """
    frame = tx.frames[pfn]
    file, index = frame.mapping, frame.index
    if not folio_alloc_swap(tx, pfn):
        return False
    slot = tx.frames[pfn].swap
    swap_duplicate(tx, slot)
    tx.swapped[file, index] = slot
    del tx.page_cache[file, index]
    tx.frames.update(pfn, mapping="", index=0)
    put_page(tx, pfn)
    return True


def read_swap_cache_async(tx: Transaction, slot: int, kind: FrameKind) -> None:
    """Read a slot ahead into a page that becomes its cache, unless it has one (mm/swap_state.c).

    Nobody maps the page yet, and nobody but the cache has a reference on it.
    """
    record = tx.swap_slots[slot]
    if record.pfn >= 0:
        return
    pfn = alloc_page(tx, kind, content=record.content, flags=PG_SWAPBACKED | PG_UPTODATE | PG_LRU)
    if pfn is not None:
        swap_cache_add(tx, slot, record, pfn)
        put_page(tx, pfn)


def shmem_free_swap(tx: Transaction, file: str, index: int) -> None:
    """A swapped page of a file is not wanted any more: truncation, a punched hole, the end of the file."""
    slot = tx.swapped[file, index]
    del tx.swapped[file, index]
    free_swap_and_cache(tx, slot)


def shmem_swapin(tx: Transaction, file: str, index: int) -> int | None:
    """Read a swapped page of a file back into the page cache; returns its pfn, or None if memory is exhausted.

    It is dirty at once: the slot is given back.
    """
    slot = tx.swapped[file, index]
    record = tx.swap_slots[slot]
    pfn = record.pfn
    if pfn < 0:
        fresh = alloc_page(tx, "file", content=record.content, flags=PG_SWAPBACKED | PG_UPTODATE)
        if fresh is None:
            return None
        pfn = fresh
    else:
        get_page(tx, pfn)
    del tx.swapped[file, index]
    swap_free(tx, slot)
    if record.pfn >= 0:
        delete_from_swap_cache(tx, pfn)
    set_page_flags(tx, pfn, PG_DIRTY)
    return pfn


def swapped_pages(mem: Memory, file: str, first: int, last: int) -> Iterator[int]:
    """The indices in [first, last] of a file that are swapped out, in order."""
    index = ceiling(mem.swapped_index, file, first)
    while index is not None and index <= last:
        yield index
        index = ceiling(mem.swapped_index, file, index + 1)
