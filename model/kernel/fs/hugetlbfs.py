"""hugetlbfs: files of huge pages from the pool: memfd_create(MFD_HUGETLB), and what is behind MAP_HUGETLB.

They can be mapped and read, not written with write(2). Their sizes, offsets and mappings are multiples of 2 MiB. Hole
punching and truncation unmap a range first and then take its pages out of the file, one by one, each under the fault
mutex. References are not asked for.
"""

from typing import ClassVar

from model.engine.lock import down_write, try_lock, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.mm.filemap import (
    MAX_FILE_PAGES,
    filemap_get_folio,
    filemap_remove_folio,
    folio_lock,
    folio_unlock_put,
    i_pages,
)
from model.kernel.mm.hugetlb_pool import LAST, hugetlb_unreserve_pages
from model.kernel.mm.hugetlb_unmap import unmap_hugepage_range
from model.kernel.mm.hugetlb_zap import VMA_LOCK, has_vma_lock, mapped_huge_page
from model.kernel.mm.page import clear_page_flags
from model.kernel.mm.vma import linked_vma
from model.memory.errno import EINVAL, EPERM
from model.memory.flags import PG_DIRTY, PG_UPTODATE
from model.memory.records import Vma
from model.memory.state import Memory, Transaction


class hugetlbfs_setattr(Procedure):
    """Set the length of a file; the caller holds its inode's lock."""

    source: ClassVar[str] = "fs/hugetlbfs/inode.c: hugetlbfs_setattr, hugetlb_vmtruncate"
    file: str
    pages: int

    @step
    def i_size_write(self, tx: Transaction) -> Outcome:
        """First the size: no fault gets in beyond it any more. It must be a multiple of 2 MiB, and seals may refuse."""
        file = tx.files[self.file]
        if self.pages % HUGETLB_NR:
            return fail(EINVAL)
        if ("shrink" in file.seals and self.pages < file.size) or ("grow" in file.seals and self.pages > file.size):
            return fail(EPERM)
        tx.files.update(self.file, size=self.pages)
        return call(hugetlb_vmdelete_list(file=self.file, first=self.pages, end=MAX_FILE_PAGES))

    @step
    def remove_inode_hugepages(self, tx: Transaction) -> Outcome:
        """Then the pages; what the file has reserved beyond its end goes with them."""
        return call(remove_inode_hugepages(file=self.file, first=self.pages, end=MAX_FILE_PAGES))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """All is gone."""
        return done()


class hugetlbfs_punch_hole(Procedure):
    """Make a range of a file a hole; the caller holds its inode's lock."""

    source: ClassVar[str] = "fs/hugetlbfs/inode.c: hugetlbfs_punch_hole"
    file: str
    offset: int
    pages: int

    @property
    def hole(self) -> range:
        """The huge pages that lie in it as a whole, as small pages; it may be empty."""
        return range(-(-self.offset // HUGETLB_NR) * HUGETLB_NR, (self.offset + self.pages) // HUGETLB_NR * HUGETLB_NR)

    @step
    def hugetlbfs_zero_partial_page(self, tx: Transaction) -> Outcome:
        """What lies in the hole of a huge page only in part is overwritten with zeros: mappings and holders see that.

        Huge pages that lie in it as a whole are unmapped, from private mappings as well, copies and all.
        """
        if {"write", "future_write"} & set(tx.files[self.file].seals):
            return fail(EPERM)
        hole, end = self.hole, self.offset + self.pages
        self.zero(tx, self.offset, min(end, hole.start))
        if end > hole.start:
            self.zero(tx, hole.stop, end)
        if not hole:
            return done()
        return call(hugetlb_vmdelete_list(file=self.file, first=hole.start, end=hole.stop, drop_markers=False))

    def zero(self, tx: Transaction, first: int, end: int) -> None:
        """Write zeros to pages of one huge page, if the file has it."""
        head = tx.page_cache.get((self.file, first // HUGETLB_NR * HUGETLB_NR))
        if head is None:
            return
        for index in range(first, end):
            if (pfn := head + index % HUGETLB_NR) in tx.content:
                del tx.content[pfn]

    @step
    def remove_inode_hugepages(self, tx: Transaction) -> Outcome:
        """Then the pages leave the file, each with its reservation."""
        return call(remove_inode_hugepages(file=self.file, first=self.hole.start, end=self.hole.stop, truncate=False))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The next fault takes a page of the pool that is nobody's, if there is one."""
        return done()


class hugetlb_vmdelete_list(Procedure):
    """Unmap a range of a file from everybody, except from a VMA that a fault works on: that page comes later."""

    source: ClassVar[str] = "fs/hugetlbfs/inode.c: hugetlb_vmdelete_list"
    file: str
    first: int
    end: int
    visited: int = 0
    vma_lock: str = ""
    """The VMA whose lock is ours."""
    drop_markers: bool = True
    """ZAP_FLAG_DROP_MARKER: what userfaultfd has write-protected is forgotten as well; not for a hole."""
    head: int = -1
    """Only entries that map this page, and their VMA's lock is waited for: hugetlb_unmap_file_folio()."""
    awaited: tuple[str, int] | None = None
    """The VMA whose lock somebody else has: its process and start."""

    @step
    def i_mmap_lock_write(self, tx: Transaction) -> Outcome:
        """Lock the file's mappings: no VMA joins or leaves them."""
        return down_write(tx, "i_mmap_rwsem", self.file)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Find the next VMA that maps part of the range, lock it, and unmap the part, private pages as well."""
        if self.vma_lock:
            up_write(tx, VMA_LOCK, self.vma_lock)
            self.vma_lock = ""
        places = tx.files[self.file].i_mmap
        while self.visited < len(places):
            mm, start = places[self.visited]
            vma = linked_vma(tx, mm, start)
            if (unmap := self.unmap(tx, mm, vma)) is not None:
                if self.lock(tx, mm, vma):
                    self.visited += 1
                    return call(unmap, then=hugetlb_vmdelete_list.next_vma)
                if self.head >= 0:
                    self.awaited = mm, vma.start
                    return None
            self.visited += 1
        return None

    def unmap(self, mem: Memory, mm: str, vma: Vma) -> Procedure | None:
        """What unmaps the part of the range that a VMA has; None if it has none, or not the page that is meant."""
        low, high = max(self.first, vma.pgoff), min(self.end, vma.pgoff + vma.pages)
        shift = vma.start - vma.pgoff
        if low >= high or not self.is_meant(mem, mm, low + shift):
            return None
        start, end = low + shift, high + shift
        return unmap_hugepage_range(mm=mm, vmas=(vma,), start=start, end=end, drop_markers=self.drop_markers)

    def is_meant(self, mem: Memory, mm: str, vpn: int) -> bool:
        """Whether the entry there maps the page, if one page is meant (hugetlb_vma_maps_pfn)."""
        return self.head < 0 or mapped_huge_page(mem, mm, vpn) == self.head

    def lock(self, tx: Transaction, mm: str, vma: Vma) -> bool:
        """hugetlb_vma_trylock_write()."""
        name = f"{mm}:{vma.start}"
        if not has_vma_lock(vma):
            return True
        if not try_lock(tx, VMA_LOCK, name):
            return False
        self.vma_lock = name
        return True

    @step
    def i_mmap_unlock_write(self, tx: Transaction) -> Outcome:
        """Unlock."""
        up_write(tx, "i_mmap_rwsem", self.file)
        return None if self.awaited else done()


class remove_inode_hugepages(Procedure):
    """Take the pages of a range out of a file, one after the other."""

    source: ClassVar[str] = "fs/hugetlbfs/inode.c: remove_inode_hugepages, remove_inode_single_folio"
    file: str
    first: int
    end: int
    truncate: bool = True
    """The range goes to the end; what is reserved there is forgotten as a whole."""
    index: int = 0
    """The first page of what is being removed."""
    start: int = 0
    freed: int = 0

    @step
    def filemap_get_folios(self, tx: Transaction) -> Outcome:
        """Look for the next huge page that the file has, and take a reference on it."""
        self.start = self.start or self.first
        found = next(i_pages(tx, self.file, self.start, self.end - 1), None)
        if found is None:
            return goto(remove_inode_hugepages.hugetlb_unreserve_pages)
        head = filemap_get_folio(tx, self.file, found)
        assert head is not None
        self.index, self.start, self.holds = found, found + HUGETLB_NR, (head,)
        return None

    @property
    def mutex(self) -> str:
        """The fault mutex of the page."""
        return f"{self.file}:{self.index // HUGETLB_NR}"

    @step
    def hugetlb_fault_mutex(self, tx: Transaction) -> Outcome:
        """Lock out the faults on this page."""
        return down_write(tx, "hugetlb_fault_mutex", self.mutex)

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page. If a fault has mapped it meanwhile, unmap it again."""
        (head,) = self.holds
        if (wait := folio_lock(tx, head)) is not None:
            return wait
        if not tx.frames[head].mapcount:
            return goto(remove_inode_hugepages.hugetlb_delete_from_page_cache)
        end = self.index + HUGETLB_NR
        return call(hugetlb_unmap_file_folio(file=self.file, first=self.index, end=end, head=head))

    @step
    def hugetlb_delete_from_page_cache(self, tx: Transaction) -> Outcome:
        """It leaves the file; the cache's 512 references are dropped. Whoever has pinned it keeps an orphan.

        For a hole the page's reservation is forgotten at once.
        """
        (head,), self.holds = self.holds, ()
        clear_page_flags(tx, head, PG_DIRTY | PG_UPTODATE)
        filemap_remove_folio(tx, head)
        if not self.truncate:
            index = self.index // HUGETLB_NR
            hugetlb_unreserve_pages(tx, self.file, index, index + 1, 1)
        self.freed += 1
        folio_unlock_put(tx, head)
        up_write(tx, "hugetlb_fault_mutex", self.mutex)
        return goto(remove_inode_hugepages.filemap_get_folios)

    @step
    def hugetlb_unreserve_pages(self, tx: Transaction) -> Outcome:
        """Truncation: forget what is reserved beyond the end, and give back what of it was never used."""
        if self.truncate:
            hugetlb_unreserve_pages(tx, self.file, self.first // HUGETLB_NR, LAST, self.freed)
        return done()


class hugetlb_unmap_file_folio(hugetlb_vmdelete_list):
    """Unmap one page of a file from everybody; the caller holds the fault mutex, so nobody maps it again.

    A fault on another page may have the VMA's lock: it is waited for, in the order in which locks are taken.
    """

    source: ClassVar[str] = "fs/hugetlbfs/inode.c: hugetlb_unmap_file_folio"

    @step
    def hugetlb_vma_lock_write(self, tx: Transaction) -> Outcome:
        """Wait for the VMA's lock, now that the file's mappings are not locked."""
        assert self.awaited is not None
        mm, start = self.awaited
        if (wait := down_write(tx, VMA_LOCK, f"{mm}:{start}")) is not None:
            return wait
        self.vma_lock = f"{mm}:{start}"
        return None

    @step
    def i_mmap_lock_again(self, tx: Transaction) -> Outcome:
        """Then lock the mappings again. If the VMA still maps the page, unmap it; then look from the beginning."""
        if (wait := down_write(tx, "i_mmap_rwsem", self.file)) is not None:
            return wait
        assert self.awaited is not None
        here, self.awaited, self.visited = self.awaited, None, 0
        if here in tx.files[self.file].i_mmap:
            unmap = self.unmap(tx, here[0], linked_vma(tx, *here))
            if unmap is not None:
                return call(unmap, then=hugetlb_vmdelete_list.next_vma)
        return goto(hugetlb_vmdelete_list.next_vma)
