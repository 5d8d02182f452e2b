"""A file of a disk filesystem (ext4): it must know which pages are dirty, and so which may be written to.

Between a file and its disk stands the page cache. A page that is to be written needs buffer heads (PG_private, one
reference), and the filesystem wants to be asked before: that is why a shared mapping starts read-only, and why fsync()
makes it read-only again.
"""

from typing import ClassVar

from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import hold_pte_lock, pte_lock, pte_unlock
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import (
    MAX_FILE_PAGES,
    filemap_get_folio,
    folio_attach_private,
    folio_lock,
    folio_unlock,
    folio_unlock_put,
    folio_wait_writeback,
    free_blocks,
    i_pages,
    truncated,
)
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import clear_page_flags, set_page_flags
from model.kernel.mm.vm_fault import vm_mkwrite
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import (
    PAGE_DIRTY,
    PAGE_RW,
    PG_DIRTY,
    PG_WRITEBACK,
    VM_FAULT_LOCKED,
    VM_FAULT_NOPAGE,
    VM_SHARED,
)
from model.memory.state import Transaction
from model.memory.units import Pfn


class ext4_page_mkwrite(vm_mkwrite):
    """A page of a shared mapping is about to be written for the first time since it was clean."""

    source: ClassVar[str] = "fs/ext4/inode.c: ext4_page_mkwrite; fs/buffer.c: block_page_mkwrite"

    @step
    def filemap_invalidate_lock_shared(self, tx: Transaction) -> Outcome:
        """No hole may be punched while blocks are reserved for the page."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        return down_read(tx, "invalidate_lock", vma.file)

    @step
    def block_page_mkwrite(self, tx: Transaction) -> Outcome:
        """Under the page's lock: is it still in the file? Then attach buffers, reserve blocks, mark the page dirty.

        From now on writeback knows of it. The page is returned locked, so that it stays so until the entry is writable.
        """
        if (wait := folio_lock(tx, self.pfn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        up_read(tx, "invalidate_lock", vma.file)
        index = vma.pgoff + self.vpn - vma.start
        if truncated(tx, self.pfn, vma.file, index) or index >= tx.files[vma.file].size:
            folio_unlock(tx, self.pfn)
            return done(VM_FAULT_NOPAGE)
        folio_attach_private(tx, self.pfn)
        set_page_flags(tx, self.pfn, PG_DIRTY)
        return done(VM_FAULT_LOCKED)


class ext4_setattr(Procedure):
    """ftruncate() of a file on ext4; the caller holds the inode's lock."""

    source: ClassVar[str] = "fs/ext4/inode.c: ext4_setattr"
    file: str
    pages: int

    @step
    def filemap_invalidate_lock(self, tx: Transaction) -> Outcome:
        """Faults that have to read from disk wait until the truncation is done."""
        return down_write(tx, "invalidate_lock", self.file)

    @step
    def i_size_write(self, tx: Transaction) -> Outcome:
        """Set the new size. From now on every fault beyond it is a SIGBUS. What is new of a grown file is a hole."""
        shrinks = self.pages < tx.files[self.file].size
        tx.files.update(self.file, size=self.pages)

        from model.kernel.mm.truncate import truncate_pagecache

        return call(truncate_pagecache(file=self.file, pages=self.pages)) if shrinks else None

    @step
    def ext4_truncate(self, tx: Transaction) -> Outcome:
        """Free the blocks beyond the end: if the file grows again, they read as zeros."""
        free_blocks(tx, self.file, self.pages)
        up_write(tx, "invalidate_lock", self.file)
        return done()


class ext4_punch_hole(Procedure):
    """fallocate(FALLOC_FL_PUNCH_HOLE) on ext4; the caller holds the inode's lock."""

    source: ClassVar[str] = "fs/ext4/inode.c: ext4_punch_hole; mm/truncate.c: truncate_pagecache_range"
    file: str
    offset: int
    pages: int

    @step
    def filemap_invalidate_lock(self, tx: Transaction) -> Outcome:
        """Faults that have to read from disk wait until the hole is there.

        As it was before ea3d7209ca01, nobody waits: a fault may read a page back whose block is about to be freed.
        """
        return down_write(tx, "invalidate_lock", self.file) if mended(tx, "ext4-mmap-lock") else None

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Unmap the file's own pages in the range from every process. Private copies stay where they are."""
        from model.kernel.mm.unmap import unmap_mapping_range

        return call(unmap_mapping_range(file=self.file, offset=self.offset, pages=self.pages, even_cows=False))

    @step
    def truncate_inode_pages(self, tx: Transaction) -> Outcome:
        """Remove the pages from the page cache, dirty ones as well."""
        last = self.offset + self.pages - 1

        from model.kernel.mm.truncate import truncate_inode_pages_range

        return call(truncate_inode_pages_range(file=self.file, first=self.offset, last=last))

    @step
    def ext4_ext_remove_space(self, tx: Transaction) -> Outcome:
        """Free the blocks: the range reads as zeros."""
        free_blocks(tx, self.file, self.offset, self.offset + self.pages - 1)
        if mended(tx, "ext4-mmap-lock"):
            up_write(tx, "invalidate_lock", self.file)
        return done()


class ext4_sync_file(Procedure):
    """fsync(): write every dirty page of the file to disk, and wait. msync(2) asks for some of its pages only."""

    source: ClassVar[str] = "fs/ext4/fsync.c: ext4_sync_file; mm/page-writeback.c: write_cache_pages"
    file: str
    index: int = 0
    """Where to look for the next dirty page."""
    last: int = MAX_FILE_PAGES
    """The last page to look at."""

    @step
    def writeback_iter(self, tx: Transaction) -> Outcome:
        """Find the next page that is tagged dirty. A store through a mapping made its page dirty when it faulted.

        When there is none, wait for those that somebody else is writing (filemap_fdatawait_range).
        """
        for index in i_pages(tx, self.file, self.index, self.last):
            if tx.frames[tx.page_cache[self.file, index]].flags & PG_DIRTY:
                pfn = filemap_get_folio(tx, self.file, index)
                assert pfn is not None
                self.index, self.holds = index, (pfn,)
                return None
        written = (tx.page_cache[self.file, index] for index in i_pages(tx, self.file, 0, self.last))
        return next((wait for pfn in written if (wait := folio_wait_writeback(tx, pfn))), None) or done()

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock it. If it has left the file meanwhile there is nothing to write; if it is being written, wait."""
        (pfn,) = self.holds
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        if truncated(tx, pfn, self.file, self.index):
            self.holds = ()
            folio_unlock_put(tx, pfn)
            return goto(ext4_sync_file.writeback_iter)
        if (wait := folio_wait_writeback(tx, pfn)) is not None:
            return wait
        return call(folio_mkclean(file=self.file, pfn=pfn))

    @step
    def folio_clear_dirty_for_io(self, tx: Transaction) -> Outcome:
        """No CPU can write to the page without telling us any more. It is clean from here on, and under writeback."""
        (pfn,) = self.holds
        clear_page_flags(tx, pfn, PG_DIRTY)
        set_page_flags(tx, pfn, PG_WRITEBACK)
        folio_unlock(tx, pfn)
        return None

    @step
    def ext4_io_submit(self, tx: Transaction) -> Outcome:
        """The disk reads the page. Whoever writes to it without a fault, a device with a pin, may come too late."""
        (pfn,) = self.holds
        tx.disk[self.file, self.index] = tx.content.get(pfn) or 0
        return None

    @step
    def folio_end_writeback(self, tx: Transaction) -> Outcome:
        """The disk is done: on to the next page."""
        (pfn,) = self.holds
        self.holds = ()
        clear_page_flags(tx, pfn, PG_WRITEBACK)
        folio_unlock_put(tx, pfn)
        self.index += 1
        return goto(ext4_sync_file.writeback_iter)


class folio_mkclean(Procedure):
    """Make every entry that maps a page of a file read-only and clean; the caller holds the page's lock."""

    source: ClassVar[str] = "mm/rmap.c: folio_mkclean, page_vma_mkclean_one"
    file: str
    pfn: Pfn
    mm: str = ""
    vpn: int = 0
    """The entry that is being made clean."""

    @step
    def lock_i_mmap(self, tx: Transaction) -> Outcome:
        """The file knows its mappings: hold their tree still."""
        return down_read(tx, "i_mmap_rwsem", self.file)

    @step
    def page_vma_mkclean_one(self, tx: Transaction) -> Outcome:
        """In the next shared mapping: tell who mirrors it, clear the entry's dirty and write bits, and flush TLBs.

        All under the page table's lock. The next store will fault, and page_mkwrite will hear of it. Private mappings
        never write to the file's page.
        """
        from model.kernel.mm.rmap_walk import rmap_walk

        for mm, vma, vpn in rmap_walk(tx, self.pfn):
            pte = tx.ptes[mm, vpn]
            if not vma.flags & VM_SHARED or not (pte.writable or pte.dirty):
                continue
            if (wait := pte_lock(tx, mm, vpn)) is not None:
                return wait
            mmu_notifier_invalidate_range_start(tx, mm, vpn, vpn + 1)
            hold_pte_lock(tx, mm, vpn)
            tx.ptes[mm, vpn] = pte.without(PAGE_RW | PAGE_DIRTY)
            self.mm, self.vpn = mm, vpn
            return call(flush_tlb_range(mm=mm, start=vpn, end=vpn + 1))
        return goto(folio_mkclean.unlock_i_mmap)

    @step
    def pte_unmap_unlock(self, tx: Transaction) -> Outcome:
        """Every CPU has forgotten that it may write: unlock. A mirror may look again. Then the next mapping."""
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return goto(folio_mkclean.page_vma_mkclean_one)

    @step
    def unlock_i_mmap(self, tx: Transaction) -> Outcome:
        """Nobody can write to the page without a fault any more."""
        up_read(tx, "i_mmap_rwsem", self.file)
        return done()
