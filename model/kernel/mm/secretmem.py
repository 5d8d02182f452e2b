"""memfd_secret(): memory that even the kernel cannot read by accident, because it has taken it out of its own map."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, call, done, hand_over, step
from model.kernel.mm.filemap import filemap_grab_folio
from model.kernel.mm.page import set_page_flags
from model.kernel.mm.vm_fault import vm_fault
from model.memory.flags import PG_UPTODATE, VM_FAULT_LOCKED, VM_FAULT_OOM, VM_FAULT_SIGBUS
from model.memory.state import Transaction


class secretmem_fault(vm_fault):
    """A fault on secret memory. The entry that it makes is an ordinary one, yet get_user_pages() refuses the page."""

    source: ClassVar[str] = "mm/secretmem.c: secretmem_fault"

    @step
    def filemap_invalidate_lock_shared(self, tx: Transaction) -> Outcome:
        """Beyond the end of the file: SIGBUS. The size is set once and never changes again."""
        file, index = self.where(tx)
        return done(VM_FAULT_SIGBUS) if index >= tx.files[file].size else down_read(tx, "invalidate_lock", file)

    @step
    def find_lock_page(self, tx: Transaction) -> Outcome:
        """Find the file's page, or allocate one for this offset."""
        file, index = self.where(tx)
        return call(filemap_grab_folio(file=file, index=index))

    @step
    def set_direct_map_invalid(self, tx: Transaction) -> Outcome:
        """A new page is zeroed and unmapped from the kernel's direct map: the only translation left is the user's.

        It is unevictable, never written back, never migrated.
        """
        file, _ = self.where(tx)
        up_read(tx, "invalidate_lock", file)
        if self.ret < 0:
            return done(VM_FAULT_OOM)
        (pfn,) = self.holds
        self.holds = ()
        set_page_flags(tx, pfn, PG_UPTODATE)
        return hand_over(VM_FAULT_LOCKED, (pfn,))
