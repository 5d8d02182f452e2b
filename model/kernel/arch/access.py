"""Loads and stores: what the CPU itself does with an address, before and after the kernel is asked.

The hardware knows TLBs and page tables, not VMAs. It sets the accessed and dirty bits on its own.
"""

from typing import ClassVar

from model.engine.procedure import Done, Outcome, Procedure, call, done, goto, signal, step, walks
from model.kernel.arch.pgtable import PGD, PMD, PTRS_PER_TABLE, PUD, TABLE_SHIFT, TASK_SIZE
from model.kernel.arch.shared_table import set_huge_pmd
from model.kernel.arch.tlb import tlb_drop, tlb_fill, tlb_lookup
from model.kernel.mm.fault import SEGV_MAPERR, SIGNALS, exc_page_fault
from model.memory.events import Access
from model.memory.flags import PAGE_ACCESSED, PAGE_DIRTY, PAGE_PRESENT, PAGE_PSE, PAGE_SHARED_TABLE
from model.memory.records import Pte
from model.memory.state import Transaction


class cpu_load(Procedure):
    """The process loads the first byte of a page."""

    source: ClassVar[str] = "hardware: Intel SDM volume 3, 4.5 and 4.10"
    mm: str
    vpn: int

    @step
    def access(self, tx: Transaction) -> Outcome:
        """Execute the instruction: the MMU translates the address, then the byte comes from that frame."""
        return call(mmu_access(mm=self.mm, vpn=self.vpn))

    @step
    def load_byte(self, tx: Transaction) -> Outcome:
        """Read the byte from the frame that the translation gave, whoever that frame belongs to by now.

        An interrupt that flushes the TLB comes before an instruction or after it: then the instruction starts again.
        """
        if self.ret:
            return deliver_signal(self.ret)
        (pfn,) = self.out
        if flushed(tx, self.mm, self.vpn, pfn):
            return goto(cpu_load.access)
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=False, value=value, process=self.mm, vpn=self.vpn))
        return done(value)


class cpu_store(Procedure):
    """The process stores a byte at the start of a page."""

    source: ClassVar[str] = "hardware: Intel SDM volume 3, 4.5 and 4.10"
    mm: str
    vpn: int
    value: int

    @step
    def access(self, tx: Transaction) -> Outcome:
        """Execute the instruction: the MMU translates the address for a write."""
        return call(mmu_access(mm=self.mm, vpn=self.vpn, write=True))

    @step
    def store_byte(self, tx: Transaction) -> Outcome:
        """Write the byte to the frame that the translation gave, whoever that frame belongs to by now.

        An interrupt that flushes the TLB comes before an instruction or after it: then the instruction starts again.
        """
        if self.ret:
            return deliver_signal(self.ret)
        (pfn,) = self.out
        if flushed(tx, self.mm, self.vpn, pfn, write=True):
            return goto(cpu_store.access)
        tx.content[pfn] = self.value
        tx.emit(Access(pfn, write=True, value=self.value, process=self.mm, vpn=self.vpn))
        return done()


def flushed(tx: Transaction, mm: str, vpn: int, pfn: int, *, write: bool = False) -> bool:
    """Whether this CPU has forgotten a translation since it was made, or has another one by now."""
    pte = tlb_lookup(tx, tx.task.cpu, mm, vpn)
    return pte is None or pte.pfn != pfn or (write and not (pte.writable and pte.dirty))


def deliver_signal(code: int) -> Done:
    """End the access with the signal that exc_page_fault decided on."""
    name, si_code = SIGNALS[code]
    return signal(name, si_code)


class mmu_access(Procedure):
    """Translate a virtual page for one access. Returns 0 and the pfn, or the code of a signal."""

    source: ClassVar[str] = "hardware: Intel SDM volume 3, 4.5 and 4.10"
    mm: str
    vpn: int
    write: bool = False
    pagefault_disabled: bool = False
    """The kernel loads for itself, and must not fault here: pagefault_disable()."""

    @step
    def tlb_lookup(self, tx: Transaction) -> Outcome:
        """Does this CPU remember the translation? Then it is used as it is, even if the page table has changed since.

        A store through an entry that is not marked dirty yet walks again, to set the bit in memory.
        """
        if self.vpn >= TASK_SIZE:
            return done(1)
        pte = tlb_lookup(tx, tx.task.cpu, self.mm, self.vpn)
        if pte is None or (self.write and not (pte.writable and pte.dirty)):
            return None
        return done(0, (pte.pfn,))

    @step
    @walks(PGD)
    def walk_pgd(self, tx: Transaction) -> Outcome:
        """Bits 47-39 of the address select one of 512 entries of the top table, the PGD: 512 GiB each."""
        return self.descend(tx, PGD)

    @step
    @walks(PUD)
    def walk_pud(self, tx: Transaction) -> Outcome:
        """Bits 38-30 select the entry of the PUD table: 1 GiB each."""
        return self.descend(tx, PUD)

    @step
    @walks(PMD)
    def walk_pmd(self, tx: Transaction) -> Outcome:
        """Bits 29-21 select the entry of the PMD table: 2 MiB each. With the PSE bit it is huge, and the walk ends."""
        entry = tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if entry is None or not entry.bits & PAGE_PSE:
            return self.descend(tx, PMD)
        if not self.permitted(entry):
            return goto(mmu_access.page_fault)
        touched = self.touch(entry)
        if touched != entry:
            set_huge_pmd(tx, self.mm, self.vpn, touched)
        offset, bits = self.vpn % PTRS_PER_TABLE, touched.bits & ~(PAGE_PSE | PAGE_SHARED_TABLE)
        tlb_fill(tx, tx.task.cpu, self.mm, self.vpn, Pte(entry.pfn + offset, bits))
        return done(0, (entry.pfn + offset,))

    @step
    @walks(0)
    def walk_pte(self, tx: Transaction) -> Outcome:
        """Bits 20-12 select the PTE. If it is present and permits the access, the translation is found.

        The hardware sets the accessed bit, and the dirty bit for a store, and caches the translation in this CPU's TLB.
        """
        # A flush waits until walks that have begun are over: they have cached nothing, or begin anew.
        pmd = tx.base.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if pmd is None or pmd.huge:
            return goto(mmu_access.tlb_lookup)
        pte = tx.base.ptes.get((self.mm, self.vpn))
        if pte is None or not self.permitted(pte):
            return goto(mmu_access.page_fault)
        touched = self.touch(pte)
        if touched != pte:
            tx.ptes[self.mm, self.vpn] = touched
        tlb_fill(tx, tx.task.cpu, self.mm, self.vpn, touched)
        return done(0, (pte.pfn,))

    @step
    def page_fault(self, tx: Transaction) -> Outcome:
        """No usable translation: the CPU drops what it had cached for this address and asks the kernel."""
        tlb_drop(tx, tx.task.cpu, self.mm, self.vpn, self.vpn + 1)
        if self.pagefault_disabled:
            return done(SEGV_MAPERR)
        return call(exc_page_fault(mm=self.mm, vpn=self.vpn, write=self.write))

    @step
    def retry(self, tx: Transaction) -> Outcome:
        """The kernel has repaired the fault: the same instruction is executed once more. Otherwise: a signal."""
        return done(self.ret) if self.ret else goto(mmu_access.tlb_lookup)

    def descend(self, tx: Transaction, level: int) -> Outcome:
        """Follow one upper entry, or fault where it is empty."""
        if (self.mm, level, self.vpn >> TABLE_SHIFT * level) in tx.tables:
            return None
        return goto(mmu_access.page_fault)

    def permitted(self, pte: Pte) -> bool:
        """Present for the hardware, and writable for a store."""
        return bool(pte.bits & PAGE_PRESENT) and pte.kind == "page" and (pte.writable or not self.write)

    def touch(self, pte: Pte) -> Pte:
        """The accessed bit, and for a store the dirty bit."""
        return pte.with_bits(PAGE_ACCESSED | (PAGE_DIRTY if self.write else 0))
