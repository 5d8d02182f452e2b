"""userfaultfd: a program handles page faults itself, its own or those of another thread.

Ranges of VMAs are registered; a fault in one does not bring a page, but waits until somebody answers it through the
file descriptor, or ends in SIGBUS. In the kernel most of this stood in fs/userfaultfd.c until 7.2.
"""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import up_read
from model.engine.procedure import Outcome, Procedure, blocked, done, fail, step
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EAGAIN, EBADF, EEXIST, EINVAL, ENOENT
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_UFFD_MINOR,
    VM_UFFD_MISSING,
    VM_UFFD_WP,
)
from model.memory.leaf import leaf_entry
from model.memory.record_base import replaced
from model.memory.records import Userfaultfd
from model.memory.state import Memory, Transaction
from model.memory.units import Word

FEATURES: Final = ("sigbus", "wp_unpopulated", "move", "wp_async", "event_fork")
"""UFFD_FEATURE_* that make a difference here, in lower case."""

MODES: Final = {"missing": VM_UFFD_MISSING, "wp": VM_UFFD_WP, "minor": VM_UFFD_MINOR}
"""UFFDIO_REGISTER_MODE_*: which faults are meant."""


class userfaultfd_open(Procedure):
    """userfaultfd(2) and UFFDIO_API: a file descriptor through which faults of process `mm` can be handled."""

    source: ClassVar[str] = "fs/userfaultfd.c: new_userfaultfd, userfaultfd_api"
    mm: str
    uffd: str
    features: tuple[Word, ...] = ()

    @step
    def userfaultfd_api(self, tx: Transaction) -> Outcome:
        """Make a context for the address space, and choose its features. Nothing is registered yet.

        WP_ASYNC brings WP_UNPOPULATED along: what was not there when it was protected must not look untouched later.
        """
        if self.mm not in tx.processes:
            return fail(ENOENT)
        if self.uffd in tx.userfaultfds:
            return fail(EEXIST)
        if any(feature not in features(tx) for feature in self.features):
            return fail(EINVAL)
        chosen = {*self.features, *(("wp_unpopulated",) if "wp_async" in self.features else ())}
        tx.userfaultfds[self.uffd] = Userfaultfd(self.mm, tuple(sorted(chosen)), (self.mm,))
        return done()


def context_of(mem: Memory, uffd: str, caller: str) -> Userfaultfd | int:
    """The context behind a descriptor of the caller, or EBADF if there is none."""
    context = mem.userfaultfds.get(uffd)
    return EBADF if context is None or caller not in context.open_in else context


def changing_context(mem: Memory, uffd: str, caller: str) -> Userfaultfd | int:
    """The same for whoever changes memory through it: EAGAIN while a call is under way whose event nobody has read.

    Only the event tells of which address space, or where, the pages are from now on (mmap_changing).
    """
    context = context_of(mem, uffd, caller)
    return EAGAIN if isinstance(context, Userfaultfd) and context.changing else context


def mmap_changing(mem: Memory, uffd: str) -> bool:
    """Whether a call is under way whose event nobody has read."""
    context = mem.userfaultfds.get(uffd)
    return context is not None and context.changing > 0


def mmget_not_zero(mem: Memory, context: Userfaultfd) -> bool:
    """Whether the address space of a context is still there: a child may have the descriptor for longer."""
    return context.process in mem.processes


def features(mem: Memory) -> tuple[str, ...]:
    """What UFFDIO_API of this kernel knows."""
    since = {
        "move": "UFFDIO_MOVE",
        "wp_unpopulated": "empty private entries can be write-protected",
        "wp_async": "UFFD_FEATURE_WP_ASYNC",
    }
    return tuple(name for name in FEATURES if name not in since or fact(mem, since[name]))


class handle_userfault(Procedure):
    """A fault that is somebody else's to handle. Waits for an answer; returns VM_FAULT_RETRY, mmap_lock given up.

    With UFFD_FEATURE_SIGBUS, or where the caller cannot wait, it is VM_FAULT_SIGBUS, and mmap_lock is kept.
    """

    source: ClassVar[str] = "fs/userfaultfd.c: handle_userfault"
    mm: str
    vpn: int
    flags: int
    """FAULT_FLAG_* bits."""
    reason: int
    """VM_UFFD_MISSING, VM_UFFD_WP or VM_UFFD_MINOR."""
    uffd: str = ""

    @step
    def add_wait_queue(self, tx: Transaction) -> Outcome:
        """Queue up for whoever reads the file descriptor, then give mmap_lock back: it may take long.

        If the page has come meanwhile nobody needs to be asked, and the access is tried again.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        context = tx.userfaultfds.get(vma.uffd)
        if context is None or "sigbus" in context.features or not self.flags & FAULT_FLAG_ALLOW_RETRY:
            return done(VM_FAULT_SIGBUS)
        up_read(tx, "mmap_lock", self.mm)
        if not must_wait(tx, self.mm, self.vpn, self.reason):
            return done(VM_FAULT_RETRY)
        self.uffd = vma.uffd
        waiting = tuple(sorted((*context.waiting, (tx.task_name, self.vpn))))
        tx.userfaultfds[vma.uffd] = replaced(context, waiting=waiting)
        return None

    @step
    def schedule(self, tx: Transaction) -> Outcome:
        """Sleep until somebody wakes this fault: UFFDIO_COPY and its like, UFFDIO_WAKE, or the end of the descriptor.

        Being woken does not say that the page is there. The access is tried again, and may come back here.
        """
        context = tx.userfaultfds.get(self.uffd)
        if context is not None and (tx.task_name, self.vpn) in context.waiting:
            return blocked(f"an answer through {self.uffd} for page {self.vpn} of {self.mm}")
        return done(VM_FAULT_RETRY)


def must_wait(mem: Memory, mm: str, vpn: int, reason: int) -> bool:
    """Whether the entry still asks for an answer (userfaultfd_must_wait)."""
    pte = leaf_entry(mem, mm, vpn)
    if pte is None or pte.kind == "marker":
        return True
    return bool(pte.present and not pte.writable and reason & VM_UFFD_WP)


def wake_userfault(tx: Transaction, uffd: str, start: int, pages: int) -> None:
    """Every fault that waits for a page of the range goes on (fs/userfaultfd.c)."""
    context = tx.userfaultfds[uffd]
    waiting = tuple(one for one in context.waiting if not start <= one[1] < start + pages)
    if waiting != context.waiting:
        tx.userfaultfds[uffd] = replaced(context, waiting=waiting)


def short(pages: int, wanted: int) -> int:
    """What an ioctl answers that has done at least some pages; how many stands in its structure."""
    return 0 if pages == wanted else -EAGAIN


class userfaultfd_wake(Procedure):
    """UFFDIO_WAKE: whoever waits for a page of the range tries again, whether it is there or not."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_wake"
    caller: str
    """The process that calls: the descriptor may have been inherited from another one."""
    uffd: str
    start: int
    pages: int

    @step
    def wake_userfault(self, tx: Transaction) -> Outcome:
        """Take the faults of the range off the queue."""
        if isinstance(context := context_of(tx, self.uffd, self.caller), int):
            return fail(context)
        if not self.pages:
            return fail(EINVAL)
        wake_userfault(tx, self.uffd, self.start, self.pages)
        return done()
