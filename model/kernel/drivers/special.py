"""Mappings of what the kernel itself owns: the vDSO and its data, rings, BPF maps, virtual CPUs, guest memory.

Two families. What is mapped with ordinary entries (vm_insert_page, or a ->fault that returns a page) has references
and mapcounts like a file, and get_user_pages() accepts it. What is mapped with special entries (remap_pfn_range,
vmf_insert_pfn; VM_PFNMAP) has neither: nobody but the owner knows how long the frame is there.

The pages behind an object are listed in the `page_cache` table under its name, although their page->mapping is empty:
the object holds one reference on each.
"""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.procedure import Outcome, call, done, hand_over, step
from model.kernel.arch.pgtable import pte_lock
from model.kernel.mm.filemap import filemap_grab_folio
from model.kernel.mm.insert_pfn import vmf_insert_pfn
from model.kernel.mm.page import get_page, set_page_flags
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.vm_fault import vm_fault, vm_mkwrite
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import (
    FAULT_FLAG_REMOTE,
    FAULT_FLAG_WRITE,
    PG_RESERVED,
    PG_UPTODATE,
    VM_FAULT_LOCKED,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
)
from model.memory.state import Transaction

VVAR_PAGES: Final = 4
"""Pages of [vvar]: time, time namespace, random numbers, architecture data (6.18; older kernels have as many)."""
VDSO_PAGES: Final = 2
"""Pages of [vdso] on x86-64."""
KVM_VCPU_PAGES: Final = 3
"""Pages of a virtual CPU that may be mapped: struct kvm_run, port I/O data, the coalesced MMIO ring."""
BTF_PAGES: Final = 1347
"""Size of /sys/kernel/btf/vmlinux, the kernel's own type information."""
VVAR_HOLES: Final = (1, 3)
"""Pages of [vvar] behind which there is nothing: no time namespace, no architecture data on x86."""

KERNEL_IMAGE: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "vvar": (VVAR_PAGES, ()),
    "vdso": (VDSO_PAGES, (0x7F,)),
    "btf": (BTF_PAGES, (0x9F,)),
}
"""What lies in the kernel image: pages, and the first bytes of the first of them (\\x7fELF; 0xeb9f, little endian)."""


def kernel_image_page(tx: Transaction, what: str, index: int) -> int | None:
    """The frame behind a page of [vvar], [vdso] or the BTF data; None where there is none.

    Such frames belong to the kernel image: reserved, never freed, the same for every process. The model takes them
    from the allocator when they are first looked at.
    """
    pages, content = KERNEL_IMAGE[what]
    if not 0 <= index < pages or (what == "vvar" and index in VVAR_HOLES):
        return None
    pfn = tx.page_cache.get((what, index))
    if pfn is None:
        byte = content[index] if index < len(content) else 0
        pfn = alloc_page(tx, "reserved", content=byte, flags=PG_RESERVED)
        if pfn is not None:
            tx.page_cache[what, index] = pfn
    return pfn


class vvar_fault(vm_fault):
    """A fault on [vvar]: the data that the vDSO computes the time from without a system call."""

    source: ClassVar[str] = "lib/vdso/datastore.c: vvar_fault"

    @step
    def vmf_insert_pfn(self, tx: Transaction) -> Outcome:
        """Up to 6.18 the handler makes the entry itself, a special one: CPUs can read it, get_user_pages() cannot.

        Since 7.0 it returns an ordinary, counted page; only another process may not make it do so. Two of the pages
        do not exist on this machine: SIGBUS.
        """
        vma = self.vma(tx)
        pfn = kernel_image_page(tx, "vvar", vma.pgoff + self.vpn - vma.start)
        if pfn is None:
            return done(VM_FAULT_SIGBUS)
        if fact(tx, "vvar is PFN-mapped"):
            return pte_lock(tx, self.mm, self.vpn) or done(vmf_insert_pfn(tx, self.mm, vma, self.vpn, pfn))
        if self.flags & FAULT_FLAG_REMOTE:
            return done(VM_FAULT_SIGBUS)
        get_page(tx, pfn)
        return hand_over(0, (pfn,))


class vdso_fault(vm_fault):
    """A fault on [vdso]: code of the kernel that every process may call."""

    source: ClassVar[str] = "arch/x86/entry/vdso/vma.c: vdso_fault"

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """Return the page of the vDSO's image, with a reference for the entry: a page like any other."""
        vma = self.vma(tx)
        pfn = kernel_image_page(tx, "vdso", vma.pgoff + self.vpn - vma.start)
        if pfn is None:
            return done(VM_FAULT_SIGBUS)
        get_page(tx, pfn)
        return hand_over(0, (pfn,))


class kvm_vcpu_fault(vm_fault):
    """A fault on the mapping of a virtual CPU: struct kvm_run, through which KVM and its user talk."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: kvm_vcpu_fault"

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """Return the page at this offset, with a reference for the entry; beyond the third there is nothing."""
        pfn = tx.page_cache.get(self.where(tx))
        if pfn is None:
            return done(VM_FAULT_SIGBUS)
        get_page(tx, pfn)
        return hand_over(0, (pfn,))


class kvm_gmem_fault_user_mapping(vm_fault):
    """A fault on guest memory that its owner may map (6.18: GUEST_MEMFD_FLAG_INIT_SHARED)."""

    source: ClassVar[str] = "virt/kvm/guest_memfd.c: kvm_gmem_fault_user_mapping"

    @step
    def kvm_gmem_get_folio(self, tx: Transaction) -> Outcome:
        """Find the page at this offset in the page cache, or put a new one there. Beyond the end: SIGBUS."""
        file, index = self.where(tx)
        if index >= tx.files[file].size:
            return done(VM_FAULT_SIGBUS)
        return call(filemap_grab_folio(file=file, index=index))

    @step
    def clear_highpage(self, tx: Transaction) -> Outcome:
        """A new page is zeroed before anybody sees it. It is unevictable: never reclaimed, never migrated."""
        if self.ret < 0:
            return done(VM_FAULT_OOM)
        (pfn,) = self.holds
        self.holds = ()
        set_page_flags(tx, pfn, PG_UPTODATE)
        return hand_over(VM_FAULT_LOCKED, (pfn,))


class perf_mmap_fault(vm_fault):
    """A fault on a perf ring buffer, before it was mapped with special entries (up to 6.12)."""

    source: ClassVar[str] = "kernel/events/core.c: perf_mmap_fault (6.1)"

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """Return the page at this offset. Only the first, the control page, may be written through the mapping."""
        file, index = self.where(tx)
        pfn = tx.page_cache.get((file, index))
        if pfn is None or (index and self.flags & FAULT_FLAG_WRITE):
            return done(VM_FAULT_SIGBUS)
        get_page(tx, pfn)
        return hand_over(0, (pfn,))


class perf_mmap_mkwrite(vm_mkwrite):
    """A write to a perf ring buffer, whose entries are all read-only."""

    source: ClassVar[str] = "kernel/events/core.c: perf_mmap_pfn_mkwrite; 6.1: perf_mmap_fault"

    @step
    def control_page_only(self, tx: Transaction) -> Outcome:
        """User space may write to the control page alone, to say how far it has read. The data is the kernel's."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        return done(VM_FAULT_SIGBUS if vma.pgoff + self.vpn - vma.start else 0)
