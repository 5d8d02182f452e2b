"""What /proc tells of a process: its VMAs, the words of pagemap, which ranges are mapped by a huge entry, and bytes.

Everybody may read these of processes of their own. Pages are numbers of the arena.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from model.replay.recording import ARENA, ARENA_PAGES, VmaRow
from tui.live import system_calls as kernel
from tui.live.workers import Worker, Workers, address

PRESENT, SWAPPED, FILE_OR_SHARED, GUARD, UFFD_WP, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 57, 1 << 56
"""Bits of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst, 6.18)."""
FRAME_BITS: Final = (1 << 55) - 1
SWAP_TYPE: Final = (1 << 5) - 1
SWP_PTE_MARKER: Final = 31
HUGE: Final = 512
"""Pages of a huge page."""
ARENA_END: Final = ARENA + ARENA_PAGES
MOST_PAGE: Final = 1 << 28
"""Mappings are seen up to this page, 1 TiB: nothing else is mapped there. Entries are looked at in the arena alone."""
PAGEMAP_SCAN: Final = 3 << 30 | 96 << 16 | ord("f") << 8 | 16
PAGE_IS_PRESENT, PAGE_IS_HUGE = 1 << 3, 1 << 6
"""include/uapi/linux/fs.h, 6.12; the ioctl is there since 6.7."""


class SeenEntry(NamedTuple):
    """One entry."""

    bits: int
    """The word of pagemap."""
    vma: VmaRow
    huge: bool
    """It maps 2 MiB, and stands at its first page."""

    @property
    def present(self) -> bool:
        """Somebody's page stands behind it."""
        return bool(self.bits & PRESENT)

    @property
    def pfn(self) -> int:
        """The frame, or the swap slot; 0 to those who may not know."""
        return self.bits & FRAME_BITS

    @property
    def is_uffd_wp_marker(self) -> bool:
        """It is a marker: a swap entry of no swap file (SWP_PTE_MARKER, 31, in 6.18).

        Who may not see frame numbers sees no type either: there whatever is write-protected and not present is one.
        """
        kind = self.bits & SWAP_TYPE
        return bool(self.bits & UFFD_WP) and not self.present and (kind == SWP_PTE_MARKER or not self.pfn)

    @property
    def is_marker(self) -> bool:
        """Nothing is mapped there, and there is no slot either."""
        return self.is_uffd_wp_marker or self.is_poison_marker

    @property
    def is_poison_marker(self) -> bool:
        """What UFFDIO_POISON leaves: a marker as well, of no protection. Only who may see frame numbers sees it."""
        marker = bool(self.bits & SWAPPED) and self.bits & SWAP_TYPE == SWP_PTE_MARKER
        return marker and not self.present and not self.bits & (GUARD | UFFD_WP)

    @property
    def swapped(self) -> bool:
        """It leads to a swap slot."""
        return bool(self.bits & SWAPPED) and not self.present and not self.bits & GUARD and not self.is_marker


def vma_rows(worker: Worker, workers: Workers) -> Iterator[VmaRow]:
    """The VMAs of the arena, from /proc/PID/smaps, as a recording shows them."""
    names = {file.inode: name for name, file in workers.files.items()}
    head: list[str] = []
    for line in Path(f"/proc/{worker.pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        first, _, rest = line.partition(" ")
        if first == "VmFlags:":
            start, end = (int(part, 16) // kernel.PAGE for part in head[0].split("-"))
            if ARENA <= start < ARENA + MOST_PAGE:
                yield vma_row(start, end, head, rest.split(), names)
        elif "-" in first and not first.endswith(":"):
            head = line.split(maxsplit=5)


def vma_row(start: int, end: int, head: list[str], flags: Iterable[str], names: dict[tuple[int, int], str]) -> VmaRow:
    """One VMA. A file that the script made is known by its inode; `sd` (soft-dirty) says nothing here."""
    major, minor = (int(part, 16) for part in head[3].split(":"))
    inode, path = int(head[4]), head[5].strip() if len(head) > 5 else ""
    path = path.removesuffix(" (deleted)") if path.startswith("/anon_hugepage") else path
    known = names.get((os.makedev(major, minor), inode))
    backing = known or ("shmem" if path == "/dev/zero (deleted)" else path or None)
    if backing and backing.startswith(("[anon", "[stack", "[heap")):
        backing = None
    offset = int(head[2], 16) // kernel.PAGE if backing else 0
    return start - ARENA, end - ARENA, head[1], backing, offset, " ".join(flag for flag in flags if flag != "sd")


def entries(
    worker: Worker, vmas: list[VmaRow], first: int = 0, end: int = ARENA_PAGES
) -> Iterator[tuple[int, SeenEntry]]:
    """The entries that are not empty, of the pages [first, end) of the arena."""
    with Path(f"/proc/{worker.pid}/pagemap").open("rb", buffering=0) as file:
        huge = huge_starts(file.fileno()) or set()
        for vma in vmas:
            start, stop = max(vma[0], first), min(vma[1], end)
            if start >= stop:
                continue
            words = os.pread(file.fileno(), (stop - start) * 8, (ARENA + start) * 8)
            pool = is_hugetlb(vma)
            for page, bits in enumerate(struct.unpack(f"<{len(words) // 8}Q", words), start):
                if bits & (PRESENT | SWAPPED | GUARD | UFFD_WP):
                    whole = pool or page - page % HUGE in huge
                    if not whole or page % HUGE == 0:
                        yield page, SeenEntry(bits, vma, whole)


def entry_of_page(worker: Worker, workers: Workers, page: int) -> SeenEntry | None:
    """What one page shows, with the frame of that very page also where the entry is a huge one."""
    with Path(f"/proc/{worker.pid}/pagemap").open("rb", buffering=0) as file:
        bits = int.from_bytes(os.pread(file.fileno(), 8, (ARENA + page) * 8), "little")
        whole = page - page % HUGE in (huge_starts(file.fileno()) or ())
    for vma in vma_rows(worker, workers):
        if vma[0] <= page < vma[1] and bits & PRESENT:
            return SeenEntry(bits, vma, whole or is_hugetlb(vma))
    return None


def tells_huge_entries() -> bool:
    """Whether this kernel has PAGEMAP_SCAN."""
    with Path("/proc/self/pagemap").open("rb", buffering=0) as file:
        return huge_starts(file.fileno()) is not None


def huge_starts(pagemap: int) -> set[int] | None:
    """The first pages of what is mapped by entries of 2 MiB; None on kernels that do not tell."""
    regions = (ctypes.c_uint64 * (3 * ARENA_PAGES // HUGE))()
    start, end = ARENA * kernel.PAGE, ARENA_END * kernel.PAGE
    wanted = PAGE_IS_PRESENT | PAGE_IS_HUGE
    question = (ctypes.c_uint64 * 12)(
        96, 0, start, end, 0, ctypes.addressof(regions), len(regions) // 3, 0, 0, wanted, 0, PAGE_IS_HUGE
    )  # fmt: skip
    try:
        found = fcntl.ioctl(pagemap, PAGEMAP_SCAN, question)
    except OSError:
        return None
    starts: set[int] = set()
    for number in range(found):
        first, last = (regions[3 * number + side] // kernel.PAGE - ARENA for side in (0, 1))
        starts |= set(range(first - first % HUGE, last, HUGE))
    return starts


def is_hugetlb(vma: VmaRow) -> bool:
    """Whether a VMA shows pages of 2 MiB from the pool: each has one entry, which stands at its first page."""
    return "ht" in vma[5].split()


def frame_at(worker: Worker, page: int) -> int:
    """The frame that a page of a process shows now; 0 if none."""
    with Path(f"/proc/{worker.pid}/pagemap").open("rb", buffering=0) as file:
        bits = int.from_bytes(os.pread(file.fileno(), 8, (ARENA + page) * 8), "little")
    return bits & FRAME_BITS if bits & PRESENT else 0


def byte_of(worker: Worker, page: int) -> int | None:
    """The first byte of a page that is present, through /proc/PID/mem; None where the kernel does not show it."""
    try:
        descriptor = os.open(f"/proc/{worker.pid}/mem", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.pread(descriptor, 1, address(page))[0]
    except OSError:
        return None
    finally:
        os.close(descriptor)


def resident(descriptor: int, index: int) -> bool:
    """mincore(2): whether the page cache has this page of a file. A mapping that nobody touches asks for it."""
    offset = index * kernel.PAGE
    try:
        at = kernel.mmap(0, kernel.PAGE, 1, kernel.MAP_SHARED, descriptor, offset)
    except OSError:
        return False
    try:
        return kernel.mincore(at, kernel.PAGE)
    except OSError:
        return False
    finally:
        kernel.munmap(at, kernel.PAGE)
