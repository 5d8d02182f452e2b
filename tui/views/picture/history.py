"""What the drawing takes from the history: where each frame stands, whose it was, since when it is held.

A frame stands beside the page that first mapped it, and stays there as long as it is used or somebody still holds it:
so no box jumps from step to step, and going back shows the very same drawing. What is known at a node follows from
what is known at its parent and from what its step changed, and is kept with the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace
from rpds import HashTrieMap

from model.invariants.holder_index import Index
from model.invariants.holders import Crowd, Holder, members
from model.kernel.drivers.ttm_pool import POOL
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.mm.physical import VRAM_BASE
from model.memory.events import Access, Copied
from model.memory.folio import folio_of, page_folio, page_frame
from model.memory.records import Frame, Pte
from model.memory.state import Change, State
from model.memory.tasks import Task
from model.session.timeline import Node, Timeline

Page = tuple[str, int]
"""A virtual page: process and vpn."""
HOLE = -1
"""A place beside a page that a frame has left: those below stay where they are."""
BLOCK = 512
"""Pages of 2 MiB."""


class Past(msgspec.Struct, frozen=True):
    """What is known of the history at one node. Persistent maps: a node shares with its parent what did not change."""

    home: HashTrieMap[int, Page] = HashTrieMap()
    """pfn → the page beside which it stands."""
    slots: HashTrieMap[Page, tuple[int, ...]] = HashTrieMap()
    """Page → the frames beside it, in the order in which they came, with HOLEs."""
    owners: HashTrieMap[int, str] = HashTrieMap()
    """pfn → its last owner, in a word."""
    since: HashTrieMap[tuple[int, Holder], int] = HashTrieMap()
    """(pfn, holder) → the step, counted from the history's start, with which it came to hold the frame."""
    hues: HashTrieMap[str, int] = HashTrieMap()
    """Process, file or buffer → the number of its colour, in the order in which they came."""
    left: HashTrieMap[int, Page] = HashTrieMap()
    """pfn → the page beside which it stood last, of one that stands nowhere now."""
    lives: HashTrieMap[int, int] = HashTrieMap()
    """pfn → how often it has been handed out again: what was said of it before is of another page."""
    copies: HashTrieMap[int, tuple[int, int]] = HashTrieMap()
    """pfn → the frame that it was copied from, and in which of its lives that was."""
    touched: int = HOLE
    """The frame that a step last was about; HOLE for none."""

    def same(self, other: Past) -> bool:
        """Whether both are made of the very same maps."""
        return all(getattr(self, part) is getattr(other, part) for part in self.__struct_fields__)

    def settle(self, pfn: int, page: Page) -> Past:
        """The frame stands beside the page from now on."""
        slots = list(self.slots.get(page, ()))
        if HOLE in slots:
            slots[slots.index(HOLE)] = pfn
        else:
            slots.append(pfn)
        return replace(self, home=self.home.insert(pfn, page), slots=self.slots.insert(page, tuple(slots)))

    def leave(self, pfn: int) -> Past:
        """The frame stands nowhere any more."""
        page = self.home[pfn]
        slots = [HOLE if there == pfn else there for there in self.slots[page]]
        while slots and slots[-1] == HOLE:
            slots.pop()
        rest = self.slots.insert(page, tuple(slots)) if slots else self.slots.discard(page)
        return replace(self, home=self.home.discard(pfn), slots=rest, left=self.left.insert(pfn, page))

    def source(self, pfn: int) -> int | None:
        """The frame that a frame was copied from, as long as that one is still what it was."""
        source, life = self.copies.get(pfn) or (HOLE, 0)
        return source if source != HOLE and self.lives.get(source, 0) == life else None


class LastStep(msgspec.Struct, frozen=True):
    """What the micro-step that led to a node did and left no record of."""

    accesses: tuple[Access, ...] = ()
    """The bytes that it carried."""
    walked: Page | None = None
    """The page whose entry it read, where it is one step of a walk …"""
    level: int = 0
    """… and the level of the page table: 3 = PGD … 0 = PTE."""


class History:
    """The past of each node of a timeline, made once a node."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._known: dict[int, Past] = {}

    def at(self, node: Node) -> Past:
        """What is known at a node. O(changes) for each node on the way that was not asked for before."""
        unknown = []
        while node.number not in self._known:
            unknown.append(node)
            if node.parent < 0:
                break
            node = self.timeline.nodes[node.parent]
        while unknown:
            later = unknown.pop()
            if later.parent < 0:
                past = first(later)
            else:
                past = advanced(self._known[later.parent], self.timeline.nodes[later.parent], later)
            self._known[later.number] = past
            node = later
        return self._known[node.number]

    def last_step(self, node: Node) -> LastStep:
        """What the step to a node carried and read."""
        stepped = node.stepped
        if stepped is None or node.parent < 0:
            return LastStep()
        accesses = tuple(event for event in stepped.events if isinstance(event, Access))
        task = self.timeline.nodes[node.parent].state.tasks.get(stepped.task)
        call: Any = task.stack[-1] if task is not None and task.stack else None
        steps = getattr(call, "steps", ())
        level = next((micro.level for micro in steps if micro.name == stepped.step), None)
        if level is None or call.function != stepped.procedure:
            return LastStep(accesses)
        return LastStep(accesses, (call.mm, call.vpn), level)


def first(node: Node) -> Past:
    """The past of a history's first node: what stands is taken to have come in the order of the pages."""
    state, index = node.state, node.checker.scene.holding
    past = Past()
    for name, _ in sorted(state.processes.items(), key=lambda each: (each[1].pid, each[0])):
        past = _coloured(past, name)
    for name in sorted((*state.files, *state.buffers)):
        past = _coloured(past, name)
    pages = sorted((key, pte.pfn) for key, pte in state.ptes.items() if pte.present)
    blocks = sorted(((key[0], key[2] * BLOCK), entry.pfn) for key, entry in state.tables.items() if entry.huge)
    for page, pfn in (*pages, *blocks):
        if pfn not in past.home and pfn < VRAM_BASE:
            past = past.settle(pfn, page)
    owners, since = past.owners, past.since
    for pfn in {*past.home, *index.pfns}:
        owner = owner_of(state, index, pfn)
        owners = owners.insert(pfn, owner) if owner else owners
        for holder in _members(index, pfn):
            since = since.insert((pfn, holder), node.depth)
    return replace(past, owners=owners, since=since)


def advanced(past: Past, before: Node, node: Node) -> Past:
    """The past one step later."""
    task = node.stepped.task if node.stepped is not None else ""
    old_task, new_task = before.state.tasks.get(task), node.state.tasks.get(task)
    owned = () if old_task is new_task else (*_owned(old_task), *_owned(new_task))
    if not node.changes and not owned and not (node.stepped and node.stepped.events):
        return past  # nearly every second step moves its task on, and nothing else
    earlier = past
    held, was = node.checker.scene.holding, before.checker.scene.holding
    pfns = dict.fromkeys(_touched(node.changes))
    pfns.update(dict.fromkeys(owned))
    for pfn in pfns:
        if pfn in past.home and idle(node.state, held, pfn):
            past = past.leave(pfn)
    for page, pfn in _arrivals(node.changes):
        if pfn not in past.home:
            past = past.settle(pfn, _with_its_folio(node.state, past, pfn) or page)
    for change in node.changes:
        if change.table in {"processes", "files", "buffers"} and change.old is None:
            past = _coloured(past, change.key)
    owners, since = past.owners, past.since
    for pfn in pfns:
        owner = owner_of(node.state, held, pfn)
        if owner and owners.get(pfn) != owner:
            owners = owners.insert(pfn, owner)
        if held.held.get(pfn) is not was.held.get(pfn) or held.cached.get(pfn) is not was.cached.get(pfn):
            then, now = set(_members(was, pfn)), set(_members(held, pfn))
            for holder in then - now:
                since = since.discard((pfn, holder))
            for holder in now - then:
                since = since.insert((pfn, holder), node.depth)
    past = _copied(past, node)
    after = replace(past, owners=owners, since=since, touched=_subject(node, past.touched))
    return earlier if earlier.same(after) else after


def _with_its_folio(state: State, past: Past, pfn: int) -> Page | None:
    """A page of a large folio stands where it stood when the whole folio was mapped; None for any other page."""
    head = page_folio(state, pfn)
    home = past.home.get(head) if head != pfn else None
    return None if home is None else (home[0], home[1] + pfn - head)


def _copied(past: Past, node: Node) -> Past:
    """Which frames have been handed out, and which are a copy of which."""
    lives, copies = past.lives, past.copies
    for table, pfn, old, new in node.changes:
        if table != "frames" or new is None or new.kind == "free" or new.mapping == POOL:
            continue
        if _use(old) != _use(new):
            lives, copies = lives.insert(pfn, lives.get(pfn, 0) + 1), copies.discard(pfn)
    for event in node.stepped.events if node.stepped is not None else ():
        if isinstance(event, Copied):
            for pfn, source in zip(event.frames, event.sources, strict=False):
                copies = copies.insert(pfn, (source, lives.get(source, 0)))
    return replace(past, lives=lives, copies=copies)


def _use(frame: Frame | None) -> tuple[object, ...]:
    """What a frame is used for; an anonymous page is so from its allocation on, whatever maps it later."""
    if frame is None:
        return ("free",)
    return (frame.kind,) if frame.kind in {"free", "anon"} else (frame.kind, frame.mapping, frame.index)


def _subject(node: Node, otherwise: int) -> int:
    """The frame that a step was about: whose byte it carried, else the last whose count or mapping it changed."""
    for event in node.stepped.events if node.stepped is not None else ():
        if isinstance(event, Access):
            return event.pfn
    found = otherwise
    for table, key, _, new in node.changes:
        if table in {"frames", "content"}:
            frame = node.state.frames.get(key)
            if frame is not None and frame.kind not in {"pgtable", "free"}:
                found = key
        elif table == "ptes" and new is not None and new.present:
            found = new.pfn
    return found


def _members(index: Index, pfn: int) -> Iterable[Holder]:
    """The holders of a frame; none where they are a crowd, such as those of the zero page."""
    held = index.holders(pfn)
    return () if isinstance(held, Crowd) else members(held)


def idle(state: State, index: Index, pfn: int) -> bool:
    """Free, or in the pool, and nobody holds it or believes in it: such a frame has its place with its kind."""
    frame = folio_of(state, pfn)
    return (frame.kind == "free" or frame.mapping == POOL) and not index.holders(pfn)


def _coloured(past: Past, name: str) -> Past:
    """With a colour for a new owner."""
    return past if name in past.hues else replace(past, hues=past.hues.insert(name, len(past.hues)))


def _touched(changes: Iterable[Change]) -> Iterator[int]:
    """The frames that the changes are about."""
    for table, key, old, new in changes:
        match table:
            case "ptes" | "tables":
                yield from (entry.pfn for entry in (old, new) if entry is not None and entry.kind == "page")
            case "frames":
                yield key
            case "page_cache":
                yield from (pfn for pfn in (old, new) if pfn is not None)
            case "references" | "buffers":
                yield from (pfn for one in (old, new) if one is not None for pfn in one.frames if pfn != NOT_MAPPED)
            case "tlbs":
                yield from (entry.pte.pfn for entry in {*(old or ())} ^ {*(new or ())})
            case "processes":
                yield from (one.pgd for one in (old, new) if one is not None)


def _arrivals(changes: Iterable[Change]) -> Iterator[tuple[Page, int]]:
    """Pages that have a new entry, and the frames to which it leads; video memory has its own place."""
    for table, key, _, new in changes:
        if not isinstance(new, Pte):
            continue
        if table == "ptes" and new.present:
            page = key
        elif table == "tables" and new.huge:
            page = key[0], key[2] * BLOCK
        else:
            continue
        if new.pfn < VRAM_BASE:
            yield page, new.pfn


def _owned(task: Task | None) -> Iterator[int]:
    """The frames of which a task has references."""
    for call in task.stack if task is not None else ():
        yield from (*call.holds, *call.pins)


def owner_of(state: State, index: Index, pfn: int) -> str:
    """Whose frame it is by now, in a word; empty for nobody's."""
    frame = folio_of(state, pfn)
    match frame.kind:
        case "free" | "pgtable":
            return ""
        case "anon":
            users = {holder.owner for holder in _members(index, pfn) if holder.kind in {"pte", "huge", "shared-huge"}}
            return "+".join(sorted(users))
        case "zero":
            return "zero"
        case "buffer" | "vram":
            return "" if frame.mapping == POOL else frame.mapping.removeprefix("bo:")
        case _:
            return f"{frame.mapping}[{page_frame(state, pfn).index}]" if frame.mapping else ""
