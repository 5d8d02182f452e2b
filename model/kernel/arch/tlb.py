"""Translation look-aside buffers: what each CPU remembers of page tables, and how it is made to forget.

A CPU may go on using a cached translation after the entry in memory has changed. Only a flush ends that, and another
CPU's TLB can only be flushed by an interrupt (IPI) that it must take.
"""

from typing import Annotated, ClassVar, Final

from model.engine.config import setting
from model.engine.lock import CPU
from model.engine.procedure import Blocked, Outcome, Procedure, blocked, done, goto, step
from model.memory.records import Pte, TlbEntry
from model.memory.state import Memory, Transaction, Wait
from model.memory.tasks import FlushOwed
from model.memory.units import ORDERED, CpuNumber

TLB_ENTRIES: Final = 64
"""Size of a first-level data TLB; the oldest entry makes room."""


def tlb_lookup(mem: Memory, cpu: int, mm: str, vpn: int) -> Pte | None:
    """The translation that a CPU has cached, or None. Entries carry their address space (PCID)."""
    for entry in mem.tlbs.get(cpu) or ():
        if entry.vpn == vpn and entry.process == mm:
            return entry.pte
    return None


def tlb_fill(tx: Transaction, cpu: int, mm: str, vpn: int, pte: Pte) -> None:
    """Cache a translation that a walk has found."""
    kept = [entry for entry in tx.tlbs.get(cpu) or () if entry.vpn != vpn or entry.process != mm]
    tx.tlbs[cpu] = (*kept, TlbEntry(mm, vpn, pte))[-TLB_ENTRIES:]


def tlb_drop(tx: Transaction, cpu: int, mm: str, start: int, end: int) -> bool:
    """Forget the translations of [start, end) of one address space on one CPU; tells whether there were any."""
    entries = tx.tlbs.get(cpu)
    if entries is None:
        return False
    kept = tuple(entry for entry in entries if entry.process != mm or not start <= entry.vpn < end)
    if len(kept) == len(entries):
        return False
    if kept:
        tx.tlbs[cpu] = kept
    else:
        del tx.tlbs[cpu]
    return True


class tlb_remove_table_sync_one(Procedure):
    """Wait until no CPU is inside of a walk without locks: each is interrupted, and answers when its walk is over."""

    source: ClassVar[str] = "mm/mmu_gather.c: tlb_remove_table_sync_one"
    mm: str

    @step
    def smp_call_function(self, tx: Transaction) -> Outcome:
        """Interrupt all other CPUs: one that has interrupts off answers when it has them on again.

        Nothing is done where tables are not freed by RCU (`set table-free at-once`): a kernel that is made so relies
        on the interrupts of its TLB flushes.
        """
        return sync_waits_for(tx) or done()


def sync_waits_for(tx: Transaction) -> Blocked | None:
    """A CPU that does not answer yet, or None."""
    if setting(tx, "table-free") == "at-once":
        return None
    for cpu in range(tx.counters["cpus"]):
        holder = tx.cpus[cpu].irqs_off_by
        if cpu != tx.task.cpu and holder:
            tx.waits.append(Wait((CPU, str(cpu)), write=True))
            return blocked(f"cpu{cpu} to take the IPI: {holder} runs there with interrupts off")
    return None


class flush_tlb_range(Procedure):
    """Make every CPU forget its translations of a range of one address space."""

    source: ClassVar[str] = "arch/x86/mm/tlb.c: flush_tlb_mm_range; kernel/smp.c: smp_call_function_many_cond"
    mm: str
    start: int
    end: int
    cpumask: Annotated[tuple[CpuNumber, ...], ORDERED] = ()
    """The CPUs that are still to be interrupted."""

    def owes_flush(self) -> FlushOwed | None:
        """The whole range, until the last CPU has answered."""
        return FlushOwed(self.mm, self.start, self.end)

    @step
    def flush_local(self, tx: Transaction) -> Outcome:
        """INVLPG for our own CPU: its cached translations of the range are gone."""
        if tx.task.cpu >= 0:
            tlb_drop(tx, tx.task.cpu, self.mm, self.start, self.end)
        self.cpumask = tuple(cpu for cpu in range(tx.counters["cpus"]) if cpu != tx.task.cpu)
        return None if setting(tx.base, "tlb-flush") == "ipi" else goto(flush_tlb_range.broadcast)

    @step
    def wait_for_ipi(self, tx: Transaction) -> Outcome:
        """Interrupt each other CPU that may hold translations of this address space, and wait for its answer.

        A CPU with interrupts off does not answer. That is how a lockless page-table walker holds us up: until it is
        done, nothing that it may still be looking at is freed.
        """
        for cpu in self.cpumask:
            holder = tx.cpus[cpu].irqs_off_by
            if holder and tx.tasks.field(holder, "process") == self.mm:
                tx.waits.append(Wait((CPU, str(cpu)), write=True))
                return blocked(f"cpu{cpu} to take the IPI: {holder} runs there with interrupts off")
            if tlb_drop(tx, cpu, self.mm, self.start, self.end):
                self.cpumask = tuple(later for later in self.cpumask if later > cpu)
                return goto(flush_tlb_range.wait_for_ipi)
        return done()

    @step
    def broadcast(self, tx: Transaction) -> Outcome:
        """INVLPGB, or a call of the hypervisor: every other CPU forgets the range, without being interrupted.

        So nobody waits for a CPU with interrupts off. Whoever frees page tables afterwards must not rely on it: a
        walker without locks may be inside of them still (arch/x86/mm/tlb.c: broadcast_tlb_flush; arch/x86/kernel/kvm.c:
        kvm_flush_tlb_multi).
        """
        for cpu in self.cpumask:
            tlb_drop(tx, cpu, self.mm, self.start, self.end)
        return done()
