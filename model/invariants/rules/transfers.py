"""Whether bytes reach those they are meant for: what a device or a CPU has just read or written, and where.

These are judged at the moment of the access. A device knows physical addresses only: nothing stops it, and nothing
tells it, when the page that it was given has become part of something else.
"""

from typing import Final

from model.invariants.holders import ENTRY_KINDS
from model.invariants.machine_view import MachineView
from model.invariants.next_access import next_access
from model.invariants.phrases import frame as name_of
from model.invariants.phrases import place, user
from model.invariants.rule import AccessRule, Reads
from model.invariants.rules import buffers
from model.invariants.rules.buffers import origin
from model.invariants.rules.translations import exported_buffer
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.invariants.whose_page import knew_already, mapped_there, shared_since_fork, whose_instead, whose_not_to_write
from model.memory.events import Access
from model.memory.records import Reference
from model.text.wording import Wording, phrase, together

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
LEADS_THERE: Final = (*sorted(ENTRY_KINDS), "cache", "table")
"""The holders of a frame that are harmed when somebody else uses it."""


def foreign_dma(scene: MachineView, access: Access) -> Violation | None:
    """A device, or whoever holds a reference, has reached memory that is not what the reference was taken on."""
    reference = scene.state.references.get(access.reference)
    if reference is None:
        return None
    meant = _meant(scene, access, reference)
    stranger = whose_instead(scene, access, reference.process, counted=reference.counted, meant=meant)
    moved = bool(stranger)
    if stranger and knew_already(scene, access, reference):
        return None
    stranger = stranger or whose_not_to_write(scene, access, reference)
    return _foreign_dma(scene, access, reference, stranger, moved=moved) if stranger else None


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
    if access.reference or not access.process or mapped_there(scene, access) or shared_since_fork(scene, access):
        return None
    meant = origin(scene, access.process, access.vpn, "")
    stranger = whose_instead(scene, access, access.process, counted=access.counted, meant=meant)
    return _foreign_access(scene, access, stranger) if stranger else None


def _foreign_dma(scene: MachineView, access: Access, reference: Reference, stranger: str, *, moved: bool) -> Violation:
    """Who wrote or read what, whose it is, and how that came about; `moved`: the page has changed hands."""
    shares = scene.folio(access.pfn).kind == "anon" and reference.process in scene.mappers(access.pfn)
    belongs = _belongs_also(stranger, moved=moved) if shares else _belongs(stranger, moved=moved)
    how = (
        phrase("Copy-on-write promises each of them a private copy from the fork on; a device writes past it.")
        if shares
        else _how_it_came(scene, access, reference)
    )
    message = together((_reached(scene, access, reference), belongs, how))
    subjects = (subject("ref", access.reference), subject("frame", access.pfn), *_pte(reference, access))
    return violation(FOREIGN_DMA, (*subjects, *_entries(scene, access.pfn)), message)


def _how_it_came(scene: MachineView, access: Access, reference: Reference) -> Wording:
    """Why the device still reaches the frame."""
    if reference.dmabuf:
        return phrase("The buffer has moved, and the mapping was kept.")
    if reference.kind == "gpu" and access.pfn in reference.frames:
        return phrase("The GPU's page table still leads there.")
    if reference.kind == "gpu":
        return phrase("The GPU's page table has no entry for it any more, but nobody has flushed its TLB.")
    if not reference.process:
        return phrase("The buffer has moved, and nobody told the device.")
    if reference.process in scene.mappers(access.pfn):
        return phrase("A device asks for no permission: the check was to be made when the reference was taken.")
    return together((next_access(scene, reference.process, reference.vpn + access.page), _not_told(reference)))


def _not_told(reference: Reference) -> str:
    """That nobody tells the holder of a page reference."""
    if not reference.counted:
        return ""
    return phrase("{holder:capital} was not told.", holder=reference.by or phrase("the holder"))


def _reached(scene: MachineView, access: Access, reference: Reference) -> Wording:
    """Who did what to which frame, and as what the device has it."""
    facts = {
        "user": user(access),
        "value": access.value,
        "frame": name_of(scene, access.pfn),
        "place": _taken_from(scene, access, reference),
    }
    if reference.kind == "gpu" and access.write:
        return phrase("{user:capital} wrote {value} to {frame}, which the GPU knows as {place}.", **facts)
    if reference.kind == "gpu":
        return phrase("{user:capital} read {value} from {frame}, which the GPU knows as {place}.", **facts)
    facts["name"] = access.reference
    if access.write:
        return phrase("{user:capital} wrote {value} to {frame}, which {name} took from {place}.", **facts)
    return phrase("{user:capital} read {value} from {frame}, which {name} took from {place}.", **facts)


def _taken_from(scene: MachineView, access: Access, reference: Reference) -> str:
    """Where the device's knowledge of the frame comes from."""
    if reference.dmabuf:
        return phrase("page {page} of dma-buf {dmabuf}", page=access.page, dmabuf=reference.dmabuf)
    if reference.kind == "gpu" or not reference.process:  # its driver has noted the frame numbers
        return phrase("page {page} of buffer {buffer}", page=access.page, buffer=reference.buffer)
    return place(scene, reference.process, reference.vpn + access.page)


def _belongs(stranger: str, *, moved: bool) -> Wording:
    """Whose a frame is; by now, or all the time."""
    if moved:
        return phrase("By now that frame belongs to {stranger}.", stranger=stranger)
    return phrase("That frame belongs to {stranger}.", stranger=stranger)


def _belongs_also(stranger: str, *, moved: bool) -> Wording:
    """Who else has a frame."""
    if moved:
        return phrase("By now that frame also belongs to {stranger}.", stranger=stranger)
    return phrase("That frame also belongs to {stranger}.", stranger=stranger)


def _foreign_access(scene: MachineView, access: Access, stranger: str) -> Violation:
    """Which CPU access went astray, and through what."""
    entry = scene.entry(access.process, access.vpn)
    same = entry is not None and entry.present and entry.pfn == access.pfn
    if same:
        through = phrase("through the entry that is there")
    elif any(h.owner == access.process and h.number == access.vpn for h in scene.holders(access.pfn, "tlb")):
        through = phrase("through a translation that only a TLB remembers")
    elif scene.holders(access.pfn, "task", "task-pin"):
        through = phrase("through a reference that was taken before the entry changed")
    else:
        through = phrase("through a translation that is gone by now")
    facts = {
        "place": place(scene, access.process, access.vpn),
        "value": access.value,
        "frame": name_of(scene, access.pfn),
        "through": through,
    }
    done = (
        phrase("{place}: the CPU wrote {value} to {frame} {through}.", **facts)
        if access.write
        else phrase("{place}: the CPU read {value} from {frame} {through}.", **facts)
    )
    message = together((done, _belongs(stranger, moved=False)))
    subjects = (subject("pte", access.process, access.vpn), subject("frame", access.pfn))
    return violation(FOREIGN_ACCESS, (*subjects, *_entries(scene, access.pfn)), message)


def _meant(scene: MachineView, access: Access, reference: Reference) -> str:
    """The buffer that a device's access is for; empty if it is for other memory."""
    if reference.dmabuf:
        return exported_buffer(scene, reference)
    return origin(scene, reference.process, reference.vpn + access.page, reference.buffer)


def _pte(reference: Reference, access: Access) -> tuple[str, ...]:
    return (subject("pte", reference.process, reference.vpn + access.page),) if reference.process else ()


def _entries(scene: MachineView, pfn: int) -> tuple[str, ...]:
    entries = (holder.subject for holder in scene.holders(pfn, *LEADS_THERE))
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
    if seen is None and scene.undecided(pfn, process, vpn):
        return ""
    facts = {
        "user": user(access),
        "value": access.value,
        "frame": name_of(scene, pfn),
        "name": access.reference,
        "place": place(scene, process, vpn),
    }
    if access.write:
        done = phrase("{user:capital} wrote {value} to {frame} through {name}, for {place}.", **facts)
        lost = phrase("The byte never arrives, and no error is reported.")
        return together((done, _reader_finds(scene, process, vpn, seen), lost))
    if seen is None or seen < 0 or scene.folio(seen).kind == "zero" or scene.byte(seen) == access.value:
        return ""
    done = phrase(
        "{user:capital} read {value} from {frame} through {name}, but what {process} has at {place} is {byte}, in "
        "{other}.",
        **facts,
        process=process,
        byte=scene.byte(seen),
        other=name_of(scene, seen),
    )
    if access.device:
        return together((done, phrase("The device works with old data, and no error is reported.")))
    return together((done, phrase("Whoever reads it works with old data, and no error is reported.")))


def _reader_finds(scene: MachineView, process: str, vpn: int, seen: int | None) -> str:
    """What the process meets when it looks for the byte."""
    if seen is None or seen < 0:
        return next_access(scene, process, vpn)
    frame, byte = name_of(scene, seen), scene.byte(seen)
    return phrase("{process} reads {frame} there, which holds {byte}.", process=process, frame=frame, byte=byte)


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
    AccessRule(LOST_WRITE, {**VIEW, **TAKEN, "content": None, "tasks": ("stack",), "locks": ("writer",)}, lost_write),
    AccessRule(FOREIGN_ACCESS, VIEW, foreign_access),
)
