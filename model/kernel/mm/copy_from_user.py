"""A system call reads a page of its caller, as the caller itself would: with page faults, or with none."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.access import flushed, mmu_access
from model.memory.errno import EFAULT
from model.memory.events import Access, Copied
from model.memory.state import Transaction
from model.memory.units import Pfn


class copy_from_user(Procedure):
    """The kernel loads a page of the caller as the caller would. Returns 0 and its frame, or -EFAULT.

    With page faults disabled a page that is not there is not brought.
    """

    source: ClassVar[str] = "arch/x86/lib/copy_user_64.S; include/linux/uaccess.h: pagefault_disable"
    mm: str
    vpn: int
    to: Pfn
    """The frame that it is copied to."""
    pagefault_disabled: bool = False

    @step
    def access(self, tx: Transaction) -> Outcome:
        """The MMU translates the address for reading."""
        return call(mmu_access(mm=self.mm, vpn=self.vpn, pagefault_disabled=self.pagefault_disabled))

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """Copy the page. A fault that cannot be repaired is no signal here: the copy ends with EFAULT."""
        if self.ret:
            return fail(EFAULT)
        (pfn,) = self.out
        if flushed(tx, self.mm, self.vpn, pfn):
            return goto(copy_from_user.access)
        value = tx.content.get(pfn) or 0
        tx.content[self.to] = value
        tx.emit(Access(pfn, write=False, value=value, process=self.mm, vpn=self.vpn))
        tx.emit(Copied((self.to,), (pfn,)))
        return done()
