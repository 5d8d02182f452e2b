"""Sleeping locks: who holds them is part of the State, and who waits says for whom.

Spinlocks (the PTE lock, i_pages) need no record: what happens under one is a single micro-step.
"""

from typing import Final

from model.engine.procedure import Blocked, blocked
from model.memory.records import Lock
from model.memory.state import Transaction, Wait

CPU: Final = "cpu"
"""The kind of lock that a CPU with interrupts off is to everybody who must run there, or needs its answer."""


def down_read(tx: Transaction, kind: str, owner: str) -> Blocked | None:
    """Take a lock for reading, or wait for its writer (kernel/locking/rwsem.c)."""
    tx.waits.append(Wait((kind, owner), write=False))
    lock = tx.locks.get((kind, owner))
    if lock is None:
        tx.locks[kind, owner] = Lock(readers=(tx.task_name,))
        return None
    if lock.writer:
        return blocked(f"{kind} of {owner}, held for writing by {lock.writer}")
    tx.locks[kind, owner] = Lock(readers=tuple(sorted((*lock.readers, tx.task_name))))
    return None


def down_write(tx: Transaction, kind: str, owner: str) -> Blocked | None:
    """Take a lock for writing, or wait for whoever holds it."""
    wait = await_free(tx, kind, owner)
    if wait is None:
        tx.locks[kind, owner] = Lock(writer=tx.task_name)
    return wait


def await_free(tx: Transaction, kind: str, owner: str) -> Blocked | None:
    """Wait like a writer, but leave the lock free: it would be taken and given back within the step."""
    tx.waits.append(Wait((kind, owner), write=True))
    lock = tx.locks.get((kind, owner))
    if lock is None:
        return None
    holders = lock.writer or ", ".join(lock.readers)
    return blocked(f"{kind} of {owner}, held by {holders}")


def try_lock(tx: Transaction, kind: str, owner: str) -> bool:
    """Take a lock for writing if nobody holds it."""
    if (kind, owner) in tx.locks:
        return False
    tx.locks[kind, owner] = Lock(writer=tx.task_name)
    return True


def up_read(tx: Transaction, kind: str, owner: str) -> None:
    """Give a lock back that was taken for reading."""
    readers = list(tx.locks[kind, owner].readers)
    readers.remove(tx.task_name)
    if readers:
        tx.locks[kind, owner] = Lock(readers=tuple(readers))
    else:
        del tx.locks[kind, owner]


def up_write(tx: Transaction, kind: str, owner: str) -> None:
    """Give a lock back that was taken for writing."""
    del tx.locks[kind, owner]


def downgrade_write(tx: Transaction, kind: str, owner: str) -> None:
    """Go on as a reader: others may read too from here on."""
    tx.locks[kind, owner] = Lock(readers=(tx.task_name,))
