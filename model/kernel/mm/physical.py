"""Physical memory that the page allocator never sees, and where each kind of it begins: far above RAM."""

from typing import Final

from model.engine.config import fact
from model.memory.state import Memory

PMEM_BASE: Final = 1 << 23
"""First pfn of the persistent memory. It has struct pages (ZONE_DEVICE)."""
VRAM_BASE: Final = 1 << 24
"""First pfn of the video memory. It has no struct pages; a Frame of kind `vram` only tells the owner."""
BAR_BASE: Final = 1 << 25
"""First pfn of the PCI BARs. No struct pages; a Frame only tells whose BAR it is."""


def pfn_valid(pfn: int) -> bool:
    """Whether there is a struct page for a pfn."""
    return pfn < VRAM_BASE


def idle_count(mem: Memory) -> int:
    """The refcount of a page of persistent memory that nobody uses: 1 by the old convention, 0 since 6.15."""
    return 1 if fact(mem, "fsdax idle count is one") else 0
