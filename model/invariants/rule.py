"""What a rule is: an invariant, how to see that it is broken, and what of a State that depends on.

There is one kind of rule for each kind of thing that can be wrong. What a rule declares in `reads` is what makes the
checker look at it again: a table that a rule reads and does not declare is never looked at in time. A test changes
every table under every rule and says which declaration is missing, or not true.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from model.invariants.case import Case
from model.invariants.machine_view import MachineView
from model.invariants.violation import Invariant, Severity, Violation
from model.memory.events import Access, FreedTableRead, Splat
from model.memory.records import Pte, Reference, TlbEntry
from model.memory.state import Change

Reads = Mapping[str, tuple[str, ...] | None]
"""Table of the State → the fields of its records that a verdict depends on. None: the whole entry. No fields at all:
only whether there is an entry."""


class FrameRule(msgspec.Struct, frozen=True):
    """About one frame."""

    invariant: Invariant
    reads: Reads
    broken: Callable[[Case], bool]
    explain: Callable[[Case], Violation]
    holds_at_rest: bool = False
    """A page that only its buffer has (`at_rest`) cannot break it, so it is not asked about such pages."""
    of_surplus: bool = False
    """All that matters of counts and holders is by how much those exceed these: a step that changes both alike makes no
    difference, as long as no count is negative."""
    of_folio: bool = False
    """It is about counts that a large folio has once, so it is asked about the folio, not about each of its pages."""
    severity: Callable[[Case], Severity] | None = None
    """How bad a case is, where not all are as bad as the invariant says."""

    def severity_of(self, case: Case) -> Severity:
        """How bad a case is."""
        return self.severity(case) if self.severity is not None else self.invariant.severity


class ReferenceRule(msgspec.Struct, frozen=True):
    """About one page of one reference."""

    invariant: Invariant
    reads: Reads
    broken: Callable[[MachineView, Reference, int], bool]
    explain: Callable[[MachineView, str, int], Violation]
    """Of a reference by its name, with a bit for each page that breaks the rule."""


class TranslationRule(msgspec.Struct, frozen=True):
    """About one translation that a TLB remembers."""

    invariant: Invariant
    reads: Reads
    outdated: Callable[[Pte, Pte | None], bool]
    """Whether what is cached permits what the entry does not: normal for a moment …"""
    dangerous: Callable[[MachineView, TlbEntry], bool]
    """… and whether such a translation is a violation."""
    explain: Callable[[MachineView, int, str, int], Violation]
    """Of a CPU, a process and a virtual page."""


class LockRule(msgspec.Struct, frozen=True):
    """About locks, and CPUs with interrupts off."""

    invariant: Invariant
    reads: Reads
    broken: Callable[[MachineView, str, str], bool]
    """Of the kind of a lock and its owner; of `cpu` and its number."""
    explain: Callable[[MachineView, str, str], Violation]


class AccessRule(msgspec.Struct, frozen=True):
    """About a byte that was just read or written; judged once, at that moment."""

    invariant: Invariant
    reads: Reads
    judge: Callable[[MachineView, Access], Violation | None]
    """`MachineView` is the one right after the access."""


class ChangeRule(msgspec.Struct, frozen=True):
    """About an entry of the State that has just changed; judged once, at that moment."""

    invariant: Invariant
    reads: Reads
    watches: tuple[str, ...]
    """The tables whose changes are judged."""
    judge: Callable[[MachineView, MachineView, Change], Iterator[Violation]]
    """Given the scenes before and after the step."""
    replaced: tuple[str, ...] = ()
    """Tables of page-table entries of which only a change from one entry to another is judged: in one step, or by a
    call that clears the one and sets the other (`Locals.replaces`). Who only clears or only fills entries is not asked.
    """


class SplatRule(msgspec.Struct, frozen=True):
    """About what the kernel itself complains of."""

    invariant: Invariant
    reads: Reads
    explain: Callable[[MachineView, str, Splat], Violation]
    """What a task's step has printed."""


class TableRule(msgspec.Struct, frozen=True):
    """About an entry that was just read in a page table that is none any more; judged once, at that moment."""

    invariant: Invariant
    reads: Reads
    explain: Callable[[MachineView, FreedTableRead], Violation]


Rule = FrameRule | ReferenceRule | TranslationRule | LockRule | AccessRule | ChangeRule | SplatRule | TableRule
