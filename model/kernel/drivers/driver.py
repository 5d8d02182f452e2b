"""Drivers described by a file: which one a buffer has, where its pages come from, and what goes when it lets go."""

from typing import Final

from model.driver_files import library
from model.driver_files.records import KernelDriver
from model.driver_files.resolve import resolve
from model.engine.config import note_driver, setting
from model.engine.mends import AS_IT_WAS
from model.kernel.drivers.buffer import FILE_PREFIX, alloc_backing, own_file
from model.kernel.drivers.shmem_pages import shmem_pages
from model.kernel.drivers.ttm_pool import orders, vram_alloc
from model.kernel.mm.page import page_ref_add, put_page
from model.kernel.mm.page_alloc import alloc_block, alloc_page
from model.kernel.mm.pin import pin_page
from model.kernel.mm.vma import file_is_held
from model.memory.buffer_records import Buffer, Place
from model.memory.errno import ENOMEM, ENOSPC
from model.memory.records import File
from model.memory.state import Memory, Transaction

DESCRIBED: Final = "driver"
"""`Vma.ops` of a driver that is described by a file begins so."""
FENCE: Final = "fence"
"""The state of a buffer that a job of the device uses."""
COUNTED_BACKINGS: Final = ("pages", "cma")
"""Pages that the driver gives back with put_page(): whoever holds another reference keeps the page."""


def driver_of(mem: Memory, name: str) -> KernelDriver:
    """A driver by its name: one that a script has brought along, or one that comes with the program."""
    text = mem.drivers.get(name) or library.text_of(name)
    undone = mem.settings.get(AS_IT_WAS) or ""
    note_driver(text, undone)
    return resolve(text, setting(mem, "kernel"), undone)


def described_ops(driver: KernelDriver) -> str:
    """`Vma.ops` of a driver's mappings: what its vm_operations_struct has, as words.

    Where the shmem file itself is mapped it is that file's.
    """
    if driver.insert == "file":
        return "shmem"
    words = [DESCRIBED]
    words += ["fault"] if driver.at == "fault" else []
    words += ["huge"] if driver.insert == "huge-pfn" else []
    words += ["mkwrite"] if driver.mkwrite else []
    words += [driver.access] if driver.access != "none" else []
    words += [] if driver.may_split else ["whole"]
    words += ["close"] if driver.closes != "none" or driver.counts_mappings else []
    return " ".join(words)


def has_condition(mem: Memory, name: str, state: str) -> bool:
    """Whether a buffer is in a state: one of its driver's own, or one that follows from who uses it."""
    buffer = mem.buffers[name]
    if state in buffer.states:
        return True
    if state == buffer.place:
        return True
    match state:
        case "pinned":
            return buffer.pin_count > 0
        case "mapped":
            return file_is_held(mem, buffer.file)
        case "exported":
            return any(exported.buffer == name for _, exported in mem.dma_bufs.items())
        case "imported":
            return any(mem.dma_bufs[dmabuf].buffer == name for (dmabuf, _), _ in mem.attachments.items())
        case _:
            return False


def set_state(tx: Transaction, name: str, state: str, *, on: bool) -> None:
    """Put a buffer into a state of its driver's own, or take it out."""
    states = set(tx.buffers[name].states) - {state}
    tx.buffers.update(name, states=tuple(sorted(states | {state} if on else states)))


# -- memory ------------------------------------------------------------------------------------


def driver_alloc(
    tx: Transaction, driver: KernelDriver, name: str, pages: int, place: Place, caching: str, page: int = 0
) -> tuple[int, ...] | int:
    """Memory for a buffer, or for so many pages of it from `page` on, as its driver gets it; -ENOMEM or -ENOSPC."""
    match driver.backing:
        case "vram":
            frames = vram_alloc(tx, name, pages)
            return -ENOSPC if frames is None else frames
        case "pages" | "cma":
            return _ordinary_pages(tx, name, pages, page, in_blocks=driver.backing == "cma")
        case "shmem":
            itself = driver.insert == "file"
            found = shmem_pages(tx, FILE_PREFIX + name if itself else own_file(name), page + pages)
            if not isinstance(found, int):
                found = found[page:]
                take_hold(tx, driver, found)
            return found
        case _:
            frames = alloc_backing(tx, name, pages, place, caching)
            return (-ENOSPC if place == "vram" else -ENOMEM) if frames is None else frames


def _ordinary_pages(tx: Transaction, name: str, pages: int, page: int, *, in_blocks: bool) -> tuple[int, ...] | int:
    """alloc_page() for each page, or cma_alloc(): blocks. Each has one reference, the driver's."""
    frames: list[int] = []
    for order in orders(pages)[::-1] if in_blocks else [0] * pages:
        if in_blocks and order:
            first = alloc_block(tx, order, FILE_PREFIX + name)
        else:
            first = alloc_page(tx, "kernel", mapping=FILE_PREFIX + name, index=page + len(frames))
        if first is None:
            for pfn in frames:
                put_page(tx, pfn)
            return -ENOMEM
        for pfn in range(first, first + (1 << order)):
            tx.frames.update(
                pfn, kind="kernel", order=0, refcount=1, mapping=FILE_PREFIX + name, index=page + len(frames)
            )
            frames.append(pfn)
    return tuple(frames)


def populate(tx: Transaction, name: str) -> bool:
    """Whoever looks for a buffer's pages gets memory for it, where it has none and its driver does that.

    False: there is no room. That a buffer stays without memory is no failure.
    """
    buffer = tx.buffers[name]
    if buffer.place == "swapped":
        return ttm_tt_populate(tx, name, buffer)
    driver = driver_of(tx, buffer.exporter)
    if buffer.frames or buffer.place != "none" or not driver.gets_pages or driver.insert == "file":
        return True
    frames = driver_alloc(tx, driver, name, buffer.pages, "system", buffer.caching)
    if isinstance(frames, int):
        return False
    counted, pinned = holds_references(driver)
    tx.buffers.update(name, frames=frames, place="system", counted=counted, pinned=pinned)
    return True


def ttm_tt_populate(tx: Transaction, name: str, buffer: Buffer) -> bool:
    """Give a buffer that was swapped out system pages again, with its content (ttm_tt.c: ttm_tt_populate, swapin).

    False: there is no memory, or nothing that was swapped out.
    """
    if buffer.place != "swapped":
        return False
    frames = driver_alloc(tx, driver_of(tx, buffer.exporter), name, buffer.pages, "system", buffer.caching)
    if isinstance(frames, int):
        return False
    for pfn, byte in zip(frames, buffer.swap, strict=False):
        if byte:
            tx.content[pfn] = byte
    tx.buffers.update(name, frames=frames, place="system", swap=())
    return True


def take_hold(tx: Transaction, driver: KernelDriver, frames: tuple[int, ...]) -> None:
    """What the driver takes on each page of a file: a reference, a pin, or nothing."""
    counted, pinned = holds_references(driver)
    for pfn in frames:
        if pinned:
            pin_page(tx, pfn)
        elif counted:
            page_ref_add(tx, pfn, 1)


def holds_references(driver: KernelDriver) -> tuple[bool, bool]:
    """(counted, pinned): what the driver holds on each page of its buffers."""
    lent = driver.backing in {"shmem", "borrow:memfd"}
    if driver.insert == "file":
        return False, False  # the pages are the file's, and the driver takes them only for a device
    return driver.backing in COUNTED_BACKINGS or (lent and driver.counts in {"get", "per-mapping"}), (
        lent and driver.counts == "pin"
    )


def new_files(tx: Transaction, driver: KernelDriver, name: str, pages: int) -> None:
    """The buffer's range of the device's address space; for a driver of shmem pages the shmem file as well.

    Where that file itself is mapped they are one.
    """
    file = FILE_PREFIX + name
    tx.files[file] = File("shmem" if driver.insert == "file" else "drm", size=pages)
    if driver.backing == "shmem" and driver.insert != "file":
        tx.files[own_file(name)] = File("shmem", size=pages)
