"""The clauses that explanations of broken rules are made of, each with what the State must be where it is said.

Everything that a rule says is covered: a clause with its condition for each fact of the case at hand, and what is true
of kernels at any time in GENERAL. A sentence that is neither fails (`uncovered`).
"""

import re
from collections.abc import Iterator
from typing import Final

from model.invariants.machine_view import MachineView
from tests.model.clauses_accesses import OF_ACCESSES
from tests.model.clauses_frames import OF_FRAMES
from tests.model.clauses_places import OF_PLACES

CLAUSES: Final = (*OF_PLACES, *OF_FRAMES, *OF_ACCESSES)

GENERAL: Final = (
    r"it never kept the entry from changing\.",
    r"The mapping holds no page; only the exporter's pin, or a move_notify that the device obeys, keeps it true\.",
    r"Unmapping only clears a special entry and gives nothing back, so the count stays wrong for good\.",
    r"The count is too low from now on: when it next reaches 0, somebody still holds the page\.",
    r"The allocator notices when it hands the frame out, if it checks\.",
    r"Reclaim and copy-on-write go by these counts, and do what is wrong for this page\.",
    r"Once it is handed out again, two owners read and write the same bytes\.",
    r"Whoever is given the frame next shares it with them, and their put takes a reference away that is not theirs\.",
    r"A write fault takes the mark for leave to write in place: one process's write appears in the other's memory\.",
    r"The next write there is answered with a copy: the process goes on with a new frame, the device with this one\.",
    (
        r"A walker without locks holds no reference on the table it is in: whoever lets go of a table "
        r"must wait until no CPU can be inside\."
    ),
    r"Both read and write the same bytes, and whoever frees it first frees it under the other\.",
    (
        r"The driver's reference keeps the page, not its place in the file: what is written on "
        r"one side is not seen on the "
        r"other, and nobody was told\."
    ),
    r"The byte never arrives, and no error is reported\.",
    r"(?:The device|Whoever reads it) works with old data, and no error is reported\.",
    r"it will not write the page again, and may drop it\.",
    r"get_user_pages\(\) refuses such pages; whoever walks the page tables directly must look at the VMA too\.",
    r"no entry is asked, so there is no fault\.",
    r"whoever reads there finds what they never wrote\.",
    r"\(\d+ more frames? likewise\)",
)
"""What is true at any time, and tells nothing of the case."""


def hold_clauses(scene: MachineView, text: str, before: MachineView | None = None) -> set[str]:
    """Hold every clause of a sentence against the State; returns which there are.

    What is said of the State before a step is held against that, if it is given.
    """
    met = set()
    for clause in CLAUSES:
        where = before if clause.before else scene
        if where is None:
            continue
        for said in re.finditer(clause.said, text):
            assert clause.holds(where, said), (clause.said, text)
            met.add(clause.said)
    return met


def uncovered(text: str) -> str:
    """What a message says that no clause is about; empty if all of it is covered."""
    left = list(text)
    for start, end in _spans(text):
        left[start:end] = "\0" * (end - start)
    return "…".join(part for part in re.split("\0+", "".join(left)) if re.search(r"\w", part))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (*(clause.said for clause in CLAUSES), *GENERAL):
        for said in re.finditer(pattern, text):
            yield said.span("claim") if "claim" in said.re.groupindex else said.span()
