"""What the kernel itself noticed: each splat is a violation, whatever rule it was that it stumbled over."""

import re
from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.rule import SplatRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import Splat

SPLAT: Final = Invariant(
    "splat",
    "splat",
    "The kernel finds nothing to complain about.",
    "This is the symptom: the lines are in the kernel log, with a call trace.",
)

PFN: Final = r"pfn:(?:0x)?([0-9a-f]+)"

MEANINGS: Final = {
    "BUG: Bad page state": (
        "The allocator looked at the page while taking or giving it out, and its counts or flags were not those of a "
        "free page. The page is set aside for good: the memory is lost, nothing else is repaired."
    ),
    "BUG: Bad page map": (
        "While unmapping, an entry and the page behind it did not fit together: more entries than the mapcount knows "
        "of, or an entry that should not be there."
    ),
    "BUG: Bad page cache": (
        "A page has left its file while page tables still map it: whoever took it away should have cleared the entries."
    ),
    "BUG: Bad rss-counter": (
        "At exit the count of a process's pages was not zero: something was counted and not taken back, or the other "
        "way round."
    ),
    "kernel BUG at": (
        "An assertion of CONFIG_DEBUG_VM failed. The task is killed on the spot and takes what it held with it; the "
        "machine goes on, if it can."
    ),
    "WARNING:": "The kernel has met what should not be possible, says so once, and goes on.",
}
"""How a title begins, and what it means for the learner."""


def explain_splat(scene: MachineView, task: str, splat: Splat) -> Violation:
    """The kernel's words, what they mean, and where the call came from."""
    meaning = next(
        (text for start, text in MEANINGS.items() if splat.title.startswith(start)), "The kernel has complained."
    )
    where = f" It was found in {splat.trace[0]}." if splat.trace else ""
    end = " The task dies here." if splat.fatal else ""
    subjects = [subject("task", task)]
    for line in (splat.title, *splat.lines):
        if found := re.search(PFN, line):
            subjects = [subject("frame", int(found[1], 16)), *subjects]
            break
    name = scene.state.tasks.get(task)
    if name is not None and name.process:
        subjects.append(subject("process", name.process))
    return violation(SPLAT, tuple(subjects), f"{splat.title}. {meaning}{where}{end}")


RULES: Final = (SplatRule(SPLAT, {"tasks": ("process",)}, explain_splat),)
