"""How drivers fill their mappings from a fault: vmf_insert_pfn, vmf_insert_mixed, vm_insert_page, and 2 MiB at once.

The function decides what can happen to the page later, not the VMA's flags (kernel-facts B.2). A slot that is filled
already counts as success, and the old entry stays.
"""

from model.engine.config import KERNELS, setting
from model.engine.splat import bug
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, TABLE_SHIFT, has_pmd_special, vm_get_page_prot
from model.kernel.mm.page import folio_add_rmap, get_page, page_count, refuses_references
from model.kernel.mm.physical import pfn_valid
from model.memory.errno import EINVAL
from model.memory.flags import (
    PAGE_PSE,
    PAGE_SPECIAL,
    VM_FAULT_NOPAGE,
    VM_FAULT_SIGBUS,
    VM_MIXEDMAP,
    VM_PFNMAP,
    is_cow_mapping,
)
from model.memory.records import Pte, Vma
from model.memory.state import Transaction


def vmf_insert_pfn(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int) -> int:
    """A special entry: no reference, no mapcount, struct page or not (mm/memory.c: insert_pfn)."""
    if (mm, vpn) not in tx.ptes:
        tx.ptes[mm, vpn] = Pte(pfn, vm_get_page_prot(vma.flags) | PAGE_SPECIAL)
    return VM_FAULT_NOPAGE


def vmf_insert_mixed(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int) -> int:
    """With a special bit in PTEs the same as vmf_insert_pfn, for RAM too (mm/memory.c: __vm_insert_mixed).

    On an architecture without that bit RAM is mapped with an ordinary, counted entry.
    """
    if not vma.flags & VM_MIXEDMAP:
        return VM_FAULT_SIGBUS
    if setting(tx, "pte-special") == "off" and pfn_valid(pfn):
        return vmf_insert_page(tx, mm, vma, vpn, pfn)
    return vmf_insert_pfn(tx, mm, vma, vpn, pfn)


def vm_insert_page(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int) -> int:
    """An ordinary entry: one reference and one mapcount more, and get_user_pages() may take the page (mm/memory.c).

    0, or -EINVAL for a page without struct page, with a refcount of 0, or with a type (validate_page_before_insert).
    """
    if not pfn_valid(pfn) or page_count(tx, pfn) <= 0 or refuses_references(tx, pfn):
        return -EINVAL
    if (mm, vpn) not in tx.ptes:
        get_page(tx, pfn)
        folio_add_rmap(tx, pfn, vma, mm)
        tx.ptes[mm, vpn] = Pte(pfn, vm_get_page_prot(vma.flags))
    return 0


def vmf_insert_page(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int) -> int:
    """vm_insert_page as a fault handler uses it: VM_FAULT_NOPAGE or VM_FAULT_SIGBUS."""
    return VM_FAULT_SIGBUS if vm_insert_page(tx, mm, vma, vpn, pfn) < 0 else VM_FAULT_NOPAGE


def bug_on_insert(tx: Transaction, insert: str, vma: Vma, pfn: int) -> bool:
    """The BUG_ONs of these functions where mmap_lock is held for reading, as in ->fault; True: the kernel has died.

    `insert`: as `map insert=` of driver files has it. vmf_insert_pfn_prot() and vm_insert_page() have them from 6.1 to
    7.3. The first of vm_insert_page() asks whether mmap_lock can be taken for reading: without VM_MIXEDMAP it would
    have to change vm_flags. Before 6.12 __vm_insert_mixed() has one too; since then it returns VM_FAULT_SIGBUS.
    """
    pfnmap, mixed = bool(vma.flags & VM_PFNMAP), bool(vma.flags & VM_MIXEDMAP)
    line = 0
    match insert:
        case "pfn" | "huge-pfn" if pfnmap == mixed:
            line = 2227 if pfnmap else 2226
        case "pfn" | "huge-pfn" if pfnmap and is_cow_mapping(vma.flags):
            line = 2229
        case "pfn" if mixed and pfn_valid(pfn):
            line = 2230
        case "page" if not mixed:
            line = 2054
        case "mixed" if not mixed and setting(tx, "kernel") == KERNELS[0]:
            line = 2292
    if line:
        bug(tx, f"mm/memory.c:{line}")
    return bool(line)


def vmf_insert_pfn_pmd(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int) -> int:
    """A huge entry of 2 MiB for a PFN mapping (mm/huge_memory.c). Nothing is counted.

    Without a special bit in PMDs nothing in the entry says so: get_user_pages_fast() takes it for a huge page.
    """
    key = (mm, PMD, vpn >> TABLE_SHIFT)
    if key not in tx.tables:
        special = PAGE_SPECIAL if has_pmd_special(tx) else 0
        tx.tables[key] = Pte(pfn, vm_get_page_prot(vma.flags) | PAGE_PSE | special)
    return VM_FAULT_NOPAGE


def huge_range(vma: Vma, vpn: int) -> int | None:
    """The start of the 2 MiB around `vpn`, if the VMA covers all of it."""
    start = vpn - vpn % PTRS_PER_TABLE
    return start if vma.start <= start and start + PTRS_PER_TABLE <= vma.end else None
