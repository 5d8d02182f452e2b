"""What may happen next: the commands that make sense in a state, for a search that sets out from it.

Each is a line as `may` permits it. Whoever explores chooses among them; a few that are most likely to meet each other
are proposed: a grab and its use, the owner who takes the page away meanwhile, the process that looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from model.kernel.drivers.driver import driver_of
from model.memory.records import Reference
from model.memory.state import State
from model.text.words import is_name

MOST_LABELS: Final = 8
"""Labelled ranges that lines are offered for: the first ones by process and name."""
MOST_PROPOSED: Final = 3
"""Each further command multiplies the states; one more where the pages must be grabbed first."""
DEVICE_BYTE: Final = 99
PROCESS_BYTE: Final = 66
"""What the offered writes write; two bytes that tell who wrote."""


class EnabledCommand(NamedTuple):
    """A command that a search may be permitted to start."""

    line: str
    """The command, without `may` and its number."""
    about: str
    """Whose doing it is, e.g. `process p0`; lines of one kind stand together."""
    wish: int = 0
    """How much it is worth proposing; 0: not at all."""


def enabled_commands(state: State) -> tuple[EnabledCommand, ...]:
    """Every line that makes sense in a state, grouped by whose doing it is. The same state gives the same lines."""
    found = (*_references(state), *_grabs(state), *_buffers(state), *_processes(state), *_files(state))
    kept: dict[str, EnabledCommand] = {}
    for offer in found:
        kept.setdefault(offer.line, offer)
    groups = list(dict.fromkeys(offer.about for offer in kept.values()))
    return tuple(sorted(kept.values(), key=lambda offer: groups.index(offer.about)))


def proposed(found: tuple[EnabledCommand, ...], in_flight: int = 0) -> frozenset[str]:
    """The lines to begin with: those most wished for.

    `in_flight`: how many tasks have begun. They are searched in any case, and two of them are what somebody wants to
    see against each other: nothing is proposed on top.
    """
    best = sorted((offer for offer in found if offer.wish), key=lambda offer: -offer.wish)
    grab = bool(best) and best[0].line.startswith("gup ")
    return frozenset(offer.line for offer in best[: max(0, MOST_PROPOSED + grab - 2 * in_flight)])


def drawable(found: tuple[EnabledCommand, ...]) -> frozenset[str]:
    """The two lines whose interleavings are worth a map: more would be too many states to be looked at."""
    best = sorted((offer for offer in found if offer.wish), key=lambda offer: -offer.wish)
    if best and best[0].line.startswith("gup "):  # what uses the pages comes after the grab in every schedule
        best = [best[0], *(offer for offer in best[1:] if not offer.line.startswith("dma "))]
    return frozenset(offer.line for offer in best[:2])


def _labels(state: State) -> list[tuple[str, str]]:
    """The labelled ranges: (process, label)."""
    return sorted(key for key in state.labels if key[0] in state.processes and is_name(key[1]))[:MOST_LABELS]


def _references(state: State) -> Iterator[EnabledCommand]:
    """What those who hold something do with it."""
    for name, reference in sorted(state.references.items()):
        about = f"reference {name}"
        if not is_name(name):
            continue
        if reference.write or reference.kind == "map":
            yield EnabledCommand(f"dma {name} write {DEVICE_BYTE}", about, 9)
        yield EnabledCommand(f"dma {name} read", about, 0 if reference.write else 9)
        yield EnabledCommand(f"{'unmap' if reference.kind == 'map' else 'put'} {name}", about, 2)
        if where := _where(state, reference):
            lost = 8 if _is_anonymous(state, *where.split()) else 0
            yield EnabledCommand(f"madvise {where} dontneed", f"process {reference.process}", lost)
            yield EnabledCommand(f"read {where}", f"process {reference.process}", 7)


def _where(state: State, reference: Reference) -> str:
    """The process and the label of what a reference was taken through; empty if that is mapped no more."""
    for process, label in _labels(state):
        record = state.labels[process, label]
        if process == reference.process and record.start <= reference.vpn < record.start + record.pages:
            return f"{process} {label}"
    return ""


def _is_anonymous(state: State, process: str, label: str) -> bool:
    """Its pages go when they are thrown away: no file and no buffer keeps them."""
    vma = state.vmas.get((process, state.labels[process, label].start))
    return vma is not None and not vma.file and not vma.ops


def _grabs(state: State) -> Iterator[EnabledCommand]:
    """Who could lay hands on pages: the devices."""
    wish = 0 if len(state.references) else 1
    for device in sorted(filter(is_name, state.devices)):
        about = f"device {device}"
        name = next(name for name in (f"r{number}" for number in range(1000)) if name not in state.references)
        for process, label in _labels(state):
            at = f"{process} {label}+0 as={name}"
            yield EnabledCommand(f"gup {at} write by={device}", about, 9 * wish)
            yield EnabledCommand(f"gup {at} slow write by={device}", about)
            yield EnabledCommand(f"gup {at} write pin longterm by={device}", about)
            yield EnabledCommand(f"follow {at} by={device}", about)
            yield EnabledCommand(f"grab {at} by={device}", about)
            yield EnabledCommand(f"mirror {at} by={device}", about)
        if _labels(state):
            yield EnabledCommand(f"dma {name} write {DEVICE_BYTE}", about, 8 * wish)
            yield EnabledCommand(f"dma {name} read", about)
            yield EnabledCommand(f"put {name}", about)
        for dmabuf in sorted(filter(is_name, state.dma_bufs)):
            if (dmabuf, device) in state.attachments:
                yield EnabledCommand(f"map {dmabuf} {device} as={name}", about, wish)


def _buffers(state: State) -> Iterator[EnabledCommand]:
    """What a driver does with its buffers."""
    for name, buffer in sorted(state.buffers.items()):
        about = f"buffer {name}"
        ops = [one.name for one in driver_of(state, buffer.exporter).ops]
        for op in () if buffer.closed else sorted(ops, key=lambda op: op == "invalidate"):
            if op != "move":
                yield EnabledCommand(f"{op} {name}", about, 1 if op == "invalidate" else 8)
                continue
            for place in ("vram", "gtt", "system"):
                if place != buffer.place:
                    yield EnabledCommand(f"move {name} {place}", about)
        yield EnabledCommand(f"destroy {name}", about)


def _processes(state: State) -> Iterator[EnabledCommand]:
    """What programs do, and what the mm does to their pages."""
    for process, label in _labels(state):
        about = f"process {process}"
        yield EnabledCommand(f"read {process} {label}", about, 6)
        yield EnabledCommand(f"write {process} {label} {PROCESS_BYTE}", about, 4)
        yield EnabledCommand(
            f"madvise {process} {label} dontneed", about, 5 if _is_anonymous(state, process, label) else 0
        )
        yield EnabledCommand(f"munmap {process} {label}", about)
        yield EnabledCommand(f"mprotect {process} {label} r", about)
        yield EnabledCommand(f"migrate {process} {label}", about, 1)
        yield EnabledCommand(f"reclaim {process} {label}", about)
    for process in sorted(filter(is_name, state.processes)):
        child = next(name for name in (f"c{number}" for number in range(1000)) if name not in state.processes)
        yield EnabledCommand(f"fork {process} {child}", f"process {process}")
        yield EnabledCommand(f"exit {process}", f"process {process}")


def _files(state: State) -> Iterator[EnabledCommand]:
    """What may happen to files."""
    for name, file in sorted(state.files.items()):
        if file.kind not in {"memfd", "ext4", "dax"} or not is_name(name):
            continue
        about = f"file {name}"
        yield EnabledCommand(f"truncate {name} 0", about, 8 if file.i_mmap else 1)
        if file.size:
            yield EnabledCommand(f"punch {name} 0 1", about)
            yield EnabledCommand(f"pread {name} 0", about)
            yield EnabledCommand(f"pwrite {name} 0 {PROCESS_BYTE}", about)
