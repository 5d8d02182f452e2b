"""Folios of more than a page and less than 2 MiB of anonymous memory (mTHP): which faults get one. Setting `mthp`.

Such a folio is one for the allocator, for references, swap and reclaim; page tables know its pages alone.
"""

from model.kernel.mm.huge_page import HPAGE_PMD_ORDER, thp_fault_allowed
from model.memory.flags import VM_UFFD
from model.memory.folio import large_orders
from model.memory.records import Pte, Vma
from model.memory.state import Memory


def suitable_order(mem: Memory, vma: Vma, vpn: int) -> int:
    """The order of the folio that may lie around an address, 0 for a page alone; of less than 2 MiB.

    Only where all of it lies in the VMA, aligned, and the memory may have huge pages. With userfaultfd each page counts
    by itself. Source: mm/memory.c: alloc_anon_folio; thp_vma_allowable_orders, thp_vma_suitable_orders.
    """
    order = large_orders(mem)[-1]
    if order == HPAGE_PMD_ORDER or vma.flags & VM_UFFD or not thp_fault_allowed(mem, vma):
        return 0
    start = vpn >> order << order
    return order if vma.start <= start and start + (1 << order) <= vma.end else 0


def anon_order(mem: Memory, mm: str, vma: Vma, vpn: int) -> int:
    """The order of the folio that a first touch gets: where one entry of its range is not empty, a page alone."""
    order = suitable_order(mem, vma, vpn)
    return order if order and pte_range_none(mem, mm, vpn >> order << order, 1 << order) else 0


def swapin_order(mem: Memory, mm: str, vma: Vma, vpn: int, entry: Pte) -> int:
    """The order of the folio into which a fault reads swap at once: all its entries name slots side by side.

    Source: mm/memory.c: alloc_swap_folio, thp_swap_suitable_orders (6.12; since 7.0 thp_swapin_suitable_orders).
    """
    order = suitable_order(mem, vma, vpn)
    page = vpn % (1 << order)
    if not order or entry.pfn % (1 << order) != page:
        return 0
    return order if swap_pte_batch(mem, mm, vpn - page, entry, page, 1 << order) else 0


def pte_range_none(mem: Memory, mm: str, start: int, pages: int) -> bool:
    """Whether all entries of a range are empty; a marker is none (mm/memory.c)."""
    return not any((mm, vpn) in mem.ptes for vpn in range(start, start + pages))


def swap_pte_batch(mem: Memory, mm: str, start: int, entry: Pte, page: int, pages: int) -> bool:
    """Whether `pages` entries from `start` on name slots side by side, and `entry` is the one of page `page`."""
    return all(
        mem.ptes.get((mm, start + other)) == Pte(entry.pfn - page + other, entry.bits, "swap") for other in range(pages)
    )
