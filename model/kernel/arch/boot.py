"""A machine as it is before the first process."""

from collections.abc import Mapping

from model.memory.flags import PG_RESERVED
from model.memory.records import Cpu, Frame
from model.memory.state import State, Transaction

ZERO_PFN = 0
"""The shared zero page: is_zero_pfn()."""


def boot(cpus: int = 2, memory: int = 1 << 20, settings: Mapping[str, str] | None = None) -> State:
    """A State with `cpus` processors and `memory` page frames (the default is 4 GiB), nothing running.

    `settings` are those of `model.engine.config.SETTINGS`.
    """
    tx = Transaction(State())
    for key, value in (settings or {}).items():
        tx.settings[key] = value
    for cpu in range(cpus):
        tx.cpus[cpu] = Cpu()
    tx.frames[ZERO_PFN] = Frame("zero", refcount=1, flags=PG_RESERVED)
    tx.counters["cpus"] = cpus
    tx.counters["managed_pages"] = memory
    tx.counters["high_water"] = ZERO_PFN + 1
    return tx.commit()[0]
