"""Whether the last byte that was written to a page goes with it when the page moves.

Pages move from frame to frame, and to swap and back. Whoever copies one before nobody can write to it any more, or
brings back another one, loses what was written: the writer has no error, and reads the old byte. What each place should
hold is what it holds at the moment of the change; so nothing has to be kept for this rule, and it costs what changes.

A place is a page of a process, of a file or of a buffer, or a slot of swap. Of file pages the page cache tells, not the
entries: once one entry leads to the new frame that may be written, before the next one does.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.phrases import place
from model.invariants.rule import ChangeRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.kernel.arch.pgtable import PMD
from model.memory.folio import filemap_get_entry
from model.memory.leaf import PTRS_PER_TABLE, TABLE_SHIFT
from model.memory.records import Pte
from model.memory.state import Change
from model.text.wording import phrase

LOST_STORE: Final = Invariant(
    "lost-store",
    "corruption",
    "When a page moves to another frame, to swap or back, what was written to it last moves with it.",
    "Prints nothing: the copy was right when it was made. The writer reads back an older byte.",
)


class LostByte(msgspec.Struct, frozen=True):
    """A page that has moved, and does not hold what it held before."""

    page: str
    """Which one, as a phrase."""
    subjects: tuple[str, ...]
    old: str
    """Where it was, as a phrase."""
    held: int
    new: str
    """Where it is now, as a phrase."""
    holds: int


def lost_store(before: MachineView, after: MachineView, change: Change) -> Iterator[Violation]:
    """A page has moved, and does not hold what it held before. Of several pages one is enough."""
    for lost in MOVES[change.table](before, after, change):
        message = phrase(
            "{page:capital} has gone from {old} to {new}. It held {held} before, and holds {holds} now: the byte is "
            "lost.",
            page=lost.page,
            old=lost.old,
            new=lost.new,
            held=lost.held,
            holds=lost.holds,
        )
        yield violation(LOST_STORE, lost.subjects, message)
        return


def _of_buffer(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """Pages of a buffer that have moved or were swapped out by its driver."""
    old, new = change.old, change.new
    if old is None or new is None or old.frames == new.frames or not (new.frames or new.swap):
        return
    for page, pfn in enumerate(old.frames):
        frames = new.frames[page : page + 1]
        holds = after.byte(frames[0]) if frames else new.swap[page]
        if frames != (pfn,) and before.byte(pfn) != holds:
            yield LostByte(
                phrase("page {page} of buffer {buffer}", page=page, buffer=change.key),
                (subject("frame", pfn), subject("buffer", change.key)),
                name_of(before, pfn),
                before.byte(pfn),
                name_of(after, frames[0]) if frames else _swap(),
                holds,
            )


def _of_file(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """A page of a file that has another frame, lies in a huge page now, or has gone to swap; none if it is given up."""
    (file, index), pfn = change.key, change.old
    if pfn is None:
        return
    new = change.new if change.new is not None else filemap_get_entry(after.state, file, index)
    slot = after.state.swapped.get(change.key) if new is None else None
    if new is None and slot is None:
        return
    place_now = Pte(new) if new is not None else Pte(slot or 0, kind="swap")
    where, holds = _leads_to(after, place_now), _behind(after, place_now)
    if before.byte(pfn) != holds:
        page = phrase("page {page} of file {file}", page=index, file=file)
        subjects = (subject("frame", pfn), subject("cache", file, index))
        yield LostByte(page, subjects, name_of(before, pfn), before.byte(pfn), where, holds)


def _of_swapped(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """A page of a file that has come back from swap."""
    file, index = change.key
    if (slot := change.old) is None or (pfn := filemap_get_entry(after.state, file, index)) is None:
        return
    if _stored(before, slot) != after.byte(pfn):
        page = phrase("page {page} of file {file}", page=index, file=file)
        subjects = (subject("cache", file, index), subject("swap", slot))
        yield LostByte(page, subjects, _slot(slot), _stored(before, slot), name_of(after, pfn), after.byte(pfn))


def _of_slot(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """A slot of swap whose cache has gone, come, or is another page."""
    old, new = change.old, change.new
    if old is None or new is None or old.pfn == new.pfn or _stored(before, change.key) == _stored(after, change.key):
        return
    yield LostByte(
        phrase("the page of swap slot {slot}", slot=change.key),
        (subject("swap", change.key), *(subject("frame", one.pfn) for one in (old, new) if one.pfn >= 0)),
        name_of(before, old.pfn) if old.pfn >= 0 else _swap(),
        _stored(before, change.key),
        name_of(after, new.pfn) if new.pfn >= 0 else _swap(),
        _stored(after, change.key),
    )


def _of_entry(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """An anonymous page whose entry leads elsewhere now: to another frame, to swap, or back from there."""
    (process, vpn), old, new = change.key, change.old, change.new
    stays = old.pfn == new.pfn and (old.kind == "swap") == (new.kind == "swap")
    if stays or "marker" in (old.kind, new.kind) or (old.kind != "swap" and before.folio(old.pfn).kind != "anon"):
        return
    held, holds = _behind(before, old), _behind(after, new)
    if held != holds:
        left = subject("swap", old.pfn) if old.kind == "swap" else subject("frame", old.pfn)
        subjects = (subject("pte", process, vpn), left)
        names = _leads_to(before, old), _leads_to(after, new)
        yield LostByte(place(before, process, vpn), subjects, names[0], held, names[1], holds)


def _of_huge_entry(before: MachineView, after: MachineView, change: Change) -> Iterator[LostByte]:
    """The pages of a huge anonymous page that has another place."""
    (process, level, block), old, new = change.key, change.old, change.new
    if level != PMD or not old.huge or not new.huge or old.pfn == new.pfn or before.folio(old.pfn).kind != "anon":
        return
    for page in range(PTRS_PER_TABLE):
        if before.byte(old.pfn + page) != after.byte(new.pfn + page):
            key = (process, (block << TABLE_SHIFT) + page)
            yield from _of_entry(before, after, Change("ptes", key, Pte(old.pfn + page), Pte(new.pfn + page)))


def _behind(scene: MachineView, entry: Pte) -> int:
    """What is where an entry leads."""
    return _stored(scene, entry.pfn) if entry.kind == "swap" else scene.byte(entry.pfn)


def _leads_to(scene: MachineView, entry: Pte) -> str:
    """Where an entry leads."""
    return _slot(entry.pfn) if entry.kind == "swap" else name_of(scene, entry.pfn)


def _stored(scene: MachineView, number: int) -> int:
    """What a slot of swap stands for: what its cache holds, or else what has been written to it."""
    slot = scene.state.swap_slots.get(number)
    if slot is None:
        return 0
    return scene.byte(slot.pfn) if slot.pfn >= 0 else slot.content


def _slot(number: int) -> str:
    return phrase("swap slot {slot}", slot=number)


def _swap() -> str:
    return phrase("the swap device")


MOVES: Final = {
    "buffers": _of_buffer,
    "page_cache": _of_file,
    "swapped": _of_swapped,
    "swap_slots": _of_slot,
    "ptes": _of_entry,
    "tables": _of_huge_entry,
}
"""Table → the moves that a change of it makes."""

RULES: Final = (
    ChangeRule(
        LOST_STORE,
        {
            "buffers": ("frames", "swap"),
            "page_cache": None,
            "swapped": None,
            "swap_slots": ("pfn", "content"),
            "ptes": None,
            "tables": None,
            "frames": ("kind",),
            "files": ("nr_thps",),
            "content": None,
        },
        ("buffers", "page_cache", "swapped", "swap_slots"),
        lost_store,
        replaced=("ptes", "tables"),
    ),
)
