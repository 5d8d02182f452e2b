"""udmabuf: a dma-buf of the pages that a memfd has when it is made. What becomes of the memfd is not its business."""

from typing import ClassVar

from model.driver_files.records import KernelDriver
from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, done, fail, step
from model.kernel.drivers.buffer import FILE_PREFIX, device_file, use
from model.kernel.drivers.driver import driver_of, holds_references, take_hold
from model.kernel.drivers.shmem_pages import shmem_pages
from model.memory.buffer_records import Buffer
from model.memory.errno import EBADFD, EEXIST, EINVAL
from model.memory.state import Memory, Transaction
from model.memory.units import Word


class udmabuf_create(Procedure):
    """UDMABUF_CREATE: make a buffer of the first pages of a memfd. Returns 0 or an errno."""

    source: ClassVar[str] = "drivers/dma-buf/udmabuf.c: udmabuf_create"
    name: str
    pages: int
    memfd: str
    exporter: Word = "udmabuf"
    """Any driver that borrows the pages of a memfd."""

    @step
    def check_memfd_seals(self, tx: Transaction) -> Outcome:
        """Is it a memfd, with the seals that the driver wants? udmabuf: F_SEAL_SHRINK, and not F_SEAL_WRITE.

        So nobody can truncate it under the buffer. To punch a hole into it is not forbidden by that. 6.1 asks without
        the inode's lock: a seal may come a moment later.
        """
        if self.name in tx.buffers:
            return fail(EEXIST)
        if self.pages <= 0:
            return fail(EINVAL)
        if (wait := self.inode_lock_shared(tx)) is not None:
            return wait
        error = memfd_refused(tx, driver_of(tx, self.exporter), self.memfd)
        return self.unlock(tx, error) if error else None

    @step
    def udmabuf_pin_folios(self, tx: Transaction) -> Outcome:
        """Take the pages, holes filled: a pin on each (memfd_pin_folios), in 6.1 a reference. Then export them."""
        memfd = tx.files.get(self.memfd)
        if memfd is None or self.name in tx.buffers:  # another task has closed the one or made the other
            return self.unlock(tx, -EBADFD if memfd is None else -EEXIST)
        frames = -EINVAL if memfd.size < self.pages else shmem_pages(tx, self.memfd, self.pages)
        if isinstance(frames, int):
            return self.unlock(tx, frames)
        driver = driver_of(tx, self.exporter)
        if driver.pages_per_mapping:
            frames = ()
        take_hold(tx, driver, frames)
        counted, pinned = holds_references(driver)
        file = FILE_PREFIX + self.name
        tx.files[file] = device_file(self.pages)
        tx.buffers[self.name] = Buffer(
            self.pages,
            self.exporter,
            place="none" if driver.pages_per_mapping else "system",
            frames=frames,
            file=file,
            memfd=self.memfd,
            pinned=pinned,
            counted=counted,
            last_use=use(tx, self.name),
        )
        return self.unlock(tx, 0)

    def inode_lock_shared(self, tx: Transaction) -> Outcome:
        """No seal is added beside us, where the kernel takes care of that."""
        locks = fact(tx, "udmabuf checks seals under the inode's lock") and self.memfd in tx.files
        return down_read(tx, "i_rwsem", self.memfd) if locks else None

    def unlock(self, tx: Transaction, result: int) -> Outcome:
        """Give the inode's lock back and return `result`."""
        if fact(tx, "udmabuf checks seals under the inode's lock") and self.memfd in tx.files:
            up_read(tx, "i_rwsem", self.memfd)
        return done(result)


def memfd_refused(mem: Memory, driver: KernelDriver, name: str) -> int:
    """0, or why no udmabuf can be made of a file: -EBADFD if it is no memfd, -EINVAL for its seals."""
    memfd = mem.files.get(name)
    if memfd is None or not memfd.open or memfd.kind != "memfd":
        return -EBADFD
    sealed = set(driver.require) <= set(memfd.seals) and not set(driver.forbid) & set(memfd.seals)
    return 0 if sealed else -EINVAL
