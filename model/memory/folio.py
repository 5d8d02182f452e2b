"""From a page to its folio, and what a page of a large folio says of itself.

The head of a large folio has a record in `frames` and one in `folios`; its tail pages have none. So whoever has only a
page's number asks here: `page_folio`, as in the kernel, before anything is counted.
"""

from typing import Final

from model.memory.flags import PG_ANON_EXCLUSIVE
from model.memory.record_base import replaced
from model.memory.records import Folio, Frame
from model.memory.runs import run_at
from model.memory.state import Memory
from model.memory.units import Pfn

HUGE_ORDER: Final = 9
"""Order of a folio that one entry can map. A file's large folios have it, all of them."""
HUGE_ALONE: Final = (HUGE_ORDER,)
ORDERS_OF_SIZE: Final = {f"{4 << order}kB": (HUGE_ORDER, order) for order in range(2, HUGE_ORDER)}
"""Setting `mthp` -> the orders of folios above 0 that there are then, the largest first. The kernel has none of order 1
of anonymous memory: there is no room for the list of folios to be split (THP_ORDERS_ALL_ANON)."""
FREE: Final = Frame()
NO_FOLIO: Final = Folio()


def large_orders(mem: Memory) -> tuple[int, ...]:
    """Orders of folios above 0 that this machine can have, the largest first: a page's head is looked for at each."""
    size = mem.settings.get("mthp")
    return HUGE_ALONE if size is None else ORDERS_OF_SIZE.get(size, HUGE_ALONE)


def page_folio(mem: Memory, pfn: int) -> Pfn:
    """The head of the folio that a page belongs to; of a small or a free page itself (page_folio)."""
    if mem.frames.get(pfn) is not None:
        return pfn
    for order in large_orders(mem):
        head = pfn >> order << order
        if head != pfn and mem.folios.get(head) is not None:
            frame = mem.frames.get(head)
            if frame is not None and pfn - head < frame.pages:
                return head
    return pfn


def folio_of(mem: Memory, pfn: int) -> Frame:
    """The record of the folio that a page belongs to; Frame() for a free page."""
    return mem.frames.get(pfn) or mem.frames.get(page_folio(mem, pfn)) or FREE


def rest_of(mem: Memory, head: int) -> Folio:
    """What a large folio has beyond the struct page of its head."""
    return mem.folios.get(head) or NO_FOLIO


def filemap_get_entry(mem: Memory, file: str, index: int) -> Pfn | None:
    """The page that the page cache has at an index of a file, or None. A large folio has one entry, its first."""
    pfn = mem.page_cache.get((file, index))
    if pfn is not None or not (record := mem.files.get(file)) or not record.nr_thps:
        return pfn
    first = index >> HUGE_ORDER << HUGE_ORDER
    head = mem.page_cache.get((file, first))
    frame = mem.frames.get(head) if head is not None else None
    return head + index - first if head is not None and frame is not None and index - first < frame.pages else None


def folio_pages(mem: Memory, head: int) -> range:
    """The pfns of a folio's pages."""
    return range(head, head + mem.frames[head].pages)


def page_frame(mem: Memory, pfn: int) -> Frame:
    """A page as one reads it off struct page: what the folio has is the head's, what each page has is its own.

    As long as one entry maps the whole folio the head's mark goes for all pages.
    """
    frame = mem.frames.get(pfn)
    head = pfn
    if frame is None:
        head = page_folio(mem, pfn)
        if head == pfn:
            return FREE
        frame = mem.frames[head]
    if not frame.large:
        return frame
    alone = page_exclusive(mem, pfn) or (rest_of(mem, head).entire and frame.exclusive)
    return replaced(
        frame,
        mapcount=page_mapcount(mem, pfn),
        flags=frame.flags & ~PG_ANON_EXCLUSIVE | (PG_ANON_EXCLUSIVE if alone else 0),
        index=frame.index + pfn - head,
        swap=frame.swap + pfn - head if frame.swap >= 0 else -1,
    )


def page_exclusive(mem: Memory, pfn: int) -> bool:
    """PageAnonExclusive(): this page of an anonymous folio belongs to one process alone."""
    frame = mem.frames.get(pfn)
    if frame is not None:
        return frame.exclusive
    head = page_folio(mem, pfn)
    return head != pfn and bool(run_at(rest_of(mem, head).exclusive, pfn - head))


def page_mapcount(mem: Memory, pfn: int) -> int:
    """How many entries map a page: its PTEs, and the PMDs that map its whole folio (folio_precise_page_mapcount)."""
    frame = mem.frames.get(pfn)
    if frame is not None and not frame.large:
        return frame.mapcount
    head = page_folio(mem, pfn)
    folio = rest_of(mem, head)
    return folio.entire + run_at(folio.mapcounts, pfn - head)
