"""mremap(2): make a mapping longer or shorter, or move it together with its pages."""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.mm.get_unmapped_area import CHOOSES_ADDRESS, HAS_GET_UNMAPPED_AREA, get_unmapped_area
from model.kernel.mm.hugetlb_pool import huge_align, is_vm_hugetlb_page
from model.kernel.mm.limits import MAX_MAP_COUNT, MMAP_MIN_ADDR, enough_memory
from model.kernel.mm.move_vma import move_vma
from model.kernel.mm.munmap import do_vmi_munmap
from model.kernel.mm.populate import mm_populate
from model.kernel.mm.vma import find_vma_intersection, rmap_write_lock, vma_is_sealed, vma_lookup
from model.kernel.mm.vma_merge import vma_merge_extend
from model.memory.errno import EFAULT, EINVAL, ENOMEM, EPERM
from model.memory.flags import VM_ACCOUNT, VM_DONTEXPAND, VM_LOCKED, VM_MAYSHARE, VM_PFNMAP, VM_SHARED
from model.memory.records import Label, Vma
from model.memory.state import Memory, Transaction

MREMAP_MAYMOVE: Final = 1
MREMAP_FIXED: Final = 2
MREMAP_DONTUNMAP: Final = 4


class do_mremap(Procedure):
    """mremap(2). Returns the start of the mapping afterwards."""

    source: ClassVar[str] = "mm/mremap.c: do_mremap, of 6.17 and newer"
    mm: str
    start: int
    pages: int
    new_pages: int
    flags: int = 0
    to: int = -1
    """Where to, for MREMAP_FIXED. With MREMAP_DONTUNMAP alone it is a wish, with neither of them it is ignored."""
    populate: bool = False
    """A locked mapping grows: its new pages are brought in at the end."""
    value: int = 0
    locked: bool = True
    """mmap_lock is ours unless munmap has succeeded and given it back."""

    @step
    def check_mremap_params(self, tx: Transaction) -> Outcome:
        """Refuse what cannot be meant, before any lock is taken."""
        error = self.check(tx)
        return fail(error) if error else None

    def check(self, tx: Transaction) -> int:
        """An errno, or 0 if the arguments fit together."""
        if self.flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP):
            return EINVAL
        if not 0 < self.new_pages <= TASK_SIZE or self.start < 0 or self.pages < 0:
            return EINVAL
        if not self.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
            return 0
        if self.to > TASK_SIZE - self.new_pages or (self.flags & MREMAP_FIXED and self.to < 0):
            return EINVAL
        if not self.flags & MREMAP_MAYMOVE:
            return EINVAL
        if self.flags & MREMAP_DONTUNMAP and self.pages != self.new_pages:
            return EINVAL
        if self.to >= 0 and self.start < self.to + self.new_pages and self.to < self.start + self.pages:
            return EINVAL
        return ENOMEM if tx.processes[self.mm].map_count + 2 >= MAX_MAP_COUNT - 3 else 0

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: no fault may look while VMAs and entries do not agree."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def choose(self, tx: Transaction) -> Outcome:
        """A move without a change of size may take several VMAs along; everything else concerns a single one.

        Shorter: unmap the end. Longer: extend in place if the space behind is free, else move if that is allowed.
        """
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is not None and is_vm_hugetlb_page(vma):
            self.pages, self.new_pages = huge_align(self.pages), huge_align(self.new_pages)
        if self.flags & MREMAP_FIXED and self.pages == self.new_pages:
            end = self.start + self.pages
            return call(remap_move(mm=self.mm, start=self.start, end=end, to=self.to, flags=self.flags), self.unlock)
        error = check_prep_vma(vma, self.start, self.pages, self.new_pages, self.flags, self.to)
        if error or vma is None:
            self.ret = -error
            return goto(do_mremap.unlock)
        self.populate = bool(vma.flags & VM_LOCKED) and self.new_pages > self.pages
        if self.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
            return call(self.to_new_address(), self.unlock)
        if self.new_pages == self.pages:
            self.ret = self.start
            return goto(do_mremap.unlock)
        if self.new_pages < self.pages:
            gone = self.pages - self.new_pages
            self.value, self.locked = self.start, False
            end = self.start + self.new_pages
            return call(do_vmi_munmap(mm=self.mm, start=end, pages=gone, unlock=True), self.unlock)
        return None

    @step
    def expand_in_place(self, tx: Transaction) -> Outcome:
        """Is the end of the range the end of the VMA, and the space behind it free? Then the VMA simply becomes longer.

        It may meet the next VMA and merge with it.
        """
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        more = self.new_pages - self.pages
        if vma.end != self.start + self.pages or not vma_expandable(tx, self.mm, vma, more):
            return None
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        accounted = not vma.flags & VM_ACCOUNT or enough_memory(tx, more)
        extended = vma_merge_extend(tx, self.mm, vma, more) if accounted else None
        self.ret = self.start if extended is not None else -ENOMEM
        return goto(do_mremap.unlock)

    @step
    def expand_elsewhere(self, tx: Transaction) -> Outcome:
        """There is no room here. Without MREMAP_MAYMOVE that is the end; else find a gap and move everything there."""
        if not self.flags & MREMAP_MAYMOVE:
            self.ret = -ENOMEM
            return goto(do_mremap.unlock)
        return call(self.to_new_address())

    def to_new_address(self) -> Procedure:
        """The call that moves the mapping to `to`, or to wherever there is room."""
        return mremap_to(
            mm=self.mm, start=self.start, pages=self.pages, new_pages=self.new_pages, flags=self.flags, to=self.to
        )

    @step
    def unlock(self, tx: Transaction) -> Outcome:
        """Done, or refused. A locked mapping that has grown gets its new pages now."""
        if self.locked or self.ret < 0:
            up_write(tx, "mmap_lock", self.mm)
        if self.ret < 0:
            return done(self.ret)
        self.value = self.value or self.ret
        move_labels(tx, self.mm, self.start, self.pages, self.value, self.new_pages)
        if not self.populate:
            return done(self.value)
        more = self.new_pages - self.pages
        return call(mm_populate(mm=self.mm, start=self.value + self.pages, pages=more))

    @step
    def populated(self, tx: Transaction) -> Outcome:
        """Whether all pages could be brought in makes no difference to the result."""
        return done(self.value)


def vma_expandable(mem: Memory, mm: str, vma: Vma, pages: int) -> bool:
    """Whether the space behind a VMA is free and exists."""
    end = vma.end + pages
    return end <= TASK_SIZE and find_vma_intersection(mem, mm, vma.end, end) is None


def check_prep_vma(vma: Vma | None, start: int, pages: int, new_pages: int, flags: int, to: int = -1) -> int:
    """An errno if this VMA cannot be remapped like that, or 0 (mm/mremap.c: check_prep_vma)."""
    if vma is None:
        return EFAULT
    if vma_is_sealed(vma):
        return EPERM
    if is_vm_hugetlb_page(vma) and (start % HUGETLB_NR or (to >= 0 and to % HUGETLB_NR) or new_pages > pages):
        return EINVAL
    if new_pages <= pages and not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        return 0
    if not pages and not vma.flags & (VM_SHARED | VM_MAYSHARE):
        return EINVAL
    if flags & MREMAP_DONTUNMAP and vma.flags & (VM_DONTEXPAND | VM_PFNMAP):
        return EINVAL
    kept = min(pages, new_pages)
    if kept > vma.end - start:
        return EFAULT
    return EFAULT if new_pages > kept and vma.flags & (VM_DONTEXPAND | VM_PFNMAP) else 0


def remap_kind_allowed(mem: Memory, vma: Vma) -> bool:
    """Whether a VMA may be moved together with others (vma_multi_allowed).

    Not if its file might choose another address, nor if it is registered with a userfaultfd.
    """
    if vma.uffd:
        return False
    file = mem.files.get(vma.file)
    return file is None or file.kind not in HAS_GET_UNMAPPED_AREA


def move_labels(tx: Transaction, mm: str, start: int, pages: int, to: int, new_pages: int) -> None:
    """Labels whose whole range was moved go along; one that named exactly this range has its new length."""
    for (owner, name), label in list(tx.labels.items()):
        if owner == mm and pages and start <= label.start and label.start + label.pages <= start + pages:
            size = new_pages if (label.start, label.pages) == (start, pages) else label.pages
            tx.labels[owner, name] = Label(label.start - start + to, size)


class remap_move(Procedure):
    """Move everything that is mapped in [start, end) to `to`, VMA by VMA, holes included."""

    source: ClassVar[str] = "mm/mremap.c: remap_move, of 6.17 and newer"
    mm: str
    start: int
    end: int
    to: int
    flags: int
    at: int = -1
    """The part before it has been moved."""

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Take the next VMA's part of the range. The range must begin in a VMA; between two, the hole moves along.

        Older kernels refuse a range that leaves the first VMA.
        """
        if self.at >= self.end:
            return done(self.to)
        vma = find_vma_intersection(tx, self.mm, max(self.at, self.start), self.end)
        if vma is None:
            return done(-EFAULT if self.at < 0 else self.to)
        if self.at < 0 and self.start < vma.start:
            return fail(EFAULT)
        if not remap_kind_allowed(tx, vma) and (self.at >= 0 or vma.end < self.end):
            return fail(EFAULT)
        if vma.end < self.end and not fact(tx, "mremap moves several VMAs"):
            return fail(EFAULT)
        first, last = max(vma.start, self.start, self.at), min(vma.end, self.end)
        to = self.to + first - self.start
        error = check_prep_vma(vma, first, last - first, last - first, self.flags, to)
        if error:
            return fail(error)
        self.at = last
        pages = last - first
        return call(mremap_to(mm=self.mm, start=first, pages=pages, new_pages=pages, flags=self.flags, to=to))

    @step
    def again(self, tx: Transaction) -> Outcome:
        """An error ends it; what has been moved stays moved."""
        return done(self.ret) if self.ret < 0 else goto(remap_move.next_vma)


class mremap_to(Procedure):
    """Move one VMA, or part of one, to another address; the caller holds mmap_lock for writing."""

    source: ClassVar[str] = "mm/mremap.c: mremap_to"
    mm: str
    start: int
    pages: int
    new_pages: int
    flags: int
    to: int

    @step
    def unmap_destination(self, tx: Transaction) -> Outcome:
        """MREMAP_FIXED: whatever is mapped at the new address goes first."""
        if not self.flags & MREMAP_FIXED:
            return None
        return call(do_vmi_munmap(mm=self.mm, start=self.to, pages=self.new_pages))

    @step
    def shrink(self, tx: Transaction) -> Outcome:
        """Pages beyond the new length need not be moved: they are unmapped here."""
        if self.ret < 0:
            return done(self.ret)
        if self.new_pages >= self.pages:
            return None
        gone, self.pages = self.pages - self.new_pages, self.new_pages
        return call(do_vmi_munmap(mm=self.mm, start=self.start + self.new_pages, pages=gone))

    @step
    def move(self, tx: Transaction) -> Outcome:
        """Find the address, unless it was given, and move (vrm_set_new_addr)."""
        if self.ret < 0:
            return done(self.ret)
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None:
            return fail(EFAULT)
        if self.flags & MREMAP_FIXED and vma.ops in CHOOSES_ADDRESS:
            return fail(EINVAL)
        if self.flags & MREMAP_FIXED and self.to < MMAP_MIN_ADDR:
            return fail(EPERM)
        to = self.to
        if not self.flags & MREMAP_FIXED:
            wish = self.to if self.flags & MREMAP_DONTUNMAP else -1
            to = get_unmapped_area(tx, self.mm, self.new_pages, hint=wish)
            if to < 0:
                return done(to)
        return tail(
            move_vma(
                mm=self.mm,
                start=self.start,
                pages=self.pages,
                new_pages=self.new_pages,
                to=to,
                dontunmap=bool(self.flags & MREMAP_DONTUNMAP),
            )
        )
