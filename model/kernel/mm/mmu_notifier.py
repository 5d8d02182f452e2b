"""MMU notifiers: whoever uses a process's memory without holding its pages is told before entries change.

An interval notifier (mm/mmu_notifier.c) is a subscription to one range. It has a sequence of its own, odd and equal to
that of the mm while an invalidation of its range runs. A user of the memory looks the pages up, then, under its own
lock, checks that the sequence is still the same: `hmm_range_fault` shows how.
"""

import msgspec

from model.engine.procedure import Blocked, blocked
from model.memory.records import Reference
from model.memory.state import Memory, Transaction

NOT_MAPPED = -1
"""In the frames of a mirror: the device's entry is empty, its next access faults."""


def follows_invalidations(reference: Reference) -> bool:
    """A mirror, or KVM's mapping of memory it takes no references on."""
    return reference.kind in ("mirror", "follow") and not reference.counted


def mmu_interval_notifier_insert(tx: Transaction, name: str, reference: Reference) -> None:
    """Subscribe to the range of a reference, its frames still empty (__mmu_interval_notifier_insert)."""
    process = tx.processes[reference.process]
    seq = process.notifier_seq if process.notifier_active else process.notifier_seq - 1
    if process.notifier_active and seq % 2 == 0:
        seq += 1
        tx.processes.update(reference.process, notifier_seq=seq)
    tx.counters["mirrors"] = (tx.counters.get("mirrors") or 0) + 1
    frames = (NOT_MAPPED,) * len(reference.frames)
    tx.references[name] = msgspec.structs.replace(reference, frames=frames, counted=False, seq=seq)


def mmu_interval_notifier_remove(tx: Transaction, name: str) -> None:
    """End a subscription: the device's entries go with it."""
    del tx.references[name]
    tx.counters["mirrors"] = tx.counters["mirrors"] - 1


def subscription(mem: Memory, name: str, wanted: Reference) -> Reference | None:
    """The subscription of this name, if it is the one to the range of `wanted`; somebody else's is none of ours."""
    found = mem.references.get(name)
    if found is None or not follows_invalidations(found):
        return None
    ours = msgspec.structs.replace(wanted, frames=found.frames, seq=found.seq, counted=False, buffer=found.buffer)
    return found if found == ours and len(found.frames) == len(wanted.frames) else None


def mmu_interval_read_begin(mem: Memory, found: Reference) -> Blocked | None:
    """Wait while the range of a subscription is being invalidated. mmu_interval_read_retry() wants its `seq`."""
    if found.seq == mem.processes[found.process].notifier_seq:
        return blocked(f"the invalidation of {found.process} to end")
    return None


def mmu_interval_read_retry(found: Reference, seq: int) -> bool:
    """Whether the range has been invalidated since `seq` was read. The rest of the address space does not matter."""
    return found.seq != seq


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
    seq = process.notifier_seq + (bool(told) and process.notifier_seq % 2 == 0)
    tx.processes.update(mm, notifier_seq=seq, notifier_active=process.notifier_active + 1)
    for name, reference in told:
        frames = tuple(
            NOT_MAPPED if start <= reference.vpn + page < end else pfn for page, pfn in enumerate(reference.frames)
        )
        tx.references[name] = msgspec.structs.replace(reference, frames=frames, seq=seq)


def mmu_notifier_invalidate_range_end(tx: Transaction, mm: str) -> None:
    """The entries are gone; with the last running invalidation the sequence becomes even again (mn_itree_inv_end)."""
    process = tx.processes.get(mm)
    if process is None or not process.notifier_active:
        return
    last = process.notifier_active == 1
    seq = process.notifier_seq + (last and process.notifier_seq % 2)
    tx.processes.update(mm, notifier_active=process.notifier_active - 1, notifier_seq=seq)
