"""Backing store of buffers: the TTM page pool and the video memory.

Neither ever asks for the refcount of a page before it gives it to somebody else. Blocks of write-combined pages are
recycled: cleared, and handed to the next buffer with whatever count is on them. Cached ones are really freed.
"""

from typing import Final

from model.engine.config import setting
from model.engine.splat import warn_on
from model.kernel.mm.free_list import NOT_FROM_HERE, give, take
from model.kernel.mm.page_alloc import FREE, alloc_block, free_block, free_frozen_pages
from model.kernel.mm.physical import VRAM_BASE, pfn_valid
from model.memory.flags import PG_FROZEN, PG_NOREF
from model.memory.record_base import replaced
from model.memory.records import Frame
from model.memory.state import Memory, Transaction

MAX_ORDER: Final = 9
POOL: Final = "ttm_pool"
"""`mapping` of a page that waits in the pool."""


def orders(pages: int) -> list[int]:
    """The block sizes that make up `pages`, the largest first, as ttm_pool_alloc() tries them.

    >>> orders(7)
    [2, 1, 0]
    """
    result = []
    while pages:
        order = min(pages.bit_length() - 1, MAX_ORDER)
        result.append(order)
        pages -= 1 << order
    return result


def ttm_pool_alloc(tx: Transaction, name: str, pages: int, caching: str) -> tuple[int, ...] | None:
    """System pages for a buffer: from the pool of its caching, else from the page allocator. None if there are none.

    Where there is no block of a size, two of half that size will do.
    """
    frames: list[int] = []
    wanted = orders(pages)[::-1]
    while wanted:
        order = wanted.pop()
        first = pool_take(tx, caching, order)
        if first is None:
            first = alloc_block(tx, order, f"bo:{name}")
            if first is None and order:
                wanted += [order - 1, order - 1]
                continue
            if first is None:
                free_frames(tx, tuple(frames), caching)
                return None
            after_allocation(tx, first, order)
        for pfn in range(first, first + (1 << order)):
            tx.frames.update(pfn, mapping=f"bo:{name}")
            frames.append(pfn)
    return tuple(frames)


def after_allocation(tx: Transaction, first: int, order: int) -> None:
    """The defences that act on fresh pages: settings ttm-refcount, gfp-refcount, page-noref, frozen-pages."""
    flags = (PG_NOREF if setting(tx, "page-noref") == "on" else 0) | (
        PG_FROZEN if setting(tx, "frozen-pages") == "on" else 0
    )
    if flags:
        for pfn in range(first, first + (1 << order)):
            tx.frames.update(pfn, flags=tx.frames[pfn].flags | flags)
    if count_is_zero(tx):
        tx.frames.update(first, refcount=0)


def count_is_zero(mem: Memory) -> bool:
    """Whether buffer pages live with a refcount of 0 on this machine."""
    zero = (setting(mem, "ttm-refcount"), setting(mem, "gfp-refcount")) != ("normal", "normal")
    return zero or setting(mem, "frozen-pages") == "on"


def free_frames(tx: Transaction, frames: tuple[int, ...], caching: str) -> None:
    """Give a buffer's pages back, block by block: to the pool, to the allocator, or to the video memory.

    The last block goes first, so that the next buffer gets them in the same order.
    """
    blocks: list[tuple[int, int]] = []
    at = 0
    while at < len(frames):
        first = frames[at]
        order = tx.frames[first].order if first in tx.frames else 0
        blocks.append((first, order))
        at += 1 << order
    for first, order in reversed(blocks):
        if pfn_valid(first):
            ttm_pool_free_block(tx, first, order, caching)
        else:
            vram_free(tx, first)


def split_blocks(tx: Transaction, frames: tuple[int, ...], first: int, end: int) -> None:
    """Make single pages of the blocks of a buffer of which pages [first, end) are a part only: they go by themselves.

    Each has its own count then (mm/page_alloc.c: split_page, 6.1 to 7.3).
    """
    at = 0
    while at < len(frames):
        head = frames[at]
        frame = tx.frames.get(head)
        pages = 1 << frame.order if frame is not None else 1
        inside = min(at + pages, end) - max(at, first)
        if frame is not None and 0 < inside < pages:
            tx.frames.update(head, order=0)
            for pfn in range(head + 1, head + pages):
                tx.frames.update(pfn, refcount=int(not count_is_zero(tx)))
        at += pages


def ttm_pool_free_block(tx: Transaction, first: int, order: int, caching: str) -> None:
    """Recycle a block through the pool, or free it (drivers/gpu/drm/ttm/ttm_pool.c: ttm_pool_free_range).

    TTM does not ask whether the pages are still its own. If a stray put_page() has given one to somebody else, that
    somebody's page is cleared and recycled, or freed under him.
    """
    if caching == "wc":
        pool_give(tx, caching, first, order)
        return
    if setting(tx, "ttm-refcount") == "zero":
        frame = tx.frames.get(first) or FREE
        if frame.refcount:
            warn_on(tx, "drivers/gpu/drm/ttm/ttm_pool.c:137 ttm_pool_free_page", "WARN_ON(page_ref_count(p) != 0)")
        tx.frames[first] = replaced(frame, refcount=1, flags=frame.flags & ~(PG_FROZEN | PG_NOREF))
    elif count_is_zero(tx):
        free_frozen_pages(tx, first, order)
        return
    free_block(tx, first, order)


def pool_give(tx: Transaction, caching: str, first: int, order: int) -> None:
    """Clear every page of a block and put it on the list of its kind; its count is left as it is."""
    for pfn in range(first, first + (1 << order)):
        if tx.content.get(pfn):
            tx.content[pfn] = 0
        if pfn in tx.frames:
            tx.frames.update(pfn, mapping=POOL)
    give(tx, tx.pool, f"ttm_pool:{caching}:{order}", first)


def pool_take(tx: Transaction, caching: str, order: int) -> int | None:
    """A block that was recycled, if there is one (ttm_pool_type_take).

    Where an allocation may get any page, it may also get none of these: the shrinker may have emptied the pool.
    """
    head = f"ttm_pool:{caching}:{order}"
    if setting(tx, "allocator") != "any":
        return take(tx, tx.pool, head, None)
    taken = take(tx, tx.pool, head, NOT_FROM_HERE)
    return None if taken == NOT_FROM_HERE else taken


# -- video memory ------------------------------------------------------------------------------


def vram_room(mem: Memory) -> int:
    """How many pages of video memory are free."""
    return int(setting(mem, "vram")) - (mem.counters.get("vram_used") or 0)


def vram_alloc(tx: Transaction, name: str, pages: int) -> tuple[int, ...] | None:
    """Video memory for a buffer; None if there is not enough. Nobody clears it."""
    if vram_room(tx) < pages:
        return None
    tx.counters["vram_used"] = (tx.counters.get("vram_used") or 0) + pages
    return tuple(_vram_page(tx, name) for _ in range(pages))


def _vram_page(tx: Transaction, name: str) -> int:
    used = tx.counters.get("vram_high_water") or 0
    fresh = VRAM_BASE + used if used < int(setting(tx, "vram")) else None
    pfn = take(tx, tx.free, "vram_free_head", fresh)
    assert pfn is not None, "vram_room() has said that there is some"
    if pfn == fresh:
        tx.counters["vram_high_water"] = used + 1
    tx.frames[pfn] = Frame("vram", mapping=f"bo:{name}")
    return pfn


def vram_free(tx: Transaction, pfn: int) -> None:
    """Give one page of video memory back. The next buffer gets it as it is."""
    del tx.frames[pfn]
    give(tx, tx.free, "vram_free_head", pfn)
    tx.counters["vram_used"] = tx.counters["vram_used"] - 1
