"""mmap(2): a new mapping. It costs a VMA and no memory: pages come with the first access."""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.drivers.buffer import buffer_of
from model.kernel.drivers.mapping_counts import count_mmap, mapping_lock, mmap_locks
from model.kernel.mm.filemap import fput, get_file, release_file
from model.kernel.mm.get_unmapped_area import CHOOSES_ADDRESS, get_unmapped_area
from model.kernel.mm.hugetlb_pool import huge_align
from model.kernel.mm.limits import MAX_MAP_COUNT, MMAP_MIN_ADDR, enough_memory
from model.kernel.mm.mlock import vma_supports_mlock
from model.kernel.mm.mmap_file import BACKINGS, HUGETLB, call_mmap, do_mmap_file, mmap_fill, open_backing
from model.kernel.mm.vma import (
    find_vma_intersection,
    insert_vma,
    rmap_write_lock,
    vma_before,
    vma_from,
    vma_lookup,
    vmas_in,
)
from model.kernel.mm.vma_merge import MergeRange, vma_merge_new_range
from model.memory.errno import EEXIST, EINVAL, ENOMEM, EOVERFLOW, EPERM
from model.memory.flags import (
    VM_ACCOUNT,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_LOCKED_MASK,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NORESERVE,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.record_base import replaced
from model.memory.records import Label, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Word

MAP_SHARED: Final = 0x1
MAP_PRIVATE: Final = 0x2
MAP_FIXED: Final = 0x10
MAP_GROWSDOWN: Final = 0x100
MAP_LOCKED: Final = 0x2000
MAP_NORESERVE: Final = 0x4000
MAP_POPULATE: Final = 0x8000
MAP_HUGETLB: Final = 0x40000
MAP_FIXED_NOREPLACE: Final = 0x100000

MAX_PGOFF: Final = 1 << 52
"""Page offsets are 52 bits: a file has at most 2^64 bytes."""


class do_mmap(Procedure):
    """mmap(2). Returns the first page of the mapping.

    `at` = -1: the kernel chooses the place; with an address it is MAP_FIXED_NOREPLACE unless `flags` has MAP_FIXED.
    """

    source: ClassVar[str] = "mm/mmap.c: do_mmap; mm/vma.c: mmap_region"
    mm: str
    pages: int
    prot: int
    """VM_READ | VM_WRITE | VM_EXEC."""
    flags: int
    """MAP_*."""
    backing: Word = "anon"
    file: str = ""
    offset: int = 0
    at: int = -1
    label: str = ""
    """A name for the range, if it can be mapped."""
    vm_flags: int = 0
    value: int = 0
    """The start of the mapping, or a negated errno."""
    holds_file: bool = False
    """The buffer's file is held until a VMA holds it."""
    enough: bool = True
    """There is memory for it."""
    replaced: tuple[str, ...] = ()
    """The files of what was mapped there before: this call holds them until it returns (fput: task_work)."""

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for writing: no fault and no other mapping call may look at the VMAs meanwhile."""
        if self.flags & MAP_HUGETLB and self.backing == "anon":
            self.backing = "hugetlb"
        if self.backing == "memfd" and (file := tx.files.get(self.file)) is not None and file.kind == "hugetlb":
            self.backing = "hugetlbfs"
        if self.backing in HUGETLB:
            self.pages = huge_align(self.pages)
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def get_unmapped_area(self, tx: Transaction) -> Outcome:
        """Decide where the mapping goes.

        A place that something is mapped at already is refused (EEXIST), unless MAP_FIXED says to replace it.
        """
        self.value = self.find_place(tx)
        return goto(do_mmap.mmap_write_unlock) if self.value < 0 else None

    def find_place(self, tx: Transaction) -> int:
        """The first page, or a negated errno."""
        if self.pages <= 0 or self.offset < 0:
            return -EINVAL
        if self.pages > TASK_SIZE or tx.processes[self.mm].map_count > MAX_MAP_COUNT:
            return -ENOMEM
        if self.offset + self.pages > MAX_PGOFF:
            return -EOVERFLOW
        huge = self.backing in HUGETLB
        if (self.flags & MAP_HUGETLB and not huge) or (huge and self.at % HUGETLB_NR and self.at >= 0):
            return -EINVAL
        if self.at < 0:
            return get_unmapped_area(tx, self.mm, self.pages, align=HUGETLB_NR if huge else 1)
        if self.backing in CHOOSES_ADDRESS:
            return -EINVAL
        if self.at > TASK_SIZE - self.pages:
            return -ENOMEM
        if self.at < MMAP_MIN_ADDR:
            return -EPERM
        if not self.flags & MAP_FIXED and find_vma_intersection(tx, self.mm, self.at, self.at + self.pages):
            return -EEXIST
        return self.at

    @step
    def check_file(self, tx: Transaction) -> Outcome:
        """Work out the VMA's flags, and ask what is mapped whether it may be mapped like that.

        Private writable memory counts as committed (VM_ACCOUNT), unless MAP_NORESERVE asks not to. Only a request for
        more than all of RAM is refused for that.
        """
        self.vm_flags = self.wanted_flags(tx)
        if self.backing == "anon" and self.vm_flags & VM_GROWSDOWN and self.vm_flags & VM_SHARED:
            return self.refuse(tx, -EINVAL)
        shared = bool(self.flags & MAP_SHARED)
        opened = open_backing(tx, self.backing, self.file, self.pages, self.offset, shared=shared)
        if isinstance(opened, int):
            return self.refuse(tx, opened)
        self.file = opened
        allowed = do_mmap_file(tx, self.backing, self.file, self.vm_flags)
        if allowed < 0:
            return self.refuse(tx, allowed)
        self.vm_flags = allowed
        if allowed & (VM_NORESERVE | VM_SHARED | VM_WRITE) == VM_WRITE and self.backing not in HUGETLB:
            self.vm_flags |= VM_ACCOUNT
            replaced = accounted_pages(tx, self.mm, self.value, self.value + self.pages) if self.looks_first(tx) else 0
            self.enough = enough_memory(tx, self.pages - replaced)
        if buffer_of(self.file):  # ksys_mmap_pgoff(): fget(); nobody closes the descriptor of another file
            get_file(tx, self.file)
            self.holds_file = True
        return None

    def wanted_flags(self, tx: Transaction) -> int:
        """The VMA's flags before the file has had its say (calc_vm_prot_bits, calc_vm_flag_bits)."""
        flags = self.prot | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | tx.processes[self.mm].def_flags
        for bit, vm_flag in (
            (MAP_SHARED, VM_SHARED | VM_MAYSHARE),
            (MAP_GROWSDOWN, VM_GROWSDOWN),
            (MAP_LOCKED, VM_LOCKED),
            (MAP_NORESERVE, VM_NORESERVE),
        ):
            if self.flags & bit:
                flags |= vm_flag
        return flags

    def refuse(self, tx: Transaction, error: int) -> Outcome:
        """Give up; a file that was opened only for this mapping is closed again."""
        self.value = error
        self.put_file(tx)
        if not BACKINGS[self.backing].named and self.file in tx.files:
            release_file(tx, self.file)
        return goto(do_mmap.mmap_write_unlock)

    def looks_first(self, mem: Memory) -> bool:
        """Whether memory is asked for before anything is unmapped."""
        return fact(mem, "mmap counts memory before it unmaps")

    @step
    def unmap_old(self, tx: Transaction) -> Outcome:
        """MAP_FIXED: whatever is mapped in the range goes first, and does not come back if what follows fails.

        The files behind it go when the call returns. Until then a shared mapping of huge pages keeps what it has
        reserved, so that mapping as much in its place may fail with ENOMEM, and leave a hole.
        """
        self.ret = 0
        inside = tuple(vmas_in(tx, self.mm, self.value, self.value + self.pages))
        if not inside:
            return None

        from model.kernel.mm.munmap import do_vmi_munmap

        self.replaced = tuple(dict.fromkeys(vma.file for vma in inside if vma.file))
        for file in self.replaced:
            get_file(tx, file)
        abort = not self.enough and self.looks_first(tx)
        return call(do_vmi_munmap(mm=self.mm, start=self.value, pages=self.pages, abort=abort))

    @step
    def mmap_region(self, tx: Transaction) -> Outcome:
        """The file's ->mmap says which flags and vm_ops the VMA gets, or refuses.

        Then a neighbour with the same attributes is extended over the range; only if there is none, a new VMA is made.
        """
        if self.ret < 0 or not self.enough:
            return self.refuse(tx, self.ret or -ENOMEM)
        around = (vma_before(tx, self.mm, self.value), vma_from(tx, self.mm, self.value))
        wait = rmap_write_lock(tx, *around, file=self.file) or mapping_lock(tx, self.file) or mmap_locks(tx, self.file)
        if wait is not None:
            return wait
        wanted = Vma(self.value, self.value + self.pages, self.vm_flags, file=self.file, pgoff=self.first_index())
        vma = call_mmap(tx, self.backing, wanted)
        if isinstance(vma, int):
            return self.refuse(tx, vma)
        if not vma_supports_mlock(vma):
            vma = replaced(vma, flags=vma.flags & ~VM_LOCKED_MASK)
        if vma_merge_new_range(tx, self.mm, MergeRange(vma.start, vma.end, vma.flags, vma.pgoff, vma.file)) is None:
            if (error := count_mmap(tx, vma)) < 0:
                return self.refuse(tx, error)
            insert_vma(tx, self.mm, vma)
        self.put_file(tx)
        return None

    def put_file(self, tx: Transaction) -> None:
        """What fget() has held is let go."""
        if self.holds_file:
            self.holds_file = False
            fput(tx, self.file)

    def first_index(self) -> int:
        """vm_pgoff: the offset in the file; anonymous pages are numbered by their address."""
        if self.backing == "anon":
            return 0 if self.flags & MAP_SHARED else self.value
        return self.offset

    @step
    def mmap_fill(self, tx: Transaction) -> Outcome:
        """Some drivers map their pages at once: nothing is left to faults."""
        vma = vma_lookup(tx, self.mm, self.value)
        assert vma is not None
        if (wait := mmap_locks(tx, vma.file)) is not None:
            return wait
        fill = mmap_fill(tx, self.mm, self.backing, vma)
        self.at, self.ret = self.value, 0
        return None if fill is None else call(fill)

    @step
    def mmap_filled(self, tx: Transaction) -> Outcome:
        """If the driver could not map its pages, the VMA goes again."""
        if self.ret >= 0:
            return goto(do_mmap.mmap_write_unlock)
        self.value = self.ret

        from model.kernel.mm.munmap import do_vmi_munmap

        return call(do_vmi_munmap(mm=self.mm, start=self.at, pages=self.pages))

    @step
    def mmap_write_unlock(self, tx: Transaction) -> Outcome:
        """Drop mmap_lock. MAP_POPULATE and MAP_LOCKED bring the pages in now."""
        up_write(tx, "mmap_lock", self.mm)
        if self.value >= 0 and self.label:
            tx.labels[self.mm, self.label] = Label(self.value, self.pages)
        if self.value < 0 or not (self.flags & MAP_POPULATE or self.vm_flags & VM_LOCKED):
            self.task_work_run(tx)
            return done(self.value)

        from model.kernel.mm.populate import mm_populate

        return call(mm_populate(mm=self.mm, start=self.value, pages=self.pages))

    @step
    def populated(self, tx: Transaction) -> Outcome:
        """Populating is a favour: pages that could not be brought in do not matter to the result."""
        self.task_work_run(tx)
        return done(self.value)

    def task_work_run(self, tx: Transaction) -> None:
        """The system call returns: files that nothing maps any more go, with their pages and reservations."""
        for file in self.replaced:
            fput(tx, file)


def accounted_pages(mem: Memory, mm: str, start: int, end: int) -> int:
    """Committed pages in a range that is about to be replaced."""
    return sum(
        min(vma.end, end) - max(vma.start, start) for vma in vmas_in(mem, mm, start, end) if vma.flags & VM_ACCOUNT
    )
