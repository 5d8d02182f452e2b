"""Whether bytes reach those they are meant for: what a device or a CPU has just read or written, and where.

These are judged at the moment of the access. A device knows physical addresses only: nothing stops it, and nothing
tells it, when the page that it was given has become part of something else.
"""

from typing import Final

from model.invariants.holders import BORROWED_KINDS
from model.invariants.machine_view import MachineView
from model.invariants.next_access import next_access
from model.invariants.phrases import frame as name_of
from model.invariants.phrases import listing, place
from model.invariants.rule import AccessRule, Reads
from model.invariants.rules import buffers
from model.invariants.rules.buffers import mapped_buffer, origin
from model.invariants.rules.translations import exported_buffer
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.flags import PG_KSM, VM_SHARED, VM_WRITE
from model.memory.records import Access, Reference

FOREIGN_DMA: Final = Invariant(
    "foreign-dma",
    "corruption",
    "A device reaches only pages of the process, or of the file, that its reference was taken from.",
    "Prints nothing: the CPU is not involved and an IOMMU mapping that is still set up lets it pass. Whoever owns the "
    "page finds bytes that nobody in the system seems to have written.",
)
FOREIGN_ACCESS: Final = Invariant(
    "foreign-access",
    "corruption",
    "What a CPU reads or writes at an address of a process lies in a page that belongs to that process.",
    "Prints nothing: the translation is valid as far as the CPU knows. KASAN watches the kernel's own accesses, not "
    "those of user space.",
)
LOST_WRITE: Final = Invariant(
    "lost-write",
    "corruption",
    "What a device writes is what the process finds at that address, and what the process has written there is what "
    "the device reads.",
    "Prints nothing: both sides use valid pages, just not the same one.",
)


COUNTED_ENTRIES: Final = ("pte", "huge")
"""Entries that make a process one of the page's owners; a special one only leads there."""


def foreign_dma(scene: MachineView, access: Access) -> Violation | None:
    """A device, or whoever holds a reference, has reached memory that is not what the reference was taken on."""
    reference = scene.state.references.get(access.reference)
    if reference is None:
        return None
    meant = _meant(scene, access, reference)
    stranger = whose_instead(scene, access, reference.process, counted=reference.counted, meant=meant)
    since = "By now that" if stranger else "That"
    if stranger and _known(scene, access, reference):
        return None
    stranger = stranger or _not_to_be_written(scene, access, reference)
    return _foreign_dma(scene, access, reference, f"{since} frame", stranger) if stranger else None


def lost_write(scene: MachineView, access: Access) -> Violation | None:
    """A byte that does not get from the device to the process, or the other way."""
    reference = scene.state.references.get(access.reference)
    message = _lost(scene, access, reference) if reference is not None else ""
    if reference is None or not message:
        return None
    subjects = (subject("ref", access.reference), subject("frame", access.pfn), *_pte(reference, access))
    return violation(LOST_WRITE, subjects, message)


def foreign_access(scene: MachineView, access: Access) -> Violation | None:
    """A CPU has reached memory that is not the process's, through an address of the process."""
    if access.reference or not access.process or _mapped_there(scene, access) or _shared_since_fork(scene, access):
        return None
    meant = origin(scene, access.process, access.vpn, "")
    stranger = whose_instead(scene, access, access.process, counted=access.counted, meant=meant)
    return _foreign_access(scene, access, stranger) if stranger else None


# -- whose page is this ------------------------------------------------------------------------


def whose_instead(scene: MachineView, access: Access, process: str, *, counted: bool, meant: str) -> str:
    """Whose page was accessed instead of the process's own, as a phrase; empty if the access is legitimate.

    `counted`: the access goes through a page reference, so the frame is the very page that was taken. It may
    still have changed hands: fork leaves the original to whoever does not write first. `meant` is the buffer that the
    access was for; nobody asks for references there, so its memory changes hands whether they are counted or not.
    What a process writes while fork() is still at work its child is meant to have: the child does not run yet.
    """
    pfn, frame = access.pfn, scene.folio(access.pfn)
    mappers = scene.mappers(pfn)
    others = sorted(other for other in mappers - {process} if not scene.forking(other))
    match frame.kind:
        case "free":
            return (
                "nobody: it is free, and the next allocation will find the byte in it"
                if access.write
                else ("nobody: it is free, and what it holds is left over from its last owner")
            )
        case "buffer" | "vram" | "kernel":
            return buffers.stranger(scene, pfn, meant)
        case "dax":
            return _storage_of(scene, pfn, _file_at(scene, process, access))
        case "pgtable":
            tables = scene.holders(pfn, "table")
            return f"the page tables of {tables[0].owner}" if tables else "the kernel, as a page table"
        case "zero":
            return "everybody: each read of untouched memory in the system now finds the byte" if access.write else ""
        case "anon" if others and (access.write or process not in scene.mappers(pfn, *COUNTED_ENTRIES)):
            return listing([f"{other}, which has it at {_at(scene, pfn, other)}" for other in others])
        case "file" if not counted and process not in mappers and not _lent(scene, pfn, meant):
            cached = scene.holders(pfn, "cache")
            return f"file {cached[0].owner}" if cached and not _maps_file(scene, process, cached[0].owner) else ""
        case _:
            return ""


def _known(scene: MachineView, access: Access, reference: Reference) -> bool:
    """Whether a byte was read that the process shared when the reference was taken, and so tells it nothing new.

    After fork parent and child have the same page. Who held it then may read that byte, whosever page it is now.
    """
    if access.write or not reference.counted or scene.folio(access.pfn).kind != "anon":
        return False
    return reference.had[access.page : access.page + 1] == (access.value,)


def _shared_since_fork(scene: MachineView, access: Access) -> bool:
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


def _file_at(scene: MachineView, process: str, access: Access) -> str:
    """The file that the process has mapped where the access was meant to go; empty if none."""
    reference = scene.state.references.get(access.reference)
    vma = scene.vma_at(process, access.vpn if reference is None else reference.vpn + access.page)
    return vma.file if vma is not None else ""


def _storage_of(scene: MachineView, pfn: int, meant: str) -> str:
    """Whose a block of storage is, if not that of the file `meant`; nothing is known of a file that is unmapped."""
    owner = scene.folio(pfn).mapping
    if not owner:
        return "nobody: the file has given the block back, and the next file that needs one gets it"
    return f"file {owner}" if meant and owner != meant else ""


def _not_to_be_written(scene: MachineView, access: Access, reference: Reference) -> str:
    """Whose page a device writes to that the process itself may only read, or only copy; empty if it may write there.

    A reference that was taken for writing has been through the fault that gives a private copy. One taken for reading
    has not, and a blind grab asks nobody: it goes past a read-only entry.
    """
    if not access.write or (reference.write and reference.kind != "grab"):
        return ""
    vma = scene.vma_at(reference.process, reference.vpn + access.page)
    if vma is None or vma.flags & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE:
        return ""
    allowed = "only read" if vma.flags & VM_SHARED or not vma.flags & VM_WRITE else "only copy"
    match scene.folio(access.pfn).kind:
        case "buffer" | "vram":
            return f"buffer {buffers.owner(scene, access.pfn)}, which {reference.process} may {allowed}"
        case "file":
            cached = scene.holders(access.pfn, "cache")
            return f"file {cached[0].owner}, which {reference.process} may {allowed}" if cached else ""
        case _:
            return ""


def _at(scene: MachineView, pfn: int, process: str) -> str:
    """Where a process has the frame mapped."""
    vpn = scene.mapped_at(pfn, process)
    return "a special entry" if vpn is None else place(scene, process, vpn)


def _maps_file(scene: MachineView, process: str, file: str) -> bool:
    """Whether the process has some part of the file mapped; munmap() may have detached that, and not flushed yet.

    The shmem file behind a driver's buffer is mapped where the buffer is.
    """
    file = buffers.shown_as(file)
    found = scene.state.files.get(file)
    if found is not None and any(owner == process for owner, _ in found.i_mmap):
        return True
    return any(owner == process and vma.file == file for (owner, _), vma in scene.state.detached_vmas.items())


def _mapped_there(scene: MachineView, access: Access) -> bool:
    """Whether the page table still says what the CPU went by."""
    entry = scene.entry(access.process, access.vpn)
    if entry is None or not entry.present or entry.pfn != access.pfn:
        return False
    kind = scene.folio(access.pfn).kind
    shown = mapped_buffer(scene, access.process, access.vpn)
    if shown is None or not (entry.special or kind in {"buffer", "vram"}):
        return kind != "free"
    return scene.buffer_page(*shown) == access.pfn and (kind == "file" or buffers.owner(scene, access.pfn) == shown[0])


def _foreign_dma(scene: MachineView, access: Access, reference: Reference, that: str, stranger: str) -> Violation:
    """Who wrote or read what, whose it is, and how that came about."""
    done = f"wrote {access.value} to" if access.write else f"read {access.value} from"
    shares = scene.folio(access.pfn).kind == "anon" and reference.process in scene.mappers(access.pfn)
    also = "also " if shares else ""
    message = (
        f"{_user(access)} {done} {name_of(scene, access.pfn)}{_as_what(scene, access, reference)}. "
        f"{that} {also}belongs to {stranger}. "
    )
    if shares:
        message += "Copy-on-write promises each of them a private copy from the fork on; a device writes past it."
    elif reference.dmabuf:
        message += "The buffer has moved, and the mapping was kept."
    elif reference.kind == "gpu":
        gone = access.pfn not in reference.frames
        message += "The GPU's page table has no entry for it" if gone else "The GPU's page table still leads there"
        message += " any more, but nobody has flushed its TLB." if gone else "."
    elif not reference.process:
        message += "The buffer has moved, and nobody told the device."
    elif reference.process in scene.mappers(access.pfn):
        message += "A device asks for no permission: the check was to be made when the reference was taken."
    else:
        message += next_access(scene, reference.process, reference.vpn + access.page)
        message += f" {reference.by or 'The holder'} was not told." if reference.counted else ""
    subjects = (subject("ref", access.reference), subject("frame", access.pfn), *_pte(reference, access))
    return violation(FOREIGN_DMA, (*subjects, *_entries(scene, access.pfn)), message)


def _as_what(scene: MachineView, access: Access, reference: Reference) -> str:
    """As what the device has the frame, at the end of a phrase."""
    if reference.dmabuf:
        return f", which {access.reference} took from page {access.page} of dma-buf {reference.dmabuf}"
    if reference.kind == "gpu":
        return f", which the GPU knows as page {access.page} of buffer {reference.buffer}"
    if not reference.process:  # its driver has noted the frame numbers
        return f", which {access.reference} took from page {access.page} of buffer {reference.buffer}"
    return f", which {access.reference} took from {place(scene, reference.process, reference.vpn + access.page)}"


def _foreign_access(scene: MachineView, access: Access, stranger: str) -> Violation:
    """Which CPU access went astray, and through what."""
    done = f"wrote {access.value} to" if access.write else f"read {access.value} from"
    here = place(scene, access.process, access.vpn)
    entry = scene.entry(access.process, access.vpn)
    same = entry is not None and entry.present and entry.pfn == access.pfn
    if same:
        through = "through the entry that is there"
    elif any(h.owner == access.process and h.number == access.vpn for h in scene.holders(access.pfn, "tlb")):
        through = "through a translation that only a TLB remembers"
    elif scene.holders(access.pfn, "task", "task-pin"):
        through = "through a reference that was taken before the entry changed"
    else:
        through = "through a translation that is gone by now"
    message = f"{here}: the CPU {done} {name_of(scene, access.pfn)} {through}. That frame belongs to {stranger}."
    subjects = (subject("pte", access.process, access.vpn), subject("frame", access.pfn))
    return violation(FOREIGN_ACCESS, (*subjects, *_entries(scene, access.pfn)), message)


def _meant(scene: MachineView, access: Access, reference: Reference) -> str:
    """The buffer that a device's access is for; empty if it is for other memory."""
    if reference.dmabuf:
        return exported_buffer(scene, reference)
    return origin(scene, reference.process, reference.vpn + access.page, reference.buffer)


def _user(access: Access) -> str:
    """Who did it, at the start of a sentence."""
    return access.device or f"Whoever uses {access.reference}"


def _pte(reference: Reference, access: Access) -> tuple[str, ...]:
    return (subject("pte", reference.process, reference.vpn + access.page),) if reference.process else ()


def _entries(scene: MachineView, pfn: int) -> tuple[str, ...]:
    entries = (holder.subject for holder in scene.holders(pfn, "pte", "special", "cache", "table"))
    return (*entries, *buffers.buffer_subjects(scene, pfn))


# -- bytes that never arrive -------------------------------------------------------------------


def _lost(scene: MachineView, access: Access, reference: Reference) -> str:
    """Why the byte does not reach its reader, or the device does not get the process's byte; empty if all is well."""
    process, vpn, pfn = reference.process, reference.vpn + access.page, access.pfn
    if not scene.living(process) or scene.vma_at(process, vpn) is None:
        return ""
    seen = scene.sees(process, vpn)
    if seen == pfn or process in scene.mappers(pfn) or scene.holders(pfn, "cache"):
        return ""
    here = place(scene, process, vpn)
    if access.write:
        return (
            f"{_user(access)} wrote {access.value} to {name_of(scene, pfn)} through {access.reference}, for "
            f"{here}. {_reader_finds(scene, process, vpn, seen)} The byte never arrives, and no error is reported."
        )
    if seen is None or seen < 0 or scene.folio(seen).kind == "zero" or scene.byte(seen) == access.value:
        return ""
    return (
        f"{_user(access)} read {access.value} from {name_of(scene, pfn)} through {access.reference}, but what "
        f"{process} has at {here} is {scene.byte(seen)}, in {name_of(scene, seen)}. "
        f"{'The device works' if access.device else 'Whoever reads it works'} with old data, and no error is reported."
    )


def _reader_finds(scene: MachineView, process: str, vpn: int, seen: int | None) -> str:
    """What the process meets when it looks for the byte."""
    if seen is None or seen < 0:
        return next_access(scene, process, vpn)
    return f"{process} reads {name_of(scene, seen)} there, which holds {scene.byte(seen)}."


VIEW: Final[Reads] = {
    "processes": ("exiting", "forking"),
    "ptes": None,
    "tables": None,
    "vmas": ("file", "pgoff", "start", "end", "flags", "chain"),
    "page_cache": None,
    "swapped": None,
    "swap_slots": ("pfn",),
    "buffers": ("frames", "file", "memfd"),
    "files": ("i_mmap",),
    "frames": ("kind", "mapping", "flags"),
}
"""Where it is found who maps a page, and what a process finds at an address."""

TAKEN: Final[Reads] = {
    "references": ("process", "vpn", "write", "kind", "counted", "buffer", "dmabuf", "had"),
    "dma_bufs": ("buffer",),
}

RULES: Final = (
    AccessRule(FOREIGN_DMA, {**VIEW, **TAKEN}, foreign_dma),
    AccessRule(LOST_WRITE, {**VIEW, **TAKEN, "content": None}, lost_write),
    AccessRule(FOREIGN_ACCESS, VIEW, foreign_access),
)
