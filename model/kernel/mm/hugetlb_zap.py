"""A huge page of the pool is unmapped: the locks that this takes, and what becomes of its reservation."""

from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Blocked
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, tables_in
from model.kernel.arch.shared_table import set_huge_pmd
from model.kernel.mm.hugetlb_pool import adjust_reservation, hugetlb_remove_rmap
from model.kernel.mm.page import set_page_flags
from model.memory.flags import HPAGE_RESV_OWNER, PG_DIRTY, VM_MAYSHARE
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

VMA_LOCK = "hugetlb_vma_lock"


def has_vma_lock(vma: Vma) -> bool:
    """Shared mappings have a lock each, private ones that of their reservation; the child of a fork has none."""
    return bool(vma.flags & VM_MAYSHARE or vma.resv & HPAGE_RESV_OWNER)


def down_read_vma(tx: Transaction, mm: str, vma: Vma) -> Blocked | None:
    """hugetlb_vma_lock_read(): a fault works on an entry of the VMA."""
    return down_read(tx, VMA_LOCK, f"{mm}:{vma.start}") if has_vma_lock(vma) else None


def up_read_vma(tx: Transaction, mm: str, vma: Vma) -> None:
    """hugetlb_vma_unlock_read()."""
    if has_vma_lock(vma):
        up_read(tx, VMA_LOCK, f"{mm}:{vma.start}")


def hugetlb_zap_begin(tx: Transaction, mm: str, vma: Vma) -> Blocked | None:
    """Wait for the lock of the VMA and that of its file's mappings, unless they are ours: no fault is half-way.

    They are taken and given back within the step, so they leave no trace.
    """
    wanted = ((VMA_LOCK, f"{mm}:{vma.start}", has_vma_lock(vma)), ("i_mmap_rwsem", vma.file, True))
    for kind, owner, exists in wanted:
        if exists and not held_by_us(tx, kind, owner):
            if (wait := down_write(tx, kind, owner)) is not None:
                return wait
            up_write(tx, kind, owner)
    return None


def held_by_us(mem: Transaction, kind: str, owner: str) -> bool:
    """Whether this task holds a lock for writing."""
    lock = mem.locks.get((kind, owner))
    return lock is not None and lock.writer == mem.task_name


def zap_hugetlb_entry(tx: Transaction, mm: str, vma: Vma, index: int) -> int:
    """Clear an entry; returns the head whose reference the caller puts after the flush (__unmap_hugepage_range).

    A private page that nobody else maps is reserved for its owner again: its address will not find the pool empty.
    """
    pmd = tx.tables[mm, PMD, index]
    set_huge_pmd(tx, mm, index << TABLE_SHIFT, None)
    if pmd.dirty:
        set_page_flags(tx, pmd.pfn, PG_DIRTY)
    hugetlb_remove_rmap(tx, pmd.pfn)
    adjust_reservation(tx, mm, vma, index << TABLE_SHIFT, pmd.pfn)
    return pmd.pfn


def first_huge_entry(mem: Memory, mm: str, start: int, end: int) -> int | None:
    """The first page of [start, end), all hugetlb's, with an entry, be it a marker; None: there is none."""
    index = next(tables_in(mem, mm, PMD, start >> TABLE_SHIFT, (end - 1) >> TABLE_SHIFT), None) if start < end else None
    return None if index is None else index << TABLE_SHIFT


def mapped_huge_page(mem: Memory, mm: str, vpn: int) -> int | None:
    """The head of the huge page that stands at an address, or None (hugetlb_walk)."""
    entry = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    return entry.pfn if entry is not None and entry.present else None
