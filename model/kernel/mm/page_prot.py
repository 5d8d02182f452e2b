"""vma->vm_page_prot: the bits that a fresh entry of a VMA gets."""

from typing import Final

from model.kernel.arch.pgtable import vm_get_page_prot
from model.kernel.mm.vm_ops import vm_operations
from model.memory.flags import PAGE_RW, VM_SHARED, VM_UFFD_WP, VM_WRITE
from model.memory.records import Pte, Vma

UFFD_WP_SHARED: Final = VM_UFFD_WP | VM_SHARED | VM_WRITE


def vma_needs_dirty_tracking(vma: Vma) -> bool:
    """The file wants to know of the first write to each page (mm/vma.c: vma_needs_dirty_tracking)."""
    if vma.flags & (VM_SHARED | VM_WRITE) != VM_SHARED | VM_WRITE:
        return False
    ops = vm_operations(vma.ops)
    return ops.page_mkwrite is not None or ops.pfn_mkwrite is not None


def vma_wants_writenotify(vma: Vma) -> bool:
    """Somebody wants to know of writes, so entries start read-only: the file, or userfaultfd (mm/vma.c)."""
    return vma_needs_dirty_tracking(vma) or vma.flags & UFFD_WP_SHARED == UFFD_WP_SHARED


def vm_page_prot(vma: Vma) -> int:
    """PTE bits for the VMA (mm/vma.c: vma_set_page_prot)."""
    return vm_get_page_prot(vma.flags & ~VM_SHARED if vma_wants_writenotify(vma) else vma.flags)


def mk_pte(pfn: int, vma: Vma) -> Pte:
    """An entry for `pfn` in a VMA; pte_mkdirty and maybe_mkwrite are the caller's."""
    return Pte(pfn, vm_page_prot(vma))


def maybe_mkwrite(pte: Pte, vma: Vma) -> Pte:
    """Writable, if the VMA is (include/linux/mm.h)."""
    return pte.with_bits(PAGE_RW) if vma.flags & VM_WRITE else pte
