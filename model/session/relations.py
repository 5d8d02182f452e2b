"""Who refers to whom: what lights up when the cursor stands on something.

An arrow leads from what points to what is pointed at: process → VMA → page-table entry → frame, reference → frame,
device → reference, TLB entry → frame, file → cached page → frame, lock → task. Subjects are the strings of
`model.invariants.subjects`. Looking one subject up costs what it touches, not the size of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from model.invariants.grips import table_grip
from model.invariants.holders import members
from model.invariants.machine_view import MachineView
from model.invariants.subjects import parse, subject
from model.kernel.drivers.buffer import buffer_of
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.ordered import ceiling
from model.memory.state import State
from model.memory.tasks import Task

MOST_LISTED: Final = 512
"""Arrows that one lookup follows at most: more than fit on any screen."""


class Relations(NamedTuple):
    """The neighbours of a subject."""

    to: frozenset[str]
    """What it refers to."""
    by: frozenset[str]
    """What refers to it."""


def refers(scene: MachineView, about: str) -> Relations:
    """What `about` refers to and what refers to it; nothing for what does not exist (any more)."""
    try:
        kind, key = parse(about)
    except (ValueError, IndexError):
        return Relations(frozenset(), frozenset())
    out: Arrows = POINTS_TO.get(kind, _nothing)
    into: Arrows = POINTED_AT.get(kind, _nothing)
    return Relations(
        frozenset(islice(out(scene, *key), MOST_LISTED)), frozenset(islice(into(scene, *key), MOST_LISTED))
    )


Arrows = Callable[..., Iterator[str]]
"""From a scene and the key of a subject to the subjects at the other end of its arrows."""


def _nothing(_scene: MachineView, *_key: str | int) -> Iterator[str]:
    return iter(())


# -- what it points to -------------------------------------------------------------------------


def _from_process(scene: MachineView, name: str) -> Iterator[str]:
    process = scene.state.processes.get(name)
    if process is None:
        return
    if process.pgd:
        yield subject("frame", process.pgd)
    start = ceiling(scene.state.vma_index, name, 0)
    while start is not None:
        yield subject("vma", name, start)
        start = ceiling(scene.state.vma_index, name, start + 1)


def _from_vma(scene: MachineView, process: str, start: int) -> Iterator[str]:
    vma = scene.state.vmas.get((process, start))
    if vma is None:
        return
    if vma.file:
        yield subject("file", vma.file)
    vpn = ceiling(scene.state.pte_index, process, start)
    while vpn is not None and vpn < vma.end:
        yield subject("pte", process, vpn)
        vpn = ceiling(scene.state.pte_index, process, vpn + 1)


def _from_pte(scene: MachineView, process: str, vpn: int) -> Iterator[str]:
    entry = scene.entry(process, vpn)
    if entry is not None and (entry.present or entry.kind == "migration"):
        yield subject("frame", entry.pfn)
    elif entry is not None and entry.kind == "swap":
        yield subject("swap", entry.pfn)


def _from_table(scene: MachineView, process: str, level: int, index: int) -> Iterator[str]:
    if grip := table_grip((process, level, index), scene.state.tables.get((process, level, index))):
        yield subject("frame", grip[0])


def _from_reference(scene: MachineView, name: str) -> Iterator[str]:
    reference = scene.state.references.get(name)
    if reference is None:
        return
    if reference.dmabuf:
        yield subject("dmabuf", reference.dmabuf)
    for page, pfn in enumerate(reference.frames):
        if pfn == NOT_MAPPED:
            continue
        yield subject("frame", pfn)
        if reference.process:
            yield subject("pte", reference.process, reference.vpn + page)


def _from_file(scene: MachineView, name: str) -> Iterator[str]:
    index = ceiling(scene.state.cache_index, name, 0)
    while index is not None:
        yield subject("cache", name, index)
        index = ceiling(scene.state.cache_index, name, index + 1)


def _from_cache(scene: MachineView, file: str, index: int) -> Iterator[str]:
    pfn = scene.state.page_cache.get((file, index))
    if pfn is not None:
        yield subject("frame", pfn)


def _from_tlb(scene: MachineView, cpu: int, process: str, vpn: int) -> Iterator[str]:
    for entry in scene.state.tlbs.get(cpu) or ():
        if (entry.process, entry.vpn) == (process, vpn):
            yield subject("frame", entry.pte.pfn)
            yield subject("pte", process, vpn)


def _from_cpu(scene: MachineView, number: int) -> Iterator[str]:
    for entry in scene.state.tlbs.get(number) or ():
        yield subject("tlb", number, entry.process, entry.vpn)
    cpu = scene.state.cpus.get(number)
    if cpu is not None and cpu.irqs_off_by:
        yield subject("task", cpu.irqs_off_by)
        for table in scene.state.rcu.get(number) or ():
            yield subject("frame", table)


def _from_task(scene: MachineView, name: str) -> Iterator[str]:
    task = scene.state.tasks.get(name)
    if task is None:
        return
    if task.process:
        yield subject("process", task.process)
    if task.cpu >= 0:
        yield subject("cpu", task.cpu)
    for call in task.stack:
        for pfn in (*call.holds, *call.pins, *call.owes_rmap):
            yield subject("frame", pfn)
    for kind, owner in scene.state.locks:
        if _waits_for(task, kind, owner):
            yield subject("lock", kind, owner)


def _waits_for(task: Task, kind: str, owner: str) -> bool:
    """Whether a task waits for a lock, as `model.engine.lock` says it."""
    return task.blocked.startswith(f"{kind} of {owner},")


def _from_device(scene: MachineView, name: str) -> Iterator[str]:
    for reference, found in scene.state.references.items():
        if found.by == name:
            yield subject("ref", reference)
    for exported, importer in scene.state.attachments:
        if importer == name:
            yield subject("attachment", exported, importer)


def _from_buffer(scene: MachineView, name: str) -> Iterator[str]:
    buffer = scene.state.buffers.get(name)
    if buffer is None:
        return
    yield subject("file", buffer.file)
    for pfn in buffer.frames:
        yield subject("frame", pfn)


def _from_dma_buf(scene: MachineView, name: str) -> Iterator[str]:
    exported = scene.state.dma_bufs.get(name)
    if exported is not None:
        yield subject("buffer", exported.buffer)


def _from_attachment(scene: MachineView, exported: str, importer: str) -> Iterator[str]:
    if (exported, importer) in scene.state.attachments:
        yield subject("dmabuf", exported)


def _from_swap(scene: MachineView, slot: int) -> Iterator[str]:
    record = scene.state.swap_slots.get(slot)
    if record is not None and record.pfn >= 0:
        yield subject("frame", record.pfn)


def _from_notifier(scene: MachineView, process: str) -> Iterator[str]:
    for name, reference in scene.state.references.items():
        if reference.kind == "mirror" and reference.process == process:
            yield subject("ref", name)


def _from_lock(scene: MachineView, kind: str, owner: str) -> Iterator[str]:
    lock = scene.state.locks.get((kind, owner))
    for task in (lock.writer, *lock.readers) if lock else ():
        if task:
            yield subject("task", task)


POINTS_TO: Final[dict[str, Arrows]] = {
    "process": _from_process,
    "vma": _from_vma,
    "pte": _from_pte,
    "table": _from_table,
    "ref": _from_reference,
    "file": _from_file,
    "cache": _from_cache,
    "tlb": _from_tlb,
    "cpu": _from_cpu,
    "task": _from_task,
    "device": _from_device,
    "buffer": _from_buffer,
    "dmabuf": _from_dma_buf,
    "lock": _from_lock,
    "attachment": _from_attachment,
    "swap": _from_swap,
    "notifier": _from_notifier,
}
"""Kind of subject → what one of its kind points to. A frame points to nothing: that is what makes it hard."""


# -- what points at it -------------------------------------------------------------------------


def _at_process(scene: MachineView, name: str) -> Iterator[str]:
    return (subject("task", task) for task, found in scene.state.tasks.items() if found.process == name)


def _at_vma(scene: MachineView, process: str, start: int) -> Iterator[str]:
    if (process, start) in scene.state.vmas:
        yield subject("process", process)


def _at_pte(scene: MachineView, process: str, vpn: int) -> Iterator[str]:
    vma = scene.vma_at(process, vpn)
    if vma is not None:
        yield subject("vma", process, vma.start)
    for holder in scene.holding.watched.get((process, vpn), ()):
        yield holder.subject


def _at_frame(scene: MachineView, pfn: int) -> Iterator[str]:
    return (holder.subject for holder in members(scene.holding.holders(pfn)))


def _at_file(scene: MachineView, name: str) -> Iterator[str]:
    file = scene.state.files.get(name)
    for process, start in file.i_mmap if file else ():
        yield subject("vma", process, start)
    if buffer_of(name) in scene.state.buffers:
        yield subject("buffer", buffer_of(name))


def _at_cache(scene: MachineView, file: str, index: int) -> Iterator[str]:
    if (file, index) in scene.state.page_cache:
        yield subject("file", file)


def _at_reference(scene: MachineView, name: str) -> Iterator[str]:
    reference = scene.state.references.get(name)
    if reference is not None and reference.by:
        yield subject("device", reference.by)


def _at_buffer(scene: MachineView, name: str) -> Iterator[str]:
    return (subject("dmabuf", exported) for exported, found in scene.state.dma_bufs.items() if found.buffer == name)


def _at_dma_buf(scene: MachineView, name: str) -> Iterator[str]:
    for exported, importer in scene.state.attachments:
        if exported == name:
            yield subject("attachment", exported, importer)
    for reference, found in scene.state.references.items():
        if found.dmabuf == name:
            yield subject("ref", reference)


def _at_tlb(scene: MachineView, cpu: int, process: str, vpn: int) -> Iterator[str]:
    if any((entry.process, entry.vpn) == (process, vpn) for entry in scene.state.tlbs.get(cpu) or ()):
        yield subject("cpu", cpu)


def _at_cpu(scene: MachineView, number: int) -> Iterator[str]:
    return (subject("task", name) for name, task in scene.state.tasks.items() if task.cpu == number)


def _at_task(scene: MachineView, name: str) -> Iterator[str]:
    for (kind, owner), lock in scene.state.locks.items():
        if name == lock.writer or name in lock.readers:
            yield subject("lock", kind, owner)
    for number, cpu in scene.state.cpus.items():
        if cpu.irqs_off_by == name:
            yield subject("cpu", number)


def _at_lock(scene: MachineView, kind: str, owner: str) -> Iterator[str]:
    return (subject("task", name) for name, task in scene.state.tasks.items() if _waits_for(task, kind, owner))


def _at_attachment(scene: MachineView, exported: str, importer: str) -> Iterator[str]:
    if (exported, importer) in scene.state.attachments:
        yield subject("device", importer)


def _at_swap(scene: MachineView, slot: int) -> Iterator[str]:
    for key, entry in scene.state.ptes.items():
        if entry.kind == "swap" and entry.pfn == slot:
            yield subject("pte", *key)
    for (file, _), swapped in scene.state.swapped.items():
        if swapped == slot:
            yield subject("file", file)


def _at_notifier(scene: MachineView, process: str) -> Iterator[str]:
    if process in scene.state.processes:
        yield subject("process", process)


POINTED_AT: Final[dict[str, Arrows]] = {
    "process": _at_process,
    "vma": _at_vma,
    "pte": _at_pte,
    "frame": _at_frame,
    "file": _at_file,
    "cache": _at_cache,
    "ref": _at_reference,
    "tlb": _at_tlb,
    "cpu": _at_cpu,
    "task": _at_task,
    "buffer": _at_buffer,
    "dmabuf": _at_dma_buf,
    "lock": _at_lock,
    "attachment": _at_attachment,
    "swap": _at_swap,
    "notifier": _at_notifier,
}
"""Kind of subject → what points at one of its kind: the same arrows from their other end."""


# -- everything --------------------------------------------------------------------------------


def subjects(state: State) -> Iterator[str]:
    """Everything in a State that points or is pointed at."""
    tables: tuple[tuple[str, Any], ...] = (
        ("process", state.processes),
        ("vma", state.vmas),
        ("pte", state.ptes),
        ("table", state.tables),
        ("frame", state.frames),
        ("file", state.files),
        ("cache", state.page_cache),
        ("ref", state.references),
        ("device", state.devices),
        ("buffer", state.buffers),
        ("dmabuf", state.dma_bufs),
        ("attachment", state.attachments),
        ("swap", state.swap_slots),
        ("cpu", state.cpus),
        ("task", state.tasks),
        ("lock", state.locks),
    )
    for kind, table in tables:
        for key in table:
            yield subject(kind, *key) if isinstance(key, tuple) else subject(kind, key)
    for cpu, entries in state.tlbs.items():
        for entry in entries:
            yield subject("tlb", cpu, entry.process, entry.vpn)
