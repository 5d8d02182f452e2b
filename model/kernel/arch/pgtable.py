"""Page tables: four levels of 512 entries, as on x86-64.

The lowest level is `ptes[mm, vpn]`. An upper entry is `tables[mm, level, index]` with level 1 = PMD (index
vpn >> 9), 2 = PUD, 3 = PGD; it points at a table page, which is a frame like any other, or, with PAGE_PSE, at 2 MiB.
"""

from collections.abc import Iterator
from typing import ClassVar, Final

from model.engine.config import fact, setting
from model.engine.procedure import Blocked, Outcome, Procedure, blocked, done, fail, goto, hand_over, step
from model.engine.splat import bad_page_map
from model.kernel.arch.boot import ZERO_PFN
from model.kernel.mm.page_alloc import alloc_page
from model.memory import leaf
from model.memory.errno import ENOMEM
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DEVMAP,
    PAGE_DIRTY,
    PAGE_NX,
    PAGE_PRESENT,
    PAGE_PROTNONE,
    PAGE_RW,
    PAGE_SPECIAL,
    PAGE_USER,
    VM_ACCESS,
    VM_EXEC,
    VM_MIXEDMAP,
    VM_PFNMAP,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.folio import folio_of
from model.memory.ordered import ceiling
from model.memory.records import Lock, Pte, Vma
from model.memory.state import Memory, Transaction, Wait

PTRS_PER_TABLE: Final = leaf.PTRS_PER_TABLE
TABLE_SHIFT: Final = leaf.TABLE_SHIFT
PMD: Final = leaf.PMD
PUD: Final = 2
PGD: Final = 3
LEVEL_NAMES: Final = ("PTE", "PMD", "PUD", "PGD")
TASK_SIZE: Final = 1 << 35
"""User space is 2^47 bytes: this many pages."""
PAGE_TABLE: Final = PAGE_PRESENT | PAGE_RW | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY
"""_PAGE_TABLE: the bits of an entry that points at a table page; permissions are restricted at the leaf only."""


def has_pmd_special(mem: Memory) -> bool:
    """Whether huge entries have a special bit: the setting, or what the kernel has."""
    chosen = setting(mem, "pmd-special")
    return fact(mem, "PMD special bit") if chosen == "kernel" else chosen == "on"


def index_of(vpn: int, level: int) -> int:
    """The index of `vpn` inside its table at `level` (0 = PTE … 3 = PGD).

    >>> [index_of(0x12345, level) for level in (3, 2, 1, 0)]
    [0, 0, 145, 325]
    """
    return (vpn >> TABLE_SHIFT * level) % PTRS_PER_TABLE


def vm_get_page_prot(vm_flags: int) -> int:
    """The PTE bits that a protection gives; private writable memory is read-only until copied (protection_map)."""
    if not vm_flags & VM_ACCESS:
        return PAGE_PROTNONE | PAGE_ACCESSED
    prot = PAGE_PRESENT | PAGE_USER | PAGE_ACCESSED
    if vm_flags & VM_WRITE and vm_flags & VM_SHARED:
        prot |= PAGE_RW
    return prot if vm_flags & VM_EXEC else prot | PAGE_NX


def zero_pte(vma: Vma) -> Pte:
    """The entry that a read fault on anonymous memory installs: the shared zero page, marked special."""
    return Pte(ZERO_PFN, vm_get_page_prot(vma.flags) | PAGE_SPECIAL)


def is_zero_pfn(pfn: int) -> bool:
    """The shared zero page."""
    return pfn == ZERO_PFN


def vm_normal_page(tx: Transaction, vma: Vma, pte: Pte) -> int | None:
    """The pfn whose struct page core mm may touch, or None for a special mapping (mm/memory.c, kernel-facts B.3).

    With a special bit in PTEs the entry decides. A special entry in an ordinary VMA is a "Bad page map".
    """
    if setting(tx, "pte-special") == "off":
        return _normal_page_by_vma(tx, vma, pte)
    if not pte.special:
        return pte.pfn
    if vma.flags & (VM_PFNMAP | VM_MIXEDMAP) or is_zero_pfn(pte.pfn) or pte.bits & PAGE_DEVMAP:
        return None
    bad_page_map(tx, vma, pte.pfn, f"pte:{pte.bits:x} ")
    return None


def _normal_page_by_vma(tx: Transaction, vma: Vma, pte: Pte) -> int | None:
    """Without a special bit the VMA's flags decide; only a copied page of a private PFN mapping is normal."""
    if vma.flags & VM_PFNMAP:
        return pte.pfn if folio_of(tx, pte.pfn).kind == "anon" else None
    if vma.flags & VM_MIXEDMAP:
        return None if pte.special else pte.pfn  # pfn_valid(): the mark tells which had no struct page
    return None if is_zero_pfn(pte.pfn) else pte.pfn


def populated(mem: Memory, mm: str, start: int, end: int) -> Iterator[int]:
    """Every vpn in [start, end) that has an entry, in order; the cost follows the entries, not the range."""
    while start < end:
        vpn = ceiling(mem.pte_index, mm, start)
        if vpn is None or vpn >= end:
            return
        yield vpn
        start = vpn + 1


def tables_in(mem: Memory, mm: str, level: int, first: int, last: int) -> Iterator[int]:
    """Every index in [first, last] that has an entry at an upper `level`, in order."""
    while first <= last:
        index = ceiling(mem.table_index, (mm, level), first)
        if index is None or index > last:
            return
        yield index
        first = index + 1


def first_huge_pmd(mem: Memory, mm: str, start: int, end: int) -> int | None:
    """The first page of [start, end) that a huge entry maps, or None."""
    if start >= end:
        return None
    indices = tables_in(mem, mm, PMD, start >> TABLE_SHIFT, (end - 1) >> TABLE_SHIFT)
    found = next((index for index in indices if mem.tables[mm, PMD, index].huge), None)
    return None if found is None else max(found << TABLE_SHIFT, start)


def table_end(vpn: int, end: int) -> int:
    """Where the page table that covers `vpn` ends, or `end` if that is nearer: pmd_addr_end()."""
    return min((vpn | (PTRS_PER_TABLE - 1)) + 1, end)


def tables_exist(mem: Memory, mm: str, vpn: int) -> bool:
    """Whether the walk for `vpn` reaches a table of PTEs."""
    return (mm, PMD, vpn >> TABLE_SHIFT) in mem.tables


def is_pmd_leaf(mem: Memory, mm: str, vpn: int) -> bool:
    """Whether a PMD entry maps `vpn` with 2 MiB around it."""
    pmd = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    return pmd is not None and pmd.huge


def pte_lock(tx: Transaction, mm: str, vpn: int) -> Blocked | None:
    """Spin on the lock of one page table, if somebody keeps it over several micro-steps.

    Taking and giving it back within one step leaves no trace; `hold_pte_lock` is for the few that must flush under it.
    """
    tx.waits.append(Wait(("ptl", f"{mm}:{vpn >> TABLE_SHIFT}"), write=True))
    lock = tx.locks.get(("ptl", f"{mm}:{vpn >> TABLE_SHIFT}"))
    if lock is None or lock.writer == tx.task_name:
        return None
    return blocked(f"page table lock of {mm}, held by {lock.writer}")


def hold_pte_lock(tx: Transaction, mm: str, vpn: int) -> None:
    """Keep the page table lock beyond this step."""
    tx.locks["ptl", f"{mm}:{vpn >> TABLE_SHIFT}"] = Lock(writer=tx.task_name)


def pte_unlock(tx: Transaction, mm: str, vpn: int) -> None:
    """Give the kept page table lock back."""
    del tx.locks["ptl", f"{mm}:{vpn >> TABLE_SHIFT}"]


class pte_alloc(Procedure):
    """Make sure that the tables on the way to one PTE exist."""

    source: ClassVar[str] = "mm/memory.c: __pud_alloc, __pmd_alloc, __pte_alloc"
    mm: str
    vpn: int
    lowest: int = PMD
    """The level whose entry must be there: PMD for a table of PTEs, PUD for room for a huge PMD entry."""

    @step
    def allocate_missing_table(self, tx: Transaction) -> Outcome:
        """Walk down from the top. Where an entry is empty, allocate a zeroed page as the next table and hang it in.

        A table page is an ordinary frame: it costs 4 KiB however few of its 512 entries are used.
        """
        for level in range(PGD, self.lowest - 1, -1):
            key = (self.mm, level, self.vpn >> TABLE_SHIFT * level)
            if key in tx.tables:
                continue
            pfn = alloc_page(tx, "pgtable", mapping=f"mm:{self.mm}", index=level - 1)
            if pfn is None:
                return fail(ENOMEM)
            tx.tables[key] = Pte(pfn, PAGE_TABLE)
            return done() if level == self.lowest else goto(pte_alloc.allocate_missing_table)
        return done()


class free_pgtables(Procedure):
    """Unhook the page tables that no VMA needs any more; the frames go with the next TLB flush."""

    source: ClassVar[str] = "mm/memory.c: free_pgtables, free_pgd_range"
    mm: str
    start: int
    end: int
    floor: int = 0
    """End of the VMA before: tables that it shares stay."""
    ceiling: int = TASK_SIZE
    """Start of the VMA after: likewise."""

    @step
    def unhook_tables(self, tx: Transaction) -> Outcome:
        """Clear the entries that point at tables which cover nothing but the unmapped range, from the lowest level up.

        The table pages are not freed yet: a walker without locks (GUP-fast, the hardware) may be inside one of them.
        They wait for the flush, like the unmapped pages.
        """
        tables: list[int] = []
        for level in (PMD, PUD, PGD):
            shift = TABLE_SHIFT * level
            low = -(-self.floor >> shift)
            high = (self.ceiling >> shift) - 1
            first, last = max(self.start >> shift, low), min((self.end - 1) >> shift, high)
            for index in list(tables_in(tx, self.mm, level, first, last)):
                entry = tx.tables[self.mm, level, index]
                if not entry.huge:
                    tables.append(entry.pfn)
                    del tx.tables[self.mm, level, index]
        return hand_over(len(tables), tuple(tables))
