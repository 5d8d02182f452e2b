"""What a change of one record amounts to, as a sentence: `cleared the entry of p0 buf (page 16)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from model.invariants.machine_view import FREE, MachineView
from model.invariants.phrases import frame, listing, place
from model.memory.events import Access, Copied, Event
from model.memory.flags import PAGE_BITS, PAGE_FLAGS, PAGE_SWP_EXCLUSIVE, SMAPS_CODES, names
from model.memory.records import Frame
from model.memory.state import Change
from model.text.wording import phrase

SWAP_BITS: Final = ((PAGE_SWP_EXCLUSIVE, "exclusive"), *(bit for bit in PAGE_BITS if bit[0] != PAGE_SWP_EXCLUSIVE))
"""What the bits of an entry that is not present are called: one of them has another meaning there."""


class ChangeInStep(NamedTuple):
    """A change, and what it happened among."""

    scene: MachineView
    """The machine right after it."""
    change: Change
    events: tuple[Event, ...]
    """What the same step did besides."""


def change_phrase(made: ChangeInStep) -> str:
    """What a change amounts to: a phrase that begins small and has no full stop."""
    return PHRASES.get(made.change.table, _record)(made)


def _frame(made: ChangeInStep) -> str:
    _, pfn, old, new = made.change
    if (new is None or new.kind == "free") and old is not None and old.kind != "free":
        return phrase("freed frame {pfn}: it was {use}, and may go to anybody now", pfn=pfn, use=_use(old))
    if (old is None or old.kind == "free") and new is not None and new.kind != "free":
        return phrase("allocated frame {pfn} as {use}", pfn=pfn, use=_use(new))
    changes = listing(_differences(old or FREE, new or FREE)) or phrase("no visible change")
    return phrase("{frame}: {changes}", frame=frame(made.scene, pfn), changes=changes)


def _use(used: Frame) -> str:
    """What a frame is used for."""
    kinds = {
        "anon": phrase("an anonymous page"),
        "file": phrase("a page of a file"),
        "pgtable": phrase("a page table"),
    }
    kind = kinds.get(used.kind) or phrase("a page of kind {kind}", kind=used.kind)
    return phrase("{kind} ({mapping})", kind=kind, mapping=used.mapping) if used.mapping else kind


def _differences(old: Frame, new: Frame) -> list[str]:
    """The fields of a struct page that changed."""
    parts = _fields(old, new, ("kind", "refcount", "mapcount", "pins", "order", "mapping", "index", "swap"))
    return parts + _bits(old.flags, new.flags, PAGE_FLAGS)


def _fields(old: object, new: object, fields: Sequence[str]) -> list[str]:
    """The fields of a record that changed: `refcount 1 → 2`."""
    both = ((field, getattr(old, field), getattr(new, field)) for field in fields)
    return [f"{field} {_value(before)} → {_value(after)}" for field, before, after in both if before != after]


def _value(value: object) -> str:
    return "none" if value == "" else str(value)


def _bits(old: int, new: int, table: tuple[tuple[int, str], ...]) -> list[str]:
    """The bits that were set and cleared: `+dirty`, `-rw`."""
    return [f"+{bit}" for bit in names(new & ~old, table)] + [f"-{bit}" for bit in names(old & ~new, table)]


def _content(made: ChangeInStep) -> str:
    _, pfn, _, new = made.change
    value, where = new or 0, frame(made.scene, pfn)
    for event in made.events:
        if isinstance(event, Access) and event.write and event.pfn == pfn:
            if event.reference:
                user = event.device or phrase("whoever uses {reference}", reference=event.reference)
                return phrase(
                    "{user} wrote {value} to {where} through {reference}",
                    user=user,
                    value=value,
                    where=where,
                    reference=event.reference,
                )
            if not event.process:
                user = event.device or phrase("the kernel")
                return phrase("{user} wrote {value} to {where}", user=user, value=value, where=where)
            at = place(made.scene, event.process, event.vpn)
            return phrase(
                "{process} wrote {value} to {where}, at {at}", process=event.process, value=value, where=where, at=at
            )
        if isinstance(event, Copied) and pfn in event.frames:
            source = event.sources[event.frames.index(pfn)]
            return phrase(
                "copied {source} to {where}: {value}", source=frame(made.scene, source), where=where, value=value
            )
    return phrase("put {value} into {where}", value=value, where=where)


def _pte(made: ChangeInStep) -> str:
    scene, (_, (process, vpn), old, new) = made.scene, made.change
    where = place(scene, process, vpn)
    if new is None:
        return phrase("cleared the entry of {where}, which led to {target}", where=where, target=_target(scene, old))
    if old is None or old.pfn != new.pfn or old.kind != new.kind:
        return phrase("made the entry of {where} lead to {target}", where=where, target=_target(scene, new))
    if old.writable == new.writable:
        bits = listing(_bits(old.bits, new.bits, PAGE_BITS if new.kind == "page" else SWAP_BITS))
        return phrase("changed the entry of {where}: {bits}", where=where, bits=bits)
    if new.writable:
        return phrase("made the entry of {where} writable", where=where)
    return phrase("made the entry of {where} read-only", where=where)


def _target(scene: MachineView, entry: Any) -> str:
    """What an entry leads to."""
    match entry.kind:
        case "swap":
            return phrase("swap slot {slot}", slot=entry.pfn)
        case "migration":
            return phrase("{frame}, which is being moved", frame=frame(scene, entry.pfn))
        case "marker":
            return phrase("a marker")
        case _:
            return frame(scene, entry.pfn)


def _reference(made: ChangeInStep) -> str:
    scene, (_, name, old, new) = made.scene, made.change
    if new is None:
        return phrase("gave {name} back", name=name) if old.counted else phrase("removed {name}", name=name)
    held = listing([frame(scene, pfn) for pfn in new.frames if pfn >= 0]) or phrase("nothing yet")
    if old is not None and old.frames == new.frames:
        return phrase("changed {name}, a {kind}", name=name, kind=new.kind)
    if old is not None:
        now = phrase("{name} holds {held} now", name=name, held=held)
        return now if new.counted else phrase("{name} leads to {held} now", name=name, held=held)
    if not new.process:
        return phrase("took {name}, a {kind}, on {held}", name=name, kind=new.kind, held=held)
    at = place(scene, new.process, new.vpn)
    return phrase("took {name}, a {kind}, on {held}, taken at {at}", name=name, kind=new.kind, held=held, at=at)


def _cache(made: ChangeInStep) -> str:
    _, (file, index), old, new = made.change
    if new is None:
        was = frame(made.scene, old)
        return phrase("took {frame} out of file {file}, page {index}", frame=was, file=file, index=index)
    now = frame(made.scene, new)
    return phrase("made {frame} page {index} of file {file}", frame=now, index=index, file=file)


def _tlb(made: ChangeInStep) -> str:
    scene, (_, cpu, old, new) = made.scene, made.change
    before, after = set(old or ()), set(new or ())
    come = [
        phrase("{place} is {frame}", place=place(scene, e.process, e.vpn), frame=frame(scene, e.pte.pfn))
        for e in new or ()
        if e not in before
    ]
    still = {(e.process, e.vpn) for e in after}
    gone = [place(scene, e.process, e.vpn) for e in old or () if (e.process, e.vpn) not in still]
    if not come:
        return phrase("cpu{cpu} forgets {places}", cpu=cpu, places=listing(gone))
    if not gone:
        return phrase("cpu{cpu} remembers that {places}", cpu=cpu, places=listing(come))
    facts = {"places": listing(come), "gone": listing(gone)}
    return phrase("cpu{cpu} remembers that {places}, and forgets {gone}", cpu=cpu, **facts)


def _lock(made: ChangeInStep) -> str:
    _, (kind, owner), old, new = made.change
    lock = {"kind": kind, "owner": owner}
    if new is None:
        who = listing([old.writer] if old.writer else list(old.readers))
        return phrase("{who} gave {kind} of {owner} back", who=who, **lock)
    if new.writer:
        return phrase("{who} took {kind} of {owner} for writing", who=new.writer, **lock)
    if old is not None and old.writer:
        return phrase("{who} holds {kind} of {owner} for reading only now", who=listing(list(new.readers)), **lock)
    before = () if old is None else old.readers
    if come := [task for task in new.readers if task not in before]:
        return phrase("{who} took {kind} of {owner} for reading", who=listing(come), **lock)
    gone = [task for task in before if task not in new.readers]
    return phrase("{who} gave {kind} of {owner} back", who=listing(gone), **lock)


def _vma(made: ChangeInStep) -> str:
    _, (process, start), old, new = made.change
    if new is None:
        return phrase("took the VMA of {process} at page {start} away", process=process, start=start)
    which = {"process": process, "first": new.start, "last": new.end - 1}
    if old is None:
        return phrase("made the VMA of {process}, pages {first} to {last}", **which)
    changes = _fields(old, new, ("end", "pgoff", "ops", "file", "anon_vma", "uffd"))
    changed = listing(changes + _bits(old.flags, new.flags, SMAPS_CODES)) or phrase("no visible change")
    return phrase("changed the VMA of {process}, pages {first} to {last}: {changed}", changed=changed, **which)


def _record(made: ChangeInStep) -> str:
    table, key, old, new = made.change
    name = ":".join(map(str, key)) if isinstance(key, tuple) else str(key)
    if old is None:
        return phrase("made {name} ({table})", name=name, table=table)
    if new is None:
        return phrase("removed {name} ({table})", name=name, table=table)
    return phrase("changed {name} ({table})", name=name, table=table)


PHRASES: Final[dict[str, Callable[[ChangeInStep], str]]] = {
    "frames": _frame,
    "content": _content,
    "ptes": _pte,
    "references": _reference,
    "page_cache": _cache,
    "tlbs": _tlb,
    "locks": _lock,
    "vmas": _vma,
}
"""Table → how to tell a change of one of its records."""
