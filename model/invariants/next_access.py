"""What a process meets at an address: what the page table says now, and what the next access there will find.

Each sentence has its condition in the State; where nothing certain follows from the State, nothing is promised. A
property test makes the access and compares.
"""

from typing import Final, Literal

from model.invariants.machine_view import SWAPPED, MachineView
from model.invariants.phrases import frame as name_of
from model.kernel.drivers.buffer import buffer_of
from model.kernel.fs.file_kinds import HUGETLB_FILES
from model.kernel.mm.pte_marker import POISON_MARKER, UFFD_WP_MARKER
from model.memory.flags import HPAGE_RESV_UNMAPPED, VM_EXEC, VM_READ, VM_UFFD_MINOR, VM_UFFD_MISSING, VM_WRITE
from model.memory.folio import filemap_get_entry
from model.memory.records import Pte, Vma
from model.text.wording import phrase

Filling = Literal["zeros", "page", "SIGBUS", "disk", "hole", "swap", ""]
"""How a fault fills an empty entry; empty: the State alone does not tell."""
FILLINGS: Final[dict[Filling, str]] = {
    "zeros": phrase(", and the next access finds zeros"),
    "SIGBUS": phrase(", and the file ends before that page: the next access gets SIGBUS"),
    "disk": phrase(", and the next access reads the page from disk"),
    "hole": phrase(", and the file has a hole there"),
    "swap": phrase(", and the file's page is in swap"),
    "": "",
}


def next_access(scene: MachineView, process: str, vpn: int) -> str:
    """What the next access to that page will find, as a sentence."""
    vma = scene.vma_at(process, vpn)
    if vma is None:
        return phrase("{process} has nothing mapped there any more.", process=process)
    if not vma.flags & (VM_READ | VM_WRITE | VM_EXEC):
        return phrase("{process} may not touch that address any more: SIGSEGV.", process=process)
    entry = scene.entry(process, vpn)
    if userfaults(scene, vma, entry, vpn):
        return phrase("userfaultfd decides now what the next access there finds.")
    if entry is not None and entry.kind == "marker" and entry != UFFD_WP_MARKER:
        if entry == POISON_MARKER:
            return phrase("There is a poison marker now: the next access gets SIGBUS.")
        return phrase("There is a guard marker now: the next access gets SIGSEGV.")
    if entry is not None and entry.kind == "migration":
        moving = name_of(scene, entry.pfn)
        return phrase("There is a migration entry now: the next access waits until {frame} has moved.", frame=moving)
    seen = scene.sees(process, vpn)
    if entry is not None and entry.kind == "swap":
        if seen == SWAPPED:
            return phrase("There is a swap entry now: the next access reads the page back, into another frame.")
        cached = name_of(scene, seen or 0)
        return phrase("There is a swap entry now, and the swap cache has the page in {frame}.", frame=cached)
    if entry is not None and seen is not None:
        return phrase("The page table maps {frame} there now.", frame=name_of(scene, seen))
    how, pfn = filling(scene, process, vma, vpn)
    if how == "page":
        if buffer_of(vma.file):
            return phrase("The entry there is empty now, and the buffer's page is {frame}.", frame=name_of(scene, pfn))
        return phrase("The entry there is empty now, and the file's page is {frame}.", frame=name_of(scene, pfn))
    return phrase("The entry there is empty now{filling}.", filling=FILLINGS[how])


def userfaults(scene: MachineView, vma: Vma, entry: Pte | None, vpn: int) -> bool:
    """Whether the next access is a fault that userfaultfd handles: nothing is mapped, and it is registered for that."""
    if not vma.flags & (VM_UFFD_MISSING | VM_UFFD_MINOR) or (entry is not None and entry != UFFD_WP_MARKER):
        return False
    index = vma.pgoff + vpn - vma.start
    exists = bool(vma.file) and (
        filemap_get_entry(scene.state, vma.file, index) is not None or (vma.file, index) in scene.state.swapped
    )
    return bool(vma.flags & (VM_UFFD_MINOR if exists else VM_UFFD_MISSING))


def filling(scene: MachineView, process: str, vma: Vma, vpn: int) -> tuple[Filling, int]:
    """How a fault will fill the empty entry of a page, as far as the State tells; for `page` also with which pfn."""
    if not vma.file:
        return ("zeros" if not vma.ops else ""), -1
    seen = scene.sees_next(process, vpn)
    file, index = scene.state.files.get(vma.file), vma.pgoff + vpn - vma.start
    if buffer_of(vma.file):
        return ("page", seen) if seen is not None and seen >= 0 else ("", -1)
    if file is None or file.kind not in {"memfd", "ext4", "dax", *HUGETLB_FILES} or vma.resv & HPAGE_RESV_UNMAPPED:
        return "", -1
    if index >= file.size:
        return "SIGBUS", -1
    if seen is None and file.kind in {"dax", *HUGETLB_FILES}:
        return "", -1
    if seen is None:
        return ("disk" if (vma.file, index) in scene.state.disk else "hole"), -1
    return ("swap", -1) if seen == SWAPPED else ("page", seen)
