"""mmap of a buffer object: through the DRM file (backing `bo`) or through its dma-buf (backing `dmabuf`).

Both end in the same address space, the device's, so one unmap_mapping_range() finds all mappings of a buffer
(drm_gem_dmabuf_export sets f_mapping, dma_buf_mmap switches the VMA to the dma-buf's file).
"""

from model.driver_files.records import KernelDriver
from model.engine.config import fact, setting
from model.engine.splat import warn_on_once
from model.kernel.drivers.buffer import buffer_of, lookup_buffer
from model.kernel.drivers.driver import described_ops, driver_of
from model.memory.errno import EBADF, EINVAL, ERRNO
from model.memory.flags import (
    VM_DONTDUMP,
    VM_DONTEXPAND,
    VM_IO,
    VM_MAYEXEC,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_MIXEDMAP,
    VM_PAT,
    VM_PFNMAP,
    VM_SHARED,
    VM_WRITE,
    is_cow_mapping,
)
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Memory, Transaction


def open_buffer(mem: Memory, backing: str, name: str) -> str | int:
    """The file of a buffer or of a dma-buf; -EBADF if there is none, or it has been closed."""
    if backing == "dmabuf":
        exported = mem.dma_bufs.get(name)
        return mem.buffers[exported.buffer].file if exported is not None and not exported.closed else -EBADF
    buffer = lookup_buffer(mem, name)
    return buffer.file if buffer is not None and not buffer.closed else -EBADF


def buffer_mmap(tx: Transaction, backing: str, vma: Vma) -> Vma | int:
    """The exporter's ->mmap: the VMA as it wants it, or -EINVAL. Then dma-buf's own check, if it is switched on."""
    buffer = tx.buffers[buffer_of(vma.file)]
    driver = driver_of(tx, buffer.exporter)
    bounds = driver.bounds or backing == "dmabuf"  # dma_buf_mmap_internal() looks itself
    if (vma.pgoff + vma.pages > buffer.pages and bounds) or refuses_private(driver, vma):
        return -EINVAL
    if driver.unwritable and vma.flags & VM_WRITE:
        return -ERRNO[driver.unwritable]
    flags = vma.flags | driver.vma_flags
    if driver.unwritable and not driver.keeps_maywrite:  # as binder_mmap() does (drivers/android/binder.c, 6.12)
        flags &= ~VM_MAYWRITE
    if backing == "dmabuf" and fact(tx, "dma-bufs are never executable"):
        flags &= ~VM_MAYEXEC
    if driver.insert == "remap" and vma.pages == 1 and fact(tx, "PFN ranges are VM_PAT"):
        flags |= VM_PAT  # one remap_pfn_range() over the whole VMA; a heap makes one call for each of several pages
    mapped = replaced(vma, flags=flags | flags_of_filling(driver, flags), ops=described_ops(driver))
    return dma_buf_check(tx, mapped) if backing == "dmabuf" else mapped


def flags_of_filling(driver: KernelDriver, flags: int) -> int:
    """What the function that fills a mapping inside of ->mmap sets by itself (mm/memory.c, 6.1 to 7.3).

    remap_pfn_range() sets VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP; vm_insert_page() sets VM_MIXEDMAP, unless it
    meets VM_PFNMAP first.
    """
    if driver.at != "mmap":
        return 0
    if driver.insert == "remap":
        return VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP
    return VM_MIXEDMAP if driver.insert == "page" and not flags & VM_PFNMAP else 0


def refuses_private(driver: KernelDriver, vma: Vma) -> bool:
    """A private mapping would be copied on write, away from the buffer: most drivers refuse it.

    The system heap maps with remap_pfn_range(), which can do one page of a private mapping.
    """
    if is_cow_mapping(vma.flags):
        return vma.pages > driver.private_pages
    return driver.shared_only and not vma.flags & (VM_SHARED | VM_MAYSHARE)


def dma_buf_check(tx: Transaction, vma: Vma) -> Vma | int:
    """The check of the patch: a dma-buf mapping must be VM_PFNMAP. As posted it only warns, once.

    Never merged: kernel-facts J.2.
    """
    check = setting(tx, "dma-buf-check")
    if check == "off" or vma.flags & VM_PFNMAP:
        return vma
    if check == "refuse":
        return -EINVAL
    where = "drivers/dma-buf/dma-buf.c:155 dma_buf_mmap_internal"
    warn_on_once(tx, where, "WARN_ON_ONCE(!(vma->vm_flags & VM_PFNMAP))")
    return vma


def buffer_frames(mem: Memory, vma: Vma) -> tuple[int, ...]:
    """What a driver maps at once; nothing for those that leave it to faults or to an operation."""
    buffer = mem.buffers[buffer_of(vma.file)]
    if driver_of(mem, buffer.exporter).at != "mmap":
        return ()
    return buffer.frames[vma.pgoff : vma.pgoff + vma.pages]


def fills_with_pages(mem: Memory, vma: Vma) -> bool:
    """Whether the driver's ->mmap uses vm_insert_page() instead of remap_pfn_range()."""
    return driver_of(mem, mem.buffers[buffer_of(vma.file)].exporter).insert == "page"
