"""What a broken invariant is, told twice: the rule for everybody, and this case for the learner."""

from typing import Final, Literal, NamedTuple

import msgspec

Severity = Literal["hazard", "corruption", "splat"]

SEVERITIES: Final[tuple[Severity, ...]] = ("hazard", "corruption", "splat")
"""`hazard`: nothing is lost yet, but a belief is already false. `corruption`: bytes reached somebody they do not belong
to, or never reached their reader. `splat`: the kernel itself noticed."""


class Invariant(msgspec.Struct, frozen=True):
    """Something that must hold."""

    name: str
    severity: Severity
    """The usual one; a case may be milder and then says so itself."""
    rule: str
    """What must hold, in one sentence."""
    symptom: str
    """What a real kernel would print, or why it prints nothing."""


class Violation(NamedTuple):
    """One invariant broken in one place."""

    invariant: str
    severity: Severity
    subjects: tuple[str, ...]
    """What it points at, the thing that is wrong first; see `model.invariants.subjects`."""
    message: str
    """This case, in words: who holds, who freed, which page, what happens next."""
    symptom: str

    @property
    def identity(self) -> tuple[str, str]:
        """The same violation in another state has the same identity, whatever its wording there."""
        return self.invariant, self.subjects[0]


Key = tuple[str | int, ...]
"""A standing violation as the checker keeps it: the invariant's name, then what identifies the place."""


def violation(
    invariant: Invariant, subjects: tuple[str, ...], message: str, severity: Severity | None = None
) -> Violation:
    """A violation of `invariant` as `message` tells it; with its usual severity unless another is given."""
    once = tuple(dict.fromkeys(subjects))
    return Violation(invariant.name, severity or invariant.severity, once, message, invariant.symptom)
