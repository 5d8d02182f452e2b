"""Whose page an access has reached, if it is not the one that it was meant for."""

from typing import Final

from model.invariants.holders import BORROWED_KINDS
from model.invariants.machine_view import MachineView
from model.invariants.phrases import listing, place, who
from model.invariants.rules import buffers
from model.invariants.rules.buffers import mapped_buffer
from model.memory.events import Access
from model.memory.flags import PG_KSM, VM_SHARED, VM_WRITE
from model.memory.records import Reference
from model.text.wording import phrase

COUNTED_ENTRIES: Final = ("pte", "huge", "shared-huge")
"""Entries that make a process one of the page's owners; a special one only leads there."""


def whose_instead(scene: MachineView, access: Access, process: str, *, counted: bool, meant: str) -> str:
    """Whose page was accessed instead of the process's own, as a phrase; empty if the access is legitimate.

    `counted`: the access goes through a page reference, so the frame is the very page that was taken. It may
    still have changed hands: fork leaves the original to whoever does not write first. `meant` is the buffer that the
    access was for; nobody asks for references there, so its memory changes hands whether they are counted or not.
    What a process writes while fork() is still at work its child is meant to have: the child does not run yet.
    """
    pfn, frame = access.pfn, scene.folio(access.pfn)
    match frame.kind:
        case "free":
            if access.write:
                return phrase("nobody: it is free, and the next allocation will find the byte in it")
            return phrase("nobody: it is free, and what it holds is left over from its last owner")
        case "buffer" | "vram" | "kernel":
            return buffers.stranger(scene, pfn, meant)
        case "dax":
            return _storage_of(scene, pfn, _file_at(scene, process, access))
        case "pgtable":
            tables = scene.holders(pfn, "table")
            return who(scene, tables[0]) if tables else phrase("the kernel, as a page table")
        case "zero" if access.write:
            return phrase("everybody: each read of untouched memory in the system now finds the byte")
        case "anon" if access.write or process not in scene.mappers(pfn, *COUNTED_ENTRIES):
            others = sorted(other for other in scene.mappers(pfn) - {process} if not scene.forking(other))
            having = [(other, _at(scene, pfn, other)) for other in others]
            return listing([phrase("{process}, which has it at {place}", process=one, place=at) for one, at in having])
        case "file" if not counted and process not in scene.mappers(pfn) and not _lent(scene, pfn, meant):
            cached = scene.holders(pfn, "cache")
            if not cached or _is_behind(scene, cached[0].owner, meant) or _maps_file(scene, process, cached[0].owner):
                return ""
            return _file(cached[0].owner)
        case _:
            return ""


def _file(name: str) -> str:
    return phrase("file {file}", file=name)


def knew_already(scene: MachineView, access: Access, reference: Reference) -> bool:
    """Whether a byte was read that the process shared when the reference was taken, and so tells it nothing new.

    After fork parent and child have the same page. Who held it then may read that byte, whosever page it is now.
    """
    if access.write or not reference.counted or scene.folio(access.pfn).kind != "anon":
        return False
    return reference.had[access.page : access.page + 1] == (access.value,)


def shared_since_fork(scene: MachineView, access: Access) -> bool:
    """Whether a byte was read of a page that the process had together with others, and that nobody has to himself.

    Until an unmap has flushed, a CPU may still read what fork, or KSM, made common. Nobody writes to it meanwhile: the
    unmapped entry's reference is put after the flush, and with more than one reference a write makes a copy.
    """
    frame = scene.frame(access.pfn)
    if access.write or frame.kind != "anon" or frame.exclusive:
        return False
    if frame.flags & PG_KSM:
        return True
    anon_vma = int(frame.mapping.partition(":")[2] or 0)
    vma = scene.vma_at(access.process, access.vpn)
    gone = (vma for (owner, _), vma in scene.state.detached_vmas.items() if owner == access.process)
    return any(
        found.start <= access.vpn < found.end and anon_vma in found.chain
        for found in (*((vma,) if vma is not None else ()), *gone)
    )


def _lent(scene: MachineView, pfn: int, buffer: str) -> bool:
    """Whether a file's page is lent to the buffer that is meant, a udmabuf.

    To any, if nothing is mapped there any more: until munmap() flushes, a CPU may still use what it has detached.
    """
    return any(buffer in {"", holder.owner} for holder in scene.holders(pfn, *BORROWED_KINDS))


def _is_behind(scene: MachineView, file: str, buffer: str) -> bool:
    """Whether a file is what the buffer is made of, or any buffer: its pages are that buffer's, whoever holds them."""
    if buffer:
        found = scene.state.buffers.get(buffer)
        return found is not None and found.memfd == file
    return any(one.memfd == file for _, one in scene.state.buffers.items())


def _file_at(scene: MachineView, process: str, access: Access) -> str:
    """The file that the process has mapped where the access was meant to go; empty if none."""
    reference = scene.state.references.get(access.reference)
    vma = scene.vma_at(process, access.vpn if reference is None else reference.vpn + access.page)
    return vma.file if vma is not None else ""


def _storage_of(scene: MachineView, pfn: int, meant: str) -> str:
    """Whose a block of storage is, if not that of the file `meant`; nothing is known of a file that is unmapped."""
    owner = scene.folio(pfn).mapping
    if not owner:
        return phrase("nobody: the file has given the block back, and the next file that needs one gets it")
    return _file(owner) if meant and owner != meant else ""


def whose_not_to_write(scene: MachineView, access: Access, reference: Reference) -> str:
    """Whose page a device writes to that the process itself may only read, or only copy; empty if it may write there.

    A reference that was taken for writing has been through the fault that gives a private copy. One taken for reading
    has not, and a blind grab asks nobody: it goes past a read-only entry.
    """
    if not access.write or (reference.write and reference.kind != "grab"):
        return ""
    vma = scene.vma_at(reference.process, reference.vpn + access.page)
    if vma is None or vma.flags & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE:
        return ""
    match scene.folio(access.pfn).kind:
        case "buffer" | "vram":
            page = buffers.named(buffers.owner(scene, access.pfn))
        case "file" if cached := scene.holders(access.pfn, "cache"):
            page = _file(cached[0].owner)
        case _:
            return ""
    if vma.flags & VM_SHARED or not vma.flags & VM_WRITE:
        return phrase("{page}, which {process} may only read", page=page, process=reference.process)
    return phrase("{page}, which {process} may only copy", page=page, process=reference.process)


def _at(scene: MachineView, pfn: int, process: str) -> str:
    """Where a process has the frame mapped."""
    vpn = scene.mapped_at(pfn, process)
    return phrase("a special entry") if vpn is None else place(scene, process, vpn)


def _maps_file(scene: MachineView, process: str, file: str) -> bool:
    """Whether the process has some part of the file mapped; munmap() may have detached that, and not flushed yet.

    The shmem file behind a driver's buffer is mapped where the buffer is.
    """
    file = buffers.shown_as(file)
    found = scene.state.files.get(file)
    if found is not None and any(owner == process for owner, _ in found.i_mmap):
        return True
    return any(owner == process and vma.file == file for (owner, _), vma in scene.state.detached_vmas.items())


def mapped_there(scene: MachineView, access: Access) -> bool:
    """Whether the page table still says what the CPU went by; nobody's table makes the zero page his to write."""
    entry = scene.entry(access.process, access.vpn)
    if entry is None or not entry.present or entry.pfn != access.pfn:
        return False
    kind = scene.folio(access.pfn).kind
    shown = mapped_buffer(scene, access.process, access.vpn)
    if shown is None or not (entry.special or kind in {"buffer", "vram"}):
        return kind != "free" and not (access.write and kind == "zero")
    return scene.buffer_page(*shown) == access.pfn and (kind == "file" or buffers.owner(scene, access.pfn) == shown[0])
