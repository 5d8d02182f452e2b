"""The ledger of one frame: who holds which unit of its count, since which step, and what they believe."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from lessons.i18n.language import tr
from model.invariants.holders import Holder, some
from model.kernel.drivers.buffer import own_file
from model.kernel.mm.physical import BAR_BASE
from model.memory.folio import page_folio, page_frame
from model.memory.records import Frame, Reference
from tui.views.markdown import wrap
from tui.views.picture.history import owner_of
from tui.views.picture.holders import holding_call
from tui.views.picture.legend import in_ascii, sign
from tui.views.picture.owners import hue
from tui.views.picture.picture_state import PictureState
from tui.views.picture.units import Unit, counted, units
from tui.views.row import Row, Span, cut, row
from tui.views.shown_state import frame_name, place

WHO: Final = 20, 26
"""Columns of a holder's name, at least and at most."""
BELOW: Final = 11
"""Columns before what has no room beside a holder."""
MOST: Final = 40
"""Units that are listed."""


class LedgerLine(msgspec.Struct, frozen=True):
    """One line of the ledger."""

    token: str
    weight: int
    who: str
    role: str
    subject: str
    since: str
    told: str
    doubt: bool
    """What it believes is no longer so."""
    times: int = 1
    """How many units like this one: neighbouring pages, or one holder with many."""


def ledger(drawn: PictureState, pfn: int | None, width: int, start: int = 0) -> list[Row]:
    """The ledger of a frame, None: of no frame. Steps are counted from `start`, where the scene began."""
    if pfn is not None and page_frame(drawn.state, pfn).large:
        pfn = page_folio(drawn.state, pfn)
    if pfn is None:
        return [row(Span(f" {tr('Point at a frame, or at a line that leads to one.')}", "dim"))]
    entries = list(_folded(drawn, _entries(drawn, pfn, start)))
    rows = [_head(drawn, pfn, width)]
    who = min(max((len(entry.who) for entry in entries[:MOST]), default=0), WHO[1])
    who = max(who, WHO[0])
    rows += [line for entry in entries[:MOST] for line in _lines(entry, who, width)]
    if len(entries) > MOST:
        rows.append(row(Span(f"   {tr('and {count} more').format(count=len(entries) - MOST)}", "dim")))
    rows += _sum(drawn, pfn, entries, width)
    return rows if drawn.scene.glyphs.bar == "│" else in_ascii(rows)


def _head(drawn: PictureState, pfn: int, width: int) -> Row:
    """Which frame it is, and what."""
    frame = page_frame(drawn.state, pfn)
    owner = owner_of(drawn.state, drawn.index, pfn)
    was = drawn.past.owners.get(pfn, "")
    whose = f"{tr('of')} {owner}" if owner else tr("once of {owner}").format(owner=was) if was else ""
    if frame.kind == "zero":
        kind = tr("the page of zeros, shared by all")
    else:
        kind = f"{tr('device memory') if pfn >= BAR_BASE else frame.kind} {whose}"
    large = f", {tr('a folio of {pages} pages').format(pages=frame.pages)}" if frame.large else ""
    text = f" {frame_name(drawn.state, pfn)}  {kind}".rstrip() + large
    source = drawn.past.source(pfn)
    if source is not None:
        text += f", {tr('made as a copy of {frame}').format(frame=frame_name(drawn.state, source))}"
    return row(Span(cut(text, width), hue(drawn.past, owner), f"frame:{pfn}"))


def _lines(entry: LedgerLine, who: int, width: int) -> Iterator[Row]:
    """One unit; what its holder believes stands below it where it has no room beside it."""
    head = f" {sign(entry.token)} {entry.weight:>5}  {cut(entry.who, who):<{who}} {entry.since:<9}"
    told = Span(entry.told, "hazard" if entry.doubt else "plain", entry.subject)
    if len(head) + len(told.text) <= width:
        yield row(Span(head, entry.role, entry.subject), told)
        return
    yield row(Span(head[:width].rstrip(), entry.role, entry.subject))
    yield row(Span(" " * BELOW), replace(told, text=cut(told.text, width - BELOW)))


def _folded(drawn: PictureState, entries: Iterable[tuple[LedgerLine, Holder | None]]) -> Iterator[LedgerLine]:
    """Units that differ by nothing but the page as one line: entries of neighbouring pages, a task that has many."""
    line: LedgerLine | None = None
    first: Holder | None = None
    last: Holder | None = None
    for new, holder in entries:
        if line is not None and _alike(line, new) and _goes_on(last, holder):
            line = replace(line, weight=line.weight + new.weight, times=line.times + 1)
        else:
            if line is not None:
                yield _named(drawn, line, first, last)
            line, first = new, holder
        last = holder
    if line is not None:
        yield _named(drawn, line, first, last)


def _alike(one: LedgerLine, other: LedgerLine) -> bool:
    """Whether two lines say the same, but for the page."""
    return (one.token, one.since, one.told, one.doubt) == (other.token, other.since, other.told, other.doubt)


def _goes_on(before: Holder | None, holder: Holder | None) -> bool:
    """Whether a holder is the same one, or has the entry of the next page."""
    if before is None or holder is None:
        return before is holder
    if (before.kind, before.owner) != (holder.kind, holder.owner):
        return False
    return holder.kind in _OF_TASKS or (holder.kind in _ENTRIES and holder.number == before.number + 1)


def _named(drawn: PictureState, line: LedgerLine, first: Holder | None, last: Holder | None) -> LedgerLine:
    """With the range of its pages.

    The name ends as that of the last page does: `PTE p0:buf+9..63`.
    """
    if first is None or last is None or first.number == last.number or first.kind not in _ENTRIES:
        return line
    return replace(line, who=f"{line.who}..{re.split('[+@]', place(drawn.state, last.owner, last.number))[-1]}")


def _entries(drawn: PictureState, pfn: int, start: int) -> Iterator[tuple[LedgerLine, Holder | None]]:
    """Every unit of the count, then whoever knows the frame without having one; each with its holder."""
    frame = page_frame(drawn.state, pfn)
    found = units(drawn.state, drawn.index, pfn)
    for unit in found:
        line = _ownerless(unit, frame) if unit.holder is None else _holder(drawn, pfn, unit, start)
        yield line, unit.holder
    with_units = {unit.holder for unit in found}
    for holder in some(drawn.index.holders(pfn)):
        if holder not in with_units and holder.kind not in {"rmap", "buffer"}:
            yield _holder(drawn, pfn, Unit(_TOKENS.get(holder.kind, "loose"), 0, holder), start), holder


_ENTRIES: Final = {"pte", "special"}
_OF_TASKS: Final = {"task", "task-pin"}
_TOKENS: Final = {
    "special": "special",
    "huge": "special",
    "huge-special": "special",
    "shared-huge": "special",
    "pte": "counted",
}


def _ownerless(unit: Unit, frame: Frame) -> LedgerLine:
    """A unit that is not a holder's: the page's owner, nobody, or one that is missing."""
    match unit.token:
        case "driver":
            name = frame.mapping.removeprefix("bo:")
            whose = tr("the pool") if name == "ttm_pool" else tr("buffer {name}").format(name=name)
            return LedgerLine("driver", 1, whose, "plain", "", "", tr("goes when its driver says so"), doubt=False)
        case "cache":
            return LedgerLine("cache", 1, tr("swap cache or filesystem"), "plain", "", "", "", doubt=False)
        case "nobody":
            return LedgerLine("nobody", 1, tr("nobody"), "hazard", "", "", tr("never given back"), doubt=True)
        case _:
            lost = tr("a holder without a unit")
            return LedgerLine("missing", -1, lost, "corruption", "", "", tr("freed too early"), doubt=True)


def _holder(drawn: PictureState, pfn: int, unit: Unit, start: int) -> LedgerLine:
    """A holder's unit."""
    holder = unit.holder
    assert holder is not None
    pfn = _held_page(drawn, pfn, holder)
    step = drawn.past.since.get((pfn, holder))
    since = "" if step is None else tr("step {step}").format(step=step - start) if step > start else tr("start")
    who, told, doubt = _who(drawn, pfn, holder)
    owner = holder.owner
    if holder.kind in {"get", "pin", "loose"}:
        reference = drawn.state.references[owner]
        owner = reference.buffer or reference.process
    return LedgerLine(unit.token, unit.weight, who, hue(drawn.past, owner), holder.subject, since, told, doubt)


def _held_page(drawn: PictureState, pfn: int, holder: Holder) -> int:
    """The very page that is held: of a large folio, whose one count this is, any."""
    match holder.kind:
        case "pte" | "special":
            entry = drawn.state.ptes.get((holder.owner, holder.number))
            return pfn if entry is None else entry.pfn
        case "get" | "pin" | "loose":
            return drawn.state.references[holder.owner].frames[holder.number]
        case _:
            return pfn


def _who(drawn: PictureState, pfn: int, holder: Holder) -> tuple[str, str, bool]:
    """Its name, what it believes, and whether that is no longer so."""
    state = drawn.state
    match holder.kind:
        case "pte" | "special":
            entry = state.ptes.get((holder.owner, holder.number))
            told = "" if entry is None else tr("may write") if entry.writable else tr("may only read")
            return f"PTE {holder.owner}:{place(state, holder.owner, holder.number)}", told, False
        case "huge" | "huge-special" | "shared-huge":
            return f"PMD {holder.owner}:{holder.number * 512}", tr("maps 2 MiB"), False
        case "cache":
            return f"{tr('page cache')} {holder.owner}[{holder.number}]", "", False
        case "get" | "pin" | "loose":
            return _reference(drawn, pfn, holder, state.references[holder.owner])
        case "task" | "task-pin":
            task = state.tasks.get(holder.owner)
            return f"{tr('task')} {holder.owner}", holding_call(task) if task is not None else "", False
        case "tlb":
            return _cached(drawn, pfn, holder)
        case "borrowed" | "borrowed-pin":
            buffer = state.buffers[holder.owner]
            told = tr("borrowed from its memfd") if buffer.memfd and buffer.memfd != own_file(holder.owner) else ""
            return f"{buffer.exporter} {holder.owner}", told, False
        case _:
            return f"{holder.kind} {holder.owner}", "", False


def _reference(drawn: PictureState, pfn: int, holder: Holder, reference: Reference) -> tuple[str, str, bool]:
    """A reference: for whom, and whether its page still leads here."""
    who = f"{reference.kind} {holder.owner} {tr('of')} {reference.by or tr('the kernel')}"
    if not reference.process:
        return who, reference.dmabuf and f"dma-buf {reference.dmabuf}", False
    page = (reference.process, reference.vpn + holder.number)
    name = f"{page[0]}:{place(drawn.state, *page)}"
    entry = drawn.entry(page)
    if entry is not None and entry.kind == "page" and entry.pfn == pfn:
        return who, tr("taken at {page}, still leads here").format(page=name), False
    if not drawn.covered(page):
        now = tr("gone")
    elif entry is None:
        now = tr("empty")
    else:
        now = frame_name(drawn.state, entry.pfn) if entry.present else tr("not present")
    return who, tr("believes {page}, which is {now} now").format(page=name, now=now), True


def _cached(drawn: PictureState, pfn: int, holder: Holder) -> tuple[str, str, bool]:
    """A TLB entry."""
    page = (holder.owner, holder.number)
    stale = any(cpu == holder.level and cached.pte.pfn == pfn for cpu, cached in drawn.stale(page))
    name = f"{page[0]}:{place(drawn.state, *page)}"
    told = tr("the page table says so no longer") if stale else ""
    return f"TLB cpu{holder.level} {name}", told, stale


def _sum(drawn: PictureState, pfn: int, entries: list[LedgerLine], width: int) -> Iterator[Row]:
    """The count, and when the frame would be freed."""
    frame = page_frame(drawn.state, pfn)
    yield row(Span("   ─────", "dim"))
    if frame.kind == "free":
        told = tr("free: whoever allocates next may get it")
    elif frame.kind == "vram":
        told = tr("memory of a device has no struct page, and nothing to count")
    elif not counted(frame):
        told = tr("nobody counts references to this page")
    else:
        told = _fate(frame, [entry for entry in entries if entry.weight])
    count = str(frame.refcount) if counted(frame) else "-"
    subject, lead = f"frame:{pfn}", f" = {count:>5}  "
    for line in wrap([Span(told, "strong", subject)], width - len(lead)):
        yield Row((Span(lead, "strong", subject), *line.spans))
        lead = " " * len(lead)


def _fate(frame: Frame, found: list[LedgerLine]) -> str:
    """When the frame would be freed."""
    tokens = {entry.token for entry in found}
    if "missing" in tokens:
        return tr("a unit is missing: it will be freed while somebody still holds it")
    if "nobody" in tokens:
        return tr("never freed: a unit that nobody owns is never given back")
    if frame.kind == "buffer":
        return tr("every unit has a holder; but the driver reuses the frame without looking")
    holders = sum(entry.times for entry in found)
    if holders == 1:
        return tr("freed when {who} lets go").format(who=found[0].who)
    return tr("every unit has a holder; freed when the last of {count} lets go").format(count=holders)


def frame_in_question(drawn: PictureState, focus: str) -> int | None:
    """The frame that a subject is, leads to, or holds; with no such subject, the one that a step last was about."""
    touched = drawn.past.touched if drawn.past.touched >= 0 else None
    found = (_pointed_at(drawn, focus), drawn.in_question, touched)
    return next((pfn for pfn in found if pfn is not None), None)


def _pointed_at(drawn: PictureState, focus: str) -> int | None:
    """The frame that a subject is, leads to, or holds."""
    kind, _, rest = focus.partition(":")
    match kind:
        case "frame":
            return int(rest)
        case "pte":
            process, _, vpn = rest.rpartition(":")
            return _behind(drawn, (process, int(vpn)))
        case "tlb":
            cpu, process, vpn = rest.split(":")
            cached = drawn.cached.get((process, int(vpn)), ())
            return next((entry.pte.pfn for number, entry in cached if number == int(cpu)), None)
        case "ref" if rest in drawn.state.references:
            return next(iter(drawn.state.references[rest].frames), None)
        case "table":
            process, level, index = rest.split(":")
            table = drawn.state.tables.get((process, int(level), int(index)))
            return table.pfn if table is not None and table.huge else None
    return None


def _behind(drawn: PictureState, page: tuple[str, int]) -> int | None:
    """The frame of a page: where its entry leads, else what somebody was given there."""
    entry = drawn.entry(page)
    if entry is not None and entry.kind == "page":
        return entry.pfn
    return next((belief.pfn for belief in drawn.believed.get(page, ())), None)
