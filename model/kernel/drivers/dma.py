"""DMA: a device reads and writes *frames*. It knows no addresses of processes and no page tables."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.dma_buf import dma_buf_map_attachment
from model.kernel.drivers.gpu import gpu_translate
from model.kernel.mm.hmm import mirror_range
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.virt.kvm import kvm_tdp_mmu_page_fault
from model.memory.errno import EFAULT, EINVAL, ENOENT
from model.memory.events import Access
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Memory, Transaction


def referenced_frame(mem: Memory, name: str, page: int) -> tuple[Reference | None, int]:
    """A reference and the pfn behind its page number; -ENOENT or -EINVAL instead of a pfn."""
    reference = mem.references.get(name)
    if reference is None:
        return None, -ENOENT
    return reference, reference.frames[page] if 0 <= page < len(reference.frames) else -EINVAL


class device_access(Procedure):
    """The device behind a reference reads or writes one byte of one page. Returns the byte read, or an errno."""

    source: ClassVar[str] = "hardware: a bus master"
    reference: str
    page: int
    write: bool = False
    value: int = 0

    @step
    def translate(self, tx: Transaction) -> Outcome:
        """A device that was told of an invalidation has no entry any more: it faults, and its driver looks again.

        A GPU translates by itself. It asks its TLB first, then its own page table.
        """
        reference, pfn = referenced_frame(tx, self.reference, self.page)
        self.ret = 0
        if reference is not None and reference.kind == "gpu":
            return self.walk(tx, reference)
        if reference is None or pfn != NOT_MAPPED:
            return None
        if reference.kind == "map":
            return call(dma_buf_map_attachment(dmabuf=reference.dmabuf, device=reference.by, name=self.reference))
        mm, start, pages, by = reference.process, reference.vpn, len(reference.frames), reference.by
        if reference.kind == "follow":
            return call(kvm_tdp_mmu_page_fault(self.reference, mm, start, pages, page=self.page, by=by))
        return call(mirror_range(self.reference, mm, start, pages, by, first=self.page, count=1))

    def walk(self, tx: Transaction, reference: Reference) -> Outcome:
        """A GPU translates by itself: its TLB, else its page table, which the TLB remembers from then on."""
        pfn = gpu_translate(reference, self.page)
        if pfn == NOT_MAPPED:
            return fail(EFAULT)
        if reference.tlb[self.page] != pfn:
            tlb = (*reference.tlb[: self.page], pfn, *reference.tlb[self.page + 1 :])
            tx.references[self.reference] = replaced(reference, tlb=tlb)
        return None

    @step
    def transfer(self, tx: Transaction) -> Outcome:
        """The device uses the physical address that it was given, or that its TLB remembers.

        It does not ask whether some process still has the page mapped, or whose page it is now.
        """
        if self.ret < 0:
            return done(self.ret)
        reference, pfn = referenced_frame(tx, self.reference, self.page)
        if reference is not None and reference.kind == "gpu":
            pfn = gpu_translate(reference, self.page)
        if pfn == NOT_MAPPED:
            return goto(device_access.translate)
        if reference is None or pfn < 0:
            return fail(-pfn)
        if self.write:
            tx.content[pfn] = self.value
        value = tx.content.get(pfn) or 0
        access = Access(
            pfn, write=self.write, value=value, reference=self.reference, page=self.page, device=reference.by
        )
        tx.emit(access)
        return done(0 if self.write else value)


class peek_reference(Procedure):
    """Look at what a referenced page holds now, as a reader of the pipe would. Returns the byte, or an errno."""

    source: ClassVar[str] = "fs/splice.c: a read from the pipe"
    reference: str
    page: int

    @step
    def look(self, tx: Transaction) -> Outcome:
        """Read the frame that is held, whatever the mapping says. A mirror that was emptied holds none: EFAULT."""
        reference, pfn = referenced_frame(tx, self.reference, self.page)
        if pfn == NOT_MAPPED:
            return fail(EFAULT)
        if reference is None or pfn < 0:
            return fail(-pfn)
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=False, value=value, reference=self.reference, page=self.page, device=reference.by))
        return done(value)
