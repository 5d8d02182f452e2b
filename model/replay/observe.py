"""What the recorder would see of a State: VMAs, page tables, frames and pins, in the recordings' format.

Frames have no numbers in a recording but names, given in the order in which they first appear; an `Observer` gives
them. An `Observation` is one complete observation, the model's or the kernel's; deltas lead from one to the next.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

import msgspec

from model.memory.flags import (
    PAGE_POISONED,
    PAGE_PSE,
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
)
from model.memory.folio import page_folio, page_frame
from model.memory.leaf import PMD, TABLE_SHIFT
from model.memory.records import Frame, Pte
from model.memory.runs import rows
from model.memory.state import Change, State
from model.replay.observed_rows import phys_row, vma_row
from model.replay.recording import (
    ARENA,
    ARENA_PAGES,
    LargePhysRow,
    PhysRow,
    PinRow,
    PteRow,
    VmaRow,
)


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
        for table, pfn, old, new in changes:
            if table == "frames" and old is not None and old.large and pfn in self.names and not (new and new.large):
                small = {key for where, key, _, now in changes if where == "frames" and _in_use(now)}
                self.split(range(pfn, pfn + old.pages), small)
        for table, pfn, old, new in changes:
            if table == "frames" and _in_use(old) and not _in_use(new) and pfn in self.names:
                self.freed.append(self.names.pop(pfn))

    def split(self, pages: range, small: set[int]) -> None:
        """A folio is no more. If its pages are small ones now, each has the name that it had as a part of the folio."""
        head = pages.start
        if head in small:
            folio = self.names.pop(head)
            for pfn in pages:
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
        head = page_folio(state, pte.pfn)
        if head not in folios:
            folios[head] = self.mapped_folio(state, head)
        folio = folios[head]
        return self.pte_row(state, pte) if folio is None else folio.row(pte)

    def mapped_folio(self, state: State, head: int) -> MappedFolio | None:
        """The large folio that begins at a frame, or None."""
        frame, folio = state.frames.get(head), state.folios.get(head)
        if frame is None or folio is None or frame.kind == "zero" or not frame.large:
            return None
        counts = [
            count + folio.entire for _, length, count in rows(folio.mapcounts, frame.pages) for _ in range(length)
        ]
        return MappedFolio(head, self.name(head), frame.kind != "anon", counts)

    def pte_row(self, state: State, pte: Pte) -> PteRow:
        """Frame and flags of one entry: `w d x f n u s H e`."""
        frame = page_frame(state, pte.pfn)
        if not pte.present:
            exclusive = pte.kind == "swap" and pte.bits & PAGE_SWP_EXCLUSIVE
            return self.frame_name(state, pte), "e" if exclusive else "H" if pte.huge else ""
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
                return (
                    "uffd-wp-marker" if pte.bits & PAGE_UFFD_WP else "poison" if pte.bits & PAGE_POISONED else "guard"
                )
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
    """Every entry of the arena by process and page; one of 2 MiB stands at its first page.

    The poison marker of a huge page is told apart from that of a small one: no file of the kernel shows it.
    """
    for (process, vpn), pte in state.ptes.items():
        if 0 <= vpn - arena < ARENA_PAGES:
            yield (process, vpn), pte
    for (process, level, index), entry in state.tables.items():
        if (
            level == PMD
            and (entry.huge or entry.kind == "marker")
            and 0 <= (index << TABLE_SHIFT) - arena < ARENA_PAGES
        ):
            yield (process, index << TABLE_SHIFT), entry.with_bits(PAGE_PSE) if entry.bits & PAGE_POISONED else entry


def _in_use(frame: Frame | None) -> bool:
    return frame is not None and frame.kind != "free"
