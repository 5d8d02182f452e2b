"""Collapse of a shmem file: its pages are copied into a huge one, and whoever maps them gets to it by faults.

The page tables of the processes are not rewritten but taken away (retract_page_tables): with nothing in them that a
fault could not bring back they can go, while walkers without locks may still be inside.
"""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, goto, step, tail
from model.kernel.mm.collapse_pte_mapped_thp import collapse_pte_mapped_thp
from model.kernel.mm.collapse_scan import (
    MAX_PTES_NONE,
    MAX_PTES_SWAP,
    PTE_MAPPED,
    SUCCEED,
    is_refcount_suitable,
    number_of,
)
from model.kernel.mm.filemap import (
    filemap_add_folio,
    filemap_get_folio,
    folio_lock,
    folio_trylock,
    folio_unlock,
    folio_unlock_put,
    i_pages,
)
from model.kernel.mm.huge_page import HPAGE_PMD_NR, HPAGE_PMD_ORDER
from model.kernel.mm.page import folio_isolate_lru, folio_putback_lru, put_page
from model.kernel.mm.page_alloc import alloc_folio
from model.kernel.mm.reclaim import try_to_unmap
from model.kernel.mm.retract_page_tables import mappings, retract_page_tables
from model.kernel.mm.shmem import shmem_get_folio
from model.kernel.mm.swap import swapped_pages
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import PG_DIRTY, PG_LRU, PG_SWAPBACKED, PG_UPTODATE, VM_UFFD_MISSING
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


class collapse_shmem(Procedure):
    """Collapse 2 MiB of a file where a process maps them. Caller holds mmap_lock for reading, and gets it back."""

    source: ClassVar[str] = "mm/khugepaged.c: madvise_collapse, hpage_collapse_scan_file (7.3: collapse_scan_file)"
    mm: str
    vpn: int
    is_khugepaged: bool = False
    file: str = ""
    index: int = 0
    result: int = 0

    @step
    def hpage_collapse_scan_file(self, tx: Transaction) -> Outcome:
        """Look at the file's pages: a huge one that is there already only needs to be mapped; a held one ends it.

        The page tables do not matter, so mmap_lock is given up.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        self.file, self.index = vma.file, vma.pgoff + self.vpn - vma.start
        up_read(tx, "mmap_lock", self.mm)
        found = scan_file(tx, self.file, self.index, is_khugepaged=self.is_khugepaged)
        self.ret = number_of(found)
        if found != SUCCEED:
            return None
        target = ("", 0) if self.is_khugepaged else (self.mm, self.vpn)
        return call(collapse_file(file=self.file, start=self.index, target=target))

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space again, and map the huge page with one entry."""
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        if self.ret != number_of(PTE_MAPPED) or self.is_khugepaged:
            return done(self.ret)
        return tail(collapse_pte_mapped_thp(mm=self.mm, vpn=self.vpn))


def scan_file(mem: Memory, file: str, start: int, *, is_khugepaged: bool) -> str:
    """What the page cache says of the 2 MiB of a file from page `start` on (mm/khugepaged.c)."""
    last = start + HPAGE_PMD_NR - 1
    swapped = len(list(swapped_pages(mem, file, start, last)))
    if is_khugepaged and swapped > MAX_PTES_SWAP:
        return "too many swapped pages"
    present = 0
    for index in i_pages(mem, file, start, last):
        head = mem.page_cache[file, index]
        frame = mem.frames[head]
        if frame.order == HPAGE_PMD_ORDER:
            return PTE_MAPPED
        if not frame.flags & PG_LRU:
            return "page is on no list"
        if not is_refcount_suitable(mem, head):
            return "page has another reference"
        present += frame.pages
    if is_khugepaged and HPAGE_PMD_NR - present > MAX_PTES_NONE:
        return "too many empty entries"
    return SUCCEED


class collapse_file(Procedure):
    """Copy 512 pages of a shmem file into a huge one, and put that into the page cache in their place.

    Returns the number of a result. On success it is PTE_MAPPED: the huge page is there, and nobody maps it yet.
    """

    source: ClassVar[str] = "mm/khugepaged.c: collapse_file"
    file: str
    start: int
    target: tuple[str, int] = ("", 0)
    """MADV_COLLAPSE: who asked for it, and where."""
    head: Pfn = -1
    """The new folio."""
    index: int = 0
    """The page that is looked at."""
    pages: tuple[Pfn, ...] = ()
    """The old ones so far, locked, off their lists, mapped by nobody; we hold two references on each."""

    @step
    def alloc_charge_folio(self, tx: Transaction) -> Outcome:
        """Allocate the huge page. Nobody can see it yet."""
        head = alloc_folio(tx, HPAGE_PMD_ORDER, "file", flags=PG_SWAPBACKED)
        if head is None:
            return done(number_of("no memory"))
        self.head, self.holds, self.index = head, (head,), self.start
        return folio_lock(tx, head)

    @step
    def next_page(self, tx: Transaction) -> Outcome:
        """Take the file's next page: lock it, and take a reference. A swapped one is read back first."""
        last = self.start + HPAGE_PMD_NR - 1
        cached = next(i_pages(tx, self.file, self.index, last), last + 1)
        swapped = next(swapped_pages(tx, self.file, self.index, last), last + 1)
        self.index = min(cached, swapped)
        if self.index > last:
            return goto(collapse_file.copy if self.pages else collapse_file.rollback)
        if swapped < cached:
            return call(shmem_get_folio(file=self.file, index=swapped), then=collapse_file.isolate)
        pfn = tx.page_cache[self.file, self.index]
        if not folio_trylock(tx, pfn):
            return self.fail("page is locked")
        filemap_get_folio(tx, self.file, self.index)
        self.holds, self.ret = (*self.holds, pfn), 0
        return None

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Take it off its list, and out of every page table: reclaim does the same."""
        if self.ret < 0:
            return self.fail("VMA has changed")
        pfn = self.holds[-1]
        if not folio_isolate_lru(tx, pfn):
            folio_unlock_put(tx, pfn)
            self.holds = self.holds[:-1]
            return self.fail("page is on no list")
        self.holds = (*self.holds, pfn)
        return call(try_to_unmap(pfn=pfn, ignore_mlock=True)) if tx.frames[pfn].mapcount else None

    @step
    def freeze(self, tx: Transaction) -> Outcome:
        """The cache has a reference a page, and we have two. One more, and somebody would be left with the old page."""
        pfn = self.holds[-1]
        frame = tx.frames[pfn]
        self.index = frame.index + frame.pages
        if frame.refcount != 2 + frame.pages:
            folio_unlock(tx, pfn)
            folio_putback_lru(tx, pfn)
            put_page(tx, pfn)
            self.holds = self.holds[:-2]
            return self.fail("page has another reference")
        self.pages = (*self.pages, pfn)
        return goto(collapse_file.next_page)

    def fail(self, result: str) -> Outcome:
        """Put everything back."""
        self.ret = number_of(result)
        return goto(collapse_file.rollback)

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """Copy the pages; holes are zeros. Then, under the lock of i_pages, one entry takes the place of them all."""
        holes = HPAGE_PMD_NR - sum(tx.frames[pfn].pages for pfn in self.pages)
        if holes and any(vma.flags & VM_UFFD_MISSING for _, vma in mappings(tx, self.file, self.start)):
            return self.fail("too many empty entries")
        for old in self.pages:
            frame = tx.frames[old]
            for page in range(frame.pages):
                if byte := tx.content.get(old + page):
                    tx.content[self.head + frame.index - self.start + page] = byte
            del tx.page_cache[self.file, frame.index]
            tx.frames.update(old, mapping="")
            put_page(tx, old, frame.pages)
        filemap_add_folio(tx, self.file, self.start, self.head, PG_UPTODATE | PG_DIRTY)
        return None

    @step
    def retract_page_tables(self, tx: Transaction) -> Outcome:
        """Take away the page tables that map this part of the file."""
        return call(retract_page_tables(file=self.file, index=self.start, target=self.target))

    @step
    def release(self, tx: Transaction) -> Outcome:
        """Unlock the huge page: it is the cache's. The old pages belong to no file any more, and are free."""
        folio_unlock(tx, self.head)
        for pfn in self.pages:
            folio_unlock(tx, pfn)
        pages, self.holds = self.holds, ()
        for pfn in pages:
            put_page(tx, pfn)
        return done(number_of(PTE_MAPPED))

    @step
    def rollback(self, tx: Transaction) -> Outcome:
        """It cannot be done: the old pages go back to their lists, unmapped, and faults find them again."""
        for pfn in self.pages:
            folio_unlock(tx, pfn)
            folio_putback_lru(tx, pfn)
            put_page(tx, pfn)
        folio_unlock(tx, self.head)
        self.holds, self.pages = (), ()
        put_page(tx, self.head)
        return done(self.ret or number_of("the file has nothing there"))
