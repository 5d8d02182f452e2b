"""Pipes: buffers that name a page each. A pipe of one buffer is enough to see who may write to that page.

write(2) fills a page of the pipe's own, and later writes are appended to it: PIPE_BUF_FLAG_CAN_MERGE. splice(2) puts a
file's page into the buffer as it is, with a reference; nothing may be appended there.
"""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, step
from model.kernel.fs.vfs import opened_for_reading
from model.kernel.mm.filemap import folio_unlock_put, page_cache_ra_unbounded
from model.kernel.mm.page import get_page, put_page
from model.kernel.mm.page_alloc import alloc_page
from model.memory.errno import EAGAIN, EBADF, EEXIST, EINVAL, ENOMEM
from model.memory.events import Access
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Memory, Transaction

FULL_OR_EMPTY = EAGAIN
"""What a pipe answers that is opened with O_NONBLOCK, as this one is."""


def the_pipe(mem: Memory, name: str) -> Reference | None:
    """The pipe of that name; None if there is none, or the name stands for another kind of holder."""
    found = mem.references.get(name)
    return found if found is not None and found.kind == "pipe" else None


class alloc_pipe_info(Procedure):
    """pipe(2): a pipe with one empty buffer."""

    source: ClassVar[str] = "fs/pipe.c: alloc_pipe_info, create_pipe_files"
    name: str

    @step
    def kcalloc_bufs(self, tx: Transaction) -> Outcome:
        """Allocate the ring of buffers, all zero: no page, no flags."""
        if self.name in tx.references:
            return fail(EEXIST)
        tx.references[self.name] = Reference("pipe")
        return done()


class pipe_write(Procedure):
    """write(2) of one byte to a pipe."""

    source: ClassVar[str] = "fs/pipe.c: pipe_write"
    name: str
    value: int

    @step
    def append_to_last_buffer(self, tx: Transaction) -> Outcome:
        """If the last buffer has the flag CAN_MERGE, and room, the byte is appended to its page. Otherwise go on.

        Nobody asks whose page that is: the flag says that it is the pipe's own.
        """
        pipe = the_pipe(tx, self.name)
        if pipe is None:
            return fail(EBADF)
        if not pipe.frames:
            return None
        if not pipe.write:
            return fail(FULL_OR_EMPTY)
        (pfn,) = pipe.frames
        tx.content[pfn] = self.value
        tx.emit(Access(pfn, write=True, value=self.value, reference=self.name))
        return done()

    @step
    def fill_new_buffer(self, tx: Transaction) -> Outcome:
        """Take a fresh page, and note in the buffer that more may be appended."""
        pipe = the_pipe(tx, self.name)
        if pipe is None or pipe.frames:
            return fail(EBADF if pipe is None else FULL_OR_EMPTY)
        pfn = alloc_page(tx, "kernel", content=self.value)
        if pfn is None:
            return fail(ENOMEM)
        tx.references[self.name] = replaced(pipe, frames=(pfn,), write=True)
        return done()


class pipe_read(Procedure):
    """read(2) of all that a pipe has; returns the byte."""

    source: ClassVar[str] = "fs/pipe.c: pipe_read; include/linux/pipe_fs_i.h: pipe_buf_release"
    name: str

    @step
    def copy_page_to_iter(self, tx: Transaction) -> Outcome:
        """Copy the byte out of the buffer's page."""
        pipe = the_pipe(tx, self.name)
        if pipe is None:
            return fail(EBADF)
        if not pipe.frames:
            return fail(FULL_OR_EMPTY)
        (pfn,) = pipe.frames
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=False, value=value, reference=self.name))
        self.ret = value
        return None

    @step
    def pipe_buf_release(self, tx: Transaction) -> Outcome:
        """The buffer is empty: put its page. What else stands in its record, flags included, stays as it is."""
        pipe = the_pipe(tx, self.name)
        if pipe is not None and pipe.frames:
            tx.references[self.name] = replaced(pipe, frames=())
            put_page(tx, pipe.frames[0])
        return done(self.ret)


class splice_file_to_pipe(Procedure):
    """splice(2) from a file: the page of the page cache itself goes into the pipe. Nothing is copied."""

    source: ClassVar[str] = "fs/splice.c: splice_file_to_pipe; lib/iov_iter.c: copy_page_to_iter_pipe (6.1)"
    name: str
    file: str
    page: int

    @step
    def find_page(self, tx: Transaction) -> Outcome:
        """Find the page in the page cache; read it in if it is not there."""
        kind = opened_for_reading(tx, self.file)
        if not isinstance(kind, str):
            return kind
        if self.page >= tx.files[self.file].size:
            return fail(EINVAL)
        if (self.file, self.page) in tx.page_cache:
            return None
        if kind != "ext4":
            return fail(EINVAL)  # a hole of a memfd: the shared zero page, which is no page of the file
        return call(page_cache_ra_unbounded(file=self.file, first=self.page, last=self.page))

    @step
    def copy_page_to_iter_pipe(self, tx: Transaction) -> Outcome:
        """Put the page into the buffer, with a reference. The buffer's flags are set to 0: nothing may be appended.

        As it was before 9d2231c5d74e, the flags are not set. What the last user of the buffer has left there stays.
        """
        if self.ret < 0:
            return done(self.ret)
        for held in self.holds:
            folio_unlock_put(tx, held)
        self.holds = ()
        pipe, pfn = the_pipe(tx, self.name), tx.page_cache.get((self.file, self.page))
        if pipe is None or pfn is None:
            return fail(EBADF if pipe is None else EINVAL)
        if pipe.frames:
            return fail(FULL_OR_EMPTY)
        get_page(tx, pfn)
        flags = pipe.write and not mended(tx, "pipe-buffer-flags")
        tx.references[self.name] = replaced(pipe, frames=(pfn,), write=flags)
        return done()
