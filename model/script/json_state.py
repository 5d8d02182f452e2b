"""A State, and what changed in it, as the JSON of the trace contract. The names on the outside are all chosen here."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from model.engine.procedure import Procedure
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.buffer_records import Buffer
from model.memory.flags import (
    PAGE_BITS,
    PAGE_FLAGS,
    PAGE_UFFD_WP,
    VM_EXEC,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    names,
    smaps_codes,
)
from model.memory.folio import page_frame
from model.memory.ordered import ceiling
from model.memory.records import Frame, Pte, Reference, TlbEntry, Vma
from model.memory.state import Change, State
from model.memory.tasks import Locals, Task

Json = Any
"""What msgspec.json can encode."""

TABLE_NAMES: Final[dict[str, str]] = {
    "settings": "setting",
    "counters": "counter",
    "frames": "frame",
    "content": "content",
    "free": "free",
    "ptes": "pte",
    "tables": "table",
    "vmas": "vma",
    "detached_vmas": "detached_vma",
    "anon_vmas": "anon_vma",
    "processes": "process",
    "labels": "label",
    "cpus": "cpu",
    "tlbs": "tlb",
    "files": "file",
    "page_cache": "page_cache",
    "disk": "disk",
    "references": "reference",
    "devices": "device",
    "buffers": "buffer",
    "dma_bufs": "dma_buf",
    "attachments": "attachment",
    "userfaultfds": "userfaultfd",
    "locks": "lock",
    "tasks": "task",
}
"""Table of a State → its name in `changes`. A table that is missing here appears under its own name."""

BACKING_NAMES: Final = {
    "memfd": "memfd:{}",
    "hugetlb": "memfd:{}",
    "anon_hugepage": "hugetlb",
    "ext4": "file:{}",
    "dax": "dax:{}",
}
"""Kind of file → how a script names it as a backing."""

PTE_STATES: Final = {"swap": "swapped", "migration": "migrating", "marker": "none-but-marked"}


def picture(state: State) -> dict[str, Json]:
    """The `state` of the trace (docs/script-contract.md): the whole machine."""
    return {
        "processes": {
            process: {"vmas": vmas_picture(state, process), "pages": pages_picture(state, process)}
            for process in sorted(state.processes)
        },
        "frames": frames_picture(state),
        "files": files_picture(state),
        "buffers": {name: buffer_picture(state, name, buffer) for name, buffer in sorted(state.buffers.items())},
        "references": {
            name: reference_picture(state, reference) for name, reference in sorted(state.references.items())
        },
        "userfaultfds": {
            name: {
                "process": one.process,
                "features": list(one.features),
                "open_in": list(one.open_in),
                "waiting": [list(fault) for fault in one.waiting],
                "events": [list(event) for event in one.events],
            }
            for name, one in sorted(state.userfaultfds.items())
        },
        "devices": {name: msgspec.to_builtins(device) for name, device in sorted(state.devices.items())},
        "tasks": {name: task_picture(task) for name, task in sorted(state.tasks.items())},
        "tlbs": {str(cpu): tlb_picture(entries) for cpu, entries in sorted(state.tlbs.items()) if entries},
    }


def frame_name(state: State, pfn: int) -> int | str | None:
    """The frame's number, `zero` for the shared zero page, None for a page that a mirror has lost."""
    if pfn == NOT_MAPPED:
        return None
    frame = state.frames.get(pfn)
    return "zero" if frame is not None and frame.kind == "zero" else pfn


# -- address spaces ----------------------------------------------------------------------------


def vmas_picture(state: State, process: str) -> list[Json]:
    """The VMAs of a process in address order."""
    labels = sorted(
        (label.start, label.pages, name) for (owner, name), label in state.labels.items() if owner == process
    )
    return [vma_picture(state, vma) | {"label": _label(vma, labels)} for vma in vmas_of(state, process)]


def vmas_of(state: State, process: str) -> Iterator[Vma]:
    """The VMAs of a process in address order."""
    start = ceiling(state.vma_index, process, 0)
    while start is not None:
        yield state.vmas[process, start]
        start = ceiling(state.vma_index, process, start + 1)


def vma_picture(state: State | None, vma: Vma) -> dict[str, Json]:
    """One VMA; `state` tells what kind of file it maps."""
    return {
        "start": vma.start,
        "end": vma.end,
        "prot": protection(vma.flags),
        "share": "shared" if vma.flags & VM_SHARED else "private",
        "backing": backing(state, vma),
        "offset": vma.pgoff if vma.file else 0,
        "flags": smaps_codes(vma.flags),
    }


def protection(vm_flags: int) -> str:
    """As in /proc/PID/maps.

    >>> protection(VM_READ | VM_WRITE)
    'rw-'
    """
    return "".join(
        letter if vm_flags & bit else "-" for bit, letter in ((VM_READ, "r"), (VM_WRITE, "w"), (VM_EXEC, "x"))
    )


def backing(state: State | None, vma: Vma) -> str:
    """What a VMA maps, in the words of the script language where it has one."""
    if not vma.file:
        return vma.ops or "anon"
    file = state.files.get(vma.file) if state else None
    return BACKING_NAMES.get(file.kind if file else "", "{}").format(vma.file)


def _label(vma: Vma, labels: Iterable[tuple[int, int, str]]) -> str | None:
    """The first label that names some of a VMA's pages."""
    return next((name for start, pages, name in labels if start < vma.end and vma.start < start + pages), None)


def pages_picture(state: State, process: str) -> dict[str, Json]:
    """Every virtual page of a process that has an entry. A 2 MiB leaf stands at its first page."""
    pages = {vpn: pte_picture(state, state.ptes[process, vpn]) for vpn in _populated(state, process)}
    for (owner, level, index), entry in state.tables.items():
        if owner == process and level == 1 and (entry.huge or entry.kind != "page"):
            pages[index << 9] = pte_picture(state, entry)
    return {str(vpn): pages[vpn] for vpn in sorted(pages)}


def _populated(state: State, process: str) -> Iterator[int]:
    vpn = ceiling(state.pte_index, process, 0)
    while vpn is not None:
        yield vpn
        vpn = ceiling(state.pte_index, process, vpn + 1)


def pte_picture(state: State, pte: Pte) -> dict[str, Json]:
    """An entry with what its frame adds to it."""
    if pte.kind == "swap":
        return {"state": "swapped", "slot": pte.pfn}
    if pte.kind != "page":
        return {"state": PTE_STATES[pte.kind], "frame": frame_name(state, pte.pfn)}
    frame = state.frames.get(pte.pfn)
    return {
        "state": "present",
        "frame": frame_name(state, pte.pfn),
        "writable": pte.writable,
        "dirty": pte.dirty,
        "special": pte.special,
        "huge": pte.huge,
        "uffd_wp": bool(pte.bits & PAGE_UFFD_WP),
        "exclusive": frame is not None and frame.exclusive,
        "content": state.content.get(pte.pfn) or 0,
    }


# -- physical memory ---------------------------------------------------------------------------


def frames_picture(state: State) -> dict[str, Json]:
    """Every frame that the allocator does not own, and those that somebody points at although it does."""
    mappers = _mappers(state)
    tables = {table.pfn: owner for (owner, _, _), table in state.tables.items() if table.kind == "page"}
    tables |= {process.pgd: name for name, process in state.processes.items()}
    shown = set(state.frames) | mappers.keys()
    shown |= {pfn for reference in state.references.values() for pfn in reference.frames if pfn != NOT_MAPPED}
    buffers = {pfn: name for name, buffer in sorted(state.buffers.items()) for pfn in buffer.frames}
    shown |= buffers.keys()
    return {
        str(frame_name(state, pfn)): {
            **frame_picture(frame := page_frame(state, pfn)),
            "owner": buffers.get(pfn) or _owner(pfn, frame, mappers, tables),
            "content": state.content.get(pfn) or 0,
        }
        for pfn in sorted(shown)
    }


def frame_picture(frame: Frame) -> dict[str, Json]:
    """What stands in struct page."""
    return {"kind": frame.kind, "refcount": frame.refcount, "mapcount": frame.mapcount, "pincount": frame.pins}


def _mappers(state: State) -> dict[int, set[str]]:
    """Pfn → the processes that have it in their page tables."""
    mappers: dict[int, set[str]] = {}
    for (process, _), pte in state.ptes.items():
        if pte.kind == "page":
            mappers.setdefault(pte.pfn, set()).add(process)
    for (process, level, _), entry in state.tables.items():
        if level == 1 and entry.huge:
            mappers.setdefault(entry.pfn, set()).add(process)
    return mappers


def _owner(pfn: int, frame: Frame, mappers: Mapping[int, set[str]], tables: Mapping[int, str]) -> str | None:
    """Whose page it is: a file's, an address space's page table, or whoever maps an anonymous one."""
    if frame.kind == "pgtable":
        return tables.get(pfn)
    if frame.kind == "file":
        return frame.mapping or None
    return ",".join(sorted(mappers.get(pfn, ()))) or None if frame.kind == "anon" else None


def files_picture(state: State) -> dict[str, Json]:
    """Every file: its size in pages, and which of them are in the page cache."""
    caches: dict[str, dict[int, int]] = {}
    for (file, index), pfn in state.page_cache.items():
        caches.setdefault(file, {})[index] = pfn
    return {
        name: {
            "kind": file.kind,
            "pages": file.size,
            "seals": list(file.seals),
            "cache": {str(index): pfn for index, pfn in sorted(caches.get(name, {}).items())},
        }
        for name, file in sorted(state.files.items())
    }


# -- devices and what they use -----------------------------------------------------------------


def reference_picture(state: State, reference: Reference) -> dict[str, Json]:
    """What somebody holds of somebody's pages."""
    return {
        "kind": reference.kind,
        "frames": [frame_name(state, pfn) for pfn in reference.frames],
        "by": reference.by or None,
    }


def buffer_picture(state: State, name: str, buffer: Buffer) -> dict[str, Json]:
    """A buffer: where it is, which frames it has there, and the dma-bufs it is exported as, with their attachments."""
    exports = sorted(export for export, dma_buf in state.dma_bufs.items() if dma_buf.buffer == name)
    return {
        "pages": buffer.pages,
        "exporter": buffer.exporter,
        "place": buffer.place,
        "caching": buffer.caching,
        "frames": [frame_name(state, pfn) for pfn in buffer.frames],
        "exports": {
            export: sorted(device for dma_buf, device in state.attachments if dma_buf == export) for export in exports
        },
    }


# -- who is at work ----------------------------------------------------------------------------


def task_picture(task: Task) -> dict[str, Json]:
    """A task with its stack, the innermost function last."""
    return {
        "process": task.process or None,
        "cpu": task.cpu if task.cpu >= 0 else None,
        "stack": [call_picture(call) for call in task.stack],
        "blocked": task.blocked or None,
    }


def call_picture(call: Locals) -> dict[str, Json]:
    """A running kernel function and the micro-step that comes next."""
    return {"procedure": call.function, "step": cast("Procedure", call).next_name}


def tlb_picture(entries: Iterable[TlbEntry]) -> list[Json]:
    """The translations that a CPU has cached, oldest first."""
    return [
        {"process": entry.process, "page": entry.vpn, "frame": entry.pte.pfn, "writable": entry.pte.writable}
        for entry in entries
    ]


# -- changes -----------------------------------------------------------------------------------


def change_picture(state: State, change: Change) -> dict[str, Json]:
    """One entry of `changes`."""
    return {
        "table": TABLE_NAMES.get(change.table, change.table),
        "key": list(change.key) if isinstance(change.key, tuple) else [change.key],
        "old": record_picture(state, change.old),
        "new": record_picture(state, change.new),
    }


def record_picture(state: State, record: object) -> Json:
    """A record by itself: what a table holds under one key."""
    match record:
        case Pte():
            bits = names(record.bits, PAGE_BITS)
            return {
                "state": PTE_STATES.get(record.kind, "present"),
                "frame": frame_name(state, record.pfn),
                "bits": bits,
            }
        case Frame():
            return frame_picture(record) | {"flags": names(record.flags, PAGE_FLAGS)}
        case Vma():
            return vma_picture(state, record) | {"anon_vma": record.anon_vma, "chain": list(record.chain)}
        case Task():
            return task_picture(record)
        case msgspec.Struct():
            return msgspec.to_builtins(msgspec.structs.asdict(record))  # the defaults as well
        case _:
            return msgspec.to_builtins(record)
