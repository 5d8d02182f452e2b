"""Whether a KSM page keeps its content: it stands in the place of pages whose owners know nothing of each other."""

from collections.abc import Iterator
from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.rule import ChangeRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.flags import PG_KSM
from model.memory.state import Change
from model.text.wording import counted, phrase

KSM_WRITE: Final = Invariant(
    "ksm-write",
    "corruption",
    "The content of a KSM page never changes: everybody who maps it has merged into it for that content.",
    "Prints nothing: ksmd trusts that the stable tree stays sorted. Processes find bytes that nobody wrote for them.",
)


def ksm_write(before: MachineView, after: MachineView, change: Change) -> Iterator[Violation]:
    """Somebody has written to a page that was a KSM page, and still is one."""
    pfn = change.key
    if not before.folio(pfn).flags & after.folio(pfn).flags & PG_KSM:
        return
    message = phrase(
        "{frame:capital} is a KSM page, and now holds {new} instead of {old}. It is mapped by {entries}; whoever reads "
        "there finds what they never wrote.",
        frame=name_of(before, pfn),
        new=change.new or 0,
        old=change.old or 0,
        entries=counted(after.folio(pfn).mapcount, "{n} entry", "{n} entries"),
    )
    yield violation(KSM_WRITE, (subject("frame", pfn),), message)


RULES: Final = (ChangeRule(KSM_WRITE, {"content": None, "frames": ("flags",)}, ("content",), ksm_write),)
