"""DAX: a file's storage *is* memory, and a mapping points straight at it. The mistake, and how it was mended.

Storage belongs to the filesystem: who truncates a file gives its blocks to the next one. Yet GUP may take references
on them. So the filesystem must do what TTM never does: unmap first, and then *wait* for all references before a
block is reused (kernel-facts L).
"""

from typing import ClassVar, Final

from model.engine.config import fact, setting
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, blocked, call, done, fail, goto, step
from model.engine.splat import warn_on_once
from model.kernel.arch.pgtable import pte_lock, vm_get_page_prot
from model.kernel.mm.filemap import i_pages
from model.kernel.mm.free_list import give, take
from model.kernel.mm.page import folio_add_rmap, page_count, page_ref_add
from model.kernel.mm.physical import PMEM_BASE, idle_count
from model.kernel.mm.vm_fault import vm_fault
from model.memory.errno import EEXIST, EFBIG, ENOSPC
from model.memory.flags import (
    FAULT_FLAG_WRITE,
    PAGE_DEVMAP,
    PAGE_DIRTY,
    PAGE_RW,
    PAGE_SPECIAL,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import File, Frame, Pte
from model.memory.state import Transaction

PMEM_PAGES: Final = 1 << 16


def alloc_block(tx: Transaction, file: str, index: int) -> int | None:
    """A block of the storage for a page of a file; None if the disk is full."""
    used = tx.counters.get("pmem_high_water") or 0
    fresh = PMEM_BASE + used if used < PMEM_PAGES else None
    pfn = take(tx, tx.free, "pmem_free_head", fresh)
    if pfn is None:
        return None
    if pfn == fresh:
        tx.counters["pmem_high_water"] = used + 1
        tx.frames[pfn] = Frame("dax", refcount=idle_count(tx))
    tx.frames.update(pfn, mapping=file, index=index)
    tx.page_cache[file, index] = pfn
    if tx.content.get(pfn):
        tx.content[pfn] = 0
    return pfn


def free_block(tx: Transaction, file: str, index: int) -> None:
    """The block goes back to the filesystem, which may give it to another file at once."""
    pfn = tx.page_cache[file, index]
    if page_count(tx, pfn) > idle_count(tx):
        warn_on_once(tx, "fs/dax.c:407 dax_disassociate_entry", "WARN_ON_ONCE(trunc && page_ref_count(page) > 1)")
    del tx.page_cache[file, index]
    tx.frames.update(pfn, mapping="", index=0)
    give(tx, tx.free, "pmem_free_head", pfn)


class dax_create(Procedure):
    """A file on a DAX filesystem, its blocks allocated."""

    source: ClassVar[str] = "fs/ext4/inode.c: ext4_iomap_alloc"
    file: str
    pages: int

    @step
    def allocate_blocks(self, tx: Transaction) -> Outcome:
        """Give every page of the file a block of the storage."""
        if self.file in tx.files:
            return fail(EEXIST)
        if self.pages > PMEM_PAGES:
            return fail(EFBIG)
        tx.files[self.file] = File("dax", size=self.pages)
        for index in range(self.pages):
            if alloc_block(tx, self.file, index) is None:
                return fail(ENOSPC)
        return done()


class dax_iomap_fault(vm_fault):
    """A fault on a DAX mapping: the entry points at the storage itself."""

    source: ClassVar[str] = "fs/dax.c: dax_iomap_pte_fault; 6.1: vmf_insert_mixed, 7.3: vmf_insert_page_mkwrite"

    @step
    def filemap_invalidate_lock_shared(self, tx: Transaction) -> Outcome:
        """Truncation and hole punching hold this lock: no fault maps a block that is being taken away."""
        return down_read(tx, "invalidate_lock", self.where(tx)[0])

    @step
    def insert_entry(self, tx: Transaction) -> Outcome:
        """Up to 6.12 the entry is special and devmap, and counts nothing; since 6.15 it is an ordinary, counted one.

        Either way get_user_pages() can take a reference through it.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        file, index = self.where(tx)
        vma = self.vma(tx)
        up_read(tx, "invalidate_lock", file)
        pfn = tx.page_cache.get((file, index))
        if index >= tx.files[file].size:
            return done(VM_FAULT_SIGBUS)
        if pfn is None and (pfn := alloc_block(tx, file, index)) is None:
            return done(VM_FAULT_OOM)
        if (self.mm, self.vpn) in tx.ptes:
            return done(VM_FAULT_NOPAGE)
        bits = vm_get_page_prot(vma.flags)
        if self.flags & FAULT_FLAG_WRITE and vma.flags & VM_WRITE and vma.flags & VM_SHARED:
            bits |= PAGE_RW | PAGE_DIRTY
        if fact(tx, "fsdax entries are devmap"):
            bits |= PAGE_SPECIAL | PAGE_DEVMAP
        else:
            page_ref_add(tx, pfn, 1)
            folio_add_rmap(tx, pfn, vma, self.mm)
        tx.ptes[self.mm, self.vpn] = Pte(pfn, bits)
        return done(VM_FAULT_NOPAGE)


class dax_break_layout(Procedure):
    """Take a range of a file away from everybody: unmap it, then wait until nobody holds a reference on its pages.

    The caller holds the invalidate_lock.
    """

    source: ClassVar[str] = "fs/dax.c: dax_break_layout; 6.1: fs/ext4/inode.c: ext4_break_layouts"
    file: str
    first: int
    last: int
    waits_for: int = 0
    """The page of the file that somebody holds."""

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Clear the entries of the range in every process. A GUP-fast that races with us sees that at its re-check."""
        pages = self.last - self.first + 1

        from model.kernel.mm.unmap import unmap_mapping_range

        return call(unmap_mapping_range(file=self.file, offset=self.first, pages=pages, even_cows=False))

    @step
    def wait_page_idle(self, tx: Transaction) -> Outcome:
        """Look at the refcounts. As long as somebody holds a page of the range, sleep: this is what TTM does not do.

        While it sleeps the invalidate_lock is free, and faults may map the page again (ext4_wait_dax_page). With
        dax-break-layouts off (as DAX began) nobody waits.

        As it was before 430657b6be89, ext4 does not wait either: it gives the blocks to another file under the
        references.
        """
        if setting(tx, "dax-break-layouts") == "off" or not mended(tx, "ext4-break-layouts"):
            return done()
        for index in i_pages(tx, self.file, self.first, self.last):
            if self.busy(tx, index):
                self.waits_for = index
                up_write(tx, "invalidate_lock", self.file)
                return None
        return done()

    @step
    def ext4_wait_dax_page(self, tx: Transaction) -> Outcome:
        """Sleep until the page is idle: the last reference on it is put (include/linux/dax.h: dax_page_is_idle).

        Since 6.15 that means a count of 0, and an entry has a reference, too: who has mapped the page again keeps the
        sleeper waiting, until the mapping goes.
        """
        pfn = tx.page_cache.get((self.file, self.waits_for))
        if pfn is not None and page_count(tx, pfn) != idle_count(tx):
            return blocked(f"the last reference on page {self.waits_for} of {self.file} to be put")
        return None

    @step
    def filemap_invalidate_lock_again(self, tx: Transaction) -> Outcome:
        """Lock faults out again, and start anew: somebody may have mapped or taken a page meanwhile."""
        wait = down_write(tx, "invalidate_lock", self.file)
        return wait if wait is not None else goto(dax_break_layout.unmap_mapping_range)

    def busy(self, tx: Transaction, index: int) -> bool:
        """Whether somebody holds a page of the file, by more than its mappings (fs/dax.c: dax_busy_page)."""
        pfn = tx.page_cache.get((self.file, index))
        return pfn is not None and page_count(tx, pfn) > idle_count(tx) + tx.frames[pfn].mapcount


class dax_truncate(Procedure):
    """Truncate or punch a DAX file; the caller holds the inode's lock."""

    source: ClassVar[str] = "fs/ext4/inode.c: ext4_setattr, ext4_punch_hole"
    file: str
    first: int
    last: int
    size: int = -1
    """The new size; -1: it stays (a punched hole)."""

    @step
    def filemap_invalidate_lock(self, tx: Transaction) -> Outcome:
        """No fault maps a block of the file from here on."""
        return down_write(tx, "invalidate_lock", self.file)

    @step
    def break_layouts(self, tx: Transaction) -> Outcome:
        """Get every mapping and every reference out of the way."""
        return call(dax_break_layout(file=self.file, first=self.first, last=self.last))

    @step
    def set_size(self, tx: Transaction) -> Outcome:
        """Set the size, and unmap private copies beyond the new end as well."""
        if self.size < 0:
            return goto(dax_truncate.free_blocks)
        tx.files.update(self.file, size=self.size)

        from model.kernel.mm.unmap import unmap_mapping_range

        return call(unmap_mapping_range(file=self.file, offset=self.size))

    @step
    def free_blocks(self, tx: Transaction) -> Outcome:
        """Give the blocks back to the filesystem: another file may have them at once."""
        for index in list(i_pages(tx, self.file, self.first, self.last)):
            free_block(tx, self.file, index)
        up_write(tx, "invalidate_lock", self.file)
        return done()
