"""Faults on a TTM buffer: under its reservation lock, so that they never meet a move half done.

The lock orders faults and moves of one buffer. It orders nothing else: a page reference that somebody took earlier
does not know of it.
"""

from typing import ClassVar, Final

from model.engine.lock import down_write, try_lock, up_read, up_write
from model.engine.procedure import Outcome, call, done, fail, goto, step
from model.kernel.arch.pgtable import PTRS_PER_TABLE, is_pmd_leaf, pte_alloc, pte_lock, table_end
from model.kernel.drivers.buffer import alloc_backing, buffer_of
from model.kernel.mm.insert_pfn import huge_range, vmf_insert_mixed, vmf_insert_page, vmf_insert_pfn, vmf_insert_pfn_pmd
from model.kernel.mm.vm_fault import vm_access, vm_fault
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EIO
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_TRIED,
    VM_FAULT_FALLBACK,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
)
from model.memory.records import Access, Buffer
from model.memory.state import Transaction

TTM_BO_VM_NUM_PREFAULT: Final = 16
"""Entries that one fault makes at most, on both sides of the border between two page tables if need be."""


class ttm_bo_vm_fault(vm_fault):
    """A fault on a mapped buffer: make entries for where its pages are now."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo_vm.c: ttm_bo_vm_fault"
    waits_for: str = ""
    """The buffer whose reservation we wait for, without mmap_lock."""
    prefaulted: int = 0
    """How many entries have been made."""

    def buffer(self, tx: Transaction) -> tuple[str, Buffer]:
        """The buffer behind the VMA."""
        name = buffer_of(self.vma(tx).file)
        return name, tx.buffers[name]

    @step
    def ttm_bo_vm_reserve(self, tx: Transaction) -> Outcome:
        """Try to take the buffer's reservation lock. If a move holds it, mmap_lock must not be kept while we wait."""
        name, _ = self.buffer(tx)
        if try_lock(tx, "dma_resv", name):
            return goto(ttm_bo_vm_fault.ttm_bo_vm_fault_reserved)
        if self.flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED) != FAULT_FLAG_ALLOW_RETRY:
            wait = down_write(tx, "dma_resv", name)
            return wait if wait is not None else goto(ttm_bo_vm_fault.ttm_bo_vm_fault_reserved)
        up_read(tx, "mmap_lock", self.mm)
        self.waits_for = name
        return None

    @step
    def wait_for_reservation(self, tx: Transaction) -> Outcome:
        """Wait until the move is over, then start the whole fault again: VM_FAULT_RETRY. The VMA may have gone."""
        if (wait := down_write(tx, "dma_resv", self.waits_for)) is not None:
            return wait
        up_write(tx, "dma_resv", self.waits_for)
        return done(VM_FAULT_RETRY)

    @step
    def ttm_bo_vm_fault_reserved(self, tx: Transaction) -> Outcome:
        """Under the reservation lock the buffer stays where it is. If it was swapped out, bring it back first."""
        name, buffer = self.buffer(tx)
        index = self.where(tx)[1]
        if index >= buffer.pages:
            return self.unreserve(tx, VM_FAULT_SIGBUS)
        if not buffer.frames and not ttm_tt_populate(tx, name, buffer):
            return self.unreserve(tx, VM_FAULT_OOM)
        return None

    @step
    def insert_entries(self, tx: Transaction) -> Outcome:
        """Make entries for the faulting page and up to 15 behind it: frame numbers, with the special bit or without.

        With vmf_insert_pfn nothing is counted: no reference, no mapcount. That is the contract: *the driver* takes
        the entries away before it moves the buffer.
        """
        first = self.vpn + self.prefaulted
        if (wait := pte_lock(tx, self.mm, first)) is not None:
            return wait
        _, buffer = self.buffer(tx)
        vma = self.vma(tx)
        last = min(vma.end, self.vpn + TTM_BO_VM_NUM_PREFAULT, self.vpn + buffer.pages - self.where(tx)[1])
        border = table_end(first, last)
        for vpn in range(first, border):
            error = self.insert(tx, vpn, buffer.frames[vma.pgoff + vpn - vma.start])
            if error != VM_FAULT_NOPAGE:  # never an error for a page that nobody asked for
                return self.unreserve(tx, error if vpn == self.vpn else VM_FAULT_NOPAGE)
        if border == last or is_pmd_leaf(tx, self.mm, border):
            return self.unreserve(tx, VM_FAULT_NOPAGE)
        self.prefaulted = border - self.vpn
        return call(pte_alloc(mm=self.mm, vpn=border))

    @step
    def next_table(self, tx: Transaction) -> Outcome:
        """The next entries are in another page table, which is there by now; without memory for one, end here."""
        return self.unreserve(tx, VM_FAULT_NOPAGE) if self.ret < 0 else goto(ttm_bo_vm_fault.insert_entries)

    def insert(self, tx: Transaction, vpn: int, pfn: int) -> int:
        """Make one entry; VM_FAULT_NOPAGE, or what went wrong."""
        return vmf_insert_pfn(tx, self.mm, self.vma(tx), vpn, pfn)

    def unreserve(self, tx: Transaction, result: int) -> Outcome:
        """Give the reservation back and return `result`."""
        up_write(tx, "dma_resv", self.buffer(tx)[0])
        return done(result)


def ttm_tt_populate(tx: Transaction, name: str, buffer: Buffer) -> bool:
    """Give a buffer system pages again, with the content that was swapped out (ttm_tt.c: ttm_tt_populate, swapin)."""
    frames = alloc_backing(tx, name, buffer.pages, "system", buffer.caching)
    if frames is None:
        return False
    for pfn, byte in zip(frames, buffer.swap, strict=False):
        if byte:
            tx.content[pfn] = byte
    tx.buffers.update(name, frames=frames, place="system", swap=())
    return True


class ttm_bo_vm_huge_fault(ttm_bo_vm_fault):
    """A fault that tries to map 2 MiB at once, as TTM did from 5.7 to 5.15."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo_vm.c: ttm_bo_vm_insert_huge (5.7 to 5.15)"

    @step
    def insert_entries(self, tx: Transaction) -> Outcome:
        """One PMD entry for 512 pages, if the block and the addresses are aligned; else fall back to single entries.

        Nothing is counted. Before 6.12 a PMD has no special bit either: nothing in this entry tells
        get_user_pages_fast() that it must not touch these pages.

        As it was before 0d979509539e: every driver that uses TTM maps its buffers like this, where they are large.
        """
        vma, (_, buffer) = self.vma(tx), self.buffer(tx)
        start = huge_range(vma, self.vpn)
        if start is None:
            return self.unreserve(tx, VM_FAULT_FALLBACK)
        index = vma.pgoff + start - vma.start
        frames = buffer.frames[index : index + PTRS_PER_TABLE]
        contiguous = len(frames) == PTRS_PER_TABLE and frames[-1] == frames[0] + PTRS_PER_TABLE - 1
        if not contiguous or frames[0] % PTRS_PER_TABLE:
            return self.unreserve(tx, VM_FAULT_FALLBACK)
        return self.unreserve(tx, vmf_insert_pfn_pmd(tx, self.mm, vma, start, frames[0]))


class insert_page_fault(ttm_bo_vm_fault):
    """A fault on a buffer whose driver maps its TTM pages with vm_insert_page(): ordinary, counted entries."""

    source: ClassVar[str] = "a driver's own ->fault: ttm_bo_vm_reserve(), then vmf_insert_page() (mm/memory.c)"

    def insert(self, tx: Transaction, vpn: int, pfn: int) -> int:
        """An ordinary entry, and a reference for it."""
        return vmf_insert_page(tx, self.mm, self.vma(tx), vpn, pfn)


class insert_mixed_fault(ttm_bo_vm_fault):
    """A fault on a buffer whose driver maps its TTM pages with vmf_insert_mixed(), in a VM_MIXEDMAP VMA."""

    source: ClassVar[str] = "a driver's own ->fault: ttm_bo_vm_reserve(), then vmf_insert_mixed() (mm/memory.c)"

    def insert(self, tx: Transaction, vpn: int, pfn: int) -> int:
        """A special entry wherever entries can be special."""
        return vmf_insert_mixed(tx, self.mm, self.vma(tx), vpn, pfn)


class ttm_bo_vm_access(vm_access):
    """vm_ops->access: a debugger, or /proc/PID/mem, reads or writes a buffer that GUP refuses. Returns the byte."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo_vm.c: ttm_bo_vm_access"

    @step
    def ttm_bo_reserve(self, tx: Transaction) -> Outcome:
        """Under the reservation lock: where is the page now? Only system memory can be reached like this, not VRAM."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None:
            return fail(EIO)
        name = buffer_of(vma.file)
        if (wait := down_write(tx, "dma_resv", name)) is not None:
            return wait
        up_write(tx, "dma_resv", name)
        if not tx.buffers[name].frames and not ttm_tt_populate(tx, name, tx.buffers[name]):
            return fail(EIO)
        buffer = tx.buffers[name]
        index = vma.pgoff + self.vpn - vma.start
        if buffer.place == "vram" or index >= len(buffer.frames):
            return fail(EIO)
        pfn = buffer.frames[index]
        if self.write:
            tx.content[pfn] = self.value
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=self.write, value=value, process=self.mm, vpn=self.vpn))
        return done(value)
