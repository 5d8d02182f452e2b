"""UFFDIO_WRITEPROTECT: writes to a range are reported before they happen, until the protection is lifted."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.limits import MMAP_MIN_ADDR
from model.kernel.mm.mmu_gather import tlb_finish_mmu, tlb_gather_mmu
from model.kernel.mm.mprotect import UffdWp, change_protection
from model.kernel.mm.userfaultfd import changing_context, mmap_changing, mmget_not_zero, wake_userfault
from model.kernel.mm.vma import find_vma_intersection
from model.memory.errno import EAGAIN, EINVAL, ENOENT, ESRCH
from model.memory.flags import VM_UFFD_WP
from model.memory.state import Memory, Transaction
from model.memory.tasks import FlushOwed


def validate_range(start: int, pages: int) -> int:
    """An errno if a range is empty or not user space, or 0 (fs/userfaultfd.c)."""
    outside = start < MMAP_MIN_ADDR or start >= TASK_SIZE or pages > TASK_SIZE - start
    return EINVAL if outside or pages <= 0 else 0


class uffd_wp_range(Procedure):
    """Mark the entries of a part of one VMA as write-protected, or take the marks away; then flush. 0, or an errno.

    As long as this mm has a flush pending, a CPU may still write through what its TLB remembers of such an entry.
    """

    source: ClassVar[str] = "mm/userfaultfd.c: uffd_wp_range"
    mm: str
    start: int
    end: int
    uffd_wp: UffdWp
    error: int = 0

    def owes_flush(self) -> FlushOwed | None:
        """What change_protection() has just handed back."""
        owes = self.ret > 0 and self.pc == self.positions["tlb_finish_mmu"]
        return FlushOwed(self.mm, self.out[0], self.out[1]) if owes else None

    @step
    def tlb_gather_mmu(self, tx: Transaction) -> Outcome:
        """From now on this mm has a TLB flush pending. Change the entries."""
        tlb_gather_mmu(tx, self.mm)
        return call(change_protection(mm=self.mm, start=self.start, end=self.end, uffd_wp=self.uffd_wp))

    @step
    def tlb_finish_mmu(self, tx: Transaction) -> Outcome:
        """Flush what has been changed, if the hardware could have it cached."""
        self.error = min(self.ret, 0)
        start, end = self.out if self.ret > 0 else (-1, 0)
        return call(tlb_finish_mmu(mm=self.mm, start=start, end=end))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The entries of the range are as they should be."""
        return done(self.error)


class userfaultfd_writeprotect(Procedure):
    """UFFDIO_WRITEPROTECT: with `protect` from now on writes are faults for userfaultfd; without, no longer."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_writeprotect; mm/userfaultfd.c: mwriteprotect_range"
    caller: str
    """The process that calls: the descriptor may have been inherited from another one."""
    uffd: str
    start: int
    pages: int
    protect: bool = False
    mm: str = ""
    mm_users: ClassVar[tuple[str, ...]] = ("mm",)
    at: int = 0
    """The part before it is done."""
    error: int = -ENOENT

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading: faults go on beside us, but no VMA changes."""
        if isinstance(context := changing_context(tx, self.uffd, self.caller), int):
            return fail(context)
        if error := validate_range(self.start, self.pages):
            return fail(error)
        if not mmget_not_zero(tx, context):
            return fail(ESRCH)
        self.mm, self.at = context.process, self.start
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Take the next VMA's part of the range. One that is not registered for `wp` ends it with ENOENT.

        What has been done before stays done. Up to 6.1 the whole range must lie in one VMA. Of hugetlb's
        only whole huge pages are protected.
        """
        end = self.start + self.pages
        if self.at == self.start and mmap_changing(tx, self.uffd):
            self.error = -EAGAIN
            return goto(userfaultfd_writeprotect.mmap_read_unlock)
        vma = find_vma_intersection(tx, self.mm, self.at, end)
        if vma is None:
            return goto(userfaultfd_writeprotect.mmap_read_unlock)
        if not vma.flags & VM_UFFD_WP or not one_vma_suffices(tx, vma.start, vma.end, self.start, end):
            self.error = -ENOENT
            return goto(userfaultfd_writeprotect.mmap_read_unlock)
        if is_vm_hugetlb_page(vma) and (self.start % HUGETLB_NR or self.pages % HUGETLB_NR):
            self.error = -EINVAL
            return goto(userfaultfd_writeprotect.mmap_read_unlock)
        first, self.at = max(vma.start, self.at), min(vma.end, end)
        mode: UffdWp = "protect" if self.protect else "resolve"
        return call(uffd_wp_range(mm=self.mm, start=first, end=self.at, uffd_wp=mode))

    @step
    def again(self, tx: Transaction) -> Outcome:
        """On to the next VMA, unless there was no memory for a page table."""
        self.error = self.ret
        return goto(userfaultfd_writeprotect.next_vma) if self.ret >= 0 else None

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. If the protection has been lifted, writes that wait for it are tried again."""
        up_read(tx, "mmap_lock", self.mm)
        if not self.error and not self.protect:
            wake_userfault(tx, self.uffd, self.start, self.pages)
        return done(self.error)


def one_vma_suffices(mem: Memory, vma_start: int, vma_end: int, start: int, end: int) -> bool:
    """Up to 6.1, whether one VMA holds all of the range (find_dst_vma)."""
    return fact(mem, "UFFDIO_WRITEPROTECT goes over several VMAs") or (vma_start <= start and end <= vma_end)
