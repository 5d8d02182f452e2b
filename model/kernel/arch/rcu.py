"""Who waits for walks without locks: page tables that are freed by RCU.

A CPU with interrupts off is a reader: a grace period does not end before it has them on again. Here one ends as early
as it may, which is the worst for whoever relies on it.
"""

from model.kernel.mm.page import put_page
from model.memory.state import Transaction


def call_rcu(tx: Transaction, table: int) -> None:
    """Free a table page once every CPU that has interrupts off now has had them on: at once where none has.

    The page waits with one such CPU after the other (kernel/rcu/tree.c: call_rcu).
    """
    for cpu in range(tx.counters["cpus"]):
        if tx.cpus[cpu].irqs_off_by:
            tx.rcu[cpu] = (*(tx.rcu.get(cpu) or ()), table)
            return
    put_page(tx, table)


def local_irq_enable(tx: Transaction) -> None:
    """Interrupts on again. The last reader that a grace period has waited for ends it: what waited is freed."""
    cpu = tx.task.cpu
    tx.cpus.update(cpu, irqs_off_by="")
    waiting = tx.base.rcu.get(cpu)
    if waiting is not None:
        del tx.rcu[cpu]
        for table in waiting:
            call_rcu(tx, table)
