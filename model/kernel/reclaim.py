"""Reclaim: take pages away from whoever has them, if they can be had again (mm/vmscan.c).

A clean page of a file is on disk, a page freed by MADV_FREE is not wanted. A dirty one would have to be written
first: for that there is no swap space here, and only kswapd writes to disk. An extra reference keeps a page, too.
"""

from typing import ClassVar

from model.kernel.filemap import (
    filemap_remove_folio,
    folio_detach_private,
    folio_trylock,
    folio_unlock_put,
)
from model.kernel.page import folio_remove_rmap, put_page, set_page_flags
from model.kernel.pgtable import hold_pte_lock, pte_lock, pte_unlock
from model.kernel.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.rmap_walk import rmap_walk
from model.kernel.tlb import flush_tlb_range
from model.memory.flags import PG_DIRTY, PG_SWAPBACKED, PG_UNEVICTABLE, VM_LOCKED
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction


class reclaim_pages(Procedure):
    """Try to free the pages in `holds`, which were taken off their LRU list with a reference each."""

    source: ClassVar[str] = "mm/vmscan.c: reclaim_pages, shrink_folio_list"

    @step
    def folio_trylock(self, tx: Transaction) -> Outcome:
        """Take the next page, if nobody has it locked, and unmap it where that can help."""
        if not self.holds:
            return done()
        pfn = self.holds[0]
        if not folio_trylock(tx, pfn):
            return self.keep(tx, pfn)
        frame = tx.frames[pfn]
        swapped = frame.kind == "anon" and frame.flags & PG_SWAPBACKED
        if swapped or frame.flags & PG_UNEVICTABLE:
            return self.keep(tx, pfn)
        return call(try_to_unmap(pfn=pfn)) if frame.mapcount else None

    @step
    def remove_mapping(self, tx: Transaction) -> Outcome:
        """Nobody maps it, it is clean, and the only references are the page cache's and ours: free it.

        The count is frozen to 0 in one atomic step. Anybody else's reference makes that fail, and the page stays: it
        has lost its entries, but not its content, and the next fault maps it again.
        """
        pfn = self.holds[0]
        frame = tx.frames[pfn]
        if frame.mapcount or frame.flags & PG_DIRTY:
            return self.keep(tx, pfn)
        folio_detach_private(tx, pfn)
        cached = frame.kind == "file" and bool(frame.mapping)
        if tx.frames[pfn].refcount != 1 + cached:
            return self.keep(tx, pfn)
        if cached:
            filemap_remove_folio(tx, pfn)
        return self.keep(tx, pfn)

    def keep(self, tx: Transaction, pfn: int) -> Outcome:
        """Put the page back on its list and go on; our reference may have been the last one."""
        self.holds = self.holds[1:]
        folio_unlock_put(tx, pfn)
        return goto(reclaim_pages.folio_trylock)


class try_to_unmap(Procedure):
    """Clear every entry that maps a page; the caller holds the page's lock. What cannot be unmapped stays mapped."""

    source: ClassVar[str] = "mm/rmap.c: try_to_unmap, try_to_unmap_one"
    pfn: int
    mm: str = ""
    vpn: int = 0
    vma: Vma | None = None
    old: Pte | None = None
    """The entry that has been cleared."""

    @step
    def ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """Find the next entry through the reverse map; under its lock clear it, and flush TLBs before anything else.

        Locked memory is left alone. While the entry is empty a fault on it waits for the lock.
        """
        found = next((entry for entry in rmap_walk(tx, self.pfn) if not entry.vma.flags & VM_LOCKED), None)
        if found is None:
            return done()
        if (wait := pte_lock(tx, found.mm, found.vpn)) is not None:
            return wait
        hold_pte_lock(tx, found.mm, found.vpn)
        self.mm, self.vma, self.vpn = found.mm, found.vma, found.vpn
        self.old = tx.ptes[found.mm, found.vpn]
        del tx.ptes[found.mm, found.vpn]
        self.owes_rmap = (self.pfn,)
        self.holds = (self.pfn,)
        return call(flush_tlb_range(mm=found.mm, start=found.vpn, end=found.vpn + 1))

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """The dirty bit goes from the entry to the page. One mapping and one reference less.

        A page freed by MADV_FREE that was written again (dirty) or that somebody has a reference on is not thrown away:
        its entry is put back as it was.
        """
        assert self.old is not None
        assert self.vma is not None
        if self.old.dirty:
            set_page_flags(tx, self.pfn, PG_DIRTY)
        pte_unlock(tx, self.mm, self.vpn)
        self.owes_rmap = self.holds = ()
        if wanted_again(tx, self.pfn):
            if tx.frames[self.pfn].flags & PG_DIRTY:
                set_page_flags(tx, self.pfn, PG_SWAPBACKED)
            tx.ptes[self.mm, self.vpn] = self.old
            return done()
        folio_remove_rmap(tx, self.pfn, self.vma)
        put_page(tx, self.pfn)
        return goto(try_to_unmap.ptep_clear_flush)


def wanted_again(mem: Memory, pfn: int) -> bool:
    """Whether an anonymous page that was given up by MADV_FREE is dirty again, or has a reference besides reclaim's."""
    frame = mem.frames[pfn]
    return frame.kind == "anon" and bool(frame.flags & PG_DIRTY or frame.refcount != 1 + frame.mapcount)
