"""A machine as it is before the first process."""

from collections.abc import Mapping
from typing import Final

from model.engine.config import setting
from model.memory.flags import PG_RESERVED
from model.memory.records import Cpu, Frame
from model.memory.state import State, Transaction

ZERO_PFN = 0
"""The shared zero page: is_zero_pfn()."""

HUGETLB_NR: Final = 512
"""Pages of a huge page (pages_per_huge_page)."""


def boot(cpus: int = 2, memory: int = 1 << 20, settings: Mapping[str, str] | None = None) -> State:
    """A State with `cpus` processors and `memory` page frames (the default is 4 GiB), nothing running.

    `settings` are those of `model.engine.config.SETTINGS`.
    """
    chosen = Transaction(State())
    for key, value in (settings or {}).items():
        chosen.settings[key] = value
    tx = Transaction(chosen.commit()[0])
    for cpu in range(cpus):
        tx.cpus[cpu] = Cpu()
    tx.frames[ZERO_PFN] = Frame("zero", refcount=1, flags=PG_RESERVED)
    tx.counters["cpus"] = cpus
    tx.counters["managed_pages"] = memory - set_aside_huge_pages(tx, memory)
    tx.counters["high_water"] = ZERO_PFN + 1
    return tx.commit()[0]


def set_aside_huge_pages(tx: Transaction, memory: int) -> int:
    """Take the pool of hugetlb from the end of memory, as far as there is memory; returns its size in small pages.

    Source: mm/hugetlb.c: hugetlb_hstate_alloc_pages.
    """
    pages = min(int(setting(tx, "hugetlb")), memory // HUGETLB_NR - 1)
    if pages <= 0:
        return 0
    tx.counters["hugetlb_pages"] = tx.counters["hugetlb_free"] = pages
    tx.counters["hugetlb_next"] = (memory // HUGETLB_NR - pages) * HUGETLB_NR
    return memory - tx.counters["hugetlb_next"]
