"""Drivers that build buffers of a shmem file's pages: udmabuf, i915."""

from model.kernel.mm.filemap import filemap_add_folio
from model.kernel.mm.page import put_page
from model.kernel.mm.page_alloc import alloc_page
from model.memory.errno import ENOMEM
from model.memory.flags import PG_DIRTY, PG_SWAPBACKED, PG_UPTODATE
from model.memory.state import Transaction


def shmem_pages(tx: Transaction, file: str, pages: int) -> tuple[int, ...] | int:
    """The first pages of a shmem file, holes filled; -ENOMEM if that fails.

    Source: include/linux/shmem_fs.h: shmem_read_mapping_page.
    """
    frames = []
    for index in range(pages):
        pfn = tx.page_cache.get((file, index))
        if pfn is None:
            swapped = (file, index) in tx.swapped

            from model.kernel.mm.swap import shmem_swapin

            pfn = shmem_swapin(tx, file, index) if swapped else alloc_page(tx, "file")
            if pfn is None:
                return -ENOMEM
            filemap_add_folio(tx, file, index, pfn, PG_UPTODATE | PG_DIRTY | PG_SWAPBACKED)
            put_page(tx, pfn)
        frames.append(pfn)
    return tuple(frames)
