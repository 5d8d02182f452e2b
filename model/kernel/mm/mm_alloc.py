"""A process and its empty address space."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, done, fail, step
from model.kernel.mm.ksm import forget_addresses
from model.kernel.mm.page_alloc import alloc_page
from model.memory.errno import EEXIST, ENOMEM
from model.memory.records import Process
from model.memory.state import Transaction
from model.memory.units import CpuNumber


class mm_alloc(Procedure):
    """A new process with an empty address space."""

    source: ClassVar[str] = "kernel/fork.c: mm_alloc, mm_init"
    mm: str
    cpu: CpuNumber = -1
    """-1: the next one, round robin."""
    parent: str = ""

    @step
    def mm_init(self, tx: Transaction) -> Outcome:
        """Allocate the top-level page table. No VMAs, no entries yet."""
        # As long as somebody holds pages of an earlier process of this name, another one cannot have it.
        if self.mm in tx.processes or any(reference.process == self.mm for _, reference in tx.references.items()):
            return fail(EEXIST)
        if (wait := forget_addresses(tx, self.mm, 0)) is not None:  # of an earlier process of this name
            return wait
        pgd = alloc_page(tx, "pgtable", mapping=f"mm:{self.mm}", index=3)
        if pgd is None:
            return fail(ENOMEM)
        pid = tx.counters.get("next_pid") or 0
        tx.counters["next_pid"] = pid + 1
        cpu = self.cpu if self.cpu >= 0 else pid % tx.counters["cpus"]
        tx.processes[self.mm] = Process(cpu=cpu, pid=pid, pgd=pgd, parent=self.parent, forking=bool(self.parent))
        return done()
