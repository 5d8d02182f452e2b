"""Whether VM_* flags, the function that makes entries, and the memory behind them go together.

What the kernel does where they do not was read in mm/memory.c and mm/huge_memory.c of 6.1, 6.12 and 7.3.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from model.driver_files.findings import DriverFault, error, warning
from model.driver_files.records import DriverLine, KernelDriver
from model.engine.config import KERNELS
from model.memory.flags import VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_MIXEDMAP, VM_PFNMAP

VERSIONS: Final = "6.1, 6.12 and 7.3"
INSERT_PFN: Final = f"mm/memory.c: vmf_insert_pfn_prot, {VERSIONS}"
INSERT_PMD: Final = f"mm/huge_memory.c: vmf_insert_pfn_pmd, {VERSIONS}"
INSERT_PAGE: Final = f"mm/memory.c: vm_insert_page, {VERSIONS}"
COUNTED: Final = frozenset({"page", "return-page", "file"})
"""Ways that make ordinary entries: each has a reference on its page."""
REMAP: Final = VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP


class FieldPlaces(NamedTuple):
    """Where the fields stand that the sentences are about."""

    vma: DriverLine
    map: DriverLine
    private: DriverLine
    writable: DriverLine
    backing: DriverLine
    open: DriverLine
    close: DriverLine


def mapping_findings(driver: KernelDriver, kernel: str, lines: FieldPlaces) -> Iterator[DriverFault]:
    """What is wrong with the way a driver maps, on a kernel."""
    if driver.at == "fault":
        yield from _in_fault(driver, kernel, lines)
    if driver.at == "mmap":
        yield from _in_mmap(driver, lines)
    yield from _in_private(driver, lines)
    yield from _counting(driver, lines)
    if driver.at == "op" and not any(step.word == "insert" for one in _lists(driver) for step in one):
        never = "map at=op, and no step inserts: nothing is ever mapped, and every access ends with SIGBUS"
        yield warning(lines.map, "never-mapped", never)
    if driver.insert in {"page", "return-page"} and driver.backing == "vram":
        what = f"insert={driver.insert} wants a struct page, and memory of a device has none"
        yield error(lines.map, "no-struct-page", what, INSERT_PAGE if driver.insert == "page" else "")
    if not driver.bounds:
        unseen = "neither ->mmap nor ->fault asks where the buffer ends: pages behind it are mapped, whosever they are"
        grows = "" if driver.vma_flags & VM_DONTEXPAND else "; without VM_DONTEXPAND mremap() can make it longer, too"
        yield error(lines.map, "no-bounds", unseen + grows, "drivers/dma-buf/udmabuf.c: udmabuf_vm_fault checks, 6.1")
    if driver.keeps_maywrite:
        what = "->mmap refuses VM_WRITE and leaves VM_MAYWRITE set: mprotect() makes the mapping writable afterwards"
        yield error(
            lines.writable, "maywrite-left", what, f"drivers/android/binder.c: binder_mmap clears it, {VERSIONS}"
        )
    if driver.counts == "none" and driver.backing in {"shmem", "borrow:memfd"} and driver.insert not in COUNTED:
        what = (
            f"`backing {driver.backing}` with `counts none`: neither the driver nor an entry holds the pages, and "
            "reclaim or a truncation takes them while they are mapped"
        )
        yield error(lines.backing, "pages-not-held", what, f"drivers/gpu/drm/drm_gem.c: drm_gem_get_pages, {VERSIONS}")
    if driver.counts != "none" and driver.backing not in {"shmem", "borrow:memfd"}:
        idle = f"`counts {driver.counts}` is about pages of a file; with `backing {driver.backing}` it does nothing"
        yield warning(lines.backing, "counts-unused", idle)


def _in_private(driver: KernelDriver, lines: FieldPlaces) -> Iterator[DriverFault]:
    """A private mapping that can be written, filled by remap_pfn_range()."""
    zaps = any(step.word == "zap" for one in _lists(driver) for step in one)
    if driver.insert == "remap" and driver.private_pages and zaps:
        what = (
            "remap_pfn_range() puts the frame number into vm_pgoff of a private mapping that can be written: "
            "unmap_mapping_range() does not find its entries"
        )
        yield warning(lines.private, "private-remap", what, f"mm/memory.c: remap_pfn_range, {VERSIONS}")


def _counting(driver: KernelDriver, lines: FieldPlaces) -> Iterator[DriverFault]:
    """A ->open or ->close that forgets to count."""
    if driver.opens == "forgets":
        what = (
            "->open counts nothing: when a child of fork(), or a part that was split off, unmaps, ->close puts the "
            "reference of another mapping, and the memory goes while that one shows it"
        )
        yield error(lines.open, "open-forgets", what, f"drivers/gpu/drm/drm_gem.c: drm_gem_vm_open, {VERSIONS}")
    if driver.closes == "forgets":
        what = "->close counts nothing: a buffer that was mapped once is never given back"
        yield warning(lines.close, "close-forgets", what, f"drivers/gpu/drm/drm_gem.c: drm_gem_vm_close, {VERSIONS}")


def _lists(driver: KernelDriver) -> Iterator[tuple[DriverLine, ...]]:
    for one in (*driver.ops, *driver.functions):
        yield tuple(part for step in one.steps for part in (step, *step.joined))


def _in_fault(driver: KernelDriver, kernel: str, lines: FieldPlaces) -> Iterator[DriverFault]:
    """A ->fault has mmap_lock for reading: vm_flags are as ->mmap has left them."""
    pfnmap, mixed = bool(driver.vma_flags & VM_PFNMAP), bool(driver.vma_flags & VM_MIXEDMAP)
    if driver.insert in {"pfn", "huge-pfn"}:
        yield from _special(driver, lines, pfnmap=pfnmap, mixed=mixed)
    elif driver.insert == "page" and not mixed:
        set_too = "VM_PFNMAP is set, and ->fault inserts" if pfnmap else "->fault inserts"
        what = f"{set_too} with vm_insert_page() without VM_MIXEDMAP: BUG_ON(mmap_read_trylock(vma->vm_mm))"
        yield error(lines.map, "page-without-mixedmap", what, INSERT_PAGE)
    elif driver.insert == "mixed" and not mixed:
        ends = "BUG_ON(!vm_mixed_ok(vma, pfn))" if kernel == KERNELS[0] else "VM_FAULT_SIGBUS"
        read = "6.1" if kernel == KERNELS[0] else "6.12 and 7.3"
        what = f"->fault uses vmf_insert_mixed() without VM_MIXEDMAP: {ends}"
        yield error(lines.map, "mixed-without-mixedmap", what, f"mm/memory.c: __vm_insert_mixed, {read}")
    elif driver.insert == "remap" and driver.vma_flags & REMAP != REMAP:
        what = (
            "->fault uses remap_pfn_range(), which sets VM_IO, VM_PFNMAP, VM_DONTEXPAND and VM_DONTDUMP; ->fault may "
            "not change vm_flags: set them in ->mmap"
        )
        yield error(lines.map, "remap-sets-flags", what, "drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_mmap, 6.1")


def _special(driver: KernelDriver, lines: FieldPlaces, *, pfnmap: bool, mixed: bool) -> Iterator[DriverFault]:
    """The BUG_ONs of vmf_insert_pfn() and vmf_insert_pfn_pmd()."""
    name, source = ("vmf_insert_pfn", INSERT_PFN) if driver.insert == "pfn" else ("vmf_insert_pfn_pmd", INSERT_PMD)
    if pfnmap == mixed:
        which = "both VM_PFNMAP and VM_MIXEDMAP" if pfnmap else "neither VM_PFNMAP nor VM_MIXEDMAP"
        yield error(lines.map, "pfn-flags", f"->fault uses {name}(), and ->mmap sets {which}: BUG_ON", source)
    elif mixed and driver.insert == "pfn" and driver.backing != "vram":
        what = "->fault uses vmf_insert_pfn() for pages of memory under VM_MIXEDMAP: BUG_ON(pfn_valid(pfn))"
        yield error(lines.map, "pfn-of-memory", what, source)
    if pfnmap and driver.private_pages:
        what = (
            f"VM_PFNMAP and a private mapping that can be written: {name}() has BUG_ON(is_cow_mapping(vma->vm_flags)); "
            "refuse it in ->mmap"
        )
        yield error(lines.private, "private-pfnmap", what, source)


def _in_mmap(driver: KernelDriver, lines: FieldPlaces) -> Iterator[DriverFault]:
    """->mmap has mmap_lock for writing."""
    pfnmap, mixed = bool(driver.vma_flags & VM_PFNMAP), bool(driver.vma_flags & VM_MIXEDMAP)
    if driver.insert == "page" and pfnmap and not mixed:
        what = "VM_PFNMAP is set, and ->mmap inserts with vm_insert_page(): BUG_ON(vma->vm_flags & VM_PFNMAP)"
        yield error(lines.map, "page-in-pfnmap", what, INSERT_PAGE)
    if driver.insert not in {"page", "remap", "file"}:
        what = f"insert={driver.insert} is for ->fault; ->mmap fills with insert=remap or insert=page"
        yield warning(lines.map, "insert-at-mmap", what)
