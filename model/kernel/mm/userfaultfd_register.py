"""UFFDIO_REGISTER and UFFDIO_UNREGISTER: which ranges a userfaultfd is asked about. Both split and merge VMAs."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.arch.tlb import sync_waits_for
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import hugetlb_unshare_all_pmds
from model.kernel.mm.userfaultfd import context_of, mmget_not_zero, wake_userfault
from model.kernel.mm.userfaultfd_wp import uffd_wp_range, validate_range
from model.kernel.mm.vma import find_vma_intersection, rmap_write_lock, vma_is_anonymous, vmas_in
from model.kernel.mm.vma_merge import vma_modify_flags
from model.memory.errno import EBUSY, EINVAL, ENOMEM, EPERM
from model.memory.flags import VM_HUGETLB, VM_MAYWRITE, VM_SPECIAL, VM_UFFD, VM_UFFD_MINOR, VM_UFFD_MISSING, VM_UFFD_WP
from model.memory.records import Vma
from model.memory.state import Memory, Transaction


def vma_can_userfault(mem: Memory, vma: Vma, modes: int, uffd: str) -> bool:
    """Private memory, shmem and hugetlb can be registered, nothing with PFN mappings; minor faults are of files alone.

    With UFFD_FEATURE_WP_ASYNC nobody has to answer, so writes can be noted in any file's mapping.
    """
    if vma.flags & VM_SPECIAL and not vma.flags & VM_HUGETLB and fact(mem, "special VMAs have no userfaultfd"):
        return False
    if modes & VM_UFFD_MINOR and vma_is_anonymous(vma):
        return False
    if modes == VM_UFFD_WP and "wp_async" in mem.userfaultfds[uffd].features:
        return True
    return vma_is_anonymous(vma) or vma.ops == "shmem" or is_vm_hugetlb_page(vma)


class userfaultfd_range(Procedure):
    """What register and unregister share: a walk over the VMAs of a range, mmap_lock held for writing."""

    caller: str
    """The process that calls: the descriptor may have been inherited from another one."""
    uffd: str
    start: int
    """The part before it is done."""
    pages: int
    mm: str = ""
    mm_users: ClassVar[tuple[str, ...]] = ("mm",)
    end: int = 0
    stop: int = 0
    """End of the part that is being done."""
    error: int = 0

    def refuse(self, tx: Transaction, error: int) -> Outcome:
        """Unlock and return an errno."""
        up_write(tx, "mmap_lock", self.mm)
        return fail(error)

    def cuts_first(self, vma: Vma | None) -> bool:
        """Whether the range has no VMA at all, or begins within a huge page of the pool."""
        return vma is None or (is_vm_hugetlb_page(vma) and bool(self.start % HUGETLB_NR))

    def change(self, tx: Transaction, vma: Vma, modes: int, uffd: str) -> int:
        """Give the part its modes: split or merge. Returns 0 or a negated errno."""
        flags = vma.flags & ~VM_UFFD | modes
        changed = vma_modify_flags(tx, self.mm, vma, self.start, self.stop, flags, uffd)
        if isinstance(changed, int):
            return changed
        self.start = changed.end
        return 0

    def clear_vma(self, tx: Transaction) -> Outcome:
        """The next VMA's part is registered no longer; None, or why that cannot be done now."""
        vma = find_vma_intersection(tx, self.mm, self.start, self.end)
        assert vma is not None
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        if error := self.change(tx, vma, 0, ""):
            return self.refuse(tx, -error)
        return None


class userfaultfd_register(userfaultfd_range):
    """UFFDIO_REGISTER: from now on faults of these kinds in the range are userfaultfd's."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_register; mm/userfaultfd.c: userfaultfd_register_range"
    modes: int = 0
    """VM_UFFD_* bits."""

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs will be split and merged."""
        if isinstance(context := context_of(tx, self.uffd, self.caller), int):
            return fail(context)
        if not self.modes or validate_range(self.start, self.pages):
            return fail(EINVAL)
        if not mmget_not_zero(tx, context):
            return fail(ENOMEM)
        self.mm, self.end = context.process, self.start + self.pages
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def check_vmas(self, tx: Transaction) -> Outcome:
        """Every VMA of the range must be of a kind that can be registered, and of no other userfaultfd (EBUSY).

        Filling a page is a write: without VM_MAYWRITE it is EPERM. Holes do not matter, unless there is nothing else.
        """
        error = next(filter(None, (self.check(tx, vma) for vma in vmas_in(tx, self.mm, self.start, self.end))), 0)
        if self.cuts_first(find_vma_intersection(tx, self.mm, self.start, self.end)):
            error = EINVAL
        return self.refuse(tx, error) if error else None

    def check(self, mem: Memory, vma: Vma) -> int:
        """An errno if this VMA cannot be registered, or 0."""
        if not vma_can_userfault(mem, vma, self.modes, self.uffd):
            return EINVAL
        if not vma.flags & VM_MAYWRITE:
            return EPERM
        if is_vm_hugetlb_page(vma) and vma.start < self.end <= vma.end and self.end % HUGETLB_NR:
            return EINVAL
        return EBUSY if vma.uffd and vma.uffd != self.uffd else 0

    @step
    def userfaultfd_register_range(self, tx: Transaction) -> Outcome:
        """The next VMA's part gets the modes, and no others than these. One that has them all already stays as it is.

        The registration is part of what tells VMAs apart: the part is split off, or merged with a registered neighbour.
        """
        vma = find_vma_intersection(tx, self.mm, self.start, self.end)
        if vma is None:
            up_write(tx, "mmap_lock", self.mm)
            return done()
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        if vma.uffd == self.uffd and vma.flags & self.modes == self.modes:
            self.start = vma.end
            return goto(userfaultfd_register.userfaultfd_register_range)
        self.start, self.stop = max(vma.start, self.start), min(vma.end, self.end)
        if is_vm_hugetlb_page(vma) and self.modes & (VM_UFFD_MINOR | VM_UFFD_WP):
            if (wait := sync_waits_for(tx)) is not None:
                return wait
            hugetlb_unshare_all_pmds(tx, self.mm, vma)
        if error := self.change(tx, vma, self.modes, self.uffd):
            return self.refuse(tx, -error)
        return goto(userfaultfd_register.userfaultfd_register_range)


class userfaultfd_unregister(userfaultfd_range):
    """UFFDIO_UNREGISTER: faults in the range are ordinary ones again; what waits there is woken."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_unregister; mm/userfaultfd.c: userfaultfd_clear_vma"

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs will be split and merged."""
        if isinstance(context := context_of(tx, self.uffd, self.caller), int):
            return fail(context)
        if validate_range(self.start, self.pages):
            return fail(EINVAL)
        if not mmget_not_zero(tx, context):
            return fail(ENOMEM)
        self.mm, self.end = context.process, self.start + self.pages
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def check_vmas(self, tx: Transaction) -> Outcome:
        """Something must be mapped, and nothing of a kind that could not be registered.

        Since 6.17 ranges of another userfaultfd are refused, too.
        """
        vmas = list(vmas_in(tx, self.mm, self.start, self.end))
        foreign = fact(tx, "only its own userfaultfd unregisters a range")
        refused = any(
            not vma_can_userfault(tx, vma, vma.flags & VM_UFFD, self.uffd)
            or (foreign and vma.uffd not in {"", self.uffd})
            for vma in vmas
        )
        return self.refuse(tx, EINVAL) if refused or self.cuts_first(next(iter(vmas), None)) else None

    @step
    def wake_userfault(self, tx: Transaction) -> Outcome:
        """Take the next VMA's part. Whoever waits for a missing page there goes on; write-protection is lifted."""
        vma = find_vma_intersection(tx, self.mm, self.start, self.end)
        if vma is None:
            up_write(tx, "mmap_lock", self.mm)
            return done()
        self.start, self.stop = max(vma.start, self.start), min(vma.end, self.end)
        if not vma.uffd:
            self.start = vma.end
            return goto(userfaultfd_unregister.wake_userfault)
        if vma.flags & VM_UFFD_MISSING:
            wake_userfault(tx, vma.uffd, self.start, self.stop - self.start)
        if not vma.flags & VM_UFFD_WP:
            return None
        return call(uffd_wp_range(mm=self.mm, start=self.start, end=self.stop, uffd_wp="resolve"))

    @step
    def userfaultfd_clear_vma(self, tx: Transaction) -> Outcome:
        """The part is registered no longer; it is split off, or merged with a neighbour that is not registered."""
        if (unable := self.clear_vma(tx)) is not None:
            return unable
        return goto(userfaultfd_unregister.wake_userfault)


class userfaultfd_release(userfaultfd_range):
    """The last descriptor is closed: no range is registered any more, and whoever waits goes on."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_release; mm/userfaultfd.c: userfaultfd_release_all"
    start: int = 0
    pages: int = TASK_SIZE

    @step
    def close(self, tx: Transaction) -> Outcome:
        """The caller has the descriptor no more. As long as another process has it, from fork, it stays open."""
        if isinstance(context := context_of(tx, self.uffd, self.caller), int):
            return fail(context)
        kept = tuple(name for name in tx.userfaultfds[self.uffd].open_in if name != self.caller)
        tx.userfaultfds.update(self.uffd, open_in=kept)
        if kept:
            return done()
        if not mmget_not_zero(tx, context):
            del tx.userfaultfds[self.uffd]
            return done()
        return None

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: no new fault can come to us from here on."""
        context = tx.userfaultfds[self.uffd]
        self.mm, self.end = context.process, TASK_SIZE
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """The next VMA that is registered here: lift its write-protection. When there is none left, wake everybody."""
        vma = next((vma for vma in vmas_in(tx, self.mm, self.start, self.end) if vma.uffd == self.uffd), None)
        if vma is None:
            up_write(tx, "mmap_lock", self.mm)
            del tx.userfaultfds[self.uffd]
            return done()
        self.start, self.stop = vma.start, vma.end
        if not vma.flags & VM_UFFD_WP:
            return None
        return call(uffd_wp_range(mm=self.mm, start=vma.start, end=vma.end, uffd_wp="resolve"))

    @step
    def userfaultfd_clear_vma(self, tx: Transaction) -> Outcome:
        """It is registered no longer, and may merge with a neighbour that is not registered."""
        if (unable := self.clear_vma(tx)) is not None:
            return unable
        return goto(userfaultfd_release.next_vma)
