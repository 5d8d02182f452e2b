"""Reclaim takes a large folio out of every page table: for its swap slots, or because MADV_FREE has given it up."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, hold_pte_lock, pte_lock, pte_unlock
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm import large_rmap
from model.kernel.mm.huge_page import huge_pmd
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.huge_zap import zap_deposited_table
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_remove_rmap, put_page, set_anon_exclusive, set_page_flags
from model.kernel.mm.rmap_walk import FolioPlace, folio_places, rmap_lock_of
from model.kernel.mm.swap import swap_duplicate
from model.kernel.mm.vma import linked_vma
from model.memory.flags import PAGE_SWP_EXCLUSIVE, PAGE_UFFD_WP, PG_DIRTY, PG_SWAPBACKED, PG_SWAPCACHE, VM_LOCKED
from model.memory.folio import page_exclusive
from model.memory.records import Pte
from model.memory.state import Transaction
from model.memory.units import Pfn


class try_to_unmap_folio(Procedure):
    """Clear every entry that maps a large folio; the caller holds its lock and a reference."""

    source: ClassVar[str] = "mm/rmap.c: try_to_unmap_one; mm/huge_memory.c: unmap_huge_pmd_locked"
    head: Pfn
    visited: int = 0
    mm: str = ""
    vpn: int = 0
    pmd: Pte | None = None
    """The huge entry that has been cleared, of a folio that MADV_FREE has given up."""
    rmap: tuple[str, str] = ("", "")
    """The lock of the reverse map: kind and owner."""
    vma: int = 0
    """Where the VMA begins whose entries were cleared last."""

    @step
    def rmap_walk_lock(self, tx: Transaction) -> Outcome:
        """Hold the reverse map's lock for reading during the walk: no VMA joins or leaves."""
        frame = tx.frames[self.head]
        if not frame.mapcount:
            return done()
        self.rmap = rmap_lock_of(tx, frame)
        return down_read(tx, *self.rmap)

    @step
    def unmap_place(self, tx: Transaction) -> Outcome:
        """Walk the reverse map. Under its page table's lock, take the entries of the next VMA away, and flush.

        With slots in swap each page leaves a swap entry; a huge entry is split for that. A folio that MADV_FREE has
        given up goes with its huge entry, in one piece, unless it has been written since.
        """
        places = [place for place in folio_places(tx, self.head) if not place.vma.flags & VM_LOCKED]
        if self.visited >= len(places):
            return self.finish(tx)
        place = places[self.visited]
        if (wait := pte_lock(tx, place.mm, place.vpn)) is not None:
            return wait
        pmd = huge_pmd(tx, place.mm, place.vpn)
        pmd = pmd if pmd is not None and pmd.pfn == self.head else None
        if not tx.frames[self.head].flags & PG_SWAPCACHE and (pmd is None or self.wanted_again(tx, pmd)):
            return self.finish(tx)
        if pmd is not None and tx.frames[self.head].flags & PG_SWAPCACHE:
            split_huge_pmd(tx, place.mm, place.vma, place.vpn)
        self.visited += 1
        self.mm, self.vpn, self.vma, self.pmd = place.mm, place.vpn, place.vma.start, None
        if tx.frames[self.head].flags & PG_SWAPCACHE:
            gone = replace_by_swap_entries(tx, self.head, place)
        else:
            self.pmd, gone = pmd, (self.head,)
            del tx.tables[place.mm, PMD, place.vpn >> TABLE_SHIFT]
        if not gone:
            return goto(try_to_unmap_folio.unmap_place)
        mmu_notifier_invalidate_range_start(tx, place.mm, place.vpn, place.vpn + place.pages)
        self.holds = self.owes_rmap = gone
        hold_pte_lock(tx, place.mm, place.vpn)
        return call(flush_tlb_range(mm=place.mm, start=place.vpn, end=place.vpn + place.pages))

    def finish(self, tx: Transaction) -> Outcome:
        """The walk is over, whatever came of it."""
        up_read(tx, *self.rmap)
        return done()

    def wanted_again(self, tx: Transaction, pmd: Pte) -> bool:
        """Whether a folio given up by MADV_FREE has been written since: then it is an ordinary one again."""
        if pmd.dirty:
            set_page_flags(tx, self.head, PG_DIRTY)
        written = bool(tx.frames[self.head].flags & PG_DIRTY)
        if written:
            set_page_flags(tx, self.head, PG_SWAPBACKED)
        return written

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """The mappings and references of those entries go.

        If somebody has taken a reference on a folio that MADV_FREE had given up, its entry is put back as it was.
        """
        vma = linked_vma(tx, self.mm, self.vma)
        gone, self.holds, self.owes_rmap = self.holds, (), ()
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        if self.pmd is not None:
            frame = tx.frames[self.head]
            if frame.refcount != frame.mapcount + 1:
                tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT] = self.pmd
                return self.finish(tx)
            large_rmap.remove_entire(tx, self.head, self.mm)
            zap_deposited_table(tx, self.mm, self.vpn >> TABLE_SHIFT)
        else:
            for pfn in gone:
                folio_remove_rmap(tx, pfn, vma, self.mm)
        put_page(tx, self.head, len(gone))
        return goto(try_to_unmap_folio.unmap_place)


def replace_by_swap_entries(tx: Transaction, head: int, place: FolioPlace) -> tuple[int, ...]:
    """The small entries of one VMA name the slots of the pages from now on; returns the pages that they mapped."""
    gone: list[int] = []
    for vpn in range(place.vpn, place.vpn + place.pages):
        pte, pfn = tx.ptes.get((place.mm, vpn)), place.pfn(vpn)
        if pte is None or not pte.present or pte.special or pte.pfn != pfn:
            continue
        if pte.dirty:
            set_page_flags(tx, head, PG_DIRTY)
        exclusive = page_exclusive(tx, pfn)
        slot = tx.frames[head].swap + pfn - head
        swap_duplicate(tx, slot)
        tx.ptes[place.mm, vpn] = Pte(slot, pte.bits & PAGE_UFFD_WP | (PAGE_SWP_EXCLUSIVE if exclusive else 0), "swap")
        if exclusive:
            set_anon_exclusive(tx, pfn, exclusive=False)
        gone.append(pfn)
    return tuple(gone)
