"""What could happen next on a machine: commands that somebody may want to permit a search from there."""

from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

from model.memory.records import Buffer, Reference
from model.memory.state import State

PLACES: Final = {"system": "vram", "gtt": "vram", "vram": "gtt"}
"""Where a buffer is → where it would move to."""
MOST_OFFERS: Final = 40
DMA: Final = 99
WRITE: Final = 7


class Offer(NamedTuple):
    """A command that could be permitted."""

    command: str
    usual: bool
    """It changes a mapping or uses a page behind the CPU's back: what a search is usually about."""


def offers(state: State) -> list[Offer]:
    """What each process, buffer, device, file and reference of a machine can do next; the usual ones marked."""
    found = [*_grabs(state), *_transfers(state), *_moves(state), *_mappings(state), *_files(state)]
    return list({offer.command: offer for offer in found}.values())[:MOST_OFFERS]


def _labels(state: State) -> list[tuple[str, str]]:
    """(process, label) of what is mapped and has a name."""
    return sorted(state.labels)


def _grabs(state: State) -> Iterator[Offer]:
    """Each device, or the CPU where there is none, takes the first page of each mapping."""
    if any(_is_page_reference(reference) for reference in state.references.values()):
        return
    names = (name for number in count() if (name := f"r{number}") not in state.references)
    for process, label in _labels(state):
        for device in sorted(state.devices) or [""]:
            name = next(names)
            by = f" by={device}" if device else ""
            yield Offer(f"gup {process} {label}+0 as={name} write{by}", usual=True)
            if device:
                yield Offer(f"dma {name} write {DMA}", usual=True)


def _transfers(state: State) -> Iterator[Offer]:
    """What is held is used, and given back."""
    for name, reference in sorted(state.references.items()):
        if reference.by:
            yield Offer(f"dma {name} write {DMA}", usual=True)
            yield Offer(f"dma {name} read", usual=False)
        if _is_page_reference(reference):
            yield Offer(f"put {name}", usual=False)


def _is_page_reference(reference: Reference) -> bool:
    return reference.kind in {"get", "pin"}


def _moves(state: State) -> Iterator[Offer]:
    """Each buffer moves, is evicted, invalidated, destroyed."""
    for name, buffer in sorted(state.buffers.items()):
        if _can_move(buffer):
            yield Offer(f"move {name} {PLACES[buffer.place]}", usual=True)
            yield Offer(f"evict {name}", usual=False)
        yield Offer(f"invalidate {name}", usual=False)
        yield Offer(f"destroy {name}", usual=False)


def _can_move(buffer: Buffer) -> bool:
    return not buffer.closed and not buffer.memfd and buffer.place in PLACES


def _mappings(state: State) -> Iterator[Offer]:
    """Each mapping is written, read, thrown away, unmapped; each process forks."""
    for process, label in _labels(state):
        yield Offer(f"write {process} {label}+0 {WRITE}", usual=True)
        yield Offer(f"read {process} {label}+0", usual=False)
        yield Offer(f"madvise {process} {label} dontneed", usual=_is_anonymous(state, process, label))
        yield Offer(f"munmap {process} {label}", usual=False)
    for process in sorted(state.processes):
        child = f"{process}-child"
        if child not in state.processes:
            yield Offer(f"fork {process} {child}", usual=False)


def _is_anonymous(state: State, process: str, label: str) -> bool:
    vma = state.vmas.get((process, state.labels[process, label].start))
    return vma is not None and not vma.file and not vma.ops


def _files(state: State) -> Iterator[Offer]:
    """Each file with a size is truncated, or gets a hole."""
    for name, file in sorted(state.files.items()):
        if file.kind in {"memfd", "ext4", "dax"} and file.size:
            yield Offer(f"truncate {name} 0", usual=True)
            yield Offer(f"punch {name} 0 1", usual=False)
