"""How what KSM has merged is taken apart again: by faults, one page after the other."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.procedure import Outcome, Procedure, call, done, fail, step
from model.kernel.arch.pgtable import is_zero_pfn, populated, vm_normal_page
from model.kernel.mm.fault import handle_mm_fault
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import ENOMEM
from model.memory.flags import (
    FAULT_FLAG_REMOTE,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    PG_KSM,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_FAULT_SIGSEGV,
)
from model.memory.folio import folio_of
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction


def is_ksm_zero_pte(mem: Memory, pte: Pte) -> bool:
    """An entry that ksmd has turned to the zero page: its dirty bit tells it from one that a read fault has made."""
    return is_zero_pfn(pte.pfn) and pte.dirty and fact(mem, "KSM marks its zero pages")


class break_ksm(Procedure):
    """Give each address of [start, end) that maps a KSM page a page of its own again; the caller holds mmap_lock."""

    source: ClassVar[str] = "mm/ksm.c: break_ksm, break_ksm_pmd_entry"
    mm: str
    start: int
    end: int

    @step
    def find_ksm_page(self, tx: Transaction) -> Outcome:
        """Find the next entry that leads to a KSM page, and fault on it as if its sharing had to end.

        The copy is exclusive to this process. Its entry stays read-only: nobody has written. Up to 6.1 the fault is
        that of a write.
        """
        if self.ret & VM_FAULT_OOM:
            return fail(ENOMEM)
        if self.ret & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV):
            return done()
        vma = vma_lookup(tx, self.mm, self.start) if self.start < self.end else None
        if vma is None:
            return done()
        for vpn in populated(tx, self.mm, self.start, self.end):
            if self.shared(tx, vma, tx.ptes[self.mm, vpn]):
                self.start = vpn
                how = FAULT_FLAG_UNSHARE if fact(tx, "KSM breaks by unsharing") else FAULT_FLAG_WRITE
                fault = handle_mm_fault(mm=self.mm, vpn=vpn, flags=how | FAULT_FLAG_REMOTE)
                return call(fault, then=break_ksm.find_ksm_page)
        return done()

    def shared(self, tx: Transaction, vma: Vma, pte: Pte) -> bool:
        """Whether an entry leads to a KSM page, or will when its migration ends, or to the zero page by ksmd's hand."""
        if pte.kind == "migration":
            return bool(folio_of(tx, pte.pfn).flags & PG_KSM)
        if not pte.present:
            return False
        pfn = vm_normal_page(tx, vma, pte)
        return is_ksm_zero_pte(tx, pte) if pfn is None else bool(folio_of(tx, pfn).flags & PG_KSM)
