"""mseal(2): mappings that nobody may change any more, not even the process itself (since 6.10)."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, done, fail, goto, step
from model.kernel.mm.hugetlb_share import split_waits
from model.kernel.mm.vma import rmap_write_lock, vma_lookup
from model.kernel.mm.vma_merge import vma_modify_flags
from model.memory.errno import EINVAL, ENOMEM, ENOSYS
from model.memory.flags import VM_SEALED
from model.memory.state import Transaction


class do_mseal(Procedure):
    """mseal(2): seal every VMA of a range. From then on munmap, mprotect, mremap and overmapping answer EPERM."""

    source: ClassVar[str] = "mm/mseal.c: do_mseal, apply_mm_seal"
    mm: str
    start: int
    """The part before it is done."""
    pages: int
    end: int = 0

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: VMAs may be split."""
        if not fact(tx, "mseal"):
            return fail(ENOSYS)
        if self.pages < 0:
            return fail(EINVAL)
        self.end = self.start + self.pages
        return down_write(tx, "mmap_lock", self.mm) if self.pages else done()

    @step
    def range_contains_unmapped(self, tx: Transaction) -> Outcome:
        """All or nothing: a hole anywhere in the range is refused before anything is sealed."""
        at = self.start
        while at < self.end:
            vma = vma_lookup(tx, self.mm, at)
            if vma is None:
                self.ret = -ENOMEM
                return goto(do_mseal.mmap_write_unlock)
            at = vma.end
        return None

    @step
    def mseal_apply(self, tx: Transaction) -> Outcome:
        """Set VM_SEALED on the next VMA's part of the range. Nothing ever clears it."""
        self.ret = 0
        if self.start >= self.end:
            return None
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        end = min(vma.end, self.end)
        if (wait := split_waits(tx, self.mm, vma, self.start, end)) is not None:
            return wait
        if not vma.flags & VM_SEALED:
            sealed = vma_modify_flags(tx, self.mm, vma, self.start, end, vma.flags | VM_SEALED)
            if isinstance(sealed, int):
                self.ret = sealed
                return None
            end = max(end, sealed.end)
        self.start = end
        return goto(do_mseal.mseal_apply)

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Drop mmap_lock."""
        up_write(tx, "mmap_lock", self.mm)
        return done(self.ret)
