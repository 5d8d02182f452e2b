"""MMU notifiers: whoever uses a process's memory without holding its pages is told before entries change.

An interval notifier (mm/mmu_notifier.c) is a subscription to one range. It has a sequence of its own, odd and equal to
that of the mm while an invalidation of its range runs. A user of the memory looks the pages up, then, under its own
lock, checks that the sequence is still the same: `hmm_range_fault` shows how. Here the subscription names who looks,
and an invalidation strikes them out: that says the same, and needs no number that grows.
"""

from typing import Final

from model.engine.procedure import Blocked, blocked
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Memory, Transaction

NOT_MAPPED: Final = -1
"""In the frames of a mirror: the device's entry is empty, its next access faults."""

NO_INVALIDATION: Final = -1
"""The sequence of a subscription whose range nobody is invalidating."""

SEQUENCES: Final = 8
"""How far the sequence of an mm counts: there are only so many states of it, however many invalidations there were."""


def follows_invalidations(reference: Reference) -> bool:
    """A mirror, or KVM's mapping of memory it takes no references on."""
    return reference.kind in ("mirror", "follow") and not reference.counted


def mmu_interval_notifier_insert(tx: Transaction, name: str, reference: Reference) -> None:
    """Subscribe to the range of a reference, its frames still empty (__mmu_interval_notifier_insert).

    Beside an invalidation it may be in the middle of one of its range: it begins as one that waits for that.
    """
    process = tx.processes[reference.process]
    seq = NO_INVALIDATION
    if process.notifier_active:
        seq = odd(process.notifier_seq)
        tx.processes.update(reference.process, notifier_seq=seq)
    tx.counters["mirrors"] = (tx.counters.get("mirrors") or 0) + 1
    frames = (NOT_MAPPED,) * len(reference.frames)
    tx.references[name] = replaced(reference, frames=frames, counted=False, seq=seq)


def mmu_interval_notifier_remove(tx: Transaction, name: str) -> None:
    """End a subscription: the device's entries go with it."""
    del tx.references[name]
    tx.counters["mirrors"] = tx.counters["mirrors"] - 1


def subscription(mem: Memory, name: str, wanted: Reference) -> Reference | None:
    """The subscription of this name, if it is the one to the range of `wanted`; somebody else's is none of ours."""
    found = mem.references.get(name)
    if found is None or not follows_invalidations(found):
        return None
    same = replaced(
        wanted, frames=found.frames, seq=found.seq, looking=found.looking, counted=False, buffer=found.buffer
    )
    return found if found == same and len(found.frames) == len(wanted.frames) else None


def mmu_interval_read_begin(tx: Transaction, name: str) -> Blocked | None:
    """Note the sequence of a subscription. While its range is being invalidated, wait."""
    found = tx.references[name]
    if found.seq == tx.processes[found.process].notifier_seq:
        return blocked(f"the invalidation of {found.process} to end")
    tx.references[name] = replaced(found, looking=tuple(sorted({*found.looking, tx.task_name})))
    return None


def mmu_interval_read_retry(tx: Transaction, name: str) -> bool:
    """Whether the range has been invalidated since this task noted the sequence. The rest of the mm does not matter."""
    found = tx.references[name]
    if tx.task_name not in found.looking:
        return True
    stop_looking(tx, name)
    return False


def stop_looking(tx: Transaction, name: str) -> None:
    """This task has looked up what it wanted, or has given up."""
    found = tx.references[name]
    looking = tuple(task for task in found.looking if task != tx.task_name)
    tx.references[name] = replaced(found, looking=looking)


def odd(seq: int) -> int:
    """The sequence while an invalidation runs."""
    return seq | 1


def mmu_notifier_invalidate_range_start(tx: Transaction, mm: str, start: int, end: int) -> None:
    """Entries of [start, end) are about to change: every mirror of them is emptied, and its device flushed.

    Called before the entries are cleared. From here to the end of the invalidation nobody may look these pages up.
    """
    if not tx.counters.get("mirrors") or mm not in tx.processes:
        return
    process = tx.processes[mm]
    told = [
        (name, reference)
        for name, reference in tx.references.items()
        if follows_invalidations(reference)
        and reference.process == mm
        and reference.vpn < end
        and start < reference.vpn + len(reference.frames)
    ]
    seq = odd(process.notifier_seq) if told else process.notifier_seq
    tx.processes.update(mm, notifier_seq=seq, notifier_active=process.notifier_active + 1)
    for name, reference in told:
        frames = tuple(
            NOT_MAPPED if start <= reference.vpn + page < end else pfn for page, pfn in enumerate(reference.frames)
        )
        tx.references[name] = replaced(reference, frames=frames, seq=seq, looking=())


def mmu_notifier_invalidate_range_end(tx: Transaction, mm: str) -> None:
    """The entries are gone; with the last running invalidation the sequence becomes even again (mn_itree_inv_end)."""
    process = tx.processes.get(mm)
    if process is None or not process.notifier_active:
        return
    seq = process.notifier_seq
    if process.notifier_active == 1 and seq % 2:
        for name, reference in list(tx.references.items()):
            if reference.process == mm and reference.seq == seq:
                tx.references[name] = replaced(reference, seq=NO_INVALIDATION)
        seq = (seq + 1) % SEQUENCES
    tx.processes.update(mm, notifier_active=process.notifier_active - 1, notifier_seq=seq)
