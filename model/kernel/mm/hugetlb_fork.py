"""fork of a private mapping of huge pages: shared until somebody writes, unless a page may be pinned."""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import PMD, PUD, TABLE_SHIFT, pte_alloc, pte_lock
from model.kernel.mm.hugetlb import copy_user_large_folio, make_huge_pte
from model.kernel.mm.hugetlb_pool import (
    alloc_hugetlb_folio,
    hugetlb_add_new_anon_rmap,
    hugetlb_add_rmap,
    restore_reserve_on_error,
)
from model.kernel.mm.hugetlb_zap import down_read_vma, first_huge_entry, up_read_vma
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_maybe_dma_pinned, get_page, put_page, set_anon_exclusive
from model.kernel.mm.pte_marker import POISON_MARKER, pte_mkuffd_wp
from model.memory.errno import ENOMEM, ENOSPC
from model.memory.flags import PAGE_RW, PAGE_UFFD_WP, VM_UFFD_WP, is_cow_mapping
from model.memory.records import Pte
from model.memory.state import Transaction


class copy_hugetlb_page_range(Procedure):
    """Copy the huge entries of one VMA to the child. Returns 0, -ENOMEM, or -ENOSPC without a page for a pinned one."""

    source: ClassVar[str] = "mm/hugetlb.c: copy_hugetlb_page_range"
    mm: str
    child: str
    start: int
    """Where the VMA starts, in both."""
    vpn: int = 0
    """How far we are."""
    old: Pte | None = None
    """The entry of a pinned page, as it was read."""

    @step
    def begin_write_protect(self, tx: Transaction) -> Outcome:
        """A private mapping: GUP-fast that pins meanwhile will see it and give its pins back. A shared one: lock it."""
        self.vpn = self.start
        vma = tx.vmas[self.mm, self.start]
        if is_cow_mapping(vma.flags):
            mmu_notifier_invalidate_range_start(tx, self.mm, vma.start, vma.end)
            self.bump_write_protect_seq(tx)
            return None
        return down_read_vma(tx, self.mm, vma)

    def bump_write_protect_seq(self, tx: Transaction) -> None:
        """raw_write_seqcount_begin / _end of mm->write_protect_seq."""
        tx.processes.update(self.mm, write_protect_seq=tx.processes[self.mm].write_protect_seq + 1)

    @step
    def huge_pte_alloc(self, tx: Transaction) -> Outcome:
        """Find the parent's next entry, and make sure that the child has a table for one like it."""
        huge = first_huge_entry(tx, self.mm, self.vpn, tx.vmas[self.mm, self.start].end)
        if huge is None:
            self.ret = 0
            return goto(copy_hugetlb_page_range.end_write_protect)
        self.vpn = huge
        return call(pte_alloc(mm=self.child, vpn=huge, lowest=PUD))

    @step
    def copy_entry(self, tx: Transaction) -> Outcome:
        """Under both locks: one reference and one mapping more, and both entries read-only where the VMA is private.

        If the page is this process's alone and may be pinned, it gets a copy for the child at once.

        As it was before 70e806e4e645, pins are not asked for.
        """
        if self.ret < 0:
            self.ret = -ENOMEM
            return goto(copy_hugetlb_page_range.end_write_protect)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        index = self.vpn >> TABLE_SHIFT
        entry = tx.tables.get((self.mm, PMD, index))
        if entry is None:
            return goto(copy_hugetlb_page_range.huge_pte_alloc)
        protects = bool(tx.vmas[self.child, self.start].flags & VM_UFFD_WP)
        if entry.kind == "marker":
            if protects or entry == POISON_MARKER:
                tx.tables[self.child, PMD, index] = entry
            self.vpn += HUGETLB_NR
            return goto(copy_hugetlb_page_range.huge_pte_alloc)
        head = entry.pfn
        get_page(tx, head)
        if tx.frames[head].kind == "anon" and tx.frames[head].exclusive:
            if self.folio_needs_cow_for_dma(tx, head):
                self.old, self.holds = entry, (head,)
                return None
            set_anon_exclusive(tx, head, exclusive=False)
        hugetlb_add_rmap(tx, head)
        if is_cow_mapping(tx.vmas[self.mm, self.start].flags):
            entry = tx.tables[self.mm, PMD, index] = entry.without(PAGE_RW)
        tx.tables[self.child, PMD, index] = entry if protects else entry.without(PAGE_UFFD_WP)
        self.vpn += HUGETLB_NR
        return goto(copy_hugetlb_page_range.huge_pte_alloc)

    def folio_needs_cow_for_dma(self, tx: Transaction, head: int) -> bool:
        """folio_maybe_dma_pinned(), if this mm has ever pinned anything."""
        pinned = tx.processes[self.mm].has_pinned and folio_maybe_dma_pinned(tx, head)
        return pinned and mended(tx, "fork-copies-pinned")

    @step
    def copy_user_large_folio(self, tx: Transaction) -> Outcome:
        """Without the locks: take a page of the pool, one that is nobody's, for the child has reserved nothing. Copy.

        If there is none fork fails; it says ENOMEM, whatever was missing (dup_mm).
        """
        (old,) = self.holds
        vma = tx.vmas[self.child, self.start]
        new = alloc_hugetlb_folio(tx, self.child, vma, self.vpn, "anon")
        if new is None:
            self.holds = ()
            put_page(tx, old)
            self.ret = -ENOSPC
            return goto(copy_hugetlb_page_range.end_write_protect)
        copy_user_large_folio(tx, new, old)
        self.holds = (new,)
        put_page(tx, old)
        return None

    @step
    def hugetlb_install_folio(self, tx: Transaction) -> Outcome:
        """Under both locks, if the parent's entry has not changed: map the copy in the child, writable."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        (new,), self.holds = self.holds, ()
        vma = tx.vmas[self.child, self.start]
        if tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT)) != self.old:
            restore_reserve_on_error(tx, self.child, vma, self.vpn, new)
            put_page(tx, new)
            return goto(copy_hugetlb_page_range.huge_pte_alloc)
        hugetlb_add_new_anon_rmap(tx, new, vma, self.vpn)
        copy = make_huge_pte(vma, new, try_mkwrite=True)
        protected = vma.flags & VM_UFFD_WP and self.old is not None and self.old.bits & PAGE_UFFD_WP
        tx.tables[self.child, PMD, self.vpn >> TABLE_SHIFT] = pte_mkuffd_wp(copy) if protected else copy
        self.vpn += HUGETLB_NR
        return goto(copy_hugetlb_page_range.huge_pte_alloc)

    @step
    def end_write_protect(self, tx: Transaction) -> Outcome:
        """Whoever pins from now on sees read-only entries."""
        vma = tx.vmas[self.mm, self.start]
        if is_cow_mapping(vma.flags):
            self.bump_write_protect_seq(tx)
            mmu_notifier_invalidate_range_end(tx, self.mm)
        else:
            up_read_vma(tx, self.mm, vma)
        return done(min(self.ret, 0))
