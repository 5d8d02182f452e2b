"""memfd_create() and the seals of a memfd: what its owner promises never to do to it again."""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, done, fail, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.mm.filemap import MAX_FILE_PAGES, i_pages
from model.kernel.mm.vma import linked_vma
from model.memory.errno import EBADF, EBUSY, EEXIST, EFBIG, EINVAL, EPERM
from model.memory.flags import VM_MAYWRITE, VM_SHARED
from model.memory.records import File
from model.memory.state import Memory, Transaction
from model.memory.units import Word

SEALS: Final = ("seal", "shrink", "grow", "write", "future_write", "exec")
"""F_SEAL_*, in the order of their bits."""


class memfd_create(Procedure):
    """memfd_create(MFD_ALLOW_SEALING), then ftruncate() to its size: a file of holes."""

    source: ClassVar[str] = "mm/memfd.c: memfd_create"
    file: str
    pages: int
    hugetlb: bool = False
    """MFD_HUGETLB: its pages are those of the pool of huge pages."""

    @step
    def shmem_file_setup(self, tx: Transaction) -> Outcome:
        """Make an inode in the kernel's own tmpfs. It occupies no memory yet: pages come with the first touch.

        With MFD_HUGETLB it is one of hugetlbfs, and nothing is reserved before somebody maps it.
        """
        if self.file in tx.files:
            return fail(EEXIST)
        if not 0 <= self.pages <= MAX_FILE_PAGES:
            return fail(EFBIG)
        if self.hugetlb and self.pages % HUGETLB_NR:
            return fail(EINVAL)
        tx.files[self.file] = File("hugetlb" if self.hugetlb else "memfd", size=self.pages)
        return done()


class memfd_add_seals(Procedure):
    """fcntl(F_ADD_SEALS)."""

    source: ClassVar[str] = "mm/memfd.c: memfd_add_seals"
    file: str
    seals: tuple[Word, ...]

    @step
    def inode_lock(self, tx: Transaction) -> Outcome:
        """No write(2) and no truncation runs beside us."""
        file = tx.files.get(self.file)
        if file is None or not file.open:
            return fail(EBADF)
        if file.kind not in ("memfd", "hugetlb") or not set(self.seals) <= set(SEALS):
            return fail(EINVAL)
        return down_write(tx, "i_rwsem", self.file)

    @step
    def add_seals(self, tx: Transaction) -> Outcome:
        """Add the seals, unless F_SEAL_SEAL forbids it. They can never be taken back.

        F_SEAL_WRITE promises that the content will not change: impossible as long as somebody has it mapped shared and
        might write, or has a reference through which a device might. F_SEAL_FUTURE_WRITE lets those be.
        """
        up_write(tx, "i_rwsem", self.file)
        old, new = tx.files[self.file].seals, set(self.seals)
        if "seal" in old:
            return fail(EPERM)
        if "exec" in new:
            new |= {"shrink", "grow", "write", "future_write"}
        if "write" in new and "write" not in old and (is_writably_mapped(tx, self.file) or has_pins(tx, self.file)):
            return fail(EBUSY)
        tx.files.update(self.file, seals=tuple(seal for seal in SEALS if seal in new or seal in old))
        return done()


def is_writably_mapped(mem: Memory, file: str) -> bool:
    """i_mmap_writable: whether any VMA could write to the file's own pages (mapping_deny_writable fails).

    A shared mapping whose MAYWRITE a seal has taken does not count; in 6.1 every VM_SHARED one did.
    """
    counted = VM_SHARED | (VM_MAYWRITE if fact(mem, "sealed files can be mapped shared read-only") else 0)
    vmas = (linked_vma(mem, mm, start) for mm, start in mem.files[file].i_mmap)
    return any(vma.flags & counted == counted for vma in vmas)


def has_pins(mem: Memory, file: str) -> bool:
    """Whether somebody has a reference on one of the file's pages beside its mappings and the cache's own.

    The kernel waits 150 ms for them to go, then gives up: memfd_wait_for_pins.
    """
    frames = (mem.frames[mem.page_cache[file, index]] for index in i_pages(mem, file))
    return any(frame.refcount - frame.mapcount != frame.pages for frame in frames)
