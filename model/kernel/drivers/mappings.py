"""All mappings of a buffer, one after the other: entries made, or made read-only, by the driver itself."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.pgtable import populated, pte_alloc, pte_lock, tables_exist
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.drivers.driver import driver_of
from model.kernel.drivers.driver_fault import INSERT, driver_fault, page_behind
from model.kernel.mm.insert_pfn import bug_on_insert
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EFAULT, ENOMEM
from model.memory.flags import PAGE_DIRTY, PAGE_RW, VM_FAULT_NOPAGE
from model.memory.state import Transaction


class insert_mappings(Procedure):
    """Make the entries of every mapping of a buffer, page by page. Returns 0 or an errno."""

    source: ClassVar[str] = "a driver that fills its mappings itself: vm_insert_page() under mmap_lock"
    buffer: str
    mm: str = ""
    vpn: int = 0
    """The next page of the mapping that is being filled."""
    visited: int = 0
    """How many VMAs of i_mmap have been begun."""

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Take the lock of the next address space that shows the buffer."""
        places = tx.files[tx.buffers[self.buffer].file].i_mmap
        if self.visited >= len(places):
            return done()
        self.mm, self.vpn = places[self.visited]
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def pte_alloc(self, tx: Transaction) -> Outcome:
        """Make sure that there is a page table for the next entry."""
        self.ret = 0
        return None if tables_exist(tx, self.mm, self.vpn) else call(pte_alloc(mm=self.mm, vpn=self.vpn))

    @step
    def insert(self, tx: Transaction) -> Outcome:
        """Make the next entry, unless there is one. Is the VMA still there? munmap() may have been faster."""
        bo = tx.buffers[self.buffer]
        vma = vma_lookup(tx, self.mm, self.vpn)
        if self.ret < 0 or vma is None or vma.file != bo.file:
            return self.unlock(tx, -ENOMEM if self.ret < 0 else 0)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        driver = driver_of(tx, bo.exporter)
        pfn = page_behind(tx, driver, bo, vma.pgoff + self.vpn - vma.start)
        shown = driver_fault.as_shown(driver, vma)
        if pfn is not None and bug_on_insert(tx, driver.insert, vma, pfn):
            return self.unlock(tx, -EFAULT)
        if pfn is not None and INSERT[driver.insert](tx, self.mm, shown, self.vpn, pfn) != VM_FAULT_NOPAGE:
            return self.unlock(tx, -EFAULT)
        self.vpn += 1
        return goto(insert_mappings.pte_alloc) if self.vpn < vma.end else self.unlock(tx, 0)

    def unlock(self, tx: Transaction, error: int) -> Outcome:
        """Drop mmap_lock; then the next one."""
        up_read(tx, "mmap_lock", self.mm)
        self.visited += 1
        return done(error) if error else goto(insert_mappings.mmap_read_lock)


class wrprotect_mappings(Procedure):
    """Make every entry of a file's mappings read-only and clean, and flush."""

    source: ClassVar[str] = "mm/rmap.c: mapping_wrprotect_range (7.3); 6.12: folio_mkclean() for each page"
    file: str
    visited: int = 0
    """How many VMAs of i_mmap have been done."""

    @step
    def lock_i_mmap(self, tx: Transaction) -> Outcome:
        """Take the lock of the file's tree of mappings: no VMA joins or leaves it while we walk."""
        return down_read(tx, "i_mmap_rwsem", self.file)

    @step
    def wrprotect(self, tx: Transaction) -> Outcome:
        """Make the entries of the next VMA read-only, then flush: a CPU could still write through its TLB."""
        places = tx.files[self.file].i_mmap
        if self.visited == len(places):
            return None
        mm, start = places[self.visited]
        vma = tx.vmas.get((mm, start))
        entries = [] if vma is None else list(populated(tx, mm, vma.start, vma.end))
        for vpn in entries:
            if (wait := pte_lock(tx, mm, vpn)) is not None:
                return wait
        self.visited += 1
        changed = False
        for vpn in entries:
            pte = tx.ptes[mm, vpn]
            if pte.present and (pte.writable or pte.dirty):
                tx.ptes[mm, vpn] = pte.without(PAGE_RW | PAGE_DIRTY)
                changed = True
        if not changed or vma is None:
            return goto(wrprotect_mappings.wrprotect)
        return call(flush_tlb_range(mm=mm, start=vma.start, end=vma.end), then=wrprotect_mappings.wrprotect)

    @step
    def unlock_i_mmap(self, tx: Transaction) -> Outcome:
        """Every CPU has forgotten the writable translations."""
        up_read(tx, "i_mmap_rwsem", self.file)
        return done()
