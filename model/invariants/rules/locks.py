"""Whether everybody who holds a lock, or keeps a CPU, is still running."""

from typing import Final

from model.invariants.holder_index import irqs_off, lock_holders
from model.invariants.machine_view import MachineView
from model.invariants.rule import LockRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation

LOCK_LEFT_HELD: Final = Invariant(
    "lock-left-held",
    "hazard",
    "Whoever holds a lock, or has interrupts off on a CPU, is a call that is still running.",
    "With lockdep `WARNING: lock held when returning to user space!`; otherwise the next one to want it hangs, and "
    "after 120 s `INFO: task … blocked for more than 120 seconds`.",
)


def left_held(scene: MachineView, kind: str, owner: str) -> bool:
    """Whether the holder of a lock is gone, or whoever has interrupts off on a CPU (`cpu`, its number)."""
    state = scene.state
    held = irqs_off(state.cpus.get(int(owner))) if kind == "cpu" else lock_holders(state.locks.get((kind, owner)))
    return any(task not in state.tasks for task in held)


def explain_left_held(scene: MachineView, kind: str, owner: str) -> Violation:
    """Which lock, who took it, and who will wait for it for ever."""
    if kind == "cpu":
        holder = scene.state.cpus[int(owner)].irqs_off_by
        message = (
            f"Task {holder} has ended with interrupts off on cpu{owner}: nothing is ever scheduled there again, and "
            "a TLB flush waits for that CPU for ever."
        )
        return violation(LOCK_LEFT_HELD, (subject("cpu", owner), subject("task", holder)), message)
    lock = scene.state.locks[kind, owner]
    gone = [task for task in (lock.writer, *lock.readers) if task and task not in scene.state.tasks]
    message = (
        f"Task {gone[0]} has ended and still holds {kind} of {owner}: the next call that needs it "
        f"{'to change something ' if not lock.writer else ''}waits for ever."
    )
    return violation(LOCK_LEFT_HELD, (subject("lock", kind, owner), *(subject("task", task) for task in gone)), message)


RULES: Final = (
    LockRule(
        LOCK_LEFT_HELD,
        {"locks": ("writer", "readers"), "cpus": ("irqs_off_by",), "tasks": ()},
        left_held,
        explain_left_held,
    ),
)
