"""Whose doing counts: of what is broken in a search, that which would not happen without somebody."""

from typing import NamedTuple

from model.invariants.violation import Severity, Violation


class Whose(NamedTuple):
    """Somebody, and what happens without him.

    A violation counts if it is broken by a step of one of his tasks, or speaks of what he holds, or is of a kind that
    the same scene without him never meets. So a driver that does harm by itself does not hide what he does, and none
    of that harm is told as his.
    """

    tasks: frozenset[str]
    names: frozenset[str]
    """What he holds, as the subjects of violations name it: `ref:r`."""
    anyhow: frozenset[tuple[str, Severity]]
    """The kinds of violations that the scene without him meets."""

    def counts(self, task: str, found: Violation) -> bool:
        """Whether a violation that a step of `task` brings about is his."""
        return (
            task in self.tasks
            or (found.invariant, found.severity) not in self.anyhow
            or not self.names.isdisjoint(found.subjects)
        )
