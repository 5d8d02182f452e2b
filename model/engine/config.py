"""Which kernel, which defences: the settings of a machine, and the facts that differ between kernels.

Every difference between 6.1, 6.12, 6.18 and 7.3 that the model knows stands in `FACTS`, once, with its source.
The code asks for the fact by name and never for a version. What differs between versions of one driver stands in the
driver's file (model/driver_files), line by line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import msgspec

from model.engine.mends import AS_IT_WAS, MENDS, NONE
from model.memory.folio import ORDERS_OF_SIZE
from model.memory.state import Memory, state_of

KERNELS: Final = ("6.1", "6.12", "6.18", "7.3")
"""In order of age. 6.18 is the default: the recordings were made on it."""


class Setting(msgspec.Struct, frozen=True):
    """One `set KEY VALUE`: the allowed values, the default first."""

    values: tuple[str, ...]
    meaning: str
    breaks: str = ""
    """A defence: which legitimate user it breaks, or why it breaks none."""


SETTINGS: Final[dict[str, Setting]] = {
    "kernel": Setting(("6.18", "6.1", "6.12", "7.3"), "behaviour where kernels differ"),
    "cpus": Setting(("2", "1", "3", "4", "5", "6", "7", "8"), "number of processors"),
    "debug-vm": Setting(
        ("off", "on"),
        "CONFIG_DEBUG_VM: VM_BUG_ON where a count underflows or a free page is got",
        "Breaks nobody who is right, but it costs time in every path: distributions leave it off, so what it would "
        "catch goes unseen where it matters.",
    ),
    "pte-special": Setting(
        ("on", "off"),
        "the architecture has a special bit in PTEs (off: GUP-fast takes huge entries only)",
        "Without the bit the VMA decides: GUP-fast leaves every PTE to the slow path, but takes a driver's 2 MiB entry "
        "for a huge page as before; vmf_insert_mixed() counts what it maps, so that get_user_pages() may take it.",
    ),
    "tlb-flush": Setting(
        ("ipi", "broadcast"),
        "how other CPUs are made to forget translations: by an interrupt, for which a CPU with interrupts off lets "
        "one wait, or without (AMD's INVLPGB since 6.15; KVM's and Hyper-V's flush in a guest)",
    ),
    "table-free": Setting(
        ("rcu", "at-once"),
        "when page tables are freed after a flush: once a grace period of RCU has ended, where the flush did not "
        "wait for walkers, or at once (without CONFIG_MMU_GATHER_RCU_TABLE_FREE)",
    ),
    "pmd-special": Setting(
        ("kernel", "on", "off"),
        "a special bit in huge PMDs; by default as the kernel has it",
        "Breaks nobody: what GUP-fast leaves alone now it should never have taken.",
    ),
    "dma-buf-check": Setting(
        ("off", "warn", "refuse"),
        "the VM_PFNMAP check after the exporter's mmap",
        "`refuse` breaks every dma-buf of ordinary pages: udmabuf of 6.1, i915 buffers in system memory, drivers that "
        "use vm_insert_page() or vm_map_pages() behind an IOMMU. `warn`, as posted, breaks none of them.",
    ),
    "ttm-refcount": Setting(
        ("normal", "zero"),
        "TTM sets the count of its pages to 0 after allocation",
        "Breaks drivers that map their TTM pages with vm_insert_page(): -EINVAL, so the process gets SIGBUS. KVM in "
        "6.1 cannot map such a buffer into a guest any more.",
    ),
    "page-noref": Setting(
        ("off", "on"),
        "the page flag that forbids references",
        "Breaks drivers that map such pages with vm_insert_page(), and with them every O_DIRECT read or write of their "
        "mappings; KVM in 6.1 cannot map them into a guest.",
    ),
    "gfp-refcount": Setting(
        ("normal", "zero"),
        "drivers allocate buffer pages with the count at 0",
        "Breaks whoever counts such pages: vm_insert_page() refuses them, KVM in 6.1 fails. A blind get and put frees "
        "the page under its driver.",
    ),
    "frozen-pages": Setting(
        ("off", "on"),
        "buffer pages are frozen and typed: get_page warns and does nothing",
        "Breaks whoever counts such pages: vm_insert_page() refuses them, KVM in 6.1 fails. When slab pages were "
        "frozen, network and NVMe code that called get_page() on them had to be mended.",
    ),
    "dax-break-layouts": Setting(
        ("on", "off"),
        "truncating a DAX file waits for references (off: as DAX began)",
        "Whoever keeps a reference keeps truncation waiting, so FOLL_LONGTERM had to be refused: RDMA and io_uring "
        "buffers on DAX files do not work.",
    ),
    "cma": Setting(("off", "on"), "pages of programs come from a CMA area, as long as they can be moved away again"),
    "allocator": Setting(
        ("lifo", "fifo", "any"),
        "which free page an allocation gets: the one freed last, the one freed first, or any. With `any` the search "
        "tries every free page that somebody still refers to, and one of the others; a plain run takes memory that was "
        "never used, then the lowest page number",
    ),
    "refcount-bits": Setting(
        ("32", "8", "4"),
        "how wide the refcount of a page is. With 4 bits 16 references make it run over, where 32 bits take four "
        "thousand million; a FOLL_PIN, which counts 1024, is too much for either",
    ),
    "thp": Setting(
        ("madvise", "always", "never"),
        "which private memory may get huge pages (/sys/kernel/mm/transparent_hugepage/enabled)",
    ),
    "mthp": Setting(
        ("never", *ORDERS_OF_SIZE),
        "folios of this size as well, for faults on memory that may get huge pages (hugepages-*kB/enabled: `inherit`); "
        "since 6.8",
    ),
    "hugetlb": Setting(
        ("0", "1", "2", "3", "4", "8", "16", "64", "256"),
        "how many pages of 2 MiB are set aside for hugetlb when the machine starts (vm.nr_hugepages)",
    ),
    "hugetlb-overcommit": Setting(
        ("0", "1", "2", "4", "16"),
        "how many pages the pool may have beyond those, taken from free memory when they are wanted and given back as "
        "soon as they are not (vm.nr_overcommit_hugepages)",
    ),
    "swap": Setting(("zram", "file", "off"), "swap space: in compressed RAM (written at once), in a file, or none"),
    AS_IT_WAS: Setting(
        (NONE, *MENDS),
        "a real bug's mend is undone; several lines undo several. What each was: `ptescope museum`",
    ),
    "vram": Setting(("64", "4", "8", "16", "32", "128", "256", "512", "1024"), "size of the video memory in pages"),
}


def setting(mem: Memory, key: str) -> str:
    """The value of a setting on this machine."""
    return state_of(mem).settings.get(key) or SETTINGS[key].values[0]


class Fact(msgspec.Struct, frozen=True):
    """A difference between kernels: since which one it holds, until which one, and who says so."""

    since: str
    until: str
    source: str


FACTS: Final[dict[str, Fact]] = {
    "zero page is never pinned": Fact("6.1", "7.3", "6.1.192 and newer: try_grab_folio; kernel-facts A.5"),
    "O_DIRECT pins": Fact("6.12", "7.3", "6.1 uses get_user_pages_fast, 6.12 pin_user_pages_fast; kernel-facts O"),
    "long-term pin needs no dirty tracking": Fact("6.12", "7.3", "vma_needs_dirty_tracking; kernel-facts D.3"),
    "GUP-fast wants a page's mapping": Fact(
        "6.12", "6.18", "gup_fast_folio_allowed(), `if (!mapping) return false`: 6.10 to 6.18; mm/gup.c"
    ),
    "read-only long-term pin unshares": Fact("6.12", "7.3", "gup_must_unshare; kernel-facts D.6, N.2"),
    "fsdax idle count is one": Fact("6.1", "6.12", "kernel-facts A.7, L.3"),
    "fsdax entries are devmap": Fact("6.1", "6.12", "kernel-facts C.1, N.2"),
    "KVM takes references on PFN mappings": Fact("6.1", "6.12", "kvm_try_get_pfn; kernel-facts N.2"),
    "KVM follows huge PFN mappings": Fact(
        "6.12", "7.3", "follow_pfnmap_start() since 6.12; follow_pte() of 6.1 refuses what is pmd_bad(); mm/memory.c"
    ),
    "dma-bufs are never executable": Fact("7.3", "7.3", "dma-buf recordings (matrix): no `me` on dma-buf files"),
    "mremap extends any VMA": Fact("6.1", "6.1", "no vma_merge_extend; dma-buf recordings, finding 14"),
    "PFN ranges are VM_PAT": Fact("6.1", "6.12", "dma-buf recordings (matrix): `ar` on /dev/mem and PCI resources"),
    "udmabuf checks seals under the inode's lock": Fact(
        "6.12", "7.3", "udmabuf_create(): inode_lock_shared() in 6.12.117 and 7.3.4, none in 6.1; udmabuf.c"
    ),
    "PMD special bit": Fact("6.12", "7.3", "pmd_special; kernel-facts C.1"),
    "page checks without debugging": Fact("6.1", "6.1", "check_pages_enabled is off since; kernel-facts M.1"),
    "perf rings are PFN-mapped": Fact("6.18", "7.3", "dma-buf recordings, finding 10: ordinary pages in 6.1 and 6.12"),
    "anonymous inodes are noexec": Fact("6.18", "7.3", "dma-buf recordings (matrix): VM_MAYEXEC until 6.12"),
    "dirty file pages lose their mapcount after the flush": Fact("6.12", "7.3", "tlb_delay_rmap() since 6.2"),
    "pages read from swap are not mlocked": Fact(
        "6.12", "7.3", "do_swap_page(): folio_add_new_anon_rmap() where 6.1 has page_add_anon_rmap(); 6.18: measured"
    ),
    "secretmem is VM_LOCKED": Fact("6.12", "6.18", "dma-buf recordings (matrix); 6.18: measured"),
    "guest_memfd can be mapped": Fact("6.18", "7.3", "virt/kvm/guest_memfd.c: kvm_gmem_mmap"),
    "sealed files can be mapped shared read-only": Fact("6.12", "7.3", "mm/memfd.c: check_write_seal, since 6.7"),
    "pages of a large folio are reused in place": Fact(
        "6.18", "7.3", "__wp_can_reuse_large_anon_folio() since 6.15; mm/memory.c"
    ),
    "folios of less than a huge page": Fact("6.12", "7.3", "alloc_anon_folio() since 6.8; mm/memory.c"),
    "zeros are not written to swap": Fact("6.12", "7.3", "swap_zeromap_folio_set(); mm/page_io.c"),
    "a folio in the swap cache is mapped in one go": Fact(
        "6.12", "7.3", "do_swap_page(): swap_pte_batch(), since 6.11; mm/memory.c"
    ),
    "a write to the huge zero page gets a huge page": Fact(
        "6.18", "7.3", "do_huge_zero_wp_pmd() since 6.13; mm/huge_memory.c"
    ),
    "collapse needs a writable entry": Fact("6.1", "6.12", "SCAN_PAGE_RO, until 6.17; mm/khugepaged.c"),
    "file tables are retracted without mmap_lock": Fact(
        "6.12", "7.3", "retract_page_tables() since 6.6: pte_free_defer; 6.1: mmap_write_trylock; mm/khugepaged.c"
    ),
    "faults map large shmem folios as a whole": Fact("6.18", "7.3", "finish_fault() since 6.13; mm/memory.c"),
    "collapse of less than a huge page does nothing": Fact("7.3", "7.3", "madvise_collapse(); mm/khugepaged.c"),
    "collapse goes on behind an empty PMD": Fact("7.3", "7.3", "SCAN_NO_PTE_TABLE, since 6.19; mm/khugepaged.c"),
    "MADV_DONTNEED frees empty page tables": Fact(
        "6.18", "7.3", "CONFIG_PT_RECLAIM since 6.14; mm/memory.c: zap_pte_range"
    ),
    "pages of zeros become the zero page when a folio is split": Fact(
        "6.12", "7.3", "try_to_map_unused_to_zeropage() since 6.12; mm/migrate.c"
    ),
    "a huge page that its owner unmaps is reserved again": Fact(
        "6.12", "7.3", "__unmap_hugepage_range(), hugetlb_restore_reserve, since 6.8; mm/hugetlb.c"
    ),
    "FOLL_FORCE writes to hugetlb": Fact(
        "6.18", "7.3", "check_vma_flags() of 6.1 and 6.12 refuses it; 6.18: measured; mm/gup.c"
    ),
    "it is even while a child still maps it": Fact(
        "6.18", "6.18", "measured with HugePages_Rsvd on 6.18.44; 6.12.117 and 7.3 ask for !folio_mapped()"
    ),
    "mseal": Fact("6.12", "7.3", "mseal(2) since 6.10; mm/mseal.c"),
    "guard regions": Fact("6.18", "7.3", "MADV_GUARD_INSTALL since 6.13; mm/madvise.c"),
    "mprotect makes clean exclusive pages writable": Fact("6.12", "7.3", "can_change_pte_writable() since 6.2"),
    "mremap moves several VMAs": Fact("6.18", "7.3", "remap_move() since 6.17; mm/mremap.c"),
    "mremap moves tables that begin before the range": Fact("6.12", "7.3", "try_realign_addr() since 6.7; mm/mremap.c"),
    "faulted range merges with unfaulted VMA": Fact("6.18", "7.3", "is_mergeable_anon_vma() since 6.16; mm/vma.c"),
    "faults in code read ahead only": Fact("6.18", "7.3", "do_sync_mmap_readahead() since 6.16; mm/filemap.c"),
    "MADV_DOFORK refuses every special VMA": Fact("7.3", "7.3", "VM_IO alone before; kernel-facts H.2"),
    "fault-around at the end of a file installs no table": Fact(
        "6.18", "7.3", "filemap_map_pages() since 74207de2ba10: filemap_map_pmd() not at file_end; 6.18: measured"
    ),
    "UFFDIO_COPY replaces any marker": Fact(
        "6.1", "6.18", "pte_none_mostly(): any marker; 7.3: pte_is_uffd_marker(); mm/userfaultfd.c; 6.18: measured"
    ),
    "mmap counts memory before it unmaps": Fact(
        "6.12", "7.3", "vms_abort_munmap_vmas(): reattach_vmas(), mm/vma.h; 6.1 unmaps first: mmap_region(), mm/mmap.c"
    ),
    "a fork that has failed is no event": Fact("6.12", "7.3", "dup_userfaultfd_fail(); kernel/fork.c, mm/mmap.c"),
    "UFFDIO_POISON": Fact("6.12", "7.3", "since 6.6; mm/userfaultfd.c: mfill_atomic_pte_poison"),
    "UFFD_FEATURE_WP_ASYNC": Fact("6.12", "7.3", "since 6.7; mm/memory.c: do_wp_page, userfaultfd_wp_async()"),
    "UFFDIO_MOVE": Fact("6.12", "7.3", "since 6.8; mm/userfaultfd.c: move_pages"),
    "empty private entries can be write-protected": Fact(
        "6.12", "7.3", "UFFD_FEATURE_WP_UNPOPULATED since 6.4; mm/mprotect.c"
    ),
    "UFFDIO_WRITEPROTECT goes over several VMAs": Fact("6.12", "7.3", "mwriteprotect_range() since 6.3"),
    "UFFDIO_COPY prepares the anon_vma first": Fact(
        "6.12", "7.3", "find_vma_and_prepare_anon(), per-VMA locks since 6.9; mm/userfaultfd.c"
    ),
    "lifting uffd-wp makes exclusive entries writable": Fact(
        "6.12", "7.3", "uffd_wp_range(): MM_CP_TRY_CHANGE_WRITABLE since 6.2; mm/userfaultfd.c"
    ),
    "UFFDIO_CONTINUE beyond the end of a file is EINVAL": Fact(
        "6.1", "6.18", "shmem_get_folio(), mm/shmem.c; EFAULT in 7.3; 6.18: measured"
    ),
    "only its own userfaultfd unregisters a range": Fact("6.18", "7.3", "userfaultfd_unregister() since 6.17"),
    "special VMAs have no userfaultfd": Fact("6.12", "7.3", "vma_can_userfault(): VM_SPECIAL; none in 6.1"),
    "ksmd skips pages that never merge": Fact("6.12", "7.3", "smart_scan, since 6.7; mm/ksm.c"),
    "ksmd wants the same content twice before all else": Fact(
        "6.12", "7.3", "cmp_and_merge_page(): 6.1 asks the stable tree first; mm/ksm.c"
    ),
    "ksmd forgets an address that leaves the stable tree": Fact(
        "7.3", "7.3", "linear_page_index overlays oldchecksum and age; mm/ksm.c: struct ksm_rmap_item"
    ),
    "KSM marks its zero pages": Fact("6.12", "7.3", "is_ksm_zero_pte(), since 6.6; include/linux/ksm.h"),
    "KSM breaks by unsharing": Fact(
        "6.12", "7.3", "break_ksm(): FAULT_FLAG_UNSHARE, 6.1 has FAULT_FLAG_WRITE; mm/ksm.c"
    ),
    "vvar is PFN-mapped": Fact("6.1", "6.18", "refcounted MIXEDMAP in 7.3; kernel-facts N.2"),
}


class KernelQuestions(msgspec.Struct, frozen=True):
    """What was asked of a machine's kernel. Kernels that give the same answers do the same."""

    facts: set[str]
    drivers: set[tuple[str, str]]
    """Texts of driver files, each with the mends that are undone: what they mean depends on the kernel."""


_NOTED: Final[ContextVar[KernelQuestions | None]] = ContextVar("what is asked of kernels", default=None)


@contextmanager
def kernel_questions() -> Iterator[KernelQuestions]:
    """Note every fact and driver that the code inside the `with` asks a kernel for."""
    noted = KernelQuestions(set(), set())
    before = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(before)
        if (around := _NOTED.get()) is not None:
            around.facts.update(noted.facts)
            around.drivers.update(noted.drivers)


def note_driver(text: str, undone: str) -> None:
    """A driver is about to be read as it is on one kernel."""
    noted = _NOTED.get()
    if noted is not None:
        noted.drivers.add((text, undone))


_KERNELS_OF: Final = {
    name: KERNELS[KERNELS.index(fact.since) : KERNELS.index(fact.until) + 1] for name, fact in FACTS.items()
}
"""Fact → the kernels on which it holds."""


def fact(mem: Memory, name: str) -> bool:
    """Whether the named fact holds on this machine's kernel. KeyError for a name that is not in FACTS."""
    noted = _NOTED.get()
    if noted is not None:
        noted.facts.add(name)
    return holds_on(setting(mem, "kernel"), name)


def holds_on(kernel: str, name: str) -> bool:
    """Whether the named fact holds on a kernel."""
    return kernel in _KERNELS_OF[name]
