"""Device memory mapped by remap_pfn_range: PCI BARs, and reserved RAM through /dev/mem.

The static users of PFN mappings: their memory never moves. A defence that breaks them breaks real programs
(thread, point 10).
"""

from typing import ClassVar, Final

from model.engine.procedure import Outcome, done, fail, step
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.physical import BAR_BASE
from model.kernel.mm.vm_fault import vm_access
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EIO
from model.memory.events import Access
from model.memory.flags import PG_RESERVED
from model.memory.records import File, Frame
from model.memory.state import Transaction

BAR_PAGES: Final = 1 << 10
"""Size of one BAR: 4 MiB."""
DEVMEM_PAGES: Final = 1 << 8
"""Reserved RAM that /dev/mem shows: 1 MiB."""


def open_iomem(tx: Transaction, backing: str, device: str) -> str | int:
    """The file of a device's BAR, or of /dev/mem, made when it is first opened."""
    name = f"/dev/mem{'' if backing == 'devmem' else f' {device}'}"
    if name not in tx.files:
        tx.files[name] = File(backing, size=BAR_PAGES if backing == "bar" else DEVMEM_PAGES)
    return name


def iomem_frame(tx: Transaction, file: str, index: int) -> int | None:
    """The frame behind one page of a BAR or of the reserved RAM; None if there is no memory for it."""
    pfn = tx.page_cache.get((file, index))
    if pfn is not None:
        return pfn
    if tx.files[file].kind == "devmem":
        pfn = alloc_page(tx, "reserved", flags=PG_RESERVED, mapping=file, index=index)
        if pfn is None:
            return None
    else:
        used = tx.counters.get("bar_high_water") or 0
        tx.counters["bar_high_water"] = used + 1
        pfn = BAR_BASE + used
        tx.frames[pfn] = Frame("vram", mapping=file, index=index)
    tx.page_cache[file, index] = pfn
    return pfn


class generic_access_phys(vm_access):
    """vm_ops->access of memory that is mapped by its physical address: /proc/PID/mem goes straight to it."""

    source: ClassVar[str] = "mm/memory.c: generic_access_phys"

    @step
    def access(self, tx: Transaction) -> Outcome:
        """Follow the entry; a page that was copied for a private mapping is not device memory: EIO."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        pte = tx.ptes.get((self.mm, self.vpn))
        if vma is None or pte is None or not pte.special or (self.write and not pte.writable):
            return fail(EIO)
        if self.write:
            tx.content[pte.pfn] = self.value
        value = tx.content.get(pte.pfn) or 0
        tx.emit(Access(pte.pfn, write=self.write, value=value, process=self.mm, vpn=self.vpn))
        return done(value)
