"""What is to be drawn: one state, the last move, and what the history adds; looked up once for all that draws it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Final, TypeVar

import msgspec
from rpds import HashTrieMap

from model.invariants.holder_index import Index
from model.kernel.drivers.ttm_pool import POOL
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.folio import FREE, NO_FOLIO, page_folio, page_frame, rest_of
from model.memory.leaf import PMD, TABLE_SHIFT, leaf_entry
from model.memory.ordered import ceiling, floor
from model.memory.records import Folio, Frame, Pte, TlbEntry
from model.memory.runs import run_at
from model.memory.state import Change, State
from tui.views.picture.history import LastStep, Page, Past, idle
from tui.views.shown_state import ShownState

MOST_BELIEVED: Final = 512
"""Pages of one reference that are drawn."""

MOST_COPIED: Final = 128
"""Entries of a table that are worth copying."""


class Belief(msgspec.Struct, frozen=True):
    """Somebody was given a frame for a page, and has not heard of any change."""

    holder: str
    """The subject of who it is."""
    pfn: int


class PictureState:
    """Everything that a drawing is made of."""

    def __init__(
        self,
        scene: ShownState,
        index: Index,
        past: Past,
        last: LastStep = LastStep(),  # noqa: B008 - immutable
        opened: frozenset[Page] = frozenset(),
        *,
        silent: bool = False,
    ) -> None:
        self.scene: Final = scene
        self.state: Final[State] = scene.state
        self.index: Final = index
        self.past: Final = past
        self.last: Final = last
        """What the last micro-step carried and read."""
        self.opened: Final = opened
        """Pages that are not folded."""
        self.silent: Final = silent
        """A question is open: nothing is said of what comes next."""
        self.frames: Final = scene.state.frames
        self.content: Final = small(scene.state.content)
        self.cached_frames: Final = frozenset(index.cached)
        self._standing: dict[Page, bool] = {}
        self._folio: tuple[range, Frame, Folio] = range(0), FREE, NO_FOLIO

    @cached_property
    def before(self) -> dict[Page, Pte | None]:
        """Page → its entry before the last move, where the move changed it."""
        return {change.key: change.old for change in self.scene.changes if change.table == "ptes"}

    @cached_property
    def just_left(self) -> dict[Page, list[int]]:
        """Page → the frames that stood beside it, and that the last move freed or gave back to the pool."""
        found: dict[Page, list[int]] = {}
        for change in self.scene.changes:
            if change.table == "frames" and change.old is not None and change.key in self.past.left:
                was = change.old.kind not in {"free", "pgtable"} and change.old.mapping != POOL
                if was and idle(self.state, self.index, change.key):
                    found.setdefault(self.past.left[change.key], []).append(change.key)
        return found

    @cached_property
    def in_question(self) -> int | None:
        """The frame that a move was about; of one that is free by now, the first that the move took away.

        None: no move was about any, or what the last was about is free, and nothing has just gone.
        """
        pfn = self.past.touched
        if pfn < 0:
            return None
        if page_frame(self.state, pfn).kind != "free":
            return pfn
        return self.just_left[min(self.just_left)][0] if self.just_left else None

    @cached_property
    def forgotten(self) -> dict[str, tuple[int, ...]]:
        """Reference → the frames that it had before the last move, and that it has forgotten or given back."""
        found: dict[str, tuple[int, ...]] = {}
        for change in self.scene.changes:
            if change.table == "references" and change.old is not None:
                now = change.new.frames if change.new is not None else ()
                lost = tuple(pfn for pfn in change.old.frames if pfn != NOT_MAPPED and pfn not in now)
                if lost:
                    found[change.key] = lost
        return found

    @cached_property
    def believed(self) -> dict[Page, list[Belief]]:
        """Page → the references that were taken there."""
        found: dict[Page, list[Belief]] = {}
        for name, reference in sorted(self.state.references.items()):
            if not reference.process:
                continue
            for number, pfn in enumerate(islice(reference.frames, MOST_BELIEVED)):
                if pfn != NOT_MAPPED:
                    page = reference.process, reference.vpn + number
                    found.setdefault(page, []).append(Belief(f"ref:{name}", pfn))
        return found

    @cached_property
    def cached(self) -> dict[Page, list[tuple[int, TlbEntry]]]:
        """Page → what CPUs have cached for it."""
        found: dict[Page, list[tuple[int, TlbEntry]]] = {}
        for cpu, entries in sorted(self.state.tlbs.items()):
            for entry in entries or ():
                found.setdefault((entry.process, entry.vpn), []).append((cpu, entry))
        return found

    @cached_property
    def changed(self) -> dict[int, list[Change]]:
        """Frame → what the last move changed of it and of its byte."""
        found: dict[int, list[Change]] = {}
        for change in self.scene.changes:
            if change.table in {"frames", "content"}:
                found.setdefault(change.key, []).append(change)
        return found

    @cached_property
    def noted(self) -> dict[int, tuple[str | None, str | None]]:
        """Frame → what the last move did to it, and how bad it is; only where there is anything to say."""
        marks, broken = self.scene.marks, self.scene.broken
        subjects = (subject for subject in {*marks, *broken} if subject.startswith("frame:"))
        return {int(subject[6:]): (marks.get(subject), broken.get(subject)) for subject in subjects}

    def page(self, pfn: int) -> tuple[Frame, int]:
        """The record of a page's folio, and how many entries map the page. Neighbours are asked for in a row."""
        frame = self.frames.get(pfn)
        if frame is not None and not frame.large:
            return frame, frame.mapcount
        pages, whole, rest = self._folio
        if pfn not in pages:
            head = page_folio(self.state, pfn)
            whole = self.frames.get(head) or FREE
            pages, rest = range(head, head + whole.pages), rest_of(self.state, head)
            self._folio = pages, whole, rest
        return whole, rest.entire + run_at(rest.mapcounts, pfn - pages.start)

    @cached_property
    def special(self) -> dict[str, list[int]]:
        """Process → pages at which there may be something to draw although they have no entry, in order."""
        found: dict[str, set[int]] = {}
        for pages in (self.before, self.believed, self.cached, self.past.slots, self.opened):
            for process, vpn in pages:
                found.setdefault(process, set()).add(vpn)
        return {process: sorted(vpns) for process, vpns in found.items()}

    def entry(self, page: Page) -> Pte | None:
        """The entry that maps a page: that a walk from the PGD comes to."""
        return leaf_entry(self.state, *page) if self.walk_comes_to(page) else None

    def left_over(self, page: Page) -> Pte | None:
        """The entry of a page in a table that was taken out as it is: only who is in there already still reads it."""
        return None if self.walk_comes_to(page) else self.state.ptes.get(page)

    def walk_comes_to(self, page: Page) -> bool:
        """Whether the table that has the entry of a page hangs where a walk finds it."""
        return not self.taken_out or (page[0], page[1] >> TABLE_SHIFT) not in self.taken_out

    @cached_property
    def taken_out(self) -> frozenset[tuple[str, int]]:
        """Process and block of 512 pages: tables that have entries, and that no PMD leads to. O(tables)."""
        found = set()
        for process in self.state.processes:
            vpn = ceiling(self.state.pte_index, process, 0)
            while vpn is not None:
                block = vpn >> TABLE_SHIFT
                if (process, PMD, block) not in self.state.tables:
                    found.add((process, block))
                vpn = ceiling(self.state.pte_index, process, (block + 1) << TABLE_SHIFT)
        return frozenset(found)

    def stale(self, page: Page) -> list[tuple[int, TlbEntry]]:
        """What CPUs have cached for a page that the page table no longer says."""
        entry = self.entry(page)
        return [(cpu, cached) for cpu, cached in self.cached.get(page, ()) if _parted(cached.pte, entry)]

    def agreeing(self, page: Page) -> list[int]:
        """The CPUs that have cached what the page table says."""
        entry = self.entry(page)
        return [cpu for cpu, cached in self.cached.get(page, ()) if not _parted(cached.pte, entry)]

    def covered(self, page: Page) -> bool:
        """Whether a VMA has the page."""
        start = floor(self.state.vma_index, *page)
        return start is not None and page[1] < self.state.vmas[page[0], start].end

    def led_elsewhere(self, process: str, first: int, stop: int) -> list[int]:
        """The pages in [first, stop) that may lead elsewhere than they did or than somebody believes, in order."""
        special = self.special.get(process, [])
        found = special[bisect_left(special, first) : bisect_left(special, stop)]
        if any(owner == process for owner, _ in self.taken_out):
            index, vpn = self.state.pte_index, ceiling(self.state.pte_index, process, first)
            left = []
            while vpn is not None and vpn < stop:
                left.append(vpn)
                vpn = ceiling(index, process, vpn + 1)
            found = sorted({*found, *left})
        return found

    def outside(self, process: str) -> Iterator[int]:
        """The pages among the special ones that no VMA has, in order. O(VMAs and such pages)."""
        special, at = self.special.get(process, []), 0
        while at < len(special):
            start = floor(self.state.vma_index, process, special[at])
            end = 0 if start is None else self.state.vmas[process, start].end
            if special[at] < end:
                at = bisect_left(special, end, at)
            else:
                yield special[at]
                at += 1

    def stands(self, page: Page) -> bool:
        """Whether the page is drawn, so that a frame can stand beside it: it exists, or somebody believes in it."""
        known = self._standing.get(page)
        if known is None:
            known = page in self.believed or page in self.cached or self.covered(page)
            self._standing[page] = known
        return known


K = TypeVar("K")
V = TypeVar("V")


def small(table: HashTrieMap[K, V]) -> Mapping[K, V]:
    """The same as a dict where it has few entries: that is asked hundreds of times a drawing."""
    return dict(table.items()) if len(table) <= MOST_COPIED else table


def _parted(cached: Pte, entry: Pte | None) -> bool:
    """Whether a cached translation allows what the page table no longer does."""
    if entry is None or not entry.present:
        return True
    return cached.pfn != entry.pfn or (cached.writable and not entry.writable)
