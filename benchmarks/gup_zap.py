"""GUP-fast, DMA and put of several devices against one madvise(MADV_DONTNEED): the same scene for four searches.

Once as a script for the search of the model; once written down by hand as tuples, the way one writes such a search in
Python; once in Promela (gup_zap.pml). The two by hand know only what this scene can reach, so they are far poorer than
the model; but all have the same micro-steps, and so the same states and transitions, which the tests check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

NOBODY: Final = -1
"""Nobody has interrupts off; else a device's GUP, by its number."""

GUP_STEPS: Final = 14
DISABLE, READ_PTE, TRY_GRAB, RECHECK, ENABLE, KEEP = 4, 6, 7, 8, 10, 14
"""Steps of take_reference and what it calls, counted from 1."""
CLEAR_PTES, PUT_PAGES, MADVISE_STEPS = 5, 12, 14
"""Steps of do_madvise and what it calls."""


def script(devices: int) -> str:
    """The scene in the script language."""
    numbers = range(devices)
    return "\n".join(
        (
            *("device nic", "process p0", "mmap p0 buf anon private rw 1", "write p0 buf 1"),
            *(f"may 1 cpu=0 gup p0 buf as=r{number} write fast-only by=nic" for number in numbers),
            *(f"may 1 dma r{number} write 65" for number in numbers),
            *(f"may 1 cpu=0 put r{number}" for number in numbers),
            "may 1 cpu=0 madvise p0 buf dontneed",
        )
    )


class Place(NamedTuple):
    """A state. Of each task: how many of its steps it has made, the start of its command among them."""

    gups: tuple[int, ...]
    got: tuple[bool, ...]
    dmas: tuple[int, ...]
    puts: tuple[int, ...]
    madvise: int = 0
    references: tuple[int, ...] = ()
    """What was in the page when the reference was kept; 0: there is none."""
    irqs_off_by: int = NOBODY
    refcount: int = 1
    pte: bool = True
    content: int = 1


def start(devices: int) -> Place:
    """Nothing has begun."""
    none = (0,) * devices
    return Place(none, (False,) * devices, none, none, references=none)


def changed(values: tuple[T, ...], number: int, value: T) -> tuple[T, ...]:
    """With one of them changed."""
    return (*values[:number], value, *values[number + 1 :])


def successors(place: Place) -> Iterator[Place]:
    """Everything that one start or one micro-step leads to."""
    for number in range(len(place.gups)):
        if place.gups[number] <= GUP_STEPS:
            yield from gup(place, number)
        if place.dmas[number] < 3:
            yield from dma(place, number)
        if place.puts[number] < 3:
            yield from put(place, number)
    if place.madvise <= MADVISE_STEPS:
        yield from madvise(place)


def gup(place: Place, number: int) -> Iterator[Place]:
    """take_reference, get_user_pages_fast and gup_fast."""
    pc = place.gups[number]
    if pc and place.irqs_off_by not in (NOBODY, number):
        return
    place = place._replace(gups=changed(place.gups, number, pc + 1))
    leave = place._replace(gups=changed(place.gups, number, ENABLE))
    if pc == DISABLE:
        yield place._replace(irqs_off_by=number)
    elif pc == READ_PTE:
        yield place if place.pte else leave
    elif pc == TRY_GRAB:
        if place.refcount:
            yield place._replace(refcount=place.refcount + 1, got=changed(place.got, number, True))
        else:
            yield leave
    elif pc == RECHECK:
        if place.pte:
            yield place
        else:
            yield leave._replace(refcount=place.refcount - 1, got=changed(place.got, number, False))
    elif pc == ENABLE:
        yield place._replace(irqs_off_by=NOBODY)
    elif pc == KEEP:
        references = changed(place.references, number, place.content if place.got[number] else 0)
        yield place._replace(references=references, got=changed(place.got, number, False))
    else:
        yield place


def dma(place: Place, number: int) -> Iterator[Place]:
    """device_access: translate, transfer."""
    pc = place.dmas[number]
    if not pc and not place.references[number]:
        return
    content = 65 if pc == 2 and place.references[number] else place.content
    yield place._replace(dmas=changed(place.dmas, number, pc + 1), content=content)


def put(place: Place, number: int) -> Iterator[Place]:
    """put_reference: forget, put_pages."""
    pc = place.puts[number]
    if not place.references[number] if not pc else place.irqs_off_by != NOBODY:
        return
    place = place._replace(puts=changed(place.puts, number, pc + 1))
    if pc == 1:
        yield place._replace(references=changed(place.references, number, 0))
    elif pc == 2:
        yield place._replace(refcount=place.refcount - 1)
    else:
        yield place


def madvise(place: Place) -> Iterator[Place]:
    """do_madvise, zap_page_range_single, tlb_finish_mmu, flush_tlb_range."""
    pc = place.madvise
    if pc and place.irqs_off_by != NOBODY:
        return
    place = place._replace(madvise=pc + 1)
    if pc == CLEAR_PTES:
        yield place._replace(pte=False)
    elif pc == PUT_PAGES:
        yield place._replace(refcount=place.refcount - 1)
    else:
        yield place


def lost(place: Place, after: Place) -> bool:
    """A device has written through a reference to a page that the process does not see any more."""
    return after.dmas != place.dmas and after.content == 65 and not place.pte


class Found(NamedTuple):
    """What the search by hand finds."""

    states: int
    transitions: int
    lost_write: int
    """Breadth-first depth of the first lost write, starts of commands included; 0: none."""


def breadth_first(devices: int) -> Found:
    """Tuples in a set, level by level."""
    seen = {start(devices)}
    level = list(seen)
    transitions = depth = lost_write = 0
    while level:
        depth += 1
        following = []
        for place in level:
            for after in successors(place):
                transitions += 1
                if not lost_write and lost(place, after):
                    lost_write = depth
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        level = following
    return Found(len(seen), transitions, lost_write)
