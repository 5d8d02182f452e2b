"""The mapcounts of a large folio: one for each page, one for all of it, and one for the whole (mm/rmap.c).

A PMD that maps all of it is counted once, as `entire`; a PTE is counted for its page. The mapcount of the folio is the
number of all these entries, and each of them has one reference. Up to two processes have counts of their own, which
tell whether the folio is mapped by one process alone.

A count that has run over may free a folio under its mappings. What is counted in it then means nothing, and nobody
looks without CONFIG_DEBUG_VM: here it is not counted.
"""

from typing import Final

from model.memory.folio import page_folio
from model.memory.record_base import replaced
from model.memory.records import Folio
from model.memory.runs import Runs, added, rows
from model.memory.state import Memory, Transaction


def add_ptes(tx: Transaction, pfn: int, pages: int, mm: str) -> None:
    """`pages` PTEs of `mm` more map as many pages of a large folio, from `pfn` on."""
    head = page_folio(tx, pfn)
    folio = tx.folios.get(head)
    if folio is None:
        return
    first = pfn - head
    tx.folios[head] = replaced(folio, mapcounts=added(folio.mapcounts, first, first + pages, 1))
    add_large_mapcount(tx, head, pages, mm)


def add_entire(tx: Transaction, head: int, mm: str) -> None:
    """A PMD of `mm` more maps the folio as a whole."""
    folio = tx.folios.get(head)
    if folio is None:
        return
    tx.folios[head] = replaced(folio, entire=folio.entire + 1)
    add_large_mapcount(tx, head, 1, mm)


def remove_ptes(tx: Transaction, pfn: int, pages: int, mm: str) -> None:
    """`pages` PTEs less. If a page is mapped no more while others are, the folio waits for its split."""
    head = page_folio(tx, pfn)
    folio = tx.folios.get(head)
    if folio is None:
        return
    first = pfn - head
    left = added(folio.mapcounts, first, first + pages, -1)
    lost = any(count == 0 for begin, length, count in rows(left, first + pages) if begin + length > first)
    tx.folios[head] = replaced(folio, mapcounts=left)
    sub_large_mapcount(tx, head, pages, mm)
    if lost and not folio.entire:
        deferred_split_folio(tx, head)


def remove_entire(tx: Transaction, head: int, mm: str) -> None:
    """A PMD less. If single pages of it stay mapped and others do not, the folio waits for its split."""
    folio = tx.folios.get(head)
    if folio is None:
        return
    tx.folios[head] = replaced(folio, entire=folio.entire - 1)
    sub_large_mapcount(tx, head, 1, mm)
    if folio.entire == 1:
        deferred_split_folio(tx, head)


def deferred_split_folio(tx: Transaction, head: int) -> None:
    """An anonymous folio that is mapped in part goes to the queue for folios to be split when memory is short."""
    frame, folio = tx.frames[head], tx.folios[head]
    mapped = pages_mapped(folio.mapcounts, frame.pages)
    if frame.kind == "anon" and 0 < mapped < frame.pages and not folio.partially_mapped:
        tx.folios[head] = replaced(folio, partially_mapped=True)


def pages_mapped(mapcounts: Runs, pages: int) -> int:
    """How many pages have a PTE: _nr_pages_mapped."""
    return sum(length for _, length, count in rows(mapcounts, pages) if count > 0)


# -- who maps it ---------------------------------------------------------------------------------


def add_large_mapcount(tx: Transaction, head: int, entries: int, mm: str) -> None:
    """Count `entries` more of `mm`: for the folio, and for the process if a slot is free (folio_add_large_mapcount)."""
    mapcount = tx.frames[head].mapcount + entries
    tx.frames.update(head, mapcount=mapcount)
    folio = tx.folios[head]
    slots, shared = slots_of(folio), folio.shared
    slot = next((slot for slot in (0, 1) if slots[slot][0] == mm), None)
    if slot is None:
        slot = next((slot for slot in (0, 1) if not slots[slot][0]), None)
        # Others may map it already: those of the other slot, or those for whom there was none.
        shared = shared or slot == 1 or (slot == 0 and mapcount != entries)
    if slot is not None:
        slots[slot] = mm, slots[slot][1] + entries
    tx.folios[head] = with_slots(folio, slots, shared=shared)


def sub_large_mapcount(tx: Transaction, head: int, entries: int, mm: str) -> None:
    """Count `entries` less. If one process has all that are left, nobody shares it (folio_sub_large_mapcount)."""
    mapcount = tx.frames[head].mapcount - entries
    tx.frames.update(head, mapcount=mapcount)
    folio = tx.folios[head]
    slots, shared = slots_of(folio), folio.shared
    slot = next((slot for slot in (0, 1) if slots[slot][0] == mm), None)
    if slot is not None:
        left = max(slots[slot][1] - entries, 0)
        slots[slot] = (mm, left) if left else FREE_SLOT
    if (slot is None or slots[slot] == FREE_SLOT) and mapcount in (slots[0][1], slots[1][1]):
        shared = False
    tx.folios[head] = with_slots(folio, slots, shared=shared)


FREE_SLOT: Final = ("", 0)


def slots_of(folio: Folio) -> list[tuple[str, int]]:
    """The two slots of a folio: a process, and how many entries of it map the folio."""
    return list(zip(folio.mms, folio.mm_mapcounts, strict=True)) or [FREE_SLOT, FREE_SLOT]


def with_slots(folio: Folio, slots: list[tuple[str, int]], *, shared: bool) -> Folio:
    """The folio with these slots; two free ones are stored as none."""
    if slots == [FREE_SLOT, FREE_SLOT]:
        slots = []
    mms, counts = tuple(mm for mm, _ in slots), tuple(count for _, count in slots)
    return replaced(folio, mms=mms, mm_mapcounts=counts, shared=shared)


def folio_maybe_mapped_shared(mem: Memory, head: int) -> bool:
    """Whether more than one process may map a folio; of a small page, whether more than one entry does."""
    frame = mem.frames[head]
    if not frame.large or frame.mapcount <= 1:
        return frame.mapcount > 1
    folio: Folio = mem.folios[head]
    return folio.shared
