"""Buffer objects from birth to end: allocate the backing store, and free it when nobody has the buffer any more."""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.buffer import (
    EVICTED_BY_OTHERS,
    FILE_PREFIX,
    drop_handle,
    least_recently_used,
    lookup_buffer,
    own_file,
    use,
)
from model.kernel.drivers.driver import driver_alloc, driver_of, holds_references, new_files
from model.kernel.drivers.ttm_pool import vram_room
from model.kernel.mm.filemap import release_file
from model.memory.buffer_records import Buffer, Place
from model.memory.errno import EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC
from model.memory.state import Transaction
from model.memory.units import Word


class gem_create(Procedure):
    """A new buffer object, its backing store allocated at once. Returns 0 or an errno."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_init_reserved"
    name: str
    pages: int
    place: Place = "system"
    exporter: Word = "qxl"
    caching: Word = "wc"
    victim: str = ""
    """The buffer that was to leave the video memory."""

    @step
    def make_room(self, tx: Transaction) -> Outcome:
        """In video memory: if there is not enough, evict what was used longest ago."""
        if self.name in tx.buffers:
            return fail(EEXIST)
        if self.pages <= 0:
            return fail(EINVAL)
        if self.pages > tx.counters["managed_pages"]:
            return fail(ENOMEM)
        if self.place != "vram" or vram_room(tx) >= self.pages:
            return goto(gem_create.allocate)
        victim = least_recently_used(tx, but="")
        if victim is None or victim == self.victim:  # nobody may leave, or whoever should has stayed
            return fail(ENOSPC)
        self.victim = victim

        from model.kernel.drivers.driver_steps import eviction

        return call(eviction(tx, victim))

    @step
    def look_again(self, tx: Transaction) -> Outcome:
        """One buffer has left the video memory."""
        gone = -self.ret in EVICTED_BY_OTHERS
        return goto(gem_create.make_room) if self.ret >= 0 or gone else done(self.ret)

    @step
    def allocate(self, tx: Transaction) -> Outcome:
        """Take the pages: from the TTM pool, the page allocator, the video memory, or their shmem file."""
        if self.name in tx.buffers:  # another task was faster with this name
            return fail(EEXIST)
        driver = driver_of(tx, self.exporter)
        file = FILE_PREFIX + self.name
        new_files(tx, driver, self.name, self.pages)
        later = driver.pages_per_mapping
        frames = () if later else driver_alloc(tx, driver, self.name, self.pages, self.place, self.caching)
        if isinstance(frames, int):
            release_file(tx, file)
            return done(frames)
        counted, pinned = holds_references(driver)
        tx.buffers[self.name] = Buffer(
            pages=self.pages,
            exporter=self.exporter,
            place="none" if later else "vram" if driver.backing == "vram" else self.place,
            caching=self.caching,
            frames=() if driver.insert == "file" else frames,  # where those are the file knows: they may be swapped
            file=file,
            memfd=own_file(self.name) if driver.backing == "shmem" and driver.insert != "file" else "",
            pinned=pinned,
            counted=counted,
            last_use=use(tx, self.name),
        )
        return done()


class gem_destroy(Procedure):
    """The driver gives a buffer up: its GEM handle is closed. The memory goes with the last mapping and importer."""

    source: ClassVar[str] = "drivers/gpu/drm/drm_gem.c: drm_gem_handle_delete, drm_gem_object_put"
    name: str

    @step
    def close_handle(self, tx: Transaction) -> Outcome:
        """Wait for a move of it to end. Then close the handle, and the file descriptors of the dma-bufs made of it.

        A dma-buf that a device imports lives on: the importer holds its file. If nobody imports the buffer and
        nothing maps it, its memory is freed now.
        """
        bo = lookup_buffer(tx, self.name)
        if bo is None or bo.closed:
            return fail(ENOENT)
        if (wait := down_write(tx, "dma_resv", self.name)) is not None:
            return wait
        up_write(tx, "dma_resv", self.name)
        imported = {dmabuf for (dmabuf, _), _ in tx.attachments.items()}
        handles = bo.handles
        for name in [name for name, exported in tx.dma_bufs.items() if exported.buffer == self.name]:
            if name in imported:
                tx.dma_bufs.update(name, closed=True)
            else:
                del tx.dma_bufs[name]
                handles -= 1
        file = tx.buffers.update(self.name, handles=handles, closed=True).file
        if drop_handle(tx, self.name):
            release_file(tx, file)
        return done()
