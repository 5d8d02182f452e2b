"""Stacks: mappings that grow down to the address that is touched (MAP_GROWSDOWN)."""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, done, fail, step
from model.kernel.mm.limits import MMAP_MIN_ADDR, STACK_GUARD_GAP, STACK_LIMIT, enough_memory
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.vma import find_vma, replace_vma, vma_before, vma_is_accessible
from model.memory.errno import EFAULT
from model.memory.flags import VM_GROWSDOWN
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Transaction


def expand_downwards(tx: Transaction, mm: str, vpn: int) -> Vma | None:
    """The VMA around `vpn`, after growing a MAP_GROWSDOWN VMA down to it if need be; None where there is none.

    How far one access reaches down does not matter, only the size of the stack afterwards does; but a guard gap to an
    accessible mapping below stays free (mm/vma.c: expand_downwards, acct_stack_growth).
    """
    vma = find_vma(tx, mm, vpn)
    if vma is None or vma.start <= vpn:
        return vma
    if not vma.flags & VM_GROWSDOWN or vpn < MMAP_MIN_ADDR:
        return None
    below = vma_before(tx, mm, vma.start)
    if below is not None and vpn - below.end < STACK_GUARD_GAP and keeps_distance(below):
        return None
    grow = vma.start - vpn
    if grow > vma.pgoff or vma.end - vpn > STACK_LIMIT or not enough_memory(tx, grow):
        return None
    vma = anon_vma_prepare(tx, mm, vma)
    return replace_vma(tx, mm, vma, replaced(vma, start=vpn, pgoff=vma.pgoff - grow))


def keeps_distance(below: Vma) -> bool:
    """A mapping that a growing stack may not come near: one that can be accessed and is no stack itself."""
    return vma_is_accessible(below) and not below.flags & VM_GROWSDOWN


class expand_stack(Procedure):
    """Grow a stack down to an address for somebody else (ptrace, /proc/PID/mem). -EFAULT where there is none."""

    source: ClassVar[str] = "mm/mmap.c: expand_stack"
    mm: str
    vpn: int

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """A VMA is going to change: the caller has given its read lock back, and this is the write lock."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def expand_downwards(self, tx: Transaction) -> Outcome:
        """Do what an access by the process itself would do: extend the VMA above, if it is a stack."""
        vma = expand_downwards(tx, self.mm, self.vpn)
        up_write(tx, "mmap_lock", self.mm)
        return fail(EFAULT) if vma is None else done()
