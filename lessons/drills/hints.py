"""Hints to an exercise: where to look, then what the model says of it that does not give the answer away."""

import re
from collections.abc import Iterable
from typing import Final

from lessons.drills.exercise import Exercise, machine, perform
from lessons.drills.operations import SEEN, seen
from lessons.i18n.language import tr
from model.memory.state import State
from model.script.verbs import VERBS

WHERE: Final = {
    "refcount": (
        "Count who holds the page before and after: each entry that leads to it, each reference, the page cache. "
        "A pin counts 1024, everybody else 1."
    ),
    "mapcount": "Count the entries that lead to the page, in all processes. References are not entries.",
    "pte": (
        "Is the entry still there afterwards? If it is: may it be written, was it read, was it written? "
        "The entry of another process is another entry."
    ),
    "walk": "Write the page's number in binary. Each level takes nine bits of it; PTE takes the lowest nine.",
    "which-op": "Go through both machines line by line: which entries, counts and references differ?",
    "errno": (
        "get_user_pages() asks the flags of the VMA first, then looks at the entry. GUP-fast sees only the entry; "
        "where it gets nothing, the slow way is tried, unless it was to be fast only."
    ),
    "corrupts": (
        "Who holds the page when the write comes, and does the process's entry still lead there? A reference keeps the "
        "page from being freed, not the entry from changing."
    ),
    "folio": (
        "One entry that maps 512 pages is one mapping and one reference. Has the entry been split? Then 512 are. And "
        "who holds one page of a folio holds all of it."
    ),
    "hugetlb": "Huge pages of the pool are never split. Who takes one out of the pool, and who holds it until when?",
    "tables": "A table of entries covers 2 MiB, a PMD table 1 GiB. When does one come, and when can one go?",
    "userfaultfd": "Is the page there after the command? If not: is the range registered for this kind of fault?",
    "ksm": "Merged pages are one frame, which nobody may write to: whoever writes gets a page of their own.",
    "swap": "Where is the content: in a frame, in a slot of swap, or in both? And where does the entry lead?",
}
"""Kind → the first hint."""


def hints(made: Exercise) -> tuple[str, ...]:
    """All hints to an exercise, in the order in which they are given."""
    kind = made.kind.partition("@")[0]
    return tr(WHERE[kind]), _computed_hint(kind, made)


def _computed_hint(kind: str, made: Exercise) -> str:
    """The second hint, computed on the scene."""
    if kind == "walk":
        return tr("Shift right by nine for each level below that table; keep the low nine bits (0x1ff).")
    if kind == "which-op":
        before, after = (seen(_after(made, lines)) for lines in ((), made.account))
        tables = ", ".join(name for table, name in SEEN.items() if before[table] != after[table])
        return tr("What differs: {tables}.").format(tables=tables)
    if kind == "corrupts":
        verbs = dict.fromkeys(line.split()[0] for line in re.findall(r"`([^`]+)`", made.ask))
        return "; ".join(f"`{verb}`: {tr(VERBS[verb].help)}" for verb in verbs)
    runner = machine(made.scene)
    ran = dict.fromkeys(note.procedure for line in made.account for note in perform(runner, line).steps)
    return tr("These functions run: {functions}.").format(functions=", ".join(f"`{name}`" for name in ran))


def _after(made: Exercise, lines: Iterable[str]) -> State:
    """The machine of the scene after these commands."""
    return machine((*made.scene, *lines)).context.state
