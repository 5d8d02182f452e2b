"""What mmap(2) asks a file: may it be mapped like that, which VMA flags does it want, what does it map at once?

One line a backing in `BACKINGS`; each backing names its file operations by the kind of file it opens. do_mmap() uses
four functions, in this order: `open_backing`, `do_mmap_file`, `call_mmap`, `mmap_fill`.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from model.engine.config import fact
from model.engine.procedure import Procedure
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.drivers.iomem import iomem_frame, open_iomem
from model.kernel.drivers.mmap_buffer import buffer_frames, buffer_mmap, fills_with_pages, open_buffer
from model.kernel.drivers.special import BTF_PAGES, KERNEL_IMAGE, KVM_VCPU_PAGES, kernel_image_page
from model.kernel.mm.filemap import release_file
from model.kernel.mm.hugetlb_pool import hugetlb_reserve_pages
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.remap import remap_pfn_range, vm_insert_pages
from model.kernel.mm.shmem import sealed_against_writing
from model.memory.errno import EACCES, EBADF, EINVAL, ENODEV, ENOMEM, EPERM
from model.memory.flags import (
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_DONTEXPAND,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_MIXEDMAP,
    VM_PAT,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.record_base import replaced
from model.memory.records import File, Vma
from model.memory.state import Memory, Transaction

PFN_RANGE: Final = VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP
"""What remap_pfn_range() sets."""


class MmapBacking(msgspec.Struct, frozen=True):
    """One backing of mmap: the kind of file behind it, and what the file's ->mmap does to a VMA."""

    ops: str
    """Vma.ops."""
    named: bool = False
    """A file that the program has opened before, by name; else mmap() comes with a file of its own."""
    noexec: str = ""
    """The fact on which its filesystem is mounted noexec; `always` needs none."""
    sets: int = 0
    """VM_* flags it sets …"""
    clears: int = 0
    """… and clears."""
    own_pages: int = 0
    """Pages that the file has from the start; -1: as many as are mapped."""
    fills: type[remap_pfn_range] | type[vm_insert_pages] | None = None
    """How ->mmap maps them at once."""


BACKINGS: Final[dict[str, MmapBacking]] = {
    "memfd": MmapBacking("shmem", named=True),
    "file": MmapBacking("ext4", named=True),
    "secretmem": MmapBacking("secretmem", named=True, noexec="always", sets=VM_DONTDUMP),
    "anon": MmapBacking("shmem"),
    "hugetlb": MmapBacking("hugetlb", sets=VM_HUGETLB | VM_DONTEXPAND),
    "hugetlbfs": MmapBacking("hugetlb", named=True, sets=VM_HUGETLB | VM_DONTEXPAND),
    "devzero": MmapBacking(""),
    "perf": MmapBacking(
        "perf",
        noexec="anonymous inodes are noexec",
        sets=VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
        own_pages=-1,
        fills=remap_pfn_range,
    ),
    "packet": MmapBacking(
        "packet", noexec="anonymous inodes are noexec", sets=VM_MIXEDMAP, own_pages=-1, fills=vm_insert_pages
    ),
    "io_uring": MmapBacking(
        "io_uring",
        noexec="anonymous inodes are noexec",
        sets=VM_MIXEDMAP | VM_DONTEXPAND,
        own_pages=-1,
        fills=vm_insert_pages,
    ),
    "bpf_map": MmapBacking(
        "bpf_map",
        noexec="anonymous inodes are noexec",
        sets=VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP,
        clears=VM_MAYEXEC,
        own_pages=-1,
        fills=vm_insert_pages,
    ),
    "kvm_vcpu": MmapBacking("kvm_vcpu", noexec="anonymous inodes are noexec", own_pages=KVM_VCPU_PAGES),
    "guest_memfd": MmapBacking("guest_memfd", noexec="always"),
    "btf": MmapBacking("btf", noexec="always", sets=PFN_RANGE, clears=VM_MAYEXEC | VM_MAYWRITE, fills=remap_pfn_range),
    "vvar": MmapBacking("vvar", sets=VM_READ | VM_MAYREAD | VM_DONTEXPAND | VM_DONTDUMP),
    "dax": MmapBacking("dax", named=True, sets=VM_HUGEPAGE),
    "bar": MmapBacking("bar", named=True, noexec="always", sets=PFN_RANGE, fills=remap_pfn_range),
    "devmem": MmapBacking("devmem", named=True, sets=PFN_RANGE, fills=remap_pfn_range),
    "bo": MmapBacking("", named=True),
    "dmabuf": MmapBacking("", named=True),
    "vdso": MmapBacking("vdso", sets=VM_READ | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_DONTEXPAND),
}
"""By the names of the script language."""

HUGETLB: Final = ("hugetlb", "hugetlbfs")
"""Pages of 2 MiB from the pool: of a file of the mapping's own, or of a memfd that the program has made."""

BUFFERS: Final = ("bo", "dmabuf")
"""Buffers of drivers: the exporter decides (mmap_buffer)."""

IOMEM: Final = ("bar", "devmem")
"""Device memory, mapped by its physical address (iomem)."""

SPECIAL_MAPPINGS: Final = ("vvar", "vdso")
"""Mapped by the kernel itself when a program starts: no file, and the flags are not the caller's."""

MOST_OWN_PAGES: Final = 1024
"""No ring or map is bigger (the kernel: perf_event_mlock_kb, RLIMIT_MEMLOCK, memory cgroups)."""

READ_ONLY: Final = ("btf",)
"""Files that cannot be opened for writing."""


def open_backing(tx: Transaction, backing: str, name: str, pages: int, offset: int, *, shared: bool) -> str | int:
    """The File to map: the named one, a fresh one for a backing that brings its own, "" if there is none.

    Fails with -EBADF (no such file, or closed), -ENOMEM. If the mapping fails later, a file that nobody has mapped must
    be released again.
    """
    spec = BACKINGS[backing]
    if backing in BUFFERS:
        return open_buffer(tx, backing, name)
    if backing in IOMEM:
        return open_iomem(tx, backing, name)
    if spec.named and (name or backing != "secretmem"):
        file = tx.files.get(name)
        return name if file is not None and file.open else -EBADF
    if backing in SPECIAL_MAPPINGS or (backing == "anon" and not shared):
        return ""
    kind = "shmem" if backing == "anon" or (backing == "devzero" and shared) else backing
    kind = "anon_hugepage" if backing == "hugetlb" else kind
    fresh = unused_name(tx, kind)
    own = pages if spec.own_pages < 0 else spec.own_pages
    size = {"shmem": pages, "anon_hugepage": pages, "guest_memfd": offset + pages, "secretmem": offset + pages}.get(
        kind, own
    )
    # A ring or a map lives as long as its owner, whom we never see close; the rest as long as it is mapped.
    tx.files[fresh] = File(kind, size=size, open=kind not in ("shmem", "anon_hugepage", "devzero", "perf"))
    for index in range(own):
        pfn = alloc_page(tx, "kernel") if own <= MOST_OWN_PAGES else None
        if pfn is None:
            release_file(tx, fresh)
            return -ENOMEM
        tx.page_cache[fresh, index] = pfn
    return fresh


def unused_name(mem: Memory, kind: str) -> str:
    """A name for a file that no program has named: `shmem#1`. The smallest number that is free."""
    number = 1
    while f"{kind}#{number}" in mem.files:
        number += 1
    return f"{kind}#{number}"


def do_mmap_file(mem: Memory, backing: str, file: str, vm_flags: int) -> int:
    """The VMA flags that the file allows, or a negated errno (mm/mmap.c: do_mmap, the part `if (file)`).

    `vm_flags` are those of the protection with the VM_MAY* flags, VM_SHARED and VM_MAYSHARE for a shared mapping.
    """
    spec = BACKINGS[backing]
    if not file or backing == "anon":
        return vm_flags
    if backing in READ_ONLY and vm_flags & VM_SHARED:
        if vm_flags & VM_WRITE:
            return -EACCES
        vm_flags &= ~(VM_MAYWRITE | VM_SHARED)
    if vm_flags & VM_SHARED and sealed_against_writing(mem.files[file]):
        sealed = memfd_check_seals_mmap(mem, file, vm_flags)
        if sealed < 0:
            return sealed
        vm_flags = sealed
    if spec.noexec and (spec.noexec == "always" or fact(mem, spec.noexec)):
        if vm_flags & VM_EXEC:
            return -EPERM
        vm_flags &= ~VM_MAYEXEC
    return -EINVAL if vm_flags & VM_GROWSDOWN else vm_flags


def memfd_check_seals_mmap(mem: Memory, file: str, vm_flags: int) -> int:
    """A shared mapping of a file sealed against writing may not be writable, now or ever (mm/memfd.c).

    In 6.1 F_SEAL_WRITE refuses shared mappings altogether.
    """
    old_rule = not fact(mem, "sealed files can be mapped shared read-only")
    if vm_flags & VM_WRITE or (old_rule and "write" in mem.files[file].seals):
        return -EPERM
    return vm_flags & ~VM_MAYWRITE


def call_mmap(tx: Transaction, backing: str, vma: Vma) -> Vma | int:
    """file->f_op->mmap: the VMA as the file wants it, or a negated errno."""
    if backing in BUFFERS:
        return buffer_mmap(tx, backing, vma)
    spec = BACKINGS[backing]
    error = MMAP_CHECKS[backing](tx, vma) if backing in MMAP_CHECKS else 0
    if error:
        return -error
    if not vma.file and backing == "anon":
        return vma
    if backing in HUGETLB:
        return hugetlbfs_file_mmap(tx, replaced(vma, flags=vma.flags | spec.sets, ops=spec.ops))
    flags = (vma.flags | spec.sets) & ~spec.clears
    ops = spec.ops
    match backing:
        case "vvar":
            flags = spec.sets | (VM_IO | VM_PFNMAP if fact(tx, "vvar is PFN-mapped") else VM_MIXEDMAP)
        case "vdso":
            flags = spec.sets
        case "secretmem" if fact(tx, "secretmem is VM_LOCKED"):
            flags |= VM_LOCKED
        case "bpf_map" if not flags & VM_WRITE:
            flags &= ~VM_MAYWRITE
        case "bar" | "devmem" if fact(tx, "PFN ranges are VM_PAT"):
            flags |= VM_PAT
        case "devzero" if flags & VM_SHARED:
            ops = "shmem"
        case "perf" if fact(tx, "perf rings are PFN-mapped"):
            flags |= PFN_RANGE
        case "perf":
            ops = "perf-fault"
    return replaced(vma, flags=flags, ops=ops)


def mmap_fill(tx: Transaction, mm: str, backing: str, vma: Vma) -> Procedure | None:
    """What ->mmap maps at once, as the procedure that does it; None if the pages come with faults."""
    if backing in BUFFERS:
        pfns = buffer_frames(tx, vma)
        fill = vm_insert_pages if fills_with_pages(tx, vma) else remap_pfn_range
        return fill(mm=mm, vma=vma, frames=pfns) if pfns else None
    fills = BACKINGS[backing].fills
    if fills is None or vma.ops == "perf-fault":
        return None
    indices = range(vma.pgoff, vma.pgoff + vma.pages)
    if backing in IOMEM:
        iomem = (iomem_frame(tx, vma.file, index) for index in indices)
        return fills(mm=mm, vma=vma, frames=tuple(pfn for pfn in iomem if pfn is not None))
    frames = [kernel_image_page(tx, backing, index) for index in indices] if backing in KERNEL_IMAGE else None
    if frames is None:
        frames = [tx.page_cache.get((vma.file, index)) for index in indices]
    return fills(mm=mm, vma=vma, frames=tuple(pfn for pfn in frames if pfn is not None))


# -- what each ->mmap refuses: the errno, 0 = nothing -------------------------------------------


def needs_vm_shared(_tx: Transaction, vma: Vma) -> int:
    """A private copy of it makes no sense."""
    return 0 if vma.flags & VM_SHARED else EINVAL


def perf_mmap(_tx: Transaction, vma: Vma) -> int:
    """One control page, then a power of two of data pages, or none (kernel/events/core.c: perf_mmap)."""
    data = vma.pages - 1
    return EINVAL if not vma.flags & VM_SHARED or vma.pgoff or data & (data - 1) else 0


def whole_ring(_tx: Transaction, vma: Vma) -> int:
    """A ring is mapped from its start (net/packet/af_packet.c: packet_mmap; io_uring: offset 0 is the SQ ring)."""
    return EINVAL if vma.pgoff else 0


def bpf_map_mmap(tx: Transaction, vma: Vma) -> int:
    """Shared, and inside the array (kernel/bpf/syscall.c: bpf_map_mmap, arraymap.c: array_map_mmap)."""
    inside = vma.pgoff + vma.pages <= tx.files[vma.file].size
    return 0 if vma.flags & VM_SHARED and inside else EINVAL


def kvm_gmem_mmap(tx: Transaction, vma: Vma) -> int:
    """Shared only; no mapping at all before 6.18 (virt/kvm/guest_memfd.c)."""
    if not fact(tx, "guest_memfd can be mapped"):
        return ENODEV
    return needs_vm_shared(tx, vma)


def secretmem_mmap(_tx: Transaction, vma: Vma) -> int:
    """Shared only: a private copy would be an ordinary page (mm/secretmem.c: secretmem_mmap_prepare)."""
    return 0 if vma.flags & (VM_SHARED | VM_MAYSHARE) else EINVAL


def btf_sysfs_vmlinux_mmap(_tx: Transaction, vma: Vma) -> int:
    """Private, read-only, from the start, not beyond the end (kernel/bpf/sysfs_btf.c)."""
    if vma.pgoff or vma.pages > BTF_PAGES:
        return EINVAL
    return EACCES if vma.flags & (VM_WRITE | VM_EXEC | VM_MAYSHARE) else 0


def inside_iomem(tx: Transaction, vma: Vma) -> int:
    """Not beyond the end of the BAR, or of the reserved memory (drivers/pci/mmap.c, drivers/char/mem.c)."""
    return 0 if vma.pgoff + vma.pages <= tx.files[vma.file].size else EINVAL


def hugetlbfs_file_mmap(tx: Transaction, vma: Vma) -> Vma | int:
    """Reserve the pages: mmap() fails with ENOMEM, so that no fault has to. A writable mapping lengthens the file.

    Source: fs/hugetlbfs/inode.c: hugetlbfs_file_mmap.
    """
    if vma.pgoff % HUGETLB_NR:
        return -EINVAL
    reserved = hugetlb_reserve_pages(tx, vma)
    if reserved is None:
        return -ENOMEM
    end = vma.pgoff + vma.pages
    if vma.flags & VM_WRITE and tx.files[vma.file].size < end:
        tx.files.update(vma.file, size=end)
    return reserved


MMAP_CHECKS: Final[dict[str, Callable[[Transaction, Vma], int]]] = {
    "bar": inside_iomem,
    "devmem": inside_iomem,
    "secretmem": secretmem_mmap,
    "perf": perf_mmap,
    "packet": whole_ring,
    "io_uring": whole_ring,
    "bpf_map": bpf_map_mmap,
    "guest_memfd": kvm_gmem_mmap,
    "btf": btf_sysfs_vmlinux_mmap,
}
"""By backing; one that is not here can be mapped in any way."""
