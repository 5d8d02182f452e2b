"""What becomes of the page of a table that a collapse has taken away from a file's mapping."""

from model.engine.config import fact
from model.engine.mends import mended
from model.kernel.arch.rcu import call_rcu
from model.kernel.mm.page import put_page
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


def waits_by_ipi(mem: Memory) -> bool:
    """Whether the page of a retracted table is freed after an interrupt of every CPU, and not by RCU."""
    return not fact(mem, "file tables are retracted without mmap_lock") and mended(mem, "collapse-sync")


def free_retracted_table(tx: Transaction, table: Pfn) -> None:
    """Free it by RCU (mm/pgtable-generic.c: pte_free_defer), or at once, as it was."""
    (call_rcu if mended(tx, "collapse-sync") else put_page)(tx, table)
