"""What can be seen of the real kernel, as far as this user may look: levels, each named, and the look itself.

Anybody sees the answers, /proc/PID/smaps, the bits of /proc/PID/pagemap and what each mapped page holds. With
CAP_SYS_ADMIN frame numbers come in, and with them /proc/kpagecount, /proc/kpageflags and what unmapped frames hold.
With CAP_BPF and CAP_PERFMON the counts of struct page itself, the raw entries, and every byte (kernel_memory): then
nothing of a recording is missing but the signals. Pages are numbers of the arena.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from model.replay.observe import Observation
from model.replay.recording import ARENA, ARENA_PAGES, LargePhysRow, PhysRow, PinRow, PteRow, Seen, VmaRow
from model.replay.visible import HUGE_POISON, shown
from tui.live import system_calls as kernel
from tui.live.kernel_memory import ANON_EXCLUSIVE, KernelMemory
from tui.live.proc_views import (
    EXCLUSIVE,
    FILE_OR_SHARED,
    FRAME_BITS,
    GUARD,
    HUGE,
    UFFD_WP,
    SeenEntry,
    byte_of,
    entries,
    entry_of_page,
    frame_at,
    is_hugetlb,
    resident,
    vma_rows,
)
from tui.live.ring import FixedBuffer
from tui.live.workers import Workers

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
KPF_HEAD, KPF_TAIL, KPF_THP, KPF_ZERO_PAGE = 15, 16, 22, 24

RAW: Final = (("w", 1 << 1), ("d", 1 << 6 | 1 << 58), ("s", 1 << 9))
"""Bits of a present entry: _PAGE_RW, _PAGE_DIRTY or _PAGE_SAVED_DIRTY, _PAGE_SPECIAL (x86, pgtable_types.h, 6.12)."""
PROTNONE, SWP_EXCLUSIVE = 1 << 8, 1 << 3

EVERYBODY: Final = Seen(frames=False, pte="xfu", phys=(), counts=(), signals=False)
PRIVILEGED: Final = Seen(frames=True, pte="xfu", phys=tuple(KPF), counts=("mapcount",), signals=False)
ALL_BUT_SIGNALS: Final = Seen(counts=("refcount", "mapcount", "pincount"), signals=False)


class SeenAt(NamedTuple):
    """Where a frame was last seen."""

    process: str
    page: int
    shared: bool
    """It belongs to a file, be it one without a name that only mappings know, and not to a process alone."""
    file: str
    """The script's name of the file, where it has one."""
    file_page: int
    hugetlb: bool = False
    """A page of the pool: whether its file still has it nobody tells, so the model is believed."""

    def behind(self, pages: int) -> "SeenAt":
        """Where the page so many behind it is."""
        return self._replace(page=self.page + pages, file_page=self.file_page + pages)


class HeldPages(NamedTuple):
    """A reference, and what the entries showed when it was taken: those frames stay until it is dropped."""

    kind: str
    process: str
    page: int
    entries: tuple[SeenEntry, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Frame numbers; all 0 to those who may not know them."""
        return tuple(entry.pfn for entry in self.entries)


class Looking:
    """Looks at the workers again and again, and gives frames names as a recording does."""

    def __init__(
        self, workers: Workers, *, privileged: bool, memory: KernelMemory | None = None, orders: tuple[int, ...] = (9,)
    ) -> None:
        self.workers = workers
        self.orders = orders
        """Of large folios, those that this machine can have; the largest first."""
        self.memory = memory
        self.seen = EVERYBODY if not privileged else ALL_BUT_SIGNALS if memory else PRIVILEGED
        self.counts = os.open("/proc/kpagecount", os.O_RDONLY) if privileged else -1
        self.flags = os.open("/proc/kpageflags", os.O_RDONLY) if privileged else -1
        self.names: dict[int, str] = {}
        """By frame number, of those that are not freed; a large folio has one, at its head."""
        self.large: dict[int, int] = {}
        """Those of them that are large folios, with their pages."""
        self.named = 0
        self.slots: dict[int, str] = {}
        self.slots_named = 0
        self.specials: dict[int, str] = {}
        self.where: dict[int, SeenAt] = {}
        self.held: dict[str, HeldPages] = {}
        self.pins: dict[str, PinRow] = {}
        self.freed: list[str] = []
        self.owners: dict[int, int] = {}
        """Of frames of files the address_space that they belong to, where that can be read: a freed one has another."""
        self.blocks: dict[tuple[int, int], bytes] = {}
        """What was read of /proc/kpagecount and /proc/kpageflags for this look."""

    def close(self) -> None:
        """Close what was opened."""
        if self.seen.frames:
            os.close(self.counts)
            os.close(self.flags)
        if self.memory is not None:
            self.memory.close()

    def look(self, given_back: Iterable[str] = ()) -> Observation:
        """What can be seen now; `freed` then says which frames have gone since the last look.

        A frame that one command frees and gets again looks as if nothing had happened. So a name in `given_back`, which
        the model says was freed, is taken to be freed although its frame is mapped still or again.
        """
        self.freed = []
        self.blocks.clear()
        drain()
        look = Observation()
        mapped: dict[int, SeenAt] = {}
        slots: set[int] = set()
        tables: dict[str, dict[int, SeenEntry]] = {}
        for name, worker in self.workers.processes.items():
            look.vmas[name] = list(vma_rows(worker, self.workers))
            tables[name] = dict(entries(worker, look.vmas[name]))
            for page, entry in tables[name].items():
                if entry.present:
                    mapped.setdefault(entry.pfn, self._place(name, page, entry))
                elif entry.swapped:
                    slots.add(entry.pfn)
        self.where |= mapped
        if self.seen.frames:
            self._forget(set(mapped), set(given_back))
            self.where |= mapped
        self.slots = {slot: name for slot, name in self.slots.items() if slot in slots}
        for name, table in tables.items():
            raw = self._raw(name)
            look.ptes[name] = {page: self._pte_row(name, page, entry, raw.get(page)) for page, entry in table.items()}
            unseen = (page for page in raw.keys() - table.keys() if not raw[page] & 1 and page % HUGE == 0)
            hugetlb = [range(vma[0], vma[1]) for vma in look.vmas[name] if is_hugetlb(vma)]
            look.ptes[name] |= {page: HUGE_POISON for page in unseen if any(page in vma for vma in hugetlb)}
        self.pins = {name: self.pins.get(name) or self._pin_row(taken) for name, taken in self.held.items()}
        look.pins = self.pins
        if self.seen.frames:
            look.phys = {
                name: self._large_row(pfn, self.large[pfn]) if pfn in self.large else self._phys_row(pfn)
                for pfn, name in self.names.items()
            }
        if self.memory is None:
            drain()  # reading a page marks it accessed, which puts it into a batch that holds a reference
        return look

    def _raw(self, process: str) -> dict[int, int]:
        """The raw entries of a process, by page, where they can be read."""
        if self.memory is None:
            return {}
        found = self.memory.entries(self.workers.processes[process].pid, ARENA, ARENA_PAGES)
        return {vpn - ARENA: word for vpn, word in found.items()}

    # -- frames --------------------------------------------------------------------------------

    def _place(self, process: str, page: int, entry: SeenEntry) -> SeenAt:
        """Where an entry stands, and what its frame belongs to."""
        shared, vma = bool(entry.bits & FILE_OR_SHARED), entry.vma
        file = vma[3] if shared and vma[3] in self.workers.files else ""
        return SeenAt(process, page, shared, file or "", vma[4] + page - vma[0], is_hugetlb(vma))

    def _forget(self, mapped: set[int], given_back: set[str]) -> None:
        """End the names of frames that nobody has any more: not mapped, not held, not cached."""
        held = {pfn for taken in self.held.values() for pfn in taken.frames}
        for head in sorted(self.large, key=lambda pfn: number(self.names[pfn])):
            self._forget_folio(head, mapped, held, given_back)
        for pfn in sorted(self.names.keys() - self.large.keys() - held, key=lambda pfn: number(self.names[pfn])):
            believed = (pfn in mapped and not self._is_large(pfn)) or self.where[pfn].hugetlb
            if self.names[pfn] in given_back if believed else not self._cached(pfn):
                self._end(pfn)

    def _end(self, pfn: int) -> None:
        self.freed.append(self.names.pop(pfn))
        self.where.pop(pfn, None)
        self.large.pop(pfn, None)

    def _forget_folio(self, head: int, mapped: set[int], held: set[int], given_back: set[str]) -> None:
        """A large folio is freed as a whole; or it was split, and each of its pages goes on by itself, or is freed."""
        name, pages = self.names[head], set(range(head, head + self.large[head]))
        used = pages & (mapped | held)
        if self._is_large(head) and (used or self.where[head].hugetlb or self._cached(head)):
            if name in given_back and not used & held:
                self._end(head)
            return
        first = self.where[head]
        small = {pfn for pfn in pages if not self._is_large(pfn)}
        for pfn in small:
            self.where.setdefault(pfn, first.behind(pfn - head))
        kept = {pfn for pfn in small if pfn in used or self._cached(pfn)}
        if not kept and not any(one.startswith(f"{name}.") for one in given_back):
            self._end(head)
            return
        self.names.pop(head)
        self.large.pop(head)
        for pfn in sorted(pages):
            if pfn in kept:
                self.names[pfn] = f"{name}.{pfn - head}"
                self.owners[pfn] = self.owners.get(head, 0)
            else:
                self.freed.append(f"{name}.{pfn - head}")
                self.where.pop(pfn, None)

    def _is_large(self, pfn: int) -> bool:
        """Whether the frame is a page of a large folio."""
        return self._folio(pfn) is not None

    def _folio(self, pfn: int) -> range | None:
        """The frames of the large folio that a frame belongs to, or None. A folio is aligned to its size."""
        flags = self._word(self.flags, pfn)
        if not flags >> KPF_THP & 1 and not flags >> KPF["huge"] & 1:
            return None
        for order in self.orders:
            head = pfn >> order << order
            tails = {head + (1 << smaller) for smaller in self.orders if smaller < order}
            tails |= {pfn, head + (1 << order) - 1} - {head}
            if self._word(self.flags, head) >> KPF_HEAD & 1 and all(
                self._word(self.flags, tail) >> KPF_TAIL & 1 for tail in tails
            ):
                return range(head, head + (1 << order))
        return None

    def _cached(self, pfn: int) -> bool:
        """Whether the page cache or the swap cache keeps a frame that no page table shows."""
        last, flags = self.where[pfn], self._word(self.flags, pfn)
        anon = flags >> KPF["anon"] & 1
        if not last.shared:
            return bool(flags >> KPF["swapcache"] & 1 and anon)
        if flags >> KPF["swapcache"] & 1 and not anon:
            return True  # shmem that was swapped out: the file has let go of it (shmem_delete_from_page_cache)
        if self.memory is not None and self.memory.mapping_of(pfn) != self.owners.get(pfn):
            return False
        file, swapbacked = self.workers.files.get(last.file), bool(flags >> KPF["swapbacked"] & 1)
        if file is None:
            return swapbacked and not anon
        return not anon and resident(file.descriptor, last.file_page)

    def _pte_row(self, process: str, page: int, entry: SeenEntry, raw: int | None) -> PteRow:
        """Frame and flags of one entry, as far as they can be seen."""
        if entry.bits & GUARD:
            return "guard", ""
        if entry.is_poison_marker:
            return "poison", ""
        if not entry.present:
            exclusive = "e" if raw is not None and raw & SWP_EXCLUSIVE else ""
            return (self._slot(entry.pfn), exclusive) if entry.swapped else ("uffd-wp-marker", "")
        name = self._frame(entry.pfn, entry.vma) if self.seen.frames else ""
        normal = not name.startswith("S")
        flags = {
            "x": entry.bits & EXCLUSIVE and normal,
            "f": entry.bits & FILE_OR_SHARED and normal,
            "u": entry.bits & UFFD_WP,
            "H": entry.huge,
        }
        if raw is not None:
            flags |= {letter: raw & bits for letter, bits in RAW} | {"n": not raw & 1 and raw & PROTNONE}
            flags["s"] = flags["s"] and name not in ("zero", "hugezero")
        letters = "".join(letter for letter in "wdxfnusH" if flags.get(letter))
        if not self.seen.frames:
            return shown(byte_of(self.workers.processes[process], page)), letters
        return name.removesuffix(".0") if entry.huge else name, letters

    def _frame(self, pfn: int, vma: VmaRow) -> str:
        """What the frame is called; a new one gets the next name."""
        flags = self._word(self.flags, pfn)
        if flags >> KPF_ZERO_PAGE & 1:
            return "hugezero" if flags >> KPF_THP & 1 else "zero"
        if "pf" in vma[5].split():
            return self.specials.setdefault(pfn, f"S{len(self.specials)}")
        if folio := self._folio(pfn):
            head = folio.start
            self.large[head] = len(folio)
            self.where.setdefault(head, self.where[pfn].behind(head - pfn))
            return f"{self._name(head)}.{pfn - head}"
        return self._name(pfn)

    def _name(self, pfn: int) -> str:
        if pfn not in self.names:
            self.names[pfn] = f"P{self.named}"
            self.named += 1
            if self.memory is not None:
                self.owners[pfn] = self.memory.mapping_of(pfn)
        return self.names[pfn]

    def _slot(self, slot: int) -> str:
        if not self.seen.frames:
            return "swap"
        if slot not in self.slots:
            self.slots[slot] = f"swap{self.slots_named}"
            self.slots_named += 1
        return self.slots[slot]

    def _page_flags(self, pfn: int) -> str:
        word = self._word(self.flags, pfn)
        anon = word >> KPF["anon"] & 1
        return " ".join(name for name, bit in KPF.items() if word >> bit & 1 and (name != "excl" or anon))

    def _phys_row(self, pfn: int) -> PhysRow:
        """Counts, flags and first byte of a small page."""
        refcount = self.memory.refcount_of(pfn) if self.memory else None
        return refcount, self._word(self.counts, pfn), self._page_flags(pfn), self._byte(pfn)

    def _large_row(self, head: int, pages: int) -> LargePhysRow | PhysRow:
        """A large folio; without its own counts nothing of it is compared."""
        if self.memory is None:
            return None, None, "huge", None
        found = self.memory.folio(head, pages)
        flags = self._page_flags(head)
        anon = "anon" in flags.split()
        marks = [word >> ANON_EXCLUSIVE & 1 for word in found.flags]
        if "huge" in flags.split():
            marks[1:] = [0] * (pages - 1)
        return {
            "order": found.order,
            "ref": found.refcount,
            "pincount": found.pincount,
            "map": in_rows(found.mapcounts),
            "flags": flags,
            "excl": in_rows(marks) if anon else None,
            "val": in_rows(self.memory.first_bytes(head)[:pages]),
        }

    def _byte(self, pfn: int) -> int | None:
        """The first byte of a frame, from where it is mapped, from its file, or from who holds it."""
        if self.memory is not None:
            with suppress(OSError):
                return self.memory.byte(pfn)
            return None
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

    def _word(self, descriptor: int, pfn: int) -> int:
        """A word of /proc/kpagecount or /proc/kpageflags; those of 512 frames are read at once, anew at each look."""
        block = self.blocks.get((descriptor, pfn // HUGE))
        if block is None:
            block = os.pread(descriptor, HUGE * 8, pfn // HUGE * HUGE * 8)
            self.blocks[descriptor, pfn // HUGE] = block
        at = pfn % HUGE * 8
        return int.from_bytes(block[at : at + 8], "little")

    # -- references ----------------------------------------------------------------------------

    def took(self, name: str, kind: str, process: str, page: int, pages: int) -> None:
        """A reference was taken: note the frames that the entries show now; they stay until it is dropped."""
        worker = self.workers.processes[process]
        found = []
        for one in range(page, page + pages):
            entry = entry_of_page(worker, self.workers, one)
            if entry is not None:
                found.append(entry)
                self.where.setdefault(entry.pfn, self._place(process, one, entry))
        self.held[name] = HeldPages(kind, process, page, tuple(found))

    def dropped(self, name: str) -> None:
        """A reference was put."""
        self.held.pop(name, None)

    def _held_name(self, taken: HeldPages, entry: SeenEntry) -> str:
        """What a frame is called that somebody holds; outside of the arena no entry has given it a name."""
        if not self.seen.frames:
            return "?"
        folio = self._folio(entry.pfn)
        head = folio.start if folio else entry.pfn
        zero = bool(self._word(self.flags, entry.pfn) >> KPF_ZERO_PAGE & 1)
        inside = zero or taken.page < ARENA_PAGES or head in self.names
        return self._frame(entry.pfn, entry.vma) if inside else "outside"

    def _pin_row(self, taken: HeldPages) -> PinRow:
        frames = tuple(self._held_name(taken, entry) for entry in taken.entries)
        return PinRow("pin" if taken.kind == "pin" else "get", taken.process, taken.page, frames)


def in_rows(numbers: Iterable[int]) -> list[list[int]]:
    """Equal neighbours as runs: where it begins, how long it is, the number.

    >>> in_rows([0, 0, 7])
    [[0, 2, 0], [2, 1, 7]]
    """
    found: list[list[int]] = []
    for place, one in enumerate(numbers):
        if found and found[-1][2] == one:
            found[-1][1] += 1
        else:
            found.append([place, 1, one])
    return found


def number(name: str) -> tuple[int, int]:
    """`P12` → (12, 0), `P12.3` → (12, 3)."""
    head, _, page = name[1:].partition(".")
    return int(head), int(page or 0)


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
