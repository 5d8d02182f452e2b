"""Where a new mapping goes when the program does not say."""

from typing import Final

from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.mm.limits import MMAP_MIN_ADDR
from model.kernel.mm.vma import find_vma, find_vma_intersection, vma_from
from model.memory.errno import ENOMEM
from model.memory.state import Memory

CHOOSES_ADDRESS: Final = ("io_uring",)
"""Mappings whose file looks for an address itself and accepts none from the program (io_uring_get_unmapped_area)."""

HAS_GET_UNMAPPED_AREA: Final = ("devzero", "bpf_map", "io_uring")
"""Kinds of files with an address hook of their own (file_operations->get_unmapped_area; ext4 has the common one)."""
HOLE: Final = 1
"""Pages left free between two mappings that the program did not place itself."""


def get_unmapped_area(mem: Memory, mm: str, pages: int, hint: int = -1, align: int = 1) -> int:
    """The start of `pages` free pages: the hint if it is free, else the lowest gap; or -ENOMEM.

    The kernel looks for the highest gap below the stack, and packs mappings tightly, so that unrelated ones merge. For
    the sake of small page numbers and of one mapping, one VMA, the model takes the lowest gap from page 16 on that
    leaves a hole of one page on either side (mm/mmap.c: vm_unmapped_area). Huge pages begin at a multiple of `align`.
    """
    if pages > TASK_SIZE:
        return -ENOMEM
    if hint >= MMAP_MIN_ADDR and hint + pages <= TASK_SIZE and not find_vma_intersection(mem, mm, hint, hint + pages):
        return hint
    start = -(-MMAP_MIN_ADDR // align) * align
    vma = find_vma(mem, mm, start - HOLE)
    while vma is not None and vma.start < start + pages + HOLE:
        start = -(-(vma.end + HOLE) // align) * align
        vma = vma_from(mem, mm, vma.end)
    return start if start + pages <= TASK_SIZE else -ENOMEM
