"""Populate: fault pages in before they are touched (MAP_POPULATE, mlock, MADV_POPULATE_*)."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.mm.gup import get_user_pages
from model.kernel.mm.vma import vmas_in
from model.memory.flags import (
    FOLL_FORCE,
    FOLL_HWPOISON,
    FOLL_TOUCH,
    FOLL_WRITE,
    VM_ACCESS,
    VM_IO,
    VM_LOCKONFAULT,
    VM_PFNMAP,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import Vma
from model.memory.state import Transaction


def populate_foll(vma: Vma) -> int:
    """The FOLL flags of populate_vma_page_range: write where a private page would be copied anyway."""
    foll = FOLL_TOUCH
    if vma.flags & (VM_WRITE | VM_SHARED) == VM_WRITE:
        foll |= FOLL_WRITE
    return foll | FOLL_FORCE if vma.flags & VM_ACCESS else foll


class mm_populate(Procedure):
    """Fault in every page of a range, VMA by VMA; PFN mappings are skipped. Returns 0 or an errno."""

    source: ClassVar[str] = "mm/gup.c: __mm_populate, populate_vma_page_range"
    mm: str
    start: int
    pages: int
    ignore_errors: bool = True
    end: int = -1
    stop: int = -1
    """End of the VMA's part that is being populated."""

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading."""
        self.end = self.start + self.pages
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def populate_vma(self, tx: Transaction) -> Outcome:
        """Take the next VMA of the range and run GUP over it, without asking for references."""
        for vma in vmas_in(tx, self.mm, self.start, self.end):
            self.start, self.stop = max(vma.start, self.start), min(vma.end, self.end)
            if vma.flags & (VM_IO | VM_PFNMAP | VM_LOCKONFAULT):
                self.start = self.stop
                continue
            pages = self.stop - self.start
            return call(get_user_pages(mm=self.mm, vpn=self.start, pages=pages, foll=populate_foll(vma)))
        self.ret = 0
        return goto(mm_populate.mmap_read_unlock)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Go on where GUP has stopped. Stop at an error, or skip the rest of the VMA if populating is only a favour.

        A page that cannot be had ends GUP with those before it; only the next call, which starts there, gets the error.
        """
        if self.ret < 0 and not self.ignore_errors:
            return None
        self.start = self.stop if self.ret <= 0 else self.start + self.ret
        return goto(mm_populate.populate_vma)

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock."""
        up_read(tx, "mmap_lock", self.mm)
        return done(self.ret)


class faultin_page_range(Procedure):
    """MADV_POPULATE_READ / _WRITE: fault in a range, or say why not. Returns 0 or an errno; takes mmap_lock itself."""

    source: ClassVar[str] = "mm/gup.c: faultin_page_range; mm/madvise.c: madvise_populate"
    mm: str
    start: int
    pages: int
    write: bool = False

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading."""
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def fault_in(self, tx: Transaction) -> Outcome:
        """Run GUP over the range without taking references; permissions are those of an ordinary access."""
        foll = FOLL_TOUCH | FOLL_HWPOISON | (FOLL_WRITE if self.write else 0)
        return call(get_user_pages(mm=self.mm, vpn=self.start, pages=self.pages, foll=foll, populate=True))

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. Pages before the first error stay faulted in; GUP is called again for what it has not reached."""
        up_read(tx, "mmap_lock", self.mm)
        if 0 < self.ret < self.pages:
            self.start, self.pages = self.start + self.ret, self.pages - self.ret
            return goto(faultin_page_range.mmap_read_lock)
        return done(min(self.ret, 0))
