"""What a ->fault handler is told: struct vm_fault."""

from typing import Self

from model.engine.procedure import Procedure
from model.memory.records import Vma
from model.memory.state import Memory
from model.memory.units import Pfn


class vm_fault(Procedure):
    """The variables that every ->fault handler starts with.

    A handler returns VM_FAULT_* bits. With VM_FAULT_LOCKED or 0 it hands over one reference on the page that it has
    found; VM_FAULT_LOCKED says in addition that the page's lock is held, so that truncation waits until the page is
    mapped. The caller holds mmap_lock.
    """

    mm: str
    vpn: int
    start: int
    """Where the VMA starts."""
    flags: int = 0
    """FAULT_FLAG_* bits."""

    def bound(self, mem: Memory) -> Self:
        """The call as it is made on this machine."""
        return self

    def vma(self, mem: Memory) -> Vma:
        """The VMA of the fault."""
        return mem.vmas[self.mm, self.start]

    def where(self, mem: Memory) -> tuple[str, int]:
        """The file of the fault, and vmf->pgoff: the page in it."""
        vma = self.vma(mem)
        return vma.file, vma.pgoff + self.vpn - vma.start


class vm_mkwrite(Procedure):
    """The variables of a ->page_mkwrite or ->pfn_mkwrite handler: a page mapped read-only is about to be written.

    Returns VM_FAULT_* bits: VM_FAULT_LOCKED (go on, the page's lock is held) or 0, VM_FAULT_NOPAGE (the page has
    left the file meanwhile: try again), VM_FAULT_SIGBUS (refused).
    """

    mm: str
    vpn: int
    pfn: Pfn
    """-1: a special entry, there is no page."""


class vm_access(Procedure):
    """What an ->access handler is told: /proc/PID/mem or a debugger wants one byte. Returns it, or an errno."""

    mm: str
    vpn: int
    write: bool = False
    value: int = 0
