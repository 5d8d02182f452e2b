"""Reclaim: take pages away from whoever has them, if they can be had again (mm/vmscan.c).

A clean page of a file is on disk, a page freed by MADV_FREE is not wanted, an anonymous or shmem page can be written
to swap. A dirty page of a disk file stays: only kswapd writes those. An extra reference keeps a page, too.
"""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import hold_pte_lock, pte_lock, pte_unlock, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import (
    filemap_remove_folio,
    folio_detach_private,
    folio_trylock,
    folio_unlock,
)
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import (
    clear_page_flags,
    folio_isolate_lru,
    folio_maybe_dma_pinned,
    folio_putback_lru,
    folio_remove_rmap,
    put_page,
    set_page_flags,
)
from model.kernel.mm.pte_marker import pte_install_uffd_wp_if_needed
from model.kernel.mm.rmap_walk import rmap_walk
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.swap import (
    delete_from_swap_cache,
    folio_alloc_swap,
    shmem_writeout,
    swap_duplicate,
    swap_writeout,
    total_swap,
)
from model.kernel.mm.unmap_folio import try_to_unmap_folio
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EAGAIN, EFAULT, EINVAL, ENOENT
from model.memory.flags import (
    GUP_PIN_COUNTING_BIAS,
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_WRITEBACK,
    VM_LOCKED,
)
from model.memory.folio import page_folio, page_frame
from model.memory.leaf import leaf_entry
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


class reclaim_pages(Procedure):
    """Try to free the pages in `holds`, which were taken off their LRU list with a reference each."""

    source: ClassVar[str] = "mm/vmscan.c: reclaim_pages, shrink_folio_list"

    @step
    def folio_trylock(self, tx: Transaction) -> Outcome:
        """Take the next page, if nobody has it locked, and unmap it where that can help.

        One that must stay in memory, or that the disk is just reading, is kept.
        """
        if not self.holds:
            return done()
        pfn = self.holds[0]
        if not folio_trylock(tx, pfn):
            return self.keep(tx, pfn)
        frame = tx.frames[pfn]
        if frame.flags & (PG_UNEVICTABLE | PG_WRITEBACK):
            return self.keep(tx, pfn)
        if frame.kind == "anon" and frame.flags & PG_SWAPBACKED and not frame.flags & PG_SWAPCACHE:
            if folio_maybe_dma_pinned(tx, pfn):
                return self.keep(tx, pfn)
            if frame.large and frame.refcount != frame.mapcount + 1:
                return self.keep(tx, pfn)
            if (frame.large and tx.folios[pfn].partially_mapped) or not folio_alloc_swap(tx, pfn):
                return call(split_folio(head=pfn, to_list=True)) if frame.large else self.keep(tx, pfn)
        elif frame.large and frame.kind == "file":
            return call(split_folio(head=pfn, to_list=True))
        if not frame.mapcount:
            return goto(reclaim_pages.remove_mapping)
        unmap = try_to_unmap_folio(head=pfn) if frame.large else try_to_unmap(pfn=pfn)
        return call(unmap, then=reclaim_pages.remove_mapping)

    @step
    def split_folio(self, tx: Transaction) -> Outcome:
        """A folio that is mapped only in part, or for which swap has no room in one piece, has been split.

        Its pages are looked at one by one; if somebody holds one of them, the folio stays as it is.
        """
        if self.ret < 0:
            return self.keep(tx, self.holds[0])
        folio_unlock(tx, self.holds[0])
        return goto(reclaim_pages.folio_trylock)

    @step
    def remove_mapping(self, tx: Transaction) -> Outcome:
        """Nobody maps it, it is clean, and the only references are the page cache's and ours: free it.

        The count is frozen to 0 in one atomic step. Anybody else's reference makes that fail, and the page stays: it
        has lost its entries, but not its content, and the next fault maps it again.
        """
        pfn = self.holds[0]
        if tx.frames[pfn].mapcount:
            return self.keep(tx, pfn)
        if tx.frames[pfn].flags & PG_DIRTY and not self.pageout(tx, pfn):
            return self.keep(tx, pfn)
        frame = tx.frames[pfn]
        if frame.flags & PG_SWAPCACHE:
            if frame.refcount == 1 + frame.pages:
                delete_from_swap_cache(tx, pfn)
            return self.keep(tx, pfn)
        folio_detach_private(tx, pfn)
        cached = frame.kind == "file" and bool(frame.mapping)
        if tx.frames[pfn].refcount != 1 + cached:
            return self.keep(tx, pfn)
        if cached:
            filemap_remove_folio(tx, pfn)
        return self.keep(tx, pfn)

    def pageout(self, tx: Transaction, pfn: int) -> bool:
        """Write a dirty page to swap, if nobody but its cache and we have it; tells whether it has been written by now.

        Anonymous pages have a slot already; a shmem page leaves its file's page cache for one. A disk is still writing
        when reclaim looks (PG_writeback), so the page stays until it is looked at again, unless it is all zeros.
        """
        frame = tx.frames[pfn]
        if frame.refcount != 1 + frame.pages or not frame.flags & PG_SWAPBACKED or not total_swap(tx):
            return False
        if not frame.flags & PG_SWAPCACHE:
            if frame.kind != "file" or not frame.mapping:
                return False
            if not shmem_writeout(tx, pfn):
                return False
        return swap_writeout(tx, pfn)

    def keep(self, tx: Transaction, pfn: int) -> Outcome:
        """Put the page back on its list and go on; our reference may have been the last one."""
        self.holds = self.holds[1:]
        folio_unlock(tx, pfn)
        folio_putback_lru(tx, pfn)
        return goto(reclaim_pages.folio_trylock)


class reclaim_page(Procedure):
    """Memory is short, and this page is the one to go: the end of the inactive list. Returns 0 or an errno."""

    source: ClassVar[str] = "mm/vmscan.c: shrink_inactive_list, shrink_folio_list"
    mm: str
    vpn: int
    pfn: Pfn = -1

    @step
    def isolate_lru_folios(self, tx: Transaction) -> Outcome:
        """Take the page off its list, with a reference of our own. What is on no list - special, locked - stays."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None:
            return fail(EFAULT)
        pte = leaf_entry(tx, self.mm, self.vpn)
        if pte is None or not pte.present:
            return fail(ENOENT)
        pfn = vm_normal_page(tx, vma, pte) if page_frame(tx, pte.pfn).kind != "zero" else None
        if pfn is None or not folio_isolate_lru(tx, pfn):
            return fail(EINVAL)
        self.pfn = pfn
        return call(reclaim_pages(holds=(page_folio(tx, pfn),)))

    @step
    def look(self, tx: Transaction) -> Outcome:
        """Is it gone from the page table? An extra reference, or a pin, keeps the frame: EAGAIN. Nobody was harmed."""
        frame = page_frame(tx, self.pfn)
        pte = leaf_entry(tx, self.mm, self.vpn)
        kept = frame.kind != "free" and (pte is None or not pte.present or pte.pfn == self.pfn)
        return fail(EAGAIN) if kept else done()


class try_to_unmap(Procedure):
    """Clear every entry that maps a page; the caller holds the page's lock. What cannot be unmapped stays mapped."""

    source: ClassVar[str] = "mm/rmap.c: try_to_unmap, try_to_unmap_one"
    pfn: Pfn
    ignore_mlock: bool = False
    """TTU_IGNORE_MLOCK: out of locked memory as well."""
    mm: str = ""
    vpn: int = 0
    vma: Vma | None = None
    old: Pte | None = None
    """The entry that has been cleared."""

    @step
    def ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """Find the next entry through the reverse map, tell who mirrors it, clear it under its lock, flush the TLBs.

        Locked memory is left alone, and so is an exclusive page that may be pinned, if it is to get a swap entry. While
        the entry is empty a fault on it waits for the lock.

        A page that MADV_FREE has given up is counted right after its entry is cleared: if somebody has a reference by
        then, or it was written again, the entry is put back under the same lock, and nobody was harmed.

        As it was before 6c8e2a256915, only the dirty bit is asked; a device that is about to write has set none yet.
        """
        frame = tx.frames[self.pfn]
        locked = 0 if self.ignore_mlock else VM_LOCKED
        found = next((entry for entry in rmap_walk(tx, self.pfn) if not entry.vma.flags & locked), None)
        pinned = frame.exclusive and frame.flags & PG_SWAPCACHE and frame.refcount >= GUP_PIN_COUNTING_BIAS
        if found is None or pinned:
            return done()
        if (wait := pte_lock(tx, found.mm, found.vpn)) is not None:
            return wait
        self.mm, self.vma, self.vpn = found.mm, found.vma, found.vpn
        self.old = tx.ptes[found.mm, found.vpn]
        if self.old.dirty and frame.kind == "anon":
            set_page_flags(tx, self.pfn, PG_DIRTY)
        if wanted_again(tx, self.pfn):
            if tx.frames[self.pfn].flags & PG_DIRTY:
                set_page_flags(tx, self.pfn, PG_SWAPBACKED)
            return done()
        mmu_notifier_invalidate_range_start(tx, found.mm, found.vpn, found.vpn + 1)
        hold_pte_lock(tx, found.mm, found.vpn)
        if not self.replace_by_swap_entry(tx, found.mm, found.vpn):
            del tx.ptes[found.mm, found.vpn]
            pte_install_uffd_wp_if_needed(tx, found.mm, found.vma, found.vpn, self.old)
        self.owes_rmap = (self.pfn,)
        self.holds = (self.pfn,)
        return call(flush_tlb_range(mm=found.mm, start=found.vpn, end=found.vpn + 1))

    def replace_by_swap_entry(self, tx: Transaction, mm: str, vpn: int) -> bool:
        """A page with a slot: its entry names the slot from now on, and whether the page was exclusive.

        For a walker without lock a swap entry is as absent as an empty one.
        """
        frame = tx.frames[self.pfn]
        if not frame.flags & PG_SWAPCACHE:
            return False
        swap_duplicate(tx, frame.swap)
        kept = tx.ptes[mm, vpn].bits & PAGE_UFFD_WP
        tx.ptes[mm, vpn] = Pte(frame.swap, kept | (PAGE_SWP_EXCLUSIVE if frame.exclusive else 0), "swap")
        clear_page_flags(tx, self.pfn, PG_ANON_EXCLUSIVE)
        return True

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """The dirty bit goes from the entry to the page. One mapping and one reference less.

        A page freed by MADV_FREE on which GUP-fast has just taken a reference is not thrown away: its entry is put back
        as it was (since 5.18, 6c8e2a256915).
        """
        assert self.old is not None
        assert self.vma is not None
        if self.old.dirty:
            set_page_flags(tx, self.pfn, PG_DIRTY)
        pte_unlock(tx, self.mm, self.vpn)
        self.owes_rmap = self.holds = ()
        mmu_notifier_invalidate_range_end(tx, self.mm)
        if wanted_again(tx, self.pfn):
            if tx.frames[self.pfn].flags & PG_DIRTY:
                set_page_flags(tx, self.pfn, PG_SWAPBACKED)
            tx.ptes[self.mm, self.vpn] = self.old
            return done()
        folio_remove_rmap(tx, self.pfn, self.vma, self.mm)
        put_page(tx, self.pfn)
        return goto(try_to_unmap.ptep_clear_flush)


def wanted_again(mem: Memory, pfn: int) -> bool:
    """Whether an anonymous page that was given up by MADV_FREE is dirty again, or has a reference besides reclaim's."""
    frame = mem.frames[pfn]
    if frame.kind != "anon" or frame.flags & PG_SWAPCACHE:
        return False
    held = frame.refcount != 1 + frame.mapcount and mended(mem, "lazyfree-refs")
    return bool(frame.flags & PG_DIRTY) or held
