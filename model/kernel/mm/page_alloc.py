"""The page allocator: frames come from a list, as from a per-CPU page list, or from above a high-water mark.

Which one of a list is handed out is up to the setting `allocator` (model/kernel/mm/free_list.py).
"""

from model.engine.config import fact, setting
from model.engine.splat import bad_page
from model.kernel.mm.free_area import behind_blocks, fresh_block, push_free, take_block
from model.kernel.mm.free_list import take
from model.kernel.mm.hugetlb_pool import free_huge_folio
from model.memory.flags import PG_CMA, PG_HEAD, PG_HUGETLB
from model.memory.record_base import replaced
from model.memory.records import Folio, Frame, FrameKind
from model.memory.state import Memory, Transaction

FREE = Frame()
"""What a frame that the allocator owns looks like; such frames are not stored."""


def alloc_page(
    tx: Transaction,
    kind: FrameKind,
    *,
    content: int = 0,
    mapping: str = "",
    index: int = 0,
    flags: int = 0,
    cma: bool = True,
) -> int | None:
    """One frame with refcount 1 and the given content; returns its pfn, or None if memory is exhausted.

    Source: mm/page_alloc.c: __alloc_pages, prep_new_page. A frame on which somebody left a count is skipped and lost.
    Movable pages may come from a CMA area, if there is one; `cma` False asks for a page that may stay.
    """
    if cma and kind in {"anon", "file"} and setting(tx, "cma") == "on":
        flags |= PG_CMA
    while (pfn := _take_free(tx)) is not None:
        left_over = tx.frames.get(pfn)
        if left_over is None:
            tx.frames[pfn] = Frame(kind, refcount=1, flags=flags, mapping=mapping, index=index)
            if tx.content.get(pfn) or content:
                tx.content[pfn] = content
            return pfn
        if page_checks(tx):
            bad_page(tx, pfn, "nonzero _refcount")
            continue
        tx.frames[pfn] = Frame(kind, refcount=1, flags=flags, mapping=mapping, index=index)
        tx.content[pfn] = content
        return pfn
    return None


def _take_free(tx: Transaction) -> int | None:
    """A frame from the free list, or from above the high-water mark."""
    fresh = behind_blocks(tx, tx.counters["high_water"])
    pfn = take(tx, tx.free, "free_head", fresh if fresh < tx.counters["managed_pages"] else None)
    if pfn == fresh:
        tx.counters["high_water"] = fresh + 1
    return pfn


def free_page(tx: Transaction, pfn: int) -> None:
    """Give a frame whose refcount has reached 0 back to the allocator. Its content stays until it is used again.

    Source: mm/page_alloc.c: free_unref_page, free_pages_prepare. A frame in a bad state is reported and leaked,
    where the kernel checks at all.
    """
    frame = tx.frames[pfn]
    if frame.mapcount and page_checks(tx):
        bad_page(tx, pfn, "nonzero mapcount")
        return
    if frame.flags & PG_HUGETLB:
        free_huge_folio(tx, pfn)
        return
    del tx.frames[pfn]
    if frame.large:
        del tx.folios[pfn]
        push_free(tx, pfn, frame.order)
    else:
        push_free(tx, pfn, 0)


def alloc_folio(tx: Transaction, order: int, kind: FrameKind, *, flags: int = 0) -> int | None:
    """A zeroed folio of 2^order pages with one reference; returns its head, or None (mm/page_alloc.c, with __GFP_COMP).

    It costs two records, however many pages it has: the tails say nothing that the head does not.
    """
    fresh = fresh_block(tx, order)
    head = take_block(tx, order)
    if head is None:
        return None
    if setting(tx, "cma") == "on" and kind in {"anon", "file"}:
        flags |= PG_CMA
    tx.frames[head] = Frame(kind, refcount=1, flags=flags | PG_HEAD, order=order)
    tx.folios[head] = Folio()
    if head != fresh:
        for pfn in range(head, head + (1 << order)):
            if pfn in tx.content:
                del tx.content[pfn]
    return head


def alloc_block(tx: Transaction, order: int, mapping: str) -> int | None:
    """2^order frames side by side, aligned, *without* __GFP_COMP: refcount 1 on the first, 0 on all others.

    Returns the first pfn, or None. Driver's pages; zeroed. Source: mm/page_alloc.c: __alloc_pages (kernel-facts A.4).
    """
    if order == 0:
        return alloc_page(tx, "buffer", mapping=mapping)
    first = take_block(tx, order)
    if first is None:
        return None
    for pfn in range(first, first + (1 << order)):
        head = pfn == first
        tx.frames[pfn] = Frame("buffer", refcount=int(head), order=order if head else 0, mapping=mapping)
        if tx.content.get(pfn):
            tx.content[pfn] = 0
    return first


def free_block(tx: Transaction, first: int, order: int) -> None:
    """__free_pages() of a block that is not compound (mm/page_alloc.c, kernel-facts K.4).

    Drops one reference of the first frame. If that was the last, the block is free. If somebody else holds one, all
    *other* frames are freed all the same, and the first one, nobody's page by now, follows when its holder lets go.
    """
    head = tx.frames.get(first) or FREE
    if head.refcount == 1:
        others = range(first + 1, first + (1 << order))
        bad = [pfn for pfn in (first, *others) if _bad_when_free(tx, pfn, 0 if pfn != first else 1)]
        if bad and page_checks(tx):
            bad_page(tx, bad[0], "nonzero mapcount" if tx.frames[bad[0]].mapcount else "nonzero _refcount")
            return
        for pfn in (first, *others):
            if pfn in tx.frames:
                del tx.frames[pfn]
        push_free(tx, first, order)
        return
    tx.frames[first] = replaced(head, refcount=head.refcount - 1, order=0, mapping="")
    for half in reversed(range(order)):
        free_part(tx, range(first + (1 << half), first + (2 << half)))


def free_part(tx: Transaction, pages: range) -> None:
    """Free one of the parts into which a block falls whose first frame is held: halves, quarters … behind it.

    A frame in a bad state is reported, and its part is lost, where the kernel checks; elsewhere its count stays on it.
    """
    bad = [pfn for pfn in pages if _bad_when_free(tx, pfn, 0)]
    if bad and page_checks(tx):
        bad_page(tx, bad[0], "nonzero mapcount" if tx.frames[bad[0]].mapcount else "nonzero _refcount")
        return
    for pfn in reversed(pages):
        frame = tx.frames.get(pfn)
        if frame is None:
            continue
        if frame.refcount:
            tx.frames[pfn] = Frame(refcount=frame.refcount)
        else:
            del tx.frames[pfn]
        push_free(tx, pfn, 0)


def free_frozen_pages(tx: Transaction, first: int, order: int) -> None:
    """Free a block that was allocated with a count of 0: nothing is dropped (mm/page_alloc.c, 6.14; kernel-facts N.1).

    Where the kernel looks at pages that are freed, a count that is not 0 is reported, and the block is lost.
    """
    bad = [pfn for pfn in range(first, first + (1 << order)) if _bad_when_free(tx, pfn, 0)]
    if bad and page_checks(tx):
        bad_page(tx, bad[0], "nonzero mapcount" if tx.frames[bad[0]].mapcount else "nonzero _refcount")
        return
    for pfn in range(first, first + (1 << order)):
        if pfn in tx.frames:
            del tx.frames[pfn]
    push_free(tx, first, order)


def _bad_when_free(tx: Transaction, pfn: int, expected: int) -> bool:
    """Whether a frame that is being freed still counts as used."""
    frame = tx.frames.get(pfn)
    return frame is not None and (frame.refcount != expected or frame.mapcount != 0)


def page_checks(mem: Memory) -> bool:
    """Whether this kernel looks at a page's counts when it is allocated or freed (kernel-facts M.1)."""
    return fact(mem, "page checks without debugging") or setting(mem, "debug-vm") == "on"
