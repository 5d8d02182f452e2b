"""dma-buf: share a buffer between devices. A file for user space, attachments and mappings for importers."""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, step
from model.kernel.drivers.buffer import drop_handle, lookup_buffer
from model.kernel.drivers.driver import driver_of, populate
from model.kernel.drivers.driver_steps import pin_call
from model.kernel.drivers.shmem_pages import shmem_pages
from model.kernel.mm.filemap import release_file
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.mm.page import get_page, put_page
from model.memory.buffer_records import Attachment, DmaBuf
from model.memory.errno import EBUSY, EEXIST, ENOENT, ENOMEM, ERRNO
from model.memory.records import Reference
from model.memory.state import Transaction


class dma_buf_export(Procedure):
    """Make a dma-buf of a buffer: a file that other drivers and processes can be given."""

    source: ClassVar[str] = "drivers/dma-buf/dma-buf.c: dma_buf_export; drm_prime.c: drm_gem_dmabuf_export"
    buffer: str
    name: str

    @step
    def export(self, tx: Transaction) -> Outcome:
        """The file holds the buffer alive. Its f_mapping is the device's, so that a move finds its mappings too."""
        bo = lookup_buffer(tx, self.buffer)
        if bo is None or bo.closed:
            return fail(ENOENT)
        if refused := driver_of(tx, bo.exporter).unexported:
            return fail(ERRNO[refused])
        if self.name in tx.dma_bufs:
            return fail(EEXIST)
        tx.dma_bufs[self.name] = DmaBuf(self.buffer)
        tx.buffers.update(self.buffer, handles=bo.handles + 1)
        return done()


class dma_buf_attach(Procedure):
    """A device becomes an importer. One that cannot follow moves has the buffer pinned."""

    source: ClassVar[str] = "drivers/dma-buf/dma-buf.c: dma_buf_dynamic_attach"
    dmabuf: str
    device: str
    dynamic: bool = False

    @step
    def reserve(self, tx: Transaction) -> Outcome:
        """Take the reservation lock of the buffer."""
        exported = tx.dma_bufs.get(self.dmabuf)
        if exported is None or exported.closed or self.device not in tx.devices:
            return fail(ENOENT)
        if (self.dmabuf, self.device) in tx.attachments:
            return fail(EBUSY)
        return down_write(tx, "dma_resv", exported.buffer)

    @step
    def pin(self, tx: Transaction) -> Outcome:
        """Static importer, dynamic exporter: the exporter pins, and moves to where devices can reach it.

        This pin is TTM's own count. It has nothing to do with FOLL_PIN, and no page knows of it.
        """
        name = tx.dma_bufs[self.dmabuf].buffer
        driver = driver_of(tx, tx.buffers[name].exporter)
        follows = self.dynamic and not driver.pins_every
        pins = bool(driver.pin_place) and not follows
        tx.attachments[self.dmabuf, self.device] = Attachment(dynamic=follows, pinned=pins)
        self.ret = 0
        if not pins:
            return None
        bo = tx.buffers.update(name, pin_count=tx.buffers[name].pin_count + 1)
        taken_there = pin_call(tx, name) if bo.pin_count == 1 else None
        return None if taken_there is None else call(taken_there)

    @step
    def unreserve(self, tx: Transaction) -> Outcome:
        """Give the reservation back."""
        name = tx.dma_bufs[self.dmabuf].buffer
        up_write(tx, "dma_resv", name)
        if self.ret < 0:
            del tx.attachments[self.dmabuf, self.device]
            tx.buffers.update(name, pin_count=tx.buffers[name].pin_count - 1)
        return done(self.ret)


class dma_buf_map_attachment(Procedure):
    """Give an importer the DMA addresses of the buffer's pages. Returns how many pages; no page reference is taken."""

    source: ClassVar[str] = "drivers/dma-buf/dma-buf.c: dma_buf_map_attachment"
    dmabuf: str
    device: str
    name: str
    """Of the reference that stands for the mapping."""

    @step
    def map_dma_buf(self, tx: Transaction) -> Outcome:
        """Under the reservation lock: the sg_table of where the pages are now. A static importer keeps it for good.

        A dynamic one must throw it away when it is told of a move.
        """
        exported = tx.dma_bufs.get(self.dmabuf)
        if exported is None or (self.dmabuf, self.device) not in tx.attachments:
            return fail(ENOENT)
        if (wait := down_write(tx, "dma_resv", exported.buffer)) is not None:
            return wait
        up_write(tx, "dma_resv", exported.buffer)
        old = tx.references.get(self.name)
        if old is not None and (old.dmabuf, old.by, old.frames[:1]) != (self.dmabuf, self.device, (NOT_MAPPED,)):
            return fail(EEXIST)
        shmem = driver_of(tx, tx.buffers[exported.buffer].exporter).insert == "file"
        frames = pinned_pages(tx, exported.buffer) if shmem else mapped_frames(tx, exported.buffer)
        if frames is None:
            return fail(ENOMEM)
        tx.references[self.name] = Reference(
            "map", frames=frames, by=self.device, write=True, counted=shmem, dmabuf=self.dmabuf
        )
        return done(len(frames))


def mapped_frames(tx: Transaction, name: str) -> tuple[int, ...] | None:
    """Where a buffer's pages are, populated if they were swapped out; the caller holds the reservation."""
    if not tx.buffers[name].frames and not populate(tx, name):
        return None
    return tx.buffers[name].frames or None


def pinned_pages(tx: Transaction, name: str) -> tuple[int, ...] | None:
    """i915: the pages of the buffer's shmem file, each held by a reference as long as a device uses them."""
    buffer = tx.buffers[name]
    frames = shmem_pages(tx, buffer.file, buffer.pages)
    if isinstance(frames, int):
        return None
    for pfn in frames:
        get_page(tx, pfn)
    return frames


class dma_buf_unmap_attachment(Procedure):
    """The importer gives a mapping back."""

    source: ClassVar[str] = "drivers/dma-buf/dma-buf.c: dma_buf_unmap_attachment"
    name: str

    @step
    def unmap(self, tx: Transaction) -> Outcome:
        """Its device forgets the addresses."""
        reference = tx.references.get(self.name)
        if reference is None or reference.kind != "map":
            return fail(ENOENT)
        del tx.references[self.name]
        for pfn in reference.frames if reference.counted else ():
            put_page(tx, pfn)
        return done()


class dma_buf_detach(Procedure):
    """A device stops being an importer; with the last static one the buffer may move again.

    A dma-buf whose file descriptor has been closed goes with its last importer, and so may the buffer.
    """

    source: ClassVar[str] = "drivers/dma-buf/dma-buf.c: dma_buf_detach"
    dmabuf: str
    device: str

    @step
    def detach(self, tx: Transaction) -> Outcome:
        """Refused as long as it has a mapping; else, under the reservation lock, the pin of a static importer goes.

        And so does its hold on the file.
        """
        attachment = tx.attachments.get((self.dmabuf, self.device))
        if attachment is None:
            return fail(ENOENT)
        if any(ref.dmabuf == self.dmabuf and ref.by == self.device for _, ref in tx.references.items()):
            return fail(EBUSY)
        exported = tx.dma_bufs[self.dmabuf]
        if (wait := down_write(tx, "dma_resv", exported.buffer)) is not None:
            return wait
        up_write(tx, "dma_resv", exported.buffer)
        bo = tx.buffers[exported.buffer]
        if attachment.pinned:
            bo = tx.buffers.update(exported.buffer, pin_count=bo.pin_count - 1)
        del tx.attachments[self.dmabuf, self.device]
        if exported.closed and not any(dmabuf == self.dmabuf for (dmabuf, _), _ in tx.attachments.items()):
            del tx.dma_bufs[self.dmabuf]
            if drop_handle(tx, exported.buffer):
                release_file(tx, bo.file)
        return done()
