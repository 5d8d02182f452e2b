"""shmem (tmpfs): files that live in the page cache alone: memfds, and what lies behind shared anonymous memory."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, hand_over, step, tail
from model.kernel.mm.filemap import (
    filemap_add_folio,
    filemap_get_folio,
    filemap_remove_folio,
    folio_lock,
    folio_unlock_put,
    truncated,
)
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.vm_fault import vm_fault
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import ENOENT, ENOMEM, EPERM
from model.memory.flags import (
    PG_SWAPBACKED,
    PG_UPTODATE,
    VM_FAULT_LOCKED,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_UFFD_MINOR,
    VM_UFFD_MISSING,
)
from model.memory.folio import filemap_get_entry
from model.memory.records import File
from model.memory.state import Transaction

BEYOND_EOF = -1
"""shmem_get_folio(): -EINVAL, the index is beyond the end of the file."""


class shmem_fault(vm_fault):
    """A fault on a shmem file: find its page, or give the hole a zeroed one."""

    source: ClassVar[str] = "mm/shmem.c: shmem_fault"

    @step
    def shmem_get_folio(self, tx: Transaction) -> Outcome:
        """Get the file's page at this offset, whoever mapped it first."""
        file, index = self.where(tx)
        return call(shmem_get_folio(file=file, index=index, mm=self.mm, vpn=self.vpn, flags=self.flags))

    @step
    def vmf_error(self, tx: Transaction) -> Outcome:
        """Beyond the end of the file: SIGBUS. Otherwise the page is handed over, referenced and locked."""
        if self.ret > 0:
            return done(self.ret)
        if self.ret < 0:
            return done(VM_FAULT_SIGBUS if self.ret == BEYOND_EOF else VM_FAULT_OOM)
        pages, self.holds = self.holds, ()
        return hand_over(VM_FAULT_LOCKED, pages)


class shmem_get_folio(Procedure):
    """Find or make the page of a shmem file. Hands it over with a reference, locked.

    Fails with BEYOND_EOF, -ENOMEM or -ENOENT; returns VM_FAULT_* bits where userfaultfd handles the fault.
    """

    source: ClassVar[str] = "mm/shmem.c: shmem_get_folio_gfp"
    file: str
    index: int
    write: bool = False
    """SGP_WRITE: a write(2) may go beyond the end of the file."""
    noalloc: bool = False
    """SGP_NOALLOC: a hole stays one, ENOENT."""
    mm: str = ""
    """Called by a fault: whose …"""
    vpn: int = 0
    """… where …"""
    flags: int = 0
    """… and its FAULT_FLAG_* bits."""
    allocated: bool = False
    """The page in `holds` was put into the cache by this call."""

    @step
    def filemap_get_entry(self, tx: Transaction) -> Outcome:
        """Is the offset inside the file, and does the page cache have a page there?"""
        if self.beyond_eof(tx):
            return done(BEYOND_EOF)
        exists = filemap_get_entry(tx, self.file, self.index) is not None or (self.file, self.index) in tx.swapped
        vma = vma_lookup(tx, self.mm, self.vpn) if self.mm else None
        # A hole is the business of userfaultfd where it is registered for `missing`, a page for `minor`.
        reason = VM_UFFD_MINOR if exists else VM_UFFD_MISSING
        if vma is not None and vma.flags & reason:
            from model.kernel.mm.userfaultfd import handle_userfault

            return tail(handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=reason))
        if self.noalloc and not exists:
            return fail(ENOENT)
        pfn = filemap_get_folio(tx, self.file, self.index)
        if pfn is None:
            swapped = (self.file, self.index) in tx.swapped
            return goto(shmem_get_folio.shmem_swapin_folio if swapped else shmem_get_folio.shmem_alloc_folio)
        self.holds = (pfn,)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page, and look whether it has been truncated while we waited: then start again."""
        (pfn,) = self.holds
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        if truncated(tx, pfn, self.file, self.index):
            self.holds = ()
            folio_unlock_put(tx, pfn)
            return goto(shmem_get_folio.filemap_get_entry)
        return goto(shmem_get_folio.recheck_size)

    @step
    def shmem_swapin_folio(self, tx: Transaction) -> Outcome:
        """The page was swapped out: read it back into the page cache, and give its slot back.

        Unless it has been read back or truncated meanwhile (shmem_confirm_swap): then start again.
        """
        if (self.file, self.index) not in tx.swapped:
            return goto(shmem_get_folio.filemap_get_entry)

        from model.kernel.mm.swap import shmem_swapin

        pfn = shmem_swapin(tx, self.file, self.index)
        if pfn is None:
            return fail(ENOMEM)
        filemap_add_folio(tx, self.file, self.index, pfn)
        self.holds = (pfn,)
        return goto(shmem_get_folio.folio_lock)

    @step
    def shmem_alloc_folio(self, tx: Transaction) -> Outcome:
        """A hole: allocate a zeroed page for it. It is locked from birth."""
        pfn = alloc_page(tx, "file", flags=PG_SWAPBACKED | PG_UPTODATE)
        if pfn is None:
            return fail(ENOMEM)
        self.holds = (pfn,)
        return folio_lock(tx, pfn)

    @step
    def shmem_add_to_page_cache(self, tx: Transaction) -> Outcome:
        """Under the lock of i_pages: put the page into the cache, unless somebody was faster.

        The page is clean: it becomes dirty when somebody writes to it. A clean page of zeros need not be swapped out.
        """
        (pfn,) = self.holds
        if filemap_get_entry(tx, self.file, self.index) is not None:
            self.holds = ()
            folio_unlock_put(tx, pfn)
            return goto(shmem_get_folio.filemap_get_entry)
        filemap_add_folio(tx, self.file, self.index, pfn)
        self.allocated = True
        return None

    @step
    def recheck_size(self, tx: Transaction) -> Outcome:
        """Perhaps the file has been truncated since we looked at its size. Under the page's lock it counts."""
        (pfn,) = self.holds
        self.holds = ()
        if not self.beyond_eof(tx):
            return hand_over(0, (pfn,))
        if self.allocated:
            filemap_remove_folio(tx, pfn)
        folio_unlock_put(tx, pfn)
        return done(BEYOND_EOF)

    def beyond_eof(self, tx: Transaction) -> bool:
        """Whether the index lies beyond i_size."""
        return not self.write and self.index >= tx.files[self.file].size


class shmem_setattr(Procedure):
    """ftruncate() of a shmem file; the caller holds the inode's lock."""

    source: ClassVar[str] = "mm/shmem.c: shmem_setattr"
    file: str
    pages: int

    @step
    def i_size_write(self, tx: Transaction) -> Outcome:
        """Set the new size, unless a seal forbids it. From now on every fault beyond it is a SIGBUS.

        Growing is all there is to it: what is new is a hole.
        """
        file = tx.files[self.file]
        sealed = "shrink" if self.pages < file.size else "grow" if self.pages > file.size else ""
        if sealed in file.seals:
            return fail(EPERM)
        tx.files.update(self.file, size=self.pages)
        return None if self.pages < file.size else done()

    @step
    def truncate_pagecache(self, tx: Transaction) -> Outcome:
        """Take the pages beyond the new end out of all page tables and out of the cache."""
        from model.kernel.mm.truncate import truncate_pagecache

        return tail(truncate_pagecache(file=self.file, pages=self.pages))


class shmem_fallocate(Procedure):
    """fallocate(FALLOC_FL_PUNCH_HOLE) on a shmem file; the caller holds the inode's lock.

    In the kernel faults inside the hole wait while it is being punched, so that it can end at all; here a fault that
    comes in between merely makes truncate_inode_folio() unmap once more.
    """

    source: ClassVar[str] = "mm/shmem.c: shmem_fallocate"
    file: str
    offset: int
    pages: int

    @step
    def check_seals(self, tx: Transaction) -> Outcome:
        """A hole is a write: F_SEAL_WRITE and F_SEAL_FUTURE_WRITE forbid it."""
        return fail(EPERM) if sealed_against_writing(tx.files[self.file]) else None

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Unmap the file's own pages in the range from every process. Private copies stay where they are."""
        from model.kernel.mm.unmap import unmap_mapping_range

        return call(unmap_mapping_range(file=self.file, offset=self.offset, pages=self.pages, even_cows=False))

    @step
    def shmem_truncate_range(self, tx: Transaction) -> Outcome:
        """Remove the pages from the cache. There is no need to unmap again: private copies are to survive."""
        last = self.offset + self.pages - 1

        from model.kernel.mm.truncate import truncate_inode_pages_range

        return tail(truncate_inode_pages_range(file=self.file, first=self.offset, last=last))


def sealed_against_writing(file: File) -> bool:
    """Whether write(2), punching holes and new writable shared mappings are forbidden (mm/memfd.c, mm/shmem.c)."""
    return "write" in file.seals or "future_write" in file.seals
