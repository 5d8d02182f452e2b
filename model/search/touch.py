"""What a micro-step has to do with others: what it looks at, what it changes, and what it waits for.

All of it as marks: a bit for each component of a packed state, and one for each table.
"""

from typing import NamedTuple


class Touch(NamedTuple):
    """What a transition has to do with others, as marks of components and tables.

    Two transitions neither of which changes what the other one looks at can change places: both do what they did, and
    break what they broke. What a transition changes it also looks at, so two that change the same thing are no such
    pair; with two exceptions. Readers of a lock come and go in any order (kernel/locking/rwsem.c): `down_read` looks
    for a writer alone, and the readers are kept in an order of their own. And in the checker's index whoever begins or
    ceases to hold something is put among the others in an order that does not depend on who came first.
    """

    looked: int
    changed: int
    heeds: int
    """What it looks at and somebody else might change before it is made. Less than `looked`: a step is made only while
    its CPU has interrupts on, and who waits for a lock waits until its holder moves."""
    made: bool = True
    """Whether it is possible."""
    waits_for: int = 0
    """If it is not because somebody holds a lock, or has interrupts off on a CPU: the mark of that."""
    read_locks: int = 0
    """The locks that it takes for reading, by waiting for them; its CPU among them, whose interrupts must be on."""
    write_locks: int = 0
    """Those that it takes for writing."""
