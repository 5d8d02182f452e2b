"""The page allocator: frames come from a LIFO list, as from a per-CPU page list.

What is freed last is handed out first, so a stale reference meets a new owner at once. The list lies in the
`free` table (each frame names the one below it), its head and the high-water mark in `counters`.
"""

from model.kernel.config import fact, setting
from model.memory.flags import PAGE_FLAGS, names
from model.memory.records import Frame, FrameKind, Splat
from model.memory.state import Memory, Transaction

FREE = Frame()
"""What a frame that the allocator owns looks like; such frames are not stored."""


def alloc_page(
    tx: Transaction, kind: FrameKind, *, content: int = 0, mapping: str = "", index: int = 0, flags: int = 0
) -> int | None:
    """One frame with refcount 1 and the given content; returns its pfn, or None if memory is exhausted.

    Source: mm/page_alloc.c: __alloc_pages, prep_new_page. A frame on which somebody left a count is skipped and lost.
    """
    while (pfn := _take_free(tx)) is not None:
        left_over = tx.frames.get(pfn)
        if left_over is None:
            tx.frames[pfn] = Frame(kind, refcount=1, flags=flags, mapping=mapping, index=index)
            if tx.content.get(pfn) or content:
                tx.content[pfn] = content
            return pfn
        if page_checks(tx):
            tx.emit(bad_page(tx, pfn, left_over, "nonzero _refcount"))
            continue
        tx.frames[pfn] = Frame(kind, refcount=1, flags=flags, mapping=mapping, index=index)
        tx.content[pfn] = content
        return pfn
    return None


def _take_free(tx: Transaction) -> int | None:
    """Pop the free list, or go above the high-water mark."""
    head = tx.counters.get("free_head")
    if head is not None:
        below = tx.free.get(head)
        if below:
            tx.counters["free_head"] = below
        else:
            del tx.counters["free_head"]
        del tx.free[head]
    else:
        head = tx.counters["high_water"]
        if head >= tx.counters["managed_pages"]:
            return None
        tx.counters["high_water"] = head + 1
    return head


def free_page(tx: Transaction, pfn: int) -> None:
    """Give a frame whose refcount has reached 0 back to the allocator. Its content stays until it is used again.

    Source: mm/page_alloc.c: free_unref_page, free_pages_prepare. A frame in a bad state is reported and leaked,
    where the kernel checks at all.
    """
    frame = tx.frames[pfn]
    if frame.mapcount and page_checks(tx):
        tx.emit(bad_page(tx, pfn, frame, "nonzero mapcount"))
        return
    del tx.frames[pfn]
    head = tx.counters.get("free_head")
    tx.free[pfn] = head or 0
    tx.counters["free_head"] = pfn


def page_checks(mem: Memory) -> bool:
    """Whether this kernel looks at a page's counts when it is allocated or freed (kernel-facts M.1)."""
    return fact(mem, "page checks without debugging") or setting(mem, "debug-vm") == "on"


def bad_page(tx: Transaction, pfn: int, frame: Frame, reason: str) -> Splat:
    """`BUG: Bad page state`: mm/page_alloc.c: bad_page."""
    who = tx.task.process or tx.task_name
    return Splat(
        f"BUG: Bad page state in process {who}  pfn:{pfn:05x}",
        (*dump_page(pfn, frame), f"page dumped because: {reason}"),
    )


def dump_page(pfn: int, frame: Frame) -> tuple[str, ...]:
    """The lines that mm/debug.c: dump_page prints of a page."""
    flags = "|".join(names(frame.flags, PAGE_FLAGS))
    return (
        (
            f"page: refcount:{frame.refcount} mapcount:{frame.mapcount} mapping:{frame.mapping or 'NULL'} "
            f"index:{frame.index:#x} pfn:{pfn:#x}"
        ),
        f"flags: {frame.flags:#x}({flags})",
    )
