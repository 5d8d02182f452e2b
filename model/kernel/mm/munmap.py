"""munmap(2): take VMAs out of the address space, then their pages out of the page tables."""

from typing import ClassVar

from model.engine.lock import down_write, downgrade_write, up_read, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.drivers.mapping_counts import count_close, mapping_lock
from model.kernel.mm.filemap import release_if_unused
from model.kernel.mm.hugetlb_pool import hugetlb_vm_op_close, is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import may_split, split_waits
from model.kernel.mm.limits import MAX_MAP_COUNT
from model.kernel.mm.unmap import unmap_region
from model.kernel.mm.vma import (
    detach_vma,
    free_vma,
    rmap_write_lock,
    vma_before,
    vma_from,
    vma_is_sealed,
    vmas_in,
)
from model.kernel.mm.vma_merge import split_vma
from model.memory.errno import EINVAL, ENOMEM, EPERM
from model.memory.flags import VM_GROWSDOWN
from model.memory.records import Vma
from model.memory.state import Transaction


class do_munmap(Procedure):
    """munmap(2): remove whatever is mapped in [start, start + pages)."""

    source: ClassVar[str] = "mm/vma.c: __vm_munmap"
    mm: str
    start: int
    pages: int

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: no fault and no other mapping call may look at the VMAs meanwhile."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def unmap(self, tx: Transaction) -> Outcome:
        """Do the work; the lock is given back on the way."""
        return call(do_vmi_munmap(mm=self.mm, start=self.start, pages=self.pages, unlock=True))

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Only if it was refused is the lock still ours."""
        if self.ret < 0:
            up_write(tx, "mmap_lock", self.mm)
        return done(self.ret)


class do_vmi_munmap(Procedure):
    """Unmap a range; the caller holds mmap_lock for writing.

    With `unlock` the lock is given back on success: for writing it is needed only until the VMAs are detached.
    """

    source: ClassVar[str] = "mm/vma.c: do_vmi_munmap, do_vmi_align_munmap"
    mm: str
    start: int
    pages: int
    unlock: bool = False
    vmas: tuple[Vma, ...] = ()
    downgraded: bool = False
    asked: bool = False
    """may_split() has been called."""
    abort: bool = False
    """mmap() asks for memory that there is not: everything stays but the cuts (vms_abort_munmap_vmas, since 6.12)."""

    @step
    def gather_vmas(self, tx: Transaction) -> Outcome:
        """Split the VMAs at both borders of the range, then detach all VMAs inside: no address finds them any more.

        Nothing mapped there at all is success. What a driver does not allow to be split, or what is sealed, stays.

        As it was before 081056dc00a2, a table of hugetlb that the cut goes through is given up first, without the locks
        that keep others from sharing it again.
        """
        end = self.start + self.pages
        if self.pages <= 0 or self.start < 0 or end > TASK_SIZE:
            return fail(EINVAL)
        inside = tuple(vmas_in(tx, self.mm, self.start, end))
        if not inside:
            self.mmap_unlock(tx)
            return done()
        first = inside[0]
        if not self.asked and may_split(tx, self.mm, first, self.start, end):
            self.asked = True
            return goto(do_vmi_munmap.gather_vmas)
        cut = [vma for vma in inside if vma.start < self.start or vma.end > end]
        if (wait := rmap_write_lock(tx, *cut)) is not None:
            return wait
        if (wait := split_waits(tx, self.mm, first, self.start, end)) is not None:
            return wait
        error = self.split_borders(tx, inside, end)
        if error or self.abort:
            return done(error)
        self.vmas = tuple(vmas_in(tx, self.mm, self.start, end)) if cut else inside
        for vma in self.vmas:
            detach_vma(tx, self.mm, vma)
        return None

    def split_borders(self, tx: Transaction, inside: tuple[Vma, ...], end: int) -> int:
        """Make the range begin and end at borders of the VMAs that overlap it; 0 or a negated errno."""
        first = inside[0]
        if first.start < self.start:
            if end < first.end and tx.processes[self.mm].map_count >= MAX_MAP_COUNT:
                return -ENOMEM
            if vma_is_sealed(first):
                return -EPERM
            halves = split_vma(tx, self.mm, first, self.start, unlimited=True)
            if isinstance(halves, int):
                return halves
        if any(vma_is_sealed(vma) for vma in inside):
            return -EPERM
        last = vma_before(tx, self.mm, end)
        if last is not None and end < last.end:
            halves = split_vma(tx, self.mm, last, end, unlimited=True)
            if isinstance(halves, int):
                return halves
        return 0

    @step
    def mmap_write_downgrade(self, tx: Transaction) -> Outcome:
        """Nobody can find the VMAs any more, so others may look at the rest of the address space while we unmap.

        Not if a stack lies behind the range: a fault just below it, which only reads VMAs, could make it grow into it.
        """
        if not self.unlock:
            return None
        above = vma_from(tx, self.mm, self.start + self.pages)
        if above is None or not above.flags & VM_GROWSDOWN:
            downgrade_write(tx, "mmap_lock", self.mm)
            self.downgraded = True
        return None

    @step
    def unmap_pages(self, tx: Transaction) -> Outcome:
        """Clear the entries, unlink the VMAs, unhook the page tables that became useless, flush, free."""
        end = self.start + self.pages
        below, above = vma_before(tx, self.mm, self.start), vma_from(tx, self.mm, end)
        return call(
            unmap_region(
                mm=self.mm,
                vmas=self.vmas,
                start=self.start,
                end=end,
                floor=below.end if below is not None else 0,
                ceiling=above.start if above is not None else TASK_SIZE,
            )
        )

    @step
    def remove_vmas(self, tx: Transaction) -> Outcome:
        """Free the VMAs themselves, and let go of their files: a closed one goes with its last VMA."""
        if (wait := mapping_lock(tx, *(vma.file for vma in self.vmas))) is not None:
            return wait
        free_vmas(tx, self.mm, self.vmas)
        self.mmap_unlock(tx)
        return done()

    def mmap_unlock(self, tx: Transaction) -> None:
        """Drop mmap_lock, if that was asked for."""
        if self.unlock:
            (up_read if self.downgraded else up_write)(tx, "mmap_lock", self.mm)


def free_vmas(tx: Transaction, mm: str, vmas: tuple[Vma, ...]) -> None:
    """Free unlinked VMAs. A closed file whose last mapping this was goes, with its pages (remove_vma: fput).

    In the kernel that is when the system call returns (task_work), which matters to mmap() alone: it holds the files.
    """
    for vma in vmas:
        if is_vm_hugetlb_page(vma):
            hugetlb_vm_op_close(tx, mm, vma)
        count_close(tx, vma)
        free_vma(tx, mm, vma)
    for file in dict.fromkeys(vma.file for vma in vmas if vma.file):
        release_if_unused(tx, file)
