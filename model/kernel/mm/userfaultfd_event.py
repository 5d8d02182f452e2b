"""Events of userfaultfd: whoever handles the faults of a process is told when its address space changes.

The call that changes it waits until the event has been read. Only UFFD_EVENT_FORK is here: with it the child's VMAs are
registered as its parent's are, with a userfaultfd of the child's own, which comes with the event.
"""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, blocked, done, fail, step
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.mm.userfaultfd import context_of
from model.kernel.mm.vma import replace_vma, vmas_in
from model.memory.errno import EAGAIN
from model.memory.flags import VM_UFFD
from model.memory.record_base import replaced
from model.memory.records import Userfaultfd, Vma
from model.memory.state import Transaction
from model.memory.units import Word


def dup_userfaultfd(tx: Transaction, child: str, copy: Vma) -> Vma:
    """The child's VMA is registered with no userfaultfd, unless UFFD_FEATURE_EVENT_FORK was asked for.

    Then it is with one of the child's own. From here on the parent's is changing: the event is still to be read.
    """
    context = tx.userfaultfds.get(copy.uffd)
    if context is None or "event_fork" not in context.features:
        return replaced(copy, flags=copy.flags & ~VM_UFFD, uffd="")
    new = Userfaultfd.of_child(copy.uffd, child)
    if new not in tx.userfaultfds:
        tx.userfaultfds[new] = Userfaultfd(child, context.features)
        tx.userfaultfds.update(copy.uffd, changing=context.changing + 1)
    return replaced(copy, uffd=new)


def forked_contexts(tx: Transaction, child: str) -> tuple[str, ...]:
    """The userfaultfds that have one of the child's own besides, and wait to tell so."""
    return tuple(
        name for name in sorted(tx.userfaultfds.all_keys()) if Userfaultfd.of_child(name, child) in tx.userfaultfds
    )


def release_new(tx: Transaction, uffd: str, child: str) -> None:
    """Nobody will read of the child's userfaultfd: its VMAs are registered no longer (userfaultfd_release_new)."""
    new = Userfaultfd.of_child(uffd, child)
    for vma in list(vmas_in(tx, child, 0, TASK_SIZE)):
        if vma.uffd == new:
            replace_vma(tx, child, vma, replaced(vma, flags=vma.flags & ~VM_UFFD, uffd=""))
    del tx.userfaultfds[new]


class userfaultfd_event_wait_completion(Procedure):
    """Tell whoever reads the descriptor what has happened, and wait until they have read it."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_event_wait_completion; mm/userfaultfd.c since 7.2"
    uffd: str
    event: Word
    child: str = ""

    @step
    def add_wait_queue(self, tx: Transaction) -> Outcome:
        """Queue up: from now on read(2) finds the event."""
        context = tx.userfaultfds.get(self.uffd)
        if context is not None:
            event = (tx.task_name, self.event, self.child)
            tx.userfaultfds.update(self.uffd, events=(*context.events, event))
        return None

    @step
    def schedule(self, tx: Transaction) -> Outcome:
        """Sleep until the event is read, or the descriptor is closed: then the child's userfaultfd goes as well."""
        context = tx.userfaultfds.get(self.uffd)
        if context is None:
            release_new(tx, self.uffd, self.child)
            return done()
        if (tx.task_name, self.event, self.child) in context.events:
            return blocked(f"a reader of {self.uffd}")
        tx.userfaultfds.update(self.uffd, changing=context.changing - 1)
        return done()


class userfaultfd_read(Procedure):
    """read(2) of a userfaultfd until an event comes: whoever waits for its being read goes on. EAGAIN: there is none.

    Faults come first in the kernel; whoever answers them here knows where they are.
    """

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_ctx_read, resolve_userfault_fork"
    caller: str
    uffd: str

    @step
    def userfaultfd_ctx_read(self, tx: Transaction) -> Outcome:
        """Take the first event off the queue. With UFFD_EVENT_FORK the reader gets the child's userfaultfd."""
        if isinstance(context := context_of(tx, self.uffd, self.caller), int):
            return fail(context)
        if not context.events:
            return fail(EAGAIN)
        (_, _, child), *others = context.events
        tx.userfaultfds.update(self.uffd, events=tuple(others))
        tx.userfaultfds.update(Userfaultfd.of_child(self.uffd, child), open_in=(self.caller,))
        return done()
