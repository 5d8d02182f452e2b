"""MMU notifiers: whoever uses a process's memory without holding its pages is told before entries change.

An interval notifier (mm/mmu_notifier.c) has a sequence: odd while an invalidation runs. A user of the memory looks the
pages up, then, under its own lock, checks that the sequence is still the same: `hmm_range_fault` shows how.
"""

import msgspec

from model.memory.records import Reference
from model.memory.state import Transaction

NOT_MAPPED = -1
"""In the frames of a mirror: the device's entry is empty, its next access faults."""


def follows_invalidations(reference: Reference) -> bool:
    """A mirror, or KVM's mapping of memory it takes no references on."""
    return reference.kind in ("mirror", "follow") and not reference.counted


def mmu_notifier_invalidate_range_start(tx: Transaction, mm: str, start: int, end: int) -> None:
    """Entries of [start, end) are about to change: every mirror of them is emptied, and its device flushed.

    Called before the entries are cleared. From here to the end of the invalidation nobody may look pages up.
    """
    if not tx.counters.get("mirrors") or mm not in tx.processes:
        return
    process = tx.processes[mm]
    seq = process.notifier_seq + (process.notifier_seq % 2 == 0)
    tx.processes.update(mm, notifier_seq=seq, notifier_active=process.notifier_active + 1)
    for name, reference in tx.references.items():
        if not follows_invalidations(reference) or reference.process != mm:
            continue
        frames = tuple(
            NOT_MAPPED if start <= reference.vpn + page < end else pfn for page, pfn in enumerate(reference.frames)
        )
        if frames != reference.frames:
            tx.references[name] = msgspec.structs.replace(reference, frames=frames)


def mmu_notifier_invalidate_range_end(tx: Transaction, mm: str) -> None:
    """The entries are gone; with the last running invalidation the sequence becomes even again."""
    process = tx.processes.get(mm)
    if process is None or not process.notifier_active:
        return
    last = process.notifier_active == 1
    tx.processes.update(mm, notifier_active=process.notifier_active - 1, notifier_seq=process.notifier_seq + last)
