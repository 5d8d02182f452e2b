"""A GPU with page tables and a TLB of its own, as i915 drives one: objects of shmem pages, bound into its tables.

Three things are to be done before the pages of an object can go: its entries in the GPU's tables are cleared, the GPU's
TLB forgets them, and only then the driver's references are put. The GPU does not wait for the CPU.
"""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.buffer import lookup_buffer
from model.kernel.drivers.shmem_pages import shmem_pages
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.mm.page import get_page, put_page
from model.memory.errno import EEXIST, EINVAL, ENOENT
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Memory, Transaction


def bindings(mem: Memory, buffer: str) -> list[str]:
    """The GPU's mappings of a buffer that still have entries, by name."""
    return sorted(
        name
        for name, found in mem.references.items()
        if found.kind == "gpu" and found.buffer == buffer and found.frames
    )


def gpu_translate(reference: Reference, page: int) -> int:
    """The frame that the GPU reaches at a page: its TLB first, then its page table; NOT_MAPPED: a GPU page fault."""
    if 0 <= page < len(reference.tlb) and reference.tlb[page] != NOT_MAPPED:
        return reference.tlb[page]
    return reference.frames[page] if 0 <= page < len(reference.frames) else NOT_MAPPED


class i915_vma_bind(Procedure):
    """Bind an object into the GPU's page tables. Returns the number of pages."""

    source: ClassVar[str] = "drivers/gpu/drm/i915/i915_vma.c: i915_vma_pin_ww, i915_vma_bind"
    buffer: str
    device: str
    name: str

    @step
    def i915_gem_object_get_pages(self, tx: Transaction) -> Outcome:
        """Get the object's pages out of its shmem file, swapped ones as well, with a reference each."""
        bo = lookup_buffer(tx, self.buffer)
        if bo is None or self.name in tx.references:
            return fail(ENOENT if bo is None else EEXIST)
        if bo.exporter != "i915-shmem":
            return fail(EINVAL)
        frames = shmem_pages(tx, bo.file, bo.pages)
        if isinstance(frames, int):
            return done(frames)
        for pfn in frames:
            get_page(tx, pfn)
        self.holds = frames
        return None

    @step
    def insert_entries(self, tx: Transaction) -> Outcome:
        """Write the entries. The GPU's TLB knows nothing of them yet: its first access walks."""
        frames, self.holds = self.holds, ()
        if self.name in tx.references or self.buffer not in tx.buffers:  # another task was faster
            for pfn in frames:
                put_page(tx, pfn)
            return fail(EEXIST if self.name in tx.references else ENOENT)
        nothing = (NOT_MAPPED,) * len(frames)
        tx.references[self.name] = Reference(
            "gpu", frames=frames, by=self.device, write=True, buffer=self.buffer, tlb=nothing
        )
        return done(len(frames))


class i915_gem_object_unset_pages(Procedure):
    """Take an object's pages away from the GPU: every mapping of it, one after the other."""

    source: ClassVar[str] = "drivers/gpu/drm/i915/gem/i915_gem_pages.c: __i915_gem_object_unset_pages, unbind"
    buffer: str
    only: str = ""
    """The one mapping that goes; empty: all."""
    name: str = ""
    """The mapping that is being taken away."""

    @step
    def i915_gem_object_unbind(self, tx: Transaction) -> Outcome:
        """Clear the next mapping's entries in the GPU's page table. Its TLB still has what it has walked."""
        left = [name for name in bindings(tx, self.buffer) if self.only in {"", name}]
        if not left:
            return done()
        self.name = left[0]
        found = tx.references[self.name]
        self.holds = found.frames
        tx.references[self.name] = replaced(found, frames=())
        return None

    @step
    def flush_tlb_invalidate(self, tx: Transaction) -> Outcome:
        """Make the GPU forget: after this no access of it reaches the pages.

        As it was before 7938d61591d3, the TLB is left alone. It forgets when it needs the room, or with the next job.
        """
        found = tx.references.get(self.name)
        if found is not None and mended(tx, "i915-tlb-flush"):
            tx.references[self.name] = replaced(found, tlb=(NOT_MAPPED,) * len(found.tlb))
        return None

    @step
    def put_pages(self, tx: Transaction) -> Outcome:
        """Put the driver's references: from here on the pages can be swapped out, or be somebody else's."""
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()
        return goto(i915_gem_object_unset_pages.i915_gem_object_unbind)


class i915_vma_unbind(Procedure):
    """Take one mapping out of the GPU's page tables; it stays empty, until it is put."""

    source: ClassVar[str] = "drivers/gpu/drm/i915/i915_vma.c: i915_vma_unbind"
    name: str

    @step
    def unset_pages(self, tx: Transaction) -> Outcome:
        """Clear, flush, put."""
        found = tx.references.get(self.name)
        if found is None or found.kind != "gpu":
            return fail(ENOENT)
        return call(i915_gem_object_unset_pages(buffer=found.buffer, only=self.name))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The GPU has lost it."""
        return done()
