"""What ordinary calls really break on the kernels that are simulated: the one list of what a sweep may find."""

from collections.abc import Collection
from typing import Final, NamedTuple

from model.compare.ordinary_calls import BACKINGS
from model.engine.config import KERNELS


class KnownBug(NamedTuple):
    """A fault of a kernel, not of the model."""

    kernels: frozenset[str]
    backings: frozenset[str]
    calls: frozenset[str]
    """One of the calls that meet is among these."""
    invariants: frozenset[str]
    what: str
    source: str
    """Who says so: kernel function and version, or a recording."""
    beside: frozenset[str] = frozenset()
    """And another one is among these; none given: any other."""


TAKES_PAGES: Final = frozenset({"truncate", "truncate, grow", "punch", "madvise remove"})
"""Calls that take pages out of a file."""

PRIVATE: Final = frozenset(backing.name for backing in BACKINGS if backing.private)
"""Backings that a fork copies on write."""

KNOWN_BUGS: Final = (
    KnownBug(
        frozenset(KERNELS),
        frozenset({"secretmem"}),
        frozenset({"mirror"}),
        frozenset({"secret-access"}),
        "a device mirror gets secret pages",
        "mm/hmm.c: hmm_vma_handle_pte does not ask whether the page is secret; recorded on three kernels",
    ),
    KnownBug(
        frozenset({"6.18", "7.3"}),
        frozenset({"DAX", "DAX, private"}),
        TAKES_PAGES,
        frozenset({"deadlock"}),
        "a page that is mapped again while truncation waits for a reference to it: it waits until that mapping goes",
        "fs/dax.c: dax_break_layout, dax_page_is_idle (7.3): idle is a count of 0, a mapping counts, "
        "and wait_page_idle() has given the locks back",
    ),
    KnownBug(
        frozenset({"6.1", "6.12"}),
        frozenset({"DAX", "DAX, private"}),
        TAKES_PAGES,
        frozenset({"foreign-access"}),
        "a thread goes on using what another one unmaps, and the block behind it is freed before the TLBs are flushed",
        "6.1, 6.12: mm/memory.c: free_pgtables unlinks the VMA before tlb_finish_mmu; include/asm-generic/tlb.h: "
        "tlb_end_vma flushes VM_PFNMAP and VM_MIXEDMAP alone, not fsdax, whose entries (devmap) hold no reference",
        frozenset({"munmap", "mmap fixed"}),
    ),
    KnownBug(
        frozenset(KERNELS),
        frozenset({"hugetlb", "hugetlb, forked", "hugetlb, memfd and private"}),
        frozenset({"munmap", "mmap fixed", "madvise dontneed"}),
        frozenset({"foreign-access"}),
        "a child reuses a huge page that its parent is just unmapping, while another thread of the parent reads it",
        "mm/hugetlb.c: hugetlb_wp (`we don't rely on the (safer) folio refcount here`) asks for the mapcount, and "
        "__unmap_hugepage_range drops it before the TLBs are flushed",
        frozenset({"child writes", "fork"}),
    ),
    KnownBug(
        frozenset({"6.18", "7.3"}),
        frozenset({"memfd, 2 MiB"}),
        TAKES_PAGES,
        frozenset({"splat"}),
        "a dirty page leaves its file while another task has taken its page table out, but has yet to drop its "
        "mapcount: Bad page cache",
        "since 6.14, CONFIG_PT_RECLAIM; mm/memory.c: zap_pte_range clears the PMD (zap_empty_pte_table in 7.3) before "
        "tlb_flush_rmaps, and zap_pmd_range, called by truncation, passes an empty PMD without its lock",
        frozenset({"madvise dontneed"}),
    ),
    KnownBug(
        frozenset({"6.1"}),
        frozenset({"hugetlb", "hugetlb, forked", "hugetlb, memfd and private"}),
        frozenset({"direct-write"}),
        frozenset({"foreign-access"}),
        "a disk still reads a huge page that a child takes for its own: its parent has moved away from it",
        "6.1: mm/hugetlb.c: hugetlb_wp asks for the mapcount alone; lib/iov_iter.c: iov_iter_get_pages2 takes a "
        "reference, no pin",
        frozenset({"child writes", "fork"}),
    ),
    KnownBug(
        frozenset({"6.1"}),
        PRIVATE,
        frozenset({"direct-read"}),
        frozenset({"foreign-access"}),
        "fork shares the page that a disk is filling, and whoever writes first moves away from it",
        "6.1: lib/iov_iter.c: iov_iter_get_pages2 takes references; mm/memory.c: copy_present_pte, mm/huge_memory.c: "
        "copy_huge_pmd and mm/hugetlb.c: copy_hugetlb_page_range ask for pins alone; "
        "open(2): O_DIRECT should never run concurrently with fork",
        frozenset({"fork"}),
    ),
    KnownBug(
        frozenset({"6.1"}),
        frozenset({"udmabuf"}),
        frozenset({"punch"}),
        frozenset({"splat"}),
        "a page that leaves its memfd while the udmabuf's mapping shows it: Bad page cache",
        "drivers/dma-buf/udmabuf.c: udmabuf_vm_fault (6.1) returns the memfd's page, in a VMA outside its i_mmap",
    ),
)


def known_bug(kernel: str, backing: str, calls: Collection[str], invariant: str) -> str:
    """The source that says that this kernel does this; empty where none does."""
    return next(
        (
            bug.source
            for bug in KNOWN_BUGS
            if kernel in bug.kernels
            and backing in bug.backings
            and invariant in bug.invariants
            and not bug.calls.isdisjoint(calls)
            and not (bug.beside and bug.beside.isdisjoint(calls))
        ),
        "",
    )
