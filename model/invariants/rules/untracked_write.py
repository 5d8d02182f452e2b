"""Whether userfaultfd hears of every write to what it has write-protected.

Whoever write-protects memory to copy it while the program runs (a snapshot of a virtual machine, CRIU) relies on a
fault before each write. A device that pinned a page before needs no entry for its writes, and so raises no fault.
"""

from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import accessed, place
from model.invariants.rule import AccessRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import Access
from model.memory.flags import PAGE_UFFD_WP
from model.text.wording import phrase

UNTRACKED_WRITE: Final = Invariant(
    "untracked-write",
    "hazard",
    "Nobody writes to a page that userfaultfd has write-protected without its being told.",
    "Prints nothing: a snapshot that relies on the protection misses the byte, or has half of what was written.",
)


def untracked_write(scene: MachineView, access: Access) -> Violation | None:
    """A device, or the holder of a reference, has written to a page whose entry is write-protected by userfaultfd."""
    if not access.write or not (access.reference or access.device):
        return None
    for holder in sorted(scene.holders(access.pfn, "pte")):
        entry = scene.entry(holder.owner, holder.number)
        if entry is not None and entry.bits & PAGE_UFFD_WP:
            break
    else:
        return None
    message = phrase(
        "{wrote}. At {place} userfaultfd has write-protected it, and was not told: no entry is asked, so there is no "
        "fault.",
        wrote=accessed(scene, access),
        place=place(scene, holder.owner, holder.number),
    )
    subjects = (subject("ref", access.reference),) if access.reference else ()
    entries = subject("pte", holder.owner, holder.number)
    return violation(UNTRACKED_WRITE, (*subjects, subject("frame", access.pfn), entries), message)


RULES: Final = (AccessRule(UNTRACKED_WRITE, {"ptes": None, "labels": None}, untracked_write),)
