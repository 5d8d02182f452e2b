"""Filling a new mapping inside of ->mmap: with special entries (remap_pfn_range) or ordinary ones (vm_insert_page)."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.engine.splat import bug
from model.kernel.arch.pgtable import pte_alloc, tables_exist
from model.kernel.mm.page import folio_add_rmap, get_page
from model.kernel.mm.page_prot import vm_page_prot
from model.memory.errno import EINVAL
from model.memory.flags import PAGE_SPECIAL, VM_MIXEDMAP, VM_PFNMAP
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.units import Pfn


class remap(Procedure):
    """The variables of both ways. The VMA is new and empty, and mmap_lock is held for writing."""

    mm: str
    vma: Vma
    frames: tuple[Pfn, ...]
    """One a page."""
    page: int = 0
    """The next one to be mapped."""

    def table(self, tx: Transaction) -> Outcome:
        """None if there is a page table for the next page, else the call that makes it."""
        vpn = self.vma.start + self.page
        self.ret = 0
        return None if tables_exist(tx, self.mm, vpn) else call(pte_alloc(mm=self.mm, vpn=vpn))


class remap_pfn_range(remap):
    """Map frames with special entries: no references, no mapcounts, whatever lies behind them. Fails with -ENOMEM."""

    source: ClassVar[str] = "mm/memory.c: remap_pfn_range"

    @step
    def pte_alloc(self, tx: Transaction) -> Outcome:
        """Make sure there is a page table."""
        return self.table(tx)

    @step
    def set_pte_special(self, tx: Transaction) -> Outcome:
        """Write the entry, marked special. Nobody can tell from the frame that it is mapped here.

        That is the point: the driver alone decides how long the frame stays, and get_user_pages() keeps its hands off.
        """
        if self.ret < 0:
            return fail(-self.ret)
        vpn = self.vma.start + self.page
        tx.ptes[self.mm, vpn] = Pte(self.frames[self.page], vm_page_prot(self.vma) | PAGE_SPECIAL)
        self.page += 1
        return goto(remap_pfn_range.pte_alloc) if self.page < len(self.frames) else done()


class vm_insert_pages(remap):
    """Map pages of a driver with ordinary entries, counted like those of a file. Fails with -ENOMEM."""

    source: ClassVar[str] = "mm/memory.c: vm_insert_pages, insert_page_into_pte_locked"

    @step
    def pte_alloc(self, tx: Transaction) -> Outcome:
        """Make sure there is a page table."""
        return self.table(tx)

    @step
    def insert_page(self, tx: Transaction) -> Outcome:
        """Write the entry: one more reference, one more mapping. get_user_pages() may take this page, and keep it.

        Once the entry is gone nothing brings it back: these mappings have no ->fault.
        """
        if self.ret < 0:
            return fail(-self.ret)
        if self.vma.flags & (VM_PFNMAP | VM_MIXEDMAP) == VM_PFNMAP:
            bug(tx, "mm/memory.c:2055")  # BUG_ON(vma->vm_flags & VM_PFNMAP) of vm_insert_page(), 6.1 to 7.3
            return fail(EINVAL)
        pfn = self.frames[self.page]
        get_page(tx, pfn)
        folio_add_rmap(tx, pfn, self.vma, self.mm)
        tx.ptes[self.mm, self.vma.start + self.page] = Pte(pfn, vm_page_prot(self.vma))
        self.page += 1
        return goto(vm_insert_pages.pte_alloc) if self.page < len(self.frames) else done()
