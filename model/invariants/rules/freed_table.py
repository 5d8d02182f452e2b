"""Whether walks without locks stay in page tables that are there: nobody counts who walks."""

from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.phrases import place
from model.invariants.rule import TableRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import FreedTableRead
from model.text.wording import phrase, together

FREED_TABLE: Final = Invariant(
    "freed-table",
    "corruption",
    "A walk without locks reads page tables of its process only, and none that has been freed.",
    "Prints nothing: the walker takes whatever is in the page now for entries, and takes the pages they lead to.",
)


def explain_freed_table(scene: MachineView, read: FreedTableRead) -> Violation:
    """What the page is by now, and who should have waited."""
    about = phrase(
        "The walk for {place} reads its entry in {frame}, which was its page table but no longer is.",
        place=place(scene, read.process, read.vpn),
        frame=name_of(scene, read.pfn),
    )
    why = phrase(
        "A walker without locks holds no reference on the table it is in: whoever lets go of a table must wait until "
        "no CPU can be inside."
    )
    message = together((about, _now(scene, read.pfn), why))
    return violation(FREED_TABLE, (subject("frame", read.pfn), subject("process", read.process)), message)


def _now(scene: MachineView, pfn: int) -> str:
    """What stands in the page."""
    frame = scene.frame(pfn)
    match frame.kind:
        case "free":
            return phrase("It is free: what is in it is left over.")
        case "pgtable":
            return phrase("It is a page table of {process}.", process=frame.mapping.removeprefix("mm:"))
        case _:
            return phrase("It holds data, which the walker takes for entries.")


RULES: Final = (TableRule(FREED_TABLE, {"frames": ("kind", "mapping")}, explain_freed_table),)
