"""What a collapse looks for, before it begins and again under the locks: pages that can be moved, nobody in the way."""

from collections.abc import Callable
from typing import Final

from model.engine.config import fact
from model.kernel.arch.pgtable import is_zero_pfn, populated, vm_normal_page
from model.kernel.mm.huge_page import HPAGE_PMD_NR, pmd_entry, thp_vma_suitable
from model.kernel.mm.large_rmap import folio_maybe_mapped_shared
from model.kernel.mm.vma import vma_is_anonymous
from model.memory.errno import EAGAIN, EBUSY, ENOMEM
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_UFFD_WP,
    PG_LRU,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_HUGETLB,
    VM_NOHUGEPAGE,
    VM_SPECIAL,
    VM_UFFD_MINOR,
    VM_UFFD_MISSING,
    VM_UFFD_WP,
)
from model.memory.folio import page_folio
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

MAX_PTES_NONE: Final = HPAGE_PMD_NR - 1
MAX_PTES_SHARED: Final = HPAGE_PMD_NR // 2
MAX_PTES_SWAP: Final = HPAGE_PMD_NR // 8
"""What khugepaged puts up with; MADV_COLLAPSE does not count (/sys/kernel/mm/transparent_hugepage/khugepaged)."""

SUCCEED: Final = "succeed"
PMD_MAPPED: Final = "pmd mapped"
"""It is a huge page already."""
PTE_MAPPED: Final = "huge page of the file"
"""The file has a huge page there, which is not mapped by one entry."""

ERRNO: Final = {
    "no memory": ENOMEM,
    "too many empty entries": EBUSY,
    "page has another reference": EAGAIN,
    "page is locked": EAGAIN,
    "page is on no list": EAGAIN,
}
"""madvise_collapse_errno(); all other results are EINVAL."""

GO_ON: Final = (
    "page table is gone",
    "entry is not present",
    "entry is write-protected by userfaultfd",
    "page is read-only",
    "no page was used lately",
    "no ordinary page",
    "page has another reference",
    "page is locked",
    "page is on no list",
    "page is a part of a large folio",
)
"""Results after which the next 2 MiB are tried all the same."""


def collapse_allowed(vma: Vma) -> bool:
    """Whether the VMA may have huge pages, and an aligned one fits into it.

    mm/huge_memory.c: hugepage_vma_check; since 6.8 include/linux/huge_mm.h: thp_vma_allowable_order. Anonymous memory
    must have had a page. Of files shmem alone has huge pages, aligned in the file as in the VMA.
    """
    return not forbidden(vma)


FORBIDDEN: Final[tuple[tuple[Callable[[Vma], bool], str], ...]] = (
    (lambda vma: bool(vma.flags & VM_HUGETLB), "the VMA is of hugetlb pages"),
    (lambda vma: bool(vma.flags & VM_NOHUGEPAGE), "the VMA is VM_NOHUGEPAGE"),
    (
        lambda vma: bool(vma.flags & VM_SPECIAL),
        "the VMA is special: VM_IO, VM_PFNMAP, VM_MIXEDMAP or VM_DONTEXPAND",
    ),
    (lambda vma: vma_is_anonymous(vma) and not vma.anon_vma, "the VMA has not had a page yet: no anon_vma"),
    (
        lambda vma: not vma_is_anonymous(vma) and vma.ops != "shmem",
        "the VMA is of a file that is not in shmem",
    ),
    (lambda vma: not thp_vma_suitable(vma, vma.end - HPAGE_PMD_NR), "no aligned 2 MiB fit into the VMA"),
)
"""What keeps huge pages out of a VMA, in the order in which it is asked, and why."""
NO_VMA: Final = "no VMA"
NO_WHOLE: Final = "the range has no whole 2 MiB"


def forbidden(vma: Vma) -> str:
    """Why the VMA may not have huge pages; empty: it may."""
    return next((why for keeps_out, why in FORBIDDEN if keeps_out(vma)), "")


def userfaultfd_armed(vma: Vma) -> bool:
    """Somebody waits for faults on this VMA: an empty entry means something there."""
    return bool(vma.flags & (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR))


def pmd_state(mem: Memory, mm: str, vpn: int) -> str:
    """Whether there is a table of small entries (mm/khugepaged.c: find_pmd_or_thp_or_none)."""
    entry = pmd_entry(mem, mm, vpn)
    if entry is None:
        return "page table is empty"
    return PMD_MAPPED if entry.huge else SUCCEED


def scan_entries(tx: Transaction, mm: str, vma: Vma, start: int, *, is_khugepaged: bool) -> tuple[str, int]:
    """What stands in the way of a collapse, or SUCCEED; and how many pages are in swap."""
    swapped = shared = 0
    writable = referenced = False
    present = 0
    for vpn in populated(tx, mm, start, start + HPAGE_PMD_NR):
        pte = tx.ptes[mm, vpn]
        if not pte.present:
            swapped += 1
            if pte.bits & PAGE_UFFD_WP:
                return "entry is write-protected by userfaultfd", swapped
            if is_khugepaged and swapped > MAX_PTES_SWAP:
                return "too many swapped pages", swapped
            present += 1
            continue
        if is_zero_pfn(pte.pfn):
            continue
        present += 1
        if pte.bits & PAGE_UFFD_WP:
            return "entry is write-protected by userfaultfd", swapped
        pfn = vm_normal_page(tx, vma, pte)
        if pfn is None:
            return "no ordinary page", swapped
        head = page_folio(tx, pfn)
        frame = tx.frames[head]
        if frame.kind != "anon":
            return "page is not anonymous", swapped
        shared += folio_maybe_mapped_shared(tx, head)
        if is_khugepaged and shared > MAX_PTES_SHARED:
            return "too many shared pages", swapped
        if not frame.flags & PG_LRU:
            return "page is on no list", swapped
        if ("folio", str(head)) in tx.locks:
            return "page is locked", swapped
        if not is_refcount_suitable(tx, head):
            return "page has another reference", swapped
        writable = writable or pte.writable
        referenced = referenced or bool(pte.bits & PAGE_ACCESSED)
    empty = HPAGE_PMD_NR - present
    if empty and (userfaultfd_armed(vma) or (is_khugepaged and empty > MAX_PTES_NONE)):
        return "too many empty entries", swapped
    if not writable and fact(tx, "collapse needs a writable entry"):
        return "page is read-only", swapped
    if is_khugepaged and not referenced:
        return "no page was used lately", swapped
    return SUCCEED, swapped


def is_refcount_suitable(mem: Memory, head: int) -> bool:
    """Only page tables, and the page or swap cache, refer to the folio (mm/khugepaged.c)."""
    frame = mem.frames[head]
    cached = frame.pages if frame.kind != "anon" or frame.flags & PG_SWAPCACHE else 0
    return frame.refcount == frame.mapcount + cached + bool(frame.flags & PG_PRIVATE)


RESULTS: Final = (
    SUCCEED,
    PMD_MAPPED,
    PTE_MAPPED,
    *dict.fromkeys((*GO_ON, *ERRNO)),
    "page table is empty",
    "page is not anonymous",
    "too many swapped pages",
    "too many shared pages",
    "VMA has changed",
    "the file has nothing there",
)
"""enum scan_result, in words."""
REFUSALS: Final = (*RESULTS[RESULTS.index(PTE_MAPPED) :], *(why for _, why in FORBIDDEN), NO_VMA, NO_WHOLE)
"""Everything that a collapse may be refused for."""


def number_of(result: str) -> int:
    """The number of a result."""
    return RESULTS.index(result)
