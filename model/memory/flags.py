"""The kernel's flag words: their names, their bit values and how they are printed.

Plain integers, because a flag word is tested in every micro-step and an ``IntFlag`` costs a
microsecond a test. Values of ``VM_*`` and ``FOLL_*`` are those of Linux 6.1 (``include/linux/mm.h``),
PTE bits are x86-64 (``arch/x86/include/asm/pgtable_types.h``). The ``PG_*`` numbers are our own:
in the kernel they depend on the configuration.
"""

from typing import Final

# -- virtual memory areas ---------------------------------------------------------------------

VM_READ: Final = 0x1
VM_WRITE: Final = 0x2
VM_EXEC: Final = 0x4
VM_SHARED: Final = 0x8
VM_MAYREAD: Final = 0x10
VM_MAYWRITE: Final = 0x20
VM_MAYEXEC: Final = 0x40
VM_MAYSHARE: Final = 0x80
VM_GROWSDOWN: Final = 0x100
VM_UFFD_MISSING: Final = 0x200
VM_PFNMAP: Final = 0x400
VM_MAYBE_GUARD: Final = 0x800
VM_UFFD_WP: Final = 0x1000
VM_LOCKED: Final = 0x2000
VM_IO: Final = 0x4000
VM_SEQ_READ: Final = 0x8000
VM_RAND_READ: Final = 0x10000
VM_DONTCOPY: Final = 0x20000
VM_DONTEXPAND: Final = 0x40000
VM_LOCKONFAULT: Final = 0x80000
VM_LOCKED_MASK: Final = VM_LOCKED | VM_LOCKONFAULT
VM_ACCOUNT: Final = 0x100000
VM_NORESERVE: Final = 0x200000
VM_HUGETLB: Final = 0x400000
VM_SYNC: Final = 0x800000
VM_PAT: Final = 0x1000000
VM_WIPEONFORK: Final = 0x2000000
VM_DONTDUMP: Final = 0x4000000
VM_SOFTDIRTY: Final = 0x8000000
VM_MIXEDMAP: Final = 0x10000000
VM_HUGEPAGE: Final = 0x20000000
VM_NOHUGEPAGE: Final = 0x40000000
VM_MERGEABLE: Final = 0x80000000
VM_UFFD_MINOR: Final = 1 << 37
VM_SEALED: Final = 1 << 42

HPAGE_RESV_OWNER: Final = 1 << 0
HPAGE_RESV_UNMAPPED: Final = 1 << 1
"""Bits of `Vma.resv` (mm/hugetlb.c): it owns the reservation of a private mapping of huge pages; a page of it was taken
away so that the owner could have a copy."""

VM_ACCESS: Final = VM_READ | VM_WRITE | VM_EXEC
VM_UFFD: Final = VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR
"""__VM_UFFD_FLAGS: the modes in which a range is registered with userfaultfd."""
VM_SPECIAL: Final = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP

SMAPS_CODES: Final[tuple[tuple[int, str], ...]] = (
    (VM_READ, "rd"),
    (VM_WRITE, "wr"),
    (VM_EXEC, "ex"),
    (VM_SHARED, "sh"),
    (VM_MAYREAD, "mr"),
    (VM_MAYWRITE, "mw"),
    (VM_MAYEXEC, "me"),
    (VM_MAYSHARE, "ms"),
    (VM_GROWSDOWN, "gd"),
    (VM_UFFD_MISSING, "um"),
    (VM_PFNMAP, "pf"),
    (VM_MAYBE_GUARD, "gu"),
    (VM_UFFD_WP, "uw"),
    (VM_LOCKED, "lo"),
    (VM_IO, "io"),
    (VM_SEQ_READ, "sr"),
    (VM_RAND_READ, "rr"),
    (VM_DONTCOPY, "dc"),
    (VM_DONTEXPAND, "de"),
    (VM_LOCKONFAULT, "lf"),
    (VM_ACCOUNT, "ac"),
    (VM_NORESERVE, "nr"),
    (VM_HUGETLB, "ht"),
    (VM_SYNC, "sf"),
    (VM_PAT, "ar"),
    (VM_WIPEONFORK, "wf"),
    (VM_DONTDUMP, "dd"),
    (VM_SOFTDIRTY, "sd"),
    (VM_MIXEDMAP, "mm"),
    (VM_HUGEPAGE, "hg"),
    (VM_NOHUGEPAGE, "nh"),
    (VM_MERGEABLE, "mg"),
    (VM_UFFD_MINOR, "ui"),
    (VM_SEALED, "sl"),
)
"""Each flag that ``VmFlags:`` in /proc/PID/smaps shows, in its order (``show_smap_vma_flags``).

6.1 has no ``lf`` yet."""


def smaps_codes(vm_flags: int) -> list[str]:
    """The two-letter codes of `vm_flags`, in the order of /proc/PID/smaps.

    >>> smaps_codes(VM_READ | VM_MAYREAD | VM_PFNMAP | VM_IO)
    ['rd', 'mr', 'pf', 'io']
    """
    return [code for flag, code in SMAPS_CODES if vm_flags & flag]


def is_cow_mapping(vm_flags: int) -> bool:
    """A private mapping that may become writable: its pages are copied on write (6.1 ``is_cow_mapping``)."""
    return vm_flags & (VM_SHARED | VM_MAYWRITE) == VM_MAYWRITE


# -- page-table entries, x86-64 ---------------------------------------------------------------

PAGE_PRESENT: Final = 1 << 0
PAGE_RW: Final = 1 << 1
PAGE_USER: Final = 1 << 2
PAGE_PWT: Final = 1 << 3
PAGE_PCD: Final = 1 << 4
PAGE_ACCESSED: Final = 1 << 5
PAGE_DIRTY: Final = 1 << 6
PAGE_PSE: Final = 1 << 7
PAGE_PROTNONE: Final = 1 << 8
"""Shares its bit with GLOBAL; means PROT_NONE while PRESENT is clear."""
PAGE_SPECIAL: Final = 1 << 9
PAGE_UFFD_WP: Final = 1 << 10
"""Write-protected by userfaultfd. Swap entries have it in another bit (_PAGE_SWP_UFFD_WP), here in the same."""
PAGE_SOFT_DIRTY: Final = 1 << 11
PAGE_SHARED_TABLE: Final = 1 << 52
"""Not a bit of the hardware: the entry stands in a table that hangs in several places, and counts at another of them
(model/kernel/arch/shared_table.py)."""
PAGE_POISONED: Final = 1 << 12
"""Only in a marker: PTE_MARKER_POISONED, bit 1 of what stands where a swap entry has its offset."""
PAGE_DEVMAP: Final = 1 << 58
PAGE_NX: Final = 1 << 63

PAGE_SWP_EXCLUSIVE: Final = 1 << 3
"""In a swap entry (not present): the page was PageAnonExclusive when it was unmapped."""

PAGE_BITS: Final[tuple[tuple[int, str], ...]] = (
    (PAGE_PRESENT, "present"),
    (PAGE_RW, "rw"),
    (PAGE_USER, "user"),
    (PAGE_PWT, "pwt"),
    (PAGE_PCD, "pcd"),
    (PAGE_ACCESSED, "accessed"),
    (PAGE_DIRTY, "dirty"),
    (PAGE_PSE, "pse"),
    (PAGE_PROTNONE, "protnone"),
    (PAGE_SPECIAL, "special"),
    (PAGE_UFFD_WP, "uffd-wp"),
    (PAGE_SOFT_DIRTY, "soft-dirty"),
    (PAGE_SHARED_TABLE, "counted-elsewhere"),
    (PAGE_POISONED, "poisoned"),
    (PAGE_DEVMAP, "devmap"),
    (PAGE_NX, "nx"),
)

# -- struct page ------------------------------------------------------------------------------

PG_DIRTY: Final = 1 << 0
PG_LRU: Final = 1 << 1
PG_WRITEBACK: Final = 1 << 2
PG_SWAPCACHE: Final = 1 << 3
PG_SWAPBACKED: Final = 1 << 4
PG_UNEVICTABLE: Final = 1 << 5
PG_MLOCKED: Final = 1 << 6
PG_PRIVATE: Final = 1 << 7
PG_ANON_EXCLUSIVE: Final = 1 << 8
PG_UPTODATE: Final = 1 << 9
PG_LOCKED: Final = 1 << 10
PG_RESERVED: Final = 1 << 11
PG_HEAD: Final = 1 << 12
PG_KSM: Final = 1 << 13
PG_NOREF: Final = 1 << 14
"""Not a kernel flag: the "no references, please" flag proposed in the thread (setting ``page-noref``)."""

PG_FROZEN: Final = 1 << 15
"""Stands for a page type (PGTY_slab and others, 6.14 and newer): the count is 0 for life, get_page() warns."""

PG_CMA: Final = 1 << 16
"""Stands for the migrate type of the page's block (MIGRATE_CMA): only pages that can be moved away may lie there."""

PG_HUGETLB: Final = 1 << 17
"""folio_test_hugetlb(), a page type in the kernel: the folio belongs to the pool of huge pages, and goes back there."""

PG_RESTORE_RESERVE: Final = 1 << 18
"""folio_test_hugetlb_restore_reserve(): when the folio goes back to the pool, one page more of it is reserved."""

PAGE_FLAGS: Final[tuple[tuple[int, str], ...]] = (
    (PG_DIRTY, "dirty"),
    (PG_LRU, "lru"),
    (PG_WRITEBACK, "writeback"),
    (PG_SWAPCACHE, "swapcache"),
    (PG_SWAPBACKED, "swapbacked"),
    (PG_UNEVICTABLE, "unevictable"),
    (PG_MLOCKED, "mlocked"),
    (PG_PRIVATE, "private"),
    (PG_ANON_EXCLUSIVE, "excl"),
    (PG_UPTODATE, "uptodate"),
    (PG_LOCKED, "locked"),
    (PG_RESERVED, "reserved"),
    (PG_HEAD, "head"),
    (PG_KSM, "ksm"),
    (PG_NOREF, "noref"),
    (PG_FROZEN, "frozen"),
    (PG_CMA, "cma"),
    (PG_HUGETLB, "hugetlb"),
    (PG_RESTORE_RESERVE, "restore-reserve"),
)

GUP_PIN_COUNTING_BIAS: Final = 1024
"""What one FOLL_PIN adds to the refcount of a small page."""

# -- get_user_pages ---------------------------------------------------------------------------

FOLL_WRITE: Final = 0x1
FOLL_TOUCH: Final = 0x2
FOLL_GET: Final = 0x4
FOLL_DUMP: Final = 0x8
FOLL_FORCE: Final = 0x10
FOLL_NOWAIT: Final = 0x20
FOLL_NOFAULT: Final = 0x80
FOLL_HWPOISON: Final = 0x100
FOLL_MIGRATION: Final = 0x400
FOLL_TRIED: Final = 0x800
FOLL_REMOTE: Final = 0x2000
FOLL_ANON: Final = 0x8000
FOLL_LONGTERM: Final = 0x10000
FOLL_SPLIT_PMD: Final = 0x20000
FOLL_PIN: Final = 0x40000
FOLL_FAST_ONLY: Final = 0x80000

FOLL_FLAGS: Final[tuple[tuple[int, str], ...]] = (
    (FOLL_WRITE, "FOLL_WRITE"),
    (FOLL_TOUCH, "FOLL_TOUCH"),
    (FOLL_GET, "FOLL_GET"),
    (FOLL_FORCE, "FOLL_FORCE"),
    (FOLL_NOFAULT, "FOLL_NOFAULT"),
    (FOLL_REMOTE, "FOLL_REMOTE"),
    (FOLL_LONGTERM, "FOLL_LONGTERM"),
    (FOLL_PIN, "FOLL_PIN"),
    (FOLL_FAST_ONLY, "FOLL_FAST_ONLY"),
)

# -- page faults ------------------------------------------------------------------------------

FAULT_FLAG_WRITE: Final = 1 << 0
FAULT_FLAG_ALLOW_RETRY: Final = 1 << 2
FAULT_FLAG_RETRY_NOWAIT: Final = 1 << 3
FAULT_FLAG_TRIED: Final = 1 << 5
FAULT_FLAG_USER: Final = 1 << 6
FAULT_FLAG_REMOTE: Final = 1 << 7
FAULT_FLAG_INSTRUCTION: Final = 1 << 8
FAULT_FLAG_UNSHARE: Final = 1 << 10

VM_FAULT_OOM: Final = 0x1
VM_FAULT_SIGBUS: Final = 0x2
VM_FAULT_WRITE: Final = 0x8
"""Copy-on-write was broken; get_user_pages() asked for it until 6.1 (mm/memory.c: do_wp_page)."""
VM_FAULT_SIGSEGV: Final = 0x40
VM_FAULT_HWPOISON: Final = 0x10
"""The memory there has failed, or userfaultfd says so: SIGBUS with BUS_MCEERR_AR."""
VM_FAULT_NOPAGE: Final = 0x100
VM_FAULT_LOCKED: Final = 0x200
VM_FAULT_RETRY: Final = 0x400
VM_FAULT_FALLBACK: Final = 0x800
VM_FAULT_COMPLETED: Final = 0x4000
VM_FAULT_ERROR: Final = VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_HWPOISON


def names(word: int, table: tuple[tuple[int, str], ...]) -> list[str]:
    """The names in `table` of the bits set in `word`, in the table's order.

    >>> names(FOLL_WRITE | FOLL_PIN, FOLL_FLAGS)
    ['FOLL_WRITE', 'FOLL_PIN']
    """
    return [name for bit, name in table if word & bit]
