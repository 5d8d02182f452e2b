"""What a driver counts of its mappings: its ->mmap and vm_ops->open one more, its ->close one less.

Of most drivers nothing is counted here: the file behind a VMA keeps the buffer, which comes to the same. It makes a
difference where the first mapping takes the pages (`counts per-mapping`), and where ->open or ->close forgets to count.
"""

from typing import Final

from model.driver_files.records import KernelDriver
from model.engine.lock import await_free
from model.engine.procedure import Blocked
from model.engine.splat import warn_on
from model.kernel.drivers.buffer import buffer_of, give_back
from model.kernel.drivers.driver import driver_of, take_hold
from model.kernel.drivers.driver_fault import lock_kind
from model.kernel.drivers.shmem_pages import shmem_pages
from model.memory.records import Vma
from model.memory.state import Memory, Transaction

REFCOUNT: Final = "lib/refcount.c:{line} refcount_warn_saturate"


def counting_driver(mem: Memory, file: str) -> KernelDriver | None:
    """The driver of the buffer behind a file, if it counts the mappings of its buffers; else None."""
    buffer = mem.buffers.get(buffer_of(file))
    driver = None if buffer is None else driver_of(mem, buffer.exporter)
    return driver if driver is not None and driver.counts_mappings else None


def mapping_lock(tx: Transaction, *files: str) -> Blocked | None:
    """Wait for the locks under which the first mapping takes the pages, and the last one gives them back.

    They are those that the driver's ->fault takes: drivers/gpu/drm/drm_gem_shmem_helper.c: drm_gem_shmem_mmap,
    drm_gem_shmem_vm_close have the dma_resv (6.12).
    """
    for file in files:
        driver = counting_driver(tx, file)
        if driver is None or not driver.pages_per_mapping:
            continue
        for lock, _ in driver.fault_locks:
            if (wait := await_free(tx, lock_kind(lock), buffer_of(file))) is not None:
                return wait
    return None


def mmap_locks(tx: Transaction, file: str) -> Blocked | None:
    """Wait for the locks that the driver's ->mmap takes: nothing comes between there, so they are free behind it."""
    name = buffer_of(file)
    for lock in driver_of(tx, tx.buffers[name].exporter).mmap_locks if name else ():
        if (wait := await_free(tx, lock_kind(lock), name)) is not None:
            return wait
    return None


def count_mmap(tx: Transaction, vma: Vma) -> int:
    """->mmap: one mapping more; the first takes the pages of the file. Returns 0 or -ENOMEM."""
    driver, name = counting_driver(tx, vma.file), buffer_of(vma.file)
    if driver is None:
        return 0
    buffer = tx.buffers[name]
    if driver.pages_per_mapping and not buffer.users:
        frames = shmem_pages(tx, buffer.memfd, buffer.pages)
        if isinstance(frames, int):
            return frames
        take_hold(tx, driver, frames)
        tx.buffers.update(name, frames=frames, place="system")
    tx.buffers.update(name, users=buffer.users + 1)
    return 0


def count_open(tx: Transaction, vma: Vma) -> None:
    """vm_ops->open, of a VMA that fork(), mremap() or a split has made: one mapping more, unless it forgets."""
    driver, name = counting_driver(tx, vma.file), buffer_of(vma.file)
    if driver is not None and driver.opens != "forgets":
        tx.buffers.update(name, users=tx.buffers[name].users + 1)


def count_close(tx: Transaction, vma: Vma) -> None:
    """vm_ops->close: one mapping less, unless it forgets; with the last one the pages go back.

    Where nobody else is counted the buffer's memory goes, whoever still maps it.
    """
    driver, name = counting_driver(tx, vma.file), buffer_of(vma.file)
    if driver is None or driver.closes == "forgets":
        return
    buffer = tx.buffers[name]
    users = buffer.users - 1
    buffer = tx.buffers.update(name, users=users)
    if buffer.handles + users < 0:
        warn_on(tx, REFCOUNT.format(line=28), "refcount_t: underflow; use-after-free.")
    if not buffer.frames or (buffer.handles + users and (users or not driver.pages_per_mapping)):
        return
    give_back(tx, buffer, buffer.frames)
    tx.buffers.update(name, frames=(), place="none")


def count_user(tx: Transaction, name: str) -> None:
    """A call begins to work on a buffer (kref_get): if its last reference has been put already, the kernel warns."""
    buffer = tx.buffers[name]
    if counting_driver(tx, buffer.file) is not None and not buffer.handles + buffer.users:
        warn_on(tx, REFCOUNT.format(line=25), "refcount_t: addition on 0; use-after-free.")
