"""What can be seen of the real kernel, as far as this user may look: levels, each named, and the look itself.

Anybody sees the answers, /proc/PID/smaps, the bits of /proc/PID/pagemap and what each mapped page holds. With
CAP_SYS_ADMIN frame numbers come in, and with them /proc/kpagecount, /proc/kpageflags and what unmapped frames hold. The
counts of struct page itself (refcount, pincount) are in no file that the kernel offers: they are not compared. Pages
are numbers of the arena.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from model.replay.observe import Observation
from model.replay.recording import ARENA, ARENA_PAGES, PhysRow, PinRow, PteRow, Seen, VmaRow
from model.replay.visible import shown
from tui.live import system_calls as kernel
from tui.live.ring import FixedBuffer
from tui.live.workers import Worker, Workers, address

PRESENT, SWAPPED, FILE_OR_SHARED, GUARD, UFFD_WP, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 57, 1 << 56
"""Bits of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst, 6.18)."""
FRAME_BITS: Final = (1 << 55) - 1
SWAP_TYPE: Final = (1 << 5) - 1
SWP_PTE_MARKER: Final = 31
HUGE: Final = 512
"""Pages of a huge page."""
KPF: Final = {
    "dirty": 4,
    "lru": 5,
    "writeback": 8,
    "anon": 12,
    "swapcache": 13,
    "swapbacked": 14,
    "huge": 17,
    "unevictable": 18,
    "ksm": 21,
    "mlocked": 33,
    "private": 35,
    "excl": 34,
}
"""Bits of /proc/kpageflags by the names of the recordings, in their order (include/uapi/linux/kernel-page-flags.h and
include/linux/kernel-page-flags.h, 7.3). Bit 34, PG_owner_2, is PG_anon_exclusive where the page is anonymous."""
KPF_ZERO_PAGE: Final = 24
ARENA_END: Final = ARENA + ARENA_PAGES

EVERYBODY: Final = Seen(frames=False, pte="xfu", phys=(), counts=(), signals=False)
PRIVILEGED: Final = Seen(frames=True, pte="xfu", phys=tuple(KPF), counts=("mapcount",), signals=False)


class SeenAt(NamedTuple):
    """Where a frame was last seen."""

    process: str
    page: int
    shared: bool
    """It belongs to a file, be it one without a name that only mappings know, and not to a process alone."""
    file: str
    """The script's name of the file, where it has one."""
    file_page: int
    huge: bool = False
    """A page of 2 MiB: whether its file still has it nobody tells (mincore(2) would map it), so the model is believed.
    """


class HeldPages(NamedTuple):
    """A reference, and what the entries showed when it was taken: those frames stay until it is dropped."""

    kind: str
    process: str
    page: int
    entries: tuple[tuple[int, VmaRow], ...]
    """Words of pagemap, each with its VMA."""

    @property
    def frames(self) -> tuple[int, ...]:
        """Frame numbers; all 0 to those who may not know them."""
        return tuple(bits & FRAME_BITS for bits, _ in self.entries)


class Looking:
    """Looks at the workers again and again, and gives frames names as a recording does."""

    def __init__(self, workers: Workers, *, privileged: bool) -> None:
        self.workers = workers
        self.seen = PRIVILEGED if privileged else EVERYBODY
        self.counts = os.open("/proc/kpagecount", os.O_RDONLY) if privileged else -1
        self.flags = os.open("/proc/kpageflags", os.O_RDONLY) if privileged else -1
        self.names: dict[int, str] = {}
        """By frame number, of those that are not freed."""
        self.named = 0
        self.slots: dict[int, str] = {}
        self.slots_named = 0
        self.specials: dict[int, str] = {}
        self.where: dict[int, SeenAt] = {}
        self.held: dict[str, HeldPages] = {}
        self.pins: dict[str, PinRow] = {}
        self.freed: list[str] = []

    def close(self) -> None:
        """Close what was opened."""
        if self.seen.frames:
            os.close(self.counts)
            os.close(self.flags)

    def look(self, given_back: Iterable[str] = ()) -> Observation:
        """What can be seen now; `freed` then says which frames have gone since the last look.

        A frame that one command frees and gets again looks as if nothing had happened. So a name in `given_back`, which
        the model says was freed, is taken to be freed although its frame is mapped still or again.
        """
        self.freed = []
        drain()
        look = Observation()
        mapped: dict[int, SeenAt] = {}
        slots: set[int] = set()
        tables: dict[str, dict[int, tuple[int, VmaRow]]] = {}
        for name, worker in self.workers.processes.items():
            look.vmas[name] = list(vma_rows(worker, self.workers))
            tables[name] = dict(entries(worker, look.vmas[name]))
            for page, (bits, vma) in tables[name].items():
                if bits & PRESENT:
                    pfn = bits & FRAME_BITS
                    mapped.setdefault(pfn, self._place(name, page, bits, vma))
                elif bits & SWAPPED and not bits & GUARD and not is_uffd_wp_marker(bits):
                    slots.add(bits & FRAME_BITS)
        if self.seen.frames:
            self._forget(mapped, set(given_back))
        self.where |= mapped
        self.slots = {slot: name for slot, name in self.slots.items() if slot in slots}
        for name, table in tables.items():
            look.ptes[name] = {page: self._pte_row(name, page, bits, vma) for page, (bits, vma) in table.items()}
        self.pins = {name: self.pins.get(name) or self._pin_row(taken) for name, taken in self.held.items()}
        look.pins = self.pins
        if self.seen.frames:
            look.phys = {name: self._phys_row(pfn) for pfn, name in self.names.items()}
        drain()  # reading a page marks it accessed, which puts it into a batch that holds a reference
        return look

    # -- frames --------------------------------------------------------------------------------

    def _place(self, process: str, page: int, bits: int, vma: VmaRow) -> SeenAt:
        """Where an entry stands, and what its frame belongs to."""
        shared = bool(bits & FILE_OR_SHARED)
        file = vma[3] if shared and vma[3] in self.workers.files else ""
        return SeenAt(process, page, shared, file or "", vma[4] + page - vma[0], is_huge(vma))

    def _forget(self, mapped: dict[int, SeenAt], given_back: set[str]) -> None:
        """End the names of frames that nobody has any more: not mapped, not held, not cached."""
        held = {pfn for taken in self.held.values() for pfn in taken.frames}
        for pfn in sorted(self.names.keys() - held, key=lambda pfn: number(self.names[pfn])):
            believed = pfn in mapped or self.where[pfn].huge
            if self.names[pfn] in given_back if believed else not self._cached(pfn):
                self.freed.append(self.names.pop(pfn))
                self.where.pop(pfn, None)

    def _cached(self, pfn: int) -> bool:
        """Whether the page cache or the swap cache keeps a frame that no page table shows."""
        last, flags = self.where[pfn], self._word(self.flags, pfn)
        anon = flags >> KPF["anon"] & 1
        if not last.shared:
            return bool(flags >> KPF["swapcache"] & 1 and anon)
        file, swapbacked = self.workers.files.get(last.file), bool(flags >> KPF["swapbacked"] & 1)
        if file is None:
            return swapbacked and not anon
        return not anon and resident(file.descriptor, last.file_page)

    def _pte_row(self, process: str, page: int, bits: int, vma: VmaRow) -> PteRow:
        """Frame and flags of one entry, as far as pagemap shows them: `x f u`."""
        if bits & GUARD:
            return "guard", ""
        if not bits & PRESENT:
            swapped = bits & SWAPPED and not is_uffd_wp_marker(bits)
            return (self._slot(bits & FRAME_BITS), "") if swapped else ("uffd-wp-marker", "")
        flags = (("x", EXCLUSIVE), ("f", FILE_OR_SHARED), ("u", UFFD_WP))
        letters = "".join(letter for letter, bit in flags if bits & bit) + ("H" if is_huge(vma) else "")
        if not self.seen.frames:
            return shown(byte_of(self.workers.processes[process], page)), letters
        return self._frame(bits & FRAME_BITS, vma), letters

    def _frame(self, pfn: int, vma: VmaRow) -> str:
        """What the frame is called; a new one gets the next name."""
        if self._word(self.flags, pfn) >> KPF_ZERO_PAGE & 1:
            return "zero"
        if "pf" in vma[5].split():
            return self.specials.setdefault(pfn, f"S{len(self.specials)}")
        if pfn not in self.names:
            self.names[pfn] = f"P{self.named}"
            self.named += 1
        return self.names[pfn]

    def _slot(self, slot: int) -> str:
        if not self.seen.frames:
            return "swap"
        if slot not in self.slots:
            self.slots[slot] = f"swap{self.slots_named}"
            self.slots_named += 1
        return self.slots[slot]

    def _phys_row(self, pfn: int) -> PhysRow:
        """Mapcount, flags and first byte; the refcount is nowhere to be read. Of a huge page nothing is compared."""
        if pfn in self.where and self.where[pfn].huge:
            return None, None, "huge", None
        word = self._word(self.flags, pfn)
        anon = word >> KPF["anon"] & 1
        flags = (name for name, bit in KPF.items() if word >> bit & 1 and (name != "excl" or anon))
        return None, self._word(self.counts, pfn), " ".join(flags), self._byte(pfn)

    def _byte(self, pfn: int) -> int | None:
        """The first byte of a frame, from where it is mapped, from its file, or from who holds it."""
        last = self.where.get(pfn)
        worker = self.workers.processes.get(last.process) if last else None
        if last and worker and frame_at(worker, last.page) == pfn:
            return byte_of(worker, last.page)
        for name, taken in self.held.items():
            if pfn in taken.frames:
                page = taken.frames.index(pfn)
                by_device = isinstance(self.workers.held[name], FixedBuffer)
                with suppress(OSError):
                    return self.workers.device(name, page, None) if by_device else self.workers.peek(name, page)
        if last and last.file in self.workers.files:
            return os.pread(self.workers.files[last.file].descriptor, 1, last.file_page * kernel.PAGE)[0]
        return None

    @staticmethod
    def _word(descriptor: int, pfn: int) -> int:
        return int.from_bytes(os.pread(descriptor, 8, pfn * 8), "little")

    # -- references ----------------------------------------------------------------------------

    def took(self, name: str, kind: str, process: str, page: int, pages: int) -> None:
        """A reference was taken: note the frames that the entries show now; they stay until it is dropped."""
        worker = self.workers.processes[process]
        rows = dict(entries(worker, list(vma_rows(worker, self.workers)), page, page + pages))
        found = tuple(rows[one] for one in range(page, page + pages) if one in rows and rows[one][0] & PRESENT)
        self.held[name] = HeldPages(kind, process, page, found)
        for one, (bits, vma) in enumerate(found):
            self.where.setdefault(bits & FRAME_BITS, self._place(process, page + one, bits, vma))

    def dropped(self, name: str) -> None:
        """A reference was put."""
        self.held.pop(name, None)

    def _pin_row(self, taken: HeldPages) -> PinRow:
        frames = tuple(self._frame(bits & FRAME_BITS, vma) if self.seen.frames else "?" for bits, vma in taken.entries)
        return PinRow("pin" if taken.kind == "pin" else "get", taken.process, taken.page, frames)


def is_uffd_wp_marker(bits: int) -> bool:
    """Whether a word of pagemap is that of a marker: a swap entry of no swap file (SWP_PTE_MARKER, 31, in 6.18).

    Those who may not see frame numbers see no type either; to them whatever is write-protected and not there is one.
    """
    kind = bits & SWAP_TYPE
    return bool(bits & UFFD_WP) and not bits & PRESENT and (kind == SWP_PTE_MARKER or not bits & FRAME_BITS)


def number(name: str) -> int:
    """`P12` → 12."""
    return int(name[1:].partition(".")[0])


def may_see_frames() -> bool:
    """Whether the kernel tells this user frame numbers: it says 0 to those who may not know."""
    try:
        with Path("/proc/kpagecount").open("rb"), Path("/proc/kpageflags").open("rb"):
            return own_frame() != 0
    except OSError:
        return False


def own_frame() -> int:
    """The frame of a page of this process, as pagemap tells it: 0 to those without CAP_SYS_ADMIN."""
    import ctypes

    page = ctypes.create_string_buffer(b"\1", 1)
    at = ctypes.addressof(page) // kernel.PAGE
    with Path("/proc/self/pagemap").open("rb") as file:
        file.seek(at * 8)
        return int.from_bytes(file.read(8), "little") & FRAME_BITS


def drain() -> None:
    """Empty the per-CPU batches that hold references for a moment: migration does it first (mm/migrate.c, 6.12).

    move_pages(2) of no page of this process, which everybody may do.
    """
    with suppress(OSError):
        kernel.drain_batches()


def vma_rows(worker: Worker, workers: Workers) -> Iterator[VmaRow]:
    """The VMAs of the arena, from /proc/PID/smaps, as a recording shows them."""
    names = {file.inode: name for name, file in workers.files.items()}
    head: list[str] = []
    for line in Path(f"/proc/{worker.pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        first, _, rest = line.partition(" ")
        if first == "VmFlags:":
            start, end = (int(part, 16) // kernel.PAGE for part in head[0].split("-"))
            if ARENA <= start < ARENA_END:
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
) -> Iterator[tuple[int, tuple[int, VmaRow]]]:
    """The words of pagemap that are not empty, each with its VMA, for the pages [first, end) of the arena."""
    with Path(f"/proc/{worker.pid}/pagemap").open("rb", buffering=0) as file:
        for vma in vmas:
            start, stop = max(vma[0], first), min(vma[1], end)
            if start >= stop:
                continue
            words = os.pread(file.fileno(), (stop - start) * 8, (ARENA + start) * 8)
            step = HUGE if is_huge(vma) else 1
            for page in range(start + -start % step, stop, step):
                at = (page - start) * 8
                bits = int.from_bytes(words[at : at + 8], "little")
                if bits & (PRESENT | SWAPPED | GUARD | UFFD_WP):
                    yield page, (bits, vma)


def is_huge(vma: VmaRow) -> bool:
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
