"""Buffer objects: what a driver keeps of each, and when its memory goes.

A VMA of a buffer pins the *file*, that is, the whole buffer; nobody holds single pages (thread, point 1). The memory
is freed when the last handle, dma-buf and mapping are gone.
"""

from typing import Final

from model.engine.splat import warn_on
from model.kernel.drivers.ttm_pool import free_frames, ttm_pool_alloc, vram_alloc
from model.kernel.mm.page import put_page
from model.kernel.mm.pin import gup_put
from model.kernel.mm.vma import file_is_held
from model.memory.buffer_records import Buffer, Place
from model.memory.errno import EBUSY, ENOENT
from model.memory.records import File
from model.memory.state import Memory, Transaction

FILE_PREFIX = "bo:"
OWN_FILE = "shm:"
"""A shmem file that a driver has made for a buffer: its name begins so."""
EVICTED_BY_OTHERS: Final = (ENOENT, EBUSY)
"""Of the buffer that was to make room: it has gone, or somebody has pinned it meanwhile. Look again."""


def buffer_of(file: str) -> str:
    """The name of the buffer that a device file's range belongs to; empty if the file is not a buffer's."""
    return file.removeprefix(FILE_PREFIX) if file.startswith(FILE_PREFIX) else ""


def own_file(name: str) -> str:
    """The shmem file behind a buffer of a driver with `backing shmem`."""
    return OWN_FILE + name


def buffer_under(mem: Memory, pfns: tuple[int, ...]) -> str:
    """The buffer that the first of some frames belongs to now; empty if none."""
    frame = mem.frames.get(pfns[0]) if pfns else None
    mapping = frame.mapping if frame is not None else ""
    return buffer_of(mapping) if mapping.startswith(FILE_PREFIX) else ""


def lookup_buffer(mem: Memory, name: str) -> Buffer | None:
    """A buffer that still has a handle."""
    buffer = mem.buffers.get(name)
    return buffer if buffer is not None and buffer.handles else None


def alloc_backing(tx: Transaction, name: str, pages: int, place: Place, caching: str) -> tuple[int, ...] | None:
    """Frames for a buffer at a place; None if there is not enough memory there."""
    if place == "vram":
        return vram_alloc(tx, name, pages)
    return ttm_pool_alloc(tx, name, pages, caching)


def use(tx: Transaction, name: str) -> int:
    """The rank of a buffer that is used now: the last in the order of use (ttm_bo_move_to_lru_tail).

    Ranks go from 1 to the number of buffers, so that what differs in nothing but its age is one state.
    """
    buffer, newest = tx.buffers.get(name), tx.counters.get("bo_ranks") or 0
    if buffer is None:
        tx.counters["bo_ranks"] = newest + 1
        return newest + 1
    _close_up(tx, buffer.last_use, newest)
    return newest


def _close_up(tx: Transaction, rank: int, newest: int) -> None:
    """A rank is given up: those behind it move up."""
    if rank == newest:
        return
    for name, buffer in tx.buffers.items():
        if buffer.last_use > rank:
            tx.buffers.update(name, last_use=buffer.last_use - 1)


def least_recently_used(tx: Transaction, but: str) -> str | None:
    """The buffer in video memory that may be evicted first: not pinned, not `but`, not reserved by somebody."""
    candidates = [
        (buffer.last_use, name)
        for name, buffer in tx.buffers.items()
        if buffer.place == "vram" and not buffer.pin_count and name != but and ("dma_resv", name) not in tx.locks
    ]
    return min(candidates)[1] if candidates else None


def get_buffer(tx: Transaction, name: str) -> None:
    """Whoever works on a buffer keeps it from being freed meanwhile (ttm_bo_get)."""
    buffer = tx.buffers[name]
    tx.buffers.update(name, handles=buffer.handles + 1)
    tx.files.update(buffer.file, open=True)


def drop_handle(tx: Transaction, name: str) -> bool:
    """A GEM handle or a dma-buf is closed, or who worked on the buffer is done.

    True: it was the last, and nothing maps or holds the buffer: release its file.
    """
    buffer = tx.buffers[name]
    tx.buffers.update(name, handles=buffer.handles - 1)
    if buffer.handles - 1 + buffer.users < 0:  # ->close has put what was not its own
        warn_on(tx, "lib/refcount.c:28 refcount_warn_saturate", "refcount_t: underflow; use-after-free.")
    if buffer.handles > 1:
        return False
    tx.files.update(buffer.file, open=False)
    return not file_is_held(tx, buffer.file) and not is_leaked(tx, name)


def is_leaked(tx: Transaction, name: str) -> bool:
    """Nobody has the buffer any more. Are there mappings that its driver has never counted off? Then it stays."""
    if tx.buffers[name].users <= 0:
        return False
    tx.buffers.update(name, leaked=True)
    return True


def free_buffer(tx: Transaction, name: str) -> None:
    """Nobody has the buffer any more: its frames go back, whatever their refcounts say.

    Those of a shmem file (i915) are not listed here: they go with the file.
    """
    buffer = tx.buffers[name]
    give_back(tx, buffer, buffer.frames)
    ranks = tx.counters["bo_ranks"]
    _close_up(tx, buffer.last_use, ranks)
    del tx.buffers[name]
    if ranks > 1:
        tx.counters["bo_ranks"] = ranks - 1
    else:
        del tx.counters["bo_ranks"]


def give_back(tx: Transaction, buffer: Buffer, frames: tuple[int, ...]) -> None:
    """Give memory of a buffer back: what the driver holds on the pages of a file, or the pages themselves."""
    if buffer.memfd:
        if buffer.pinned or buffer.counted:
            gup_put(tx, frames, pinned=buffer.pinned)
    elif buffer.counted:
        for pfn in reversed(frames):
            if pfn in tx.frames:
                tx.frames.update(pfn, mapping="")
            put_page(tx, pfn)
    else:
        free_frames(tx, frames, buffer.caching)


def device_file(pages: int) -> File:
    """The buffer's range of the device's address space, through which unmap_mapping_range() finds all its mappings."""
    return File("drm", size=pages)
