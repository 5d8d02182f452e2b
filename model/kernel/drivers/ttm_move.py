"""Moving a buffer: take the entries away, copy, and give the old memory to somebody else.

No step of this asks for the refcount of a page (kernel-facts I.2). Whoever holds a reference keeps, at best, a frame;
what he believes to be "the buffer" is elsewhere. That is right as long as nobody can get such a reference.
"""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.buffer import (
    alloc_backing,
    buffer_of,
    drop_handle,
    get_buffer,
    least_recently_used,
    lookup_buffer,
    use,
)
from model.kernel.drivers.dma_buf_notify import dma_buf_move_notify
from model.kernel.drivers.exporter import exporter
from model.kernel.drivers.gpu import bindings, i915_gem_object_unset_pages
from model.kernel.drivers.ttm_pool import free_frames, vram_room
from model.kernel.mm.filemap import release_file
from model.kernel.mm.page import get_page
from model.kernel.mm.reclaim import reclaim_pages
from model.kernel.mm.unmap import unmap_mapping_range
from model.memory.errno import EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC
from model.memory.records import Buffer, Copied, Place
from model.memory.state import Transaction
from model.memory.units import Pfn, Word

SYSTEM: tuple[Place, ...] = ("gtt", "system")


class ttm_bo_unmap_virtual(Procedure):
    """Take every CPU mapping of a buffer away: the next access faults, and finds the new place."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_unmap_virtual; drm_vma_node_unmap"
    buffer: str

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Call it over the buffer's whole range of the device file: all processes, private copies too.

        A driver with a bug (exporter=no-zap) leaves this out, or does not flush (exporter=no-flush).
        """
        buffer = tx.buffers[self.buffer]
        driver = exporter(tx, buffer.exporter)
        if not driver.zaps:
            return done()
        return call(unmap_mapping_range(file=buffer.file, offset=0, flush=driver.flushes))


class ttm_bo_move(Procedure):
    """Move a buffer elsewhere; the caller holds its reservation. Returns 0 or an errno."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_handle_move_mem"
    buffer: str
    place: Place
    frames: tuple[Pfn, ...] = ()
    """The new memory, until the buffer has it."""
    old_frames: tuple[Pfn, ...] = ()
    """The memory before, until it is free."""

    def bo(self, tx: Transaction) -> Buffer:
        """Look the buffer up: it changes in the course of the move."""
        return tx.buffers[self.buffer]

    @step
    def unmap_virtual(self, tx: Transaction) -> Outcome:
        """First of all, nuke the PTEs. Nobody is asked whether he holds a reference on one of the pages.

        A driver with a bug (exporter=late-zap) does so only when it has copied the buffer.
        """
        if exporter(tx, self.bo(tx).exporter).zaps_late:
            return None
        return call(ttm_bo_unmap_virtual(buffer=self.buffer))

    @step
    def move_notify(self, tx: Transaction) -> Outcome:
        """Tell the dynamic importers of its dma-bufs: their devices must look again before the next access."""
        dma_buf_move_notify(tx, self.buffer)
        return None

    @step
    def make_room(self, tx: Transaction) -> Outcome:
        """Is there enough video memory? If not, evict the buffer that was used longest ago, and look again."""
        bo = self.bo(tx)
        if self.place != "vram" or vram_room(tx) >= bo.pages:
            return None
        victim = least_recently_used(tx, but=self.buffer)
        if victim is None:
            return fail(ENOSPC)
        return call(ttm_bo_evict(buffer=victim), then=ttm_bo_move.made_room)

    @step
    def allocate(self, tx: Transaction) -> Outcome:
        """Allocate memory at the new place. Between system memory and GTT the pages stay as they are."""
        bo = self.bo(tx)
        if bo.frames and self.place in SYSTEM and bo.place in SYSTEM:
            tx.buffers.update(self.buffer, place=self.place, last_use=use(tx, self.buffer))
            return done()
        frames = alloc_backing(tx, self.buffer, bo.pages, self.place, bo.caching)
        if frames is None:
            return fail(ENOSPC if self.place == "vram" else ENOMEM)
        self.frames = frames
        return None

    @step
    def copy(self, tx: Transaction) -> Outcome:
        """The blit: the content goes from the old frames to the new ones. Later writes to the old ones are lost."""
        bo = self.bo(tx)
        for page, pfn in enumerate(self.frames):
            old = tx.content.get(bo.frames[page]) if bo.frames else (bo.swap[page] if bo.swap else 0)
            if (tx.content.get(pfn) or 0) != (old or 0):
                tx.content[pfn] = old or 0
        if bo.frames:
            tx.emit(Copied(self.frames, bo.frames))
        if exporter(tx, bo.exporter).zaps_late:
            return call(ttm_bo_unmap_virtual(buffer=self.buffer))
        return None

    @step
    def switch(self, tx: Transaction) -> Outcome:
        """From here on the buffer *is* the new memory."""
        old = self.bo(tx)
        tx.buffers.update(self.buffer, frames=self.frames, place=self.place, swap=(), last_use=use(tx, self.buffer))
        self.frames, self.old_frames = (), old.frames
        return None

    @step
    def free_old(self, tx: Transaction) -> Outcome:
        """Recycle or free the old memory. The next buffer that asks gets it, with whatever references are on it."""
        free_frames(tx, self.old_frames, self.bo(tx).caching)
        self.old_frames = ()
        return done()

    @step
    def made_room(self, tx: Transaction) -> Outcome:
        """One buffer has left the video memory."""
        return done(self.ret) if self.ret < 0 else goto(ttm_bo_move.make_room)


class ttm_bo_evict(Procedure):
    """Evict one buffer from video memory to make room for another."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_evict"
    buffer: str

    @step
    def reserve(self, tx: Transaction) -> Outcome:
        """Take the victim's reservation: no fault and no other move of it meanwhile. If it has gone, all the better."""
        if self.buffer not in tx.buffers:
            return done()
        if (wait := down_write(tx, "dma_resv", self.buffer)) is not None:
            return wait
        get_buffer(tx, self.buffer)
        return None

    @step
    def move(self, tx: Transaction) -> Outcome:
        """Move it to system memory like any other."""
        return call(ttm_bo_move(buffer=self.buffer, place="system"))

    @step
    def unreserve(self, tx: Transaction) -> Outcome:
        """Allow faults again: they will find it in its new place. If its last user has left meanwhile, free it."""
        unreserve(tx, self.buffer)
        return done(self.ret)


class ttm_swapout(Procedure):
    """Swap a buffer's system pages out: the caller holds the reservation."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_swapout; ttm_tt.c: ttm_tt_swapout"
    buffer: str

    @step
    def unmap_virtual(self, tx: Transaction) -> Outcome:
        """Nuke the PTEs."""
        return call(ttm_bo_unmap_virtual(buffer=self.buffer))

    @step
    def swapout(self, tx: Transaction) -> Outcome:
        """Tell the importers, copy the content away, and free the pages - again without a look at their refcounts."""
        dma_buf_move_notify(tx, self.buffer)
        bo = tx.buffers[self.buffer]
        if not bo.frames:
            return done()
        content = tuple(tx.content.get(pfn) or 0 for pfn in bo.frames)
        free_frames(tx, bo.frames, bo.caching)
        tx.buffers.update(self.buffer, frames=(), place="swapped", swap=content)
        return done()


class move_buffer(Procedure):
    """The driver wants a buffer somewhere else: `move`, `evict` (out of VRAM, or swapped out), `invalidate`."""

    source: ClassVar[str] = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_validate"
    buffer: str
    what: Word
    """`vram`, `gtt`, `system`, `evict` or `invalidate`."""

    @step
    def reserve(self, tx: Transaction) -> Outcome:
        """Take the buffer's reservation lock. A pinned buffer does not move, nor does one whose driver never moves."""
        bo = lookup_buffer(tx, self.buffer)
        if bo is None:
            return fail(ENOENT)
        driver = exporter(tx, bo.exporter)
        shrinks = self.what == "evict" and driver.insert == "shmem"
        if self.what != "invalidate" and not driver.moves and not shrinks:
            return fail(EINVAL)
        if self.what != "invalidate" and bo.pin_count:
            return fail(EBUSY if self.what == "evict" else EINVAL)
        if self.what == bo.place:
            return done()
        if (wait := down_write(tx, "dma_resv", self.buffer)) is not None:
            return wait
        get_buffer(tx, self.buffer)
        return None

    @step
    def move(self, tx: Transaction) -> Outcome:
        """Do it."""
        bo = tx.buffers[self.buffer]
        match self.what:
            case "invalidate":
                return call(ttm_bo_unmap_virtual(buffer=self.buffer))
            case "evict" if exporter(tx, bo.exporter).insert == "shmem":
                return call(i915_gem_shrink(file=bo.file, pages=bo.pages))
            case "evict" if bo.place == "vram":
                return call(ttm_bo_move(buffer=self.buffer, place="system"))
            case "evict":
                return call(ttm_swapout(buffer=self.buffer))
            case "vram":
                return call(ttm_bo_move(buffer=self.buffer, place="vram"))
            case "gtt":
                return call(ttm_bo_move(buffer=self.buffer, place="gtt"))
            case _:
                return call(ttm_bo_move(buffer=self.buffer, place="system"))

    @step
    def unreserve(self, tx: Transaction) -> Outcome:
        """Give the reservation back: a fault that waited for it finds the buffer in its new place."""
        unreserve(tx, self.buffer)
        return done(self.ret)


class i915_gem_shrink(Procedure):
    """Swap the pages of a shmem buffer out, like those of any shmem file. A page that somebody references stays.

    The caller holds the buffer and its lock.
    """

    source: ClassVar[str] = "drivers/gpu/drm/i915/gem/i915_gem_shrinker.c, i915_gem_shmem.c: __shmem_writeback"
    file: str
    pages: int
    index: int = 0

    @step
    def unset_pages(self, tx: Transaction) -> Outcome:
        """Take the object away from the GPU first, where it is bound."""
        buffer = buffer_of(self.file)
        return call(i915_gem_object_unset_pages(buffer=buffer)) if bindings(tx, buffer) else None

    @step
    def unmap_mapping_range(self, tx: Transaction) -> Outcome:
        """Nuke the PTEs: they are ordinary ones, and each gives its reference and its mapcount back."""
        return call(unmap_mapping_range(file=self.file, offset=0))

    @step
    def writeback(self, tx: Transaction) -> Outcome:
        """Take the next page, and have it written to swap. *Here* references are asked for: with one more it stays."""
        while self.index < self.pages and (self.file, self.index) not in tx.page_cache:
            self.index += 1
        if self.index == self.pages:
            return done()
        pfn = tx.page_cache[self.file, self.index]
        self.index += 1
        get_page(tx, pfn)
        return call(reclaim_pages(holds=(pfn,)), then=i915_gem_shrink.writeback)


def unreserve(tx: Transaction, name: str) -> None:
    """Whoever worked on a buffer is done with it: unlock it, and free it if he was the last."""
    file = tx.buffers[name].file
    up_write(tx, "dma_resv", name)
    if drop_handle(tx, name):
        release_file(tx, file)
