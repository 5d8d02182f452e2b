"""Every invariant there is, and the rules that look at one frame."""

from collections.abc import Callable
from typing import Final, NamedTuple

from model.invariants.rules import buffers, counts, lifetime, locks, splats, transfers, translations
from model.invariants.rules.counts import Case
from model.invariants.violation import Invariant, Violation


class FrameRule(NamedTuple):
    """An invariant about one frame: how to see that it is broken, and how to say so."""

    invariant: Invariant
    broken: Callable[[Case], bool]
    explain: Callable[[Case], Violation]


FRAME_RULES: Final = {
    rule.invariant.name: rule
    for rule in (
        FrameRule(counts.REFERENCE_ACCOUNTING, counts.references_wrong, counts.explain_references),
        FrameRule(counts.MAP_ACCOUNTING, counts.maps_wrong, counts.explain_maps),
        FrameRule(counts.UNDERFLOW, counts.underflow, counts.explain_underflow),
        FrameRule(counts.SPECIAL_COUNTED, counts.special_counted, counts.explain_special),
        FrameRule(lifetime.FREED_WHILE_MAPPED, lifetime.freed_while_mapped, lifetime.explain_freed_while_mapped),
        FrameRule(
            lifetime.FREED_WHILE_REFERENCED, lifetime.freed_while_referenced, lifetime.explain_freed_while_referenced
        ),
        FrameRule(buffers.UNGUARDED_REFERENCE, buffers.unguarded, buffers.explain_unguarded),
        FrameRule(buffers.STALE_MAPPING, buffers.stale_mapping, buffers.explain_stale_mapping),
        FrameRule(buffers.PARTED_PAGES, buffers.parted, buffers.explain_parted),
        FrameRule(buffers.DOUBLE_OWNER, buffers.double_owner, buffers.explain_double_owner),
        FrameRule(lifetime.EXCLUSIVE_SHARED, lifetime.exclusive_shared, lifetime.explain_exclusive_shared),
        FrameRule(lifetime.PINNED_SHARED, lifetime.pinned_shared, lifetime.explain_pinned_shared),
    )
}
"""By the invariant's name."""

INVARIANTS: Final[dict[str, Invariant]] = {
    invariant.name: invariant
    for invariant in (
        translations.STALE_REFERENCE,
        translations.STALE_TLB,
        transfers.FOREIGN_DMA,
        transfers.FOREIGN_ACCESS,
        transfers.LOST_WRITE,
        *(rule.invariant for rule in FRAME_RULES.values()),
        locks.LOCK_LEFT_HELD,
        splats.SPLAT,
    )
}
"""All invariants by name, in the order in which they are best explained."""
