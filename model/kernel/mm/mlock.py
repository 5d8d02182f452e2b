"""mlock(2) and munlock(2): pages that reclaim must not touch."""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import populated, pte_lock, table_end, vm_normal_page
from model.kernel.mm.huge_page import huge_pmd, vm_normal_page_pmd
from model.kernel.mm.page import mlock_folio, munlock_folio
from model.kernel.mm.vma import rmap_write_lock, vma_lookup
from model.kernel.mm.vma_merge import vma_modify_flags
from model.memory.errno import EAGAIN, EFAULT, EINVAL, ENOMEM
from model.memory.flags import VM_HUGETLB, VM_LOCKED, VM_LOCKED_MASK, VM_SPECIAL
from model.memory.folio import page_folio
from model.memory.records import Vma
from model.memory.state import Transaction


def vma_supports_mlock(vma: Vma) -> bool:
    """Special mappings and huge pages are never reclaimed: locking them succeeds and does nothing (mm/internal.h)."""
    return not vma.flags & (VM_SPECIAL | VM_HUGETLB) and vma.ops != "dax"


class do_mlock(Procedure):
    """mlock(2): mark the VMAs, then bring every page of them in."""

    source: ClassVar[str] = "mm/mlock.c: do_mlock"
    mm: str
    start: int
    pages: int
    onfault: bool = False
    """MLOCK_ONFAULT: lock pages when they are touched, bring none in."""

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs will be split and merged."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def mark(self, tx: Transaction) -> Outcome:
        """Set VM_LOCKED in every VMA of the range."""
        flags = VM_LOCKED_MASK if self.onfault else VM_LOCKED
        return call(apply_vma_lock_flags(mm=self.mm, start=self.start, end=self.start + self.pages, lock_flags=flags))

    @step
    def populate(self, tx: Transaction) -> Outcome:
        """Then fault every page in. An error there leaves VM_LOCKED set: the marks are not taken back."""
        up_write(tx, "mmap_lock", self.mm)
        if self.ret < 0 or not self.pages:
            return done(self.ret)

        from model.kernel.mm.populate import mm_populate

        return call(mm_populate(mm=self.mm, start=self.start, pages=self.pages, ignore_errors=False))

    @step
    def posix_error(self, tx: Transaction) -> Outcome:
        """POSIX wants ENOMEM for pages that cannot be had (not EFAULT), and EAGAIN for lack of memory."""
        return done({-EFAULT: -ENOMEM, -ENOMEM: -EAGAIN}.get(self.ret, min(self.ret, 0)))


class do_munlock(Procedure):
    """munlock(2): take the marks off again."""

    source: ClassVar[str] = "mm/mlock.c: munlock"
    mm: str
    start: int
    pages: int

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs will be split and merged."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def unmark(self, tx: Transaction) -> Outcome:
        """Clear VM_LOCKED in every VMA of the range, and make its pages evictable."""
        return call(apply_vma_lock_flags(mm=self.mm, start=self.start, end=self.start + self.pages, lock_flags=0))

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Drop mmap_lock."""
        up_write(tx, "mmap_lock", self.mm)
        return done(self.ret)


class apply_vma_lock_flags(Procedure):
    """Set or clear the lock flags in every VMA of a range; stops at the first hole with -ENOMEM."""

    source: ClassVar[str] = "mm/mlock.c: apply_vma_lock_flags, mlock_fixup, mlock_vma_pages_range"
    mm: str
    start: int
    """The part before it is done."""
    end: int
    lock_flags: int
    """VM_LOCKED and VM_LOCKONFAULT as they are to be."""
    walk: int = 0
    """Of the VMA whose flags were changed last, the pages [walk, walk_end) have still to be locked or unlocked."""
    walk_end: int = 0

    @step
    def mlock_fixup(self, tx: Transaction) -> Outcome:
        """Change the flags of the next VMA's part of the range; this may split or merge it."""
        if self.end == self.start:
            return done()
        if self.end < self.start:
            return fail(EINVAL)
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None:
            return fail(ENOMEM)
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        self.walk, self.walk_end = self.start, min(vma.end, self.end)
        from model.kernel.mm.hugetlb_share import split_waits

        if (wait := split_waits(tx, self.mm, vma, self.walk, self.walk_end)) is not None:
            return wait
        flags = vma.flags & ~VM_LOCKED_MASK | self.lock_flags
        if flags == vma.flags or vma.ops == "secretmem" or not vma_supports_mlock(vma):
            self.start = self.walk_end
            return goto(apply_vma_lock_flags.mlock_fixup)
        changed = vma_modify_flags(tx, self.mm, vma, self.walk, self.walk_end, flags)
        if isinstance(changed, int):
            return done(changed)
        # Where it was merged with the VMA behind, that one has these flags already.
        self.start = min(changed.end, self.end)
        # Its pages were locked before and stay so: locking them twice would count them twice.
        return goto(apply_vma_lock_flags.mlock_fixup) if vma.flags & flags & VM_LOCKED else None

    @step
    def mlock_pages(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: count the locked mapping of each page that is there, or discount it.

        A large folio is locked only where all of it is mapped: else reclaim splits it, and looks at each page.
        """
        from model.kernel.mm.large_batch import large_batch, next_entry

        vpn = next_entry(tx, self.mm, self.walk, self.walk_end)
        if vpn is None:
            return goto(apply_vma_lock_flags.mlock_fixup)
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, vpn)
        assert vma is not None
        self.walk = table_end(vpn, self.walk_end)
        lock = bool(self.lock_flags & VM_LOCKED)
        change = mlock_folio if lock else munlock_folio
        if (pmd := huge_pmd(tx, self.mm, vpn)) is not None:
            head = vm_normal_page_pmd(tx, vma, pmd)
            if head is not None:
                change(tx, head)
            return goto(apply_vma_lock_flags.mlock_pages)
        behind = vpn
        for at in populated(tx, self.mm, vpn, self.walk):
            pte = tx.ptes[self.mm, at]
            page = vm_normal_page(tx, vma, pte) if pte.present and at >= behind else None
            if page is None:
                continue
            batch = large_batch(tx, vma, self.mm, at, self.walk)
            behind = at + (batch.pages if batch is not None else 1)
            if batch is None or batch.whole or not lock:
                change(tx, page_folio(tx, page))
        return goto(apply_vma_lock_flags.mlock_pages)
