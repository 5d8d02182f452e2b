"""The mends of real bugs that this machine can undo: `set as-it-was NAME`.

Each stands here once, with the commit that made it. The micro-step that the commit changed asks `mended()` by name, as
it asks `fact()` what its kernel does; its docstring says what was missing.
"""

from typing import Final

import msgspec

from model.memory.state import Memory, state_of

AS_IT_WAS: Final = "as-it-was"
"""The setting that holds the names of the mends that are undone."""
NONE: Final = "none"


class Mend(msgspec.Struct, frozen=True):
    """A fix, as its commit tells it."""

    commit: str
    title: str
    versions: str
    """The first mainline kernel that has it."""
    missing: str
    """What the machine does without it, in a sentence."""
    cve: str = ""
    earlier: tuple[str, ...] = ()
    """Commits that had mended the bug in another way, whose place it took: this kernel has nothing of them to undo."""


MENDS: Final[dict[str, Mend]] = {
    "foll-cow": Mend(
        "19be0eaffa3a",
        "mm: remove gup_flags FOLL_WRITE games from __get_user_pages()",
        "4.9",
        "GUP forgets FOLL_WRITE once a fault has broken copy-on-write, and takes whatever page it finds next.",
        "CVE-2016-5195",
    ),
    "foll-cow-exclusive": Mend(
        "5535be309971",
        "mm/gup: fix FOLL_FORCE COW security issue and remove FOLL_COW",
        "6.0",
        "GUP takes a dirty entry for the private copy that a fault has made, whoever made it dirty.",
        "CVE-2022-2590",
    ),
    "touch-pmd": Mend(
        "a8f97366452e",
        "mm, thp: Do not make page table dirty unconditionally in touch_p[mu]d()",
        "4.15",
        "GUP makes a huge entry dirty that it only reads through.",
        "CVE-2017-1000405",
    ),
    "mremap-flush": Mend(
        "eb66ae030829",
        "mremap: properly flush TLB before releasing the page",
        "4.19",
        "mremap() drops the page table locks first and flushes the old translations when all entries are moved.",
        "CVE-2018-18281",
    ),
    "lazyfree-refs": Mend(
        "6c8e2a256915",
        "mm: fix race between MADV_FREE reclaim and blkdev direct IO read",
        "5.18",
        "Reclaim throws a page of MADV_FREE out of the page table if it is clean, whoever holds a reference.",
    ),
    "wp-page-count": Mend(
        "09854ba94c6a",
        "mm: do_wp_page() simplification",
        "5.9",
        "A write fault reuses a page that nobody else maps, whoever holds references on it.",
        "CVE-2020-29374",
        # 17839856fd58 (5.8) let GUP break copy-on-write before it took a page; a308c71bf1e6 (5.9) took that out again,
        # because the count of references made it superfluous: no kernel has both, so there is one switch.
        ("17839856fd58",),
    ),
    "anon-exclusive": Mend(
        "6c287605fd56",
        "mm: remember exclusively mapped anonymous pages with PG_anon_exclusive",
        "5.19",
        "A write fault copies a page that the process alone has, if it has pinned it.",
    ),
    "read-only-pin-unshares": Mend(
        "a7f226604170",
        "mm/gup: trigger FAULT_FLAG_UNSHARE when R/O-pinning a possibly shared anonymous page",
        "5.19",
        "A pin that only reads takes a page that is shared with a child, and the next write leaves it behind.",
    ),
    "write-protect-seq": Mend(
        "57efa1fe5957",
        "mm/gup: prevent gup_fast from racing with COW during fork",
        "5.11",
        "GUP-fast does not see that a fork began meanwhile, and fork does not see the pin.",
    ),
    "fork-copies-pinned": Mend(
        "70e806e4e645",
        "mm: Do early cow for pinned pages during fork() for ptes",
        "5.9",
        "fork shares pinned pages like all others.",
    ),
    "raw-frames-flush": Mend(
        "b67fbebd4cf9",
        "mmu_gather: Force tlb-flush VM_PFNMAP vmas",
        "5.19",
        "munmap takes a mapping of raw frames out of the reverse map before it flushes the TLBs.",
        "CVE-2022-39188",
    ),
    "nested-flush": Mend(
        "99baac21e458",
        "mm: fix MADV_[FREE|DONTNEED] TLB flush miss problem",
        "4.13",
        "Whoever finds an entry cleared already does not flush, although the other has not flushed yet.",
    ),
    "secretmem-off-lru": Mend(
        "65291dcfcf89",
        "mm/secretmem: fix GUP-fast succeeding on secretmem folios",
        "6.9",
        "GUP-fast does not recognize a secret page that is not on an LRU list yet.",
        "CVE-2024-35872",
    ),
    "ext4-mmap-lock": Mend(
        "ea3d7209ca01",
        "ext4: fix races between page faults and hole punching",
        "4.5",
        "Faults read pages back between the truncation of the page cache and the freeing of the blocks.",
        "CVE-2015-8839",
    ),
    "ext4-break-layouts": Mend(
        "430657b6be89",
        "ext4: handle layout changes to pinned DAX mappings",
        "4.19",
        "ext4 gives the blocks of a DAX file to others while somebody holds references on them.",
    ),
    "kvm-try-get": Mend(
        "f8be156be163",
        "KVM: do not allow mapping valid but non-reference-counted pages",
        "5.13",
        "KVM takes a reference on whatever frame it finds, also where the count is 0.",
        "CVE-2021-22543",
    ),
    "kvm-pte-writable": Mend(
        "bd2fae8da794",
        "KVM: do not assume PTE is writable after follow_pfn",
        "5.12",
        "KVM lets a guest write to what the process itself may only read.",
    ),
    "kvm-cache-retry": Mend(
        "58cd407ca4c6",
        "KVM: Fix multiple races in gfn=>pfn cache refresh",
        "5.19",
        "KVM does not notice an invalidation that ran while it looked a page up.",
    ),
    "longterm-slow-files": Mend(
        "8ac268436e6d",
        "mm/gup: disallow FOLL_LONGTERM GUP-nonfast writing to file-backed mappings",
        "6.5",
        "A long-term pin may write to a file on disk, by the slow path.",
    ),
    "longterm-fast-files": Mend(
        "a6e79df92e4a",
        "mm/gup: disallow FOLL_LONGTERM GUP-fast writing to file-backed mappings",
        "6.5",
        "A long-term pin may write to a file on disk, by the fast path.",
    ),
    "page-ref-overflow": Mend(
        "8fde12ca79af",
        "mm: prevent get_user_pages() from overflowing page refcount",
        "5.1",
        "GUP takes references until the count runs over (set refcount-bits: with fewer bits it needs fewer).",
        "CVE-2019-11487",
    ),
    "ttm-no-huge": Mend(
        "0d979509539e",
        "drm/ttm: remove ttm_bo_vm_insert_huge()",
        "5.16",
        "TTM maps large buffers by 2 MiB entries that nothing tells from real huge pages.",
    ),
    "udmabuf-bounds": Mend(
        "05b252cccb2e",
        "udmabuf: add back sanity check",
        "5.19",
        "A fault behind the last page of a udmabuf takes what stands behind its array of pages.",
        "CVE-2023-2008",
    ),
    "kvm-gpte-user": Mend(
        "2a8859f373b0",
        "KVM: x86/mmu: do compare-and-exchange of gPTE via the user address",
        "5.18",
        "KVM computes the frame of a guest's page table from vm_pgoff, whatever driver has mapped it.",
        "CVE-2022-1158",
    ),
    "pipe-buffer-flags": Mend(
        "9d2231c5d74e",
        'lib/iov_iter: initialize "flags" in new pipe_buffer',
        "5.17",
        "splice() leaves the flags of a pipe's buffer as its last user left them.",
        "CVE-2022-0847",
    ),
    "i915-tlb-flush": Mend(
        "7938d61591d3",
        "drm/i915: Flush TLBs before releasing backing store",
        "5.17",
        "The pages of an object go back while the GPU's TLB still leads to them.",
        "CVE-2022-0330",
    ),
    "gup-fast-pmd": Mend(
        "70cbc3cc78a9",
        "mm: gup: fix the fast GUP race against THP collapse",
        "6.1",
        "GUP-fast looks at the PTE again but not at the PMD: it does not see that the table has been taken away.",
    ),
    "collapse-sync": Mend(
        "2ba99c5e0881",
        "mm/khugepaged: fix GUP-fast interaction by sending IPI",
        "6.1",
        "A collapse does not wait for walks without locks before it copies pages away, or frees a page table.",
    ),
    "mremap-rmap-lock": Mend(
        "97113eb39fa7",
        "mm/mremap: hold the rmap lock in write mode when moving page table entries.",
        "5.14",
        "mremap() moves a whole page table beside somebody who has found it by the reverse map.",
        "CVE-2022-41222",
    ),
    "unshare-flush": Mend(
        "a4a118f2eead",
        "hugetlbfs: flush TLBs correctly after huge_pmd_unshare",
        "5.16",
        "Who gives up a page table of hugetlb that others have as well does not flush what it led to.",
        "CVE-2021-4002",
    ),
    "unshare-sync": Mend(
        "1013af4f585f",
        "mm/hugetlb: fix huge_pmd_unshare() vs GUP-fast race",
        "6.16",
        "Who gives up such a table does not wait for walks without locks that are inside.",
        "CVE-2025-38085",
    ),
    "unshare-in-split": Mend(
        "081056dc00a2",
        "mm/hugetlb: unshare page tables during VMA split, not before",
        "6.16",
        "A VMA that is split gives its shared tables up first, and others may share them again before it is split.",
        "CVE-2025-38084",
    ),
    "unshare-gather": Mend(
        "8ce720d5bd91",
        "mm/hugetlb: fix excessive IPI broadcasts when unsharing PMD tables using mmu_gather",
        "6.19",
        "mprotect() flushes of a table that it gives up what its VMA covers, and every unshare interrupts all CPUs.",
    ),
    "io-uring-consecutive": Mend(
        "776617db78c6",
        "io_uring/rsrc: check for nonconsecutive pages",
        "6.4",
        "io_uring takes pages of one folio for pages side by side.",
        "CVE-2023-2598",
    ),
    "v4l2-pins-only": Mend(
        "6647e76ab623",
        "v4l2: don't fall back to follow_pfn() if pin_user_pages_fast() fails",
        "6.1",
        "A camera writes to bare frame numbers where no page could be pinned.",
    ),
}
"""By name: what the kernel has since."""

ALSO_CALLED: Final = {commit: name for name, mend in MENDS.items() for commit in (mend.commit, *mend.earlier)} | {
    mend.cve: name for name, mend in MENDS.items() if mend.cve
}
"""The mend by its commits and its CVE: `set as-it-was` takes these as well."""


def mended(mem: Memory, name: str) -> bool:
    """Whether a mend is in this machine's kernel, that is, not undone. KeyError for a name that is not in MENDS."""
    undone = state_of(mem).settings.get(AS_IT_WAS)
    assert name in MENDS, name
    return undone is None or name not in undone.split(",")


def all_mended(mem: Memory) -> bool:
    """Whether no mend is undone, as in every kernel of today."""
    return AS_IT_WAS not in state_of(mem).settings


def made_by(commit: str) -> str:
    """The mend that a commit made. KeyError: none.

    >>> made_by("19be0eaffa3a")
    'foll-cow'
    """
    for name, mend in MENDS.items():
        if mend.commit == commit:
            return name
    raise KeyError(commit)


def set_lines(value: str) -> tuple[str, ...]:
    """The lines of a script that undo these mends.

    >>> set_lines("foll-cow,mremap-flush")
    ('set as-it-was foll-cow', 'set as-it-was mremap-flush')
    """
    return tuple(f"set {AS_IT_WAS} {name}" for name in value.split(","))


def undone_too(undone: str, name: str) -> str:
    """The value of the setting with one more mend undone; `none` undoes nothing any more.

    >>> undone_too(undone_too("", "mremap-flush"), "foll-cow")
    'foll-cow,mremap-flush'
    >>> undone_too("foll-cow", "none")
    'none'
    """
    if name == NONE:
        return NONE
    return ",".join(sorted({*undone.split(","), name} - {"", NONE}))
