"""vm_operations_struct: what each kind of mapping does when the core asks it, one line a kind.

`Vma.ops` names the line. A VMA without ops is anonymous: the core handles its faults alone.
"""

from functools import cache
from typing import Final

import msgspec

from model.kernel.drivers.driver import DESCRIBED
from model.kernel.drivers.driver_fault import driver_fault, driver_huge_fault, driver_mkwrite, ttm_bo_vm_access
from model.kernel.drivers.iomem import generic_access_phys
from model.kernel.drivers.special import (
    kvm_gmem_fault_user_mapping,
    kvm_vcpu_fault,
    perf_mmap_fault,
    perf_mmap_mkwrite,
    vdso_fault,
    vvar_fault,
)
from model.kernel.fs.dax import dax_iomap_fault
from model.kernel.fs.ext4 import ext4_page_mkwrite
from model.kernel.mm.filemap import filemap_fault
from model.kernel.mm.secretmem import secretmem_fault
from model.kernel.mm.shmem import shmem_fault
from model.kernel.mm.vm_fault import vm_access, vm_fault, vm_mkwrite
from model.memory.errno import EINVAL


class VmOps(msgspec.Struct, frozen=True):
    """struct vm_operations_struct."""

    fault: type[vm_fault] | None = None
    """Finds the page for an empty entry, or makes the entry itself. None: all entries are made by mmap(), and once
    gone they are gone: SIGBUS."""
    huge_fault: type[vm_fault] | None = None
    """Tries to map 2 MiB with one entry; VM_FAULT_FALLBACK sends the core on to `fault`."""
    map_pages: bool = False
    """Fault-around: pages in the cache near the fault are mapped as well (filemap_map_pages)."""
    page_mkwrite: type[vm_mkwrite] | None = None
    """Told before a page in a shared mapping becomes writable; entries start read-only."""
    pfn_mkwrite: type[vm_mkwrite] | None = None
    """The same for special entries, which have no page."""
    access: type[vm_access] | None = None
    """Serves /proc/PID/mem where get_user_pages() refuses: (mm, vpn, write, value) → the byte, or -errno."""
    may_split: int = 0
    """The errno with which it refuses to be split by munmap, mprotect or mremap; 0 = it may be."""
    close: bool = False
    """Wants to hear when a VMA ends, so its VMAs are never merged away."""


VM_OPERATIONS: Final[dict[str, VmOps]] = {
    "": VmOps(),
    "shmem": VmOps(shmem_fault, map_pages=True),
    "hugetlb": VmOps(close=True),
    "ext4": VmOps(filemap_fault, map_pages=True, page_mkwrite=ext4_page_mkwrite),
    "secretmem": VmOps(secretmem_fault),
    "guest_memfd": VmOps(kvm_gmem_fault_user_mapping),
    "vvar": VmOps(vvar_fault, may_split=EINVAL, close=True),
    "vdso": VmOps(vdso_fault, may_split=EINVAL, close=True),
    "kvm_vcpu": VmOps(kvm_vcpu_fault),
    "perf": VmOps(pfn_mkwrite=perf_mmap_mkwrite, may_split=EINVAL, close=True),
    "perf-fault": VmOps(perf_mmap_fault, page_mkwrite=perf_mmap_mkwrite, close=True),
    "packet": VmOps(close=True),
    "io_uring": VmOps(),
    "bpf_map": VmOps(close=True),
    "btf": VmOps(),
    "dax": VmOps(dax_iomap_fault),
    "bar": VmOps(access=generic_access_phys),
    "devmem": VmOps(access=generic_access_phys),
}
"""By `Vma.ops`. `io_uring` and `btf` stand for vma_dummy_vm_ops and kernfs_vm_ops, which do nothing here.

Faults on `hugetlb` never come this far (hugetlb_fault), and it may be split between huge pages alone (split_vma)."""


def vm_operations(ops: str) -> VmOps:
    """The operations of a VMA; KeyError for a name that no kind of mapping has."""
    return described_operations(ops) if ops.startswith(DESCRIBED) else VM_OPERATIONS[ops]


@cache
def described_operations(ops: str) -> VmOps:
    """The operations of a driver that is described by a file, as `described_ops` has put them into a word."""
    words = ops.split()
    mkwrite = driver_mkwrite if "mkwrite" in words else None
    return VmOps(
        fault=driver_fault if "fault" in words else None,
        huge_fault=driver_huge_fault if "huge" in words else None,
        page_mkwrite=mkwrite,
        pfn_mkwrite=mkwrite,
        access=ACCESS[next((word for word in words if word in ACCESS), "")],
        may_split=EINVAL if "whole" in words else 0,
        close="close" in words,
    )


ACCESS: Final[dict[str, type[vm_access] | None]] = {"": None, "system": ttm_bo_vm_access, "phys": generic_access_phys}
"""Field `access` of a driver file → the handler."""
