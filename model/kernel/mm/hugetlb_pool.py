"""The pool of huge pages that hugetlb has, and who has a right to the next one (mm/hugetlb.c).

The pages are set aside when the machine starts. With `set hugetlb-overcommit` there can be surplus ones: they come from
the page allocator, and go back there. Nobody notes which page is surplus, only how many are: the next free one goes.

mmap() reserves what it maps, so that no fault finds the pool empty; it fails instead. Of a shared mapping the file
notes what is reserved (`File.reserved`), of a private one the VMA notes what has been used up (`Vma.consumed`). A
process that has neither, such as the child of a fork, gets what is free and nobody's.

Left out: subpools (hugetlbfs mounted with a size), temporary pages, other sizes. The functions bear the names and the
rules of 6.14 and newer.
"""

from typing import Final

from model.engine.config import fact, setting
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.mm.free_area import push_free, take_block
from model.kernel.mm.free_list import give, take
from model.memory.flags import (
    HPAGE_RESV_OWNER,
    PG_ANON_EXCLUSIVE,
    PG_HEAD,
    PG_HUGETLB,
    PG_RESTORE_RESERVE,
    PG_UPTODATE,
    VM_HUGETLB,
    VM_MAYSHARE,
    VM_NORESERVE,
)
from model.memory.leaf import TABLE_SHIFT
from model.memory.record_base import replaced
from model.memory.records import Folio, Frame, FrameKind, Vma
from model.memory.runs import Runs, filled, rows, run_at
from model.memory.state import Memory, Transaction

FREE_LIST: Final = "free_head:hugetlb"
"""hugepage_freelists."""

LAST: Final = 1 << 40
"""Behind the last huge page of every file."""


def is_vm_hugetlb_page(vma: Vma) -> bool:
    """Whether a VMA maps pages of the pool (include/linux/hugetlb_inline.h)."""
    return bool(vma.flags & VM_HUGETLB)


def huge_align(pages: int) -> int:
    """ALIGN(len, huge_page_size(h))."""
    return -(-pages // HUGETLB_NR) * HUGETLB_NR


def vma_hugecache_offset(vma: Vma, vpn: int) -> int:
    """Which huge page of the file stands at an address."""
    return (vma.pgoff + vpn - vma.start) >> TABLE_SHIFT


# -- counts ------------------------------------------------------------------------------------


def free_huge_pages(mem: Memory) -> int:
    """How many huge pages of the pool nobody uses."""
    return mem.counters.get("hugetlb_free") or 0


def resv_huge_pages(mem: Memory) -> int:
    """How many of the free ones are reserved. Below 0: a mapping has given back what a page in use has still to."""
    return mem.counters.get("hugetlb_resv") or 0


def available_huge_pages(mem: Memory) -> int:
    """How many are free and nobody's."""
    return free_huge_pages(mem) - resv_huge_pages(mem)


def _reserve(tx: Transaction, pages: int) -> None:
    left = resv_huge_pages(tx) + pages
    if left:
        tx.counters["hugetlb_resv"] = left
    elif "hugetlb_resv" in tx.counters:
        del tx.counters["hugetlb_resv"]


def hugetlb_acct_memory(tx: Transaction, pages: int) -> bool:
    """Reserve pages of the pool, or, below 0, give a reservation back; False if there are not enough.

    More than are free is refused even where reservations of pages in use would make up for it (allowed_mems_nr).
    """
    if pages > 0:
        if not gather_surplus_pages(tx, pages):
            return False
        if pages > free_huge_pages(tx):
            return_unused_surplus_pages(tx, pages)
            return False
    elif pages < 0:
        return_unused_surplus_pages(tx, -pages)
    return True


# -- surplus pages -----------------------------------------------------------------------------


def surplus_huge_pages(mem: Memory) -> int:
    """How many pages the pool has beyond those that were set aside."""
    return mem.counters.get("hugetlb_surplus") or 0


def count_surplus(tx: Transaction, pages: int) -> None:
    """Add to the number of surplus pages; `pages` may be below 0."""
    left = surplus_huge_pages(tx) + pages
    if left:
        tx.counters["hugetlb_surplus"] = left
    else:
        del tx.counters["hugetlb_surplus"]


def alloc_surplus_hugetlb_folio(tx: Transaction) -> int | None:
    """2 MiB of the page allocator for the pool; None if it may have no more, or if there are none."""
    if surplus_huge_pages(tx) >= int(setting(tx, "hugetlb-overcommit")):
        return None
    head = take_block(tx, TABLE_SHIFT)
    if head is not None:
        count_surplus(tx, 1)
    return head


def gather_surplus_pages(tx: Transaction, pages: int) -> bool:
    """Reserve pages, and make the pool large enough for that. False if it cannot be: then nothing has changed."""
    needed = resv_huge_pages(tx) + pages - free_huge_pages(tx)
    found: list[int] = []
    while len(found) < needed:
        head = alloc_surplus_hugetlb_folio(tx)
        if head is None:
            break
        found.append(head)
    enough = len(found) >= needed
    for head in found:
        if enough:
            enqueue_hugetlb_folio(tx, head)
        else:
            remove_surplus(tx, head)
    if enough:
        _reserve(tx, pages)
    return enough


def return_unused_surplus_pages(tx: Transaction, pages: int) -> None:
    """Give a reservation back, and as many surplus pages as it had, as far as pages are free."""
    _reserve(tx, -pages)
    for _ in range(min(pages, surplus_huge_pages(tx))):
        head = dequeue_hugetlb_folio(tx)
        if head is None:
            return
        remove_surplus(tx, head)


def remove_surplus(tx: Transaction, head: int) -> None:
    """The pool has one page less; the page allocator has it (remove_hugetlb_folio, adjust_surplus)."""
    count_surplus(tx, -1)
    push_free(tx, head, TABLE_SHIFT)


def enqueue_hugetlb_folio(tx: Transaction, head: int) -> None:
    """A page of the pool that nobody uses."""
    give(tx, tx.free, FREE_LIST, head)
    tx.counters["hugetlb_free"] = free_huge_pages(tx) + 1


# -- out of the pool, and back ------------------------------------------------------------------


def dequeue_hugetlb_folio(tx: Transaction) -> int | None:
    """Take the head of a free huge page off its list: what came last goes first. None: the pool is empty."""
    fresh = tx.counters.get("hugetlb_next")
    end = tx.counters["managed_pages"] + (tx.counters.get("hugetlb_pages") or 0) * HUGETLB_NR
    head = take(tx, tx.free, FREE_LIST, fresh if fresh is not None and fresh < end else None)
    if head is None:
        return None
    if head == fresh:
        tx.counters["hugetlb_next"] = fresh + HUGETLB_NR
    tx.counters["hugetlb_free"] = free_huge_pages(tx) - 1
    return head


def free_huge_folio(tx: Transaction, head: int) -> None:
    """The last reference is gone: the huge page goes back to the pool, and if it was reserved before, it is again.

    As long as the pool has surplus pages, it goes to the page allocator instead.
    """
    if tx.frames[head].flags & PG_RESTORE_RESERVE:
        _reserve(tx, 1)
    del tx.frames[head]
    del tx.folios[head]
    if surplus_huge_pages(tx):
        remove_surplus(tx, head)
    else:
        enqueue_hugetlb_folio(tx, head)


def alloc_hugetlb_folio(
    tx: Transaction, mm: str, vma: Vma, vpn: int, kind: FrameKind, *, cow_from_owner: bool = False
) -> int | None:
    """A zeroed huge page with one reference for an address of a VMA; returns its head. None: -ENOSPC.

    What the VMA or its file has reserved for the address is used up. Without a reservation, or for a copy of the
    owner's own page, which its reservation has been used up for, only a page that is nobody's will do. If the pool has
    none, it may get a surplus one.
    """
    index = vma_hugecache_offset(vma, vpn)
    needed = cow_from_owner or vma_needs_reservation(tx, mm, vma, index)
    head = dequeue_hugetlb_folio(tx) if not needed or available_huge_pages(tx) > 0 else None
    if head is None and (head := alloc_surplus_hugetlb_folio(tx)) is None:
        return None
    flags = PG_HEAD | PG_HUGETLB | PG_UPTODATE
    if not needed:
        _reserve(tx, -1)
        flags |= PG_RESTORE_RESERVE
    tx.frames[head] = Frame(kind, refcount=1, flags=flags, order=TABLE_SHIFT)
    tx.folios[head] = Folio()
    for pfn in range(head, head + HUGETLB_NR):
        if pfn in tx.content:
            del tx.content[pfn]
    if not cow_from_owner:
        note_reservation(tx, mm, vma, index, used=True)
    return head


def alloc_hugetlb_folio_vma(tx: Transaction) -> int | None:
    """A huge page that is nobody's, for the kernel's own use: no reservation is touched. None: no memory."""
    head = dequeue_hugetlb_folio(tx) if available_huge_pages(tx) > 0 else None
    if head is not None:
        tx.frames[head] = Frame("anon", refcount=1, flags=PG_HEAD | PG_HUGETLB | PG_UPTODATE, order=TABLE_SHIFT)
        tx.folios[head] = Folio()
    return head


# -- the maps of reservations -------------------------------------------------------------------


def current(mem: Memory, mm: str, vma: Vma) -> Vma:
    """A VMA as it is now, detached or not: whoever walks it may have an older record of it."""
    linked = mem.vmas.get((mm, vma.start))
    return linked if linked is not None else mem.detached_vmas.get((mm, vma.start)) or vma


def update_vma(tx: Transaction, mm: str, vma: Vma, **fields: object) -> None:
    """Change fields of a VMA that is in its address space or detached from it."""
    table = tx.vmas if (mm, vma.start) in tx.vmas else tx.detached_vmas
    table.update((mm, vma.start), **fields)


def vma_needs_reservation(mem: Memory, mm: str, vma: Vma, index: int) -> bool:
    """Whether nothing is reserved for a huge page: of a shared mapping in the file, of a private one by its owner."""
    if vma.flags & VM_MAYSHARE:
        return not run_at(mem.files[vma.file].reserved, index)
    vma = current(mem, mm, vma)
    return not vma.resv & HPAGE_RESV_OWNER or bool(run_at(vma.consumed, index))


def note_reservation(tx: Transaction, mm: str, vma: Vma, index: int, *, used: bool) -> None:
    """Note in the map that a huge page has been taken (region_add), or that it has not (region_del).

    In the file's map what is taken counts as reserved; in a private mapping's it counts as used up. A VMA without a
    map has nothing to note.
    """
    if vma.flags & VM_MAYSHARE:
        reserved = tx.files[vma.file].reserved
        tx.files.update(vma.file, reserved=filled(reserved, index, index + 1, int(used)))
    elif (now := current(tx, mm, vma)).resv & HPAGE_RESV_OWNER:
        update_vma(tx, mm, vma, consumed=filled(now.consumed, index, index + 1, int(used)))


def restore_reserve_on_error(tx: Transaction, mm: str, vma: Vma, vpn: int, head: int) -> None:
    """A huge page that was allocated will not be used: undo what that has changed in the map.

    If it had used a reservation up, its return to the pool restores the count.
    """
    index = vma_hugecache_offset(vma, vpn)
    needed = vma_needs_reservation(tx, mm, vma, index)
    restored = bool(tx.frames[head].flags & PG_RESTORE_RESERVE)
    if restored == needed:
        note_reservation(tx, mm, vma, index, used=restored == bool(vma.flags & VM_MAYSHARE))


def adjust_reservation(tx: Transaction, mm: str, vma: Vma, vpn: int, head: int) -> None:
    """The owner of a private mapping unmaps a page of its own: it is reserved for it again, since 6.8.

    When the page goes back to the pool: a reference, or a child's mapping, keeps the page and the reservation away.
    Until then more is given back than was reserved, and HugePages_Rsvd may fall below 0 (__unmap_hugepage_range).
    """
    frame = tx.frames[head]
    now = current(tx, mm, vma)
    owner = now.resv & HPAGE_RESV_OWNER and not now.flags & VM_MAYSHARE
    if (
        surplus_huge_pages(tx)
        or not owner
        or frame.kind != "anon"
        or not fact(tx, "a huge page that its owner unmaps is reserved again")
    ):
        return
    if frame.mapcount and not fact(tx, "it is even while a child still maps it"):
        return
    tx.frames.update(head, flags=frame.flags | PG_RESTORE_RESERVE)
    index = vma_hugecache_offset(vma, vpn)
    if run_at(now.consumed, index):
        note_reservation(tx, mm, vma, index, used=False)


def hugetlb_reserve_pages(tx: Transaction, vma: Vma) -> Vma | None:
    """Reserve what a new mapping maps: of a shared one what its file has not yet, of a private one all of it.

    Returns the VMA, the owner of its reservation if it is private; None: -ENOMEM. MAP_NORESERVE reserves nothing.
    """
    if vma.flags & VM_NORESERVE:
        return vma
    first, end = vma_hugecache_offset(vma, vma.start), vma_hugecache_offset(vma, vma.end)
    if not vma.flags & VM_MAYSHARE:
        return replaced(vma, resv=HPAGE_RESV_OWNER) if hugetlb_acct_memory(tx, end - first) else None
    reserved = tx.files[vma.file].reserved
    if not hugetlb_acct_memory(tx, end - first - region_count(reserved, first, end)):
        return None
    tx.files.update(vma.file, reserved=filled(reserved, first, end, 1))
    return vma


def region_count(regions: Runs, first: int, end: int) -> int:
    """How many huge pages of [first, end) stand in a map.

    >>> region_count(((0, 1), (3, 0)), 1, 9)
    2
    """
    return sum(
        min(begin + length, end) - max(begin, first)
        for begin, length, number in rows(regions, end)
        if number and begin + length > first
    )


def hugetlb_unreserve_pages(tx: Transaction, file: str, first: int, end: int, freed: int) -> None:
    """Forget the reservation of [first, end) of a file, of which `freed` pages were in the page cache."""
    reserved = tx.files[file].reserved
    forgotten = region_count(reserved, first, end)
    tx.files.update(file, reserved=filled(reserved, first, end, 0))
    hugetlb_acct_memory(tx, freed - forgotten)


def hugetlb_vm_op_close(tx: Transaction, mm: str, vma: Vma) -> None:
    """A private mapping goes: what it has reserved and not used is given back to the pool."""
    vma = current(tx, mm, vma)
    if vma.resv & HPAGE_RESV_OWNER:
        first, end = vma_hugecache_offset(vma, vma.start), vma_hugecache_offset(vma, vma.end)
        hugetlb_acct_memory(tx, region_count(vma.consumed, first, end) - (end - first))


def consumed_in(vma: Vma, start: int, end: int) -> Runs:
    """What of a VMA's map concerns [start, end): the kernel's map is shared by all parts of what was one mapping."""
    if not vma.consumed:
        return ()
    first, last = vma_hugecache_offset(vma, start), vma_hugecache_offset(vma, end)
    return filled(filled(vma.consumed, 0, first, 0), last, LAST, 0)


def clear_vma_resv_huge_pages(vma: Vma) -> Vma:
    """The VMA has been moved by mremap, or copied by fork: the reservation stays with the other one."""
    return replaced(vma, resv=0, consumed=())


# -- how a huge page of the pool is mapped -----------------------------------------------------


def hugetlb_add_rmap(tx: Transaction, head: int) -> None:
    """One entry more maps it: hugetlb_add_file_rmap(), hugetlb_try_dup_anon_rmap(). Nobody asks which process."""
    _count_mappings(tx, head, 1)


def hugetlb_add_new_anon_rmap(tx: Transaction, head: int, vma: Vma, vpn: int) -> None:
    """A fresh page of a private mapping: mapped once, and exclusive to this process (mm/rmap.c).

    The reservation that it may have used up is gone for good: only its owner can restore it, when unmapping.
    """
    frame = tx.frames[head]
    index = vma.pgoff + vpn - vma.start
    flags = frame.flags & ~PG_RESTORE_RESERVE | PG_ANON_EXCLUSIVE
    tx.frames.update(head, kind="anon", flags=flags, mapping=f"anon_vma:{vma.anon_vma}", index=index)
    hugetlb_add_rmap(tx, head)


def hugetlb_remove_rmap(tx: Transaction, head: int) -> None:
    """One entry less (mm/rmap.c). Its references are dropped by the caller, after the flush."""
    _count_mappings(tx, head, -1)


def _count_mappings(tx: Transaction, head: int, more: int) -> None:
    """Change _entire_mapcount. A folio that a count which ran over has freed while it was mapped counts nothing."""
    folio = tx.folios.get(head)
    if folio is not None:
        tx.folios.update(head, entire=folio.entire + more)
        tx.frames.update(head, mapcount=tx.frames[head].mapcount + more)
