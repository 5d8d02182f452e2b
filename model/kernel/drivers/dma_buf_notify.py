"""dma_buf_move_notify(): the device-side counterpart of nuking the PTEs."""

from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.record_base import replaced
from model.memory.state import Transaction


def dma_buf_move_notify(tx: Transaction, buffer: str) -> None:
    """Every dynamic importer of a buffer that is about to move drops its mapping; its device's next access maps anew.

    Static importers need not be told: for them the buffer was pinned (drivers/dma-buf/dma-buf.c; in 7.3 it is called
    dma_buf_invalidate_mappings). The caller holds the reservation.
    """
    for name, reference in tx.references.items():
        if reference.kind != "map" or tx.dma_bufs[reference.dmabuf].buffer != buffer:
            continue
        attachment = tx.attachments.get((reference.dmabuf, reference.by))
        if attachment is not None and attachment.dynamic:
            tx.references[name] = replaced(reference, frames=(NOT_MAPPED,) * len(reference.frames))
