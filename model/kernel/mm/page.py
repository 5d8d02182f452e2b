"""struct page and folio: who may keep a frame allocated (refcount), and how many entries map it (mapcount).

A page that is asked for may be a tail of a large folio: the reference is the folio's then, and so are the flags.

Plain functions for use inside a micro-step, named as in include/linux/mm.h, page_ref.h and mm/rmap.c. The refcount is
a plain atomic: without CONFIG_DEBUG_VM nothing warns when it goes wrong (kernel-facts A.3, M.2).
"""

from model.engine.config import setting
from model.engine.mends import mended
from model.engine.splat import bad_page_map, vm_bug_on_page, warn_on_once
from model.kernel.mm import large_rmap
from model.kernel.mm.page_alloc import free_page
from model.memory.flags import (
    GUP_PIN_COUNTING_BIAS,
    PG_ANON_EXCLUSIVE,
    PG_FROZEN,
    PG_HEAD,
    PG_LRU,
    PG_MLOCKED,
    PG_NOREF,
    PG_SWAPBACKED,
    PG_UNEVICTABLE,
    PG_UPTODATE,
    VM_LOCKED,
    VM_SPECIAL,
)
from model.memory.folio import folio_of, page_folio
from model.memory.record_base import replaced
from model.memory.records import Frame, Vma
from model.memory.runs import filled
from model.memory.state import Memory, Transaction

GET_PAGE = "include/linux/mm.h:1131 folio_get"
PUT_PAGE_TESTZERO = "include/linux/mm.h:755"
NEVER_FREED = ("zero", "reserved", "dax")
"""Frames that the page allocator never gets: PG_reserved pages, and storage, which belongs to the filesystem."""


def page_count(mem: Memory, pfn: int) -> int:
    """The refcount of a page's folio; 0 for a free frame."""
    return folio_of(mem, pfn).refcount


def folio_maybe_dma_pinned(mem: Memory, pfn: int) -> bool:
    """Whether somebody may have pinned a page's folio. Of a small page 1024 plain references look the same."""
    frame = folio_of(mem, pfn)
    return frame.pins > 0 if frame.large else frame.refcount >= GUP_PIN_COUNTING_BIAS


def page_ref_add(tx: Transaction, pfn: int, number: int) -> int:
    """Add `number` (may be negative) to the refcount, without any check; returns the new count."""
    frame = tx.frames.get(pfn)
    if frame is None:
        pfn = page_folio(tx, pfn)
        frame = tx.frames[pfn]
    count = frame.refcount + number
    if (bits := tx.settings.get("refcount-bits")) is not None:
        count %= 1 << int(bits)
    if frame.kind == "free" and count == 0:
        del tx.frames[pfn]
    else:
        tx.frames[pfn] = replaced(frame, refcount=count)
    return count


def runs_over(mem: Memory, pfn: int) -> bool:
    """Whether a count is negative as the kernel reads it: so many references that no more must be taken.

    A get is refused then, long before the count runs over to 0 (try_get_page, folio_ref_try_add_rcu).
    """
    bits = int(mem.settings.get("refcount-bits") or 32)
    return page_count(mem, pfn) >> (bits - 1) > 0


def refuses_references(mem: Memory, pfn: int) -> str:
    """Why nobody may take a reference on a page, if so: it is frozen, or carries the flag proposed in the thread."""
    frame = folio_of(mem, pfn)
    if frame.flags & PG_FROZEN:
        return "the page is frozen: it has a type, and its count is 0 for life"
    return "the page is marked `no references`" if frame.flags & PG_NOREF else ""


def get_page(tx: Transaction, pfn: int) -> None:
    """Take a reference blindly: the caller claims to know that the count is not 0 (include/linux/mm.h: get_page).

    On a count of 0 it resurrects the page silently; with CONFIG_DEBUG_VM it is a VM_BUG_ON_FOLIO.
    """
    if refusal := refuses_references(tx, pfn):
        warn_on_once(tx, GET_PAGE, refusal)
        return
    if page_count(tx, pfn) <= 0 and setting(tx, "debug-vm") == "on":
        vm_bug_on_page(tx, pfn, "((unsigned int) folio_ref_count(folio) + 127u <= 127u)", GET_PAGE.partition(" ")[0])
        return
    page_ref_add(tx, pfn, 1)


def try_get_page(tx: Transaction, pfn: int, number: int = 1) -> bool:
    """Take references unless the count is 0: folio_ref_add_unless(…, 0), the only safe way without a lock."""
    full = runs_over(tx, pfn) and mended(tx, "page-ref-overflow")
    if page_count(tx, pfn) <= 0 or full or refuses_references(tx, pfn):
        return False
    page_ref_add(tx, pfn, number)
    return True


def put_page(tx: Transaction, pfn: int, number: int = 1) -> None:
    """Drop references; at 0 the frame goes back to the allocator (include/linux/mm.h: folio_put_refs)."""
    if refuses_references(tx, pfn):
        return
    count = page_count(tx, pfn)
    if count <= 0 and setting(tx, "debug-vm") == "on":
        vm_bug_on_page(tx, pfn, "page_ref_count(page) == 0", PUT_PAGE_TESTZERO)
        return
    head = page_folio(tx, pfn)
    if page_ref_add(tx, head, -number) == 0 and tx.frames[head].kind not in ("free", *NEVER_FREED):
        free_page(tx, head)


def set_page_flags(tx: Transaction, pfn: int, flags: int) -> None:
    """Set PG_* bits of a page's folio."""
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    if frame.flags & flags != flags:
        tx.frames.update(head, flags=frame.flags | flags)


def clear_page_flags(tx: Transaction, pfn: int, flags: int) -> None:
    """Clear PG_* bits of a page's folio."""
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    if frame.flags & flags:
        tx.frames.update(head, flags=frame.flags & ~flags)


def set_anon_exclusive(tx: Transaction, pfn: int, pages: int = 1, *, exclusive: bool = True) -> None:
    """SetPageAnonExclusive() or ClearPageAnonExclusive() of pages side by side in one folio: each has its own mark."""
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    if pfn == head and frame.exclusive != exclusive:
        tx.frames.update(head, flags=frame.flags ^ PG_ANON_EXCLUSIVE)
    first, end = max(pfn - head, 1), pfn - head + pages
    if frame.large and first < end:
        folio = tx.folios[head]
        tx.folios[head] = replaced(folio, exclusive=filled(folio.exclusive, first, end, int(exclusive)))


# -- the LRU lists: which pages the mm may take away or move ------------------------------------


def folio_isolate_lru(tx: Transaction, pfn: int) -> bool:
    """Take a page off its LRU list, with a reference; False if it is on none (mm/vmscan.c: folio_isolate_lru).

    Pages of drivers, of secretmem's kind and of storage never are, and neither is one that somebody has isolated.
    """
    if not folio_of(tx, pfn).flags & PG_LRU:
        return False
    clear_page_flags(tx, pfn, PG_LRU)
    get_page(tx, pfn)
    return True


def folio_putback_lru(tx: Transaction, pfn: int) -> None:
    """Put an isolated page on a list again, and drop the reference (mm/vmscan.c: folio_putback_lru)."""
    set_page_flags(tx, pfn, PG_LRU)
    put_page(tx, pfn)


# -- reverse mapping: how many entries map a page ----------------------------------------------


def folio_add_new_anon_rmap(
    tx: Transaction, pfn: int, vma: Vma, vpn: int, *, mm: str = "", exclusive: bool = True, on_lru: bool = False
) -> None:
    """A fresh anonymous page gets its first mapping: mapcount 1, exclusive to this process (mm/rmap.c).

    A large folio gets one of each page, by as many entries of `mm` from `vpn` on.

    One that others may map as well, as they do after swap and fork, belongs to the root of the tree of anon_vmas: all
    of them are found from there (__folio_set_anon; 6.1: __page_set_anon_rmap).

    In a VM_LOCKED VMA folio_add_lru_vma() makes it mlocked, unless it is `on_lru` already: as a page read from swap is.
    """
    flags = tx.frames[pfn].flags | PG_SWAPBACKED | PG_LRU | PG_UPTODATE | (PG_ANON_EXCLUSIVE if exclusive else 0)
    anon_vma = vma.anon_vma if exclusive else tx.anon_vmas[vma.anon_vma].root
    tx.frames.update(
        pfn,
        kind="anon",
        mapcount=0 if flags & PG_HEAD else 1,
        flags=flags,
        mapping=f"anon_vma:{anon_vma}",
        index=vma.pgoff + vpn - vma.start,
    )
    if flags & PG_HEAD:
        pages = tx.frames[pfn].pages
        set_anon_exclusive(tx, pfn, pages, exclusive=exclusive)
        large_rmap.add_ptes(tx, pfn, pages, mm)
    if not on_lru:
        mlock_vma_folio(tx, pfn, vma)


def folio_add_rmap(tx: Transaction, pfn: int, vma: Vma, mm: str, pages: int = 1) -> None:
    """One more PTE maps the page, or each of `pages` pages of a folio: folio_add_file_rmap_ptes() and the like.

    A large folio is not mlocked by a mapping of one of its pages: reclaim looks whether all of it is mapped there.
    """
    frame = tx.frames.get(pfn)
    if frame is None or frame.large:
        large_rmap.add_ptes(tx, pfn, pages, mm)
        return
    tx.frames.update(pfn, mapcount=frame.mapcount + 1)
    mlock_vma_folio(tx, pfn, vma)


def folio_remove_rmap(tx: Transaction, pfn: int, vma: Vma, mm: str, pages: int = 1) -> None:
    """One PTE less maps the page (or each of `pages`); below 0 the kernel reports a bad page map (zap_present_pte)."""
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    if frame.large:
        large_rmap.remove_ptes(tx, pfn, pages, mm)
    elif frame.mapcount <= 0:
        tx.frames[pfn] = replaced(frame, mapcount=frame.mapcount - 1)
        bad_page_map(tx, vma, pfn)
        return
    else:
        tx.frames.update(pfn, mapcount=frame.mapcount - 1)
    munlock_vma_folio(tx, head, vma)


# -- mlock -------------------------------------------------------------------------------------


def mlock_vma_folio(tx: Transaction, pfn: int, vma: Vma) -> None:
    """A page mapped into a VM_LOCKED VMA becomes mlocked (mm/internal.h)."""
    if vma.flags & VM_LOCKED and not vma.flags & VM_SPECIAL:
        mlock_folio(tx, pfn)


def munlock_vma_folio(tx: Transaction, pfn: int, vma: Vma) -> None:
    """A page unmapped from a VM_LOCKED VMA is munlocked (mm/internal.h)."""
    if vma.flags & VM_LOCKED and not vma.flags & VM_SPECIAL:
        munlock_folio(tx, pfn)


def mlock_folio(tx: Transaction, pfn: int) -> None:
    """Set PG_mlocked, make the page unevictable, count its locked mappings (mm/mlock.c: __mlock_folio).

    A driver's page is on no LRU list, so there is nothing to be evicted from: it is only marked.
    """
    frame = tx.frames[pfn]
    if not frame.flags & PG_LRU:
        tx.frames.update(pfn, flags=frame.flags | PG_MLOCKED)
        return
    locks = frame.mlock_count + 1 if frame.flags & PG_UNEVICTABLE else 1
    tx.frames.update(pfn, flags=frame.flags | PG_MLOCKED | PG_UNEVICTABLE, mlock_count=locks)


def munlock_folio(tx: Transaction, pfn: int) -> None:
    """One locked mapping less; with the last one the page is evictable again (mm/mlock.c: __munlock_folio)."""
    frame = tx.frames[pfn]
    locks = max(frame.mlock_count - 1, 0)
    if locks and frame.flags & PG_UNEVICTABLE:
        tx.frames.update(pfn, mlock_count=locks)
        return
    kept = 0 if mapping_unevictable(tx, frame) else PG_UNEVICTABLE
    tx.frames.update(pfn, flags=frame.flags & ~(PG_MLOCKED | kept), mlock_count=0)


def mapping_unevictable(mem: Memory, frame: Frame) -> bool:
    """AS_UNEVICTABLE: all pages of some files stay unevictable for good."""
    file = mem.files.get(frame.mapping) if frame.kind == "file" else None
    return file is not None and file.kind in ("secretmem", "guest_memfd")
