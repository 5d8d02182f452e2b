"""Whether the kernel and devices write only where the process may write itself.

A store by the CPU is stopped by the entry. A device is stopped by nobody, and neither is the kernel once it has the
page: the permission counts when get_user_pages() walks, and it must be that of the page which it returns. Dirty COW
(CVE-2016-5195) was a write whose page had become the file's again between the check and the walk.
"""

from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import accessed, place
from model.invariants.phrases import frame as name_of
from model.invariants.rule import AccessRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import Access
from model.memory.flags import VM_SHARED, VM_WRITE
from model.memory.folio import filemap_get_entry
from model.memory.records import Vma
from model.text.wording import phrase

READ_ONLY_WRITE: Final = Invariant(
    "read-only-write",
    "corruption",
    "Nobody writes through a process's mapping where the process itself could not write.",
    "Prints nothing: the page is valid and held. The file, or the read-only memory, just has other bytes from now on.",
)


def read_only_write(scene: MachineView, access: Access) -> Violation | None:
    """A write to the file's page behind a private mapping, or to memory that is mapped read-only."""
    if not access.write:
        return None
    reference = scene.state.references.get(access.reference)
    if access.reference and reference is None:
        return None
    if reference is not None and reference.kind == "pipe":
        return _through_pipe(scene, access)
    process, vpn = (reference.process, reference.vpn + access.page) if reference else (access.process, access.vpn)
    vma = scene.vma_at(process, vpn) if process else None
    if vma is None:
        return None
    asked = reference is None or (reference.write and reference.kind != "grab")
    if asked and _only_to_be_copied(scene, access.pfn, vma, vpn):
        message = phrase(
            "{wrote}, the page of file {file} itself. {process} maps it privately: a write there goes to a copy.",
            wrote=accessed(scene, access, place(scene, process, vpn)),
            file=vma.file,
            process=process,
        )
    elif not asked and not vma.flags & VM_WRITE and _own(scene, access.pfn, process, vpn):
        message = phrase(
            "{wrote}, which {process} has mapped read-only. Nobody asked for the permission to write.",
            wrote=accessed(scene, access, place(scene, process, vpn)),
            process=process,
        )
    else:
        return None
    subjects = (subject("frame", access.pfn), subject("pte", process, vpn))
    return violation(READ_ONLY_WRITE, (subject("ref", access.reference), *subjects) if reference else subjects, message)


def _through_pipe(scene: MachineView, access: Access) -> Violation | None:
    """A byte that was appended in a pipe to a page which splice() has put there: it is the file's."""
    frame = scene.frame(access.pfn)
    if frame.kind != "file" or scene.state.page_cache.get((frame.mapping, frame.index)) != access.pfn:
        return None
    message = phrase(
        "write(2) to pipe {pipe} put {value} into {frame}, page {index} of file {file} itself: splice(2) has lent it "
        "to the pipe, to be read.",
        pipe=access.reference,
        value=f"{access.value:#04x}",
        frame=name_of(scene, access.pfn),
        index=frame.index,
        file=frame.mapping,
    )
    subjects = (subject("ref", access.reference), subject("frame", access.pfn))
    return violation(READ_ONLY_WRITE, subjects, message)


def _only_to_be_copied(scene: MachineView, pfn: int, vma: Vma, vpn: int) -> bool:
    """The file's own page, in a private mapping of it."""
    if vma.flags & VM_SHARED or not vma.file:
        return False
    return filemap_get_entry(scene.state, vma.file, vma.pgoff + vpn - vma.start) == pfn


def _own(scene: MachineView, pfn: int, process: str, vpn: int) -> bool:
    """An anonymous page of the process, at that address; other memory is the business of foreign-dma."""
    return scene.folio(pfn).kind == "anon" and scene.sees(process, vpn) == pfn


RULES: Final = (
    AccessRule(
        READ_ONLY_WRITE,
        {
            "references": ("process", "vpn", "write", "kind"),
            "vmas": ("file", "pgoff", "start", "end", "flags"),
            "page_cache": None,
            "frames": ("kind", "mapping", "index"),
            "ptes": None,
            "tables": None,
            "swap_slots": ("pfn",),
            "swapped": None,
            "buffers": ("frames", "file", "memfd"),
        },
        read_only_write,
    ),
)
