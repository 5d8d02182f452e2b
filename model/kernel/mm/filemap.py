"""The page cache: which pages of a file are in memory, and how a fault or a read gets at them.

A page in the cache carries one reference of the cache, and its page->mapping says whose it is. Whoever wants to know
that it still belongs to the file must hold the page's lock: removing it takes that lock too.
"""

from collections.abc import Iterator
from typing import ClassVar, Final

from model.engine.config import fact, setting
from model.engine.lock import down_read, down_write, try_lock, up_read
from model.engine.procedure import Blocked, Outcome, Procedure, blocked, call, done, fail, goto, hand_over, step
from model.engine.splat import bad_page_cache, vm_bug_on_page
from model.kernel.drivers.buffer import buffer_of, free_buffer, is_leaked, own_file
from model.kernel.mm.hugetlb_pool import LAST, hugetlb_unreserve_pages
from model.kernel.mm.page import clear_page_flags, get_page, page_ref_add, put_page, set_page_flags
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.vm_fault import vm_fault
from model.kernel.mm.vma import file_is_held
from model.memory.errno import ENOMEM
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_TRIED,
    PG_DIRTY,
    PG_LRU,
    PG_PRIVATE,
    PG_UNEVICTABLE,
    PG_UPTODATE,
    PG_WRITEBACK,
    VM_EXEC,
    VM_FAULT_LOCKED,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_RAND_READ,
    VM_SEQ_READ,
)
from model.memory.folio import filemap_get_entry, page_folio
from model.memory.ordered import ceiling
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

READ_AROUND: Final = 32
"""Pages that a fault on a file reads around the one it needs: ra_pages, 128 KiB."""

MAX_FILE_PAGES: Final = 1 << 36
"""No file is longer than 256 TiB (ext4 stops at 16 TiB, shmem at 8 EiB)."""

UNEVICTABLE_FILES: Final = ("secretmem", "guest_memfd")
"""Kinds of files whose pages are never reclaimed (AS_UNEVICTABLE)."""


def i_pages(mem: Memory, file: str, first: int = 0, last: int = MAX_FILE_PAGES) -> Iterator[int]:
    """Every index in [first, last] of a file that has a page in the cache, in order; of a large folio the first."""
    around = filemap_get_entry(mem, file, first)
    if around is not None and (head := page_folio(mem, around)) != around:
        yield first - (around - head)
    index = ceiling(mem.cache_index, file, first)
    while index is not None and index <= last:
        yield index
        index = ceiling(mem.cache_index, file, index + 1)


def filemap_get_folio(tx: Transaction, file: str, index: int) -> int | None:
    """Look a page up and take a reference on it: nobody can free it now, but it may still leave the file."""
    pfn = filemap_get_entry(tx, file, index)
    if pfn is not None:
        get_page(tx, pfn)
    return pfn


def filemap_add_folio(tx: Transaction, file: str, index: int, pfn: int, flags: int = 0) -> None:
    """Put a folio into the cache where nothing is: one more reference a page, and it belongs to the file now."""
    unevictable = PG_UNEVICTABLE if tx.files[file].kind in UNEVICTABLE_FILES else 0
    tx.page_cache[file, index] = pfn
    frame = tx.frames[pfn]
    tx.frames.update(pfn, mapping=file, index=index, flags=frame.flags | PG_LRU | unevictable | flags)
    if frame.large:
        tx.files.update(file, nr_thps=tx.files[file].nr_thps + 1)
    page_ref_add(tx, pfn, frame.pages)


def filemap_remove_folio(tx: Transaction, pfn: int) -> None:
    """Take a page out of the cache: it has no file any more, and the cache's reference is gone.

    Whoever else has a reference keeps the page: an orphan that no fault and no read will ever find again.
    """
    frame = tx.frames[pfn]
    if frame.mapcount:
        still_mapped(tx, pfn)
    del tx.page_cache[frame.mapping, frame.index]
    if frame.large:
        tx.files.update(frame.mapping, nr_thps=tx.files[frame.mapping].nr_thps - 1)
    tx.frames.update(pfn, mapping="")
    put_page(tx, pfn, frame.pages)


def still_mapped(tx: Transaction, pfn: int) -> None:
    """A page leaves the cache although some entry maps it: one that is not in the file's i_mmap, as udmabuf's in 6.1.

    Source: mm/filemap.c: filemap_unaccount_folio.
    """
    if setting(tx, "debug-vm") == "on":
        vm_bug_on_page(tx, pfn, "folio_mapped(folio)", "mm/filemap.c:153")
    else:
        bad_page_cache(tx, pfn)


def folio_attach_private(tx: Transaction, pfn: int) -> None:
    """The filesystem hangs its own data on a page (ext4: buffer heads), which costs a reference."""
    if not tx.frames[pfn].flags & PG_PRIVATE:
        set_page_flags(tx, pfn, PG_PRIVATE)
        get_page(tx, pfn)


def folio_detach_private(tx: Transaction, pfn: int) -> None:
    """The filesystem takes its data off the page again, and drops the reference."""
    if tx.frames[pfn].flags & PG_PRIVATE:
        clear_page_flags(tx, pfn, PG_PRIVATE)
        put_page(tx, pfn)


def truncate_cleanup_folio(tx: Transaction, pfn: int) -> None:
    """A page is about to leave its file for good: what it holds need not be written any more (mm/truncate.c)."""
    folio_detach_private(tx, pfn)
    clear_page_flags(tx, pfn, PG_DIRTY)


def folio_lock(tx: Transaction, pfn: int) -> Blocked | None:
    """PG_locked of a page's folio: as long as we hold it the page stays in its file."""
    return down_write(tx, "folio", str(page_folio(tx, pfn)))


def folio_trylock(tx: Transaction, pfn: int) -> bool:
    """Take the page's lock if nobody has it."""
    return try_lock(tx, "folio", str(page_folio(tx, pfn)))


def folio_unlock(tx: Transaction, pfn: int) -> None:
    """Give the page's lock back, if this task holds it."""
    key = ("folio", str(page_folio(tx, pfn)))
    lock = tx.locks.get(key)
    if lock is not None and lock.writer == tx.task_name:
        del tx.locks[key]


def folio_wait_writeback(mem: Memory, pfn: int) -> Blocked | None:
    """Wait until the disk has read a page: whoever takes it out of its file, or moves it, must not be faster."""
    return blocked(f"the writeback of frame {pfn} to end") if mem.frames[pfn].flags & PG_WRITEBACK else None


def folio_unlock_put(tx: Transaction, pfn: int) -> None:
    """Unlock a page and drop a reference on it."""
    folio_unlock(tx, pfn)
    put_page(tx, pfn)


def truncated(mem: Memory, pfn: int, file: str, index: int) -> bool:
    """Whether a page that was found at `index` of a file has left it since."""
    return filemap_get_entry(mem, file, index) != pfn


class filemap_fault(vm_fault):
    """A fault on a file of a disk filesystem: the page comes from the page cache, or from disk into the page cache."""

    source: ClassVar[str] = "mm/filemap.c: filemap_fault"

    @step
    def filemap_get_folio(self, tx: Transaction) -> Outcome:
        """Beyond the end of the file there is nothing to map: SIGBUS. Else look the page up in the page cache."""
        file, index = self.where(tx)
        if index >= tx.files[file].size:
            return done(VM_FAULT_SIGBUS)
        pfn = filemap_get_folio(tx, file, index)
        if pfn is None:
            return goto(filemap_fault.do_sync_mmap_readahead)
        self.holds = (pfn,)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page and look again: has it been truncated while we waited? Under the lock it cannot be.

        The size is checked once more as well. The page is returned locked.
        """
        (pfn,) = self.holds
        file, index = self.where(tx)
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        gone = truncated(tx, pfn, file, index)
        if gone or index >= tx.files[file].size:
            self.holds = ()
            folio_unlock_put(tx, pfn)
            return goto(filemap_fault.filemap_get_folio) if gone else done(VM_FAULT_SIGBUS)
        self.holds = ()
        return hand_over(VM_FAULT_LOCKED, (pfn,))

    @step
    def do_sync_mmap_readahead(self, tx: Transaction) -> Outcome:
        """The page must come from disk. Not alone, as a rule: missing pages around it are read as well.

        Whoever only wants to change the address space should not have to wait for this disk: on the first attempt
        mmap_lock is given up.
        """
        file, index = self.where(tx)
        if self.may_retry():
            up_read(tx, "mmap_lock", self.mm)
        first, last = read_around(tx, self.vma(tx), index)
        return call(page_cache_ra_unbounded(file=file, first=first, last=last))

    @step
    def out_retry(self, tx: Transaction) -> Outcome:
        """Without mmap_lock everything may have changed, so the fault starts all over again: VM_FAULT_RETRY.

        On the second attempt fault-around finds all that has been read, and maps it.
        """
        if self.may_retry():
            return done(VM_FAULT_RETRY)
        return done(VM_FAULT_OOM) if self.ret < 0 else goto(filemap_fault.filemap_get_folio)

    def may_retry(self) -> bool:
        """Whether the caller can stand that mmap_lock is given up: the first attempt of most faults."""
        return self.flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED) == FAULT_FLAG_ALLOW_RETRY


def read_around(mem: Memory, vma: Vma, index: int) -> tuple[int, int]:
    """The first and last page that a fault at `index` reads from disk.

    MADV_RANDOM: that page alone; MADV_SEQUENTIAL: it and what follows. Code is run forwards as well, and what stands
    in the file beyond its mapping is something else. Source: mm/filemap.c: do_sync_mmap_readahead.
    """
    if vma.flags & VM_RAND_READ:
        return index, index
    if vma.flags & VM_SEQ_READ:
        return index, index + READ_AROUND - 1
    if vma.flags & VM_EXEC and fact(mem, "faults in code read ahead only"):
        return index, min(index + READ_AROUND, vma.pgoff + vma.pages) - 1
    first = max(index - READ_AROUND // 2, 0)
    return first, first + READ_AROUND - 1


class filemap_grab_folio(Procedure):
    """Find the page at an index, or put a new one there; hands it over with a reference, locked.

    A new page is not uptodate: the caller must fill it. Fails with -ENOMEM.
    """

    source: ClassVar[str] = "include/linux/pagemap.h: filemap_grab_folio; mm/filemap.c: __filemap_get_folio"
    file: str
    index: int

    @step
    def filemap_get_entry(self, tx: Transaction) -> Outcome:
        """Does the page cache have a page there?"""
        pfn = filemap_get_folio(tx, self.file, self.index)
        if pfn is None:
            return goto(filemap_grab_folio.filemap_add_folio)
        self.holds = (pfn,)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock it, and look whether it has been truncated while we waited: then start again."""
        (pfn,) = self.holds
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        self.holds = ()
        if truncated(tx, pfn, self.file, self.index):
            folio_unlock_put(tx, pfn)
            return goto(filemap_grab_folio.filemap_get_entry)
        return hand_over(0, (pfn,))

    @step
    def filemap_add_folio(self, tx: Transaction) -> Outcome:
        """Allocate a page and, under the lock of i_pages, put it into the cache, unless somebody was faster."""
        if (self.file, self.index) in tx.page_cache:
            return goto(filemap_grab_folio.filemap_get_entry)
        pfn = alloc_page(tx, "file")
        if pfn is None:
            return fail(ENOMEM)
        filemap_add_folio(tx, self.file, self.index, pfn)
        folio_trylock(tx, pfn)
        return hand_over(0, (pfn,))


class page_cache_ra_unbounded(Procedure):
    """Read those pages of a range of a file that are not in the page cache."""

    source: ClassVar[str] = "mm/readahead.c: page_cache_ra_unbounded"
    file: str
    first: int
    last: int

    @step
    def filemap_invalidate_lock_shared(self, tx: Transaction) -> Outcome:
        """Hole punching and truncation take this lock for writing: they do not run beside us."""
        return down_read(tx, "invalidate_lock", self.file)

    @step
    def filemap_add_folio(self, tx: Transaction) -> Outcome:
        """Allocate a page for the next index that has none, put it into the cache, and read it from disk.

        A hole of the file has no blocks: its page is only cleared.
        """
        last = min(self.last, tx.files[self.file].size - 1)
        while self.first <= last and (self.file, self.first) in tx.page_cache:
            self.first += 1
        if self.first > last:
            return None
        pfn = alloc_page(tx, "file", content=tx.disk.get((self.file, self.first)) or 0)
        if pfn is None:
            up_read(tx, "invalidate_lock", self.file)
            return fail(ENOMEM)
        filemap_add_folio(tx, self.file, self.first, pfn, PG_UPTODATE)
        put_page(tx, pfn)
        return goto(page_cache_ra_unbounded.filemap_add_folio)

    @step
    def filemap_invalidate_unlock_shared(self, tx: Transaction) -> Outcome:
        """All of the range is in the page cache now."""
        up_read(tx, "invalidate_lock", self.file)
        return done()


def release_file(tx: Transaction, file: str) -> None:
    """The last user of a file is gone: its pages leave the cache, its blocks the disk, its name is free.

    A page that somebody still holds a reference on survives as an orphan. What a driver has allocated for its file
    goes likewise. Source: fs/inode.c: evict.
    """
    if buffer_of(file) in tx.buffers and tx.buffers[buffer_of(file)].file == file:
        free_buffer(tx, buffer_of(file))
        if (pages := own_file(buffer_of(file))) in tx.files:
            release_file(tx, pages)
    freed = 0
    for index in list(i_pages(tx, file)):
        pfn = tx.page_cache[file, index]
        freed += 1
        if tx.frames[pfn].mapping == file:
            truncate_cleanup_folio(tx, pfn)
            filemap_remove_folio(tx, pfn)
        else:
            del tx.page_cache[file, index]
            put_page(tx, pfn)
    free_blocks(tx, file, 0)
    if tx.files[file].reserved:
        hugetlb_unreserve_pages(tx, file, 0, LAST, freed)

    from model.kernel.mm.swap import shmem_free_swap, swapped_pages

    for index in list(swapped_pages(tx, file, 0, MAX_FILE_PAGES)):
        shmem_free_swap(tx, file, index)
    del tx.files[file]


def get_file(tx: Transaction, file: str) -> None:
    """Hold a file for a call that goes on without mmap_lock: the VMA that names it may go meanwhile (fs.h)."""
    tx.files.update(file, users=tx.files[file].users + 1)


def fput(tx: Transaction, file: str) -> None:
    """Let go of a file that get_file() has held (fs/file_table.c)."""
    tx.files.update(file, users=tx.files[file].users - 1)
    release_if_unused(tx, file)


def release_if_unused(tx: Transaction, file: str) -> None:
    """A closed file goes with the last VMA and the last call that hold it."""
    if tx.files[file].open or file_is_held(tx, file):
        return
    if buffer_of(file) not in tx.buffers or not is_leaked(tx, buffer_of(file)):
        release_file(tx, file)


def free_blocks(tx: Transaction, file: str, first: int, last: int = MAX_FILE_PAGES) -> None:
    """What stands on disk in a range of a file is forgotten: it reads as zeros."""
    index = ceiling(tx.disk_index, file, first)
    while index is not None and index <= last:
        del tx.disk[file, index]
        index = ceiling(tx.disk_index, file, index + 1)
