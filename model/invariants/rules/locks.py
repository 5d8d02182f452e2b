"""Whether everybody who holds a lock, or keeps a CPU, is still running."""

from collections.abc import Iterator
from typing import Final

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


def left_held(scene: MachineView) -> Iterator[tuple[str, str]]:
    """The (kind, owner) of each lock whose holder is gone; a CPU stands as (`cpu`, its number)."""
    tasks = scene.state.tasks
    for (kind, owner), lock in scene.state.locks.items():
        if any(task and task not in tasks for task in (lock.writer, *lock.readers)):
            yield kind, owner
    for number, cpu in scene.state.cpus.items():
        if cpu.irqs_off_by and cpu.irqs_off_by not in tasks:
            yield "cpu", str(number)


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
