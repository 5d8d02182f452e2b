"""Limits on address spaces, as a Linux system has them by default."""

from typing import Final

from model.memory.state import Memory

MAX_MAP_COUNT: Final = 65530
"""vm.max_map_count: how many VMAs a process may have."""
MMAP_MIN_ADDR: Final = 16
"""vm.mmap_min_addr in pages: nothing is mapped in the lowest 64 KiB."""
STACK_GUARD_GAP: Final = 256
"""stack_guard_gap: pages that a growing stack keeps free to an accessible mapping below it."""
STACK_LIMIT: Final = 2048
"""RLIMIT_STACK in pages: 8 MiB."""


def enough_memory(mem: Memory, pages: int) -> bool:
    """Heuristic overcommit (vm.overcommit_memory=0) refuses only what exceeds all of RAM at once.

    Source: mm/util.c: __vm_enough_memory.
    """
    return pages <= (mem.counters.get("managed_pages") or 0)
