"""KSM: how one page takes the place of another of the same content, and what makes that fail.

A page that somebody holds beyond its entries is left alone: a device might write to it, or expect to find there what
the process writes. The count is looked at only after the entry has been cleared and every CPU has forgotten it, because
GUP-fast takes references without any lock.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, goto, hand_over, step
from model.kernel.arch.boot import ZERO_PFN
from model.kernel.arch.pgtable import hold_pte_lock, pte_lock, pte_unlock, zero_pte
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import folio_trylock, folio_unlock
from model.kernel.mm.ksm import find_mergeable_vma
from model.kernel.mm.ksm_tree import KSM_MAPPING, remove_node_from_stable_tree, remove_rmap_item_from_tree
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_add_rmap, folio_remove_rmap, get_page, put_page, set_anon_exclusive
from model.kernel.mm.page_prot import mk_pte
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.swap import free_swap_cache
from model.memory.errno import EFAULT
from model.memory.flags import PAGE_DIRTY, PAGE_RW, PG_DIRTY, PG_KSM, PG_SWAPCACHE
from model.memory.folio import page_exclusive, page_folio
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.tasks import Replacement
from model.memory.units import Pfn


class try_to_merge_one_page(Procedure):
    """Make a KSM page of the page at an address, or put `kpage` in its place. The caller holds mmap_lock.

    `holds` has the caller's reference on the page, and is handed back. Returns 0 or -EFAULT.
    """

    source: ClassVar[str] = "mm/ksm.c: try_to_merge_one_page, write_protect_page, replace_page"
    mm: str
    vpn: int
    pfn: Pfn
    kpage: Pfn = -1
    """The KSM page, or the zero page, that is to be mapped instead; -1: this page becomes the KSM page."""
    vma: Vma | None = None
    entry: Pte | None = None
    """The entry as it is while the page is locked: read-only and clean."""
    error: int = 0

    def replaces(self) -> Replacement | None:
        """The page by the KSM page, once they have been compared."""
        if self.pc not in {self.positions["replace_page"], self.positions["set_pte"]}:
            return None
        return Replacement(self.mm, self.vpn, self.vpn + 1, self.kpage, self.pfn)

    @step
    def folio_trylock(self, tx: Transaction) -> Outcome:
        """Lock the page, or leave it for the next scan. A large folio is split: only small pages can be merged."""
        self.vma = find_mergeable_vma(tx, self.mm, self.vpn)
        if self.pfn == self.kpage:
            return hand_over(0, self.holds)
        head = page_folio(tx, self.pfn)
        if self.vma is None or tx.frames[head].kind != "anon" or not folio_trylock(tx, head):
            return hand_over(-EFAULT, self.holds)
        if tx.frames[head].large:
            return call(split_folio(head=head))
        return goto(try_to_merge_one_page.ptep_clear_flush)

    @step
    def split_huge_page(self, tx: Transaction) -> Outcome:
        """The reference and the lock are now those of the page that is meant. If somebody holds the folio it is whole.

        A page of zeros is gone: the split has mapped the zero page in its place.
        """
        (head,) = self.holds
        if self.ret < 0 or not tx.frames[self.pfn].mapcount:
            self.error = -EFAULT
            return goto(try_to_merge_one_page.unlock)
        if head != self.pfn:
            get_page(tx, self.pfn)
            folio_unlock(tx, head)
            if not folio_trylock(tx, self.pfn):
                self.error = -EFAULT
            self.holds = (self.pfn,)
            put_page(tx, head)
        return goto(try_to_merge_one_page.unlock) if self.error else None

    @step
    def ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """write_protect_page: under the page table lock clear the entry, and make every CPU forget it.

        From here on GUP-fast finds nothing, so that the count can be trusted. An entry that is read-only and clean
        already, of a page that is not exclusive, is left as it is, and nobody looks at the count.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        pte = tx.ptes.get((self.mm, self.vpn))
        if pte is None or not pte.present or pte.special or pte.pfn != self.pfn:
            self.error = -EFAULT
            return goto(try_to_merge_one_page.unlock)
        self.entry = pte
        pending = tx.processes[self.mm].tlb_flush_pending
        if not (pte.writable or pte.dirty or page_exclusive(tx, self.pfn) or pending):
            return goto(try_to_merge_one_page.merge)
        return self.clear_and_flush(tx)

    def clear_and_flush(self, tx: Transaction) -> Outcome:
        """Clear the entry and flush it, under the lock; its mapping and its reference are owed from now on."""
        mmu_notifier_invalidate_range_start(tx, self.mm, self.vpn, self.vpn + 1)
        hold_pte_lock(tx, self.mm, self.vpn)
        del tx.ptes[self.mm, self.vpn]
        self.holds += (self.pfn,)
        self.owes_rmap = (self.pfn,)
        return call(flush_tlb_range(mm=self.mm, start=self.vpn, end=self.vpn + 1))

    @step
    def check_page_count(self, tx: Transaction) -> Outcome:
        """Does anybody hold the page besides its entries, the swap cache and us? Then put the entry back as it was.

        A get or a pin, whoever has it, keeps its page out of KSM. Otherwise the page is exclusive to nobody any more,
        and its entry comes back read-only and clean.
        """
        assert self.entry is not None
        frame = tx.frames[self.pfn]
        self.holds, self.owes_rmap = self.holds[:-1], ()
        if frame.mapcount + 1 + bool(frame.flags & PG_SWAPCACHE) != frame.refcount:
            self.error = -EFAULT
        else:
            set_anon_exclusive(tx, self.pfn, exclusive=False)
            if self.entry.dirty:
                tx.frames.update(self.pfn, flags=tx.frames[self.pfn].flags | PG_DIRTY)
            self.entry = self.entry.without(PAGE_RW | PAGE_DIRTY)
        tx.ptes[self.mm, self.vpn] = self.entry
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return goto(try_to_merge_one_page.unlock) if self.error else None

    @step
    def merge(self, tx: Transaction) -> Outcome:
        """Nobody can write to the page now without a fault. Make it the KSM page, or compare it with the KSM page.

        A KSM page belongs to no anon_vma, but to its node of the stable tree. It is dirty, so that it gets to swap.
        """
        if self.kpage < 0:
            remove_node_from_stable_tree(tx, self.pfn)
            frame = tx.frames[self.pfn]
            tx.frames.update(self.pfn, mapping=KSM_MAPPING, flags=frame.flags | PG_KSM | PG_DIRTY)
            return goto(try_to_merge_one_page.unlock)
        if (tx.content.get(self.pfn) or 0) != (tx.content.get(self.kpage) or 0):
            self.error = -EFAULT
            return goto(try_to_merge_one_page.unlock)
        return None

    @step
    def replace_page(self, tx: Transaction) -> Outcome:
        """If the entry is still the same, clear it, and make every CPU forget it, under the page table lock."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if tx.ptes.get((self.mm, self.vpn)) != self.entry:
            self.error = -EFAULT
            return goto(try_to_merge_one_page.unlock)
        return self.clear_and_flush(tx)

    @step
    def set_pte(self, tx: Transaction) -> Outcome:
        """Map the KSM page, read-only: one mapping and one reference more for it, and one less for the old page.

        Of the zero page nothing is counted. Its entry is marked dirty: so KSM knows it again.
        """
        assert self.vma is not None
        if self.kpage == ZERO_PFN:
            marked = PAGE_DIRTY if fact(tx, "KSM marks its zero pages") else 0
            tx.ptes[self.mm, self.vpn] = zero_pte(self.vma).with_bits(marked)
        else:
            get_page(tx, self.kpage)
            folio_add_rmap(tx, self.kpage, self.vma, self.mm)
            tx.ptes[self.mm, self.vpn] = mk_pte(self.kpage, self.vma)
        folio_remove_rmap(tx, self.pfn, self.vma, self.mm)
        self.holds, self.owes_rmap = self.holds[:-1], ()
        free_swap_cache(tx, self.pfn)
        put_page(tx, self.pfn)
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return None

    @step
    def unlock(self, tx: Transaction) -> Outcome:
        """Unlock the page, which may be nobody's any more but ksmd's, and give the reference back to the caller."""
        folio_unlock(tx, page_folio(tx, self.holds[0]))
        return hand_over(self.error, self.holds)


class try_to_merge_with_ksm_page(Procedure):
    """Merge the page at an address as `try_to_merge_one_page` does, with the lock of its address space."""

    source: ClassVar[str] = "mm/ksm.c: try_to_merge_with_ksm_page, try_to_merge_with_zero_page"
    mm: str
    vpn: int
    pfn: Pfn
    kpage: Pfn = -1

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space, if it is there still: ksmd holds none while it goes from page to page."""
        if self.mm not in tx.processes:
            return hand_over(-EFAULT, self.holds)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def find_mergeable_vma(self, tx: Transaction) -> Outcome:
        """Is there still a mergeable VMA?"""
        if find_mergeable_vma(tx, self.mm, self.vpn) is None:
            up_read(tx, "mmap_lock", self.mm)
            return hand_over(0 if self.kpage == ZERO_PFN else -EFAULT, self.holds)
        mine, self.holds = self.holds, ()
        return call(try_to_merge_one_page(mm=self.mm, vpn=self.vpn, pfn=self.pfn, kpage=self.kpage, holds=mine))

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Note through which anon_vma the entry can be found, as long as the VMA cannot go."""
        vma = find_mergeable_vma(tx, self.mm, self.vpn)
        if self.ret == 0 and self.kpage != ZERO_PFN and vma is not None:
            if (wait := remove_rmap_item_from_tree(tx, self.mm, self.vpn)) is not None:
                return wait
            tx.ksm_rmap_items.update((self.mm, self.vpn), anon_vma=vma.anon_vma)
        up_read(tx, "mmap_lock", self.mm)
        return hand_over(self.ret, self.holds)
