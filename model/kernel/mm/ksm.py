"""KSM, kernel samepage merging: which address spaces take part, and how what was merged is taken apart again.

Whoever calls MADV_MERGEABLE lets ksmd (`ksmd`) put one write-protected page in the place of several of the same
content. A write to it copies, always: a KSM page is never reused in place, even by the last one who maps it.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.procedure import Blocked, Outcome, Procedure, blocked, call, done, fail, step
from model.kernel.arch.pgtable import is_zero_pfn, populated, vm_normal_page
from model.kernel.mm.fault import handle_mm_fault
from model.kernel.mm.ksm_tree import free_rmap_item
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
    VM_HUGETLB,
    VM_MAYSHARE,
    VM_MERGEABLE,
    VM_SHARED,
    VM_SPECIAL,
)
from model.memory.folio import folio_of
from model.memory.ordered import ceiling
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction


def ksm_compatible(mem: Memory, vma: Vma) -> bool:
    """Whether ksmd may merge pages of the VMA: private ordinary memory, of no DAX file. The advice is ignored else."""
    if vma.flags & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB):
        return False
    file = mem.files.get(vma.file)
    return file is None or file.kind != "dax"


def find_mergeable_vma(mem: Memory, mm: str, vpn: int) -> Vma | None:
    """The VMA at an address, if ksmd may still merge there: the process lives, and nobody has taken the advice back."""
    process = mem.processes.get(mm)
    if process is None or process.exiting:
        return None
    vma = vma_lookup(mem, mm, vpn)
    return vma if vma is not None and vma.flags & VM_MERGEABLE and vma.anon_vma else None


def ksm_enter(tx: Transaction, mm: str) -> None:
    """An address space joins those that ksmd goes through, at the end of the list."""
    if not tx.processes[mm].mm_slot:
        last = max((process.mm_slot for _, process in tx.processes.items()), default=0)
        tx.processes.update(mm, mm_slot=last + 1)


def ksm_fork(tx: Transaction, parent: str, child: str) -> None:
    """The child of a process that takes part takes part as well. ksmd comes to know its pages by itself."""
    if tx.processes[parent].mm_slot:
        ksm_enter(tx, child)


def forget_addresses(tx: Transaction, mm: str, start: int, end: int | None = None) -> Blocked | None:
    """Drop the rmap_items of [start, end), where ksmd has found no mergeable page any more.

    One whose KSM page is locked is waited for: its entries may be migration entries just now, and are to be found.
    """
    while (vpn := ceiling(tx.ksm_rmap_index, mm, start)) is not None and (end is None or vpn < end):
        head = tx.ksm_rmap_items[mm, vpn].head
        lock = tx.locks.get(("folio", str(head)))
        if lock is not None and lock.writer != tx.task_name:
            return blocked(f"the lock of frame {head}, held by {lock.writer}")
        free_rmap_item(tx, mm, vpn)
        start = vpn + 1
    return None


def forget_the_dead(tx: Transaction) -> Blocked | None:
    """Drop what is known of address spaces that are gone.

    Until ksmd comes by it stays: through the addresses of a process that has exited those of its children are found.
    """
    for mm in dict.fromkeys(mm for (mm, _), _ in tx.ksm_rmap_items.items()):
        if mm not in tx.processes and (wait := forget_addresses(tx, mm, 0)) is not None:
            return wait
    return None


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
