"""KSM, kernel samepage merging: which address spaces take part, and how what was merged is taken apart again.

Whoever calls MADV_MERGEABLE lets ksmd (`ksmd`) put one write-protected page in the place of several of the same
content. A write to it copies, always: a KSM page is never reused in place, even by the last one who maps it.
"""

from model.engine.procedure import Blocked
from model.kernel.mm.ksm_tree import free_rmap_item
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import VM_HUGETLB, VM_MAYSHARE, VM_MERGEABLE, VM_SHARED, VM_SPECIAL
from model.memory.ordered import ceiling
from model.memory.records import Vma
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
    """Drop the rmap_items of [start, end), where ksmd has found no mergeable page any more. Waits for locked pages."""
    while (vpn := ceiling(tx.ksm_rmap_index, mm, start)) is not None and (end is None or vpn < end):
        if (wait := free_rmap_item(tx, mm, vpn)) is not None:
            return wait
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
