"""What a program does to a file through its descriptor: create, read, write, truncate, punch, sync, close.

Each call goes to the file's own kind: shmem (memfd, and what is behind shared anonymous memory) or ext4; the others
refuse most of them.
"""

from typing import ClassVar, Final

from model.engine.lock import down_write, up_write
from model.engine.procedure import Done, Outcome, Procedure, call, done, fail, goto, step
from model.kernel.fs.dax import dax_truncate
from model.kernel.fs.ext4 import ext4_punch_hole, ext4_setattr, ext4_sync_file
from model.kernel.fs.file_kinds import EOF, HUGETLB_FILES, NO_DISK, SHMEM
from model.kernel.mm.filemap import (
    MAX_FILE_PAGES,
    filemap_grab_folio,
    folio_attach_private,
    folio_unlock_put,
    page_cache_ra_unbounded,
    release_file,
)
from model.kernel.mm.page import set_page_flags
from model.kernel.mm.shmem import sealed_against_writing, shmem_fallocate, shmem_get_folio, shmem_setattr
from model.kernel.mm.vma import file_is_held
from model.memory.errno import EBADF, EEXIST, EFBIG, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ESPIPE
from model.memory.events import Access
from model.memory.flags import PG_DIRTY, PG_UPTODATE
from model.memory.folio import filemap_get_entry, folio_of
from model.memory.records import File
from model.memory.state import Transaction
from model.memory.units import Word

FIRST_READ: Final = 4
"""Pages that a read at the start of a file brings in: the first readahead window for a read of one page."""


def opened(tx: Transaction, name: str) -> File | Done:
    """The file behind an open descriptor, or EBADF."""
    file = tx.files.get(name)
    return fail(EBADF) if file is None or not file.open else file


def opened_for_reading(tx: Transaction, name: str) -> str | Done:
    """The kind of the file that splice(2) reads; EBADF without one, EINVAL or ESPIPE where it cannot (splice_read)."""
    file = opened(tx, name)
    if isinstance(file, Done):
        return file
    if file.kind in HUGETLB_FILES:
        return fail(EINVAL)
    return file.kind if file.kind in (*SHMEM, "ext4") else fail(ESPIPE)


class create_file(Procedure):
    """Make a file of holes: open(O_CREAT) and ftruncate(), or memfd_secret()."""

    source: ClassVar[str] = "fs/namei.c: do_filp_open; mm/secretmem.c: memfd_secret"
    file: str
    kind: Word
    """`ext4`, `secretmem` or `guest_memfd`."""
    pages: int

    @step
    def alloc_inode(self, tx: Transaction) -> Outcome:
        """Make an inode of the given size. It occupies no memory and no blocks yet."""
        if self.file in tx.files:
            return fail(EEXIST)
        if not 0 <= self.pages <= MAX_FILE_PAGES:
            return fail(EFBIG)
        tx.files[self.file] = File(self.kind, size=self.pages)
        return done()


class inode_call(Procedure):
    """The variables of a call that changes a file under its inode's lock."""

    file: str

    def lock(self, tx: Transaction) -> Outcome:
        """Take i_rwsem: writes, truncation and hole punching exclude each other."""
        return down_write(tx, "i_rwsem", self.file)

    def unlock(self, tx: Transaction) -> Outcome:
        """Give i_rwsem back and return what the filesystem has returned."""
        up_write(tx, "i_rwsem", self.file)
        return done(self.ret)


class do_truncate(inode_call):
    """ftruncate(2): set a file's length."""

    source: ClassVar[str] = "fs/open.c: do_truncate"
    pages: int

    @step
    def inode_lock(self, tx: Transaction) -> Outcome:
        """Lock the inode."""
        file = opened(tx, self.file)
        if isinstance(file, Done):
            return file
        if not 0 <= self.pages <= MAX_FILE_PAGES:
            return fail(EFBIG)
        return self.lock(tx)

    @step
    def notify_change(self, tx: Transaction) -> Outcome:
        """The filesystem does it. The size of secret memory is set once: after that EINVAL."""
        file = tx.files[self.file]
        if file.kind in SHMEM:
            return call(shmem_setattr(file=self.file, pages=self.pages))
        if file.kind == "ext4":
            return call(ext4_setattr(file=self.file, pages=self.pages))
        if file.kind in HUGETLB_FILES:
            from model.kernel.fs.hugetlbfs import hugetlbfs_setattr

            return call(hugetlbfs_setattr(file=self.file, pages=self.pages))
        if file.kind == "dax":
            return call(dax_truncate(file=self.file, first=self.pages, last=MAX_FILE_PAGES, size=self.pages))
        self.ret = -EINVAL
        if file.kind == "secretmem" and not file.size:
            self.ret = 0
            tx.files.update(self.file, size=self.pages)
        return None

    @step
    def inode_unlock(self, tx: Transaction) -> Outcome:
        """Unlock the inode."""
        return self.unlock(tx)


class fallocate_punch(inode_call):
    """fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE): make a range of a file a hole."""

    source: ClassVar[str] = "fs/open.c: vfs_fallocate"
    offset: int
    pages: int

    @step
    def inode_lock(self, tx: Transaction) -> Outcome:
        """Lock the inode. What only looks like a file (a socket, an anonymous inode) cannot have holes: ENODEV."""
        file = tx.files.get(self.file)
        if file is None:
            return fail(EBADF)
        if self.offset < 0 or self.pages <= 0:
            return fail(EINVAL)
        if self.offset + self.pages > MAX_FILE_PAGES:
            return fail(EFBIG)
        if file.kind not in (*SHMEM, *HUGETLB_FILES, "ext4", "dax", "guest_memfd"):
            return fail(EOPNOTSUPP if file.kind == "secretmem" else ENODEV)
        return self.lock(tx)

    @step
    def fallocate(self, tx: Transaction) -> Outcome:
        """The filesystem does it."""
        match tx.files[self.file].kind:
            case "ext4":
                return call(ext4_punch_hole(file=self.file, offset=self.offset, pages=self.pages))
            case kind if kind in HUGETLB_FILES:
                from model.kernel.fs.hugetlbfs import hugetlbfs_punch_hole

                return call(hugetlbfs_punch_hole(file=self.file, offset=self.offset, pages=self.pages))
            case "dax":
                last = self.offset + self.pages - 1
                return call(dax_truncate(file=self.file, first=self.offset, last=last))
            case "guest_memfd":
                last = self.offset + self.pages - 1

                from model.kernel.mm.truncate import truncate_inode_pages_range

                return call(truncate_inode_pages_range(file=self.file, first=self.offset, last=last))
            case _:
                return call(shmem_fallocate(file=self.file, offset=self.offset, pages=self.pages))

    @step
    def inode_unlock(self, tx: Transaction) -> Outcome:
        """Unlock the inode."""
        return self.unlock(tx)


class kernel_read(Procedure):
    """pread(2) of one byte, the first of a page; returns it, or EOF."""

    source: ClassVar[str] = "fs/read_write.c: vfs_read; mm/filemap.c: filemap_read; mm/shmem.c: shmem_file_read_iter"
    file: str
    page: int

    @step
    def file_read_iter(self, tx: Transaction) -> Outcome:
        """At the end of the file there is nothing to read. A hole of a shmem file reads as zero and stays a hole.

        On a disk file a page that is not in the page cache is read into it first, with some that follow.
        """
        file = opened(tx, self.file)
        if isinstance(file, Done):
            return file
        if file.kind not in (*SHMEM, *HUGETLB_FILES, "ext4", "dax"):
            return fail(ESPIPE)
        if self.page >= file.size:
            return done(EOF)
        if (self.file, self.page) in tx.swapped:
            return call(shmem_get_folio(file=self.file, index=self.page))
        if file.kind in NO_DISK or (self.file, self.page) in tx.page_cache:
            return goto(kernel_read.copy_page_to_iter)
        last = self.page or FIRST_READ - 1
        return call(page_cache_ra_unbounded(file=self.file, first=self.page, last=last))

    @step
    def copy_page_to_iter(self, tx: Transaction) -> Outcome:
        """Copy the byte from the page in the cache to the caller."""
        if self.ret < 0:
            return done(self.ret)
        for held in self.holds:
            folio_unlock_put(tx, held)
        self.holds = ()
        pfn = filemap_get_entry(tx, self.file, self.page)
        if pfn is None:
            return done(0) if tx.files[self.file].kind in NO_DISK else goto(kernel_read.file_read_iter)
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=False, value=value))
        return done(value)


class kernel_write(inode_call):
    """pwrite(2) of one byte, the first of a page; beyond the end the file grows."""

    source: ClassVar[str] = "fs/read_write.c: vfs_write; mm/filemap.c: generic_perform_write"
    page: int
    value: int

    @step
    def inode_lock(self, tx: Transaction) -> Outcome:
        """Lock the inode: writes to one file come one after the other."""
        file = opened(tx, self.file)
        if isinstance(file, Done):
            return file
        if file.kind in HUGETLB_FILES:
            return fail(EINVAL)
        if file.kind not in (*SHMEM, "ext4"):
            return fail(ESPIPE)
        return fail(EFBIG) if self.page >= MAX_FILE_PAGES else self.lock(tx)

    @step
    def write_begin(self, tx: Transaction) -> Outcome:
        """Find the page in the page cache, or make one; it comes referenced and locked. Seals may forbid the write.

        Mappings of the file see the write at once: it is their page. References do as well.
        """
        file = tx.files[self.file]
        if sealed_against_writing(file) or ("grow" in file.seals and self.page >= file.size):
            self.ret = -EPERM
            return goto(kernel_write.inode_unlock)
        if file.kind in SHMEM:
            return call(shmem_get_folio(file=self.file, index=self.page, write=True))
        return call(filemap_grab_folio(file=self.file, index=self.page))

    @step
    def ext4_block_write_begin(self, tx: Transaction) -> Outcome:
        """On disk: a page that is new must be read before a part of it is written. Attach buffers to it."""
        if self.ret < 0:
            return goto(kernel_write.inode_unlock)
        (pfn,) = self.holds
        if tx.files[self.file].kind == "ext4":
            if not folio_of(tx, pfn).flags & PG_UPTODATE:
                tx.content[pfn] = tx.disk.get((self.file, self.page)) or 0
                set_page_flags(tx, pfn, PG_UPTODATE)
            folio_attach_private(tx, pfn)
        return None

    @step
    def copy_from_iter(self, tx: Transaction) -> Outcome:
        """Copy the byte into the page."""
        (pfn,) = self.holds
        tx.content[pfn] = self.value
        tx.emit(Access(pfn, write=True, value=self.value))
        return None

    @step
    def write_end(self, tx: Transaction) -> Outcome:
        """Mark the page dirty and unlock it; a write beyond the end makes the file longer."""
        (pfn,) = self.holds
        self.holds = ()
        if self.page >= tx.files[self.file].size:
            tx.files.update(self.file, size=self.page + 1)
        set_page_flags(tx, pfn, PG_DIRTY)
        folio_unlock_put(tx, pfn)
        self.ret = 0
        return None

    @step
    def inode_unlock(self, tx: Transaction) -> Outcome:
        """Unlock the inode."""
        return self.unlock(tx)


class vfs_fsync(Procedure):
    """fsync(2): what is dirty of a file goes to disk. A shmem file has no disk."""

    source: ClassVar[str] = "fs/sync.c: vfs_fsync_range"
    file: str

    @step
    def fsync(self, tx: Transaction) -> Outcome:
        """The filesystem does it."""
        file = opened(tx, self.file)
        if isinstance(file, Done):
            return file
        if file.kind == "ext4":
            return call(ext4_sync_file(file=self.file))
        return done() if file.kind in (*SHMEM, *HUGETLB_FILES) else fail(EINVAL)


class filp_close(Procedure):
    """close(2) of the last descriptor."""

    source: ClassVar[str] = "fs/open.c: filp_close; fs/file_table.c: __fput"
    file: str

    @step
    def fput(self, tx: Transaction) -> Outcome:
        """Mappings keep the file, and their pages, alive. If there are none, it goes: nobody can reach it any more."""
        file = opened(tx, self.file)
        if isinstance(file, Done):
            return file
        if file_is_held(tx, self.file):
            tx.files.update(self.file, open=False)
        else:
            release_file(tx, self.file)
        return done()
