"""->fault of a driver that is described by a file: which lock it takes, what it refuses, which entries it makes."""

from typing import ClassVar, Final, Self

from msgspec.structs import replace

from model.driver_files.records import KernelDriver
from model.engine.lock import down_read, down_write, try_lock, up_read, up_write
from model.engine.procedure import MicroStep, Outcome, call, done, fail, goto, hand_over, step
from model.kernel.arch.pgtable import PTRS_PER_TABLE, is_pmd_leaf, pte_alloc, pte_lock, table_end
from model.kernel.drivers.buffer import buffer_of, drop_handle, get_buffer
from model.kernel.drivers.driver import driver_of, has_condition, populate, set_state, ttm_tt_populate
from model.kernel.mm.filemap import release_file
from model.kernel.mm.insert_pfn import (
    bug_on_insert,
    huge_range,
    vmf_insert_mixed,
    vmf_insert_page,
    vmf_insert_pfn,
    vmf_insert_pfn_pmd,
)
from model.kernel.mm.page import get_page
from model.kernel.mm.vm_fault import vm_access, vm_fault, vm_mkwrite
from model.kernel.mm.vma import vma_lookup
from model.memory.buffer_records import Buffer
from model.memory.errno import EIO
from model.memory.events import Access
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_TRIED,
    VM_FAULT_FALLBACK,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.record_base import replaced
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Word

PREFAULT: Final = 16
"""`range=around`: entries that one fault makes at most (TTM_BO_VM_NUM_PREFAULT)."""
INSERT: Final = {
    "pfn": vmf_insert_pfn,
    "huge-pfn": vmf_insert_pfn,
    "remap": vmf_insert_pfn,
    "page": vmf_insert_page,
    "mixed": vmf_insert_mixed,
}
"""Field `map insert=` → the function that makes an entry from a fault."""


def lock_kind(lock: str) -> str:
    """The kind of a buffer's lock in the table of locks: `resv` is dma_resv, which the dma-buf core takes as well."""
    return "dma_resv" if lock == "resv" else lock


def page_behind(mem: Memory, driver: KernelDriver, buffer: Buffer, index: int) -> int | None:
    """The frame that the driver maps at a page of the buffer; None: it refuses.

    A driver that does not look where the buffer ends takes what stands behind its array of pages for a page: here that
    is the array of the driver's buffer that was made next. Of memory in one piece it counts on from the first frame.
    """
    if 0 <= index < len(buffer.frames):
        return buffer.frames[index]
    if driver.bounds or not buffer.frames:
        return None
    if driver.backing in {"vram", "cma"}:
        return buffer.frames[0] + index
    behind = arrays_behind(mem, buffer)
    return behind[index - len(buffer.frames)] if index - len(buffer.frames) < len(behind) else None


def arrays_behind(mem: Memory, buffer: Buffer) -> tuple[int, ...]:
    """The pages of the driver's buffers that were made after this one: the slab may have put their arrays behind it."""
    alike = [bo for _, bo in mem.buffers.items() if bo.exporter == buffer.exporter and bo.last_use > buffer.last_use]
    return tuple(pfn for bo in sorted(alike, key=lambda bo: bo.last_use) for pfn in bo.frames)


class driver_fault(vm_fault):
    """A fault on a buffer whose driver is described by a file."""

    source: ClassVar[str] = "a driver's own ->fault"
    named: Word = ""
    """The kernel function that it is."""
    said: Word = ""
    """Where that stands."""
    words: Word = ""
    """What the file says of its entries."""
    locks_by: Word = ""
    """The kernel function that takes the driver's lock."""
    waits_for: str = ""
    """The buffer whose lock we wait for, without mmap_lock."""
    next_vpn: int = -1
    """The next entry to make; -1: none has been made."""
    checked: bool = False
    """There is a page, and it may be mapped."""
    locks_held: int = 0
    """How many of the driver's locks we have."""

    @property
    def function(self) -> str:
        """As the file says."""
        return self.named or type(self).__name__

    @property
    def next_step(self) -> MicroStep:
        """With the sources that the file names; the lock's step bears the name of the function that takes it."""
        micro = self.steps[self.pc]
        if micro.name == "lock" and self.locks_by:
            return replace(micro, name=self.locks_by, source=self.said or micro.source)
        if micro.name == "insert_entries" and self.words:
            micro = replace(micro, doc=f"{micro.doc}\n\n{self.words}")
        return replace(micro, source=self.said) if self.said else micro

    @property
    def next_name(self) -> str:
        """The step that comes next by its name."""
        return self.next_step.name if self.pc < len(self.steps) else "return"

    def bound(self, mem: Memory) -> Self:
        """The call with the name that the driver's file gives it."""
        driver = self.driver(mem)
        line = driver.map_line
        return replaced(
            self,
            named=line.function,
            said=line.source,
            words=line.words,
            locks_by=driver.lock_line.function,
            pc=self.positions["lock" if driver.fault_locks else "insert_entries"],
        )

    def name(self, mem: Memory) -> str:
        """The buffer behind the VMA."""
        return buffer_of(self.vma(mem).file)

    def driver(self, mem: Memory) -> KernelDriver:
        """Its driver."""
        return driver_of(mem, mem.buffers[self.name(mem)].exporter)

    @step
    def lock(self, tx: Transaction) -> Outcome:
        """Take the lock that the driver's faults take.

        `trylock-retry`: if an operation holds it, mmap_lock must not be kept while we wait. The others wait with it.
        """
        name = self.name(tx)
        locks = self.driver(tx).fault_locks
        lock, how = locks[self.locks_held]
        kind = lock_kind(lock)
        if how != "trylock-retry":
            wait = down_read(tx, kind, name) if how == "read" else down_write(tx, kind, name)
            if wait is not None:
                return wait
            self.locks_held += 1
            return goto(driver_fault.lock if self.locks_held < len(locks) else driver_fault.insert_entries)
        if self.flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED) != FAULT_FLAG_ALLOW_RETRY:
            return down_write(tx, kind, name) or goto(driver_fault.reserved)
        if try_lock(tx, kind, name):
            return goto(driver_fault.reserved)
        get_buffer(tx, name)
        up_read(tx, "mmap_lock", self.mm)
        self.waits_for = name
        return goto(driver_fault.wait_for_lock)

    @step
    def reserved(self, tx: Transaction) -> Outcome:
        """Under the lock the buffer stays as it is. Is there a page, and may it be mapped in this state?

        Beyond the end of the buffer, or without memory behind it, there is nothing: SIGBUS. If it was swapped out,
        bring it back first.
        """
        self.checked = True
        bits = self.refused(tx)
        return self.unlock(tx, bits) if bits else goto(driver_fault.insert_entries)

    def refused(self, tx: Transaction) -> int:
        """VM_FAULT_* bits where nothing can be mapped, or 0."""
        driver, name = self.driver(tx), self.name(tx)
        for state, bits in driver.fails_when:
            if has_condition(tx, name, state):
                return bits
        if not populate(tx, name):
            return VM_FAULT_OOM
        return 0 if self.page(tx, driver, self.vma(tx), self.vpn) is not None else VM_FAULT_SIGBUS

    @step
    def insert_entries(self, tx: Transaction) -> Outcome:
        """Make the entry, or several: for the faulting page, for those behind it, or for the whole VMA.

        With vmf_insert_pfn nothing is counted: no reference, no mapcount. That is the contract: *the driver* takes the
        entries away before it does something else with the memory.
        """
        driver, vma = self.driver(tx), self.vma(tx)
        if not self.checked and (bits := self.refused(tx)):
            return self.unlock(tx, bits)
        self.checked = True
        if driver.insert == "return-page":
            return self.return_page(tx, driver, vma)
        start = vma.start if driver.reach == "vma" else self.vpn
        first = start if self.next_vpn < 0 else self.next_vpn
        if (wait := pte_lock(tx, self.mm, first)) is not None:
            return wait
        last = {"one": self.vpn + 1, "around": min(vma.end, self.vpn + PREFAULT), "vma": vma.end}[driver.reach]
        if driver.bounds:
            last = min(last, self.vpn + len(tx.buffers[self.name(tx)].frames) - self.where(tx)[1])
        border = table_end(first, last)
        for vpn in range(first, border):
            pfn = self.page(tx, driver, vma, vpn)
            if pfn is None or bug_on_insert(tx, driver.insert, vma, pfn):
                return self.unlock(tx, VM_FAULT_NOPAGE)
            error = INSERT[driver.insert](tx, self.mm, self.as_shown(driver, vma), vpn, pfn)
            if error != VM_FAULT_NOPAGE:  # never an error for a page that nobody asked for
                return self.unlock(tx, error if vpn == self.vpn else VM_FAULT_NOPAGE)
        if border == last or is_pmd_leaf(tx, self.mm, border):
            return self.unlock(tx, VM_FAULT_NOPAGE)
        self.next_vpn = border
        return call(pte_alloc(mm=self.mm, vpn=border), then=driver_fault.next_table)

    @step
    def next_table(self, tx: Transaction) -> Outcome:
        """The next entries are in another page table, which is there by now; without memory for one, end here."""
        return self.unlock(tx, VM_FAULT_NOPAGE) if self.ret < 0 else goto(driver_fault.insert_entries)

    @step
    def wait_for_lock(self, tx: Transaction) -> Outcome:
        """Wait until the operation is over, then start the whole fault again: VM_FAULT_RETRY. The VMA may have gone.

        A reference on the buffer object has kept it until here (ttm_bo_vm_reserve: drm_gem_object_get).
        """
        bo = tx.buffers[self.waits_for]
        lock = lock_kind(driver_of(tx, bo.exporter).fault_locks[0][0])
        if (wait := down_write(tx, lock, self.waits_for)) is not None:
            return wait
        up_write(tx, lock, self.waits_for)
        if drop_handle(tx, self.waits_for):
            release_file(tx, bo.file)
        return done(VM_FAULT_RETRY)

    @staticmethod
    def as_shown(driver: KernelDriver, vma: Vma) -> Vma:
        """The VMA as its entries begin: read-only where the driver wants to hear of the first write to each."""
        told = driver.mkwrite and vma.flags & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE
        return replaced(vma, flags=vma.flags & ~VM_SHARED) if told else vma

    def page(self, tx: Transaction, driver: KernelDriver, vma: Vma, vpn: int) -> int | None:
        """The frame behind a virtual page of the VMA."""
        return page_behind(tx, driver, tx.buffers[self.name(tx)], vma.pgoff + vpn - vma.start)

    def return_page(self, tx: Transaction, driver: KernelDriver, vma: Vma) -> Outcome:
        """Return the page with a reference for the entry, which the core makes: an ordinary one."""
        pfn = self.page(tx, driver, vma, self.vpn)
        assert pfn is not None
        get_page(tx, pfn)
        self.unlock(tx, 0)
        return hand_over(0, (pfn,))

    def unlock(self, tx: Transaction, result: int) -> Outcome:
        """Give the lock back and return `result`."""
        for lock, how in reversed(self.driver(tx).fault_locks):
            release = up_read if how == "read" else up_write
            release(tx, lock_kind(lock), self.name(tx))
        return done(result)


class driver_mkwrite(vm_mkwrite):
    """->page_mkwrite or ->pfn_mkwrite of a driver that is described by a file."""

    source: ClassVar[str] = "a driver's own ->page_mkwrite or ->pfn_mkwrite"

    @step
    def told(self, tx: Transaction) -> Outcome:
        """The first write to a page since its entry was made, or made read-only: the driver notes it, or refuses."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        name = buffer_of(vma.file)
        driver = driver_of(tx, tx.buffers[name].exporter)
        if driver.mkwrite == "refuse":
            return done(VM_FAULT_SIGBUS)
        if driver.notes:
            set_state(tx, name, driver.notes, on=True)
        return done()


class driver_huge_fault(driver_fault):
    """A fault that tries to map 2 MiB at once, as TTM did from 5.7 to 5.15."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo_vm.c: ttm_bo_vm_insert_huge (5.7 to 5.15)"

    def bound(self, mem: Memory) -> Self:
        """The call under its own name."""
        return replaced(super().bound(mem), named="ttm_bo_vm_huge_fault", said=self.source)

    @step
    def insert_entries(self, tx: Transaction) -> Outcome:
        """One PMD entry for 512 pages, if the block and the addresses are aligned; else fall back to single entries.

        Nothing is counted. Before 6.12 a PMD has no special bit either: nothing in this entry tells
        get_user_pages_fast() that it must not touch these pages.

        As it was before 0d979509539e: every driver that uses TTM maps its buffers like this, where they are large.
        """
        vma, buffer = self.vma(tx), tx.buffers[self.name(tx)]
        start = huge_range(vma, self.vpn)
        if start is None:
            return self.unlock(tx, VM_FAULT_FALLBACK)
        index = vma.pgoff + start - vma.start
        frames = buffer.frames[index : index + PTRS_PER_TABLE]
        contiguous = len(frames) == PTRS_PER_TABLE and frames[-1] == frames[0] + PTRS_PER_TABLE - 1
        if not contiguous or frames[0] % PTRS_PER_TABLE:
            return self.unlock(tx, VM_FAULT_FALLBACK)
        return self.unlock(tx, vmf_insert_pfn_pmd(tx, self.mm, vma, start, frames[0]))


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
        if tx.buffers[name].place == "swapped" and not ttm_tt_populate(tx, name, tx.buffers[name]):
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
