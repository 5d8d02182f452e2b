"""Access to the memory of another process through GUP: process_vm_readv/writev, /proc/PID/mem, O_DIRECT.

Each takes its references only for as long as it copies.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import is_zero_pfn
from model.kernel.mm.gup import get_user_pages, get_user_pages_unlocked
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.page import set_page_flags
from model.kernel.mm.pin import gup_put
from model.kernel.mm.stack import expand_stack
from model.kernel.mm.vm_ops import vm_operations
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EFAULT, EIO
from model.memory.events import Access
from model.memory.flags import FOLL_FORCE, FOLL_GET, FOLL_PIN, FOLL_REMOTE, FOLL_TOUCH, FOLL_WRITE, PG_DIRTY
from model.memory.state import Transaction


class transient_copy(Procedure):
    """Copy one byte to or from a page that GUP has handed to us, then give the page back. Returns the byte."""

    source: ClassVar[str] = "mm/process_vm_access.c: process_vm_rw_pages"
    mm: str
    vpn: int
    write: bool
    value: int = 0
    device: str = ""
    """O_DIRECT: who does the copying."""

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """The byte goes to or comes from the frame directly, not through the process's page table.

        mmap_lock has been given back: the process may have unmapped the page meanwhile. The reference keeps it, and the
        byte goes where it would have gone just before that.
        """
        (pfn,) = self.pins or self.holds
        if self.write:
            tx.content[pfn] = self.value
        value = tx.content.get(pfn) or 0
        write, where = self.write, (self.mm, self.vpn)
        tx.emit(Access(pfn, write, value, *where, device=self.device, counted=True))
        self.value = value
        return None

    @step
    def put(self, tx: Transaction) -> Outcome:
        """Mark a written page dirty, and release it: unpin_user_pages_dirty_lock() or put_page()."""
        pages, pinned = (self.pins, True) if self.pins else (self.holds, False)
        self.pins = self.holds = ()
        if self.write and not is_zero_pfn(pages[0]):
            set_page_flags(tx, pages[0], PG_DIRTY)
        gup_put(tx, pages, pinned=pinned)
        return done(self.value)


class process_vm_rw(Procedure):
    """process_vm_readv(2), process_vm_writev(2) on one byte: FOLL_PIN on the page of the target. Errors are EFAULT."""

    source: ClassVar[str] = "mm/process_vm_access.c: process_vm_rw_single_vec"
    mm: str
    """The caller."""
    target: str
    vpn: int
    write: bool = False
    value: int = 0

    mm_users: ClassVar[tuple[str, ...]] = ("target",)

    @step
    def pin_user_pages_remote(self, tx: Transaction) -> Outcome:
        """Pin the target's page, for reading or writing. Even the read-only pin breaks copy-on-write sharing there."""
        foll = FOLL_PIN | FOLL_TOUCH | FOLL_REMOTE | (FOLL_WRITE if self.write else 0)
        return call(get_user_pages_unlocked(mm=self.target, vpn=self.vpn, pages=1, foll=foll))

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """Copy the byte and unpin."""
        if self.ret <= 0:
            return fail(EFAULT)
        pins, self.pins = self.pins, ()
        return call(transient_copy(mm=self.target, vpn=self.vpn, write=self.write, value=self.value, pins=pins))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The byte read, or 0."""
        return done(0 if self.write else self.ret)


class process_vm_readv(process_vm_rw):
    """process_vm_readv(2): read a byte of another process."""


class process_vm_writev(process_vm_rw):
    """process_vm_writev(2): write a byte of another process."""

    write: bool = True


class mem_rw(Procedure):
    """A read or write of /proc/PID/mem: FOLL_FORCE, so also where the mapping forbids it. Errors are EIO."""

    source: ClassVar[str] = "fs/proc/base.c: mem_rw; mm/memory.c: __access_remote_vm"
    mm: str
    """The caller."""
    target: str
    vpn: int
    write: bool = False
    value: int = 0

    mm_users: ClassVar[tuple[str, ...]] = ("target",)

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """Under mmap_lock: is anything mapped there? Below a growing stack there may be: it is grown.

        GUP itself never grows a stack.
        """
        process = tx.processes.get(self.target)
        if process is None or process.exiting:
            return fail(EIO)  # mmget_not_zero()
        if (wait := down_read(tx, "mmap_lock", self.target)) is not None:
            return wait
        if vma_lookup(tx, self.target, self.vpn) is not None:
            return goto(mem_rw.get_user_page_vma_remote)
        up_read(tx, "mmap_lock", self.target)
        return call(expand_stack(mm=self.target, vpn=self.vpn))

    @step
    def mmap_read_lock_again(self, tx: Transaction) -> Outcome:
        """The stack has grown as if the process had touched it; or there is none, and nothing to read or write."""
        if self.ret < 0:
            return fail(EIO)
        return down_read(tx, "mmap_lock", self.target)

    @step
    def get_user_page_vma_remote(self, tx: Transaction) -> Outcome:
        """Get the target's page with FOLL_FORCE: a private page is copied first, a shared one must be writable."""
        foll = FOLL_GET | FOLL_FORCE | FOLL_TOUCH | FOLL_REMOTE | (FOLL_WRITE if self.write else 0)
        return call(get_user_pages(mm=self.target, vpn=self.vpn, pages=1, foll=foll, unlockable=False))

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """Copy the byte and put the page. Where GUP refuses, the mapping's own ->access may still do it.

        mmap_lock is held all the while: the VMA that ->access is told of cannot have become another one.
        """
        if self.ret > 0:
            holds, self.holds = self.holds, ()
            copy = transient_copy(mm=self.target, vpn=self.vpn, write=self.write, value=self.value, holds=holds)
            return call(copy)
        vma = vma_lookup(tx, self.target, self.vpn)
        access = vm_operations(vma.ops).access if vma is not None else None
        if access is None:
            up_read(tx, "mmap_lock", self.target)
            return fail(EIO)
        return call(access(mm=self.target, vpn=self.vpn, write=self.write, value=self.value))

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """Unlock. The byte read, or 0; EIO if ->access could not do it."""
        up_read(tx, "mmap_lock", self.target)
        if self.ret < 0:
            return fail(EIO)
        return done(0 if self.write else self.ret)


class mem_read(mem_rw):
    """Read a byte of /proc/PID/mem."""


class mem_write(mem_rw):
    """Write a byte of /proc/PID/mem."""

    write: bool = True


class direct_io(Procedure):
    """One page of O_DIRECT file I/O: the disk's DMA goes to the page of the process itself. Returns the byte moved."""

    source: ClassVar[str] = "block/bio.c: bio_iov_iter_get_pages; lib/iov_iter.c: iov_iter_extract_user_pages"
    mm: str
    vpn: int
    write: bool = False
    """Memory is written: read(2) from the file."""
    value: int = 0

    @step
    def extract_user_pages(self, tx: Transaction) -> Outcome:
        """Take the page with FOLL_PIN (6.1: FOLL_GET), for writing if the disk will write to it."""
        foll = (FOLL_PIN if fact(tx, "O_DIRECT pins") else FOLL_GET) | (FOLL_WRITE if self.write else 0)
        return call(get_user_pages_fast(mm=self.mm, vpn=self.vpn, pages=1, foll=foll))

    @step
    def dma(self, tx: Transaction) -> Outcome:
        """The transfer, and the release of the page when it is complete."""
        if self.ret <= 0:
            return fail(EFAULT)
        pins, holds = self.pins, self.holds
        self.pins = self.holds = ()
        return call(
            transient_copy(
                mm=self.mm, vpn=self.vpn, write=self.write, value=self.value, device="disk", pins=pins, holds=holds
            )
        )

    @step
    def complete(self, tx: Transaction) -> Outcome:
        """bio_endio: the byte that the disk got, or 0."""
        return done(0 if self.write else self.ret)


class direct_write_out(direct_io):
    """pwrite(2) with O_DIRECT: the disk reads the page. Returns the byte that reached the disk."""


class direct_read_in(direct_io):
    """pread(2) with O_DIRECT: the disk writes the page."""

    write: bool = True
