"""GEM buffers of shmem pages (vgem, virtio-gpu, cirrus): they never move, and one fault makes one entry."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, done, step
from model.kernel.arch.pgtable import pte_lock
from model.kernel.drivers.buffer import buffer_of
from model.kernel.mm.insert_pfn import vmf_insert_pfn
from model.kernel.mm.vm_fault import vm_fault
from model.memory.flags import VM_FAULT_SIGBUS
from model.memory.state import Transaction


class drm_gem_shmem_fault(vm_fault):
    """A fault on a mapped GEM shmem buffer: one special entry for the page that it has at this offset."""

    source: ClassVar[str] = "drivers/gpu/drm/drm_gem_shmem_helper.c: drm_gem_shmem_fault; 7.3: drm_gem_shmem_any_fault"

    @step
    def dma_resv_lock(self, tx: Transaction) -> Outcome:
        """Take the buffer's reservation lock, and wait for it where somebody has it: mmap_lock is kept meanwhile.

        6.1 has a mutex of the buffer's own instead (pages_lock), which nobody keeps for long.
        """
        if not fact(tx, "GEM shmem faults take dma_resv"):
            return None
        return down_write(tx, "dma_resv", buffer_of(self.where(tx)[0]))

    @step
    def vmf_insert_pfn(self, tx: Transaction) -> Outcome:
        """Make the entry, with the special bit: nothing is counted. Beyond the end of the buffer: SIGBUS."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        file, index = self.where(tx)
        name = buffer_of(file)
        frames = tx.buffers[name].frames
        if fact(tx, "GEM shmem faults take dma_resv"):
            up_write(tx, "dma_resv", name)
        if index >= len(frames):
            return done(VM_FAULT_SIGBUS)
        return done(vmf_insert_pfn(tx, self.mm, self.vma(tx), self.vpn, frames[index]))
