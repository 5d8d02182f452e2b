"""From a change to what must be looked at again: for each kind of subject and each table one route, in O(changes).

Which of the routes are gone follows from what the rules declare (`Rule.reads`). A rule that declares a table from which
no route leads to its subjects is refused when the program starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from model.invariants.grips import Place
from model.invariants.holder_index import Draft
from model.invariants.holders import REFERENCE_KINDS, WEIGHTS, HolderKind
from model.invariants.machine_view import FREE, MachineView
from model.invariants.registry import FRAME_RULES, REFERENCE_RULE, RULES
from model.invariants.rule import FrameRule, LockRule, ReferenceRule, TranslationRule
from model.kernel.drivers.buffer import FILE_PREFIX
from model.memory.buffer_records import Buffer
from model.memory.flags import PAGE_ACCESSED, PAGE_DIRTY, PG_ANON_EXCLUSIVE, PG_HEAD
from model.memory.folio import HUGE_ORDER
from model.memory.leaf import TABLE_SHIFT
from model.memory.ordered import ceiling
from model.memory.record_base import changed_fields, differ, replaced
from model.memory.records import Folio, Frame, Vma
from model.memory.state import TABLES, Change


class RecheckScope:
    """What must be looked at again after some changes."""

    __slots__ = ("draft", "frames_changed", "owners", "pages", "pfns", "places", "retaken", "scene")

    def __init__(self, scene: MachineView, draft: Draft, changes: Iterable[Change]) -> None:
        self.scene = scene
        self.draft = draft
        self.pfns: dict[int, RuleBits] = {}
        """Frames, each with the rules that are to be asked about it."""
        self.frames_changed: dict[int, tuple[Change, list[str]]] = {}
        """What has become of frames themselves, and in which fields."""
        self.places: set[Place] = draft.places
        """Virtual pages whose translation may have changed."""
        self.pages: set[tuple[str, int]] = set()
        """Pages of references: (reference, page)."""
        self.retaken: set[str] = set()
        """References that came, went or changed: what was known about them is void."""
        self.owners: set[int] = set()
        """Frames of which it matters for the TLB entries that lead there who has them now."""
        for pfn, kinds in draft.kinds.items():
            for kind in kinds:
                self.ask(pfn, BY_KIND[kind])
            if "rmap" in kinds:
                self.pages |= draft.references_of(_pages_of(scene, pfn))
        for change in changes:
            for trigger in TRIGGERS.get(change.table, ()):
                if trigger.concerned(change):
                    trigger.route(self, change)

    def ask(self, pfn: int, rules: RuleBits) -> None:
        """Some rules are to be asked about a frame."""
        self.pfns[pfn] = self.pfns.get(pfn, 0) | rules

    def ask_all(self, pfns: Iterable[int], rules: RuleBits) -> None:
        """Some rules are to be asked about some frames."""
        for pfn in pfns:
            self.pfns[pfn] = self.pfns.get(pfn, 0) | rules


RuleBits = int
"""Some of the rules about frames: a bit for each, by its number in FRAME_RULES."""

FOR_SURE: Final[RuleBits] = 1 << len(FRAME_RULES)
"""No rule is one: they are to be asked even if counts and holders have changed alike, or not at all."""

EVERY_RULE: Final[RuleBits] = FOR_SURE | FOR_SURE - 1

FEW_PAGES: Final = 64
"""In so many pages references are looked for page by page, else among all references."""


def _readers(names: Iterable[str], read: Callable[[FrameRule], Iterable[str]]) -> dict[str, RuleBits]:
    """Name → the rules that read what it names."""
    readers = dict.fromkeys(names, 0)
    for number, rule in enumerate(FRAME_RULES.values()):
        for name in read(rule):
            readers[name] |= 1 << number
    return readers


BY_TABLE: Final = _readers((table.name for table in TABLES), lambda rule: rule.reads)
"""Table → the rules about frames that read it."""

BY_FIELD: Final = {
    field: rules
    for field, rules in _readers(Frame.__struct_fields__, lambda rule: rule.reads.get("frames") or ()).items()
    if rules
}
"""Field of a frame → the rules that read it."""

OF_BUFFERS: Final = tuple(
    sorted(
        {
            field
            for rule in FRAME_RULES.values()
            if "buffers" in rule.reads
            for field in rule.reads["buffers"] or Buffer.__struct_fields__
        }
    )
)
"""The fields of a buffer that some rule about frames reads."""

OF_INTEREST: Final = tuple(dict.fromkeys((*BY_FIELD, "kind", "flags", "order")))
"""The fields of a frame that some rule reads, and those that say which pages belong together."""

STANDING_IN: Final[dict[str, tuple[HolderKind, ...]]] = {
    "ptes": ("pte", "special"),
    "tables": ("huge", "huge-special", "shared-huge", "table", "shared-table"),
    "deposits": ("deposit",),
    "rcu": ("rcu",),
    "processes": ("table",),
    "page_cache": ("cache",),
    "references": ("get", "pin", "covered", "loose"),
    "buffers": ("buffer", "borrowed", "borrowed-pin"),
    "tasks": ("task", "task-pin", "rmap"),
}
"""Table → the kinds of holders that stand in it."""

BY_KIND: Final[dict[HolderKind, RuleBits]] = {
    kind: reduce(or_, (BY_TABLE[table] for table, kinds in STANDING_IN.items() if kind in kinds), 0) for kind in WEIGHTS
}
"""Kind of holder → the rules about frames that read the tables where such holders stand."""


TOUCHED: Final = PAGE_ACCESSED | PAGE_DIRTY
"""Bits of an entry on which no translation depends."""

Route = Callable[[RecheckScope, Change], None]


class Trigger(msgspec.Struct, frozen=True):
    """A change of some fields of a table, and the route to what it concerns."""

    fields: tuple[str, ...] | None
    """None: whatever has changed."""
    route: Route

    def concerned(self, change: Change) -> bool:
        """Whether one of the fields has changed, or an entry has come or gone."""
        old, new = change.old, change.new
        if self.fields is None or old is None or new is None:
            return True
        return any(differ(old, new, field) for field in self.fields)


# -- routes --------------------------------------------------------------------------------------


def by_the_index(_scope: RecheckScope, _change: Change) -> None:
    """The index of holders knows already: holders of frames, watchers of places, who owes a flush or holds a lock."""


def frame_itself(scope: RecheckScope, change: Change) -> None:
    """A frame; where a block of pages came or went, or the mark of a huge page changes, all pages of the block."""
    pfn, old, new = change.key, change.old or FREE, change.new or FREE
    fields = changed_fields(old, new, OF_INTEREST)
    scope.frames_changed[pfn] = change, fields
    rules = 0
    for field in fields:
        rules |= BY_FIELD.get(field, 0)
    if rules:
        scope.ask(pfn, rules)
    marked = "flags" in fields and (old.flags ^ new.flags) & (PG_HEAD | PG_ANON_EXCLUSIVE)
    if not marked and "order" not in fields and "kind" not in fields:
        return
    if order := max(old.order, new.order):
        pages: Iterable[int] = range(pfn, pfn + (1 << order))
        if old.large or new.large:  # most of its pages are nobody's but the folio's
            pages = _held_among(scope, pages)
        scope.ask_all(pages, EVERY_RULE)


def pages_of_folio(scope: RecheckScope, change: Change) -> None:
    """The pages of a large folio whose marks have changed, where small entries map them; and the folio itself."""
    old, new = change.old or Folio(), change.new or Folio()
    scope.ask(change.key, BY_TABLE["folios"])
    if old.exclusive != new.exclusive or bool(old.entire) != bool(new.entire):
        ends = [first for first, _ in (*old.mapcounts, *new.mapcounts)]
        end = max(ends, default=0) if change.new is not None else 1 << HUGE_ORDER
        rules = BY_TABLE["folios"] if change.old is not None and change.new is not None else EVERY_RULE
        scope.ask_all(_held_among(scope, range(change.key, change.key + end)), rules)


def frames_of_huge_entry(scope: RecheckScope, change: Change) -> None:
    """The pages of a folio that are pinned, or have small entries besides the one of 2 MiB that has come or gone."""
    holding = scope.scene.holding
    for entry in (change.old, change.new):
        folio = scope.scene.state.folios.get(entry.pfn) if entry is not None and entry.huge else None
        if folio is not None:
            large = holding.large.get(entry.pfn)
            end = max((first for first, _ in folio.mapcounts), default=0)
            pages = range(entry.pfn, entry.pfn + (1 << large.order if large and large.tally.pins else end))
            scope.ask_all(_held_among(scope, pages), BY_TABLE["tables"])


def _held_among(scope: RecheckScope, pages: Iterable[int]) -> list[int]:
    """Those of some pages that somebody holds."""
    held = scope.scene.holding.held
    return [pfn for pfn in pages if held.get(pfn, ())]


def frame_of_key(scope: RecheckScope, change: Change) -> None:
    """The frame that is the entry's key."""
    scope.ask(change.key, BY_TABLE[change.table])


def frames_of_buffer(scope: RecheckScope, change: Change) -> None:
    """The pages of a buffer before and after; where it came or went, also whatever its mappings lead to."""
    if change.old is not None and change.new is not None and not changed_fields(change.old, change.new, OF_BUFFERS):
        return
    for buffer in filter(None, (change.old, change.new)):
        scope.ask_all(buffer.frames, BY_TABLE["buffers"])
        if change.old is None or change.new is None:
            file = scope.scene.state.files.get(buffer.file)
            for process, start in file.i_mmap if file is not None else ():
                vma = scope.scene.state.vmas.get((process, start))
                if vma is not None:
                    scope.ask_all(_mapped_in(scope.scene, process, vma), BY_TABLE["buffers"])


def frames_of_slot(scope: RecheckScope, change: Change) -> None:
    """The page that caches a swap slot."""
    cached = (record.pfn for record in (change.old, change.new) if record is not None and record.pfn >= 0)
    scope.ask_all(cached, BY_TABLE["swap_slots"])


def frames_of_swapped(scope: RecheckScope, change: Change) -> None:
    """The page that caches the slot of a shmem file's page."""
    scope.ask_all(_cached_in(scope.scene, change), BY_TABLE["swapped"])


def frames_of_mapping(scope: RecheckScope, change: Change) -> None:
    """Whatever the entries of a buffer's mapping lead to: for other memory no rule asks what its VMA shows."""
    for vma in filter(None, (change.old, change.new)):
        if vma.file.startswith(FILE_PREFIX):
            scope.ask_all(_mapped_in(scope.scene, change.key[0], vma), BY_TABLE["vmas"])


def every_frame(scope: RecheckScope, _change: Change) -> None:
    """All there are: for `set`, which is no step of a kernel."""
    scope.ask_all(scope.scene.state.frames.keys(), EVERY_RULE)
    scope.ask_all(scope.scene.holding.held.keys(), EVERY_RULE)


def pages_of_frame(scope: RecheckScope, change: Change) -> None:
    """The references that hold the frame which is the key."""
    scope.pages |= scope.draft.references_of([change.key])


def pages_of_cached(scope: RecheckScope, change: Change) -> None:
    """The references on the page that a file had there, and on the one it has: on any page of a large folio."""
    for pfn in (change.old, change.new):
        if pfn is not None:
            scope.pages |= scope.draft.references_of(_pages_of(scope.scene, pfn))


def pages_of_swapped(scope: RecheckScope, change: Change) -> None:
    """The references on the page that caches the slot of a shmem file's page."""
    scope.pages |= scope.draft.references_of(_cached_in(scope.scene, change))


def pages_of_slot(scope: RecheckScope, change: Change) -> None:
    """The references on the page that caches a swap slot."""
    cached = [record.pfn for record in (change.old, change.new) if record is not None and record.pfn >= 0]
    scope.pages |= scope.draft.references_of(cached)


def pages_of_buffer(scope: RecheckScope, change: Change) -> None:
    """The references on the pages of a buffer before and after, and for another file what devices have mapped."""
    old, new = change.old, change.new
    for buffer in filter(None, (old, new)):
        scope.pages |= scope.draft.references_of(buffer.frames)
    if old is None or new is None or old.file != new.file:
        exported = {name for name, dma_buf in scope.scene.state.dma_bufs.items() if dma_buf.buffer == change.key}
        _mapped_of(scope, exported)


def pages_of_dma_buf(scope: RecheckScope, change: Change) -> None:
    """What devices have mapped of a dma-buf."""
    _mapped_of(scope, {change.key})


def pages_itself(scope: RecheckScope, change: Change) -> None:
    """All pages of a reference."""
    scope.retaken.add(change.key)
    if change.new is not None:
        scope.pages |= {(change.key, page) for page in range(len(change.new.frames))}


def pages_taken_in_vma(scope: RecheckScope, change: Change) -> None:
    """What was taken where a VMA is or was; where one has only become longer or shorter, in what came or went."""
    process, old, new = change.key[0], change.old, change.new
    if old is None or new is None or changed_fields(_from_page_zero(old), _from_page_zero(new), OF_VMAS):
        for vma in filter(None, (old, new)):
            _taken_in(scope, process, vma.start, vma.end)
        return
    for one, other in ((old.start, new.start), (old.end, new.end)):
        if one != other:
            _taken_in(scope, process, min(one, other), max(one, other))


def pages_taken_from_process(scope: RecheckScope, change: Change) -> None:
    """Whatever was taken from a process."""
    _taken_in(scope, change.key, 0, 1 << 36)


def pages_under_lock(scope: RecheckScope, change: Change) -> None:
    """Whatever was taken where a page table's entries are locked: one of them may be cleared for the moment.

    Who clears one takes the lock in the step from which he owes a mapping, and the frame's references are known then.
    """
    kind, owner = change.key
    if kind == "ptl" and not any("rmap" in kinds for kinds in scope.draft.kinds.values()):
        process, _, table = owner.rpartition(":")
        _taken_in(scope, process, int(table) << TABLE_SHIFT, (int(table) + 1) << TABLE_SHIFT)


def places_of_huge_entry(scope: RecheckScope, change: Change) -> None:
    """The virtual pages that an entry of 2 MiB maps, where somebody watches them. Who touched it does not matter."""
    old, new = (entry if entry is not None and entry.huge else None for entry in (change.old, change.new))
    if old is not None and new is not None and old.without(TOUCHED) == new.without(TOUCHED):
        return
    if old is not None or new is not None:
        process, _, block = change.key
        watched = scope.scene.holding.watched
        pages = range(block << TABLE_SHIFT, (block + 1) << TABLE_SHIFT)
        scope.places |= {(process, vpn) for vpn in pages if watched.get((process, vpn)) is not None}


def translations_of_frame(scope: RecheckScope, change: Change) -> None:
    """The TLB entries that lead to a frame."""
    scope.owners.add(change.key)


OF_VMAS: Final = REFERENCE_RULE.reads["vmas"] or Vma.__struct_fields__
"""The fields of VMAs on which the verdict about a reference depends."""


def _from_page_zero(vma: Vma) -> Vma:
    """A VMA that shows at each address what this one does, whatever its ends."""
    return replaced(vma, start=0, end=0, pgoff=vma.pgoff - vma.start)


def _taken_in(scope: RecheckScope, process: str, start: int, end: int) -> None:
    """Every reference that was taken in [start, end) of a process, where no entry answers for itself."""
    if end - start <= FEW_PAGES:
        for vpn in range(start, end):
            watchers = scope.scene.holding.watched.get((process, vpn), ())
            scope.pages |= {(one.owner, one.number) for one in watchers if one.kind in REFERENCE_KINDS}
        return
    for name, reference in scope.scene.state.references.items():
        if reference.process == process:
            first, last = max(start, reference.vpn), min(end, reference.vpn + len(reference.frames))
            scope.pages |= {(name, vpn - reference.vpn) for vpn in range(first, last)}


def _mapped_of(scope: RecheckScope, dma_bufs: set[str]) -> None:
    """Every page that devices have mapped of some dma-bufs."""
    for name, reference in scope.scene.state.references.items():
        if reference.dmabuf in dma_bufs:
            scope.pages |= {(name, page) for page in range(len(reference.frames))}


def _mapped_in(scene: MachineView, process: str, vma: Vma) -> Iterator[int]:
    """The frames that the entries in the range of a VMA lead to."""
    state = scene.state
    vpn = ceiling(state.pte_index, process, vma.start)
    while vpn is not None and vpn < vma.end:
        yield state.ptes[process, vpn].pfn
        vpn = ceiling(state.pte_index, process, vpn + 1)
    for block in range(vma.start >> 9, (vma.end - 1 >> 9) + 1):
        entry = state.tables.get((process, 1, block))
        if entry is not None and entry.huge:
            yield entry.pfn


def _pages_of(scene: MachineView, pfn: int) -> Iterable[int]:
    """A page, or those of the large folio that it is the head of that somebody holds."""
    frame = scene.state.frames.get(pfn)
    if frame is None or frame.pages == 1:
        return (pfn,)
    held = scene.holding.held
    return [page for page in range(pfn, pfn + frame.pages) if held.get(page, ())]


def _cached_in(scene: MachineView, change: Change) -> Iterator[int]:
    """The pages that cache the slots of a shmem file's page before and after."""
    for slot in (change.old, change.new):
        record = scene.state.swap_slots.get(slot) if slot is not None else None
        if record is not None and record.pfn >= 0:
            yield record.pfn


ROUTES: Final[dict[type, dict[str, Route]]] = {
    FrameRule: {
        **dict.fromkeys(
            ("ptes", "deposits", "rcu", "processes", "page_cache", "references", "tlbs", "tasks"),
            by_the_index,
        ),
        "tables": frames_of_huge_entry,
        "buffers": frames_of_buffer,
        "frames": frame_itself,
        "folios": pages_of_folio,
        "content": frame_of_key,
        "swap_slots": frames_of_slot,
        "swapped": frames_of_swapped,
        "vmas": frames_of_mapping,
        "settings": every_frame,
    },
    ReferenceRule: {
        "references": pages_itself,
        "ptes": by_the_index,
        "tables": places_of_huge_entry,
        "frames": pages_of_frame,
        "content": pages_of_frame,
        "page_cache": pages_of_cached,
        "swapped": pages_of_swapped,
        "swap_slots": pages_of_slot,
        "buffers": pages_of_buffer,
        "dma_bufs": pages_of_dma_buf,
        "vmas": pages_taken_in_vma,
        "processes": pages_taken_from_process,
        "tasks": by_the_index,
        "locks": pages_under_lock,
    },
    TranslationRule: {
        "ptes": by_the_index,
        "tlbs": by_the_index,
        "tables": places_of_huge_entry,
        "frames": translations_of_frame,
        "tasks": by_the_index,
    },
    LockRule: {"locks": by_the_index, "cpus": by_the_index, "tasks": by_the_index},
}
"""Kind of rule → table → the route from a change of that table to the subjects of such rules."""

MOST_COMPARED: Final = 3
"""If more fields than these matter, comparing them costs more than looking again."""


def _triggers() -> dict[str, tuple[Trigger, ...]]:
    """Table → what must be done after a change of it. ValueError for a rule that would not be looked at in time."""
    fields: dict[tuple[str, Route], set[str] | None] = {}
    for name, rule in RULES.items():
        routes = ROUTES.get(type(rule))
        if routes is None:
            continue  # judged in the step itself
        for table, read in rule.reads.items():
            route = routes.get(table)
            if route is None:
                raise ValueError(
                    f"rule `{name}` reads `{table}`, and nothing says what a change of it concerns: add a route from "
                    f"`{table}` under {type(rule).__name__} in ROUTES of model/invariants/concerns.py"
                )
            known = fields.setdefault((table, route), set())
            fields[table, route] = None if known is None or read is None else known | set(read)
    found: dict[str, list[Trigger]] = {}
    for (table, route), read_fields in fields.items():
        if route is not by_the_index:
            few = read_fields is not None and len(read_fields) <= MOST_COMPARED
            found.setdefault(table, []).append(Trigger(tuple(sorted(read_fields or ())) if few else None, route))
    return {table: tuple(triggers) for table, triggers in found.items()}


TRIGGERS: Final = _triggers()
