"""Records of drivers: buffers, dma-bufs, who imports them, and devices."""

from typing import Literal

from model.memory.record_base import Record
from model.memory.units import Pfn, Word

Place = Literal["vram", "gtt", "system", "swapped", "none"]
"""Where a buffer's backing store is. `vram` has no struct pages; `gtt` are system pages the GPU can reach now."""


class Buffer(Record, frozen=True, omit_defaults=True):
    """struct ttm_buffer_object / drm_gem_object: memory that a driver owns, maps into processes and moves."""

    pages: int
    exporter: Word = "qxl"
    """Which driver: how it maps and moves (model.kernel.drivers.exporter)."""
    place: Place = "system"
    caching: Word = "wc"
    frames: tuple[Pfn, ...] = ()
    """pfn of each page, as it is now; empty while there is none."""
    file: str = ""
    """Name of the File through which all its mappings are found (the device's address space)."""
    memfd: str = ""
    """udmabuf: the file whose pages it borrows."""
    pinned: bool = False
    """What the driver holds on each page is a pin."""
    counted: bool = False
    """… or a plain reference, so that whoever holds another one keeps the page when the driver lets go."""
    states: tuple[Word, ...] = ()
    """States of its driver's own that it is in, such as `purged`, sorted."""
    users: int = 0
    """How many mappings its driver counts (vm_ops->open and ->close), where it counts them, or wrongly."""
    leaked: bool = False
    """Nobody has it any more, and its driver counts a mapping that is gone: nothing will give it back."""
    pin_count: int = 0
    """TTM's own pin, unrelated to FOLL_PIN: the buffer must not move."""
    handles: int = 1
    """GEM handles and dma-bufs that keep it alive, besides its mappings."""
    closed: bool = False
    """Its GEM handle has been closed: what is left of it lives for those who map or import it."""
    last_use: int = 0
    """For eviction: the rank in the order of use, from 1; the smallest is the least recently used."""
    swap: tuple[int, ...] = ()
    """Content of each page while it is swapped out."""


class DmaBuf(Record, frozen=True, omit_defaults=True):
    """struct dma_buf: a buffer exported as a file descriptor."""

    buffer: str
    closed: bool = False
    """The file descriptor has been closed: its importers hold the file."""


class Attachment(Record, frozen=True, omit_defaults=True):
    """struct dma_buf_attachment: a device that imports a dma-buf."""

    dynamic: bool = False
    """It has a move_notify callback, so the buffer may move under it."""
    pinned: bool = False
    """It could not follow a move, so the exporter pinned the buffer."""


class Device(Record, frozen=True, omit_defaults=True):
    """A device that can do DMA."""

    kind: Word = ""
