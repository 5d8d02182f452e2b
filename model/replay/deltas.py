"""What the recorder would see of a State: VMAs, page tables, frames and pins, in the recordings' format.

Frames have no numbers in a recording but names, given in the order in which they first appear; an `Observer` gives
them. A `Observation` is one complete observation, the model's or the kernel's; deltas lead from one to the next.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from model.memory.flags import (
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_HUGETLB,
    PG_KSM,
    PG_LRU,
    PG_MLOCKED,
    PG_PRIVATE,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_WRITEBACK,
    VM_EXEC,
    VM_MAYSHARE,
    VM_READ,
    VM_WRITE,
    smaps_codes,
)
from model.memory.folio import page_folio, page_frame
from model.memory.leaf import PMD, PTRS_PER_TABLE, TABLE_SHIFT
from model.memory.records import Frame, Pte, Vma
from model.memory.runs import Runs, filled, rows
from model.memory.state import Change, State
from model.replay.recording import (
    ARENA,
    ARENA_PAGES,
    Delta,
    LargePhysRow,
    PhysRow,
    PinRow,
    ProcessDelta,
    PteRow,
    VmaRow,
)

PHYS_FLAGS: Final = (
    (PG_DIRTY, "dirty"),
    (PG_LRU, "lru"),
    (PG_WRITEBACK, "writeback"),
    (0, "anon"),
    (PG_SWAPCACHE, "swapcache"),
    (PG_SWAPBACKED, "swapbacked"),
    (PG_HUGETLB, "huge"),
    (PG_UNEVICTABLE, "unevictable"),
    (PG_KSM, "ksm"),
    (PG_MLOCKED, "mlocked"),
    (PG_PRIVATE, "private"),
    (PG_ANON_EXCLUSIVE, "excl"),
)
"""The struct-page flags of a recording in its order; `anon` is no flag but what page->mapping says."""

SMAPS_NAMES: Final = {
    "shmem": "shmem",
    "anon_hugepage": "/anon_hugepage",
    "devzero": "/dev/zero",
    "perf": "anon_inode:[perf_event]",
    "packet": "socket",
    "io_uring": "anon_inode:[io_uring]",
    "kvm_vcpu": "anon_inode:kvm-vcpu:0",
    "guest_memfd": "anon_inode:[kvm-gmem]",
    "btf": "/sys/kernel/btf/vmlinux",
    "bpf_map": "anon_inode:bpf-map",
}
"""How /proc/PID/smaps calls files that no scenario has named, by their kind."""

SHORTEST_RUN: Final = 8
"""So many equal neighbours are written as one run."""


class Observation(msgspec.Struct):
    """One complete observation."""

    vmas: dict[str, list[VmaRow]] = {}
    """By process, in the order in which they were created."""
    ptes: dict[str, dict[int, PteRow]] = {}
    """By process and page, ascending."""
    phys: dict[str, PhysRow | LargePhysRow] = {}
    """Every named frame that is not freed."""
    pins: dict[str, PinRow] = {}


class HeldReference(NamedTuple):
    """A reference that a scenario holds: where it was taken, and the frames as of then."""

    kind: str
    proc: str
    page: int
    frames: tuple[int, ...]


class MappedFolio(NamedTuple):
    """A huge page with what is written of each entry that maps a page of it."""

    head: int
    name: str
    is_file: bool
    mapcounts: list[int]

    def row(self, pte: Pte) -> PteRow:
        """Frame and flags of an entry."""
        page = pte.pfn - self.head
        flags = (
            ("w", pte.writable),
            ("d", pte.dirty),
            ("x", self.mapcounts[page] == 1),
            ("f", self.is_file),
            ("n", pte.protnone),
            ("u", pte.bits & PAGE_UFFD_WP),
        )
        return f"{self.name}.{page}", "".join([letter for letter, is_set in flags if is_set])


class Observer:
    """Looks at States as the recorder looks at the kernel: names frames, and forgets a name when the frame is freed."""

    def __init__(self, arena: int = ARENA) -> None:
        self.arena = arena
        """The virtual page that is page 0 of what is seen."""
        self.names: dict[int, str] = {}
        self.specials: dict[int, str] = {}
        self.slots: dict[int, str] = {}
        self.slots_named = 0
        self.named = 0
        self.pins: dict[str, PinRow] = {}
        self.freed: list[str] = []

    def watch(self, changes: Iterable[Change]) -> None:
        """Follow what a micro-step did to the frames: a name ends exactly when the allocator gets the frame back."""
        changes = tuple(changes)
        for table, pfn, _, new in changes:
            if table == "folios" and new is None and pfn in self.names:
                self.split(pfn, {key for where, key, _, now in changes if where == "frames" and _in_use(now)})
        for table, pfn, old, new in changes:
            if table == "frames" and _in_use(old) and not _in_use(new) and pfn in self.names:
                self.freed.append(self.names.pop(pfn))

    def split(self, head: int, small: set[int]) -> None:
        """A folio is no more. If its pages are small ones now, each has the name that it had as a part of the folio."""
        if head in small:
            folio = self.names.pop(head)
            for pfn in range(head, head + PTRS_PER_TABLE):
                if pfn in small:
                    self.names[pfn] = f"{folio}.{pfn - head}"

    def look(
        self, state: State, processes: Iterable[str], held: dict[str, HeldReference], outside: dict[int, int]
    ) -> Observation:
        """What can be seen now.

        `processes` are those alive, oldest first; `held` the references by id; `outside` says which page number the
        scenario gave to a mapping that the kernel put elsewhere: start vpn → page number.
        """
        mapped = {pte.pfn for pte in state.ptes.values() if pte.kind == "swap"}
        self.slots = {slot: name for slot, name in self.slots.items() if slot in mapped}
        look = Observation(vmas={process: [] for process in processes}, ptes={process: {} for process in processes})
        for (process, _), vma in sorted(state.vmas.items()):
            look.vmas[process].append(vma_row(state, vma, outside, self.arena))
        for vmas in look.vmas.values():
            vmas.sort(key=itemgetter(0))  # the kernel's own choice lies above the arena, the model's below it
        entries = sorted(entries_in_arena(state, self.arena))
        folios: dict[int, MappedFolio | None] = {}
        by_process: dict[str, list[tuple[int, Pte]]] = {process: [] for process in processes}
        for (process, vpn), pte in entries:
            by_process[process].append((vpn, pte))
        for process, found in by_process.items():
            look.ptes[process] = {vpn - self.arena: self.row(state, pte, folios) for vpn, pte in found}
        self.pins = {name: self.pins.get(name) or self.pin_row(state, pin) for name, pin in held.items()}
        look.pins = self.pins
        look.phys = {name: phys_row(state, pfn) for pfn, name in self.names.items()}
        return look

    def row(self, state: State, pte: Pte, folios: dict[int, MappedFolio | None]) -> PteRow:
        """One entry; `folios` are those that were met before, for many entries map pages of the same one."""
        if not pte.present or pte.huge:
            return self.pte_row(state, pte)
        head = pte.pfn >> TABLE_SHIFT << TABLE_SHIFT
        if head not in folios:
            folios[head] = self.mapped_folio(state, head)
        folio = folios[head]
        return self.pte_row(state, pte) if folio is None else folio.row(pte)

    def mapped_folio(self, state: State, head: int) -> MappedFolio | None:
        """The huge page that begins at a frame, or None."""
        frame, folio = state.frames.get(head), state.folios.get(head)
        if frame is None or folio is None or frame.kind == "zero" or frame.order != TABLE_SHIFT:
            return None
        counts = [
            count + folio.entire for _, length, count in rows(folio.mapcounts, frame.pages) for _ in range(length)
        ]
        return MappedFolio(head, self.name(head), frame.kind != "anon", counts)

    def pte_row(self, state: State, pte: Pte) -> PteRow:
        """Frame and flags of one entry: `w d x f n u s H e`."""
        frame = page_frame(state, pte.pfn)
        if not pte.present:
            return self.frame_name(state, pte), "e" if pte.kind == "swap" and pte.bits & PAGE_SWP_EXCLUSIVE else ""
        normal = not pte.special and frame.kind != "zero"
        flags = (
            ("w", pte.writable),
            ("d", pte.dirty),
            # The frames of the vdso are mapped by every process of the recording machine.
            ("x", normal and frame.mapcount == 1 and frame.kind != "reserved"),
            ("f", (normal and frame.kind != "anon") or (pte.huge and frame.kind == "zero")),
            ("n", pte.protnone),
            ("u", pte.bits & PAGE_UFFD_WP),
            ("s", pte.special and frame.kind != "zero"),
            ("H", pte.huge),
        )
        return self.frame_name(state, pte), "".join(letter for letter, is_set in flags if is_set)

    def frame_name(self, state: State, pte: Pte) -> str:
        """What the recording calls the frame behind an entry; a new one gets the next name."""
        if not pte.present:
            if pte.kind == "marker":
                return "uffd-wp-marker" if pte.bits & PAGE_UFFD_WP else "guard"
            return self.slot(pte.pfn)
        frame = page_frame(state, pte.pfn)
        if frame.kind == "zero":
            return "hugezero" if frame.large else "zero"
        if pte.special or frame.kind == "reserved":
            return self.special(pte.pfn)
        return self.name(pte.pfn) if pte.huge else self.page_name(state, pte.pfn)

    def special(self, pfn: int) -> str:
        """The name of a frame whose counts the recorder cannot follow: mapped by a special entry, or the vDSO's."""
        return self.specials.setdefault(pfn, f"S{len(self.specials)}")

    def slot(self, number: int) -> str:
        """The name of a swap slot: it ends when no entry refers to the slot any more."""
        if number not in self.slots:
            self.slots[number] = f"swap{self.slots_named}"
            self.slots_named += 1
        return self.slots[number]

    def name(self, pfn: int) -> str:
        """The name of an ordinary frame."""
        if pfn not in self.names:
            self.names[pfn] = f"P{self.named}"
            self.named += 1
        return self.names[pfn]

    def page_name(self, state: State, pfn: int) -> str:
        """The name of a page; one of a large folio is called by its place in it."""
        head = page_folio(state, pfn)
        name = self.name(head)
        return f"{name}.{pfn - head}" if page_frame(state, head).large else name

    def pin_row(self, state: State, held: HeldReference) -> PinRow:
        """A new pin. What it holds outside of the arena, where no page table was recorded, has no name."""
        inside = held.page < ARENA_PAGES
        frames = tuple(self.held_name(state, pfn, inside=inside) for pfn in held.frames)
        return PinRow("pin" if held.kind == "pin" else "get", held.proc, held.page, frames)

    def held_name(self, state: State, pfn: int, *, inside: bool) -> str:
        """What the recording calls a frame that somebody holds."""
        frame = page_frame(state, pfn)
        if frame.kind == "zero":
            return "hugezero" if frame.large else "zero"
        if frame.kind == "reserved":
            return self.special(pfn)
        known = page_folio(state, pfn) in self.names
        return self.page_name(state, pfn) if known or inside else "outside"


def entries_in_arena(state: State, arena: int) -> Iterator[tuple[tuple[str, int], Pte]]:
    """Every entry of the arena by process and page; one of 2 MiB stands at its first page."""
    for (process, vpn), pte in state.ptes.items():
        if 0 <= vpn - arena < ARENA_PAGES:
            yield (process, vpn), pte
    for (process, level, index), entry in state.tables.items():
        if level == PMD and entry.huge and 0 <= (index << TABLE_SHIFT) - arena < ARENA_PAGES:
            yield (process, index << TABLE_SHIFT), entry


def _in_use(frame: Frame | None) -> bool:
    return frame is not None and frame.kind != "free"


def vma_row(state: State, vma: Vma, outside: dict[int, int], arena: int = ARENA) -> VmaRow:
    """A VMA as the recording shows it, its addresses as page numbers of the scenario."""
    base = arena
    if not 0 <= vma.start - arena < ARENA_PAGES:
        below = max((start for start in outside if start <= vma.start), default=arena)
        base = below - outside.get(below, 0)
    letters = ((VM_READ, "r"), (VM_WRITE, "w"), (VM_EXEC, "x"))
    prot = "".join(letter if vma.flags & flag else "-" for flag, letter in letters)
    share = "s" if vma.flags & VM_MAYSHARE else "p"
    backing, offset = backing_of(state, vma), vma.pgoff if vma.file else 0
    return vma.start - base, vma.end - base, prot + share, backing, offset, " ".join(smaps_codes(vma.flags))


def backing_of(state: State, vma: Vma) -> str | None:
    """What smaps calls the thing that is mapped; None for anonymous memory."""
    if not vma.file:
        return f"[{vma.ops}]" if vma.ops in ("vvar", "vdso") else None
    return SMAPS_NAMES.get(state.files[vma.file].kind, vma.file)


def phys_row(state: State, pfn: int) -> PhysRow | LargePhysRow:
    """A frame's counts, flags and first byte; the kernel itself cannot read secret memory."""
    frame = state.frames[pfn]
    if frame.large:
        return large_phys_row(state, pfn)
    flags = (name for flag, name in PHYS_FLAGS if frame.flags & flag or (not flag and frame.kind == "anon"))
    file = state.files.get(frame.mapping) if frame.kind == "file" else None
    byte = None if file is not None and file.kind == "secretmem" else state.content.get(pfn) or 0
    return frame.refcount, frame.mapcount, " ".join(flags), byte


def large_phys_row(state: State, head: int) -> LargePhysRow:
    """A large folio: what it has as a whole, and of its pages the mapcounts, the marks and the first bytes as runs."""
    frame, folio = state.frames[head], state.folios[head]
    pages = frame.pages
    maps = [[first, length, count + folio.entire] for first, length, count in rows(folio.mapcounts, pages)]
    marks = filled(folio.exclusive, 0, 1, int(frame.exclusive))
    flags = (name for flag, name in PHYS_FLAGS if frame.flags & flag or (not flag and frame.kind == "anon"))
    return {
        "order": frame.order,
        "ref": frame.refcount,
        "pincount": frame.pins,
        "map": maps,
        "flags": " ".join(flags),
        "excl": [list(row) for row in rows(marks, pages)] if frame.kind == "anon" else None,
        "val": [list(row) for row in byte_rows(state, head, pages)],
    }


def byte_rows(state: State, head: int, pages: int) -> Iterator[tuple[int, int, int]]:
    """The first bytes of a folio's pages, as runs."""
    bytes_of: Runs = ()
    for page in range(pages):
        if byte := state.content.get(head + page):
            bytes_of = filled(bytes_of, page, page + 1, byte)
    return rows(bytes_of, pages)


# -- from Look to Look ------------------------------------------------------------------------


def number_of(frame: str) -> tuple[int, int]:
    """`P12.3` → (12, 3): frames in the order of their names."""
    head, _, sub = frame[1:].partition(".")
    return int(head), int(sub.partition("+")[0] or 0)


def delta(before: Observation, after: Observation, freed: Iterable[str]) -> Delta:
    """What a recording says of the way from one Look to the next: what is new or changed, then what is gone."""
    procs: dict[str, ProcessDelta | None] = {}
    for process, vmas in after.vmas.items():
        old, new = before.ptes.get(process, {}), after.ptes[process]
        pages = sorted(page for page in old.keys() | new.keys() if old.get(page) != new.get(page))
        changed = ProcessDelta(
            vmas if vmas != before.vmas.get(process) else None, in_runs({page: new.get(page) for page in pages})
        )
        if changed.vmas is not None or changed.ptes:
            procs[process] = changed
    procs |= dict.fromkeys(process for process in before.vmas if process not in after.vmas)
    names = sorted(before.phys.keys() | after.phys.keys(), key=number_of)
    phys: dict[str, PhysRow | LargePhysRow | None] = {
        name: after.phys[name] for name in names if name in after.phys and after.phys[name] != before.phys.get(name)
    }
    phys |= dict.fromkeys(name for name in names if name not in after.phys)
    pins: dict[str, PinRow | None] = {name: pin for name, pin in after.pins.items() if name not in before.pins}
    pins |= dict.fromkeys(name for name in before.pins if name not in after.pins)
    return Delta(procs, phys, pins, freed_in_runs(freed))


def freed_in_runs(freed: Iterable[str]) -> list[str]:
    """Names of freed frames, in order, with many neighbouring pages of one folio as a run.

    >>> freed_in_runs([*(f"P0.{page}" for page in range(2, 12)), "P1"])
    ['P0.2+10', 'P1']
    """
    runs: list[list[str]] = []
    for name in sorted(freed, key=number_of):
        before = number_of(runs[-1][-1]) if runs else None
        if "." in name and before is not None and (before[0], before[1] + 1) == number_of(name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return [written for run in runs for written in ([f"{run[0]}+{len(run)}"] if len(run) >= SHORTEST_RUN else run)]


def in_runs(rows: dict[int, PteRow | None]) -> dict[str, PteRow | None]:
    """Entries by page, with neighbours that continue each other as runs: `512+100`."""
    runs: list[tuple[int, int, PteRow | None]] = []
    for page, row in rows.items():
        if runs:
            start, length, first = runs[-1]
            if page == start + length and row == in_run(first, length) and (first is None or not _is_small(first[0])):
                runs[-1] = start, length + 1, first
                continue
        runs.append((page, 1, row))
    written: dict[str, PteRow | None] = {}
    for start, length, first in runs:
        if length >= SHORTEST_RUN:
            written[f"{start}+{length}"] = first
        else:
            written |= {str(start + step): in_run(first, step) for step in range(length)}
    return written


def _is_small(frame: str) -> bool:
    """A frame of its own never is part of a run."""
    return frame[0] in "PS" and "." not in frame


def in_run(first: PteRow | None, steps: int) -> PteRow | None:
    """The entry `steps` pages behind the first of a run: sub-pages count up, the rest repeats."""
    if first is None or "." not in first[0]:
        return first
    folio, _, sub = first[0].partition(".")
    return f"{folio}.{int(sub) + steps}", first[1]


def apply(look: Observation, change: Delta) -> None:
    """Bring a Look up to date with a recorded delta."""
    for process, changed in change.procs.items():
        if changed is None:
            look.vmas.pop(process, None)
            look.ptes.pop(process, None)
            continue
        entries = look.ptes.setdefault(process, {})
        look.vmas[process] = look.vmas.get(process, []) if changed.vmas is None else changed.vmas
        for key, row in changed.ptes.items():
            start, _, length = key.partition("+")
            for step in range(int(length or 1)):
                entry = in_run(row, step)
                if entry is None:
                    entries.pop(int(start) + step, None)
                else:
                    entries[int(start) + step] = entry
    for name, phys in change.phys.items():
        if phys is None:
            look.phys.pop(name, None)
        else:
            look.phys[name] = phys
    for name, pin in change.pins.items():
        if pin is None:
            look.pins.pop(name, None)
        else:
            look.pins[name] = pin
