"""What each step of a driver file does. The order of the steps is the file's business, and so are its mistakes."""

from typing import ClassVar, Final

from model.driver_files.line_forms import KEPT
from model.driver_files.page_ranges import range_of
from model.driver_files.records import DriverLine, StepList, job_of
from model.driver_files.resolve import code_of
from model.engine.lock import down_read, down_write, try_lock
from model.engine.procedure import CallOut, Outcome, Procedure, blocked, call, fail, step
from model.kernel.drivers.buffer import give_back, least_recently_used, use
from model.kernel.drivers.dma_buf_notify import dma_buf_move_notify
from model.kernel.drivers.driver import FENCE, driver_alloc, driver_of, has_condition, holds_references, set_state
from model.kernel.drivers.driver_fault import lock_kind
from model.kernel.drivers.driver_op import driver_op, performs
from model.kernel.drivers.gpu import bindings, i915_gem_object_unset_pages
from model.kernel.drivers.mappings import insert_mappings, wrprotect_mappings
from model.kernel.drivers.ttm_pool import split_blocks, vram_room
from model.kernel.mm.page import get_page
from model.kernel.mm.reclaim import reclaim_pages
from model.kernel.mm.truncate import truncate_inode_pages_range
from model.kernel.mm.unmap import unmap_mapping_range
from model.memory.buffer_records import Place
from model.memory.errno import EBUSY, EINVAL, ENOENT, ENOSPC, ERRNO
from model.memory.events import Access, Copied
from model.memory.record_base import replaced
from model.memory.records import Lock, Reference
from model.memory.state import Memory, Transaction

SYSTEM: Final[tuple[Place, ...]] = ("gtt", "system")
EVERYTHING: Final = 1 << 40
FENCE_OF: Final = f"{FENCE}:"
"""Before the name of a job, where there are several."""


@performs("lock")
def lock(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Take a lock of the buffer. Whoever else wants it waits, a fault for example: until then the buffer is ours."""
    kind = lock_kind(one.word_at("LOCK"))
    if one.has("try"):
        return None if try_lock(tx, kind, op.buffer) else fail(EBUSY)
    return down_read(tx, kind, op.buffer) if one.has("read") else down_write(tx, kind, op.buffer)


@performs("unlock")
def unlock(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Give the lock back: a fault that has waited for it finds the buffer as it is now."""
    key = (lock_kind(one.word_at("LOCK")), op.buffer)
    held = tx.locks.get(key)
    if held is None or (held.writer != op_task(tx) and op_task(tx) not in held.readers):
        return None  # an error has come before it was taken
    readers = list(held.readers)
    if op_task(tx) in readers:
        readers.remove(op_task(tx))
    if readers:
        tx.locks[key] = Lock(readers=tuple(readers))
    else:
        del tx.locks[key]
    return None


def op_task(tx: Transaction) -> str:
    """The task that runs the list."""
    return tx.task_name


@performs("refuse-when")
def refuse_when(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """May it be done at all in this state? If not, the operation ends here with an errno."""
    return fail(ERRNO[one.word_at("ERRNO")]) if has_condition(tx, op.buffer, one.word_at("STATE")) else None


@performs("refuse-unless")
def refuse_unless(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Is it in the state in which this may be done? If not, the operation ends here with an errno."""
    return None if has_condition(tx, op.buffer, one.word_at("STATE")) else fail(ERRNO[one.word_at("ERRNO")])


@performs("fence")
def fence(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """A job of the device begins, on the pages that the buffer has now; its fence is in the reservation object."""
    set_state(tx, op.buffer, fence_of(one), on=True)
    note_frames(tx, op, job_of(op.buffer, one))
    return None


@performs("signal")
def signal(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """The device's job is done, and up to now it has worked on its pages. Whoever waits for its fence goes on."""
    set_state(tx, op.buffer, fence_of(one), on=False)
    name = job_of(op.buffer, one)
    job = tx.references.get(name)
    if job is None:
        return None
    for page, pfn in enumerate(job.frames):
        value = tx.content.get(pfn) or 0
        tx.emit(Access(pfn, write=False, value=value, reference=name, page=page, device=job.by))
    tx.references[name] = replaced(job, frames=(), had=())
    return None


@performs("wait-fence")
def wait_fence(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Wait until no job of the device uses the buffer any more, or until a certain one is done."""
    wanted = fence_of(one)
    jobs = [state for state in op.bo(tx).states if state == wanted or (wanted == FENCE and state.startswith(FENCE_OF))]
    return blocked(f"the {jobs[0].replace(':', ' ')} of {op.buffer}") if jobs else None


def fence_of(one: DriverLine) -> str:
    """The state of a buffer that a job of the device uses: one for each name."""
    name = one.word_at("NAME")
    return f"{FENCE_OF}{name}" if name else FENCE


@performs("zap")
def zap(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Take the entries away: of all processes, private copies too. The next access faults and finds the new place.

    Nobody is asked whether they hold a reference on one of the pages.
    """
    first, pages = range_of(one)
    return call(unmap_mapping_range(file=op.bo(tx).file, offset=first, pages=pages, flush=not one.has("no-flush")))


@performs("wrprotect")
def wrprotect(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Make the entries of all mappings read-only: the next write to each page asks ->page_mkwrite again."""
    return call(wrprotect_mappings(file=op.bo(tx).file))


@performs("insert")
def insert(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Make the entries of all mappings of the buffer, each under the lock of its address space."""
    return call(insert_mappings(buffer=op.buffer))


@performs("notify")
def notify(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Tell the dynamic importers of its dma-bufs: their devices must look again before the next access."""
    dma_buf_move_notify(tx, op.buffer)
    return None


@performs("room")
def room(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Is there enough video memory? If not, evict the buffer that was used longest ago, and look again."""
    if op.evicting:
        victim, op.evicting = tx.buffers.get(op.evicting), ""
        op.at -= 1
        return fail(ENOSPC) if victim is not None and victim.place == "vram" and not victim.pin_count else None
    bo = op.bo(tx)
    if wanted(op, tx, one) != "vram" or vram_room(tx) >= bo.pages:
        return None
    name = least_recently_used(tx, but=op.buffer)
    if name is None:
        return fail(ENOSPC)
    op.evicting = name
    op.at -= 1
    return call(eviction(tx, name))


def wanted(op: driver_op, tx: Transaction, one: DriverLine) -> str:
    """Where the buffer is to go: as the step says, else as the verb says, else where it is."""
    return one.word_at("PLACE") or op.place or op.bo(tx).place


@performs("alloc")
def alloc(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Allocate memory at the new place. Between system memory and GTT the pages of the pool stay as they are."""
    bo, driver, part = op.bo(tx), driver_of(tx, op.driver), range_of(one)
    if not part.is_whole and not bo.frames:  # a buffer without memory has no part that could move
        return fail(EINVAL)
    place: Place = "vram" if wanted(op, tx, one) == "vram" else "system"
    if wanted(op, tx, one) == "gtt":
        place = "gtt"
    if driver.backing == "pool" and part.is_whole and bo.frames and place in SYSTEM and bo.place in SYSTEM and op.place:
        tx.buffers.update(op.buffer, place=place, last_use=use(tx, op.buffer))
        op.at = EVERYTHING
        return None
    op.first, end = part.first, part.end_in(bo.pages)
    split_blocks(tx, bo.frames, op.first, end)
    frames = driver_alloc(tx, driver, op.buffer, end - op.first, place, bo.caching, op.first)
    if isinstance(frames, int):
        return fail(-frames)
    op.frames, op.place = frames, place if part.is_whole else ""
    owns(op, tx, frames)
    return None


def owns(op: driver_op, tx: Transaction, frames: tuple[int, ...]) -> None:
    """What the driver holds on frames that its buffer does not have now belongs to the running operation."""
    counted, pinned = holds_references(driver_of(tx, op.driver))
    op.holds, op.pins = frames if counted else (), frames if pinned else ()


@performs("copy")
def copy(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """The blit: the content goes from the old frames to the new ones. Later writes to the old ones are lost."""
    bo, part = op.bo(tx), range_of(one)
    old = bo.frames
    first, last = max(part.first, op.first), min(part.end_in(bo.pages), op.first + len(op.frames))
    new = op.frames[first - op.first : max(last - op.first, 0)]
    for page, pfn in enumerate(new, first):
        byte = tx.content.get(old[page]) if page < len(old) else (bo.swap[page] if page < len(bo.swap) else 0)
        if (tx.content.get(pfn) or 0) != (byte or 0):
            tx.content[pfn] = byte or 0
    if old:
        tx.emit(Copied(new, old[first:last]))
    return None


@performs("switch")
def switch(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """From here on the buffer *is* the new memory."""
    bo, end = op.bo(tx), op.first + len(op.frames)
    counted, pinned = holds_references(driver_of(tx, op.driver))
    op.switched = True
    if bo.frames:
        op.old_frames = bo.frames[op.first : end]
    tx.buffers.update(
        op.buffer,
        frames=(*bo.frames[: op.first], *op.frames, *bo.frames[end:]),
        place=op.place or bo.place,
        swap=(),
        counted=counted,
        pinned=pinned,
        last_use=use(tx, op.buffer),
    )
    op.frames = ()
    owns(op, tx, op.old_frames)
    return None


@performs("save")
def save(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Copy the content to swap. What is written to the pages afterwards is lost."""
    bo = op.bo(tx)
    if not bo.frames:
        op.at = EVERYTHING
        return None
    content = tuple(tx.content.get(pfn) or 0 for pfn in bo.frames)
    tx.buffers.update(op.buffer, swap=content)
    return None


@performs("free")
def free(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Give memory back. The next one that asks gets it; nobody looks who still has an entry or a frame number."""
    bo = op.bo(tx)
    if op.switched:
        give_back(tx, bo, op.old_frames)
        op.old_frames = ()
        owns(op, tx, ())
        return None
    if op.frames or op.first:  # the buffer still lists what it has given back, until the list comes to `switch`
        give_back(tx, bo, bo.frames[op.first : op.first + len(op.frames)])
        return None
    give_back(tx, bo, bo.frames)
    if not one.has("keep-numbers"):
        tx.buffers.update(op.buffer, frames=(), place="swapped" if bo.swap else "none")
    return None


@performs("put")
def put(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Drop what the driver holds on each page of the buffer, and forget where they are. Their file still has them."""
    bo = op.bo(tx)
    give_back(tx, bo, op.old_frames if op.switched else bo.frames)
    if op.switched:
        op.old_frames = ()
        owns(op, tx, ())
    elif not one.has("keep-numbers"):
        tx.buffers.update(op.buffer, frames=(), place="none")
    return None


@performs("truncate")
def truncate(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Take the pages out of the buffer's shmem file: each that nobody references is free now."""
    bo = op.bo(tx)
    return call(truncate_inode_pages_range(file=bo.memfd or bo.file, first=0))


@performs("unbind")
def unbind(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Take the buffer away from the GPU, where it is bound: its entries, what its TLB remembers, then the pages."""
    return call(i915_gem_object_unset_pages(buffer=op.buffer)) if bindings(tx, op.buffer) else None


@performs("shrink")
def shrink(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Take the next page of the shmem file, and have it written to swap.

    *Here* references are asked for: with one more than the file's own it stays.
    """
    bo = op.bo(tx)
    file = bo.memfd or bo.file
    while op.index < bo.pages and (file, op.index) not in tx.page_cache:
        op.index += 1
    if op.index == bo.pages:
        return None
    pfn = tx.page_cache[file, op.index]
    op.index += 1
    op.at -= 1
    get_page(tx, pfn)
    return call(reclaim_pages(holds=(pfn,)))


@performs("keep")
def keep(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """The device notes the frame numbers. It holds nothing on the pages, and nobody will tell it of a change."""
    note_frames(tx, op, f"{op.buffer}{KEPT}")
    return None


def note_frames(tx: Transaction, op: driver_op, name: str) -> None:
    """The device has the frame numbers of the buffer, under the name of a reference that holds nothing."""
    bo = op.bo(tx)
    device = next(iter(sorted(name for name, _ in tx.devices.items())), "")
    had = tuple(tx.content.get(pfn) or 0 for pfn in bo.frames)
    tx.references[name] = Reference(
        "grab", frames=bo.frames, by=device, write=True, counted=False, buffer=op.buffer, had=had
    )


@performs("set")
def set_(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """From here on the buffer is in that state, and whoever asks for it under the lock knows."""
    set_state(tx, op.buffer, one.word_at("STATE"), on=True)
    return None


@performs("clear")
def clear(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """The buffer is in that state no longer."""
    set_state(tx, op.buffer, one.word_at("STATE"), on=False)
    return None


@performs("call")
def call_(op: driver_op, tx: Transaction, one: DriverLine) -> Outcome:
    """Call that function."""
    return function_call(op, tx, one.word_at("NAME"), one.word_at("PLACE"))


def operation(mem: Memory, buffer: str, op: str, place: str = "") -> Procedure:
    """The call of an operation on a buffer; one that its driver does not have ends with -EINVAL."""
    bo = mem.buffers.get(buffer)
    driver = None if bo is None else driver_of(mem, bo.exporter)
    one = None if driver is None else driver.op(op)
    if driver is None or one is None:
        return no_such_operation(error=ENOENT if bo is None else EINVAL)
    return _list_call(buffer, driver.name, one, place=place, entered=True)


def eviction(mem: Memory, buffer: str) -> Procedure:
    """The call that takes a buffer out of video memory, for one that needs the room."""
    wanted_by_verb = operation(mem, buffer, "evict")
    if isinstance(wanted_by_verb, driver_op):
        return replaced(wanted_by_verb, for_room=True)
    return wanted_by_verb


def function_call(running: driver_op, mem: Memory, name: str, place: str = "") -> CallOut:
    """The call of a function of the same driver."""
    one = driver_of(mem, running.driver).steps(name)
    assert one is not None, "the reader of driver files has looked for it"
    place = place or running.place
    return call(_list_call(running.buffer, running.driver, one, place=place, entered=False))


def pin_call(mem: Memory, buffer: str) -> Procedure | None:
    """What takes a buffer to where a static importer can have it pinned; None: it may stay where it is."""
    bo = mem.buffers[buffer]
    driver = driver_of(mem, bo.exporter)
    one = driver.steps(driver.pin_function) if driver.pin_function else None
    if one is None or bo.place != "vram":
        return None
    return _list_call(buffer, driver.name, one, place=driver.pin_place, entered=False)


def _list_call(buffer: str, driver: str, one: StepList, *, place: str, entered: bool) -> driver_op:
    op = one.head.function or f"{driver}_{one.name}"
    return driver_op(
        buffer=buffer,
        driver=driver,
        named=one.name if one.head.word == "function" else op,
        said=one.head.source,
        code=code_of(one),
        place=place,
        entered=entered,
    )


class no_such_operation(Procedure):
    """The driver does not do that."""

    source: ClassVar[str] = "drivers: no such operation"
    error: int

    @step
    def refuse(self, tx: Transaction) -> Outcome:
        """The driver has no such operation, or there is no such buffer."""
        return fail(self.error)
