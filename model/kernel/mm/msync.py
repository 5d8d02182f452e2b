"""msync(2): what a program has written through a shared mapping goes to disk."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.fs.ext4 import ext4_sync_file
from model.kernel.fs.file_kinds import NO_DISK
from model.kernel.mm.vma import find_vma
from model.memory.errno import EINVAL, ENOMEM
from model.memory.flags import VM_SHARED
from model.memory.state import Transaction


class do_msync(Procedure):
    """msync(2) with MS_SYNC: write back what the shared mappings in [start, start + pages) map of their files."""

    source: ClassVar[str] = "mm/msync.c: msync; fs/sync.c: vfs_fsync_range"
    mm: str
    start: int
    """The part before it is done."""
    pages: int
    end: int = 0
    unmapped: int = 0
    """-ENOMEM once a hole has been seen."""

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading. The pages of no range at all are synced already."""
        self.end = self.end or self.start + self.pages
        if not self.pages:
            return done()
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """Take the next VMA. A hole before it makes the result ENOMEM in the end, but does not stop the rest.

        Only a file with a disk behind it has anything to write; what is no file at all (a ring, a map) is refused.
        """
        vma = find_vma(tx, self.mm, self.start)
        if vma is None or vma.start >= self.end:
            self.unmapped = -ENOMEM if self.start < self.end else self.unmapped
            return goto(do_msync.mmap_read_unlock)
        if self.start < vma.start:
            self.unmapped = -ENOMEM
        first, last = max(self.start, vma.start), min(self.end, vma.end) - 1
        self.start = vma.end
        kind = tx.files[vma.file].kind if vma.flags & VM_SHARED else ""
        if not kind or kind in NO_DISK:
            return goto(do_msync.find_vma)
        up_read(tx, "mmap_lock", self.mm)
        if kind != "ext4":
            return fail(EINVAL)
        to_file = vma.pgoff - vma.start
        return call(ext4_sync_file(file=vma.file, index=first + to_file, last=last + to_file))

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """The file is written back; mmap_lock was given up meanwhile. An error ends the call."""
        if self.ret < 0:
            return done(self.ret)
        if self.start >= self.end:
            return done(self.unmapped)
        return goto(do_msync.mmap_read_lock)

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Nothing more is mapped in the range."""
        up_read(tx, "mmap_lock", self.mm)
        return done(self.unmapped)
