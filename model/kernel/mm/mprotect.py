"""mprotect(2): new permissions for VMAs, and for the entries that exist already."""

from typing import ClassVar, Final, Literal

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.mends import mended
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import (
    PMD,
    PUD,
    TABLE_SHIFT,
    first_huge_pmd,
    is_pmd_leaf,
    populated,
    pte_alloc,
    pte_lock,
    table_end,
    tables_exist,
    vm_get_page_prot,
    vm_normal_page,
)
from model.kernel.arch.shared_table import first_shared, pmd_table
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.gup import get_user_pages
from model.kernel.mm.huge_page import HPAGE_PMD_NR, vm_normal_page_pmd, vma_is_special_huge
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import huge_pmd_unshare, may_split, shareable_range, split_waits
from model.kernel.mm.limits import enough_memory
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page_prot import vm_page_prot, vma_needs_dirty_tracking
from model.kernel.mm.populate import populate_foll
from model.kernel.mm.pte_marker import (
    UFFD_WP_MARKER,
    pte_mkuffd_wp,
    userfaultfd_pte_wp,
    userfaultfd_wp_use_markers,
)
from model.kernel.mm.vma import find_vma_intersection, rmap_write_lock, vma_is_anonymous, vma_is_sealed, vma_lookup
from model.kernel.mm.vma_merge import vma_modify_flags
from model.memory.errno import EACCES, ENOMEM, EPERM
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DEVMAP,
    PAGE_DIRTY,
    PAGE_PCD,
    PAGE_PSE,
    PAGE_PWT,
    PAGE_RW,
    PAGE_SOFT_DIRTY,
    PAGE_SPECIAL,
    PAGE_UFFD_WP,
    VM_ACCESS,
    VM_ACCOUNT,
    VM_HUGETLB,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.folio import folio_of, page_exclusive
from model.memory.ordered import ceiling
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed

PAGE_CHG_MASK: Final = (
    PAGE_PCD | PAGE_PWT | PAGE_SPECIAL | PAGE_ACCESSED | PAGE_DIRTY | PAGE_SOFT_DIRTY | PAGE_DEVMAP | PAGE_UFFD_WP
)
"""Bits of an entry that a change of protection keeps (arch/x86/include/asm/pgtable_types.h)."""

UffdWp = Literal["", "protect", "resolve"]
"""What a change of protection does with the marks of userfaultfd."""


class do_mprotect(Procedure):
    """mprotect(2): give every VMA of the range the permissions `prot`; stops at the first hole."""

    source: ClassVar[str] = "mm/mprotect.c: do_mprotect_pkey"
    mm: str
    start: int
    """The part before it is done."""
    pages: int
    prot: int
    """VM_READ | VM_WRITE | VM_EXEC."""
    end: int = 0
    flush_start: int = -1
    flush_end: int = 0
    error: int = 0
    asked: int = -1
    """The page before which may_split() has been called."""

    def owes_flush(self) -> FlushOwed | None:
        """What has been changed so far, with what change_protection() has just handed back."""
        start, end = self.flush_start, self.flush_end
        if self.ret > 0 and self.pc == self.positions["gather_flush"]:
            start = self.out[0] if start < 0 else min(start, self.out[0])
            end = max(end, self.out[1])
        return None if start < 0 else FlushOwed(self.mm, start, end)

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs will be split and merged."""
        self.end = self.start + self.pages
        if not self.pages:
            return done()
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """The range must begin in a VMA."""
        first = find_vma_intersection(tx, self.mm, self.start, self.end)
        if first is None or first.start > self.start:
            self.error = -ENOMEM
            return goto(do_mprotect.flush_tlb)
        return None

    @step
    def mprotect_fixup(self, tx: Transaction) -> Outcome:
        """Change the flags of the next VMA's part of the range; this may split the VMA or merge it with a neighbour.

        Permissions that the mapping may never get (no VM_MAYWRITE …) are refused with EACCES, sealed VMAs with EPERM.

        As it was before 081056dc00a2, a table of hugetlb that the cut goes through is given up first, without the locks
        that keep others from sharing it again.
        """
        if self.start >= self.end:
            return goto(do_mprotect.flush_tlb)
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None:
            self.error = -ENOMEM
            return goto(do_mprotect.flush_tlb)
        flags = vma.flags & ~VM_ACCESS | self.prot
        if flags & ~(flags >> 4) & VM_ACCESS:
            self.error = -EACCES
            return goto(do_mprotect.flush_tlb)
        if vma_is_sealed(vma):
            self.error = -EPERM
            return goto(do_mprotect.flush_tlb)
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        start, end = self.start, min(vma.end, self.end)
        if flags == vma.flags:
            self.start = end
            return goto(do_mprotect.mprotect_fixup)
        if self.asked != start and may_split(tx, self.mm, vma, start, end):
            self.asked = start
            return goto(do_mprotect.mprotect_fixup)
        if (wait := split_waits(tx, self.mm, vma, start, end)) is not None:
            return wait
        self.start = end
        pages = end - start
        if flags & VM_WRITE and must_account(vma) and not enough_memory(tx, pages):
            self.error = -ENOMEM
            return goto(do_mprotect.flush_tlb)
        changed = vma_modify_flags(tx, self.mm, vma, start, end, account(vma, flags))
        if isinstance(changed, int):
            self.error = changed
            return goto(do_mprotect.flush_tlb)
        self.start = min(changed.end, self.end)
        becomes_writable = vma.flags & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED and flags & VM_WRITE
        return call(change_protection(mm=self.mm, start=start, end=end, populate=bool(becomes_writable)))

    @step
    def gather_flush(self, tx: Transaction) -> Outcome:
        """Remember what must be flushed, and go on with the next VMA."""
        if self.ret:
            start, end = self.out
            self.flush_start = start if self.flush_start < 0 else min(self.flush_start, start)
            self.flush_end = max(self.flush_end, end)
        return goto(do_mprotect.mprotect_fixup)

    @step
    def flush_tlb(self, tx: Transaction) -> Outcome:
        """A CPU may still have cached translations with the old permissions: flush what was changed, once for all."""
        if self.flush_start < 0:
            return goto(do_mprotect.mmap_write_unlock)
        return call(flush_tlb_range(mm=self.mm, start=self.flush_start, end=self.flush_end))

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Drop mmap_lock. What was changed before an error stays changed."""
        up_write(tx, "mmap_lock", self.mm)
        return done(self.error)


def must_account(vma: Vma) -> bool:
    """Whether the VMA's pages begin to count as committed memory when it becomes writable."""
    return not vma.flags & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE)


def account(vma: Vma, flags: int) -> int:
    """The new flags of a VMA with VM_ACCOUNT as it must be (mm/mprotect.c: mprotect_fixup).

    A private mapping is accounted from the day it is writable. Only while it has no anon_vma, so no page of its own,
    is that taken back when it becomes read-only.
    """
    if flags & VM_WRITE:
        return flags | VM_ACCOUNT if must_account(vma) else flags
    if vma_is_anonymous(vma) and not vma.anon_vma:
        return flags & ~VM_ACCOUNT
    return flags


class change_protection(Procedure):
    """Give the entries of part of one VMA its new protection.

    Returns 1 and the first and last page that must be flushed, or 0, or an errno.
    """

    source: ClassVar[str] = "mm/mprotect.c: change_pte_range; mm/mprotect.c: can_change_pte_writable"
    mm: str
    start: int
    end: int
    populate: bool = False
    """A locked private VMA has become writable: make its copies now, so that no access faults later."""
    uffd_wp: UffdWp = ""
    """UFFDIO_WRITEPROTECT: MM_CP_UFFD_WP or MM_CP_UFFD_WP_RESOLVE. The protection of the VMA does not change."""
    at: int = -1
    flush_start: int = -1
    flush_end: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """What this call has changed: the caller flushes it."""
        return None if self.flush_start < 0 else FlushOwed(self.mm, self.flush_start, self.flush_end)

    @step
    def mmu_notifier_invalidate_range_start(self, tx: Transaction) -> Outcome:
        """MMU_NOTIFY_PROTECTION_VMA: whoever mirrors this range must forget the old permissions."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.start, self.end)
        return None

    @step
    def change_pte_range(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: rewrite the permission bits of every present entry, keep page and dirty bit.

        Private pages do not simply become writable: they may be shared with a fork. Only a page that is exclusive to
        this process is made writable at once; all others are left to a write fault. In a shared mapping that wants to
        know of writes, only a dirty entry is.

        As it was before 6c287605fd56, every private page is left to a write fault.
        """
        at = max(self.at, self.start)
        if self.at < 0 and (shared := first_shared(tx, self.mm, self.start, self.end)) is not None:
            return self.huge_pmd_unshare(tx, shared)
        if self.uffd_wp and at < self.end:
            vma = vma_lookup(tx, self.mm, at)
            if vma is not None and is_vm_hugetlb_page(vma):
                return self.hugetlb_change_protection(tx, at)
            if self.uffd_wp == "protect" and vma is not None and userfaultfd_wp_use_markers(tx, vma):
                return self.protect_with_markers(tx, vma, at)
        vpn = ceiling(tx.pte_index, self.mm, at)
        vpn = self.end if vpn is None or vpn >= self.end else vpn
        huge = first_huge_pmd(tx, self.mm, at, vpn)
        if huge is not None:
            return self.change_huge_pmd(tx, huge)
        if vpn == self.end:
            return None
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, vpn)
        assert vma is not None
        self.at = table_end(vpn, self.end)
        for page in list(populated(tx, self.mm, vpn, self.at)):
            self.change_pte(tx, vma, page)
        return goto(change_protection.change_pte_range)

    def huge_pmd_unshare(self, tx: Transaction, vpn: int) -> Outcome:
        """Hugetlb's shared tables are given up: the others keep their protection (hugetlb_change_protection).

        Before 8ce720d5bd91 only what the VMA covers of a whole table was flushed: all of it, as long as nobody shares
        a table that a VMA covers in part.
        """
        vma = vma_lookup(tx, self.mm, vpn)
        assert vma is not None
        seen = None if mended(tx, "unshare-gather") else shareable_range(vma, self.start, self.end)
        flush = huge_pmd_unshare(tx, self.mm, vma, vpn, seen)
        return flush if isinstance(flush, Blocked) else call(flush, change_protection.change_pte_range)

    def change_pte(self, tx: Transaction, vma: Vma, page: int) -> None:
        """Give one entry its protection; note that it must be flushed if the hardware could have it cached."""
        old = tx.ptes[self.mm, page]
        if not old.present:
            change_nonpresent_pte(tx, self.mm, page, self.uffd_wp)
            return
        new = changed_pte(tx, vma, old, self.uffd_wp)
        if new != old:
            tx.ptes[self.mm, page] = new
            self.flush_start = page if self.flush_start < 0 else self.flush_start
            self.flush_end = page + 1

    def protect_with_markers(self, tx: Transaction, vma: Vma, at: int) -> Outcome:
        """One table's part of a range in which empty entries are write-protected, too.

        That must not be forgotten while nothing is mapped: each gets a marker, and a table is made for it.
        """
        if self.ret < 0:
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return fail(ENOMEM)
        if not tables_exist(tx, self.mm, at):
            return call(pte_alloc(mm=self.mm, vpn=at), change_protection.change_pte_range)
        if (wait := pte_lock(tx, self.mm, at)) is not None:
            return wait
        if is_pmd_leaf(tx, self.mm, at):
            if vma.ops:
                split_huge_pmd(tx, self.mm, vma, at)
                return goto(change_protection.change_pte_range)
            return self.change_huge_pmd(tx, at)
        self.at = table_end(at, self.end)
        for vpn in range(at, self.at):
            if (self.mm, vpn) in tx.ptes:
                self.change_pte(tx, vma, vpn)
            else:
                tx.ptes[self.mm, vpn] = UFFD_WP_MARKER
        return goto(change_protection.change_pte_range)

    def hugetlb_change_protection(self, tx: Transaction, at: int) -> Outcome:
        """One huge page of hugetlb that userfaultfd protects or gives back; an empty entry gets a marker, or loses it.

        A poison marker stays: what is not there has no protection.
        """
        if self.ret < 0:
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return fail(ENOMEM)
        key = (self.mm, PMD, at >> TABLE_SHIFT)
        entry = tx.tables.get(key)
        if entry is not None and entry.huge:
            return self.change_huge_pmd(tx, at)
        if self.uffd_wp == "protect" and pmd_table(tx, self.mm, at) is None:
            return call(pte_alloc(mm=self.mm, vpn=at, lowest=PUD), change_protection.change_pte_range)
        if (wait := pte_lock(tx, self.mm, at)) is not None:
            return wait
        if self.uffd_wp == "protect" and entry is None:
            tx.tables[key] = UFFD_WP_MARKER
        elif self.uffd_wp == "resolve" and entry == UFFD_WP_MARKER:
            del tx.tables[key]
        self.at = table_end(at, self.end)
        return goto(change_protection.change_pte_range)

    def change_huge_pmd(self, tx: Transaction, vpn: int) -> Outcome:
        """A huge entry gets the protection as a whole; where a part is meant it is split first, but not hugetlb."""
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, vpn)
        assert vma is not None
        end = table_end(vpn, self.end)
        if end - vpn < HPAGE_PMD_NR and not vma_is_special_huge(vma) and not is_vm_hugetlb_page(vma):
            split_huge_pmd(tx, self.mm, vma, vpn)
            return goto(change_protection.change_pte_range)
        key = (self.mm, PMD, vpn >> TABLE_SHIFT)
        old = tx.tables[key]
        new = changed_pmd(tx, vma, old, self.uffd_wp)
        if new != old:
            tx.tables[key] = new
            self.flush_start = vpn if self.flush_start < 0 else self.flush_start
            self.flush_end = end
        self.at = end
        return goto(change_protection.change_pte_range)

    @step
    def populate_locked(self, tx: Transaction) -> Outcome:
        """mlock() promised that no access faults. So write faults are taken here, on behalf of the process."""
        vma = vma_lookup(tx, self.mm, self.start)
        if not self.populate or vma is None or vma.flags & VM_LOCKONFAULT:
            return goto(change_protection.finish)
        pages = self.end - self.start
        # mmap_lock is held for writing, and must stay so (populate_vma_page_range() with locked = NULL).
        gup = get_user_pages(mm=self.mm, vpn=self.start, pages=pages, foll=populate_foll(vma), unlockable=False)
        return call(gup)

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """Tell the caller what to flush; mirrors may look again."""
        mmu_notifier_invalidate_range_end(tx, self.mm)
        if self.flush_start < 0:
            return done()
        return done(1, (self.flush_start, self.flush_end))


def change_nonpresent_pte(tx: Transaction, mm: str, vpn: int, uffd_wp: UffdWp) -> None:
    """Mark a swap or migration entry, or take its mark away; a marker is only there for the mark."""
    old = tx.ptes[mm, vpn]
    if old.kind == "marker":
        if uffd_wp == "resolve" and old == UFFD_WP_MARKER:
            del tx.ptes[mm, vpn]
    elif (new := marked(old, uffd_wp)) != old:
        tx.ptes[mm, vpn] = new


def marked(pte: Pte, uffd_wp: UffdWp) -> Pte:
    """An entry as userfaultfd wants it: write-protected and marked, or without the mark (pte_mkuffd_wp)."""
    if uffd_wp == "protect":
        return pte_mkuffd_wp(pte) if pte.present else pte.with_bits(PAGE_UFFD_WP)
    return pte.without(PAGE_UFFD_WP) if uffd_wp else pte


def newprot(tx: Transaction, vma: Vma, uffd_wp: UffdWp) -> int:
    """vma->vm_page_prot. Up to 6.1, lifting write-protection gave shared memory its write bit back at once."""
    if uffd_wp == "resolve" and not fact(tx, "lifting uffd-wp makes exclusive entries writable"):
        return vm_get_page_prot(vma.flags)
    return vm_page_prot(vma)


def changed_pte(tx: Transaction, vma: Vma, old: Pte, uffd_wp: UffdWp = "") -> Pte:
    """A present entry with the protection of its VMA (pte_modify), writable where no fault is needed for that."""
    new = marked(Pte(old.pfn, old.bits & PAGE_CHG_MASK | newprot(tx, vma, uffd_wp)), uffd_wp)
    if uffd_wp and not fact(tx, "lifting uffd-wp makes exclusive entries writable"):
        return new
    if new.writable or not vma.flags & VM_WRITE:
        return new
    return new.with_bits(PAGE_RW) if can_change_pte_writable(tx, vma, new) else new


def changed_pmd(tx: Transaction, vma: Vma, old: Pte, uffd_wp: UffdWp = "") -> Pte:
    """A huge entry with the protection of its VMA, writable if its folio is this process's alone (change_huge_pmd)."""
    new = marked(Pte(old.pfn, old.bits & (PAGE_CHG_MASK | PAGE_PSE) | newprot(tx, vma, uffd_wp)), uffd_wp)
    if new.writable or not vma.flags & VM_WRITE or new.protnone or userfaultfd_pte_wp(vma, new):
        return new
    if vma.flags & VM_HUGETLB:
        return new
    if uffd_wp and not fact(tx, "lifting uffd-wp makes exclusive entries writable"):
        return new
    if vma.flags & VM_SHARED:
        return new.with_bits(PAGE_RW) if new.dirty else new
    head = vm_normal_page_pmd(tx, vma, new)
    alone = head is not None and tx.frames[head].kind == "anon" and tx.frames[head].exclusive
    return new.with_bits(PAGE_RW) if alone else new


def can_change_pte_writable(tx: Transaction, vma: Vma, pte: Pte) -> bool:
    """Whether a write through this entry needs nothing but the permission (mm/mprotect.c)."""
    if userfaultfd_pte_wp(vma, pte):
        return False
    if vma.flags & VM_SHARED:
        return vma_needs_dirty_tracking(vma) and pte.dirty
    if not pte.dirty and not fact(tx, "mprotect makes clean exclusive pages writable"):
        return False
    page = vm_normal_page(tx, vma, pte)
    exclusive = page is not None and folio_of(tx, page).kind == "anon" and page_exclusive(tx, page)
    return exclusive and mended(tx, "anon-exclusive")
