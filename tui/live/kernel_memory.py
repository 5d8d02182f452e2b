"""Kernel memory, read by BPF programs of two dozen instructions: what struct page and page tables say themselves.

No file of the kernel shows refcounts or the bits of an entry. bpf_probe_read_kernel() copies bytes and changes
nothing: no fault, no reference, no accessed bit. It needs CAP_BPF and CAP_PERFMON. Where fields stand the kernel's own
types say (kernel_types); where the memory map and the linear map of all memory begin is found by search, and believed
only if a page of this program's own is what it must be. All addresses are bytes. x86-64 alone, with four levels.
"""

import ctypes
import mmap
import os
import platform
import struct
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from tui.live import system_calls as kernel
from tui.live.kernel_types import kernel_types

MAP_CREATE, LOAD, RUN = 0, 5, 10
"""enum bpf_cmd (include/uapi/linux/bpf.h, 6.12)."""
ARRAY, RAW_TRACEPOINT, MMAPABLE = 2, 17, 1 << 10
MOST: Final = 4096
"""Bytes of one reading."""
HEAD: Final = struct.Struct("<QQ")
"""Before them in the map: the address, and how many bytes."""
PUD_SIZE, PGDIR_SHIFT, PUD_SHIFT, PMD_SHIFT = 1 << 30, 39, 30, 21
"""x86-64 with four levels of tables (arch/x86/include/asm/pgtable_64_types.h, 6.12)."""
PHYSICAL: Final = 0x000F_FFFF_FFFF_F000
PRESENT, HUGE = 1, 1 << 7
ANON: Final = 1
"""PAGE_MAPPING_ANON (include/linux/page-flags.h, 6.12)."""
ANON_EXCLUSIVE: Final = 11
"""PG_anon_exclusive, that is PG_owner_2 (enum pageflags, 6.12)."""


def instruction(code: int, target: int, source: int, offset: int, value: int) -> bytes:
    """One struct bpf_insn."""
    return struct.pack("<BBhi", code, source << 4 | target, offset, value)


def start(map_: int) -> tuple[bytes, ...]:
    """Look the map's one entry up, and keep its address in r6."""
    return (
        instruction(0x62, 10, 0, -4, 0),  # *(u32 *)(r10 - 4) = 0, the key
        instruction(0xBF, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -4),
        instruction(0x18, 1, 1, 0, map_),
        instruction(0, 0, 0, 0, 0),
        instruction(0x85, 0, 0, 0, 1),  # bpf_map_lookup_elem
        instruction(0x55, 0, 0, 2, 0),
        instruction(0xB7, 0, 0, 0, 1),
        instruction(0x95, 0, 0, 0, 0),
        instruction(0xBF, 6, 0, 0, 0),
    )


def read_program(map_: int) -> bytes:
    """Copy as many bytes as the map's entry says from where it says into that entry; address 0: of the running task."""
    return b"".join(
        (
            *start(map_),
            instruction(0x79, 3, 6, 0, 0),  # the address
            instruction(0x55, 3, 0, 4, 0),
            instruction(0x85, 0, 0, 0, 35),  # bpf_get_current_task
            instruction(0x7B, 6, 0, HEAD.size, 0),
            instruction(0xB7, 0, 0, 0, 0),
            instruction(0x95, 0, 0, 0, 0),
            instruction(0x61, 2, 6, 8, 0),  # how many bytes
            instruction(0x25, 2, 0, 4, MOST),
            instruction(0xBF, 1, 6, 0, 0),
            instruction(0x07, 1, 0, 0, HEAD.size),
            instruction(0x85, 0, 0, 0, 113),  # bpf_probe_read_kernel
            instruction(0x95, 0, 0, 0, 0),
            instruction(0xB7, 0, 0, 0, 2),
            instruction(0x95, 0, 0, 0, 0),
        )
    )


def first_bytes_program(map_: int) -> bytes:
    """Copy the first byte of each of 512 pages, the first of which is where the map's entry says."""
    return b"".join(
        (
            *start(map_),
            instruction(0xB7, 7, 0, 0, 0),  # r7 = 0, the page
            instruction(0xBF, 1, 6, 0, 0),
            instruction(0x07, 1, 0, 0, HEAD.size),
            instruction(0x0F, 1, 7, 0, 0),
            instruction(0xB7, 2, 0, 0, 1),
            instruction(0xBF, 3, 7, 0, 0),
            instruction(0x67, 3, 0, 0, 12),
            instruction(0x79, 8, 6, 0, 0),
            instruction(0x0F, 3, 8, 0, 0),
            instruction(0x85, 0, 0, 0, 113),  # bpf_probe_read_kernel
            instruction(0x07, 7, 0, 0, 1),
            instruction(0xA5, 7, 0, -11, 512),
            instruction(0xB7, 0, 0, 0, 0),
            instruction(0x95, 0, 0, 0, 0),
        )
    )


def load(text: bytes) -> int:
    """The descriptor of a program. Raises OSError. A signal interrupts the check of it with EAGAIN: try again."""
    code, licence = ctypes.create_string_buffer(text, len(text)), ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(licence)
    for _ in range(TRIES - 1):
        with suppress(BlockingIOError):
            return bpf(LOAD, struct.pack("<IIQQ", RAW_TRACEPOINT, len(text) // 8, *places))
    return bpf(LOAD, struct.pack("<IIQQ", RAW_TRACEPOINT, len(text) // 8, *places))


def bpf(command: int, attributes: bytes) -> int:
    """System call bpf. Raises OSError."""
    return kernel.system_call("bpf", command, ctypes.byref(ctypes.create_string_buffer(attributes, 128)), 128)


TRIES: Final = 20
MOST_PROCESSES: Final = 1 << 16
"""So many are looked at for one: whoever walks their list unlocked may go astray."""
BASES: Final[list[int]] = []
"""PAGE_OFFSET and VMEMMAP_START once they were found: they stay until the machine is started anew."""

FIELDS: Final = (
    *("task_struct.tasks", "task_struct.group_leader", "task_struct.mm", "task_struct.thread_pid"),
    *("mm_struct.pgd", "pid.level", "pid.numbers"),
    *("page._refcount", "page._mapcount", "folio.mapping", "folio.index", "folio._pincount", "folio._entire_mapcount"),
)
"""What must be found in the kernel's types."""


class FolioCounts(NamedTuple):
    """What struct page says of a large folio and its pages."""

    order: int
    refcount: int
    pincount: int
    mapcounts: tuple[int, ...]
    """How many entries map each page, large ones included. A negative number in a page is its type
    (folio_precise_page_mapcount, 6.18)."""
    flags: tuple[int, ...]
    """The flag word of each page."""


class KernelMemory:
    """Reads kernel memory. A context manager: leaving it closes the program."""

    def __init__(self) -> None:
        """Raises OSError or KeyError where this kernel cannot be read, ValueError where it is not as it should be."""
        types = kernel_types()
        value = HEAD.size + MOST
        self.map = bpf(MAP_CREATE, struct.pack("<IIIII", ARRAY, 4, value, 1, MMAPABLE))
        self.programs: list[int] = []
        self.value: mmap.mmap | None = None
        """The one entry of the map: what is to be read, and behind it what was read."""
        try:
            self.value = mmap.mmap(self.map, value + -value % kernel.PAGE)
            self.run = ctypes.create_string_buffer(128)
            self.programs = [load(read_program(self.map))]
            self.programs.append(load(first_bytes_program(self.map)))
            self.at = {field: types.offset(*field.split(".")) for field in FIELDS}
            self.page_size, self.number_size = types.size("page"), types.size("upid")
            self.linear = self.memory_map = 0
            self.roots: dict[int, int] = {}
            self._find()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """It is ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let the kernel drop the program and its map."""
        if self.value is not None:
            self.value.close()
        for descriptor in (*self.programs, self.map):
            os.close(descriptor)
        self.programs = []

    # -- bytes ---------------------------------------------------------------------------------

    def read(self, address: int, length: int) -> bytes:
        """So many bytes, at most 4096. Raises OSError where there are none."""
        return self._run(0, address, length)

    def first_bytes(self, pfn: int) -> bytes:
        """The first byte of each of 512 frames."""
        return self._run(1, self.linear + pfn * kernel.PAGE, 512)

    def _run(self, program: int, address: int, length: int) -> bytes:
        assert self.value is not None
        HEAD.pack_into(self.value, 0, address % (1 << 64), length)
        struct.pack_into("<I", self.run, 0, self.programs[program])
        kernel.system_call("bpf", RUN, ctypes.byref(self.run), 128)
        if struct.unpack_from("<I", self.run, 4)[0]:
            raise OSError(14, "no kernel memory there")
        return self.value[HEAD.size : HEAD.size + length]

    def word(self, address: int) -> int:
        """Eight bytes as a number."""
        return int.from_bytes(self.read(address, 8), "little")

    def _half(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little", signed=True)

    # -- where things are ----------------------------------------------------------------------

    def _find(self) -> None:
        """Find the two bases, with a page of this process for a test."""
        with mmap.mmap(-1, kernel.PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            page[0] = 0xA5
            at = _address_of(page)
            with Path("/proc/self/pagemap").open("rb", buffering=0) as file:
                pfn = int.from_bytes(os.pread(file.fileno(), 8, at // kernel.PAGE * 8), "little") & (1 << 55) - 1
            if not pfn:
                raise ValueError("frame numbers are not shown")
            task = int.from_bytes(self.read(0, 8), "little")
            table = self.word(self.word(task + self.at["task_struct.mm"]) + self.at["mm_struct.pgd"])
            self.roots[os.getpid()] = table
            if not BASES:
                BASES.append(self._linear_map(table, at, pfn))
                BASES.append(self._memory_map(table, at, pfn))
            self.linear, self.memory_map = BASES

    def _linear_map(self, table: int, at: int, pfn: int) -> int:
        """PAGE_OFFSET: it is a multiple of PUD_SIZE, and under it the tables lead from our address to our frame."""
        base = table // PUD_SIZE * PUD_SIZE
        for _ in range(1 << 12):
            self.linear = base
            with suppress(OSError):
                if self._frame(table, at) == pfn and self.read(base + pfn * kernel.PAGE, 1) == b"\xa5":
                    return base
            base -= PUD_SIZE
        raise ValueError("the linear map was not found")

    def _memory_map(self, table: int, at: int, pfn: int) -> int:
        """VMEMMAP_START: likewise, and there the page of our frame is anonymous, ours, and held once."""
        mapping_at, index_at = self.at["folio.mapping"], self.at["folio.index"]
        for high in range(256, 512):
            upper = self.word(table + high * 8)
            if not upper & PRESENT:
                continue
            for low in range(512):
                base = 0xFFFF << 48 | high << PGDIR_SHIFT | low << PUD_SHIFT
                if base > self.linear and self.word(self.linear + (upper & PHYSICAL) + low * 8) & PRESENT:
                    with suppress(OSError):
                        words = self.read(base + pfn * self.page_size, self.page_size)
                        mapping = int.from_bytes(words[mapping_at : mapping_at + 8], "little")
                        index = int.from_bytes(words[index_at : index_at + 8], "little")
                        counts = struct.unpack_from("<i", words, self.at["page._refcount"])[0]
                        if mapping & 3 == ANON and index == at // kernel.PAGE and counts >= 1:
                            return base
        raise ValueError("the memory map was not found")

    def _table(self, physical: int, index: int) -> int:
        return self.word(self.linear + (physical & PHYSICAL) + index * 8)

    def _frame(self, table: int, at: int) -> int:
        """The frame behind an address, by the tables; 0 if there is none."""
        entry = self.word(table + (at >> PGDIR_SHIFT & 511) * 8)
        for shift in (PUD_SHIFT, PMD_SHIFT, 12):
            if not entry & PRESENT:
                return 0
            entry = self._table(entry, at >> shift & 511)
            if entry & HUGE and shift != 12:
                return (entry & PHYSICAL) // kernel.PAGE + (at & (1 << shift) - 1) // kernel.PAGE
        return (entry & PHYSICAL) // kernel.PAGE if entry & PRESENT else 0

    def root(self, pid: int) -> int:
        """The top page table of a process, by its number where this program runs. Raises OSError if there is none."""
        if pid not in self.roots:
            task = int.from_bytes(self.read(0, 8), "little")
            task = self.word(task + self.at["task_struct.group_leader"])
            for _ in range(MOST_PROCESSES):
                number = self.word(task + self.at["task_struct.thread_pid"])
                level = self._half(number + self.at["pid.level"]) if number else 0
                here = number + self.at["pid.numbers"] + level * self.number_size
                if number and self._half(here) == pid:
                    break
                task = self.word(task + self.at["task_struct.tasks"]) - self.at["task_struct.tasks"]
            else:
                raise OSError(3, "no such process")
            self.roots[pid] = self.word(self.word(task + self.at["task_struct.mm"]) + self.at["mm_struct.pgd"])
        return self.roots[pid]

    # -- what is asked for ---------------------------------------------------------------------

    def entries(self, pid: int, first: int, pages: int) -> dict[int, int]:
        """The raw entries that are not 0 of the pages [first, first + pages), by page; a huge one at its first page."""
        found: dict[int, int] = {}
        table = self.root(pid)
        for start in range(first - first % 512, first + pages, 512):
            entry = self.word(table + (start >> 27 & 511) * 8)
            if not entry & PRESENT:
                continue
            entry = self._table(entry, start >> 18 & 511)
            if not entry & PRESENT:
                continue
            entry = self._table(entry, start >> 9 & 511)
            if not entry:
                continue
            if entry & HUGE or not entry & PRESENT:
                found[start] = entry
                continue
            words = struct.unpack("<512Q", self.read(self.linear + (entry & PHYSICAL), kernel.PAGE))
            found |= {start + at: word for at, word in enumerate(words) if word and first <= start + at < first + pages}
        return found

    def byte(self, pfn: int) -> int:
        """The first byte of a frame. Raises OSError for one that the kernel itself does not map."""
        return self.read(self.linear + pfn * kernel.PAGE, 1)[0]

    def refcount_of(self, pfn: int) -> int:
        """The refcount of a small page."""
        return self._half(self.memory_map + pfn * self.page_size + self.at["page._refcount"])

    def mapping_of(self, pfn: int) -> int:
        """The word page->mapping of a page that is no tail: an address_space, or an anon_vma and a bit."""
        return self.word(self.memory_map + pfn * self.page_size + self.at["folio.mapping"])

    def folio(self, head: int, pages: int) -> FolioCounts:
        """A large folio of so many pages, by its first one (include/linux/mm_types.h, 6.18)."""
        size, words = self.page_size, b""
        at_once = MOST // size
        for first in range(0, pages, at_once):
            words += self.read(self.memory_map + (head + first) * size, min(at_once, pages - first) * size)
        field = partial(struct.unpack_from, "<i", words)
        entire = field(self.at["folio._entire_mapcount"])[0] + 1
        return FolioCounts(
            words[size] & 0xFF,
            field(self.at["page._refcount"])[0],
            field(self.at["folio._pincount"])[0],
            tuple(max(field(page * size + self.at["page._mapcount"])[0] + 1, 0) + entire for page in range(pages)),
            tuple(struct.unpack_from("<Q", words, page * size)[0] for page in range(pages)),
        )


@cache
def unreadable() -> str:
    """Why kernel memory cannot be read here; empty if it can."""
    if platform.machine() != "x86_64":
        return "not x86-64"
    try:
        KernelMemory().close()
    except (OSError, KeyError, ValueError, struct.error) as error:
        return str(error)
    return ""


def _address_of(page: mmap.mmap) -> int:
    """Where a mapping of this process begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(page))
