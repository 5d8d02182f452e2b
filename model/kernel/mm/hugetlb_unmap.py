"""Unmapping huge pages of the pool one by one: for truncation, for holes, and for the owner of a page."""

from typing import ClassVar

from model.engine.procedure import Outcome, goto
from model.kernel.mm.hugetlb_pool import current, update_vma
from model.kernel.mm.hugetlb_zap import mapped_huge_page
from model.kernel.mm.unmap import zap_page_range_single, zap_vmas
from model.memory.flags import HPAGE_RESV_UNMAPPED
from model.memory.records import Vma
from model.memory.state import Transaction
from model.memory.units import Pfn


class unmap_hugepage_range(zap_page_range_single):
    """Unmap a range of one VMA, or of it only the entry that maps a certain page; the caller holds the locks."""

    source: ClassVar[str] = "mm/hugetlb.c: unmap_hugepage_range, __unmap_hugepage_range"
    folio: Pfn = -1
    """Only this page is meant, and the VMA notes that it has lost it."""

    def zap_huge_pmd(self, tx: Transaction, vma: Vma, start: int, end: int) -> Outcome:
        """If another page is meant, leave the entry."""
        if self.folio >= 0:
            if mapped_huge_page(tx, self.mm, start) != self.folio:
                self.start = end
                return goto(zap_vmas.zap_pte_range)
            update_vma(tx, self.mm, vma, resv=current(tx, self.mm, vma).resv | HPAGE_RESV_UNMAPPED)
        return zap_vmas.zap_huge_pmd(self, tx, vma, start, end)
