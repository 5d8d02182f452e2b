"""What a change of one record amounts to, as a sentence: `cleared the entry of p0 buf (page 16)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame, listing, place
from model.memory.events import Access, Copied, Event
from model.memory.flags import PAGE_FLAGS, names
from model.memory.records import Frame
from model.memory.state import Change


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
    if new is None or new.kind == "free":
        return f"freed frame {pfn}: it was {_use(old)}, and may go to anybody now"
    if old is None or old.kind == "free":
        return f"allocated frame {pfn} as {_use(new)}"
    return f"{frame(made.scene, pfn)}: {listing(_differences(old, new)) or 'no visible change'}"


def _use(used: Frame | None) -> str:
    """What a frame is used for."""
    if used is None:
        return "unused"
    kinds = {"anon": "an anonymous page", "file": "a page of a file", "pgtable": "a page table"}
    of = f" ({used.mapping})" if used.mapping else ""
    return kinds.get(used.kind, f"a page of kind {used.kind}") + of


def _differences(old: Frame, new: Frame) -> list[str]:
    """The fields of a struct page that changed."""
    parts = []
    for field in ("kind", "refcount", "mapcount", "pins", "mapping"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            parts.append(f"{field} {'none' if before == '' else before} → {'none' if after == '' else after}")
    parts += [f"+{flag}" for flag in names(new.flags & ~old.flags, PAGE_FLAGS)]
    parts += [f"-{flag}" for flag in names(old.flags & ~new.flags, PAGE_FLAGS)]
    return parts


def _content(made: ChangeInStep) -> str:
    _, pfn, _, new = made.change
    value, where = new or 0, frame(made.scene, pfn)
    for event in made.events:
        if isinstance(event, Access) and event.write and event.pfn == pfn:
            if event.reference:
                user = event.device or f"whoever uses {event.reference}"
                return f"{user} wrote {value} to {where} through {event.reference}"
            if not event.process:
                return f"{event.device or 'the kernel'} wrote {value} to {where}"
            at = place(made.scene, event.process, event.vpn)
            return f"{event.process} wrote {value} to {where}, at {at}"
        if isinstance(event, Copied) and pfn in event.frames:
            source = event.sources[event.frames.index(pfn)]
            return f"copied {frame(made.scene, source)} to {where}: {value}"
    return f"put {value} into {where}"


def _pte(made: ChangeInStep) -> str:
    scene, (_, (process, vpn), old, new) = made.scene, made.change
    where = place(scene, process, vpn)
    if new is None:
        return f"cleared the entry of {where}, which led to {_target(scene, old)}"
    if old is None or old.pfn != new.pfn or old.kind != new.kind:
        return f"made the entry of {where} lead to {_target(scene, new)}"
    if old.writable != new.writable:
        return f"made the entry of {where} {'writable' if new.writable else 'read-only'}"
    return f"changed bits of the entry of {where}"


def _target(scene: MachineView, entry: Any) -> str:
    """What an entry leads to."""
    match entry.kind:
        case "swap":
            return f"swap slot {entry.pfn}"
        case "migration":
            return f"{frame(scene, entry.pfn)}, which is being moved"
        case "marker":
            return "a marker"
        case _:
            return frame(scene, entry.pfn)


def _reference(made: ChangeInStep) -> str:
    scene, (_, name, old, new) = made.scene, made.change
    if new is None:
        return f"gave {name} back"
    held = listing([frame(scene, pfn) for pfn in new.frames if pfn >= 0]) or "nothing yet"
    if old is not None:
        return f"{name} holds {held} now"
    taken = f", taken at {place(scene, new.process, new.vpn)}" if new.process else ""
    return f"took {name}, a {new.kind}, on {held}{taken}"


def _cache(made: ChangeInStep) -> str:
    _, (file, index), old, new = made.change
    if new is None:
        return f"took {frame(made.scene, old)} out of file {file}, page {index}"
    return f"made {frame(made.scene, new)} page {index} of file {file}"


def _tlb(made: ChangeInStep) -> str:
    scene, (_, cpu, old, new) = made.scene, made.change
    before, after = set(old or ()), set(new or ())
    come = [f"{place(scene, e.process, e.vpn)} is {frame(scene, e.pte.pfn)}" for e in new or () if e not in before]
    gone = [place(scene, e.process, e.vpn) for e in old or () if e not in after]
    if come:
        return f"cpu{cpu} remembers that {listing(come)}"
    return f"cpu{cpu} forgets {listing(gone)}"


def _lock(made: ChangeInStep) -> str:
    _, (kind, owner), old, new = made.change
    if new is None:
        return f"gave {kind} of {owner} back"
    who = listing([new.writer] if new.writer else list(new.readers))
    return f"{'took' if old is None else 'changed'} {kind} of {owner}, held by {who}"


def _vma(made: ChangeInStep) -> str:
    _, (process, start), old, new = made.change
    if new is None:
        return f"took the VMA of {process} at page {start} away"
    verb = "made" if old is None else "changed"
    return f"{verb} the VMA of {process}, pages {new.start} to {new.end - 1}"


def _record(made: ChangeInStep) -> str:
    table, key, old, new = made.change
    name = ":".join(map(str, key)) if isinstance(key, tuple) else str(key)
    verb = "made" if old is None else "removed" if new is None else "changed"
    return f"{verb} {name} ({table})"


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
