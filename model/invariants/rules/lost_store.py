"""Whether the last byte that was written to a page is still there when the page has a new frame.

A driver that copies a buffer's pages before it has taken all entries away loses what is written in between: the writer
has no error, and reads the old byte. What each page should hold is what its frame holds at the moment of the change;
so nothing has to be kept for this rule, and it costs what changes.
"""

from collections.abc import Iterator
from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.rule import ChangeRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.state import Change
from model.text.wording import phrase

LOST_STORE: Final = Invariant(
    "lost-store",
    "corruption",
    "When a page of a buffer or of a file gets a new frame, that frame holds what was written last.",
    "Prints nothing: the copy was right when it was made. The writer reads back an older byte.",
)


def lost_store(before: MachineView, after: MachineView, change: Change) -> Iterator[Violation]:
    """A buffer or a file goes on with a frame that lacks the last byte written to the old one."""
    if change.old is None or change.new is None:
        return
    if change.table == "page_cache":
        file, index = change.key
        moved = iter([(index, change.old, after.byte(change.new))])
        where = (subject("cache", file, index), phrase("of file {file}", file=file))
    else:
        moved = _moved(after, change)
        where = (subject("buffer", change.key), phrase("of buffer {buffer}", buffer=change.key))
    for page, old, byte in moved:
        if before.byte(old) != byte:
            message = phrase(
                "Page {page} {owner} has left {frame}, where {written} was written last. It was copied before that: "
                "the page holds {byte} now, and the last byte is lost.",
                page=page,
                owner=where[1],
                frame=name_of(before, old),
                written=before.byte(old),
                byte=byte,
            )
            yield violation(LOST_STORE, (subject("frame", old), where[0]), message)
            return


def _moved(after: MachineView, change: Change) -> Iterator[tuple[int, int, int]]:
    """(page, old frame, what the page holds now) for each page of a buffer that has moved or was swapped out."""
    old, new = change.old, change.new
    if old.frames == new.frames or not (new.frames or new.swap):
        return
    for page, pfn in enumerate(old.frames):
        held = new.frames[page : page + 1]
        if held != (pfn,):
            yield page, pfn, after.byte(held[0]) if held else new.swap[page]


RULES: Final = (
    ChangeRule(
        LOST_STORE,
        {"buffers": ("frames", "swap"), "page_cache": None, "content": None},
        ("buffers", "page_cache"),
        lost_store,
    ),
)
