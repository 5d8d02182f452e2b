"""Taking pages out of files: truncation and punched holes.

The order is what makes it safe. First the size, so that no new fault gets in; then the page tables of everybody who
maps the file; then the page cache, page by page under its lock; then the page tables once more, for who was faster.
References are not asked for: whoever holds one keeps a page that belongs to no file any more.
"""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, goto, step, tail
from model.kernel.mm.filemap import (
    MAX_FILE_PAGES,
    filemap_get_folio,
    filemap_remove_folio,
    folio_lock,
    folio_unlock_put,
    folio_wait_writeback,
    i_pages,
    truncate_cleanup_folio,
    truncated,
)
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.swap import shmem_free_swap, swapped_pages
from model.kernel.mm.unmap import unmap_mapping_range
from model.memory.state import Transaction


class truncate_pagecache(Procedure):
    """Unmap and forget everything beyond the new end of a file, whose size has been set already."""

    source: ClassVar[str] = "mm/truncate.c: truncate_pagecache; mm/shmem.c: shmem_setattr"
    file: str
    pages: int
    """The new size."""

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Unmap everything beyond the end from every process: private copies, too, lest they outlive it.

        This is only for speed: one walk over the page tables instead of one for each page.
        """
        return call(unmap_mapping_range(file=self.file, offset=self.pages, even_cows=True))

    @step
    def truncate_inode_pages(self, tx: Transaction) -> Outcome:
        """Remove the pages from the page cache."""
        return call(truncate_inode_pages_range(file=self.file, first=self.pages))

    @step
    def unmap_again(self, tx: Transaction) -> Outcome:
        """A write fault that found its page before it was removed may have made a private copy since. Unmap again."""
        return tail(unmap_mapping_range(file=self.file, offset=self.pages, even_cows=True))


class truncate_inode_pages_range(Procedure):
    """Remove a range of pages from the page cache, one after the other."""

    source: ClassVar[str] = "mm/truncate.c: truncate_inode_pages_range, truncate_inode_folio"
    file: str
    first: int
    last: int = MAX_FILE_PAGES
    index: int = 0
    """The page that is being removed."""
    partial: bool = False
    """It is a large folio of which only a part lies in the range."""

    @step
    def find_lock_entries(self, tx: Transaction) -> Outcome:
        """Look for the next page that the cache has in the range."""
        for swapped in list(swapped_pages(tx, self.file, self.first, self.last)):
            shmem_free_swap(tx, self.file, swapped)
        found = next(i_pages(tx, self.file, self.first, self.last), None)
        if found is None:
            return done()
        pfn = filemap_get_folio(tx, self.file, found)
        assert pfn is not None
        end = found + tx.frames[pfn].pages
        self.index, self.holds = found, (pfn,)
        self.partial = found < self.first or end - 1 > self.last
        self.first = end if not self.partial else max(self.first, found)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock it: a fault that has just found the page maps it first, and we wait for that.

        If it has left the file meanwhile, the next one. If somebody has mapped it again, unmap it first.
        """
        (pfn,) = self.holds
        if (wait := folio_lock(tx, pfn)) is not None:
            return wait
        if truncated(tx, pfn, self.file, self.index):
            self.holds = ()
            folio_unlock_put(tx, pfn)
            return goto(truncate_inode_pages_range.find_lock_entries)
        if self.partial:
            return goto(truncate_inode_pages_range.truncate_inode_partial_folio)
        if tx.frames[pfn].mapcount:
            pages = tx.frames[pfn].pages
            unmap = unmap_mapping_range(file=self.file, offset=self.index, pages=pages, even_cows=False)
            return call(unmap, then=truncate_inode_pages_range.filemap_remove_folio)
        return goto(truncate_inode_pages_range.filemap_remove_folio)

    @step
    def truncate_inode_partial_folio(self, tx: Transaction) -> Outcome:
        """Only a part of a large folio is to go: fill it with zeros, and try to split the folio, to free the part."""
        (head,) = self.holds
        for index in range(max(self.first, self.index), min(self.last, self.index + tx.frames[head].pages - 1) + 1):
            if (pfn := head + index - self.index) in tx.content:
                del tx.content[pfn]
        return call(split_folio(head=head))

    @step
    def split_or_zeroed(self, tx: Transaction) -> Outcome:
        """If it could not be split, because somebody holds a page of it, its zeros stay: the holder sees them too."""
        (head,), self.holds = self.holds, ()
        if self.ret < 0:
            self.first = self.index + tx.frames[head].pages
        folio_unlock_put(tx, head)
        return goto(truncate_inode_pages_range.find_lock_entries)

    @step
    def filemap_remove_folio(self, tx: Transaction) -> Outcome:
        """Cancel its dirty bit, take it out of the cache and drop the cache's reference.

        A disk that is just reading it is waited for. If that reference was the last one, the frame goes back to the
        allocator. If a pin or a pipe holds another, the page lives on as an orphan: its holder goes on reading and
        writing it, and nobody else will ever see that.
        """
        (pfn,) = self.holds
        if (wait := folio_wait_writeback(tx, pfn)) is not None:
            return wait
        self.holds = ()
        truncate_cleanup_folio(tx, pfn)
        filemap_remove_folio(tx, pfn)
        folio_unlock_put(tx, pfn)
        return goto(truncate_inode_pages_range.find_lock_entries)
