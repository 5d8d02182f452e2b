"""What a process meets at an address: what the page table says now, and what the next access there will find.

Each sentence has its condition in the State; where nothing certain follows from the State, nothing is promised. A
property test makes the access and compares.
"""

from model.invariants.machine_view import SWAPPED, MachineView
from model.invariants.phrases import frame as name_of
from model.kernel.drivers.buffer import buffer_of
from model.memory.flags import VM_EXEC, VM_READ, VM_WRITE
from model.memory.records import Vma

EMPTY = "The entry there is empty now"


def next_access(scene: MachineView, process: str, vpn: int) -> str:
    """The sentence."""
    vma = scene.vma_at(process, vpn)
    if vma is None:
        return f"{process} has nothing mapped there any more."
    if not vma.flags & (VM_READ | VM_WRITE | VM_EXEC):
        return f"{process} may not touch that address any more: SIGSEGV."
    entry = scene.entry(process, vpn)
    if entry is not None and entry.kind == "marker":
        return "There is a guard marker now: the next access gets SIGSEGV."
    if entry is not None and entry.kind == "migration":
        return f"There is a migration entry now: the next access waits until {name_of(scene, entry.pfn)} has moved."
    seen = scene.sees(process, vpn)
    if entry is not None and entry.kind == "swap":
        if seen == SWAPPED:
            return "There is a swap entry now: the next access reads the page back, into another frame."
        return f"There is a swap entry now, and the swap cache has the page in {name_of(scene, seen or 0)}."
    if entry is not None and seen is not None:
        return f"The page table maps {name_of(scene, seen)} there now."
    return f"{EMPTY}{_filled(scene, vma, vpn, seen)}."


def _filled(scene: MachineView, vma: Vma, vpn: int, seen: int | None) -> str:
    """How a fault will fill an empty entry, as far as the State tells."""
    if not vma.file:
        return ", and the next access finds zeros" if not vma.ops else ""
    file, index = scene.state.files.get(vma.file), vma.pgoff + vpn - vma.start
    if buffer_of(vma.file):
        return f", and the buffer's page is {name_of(scene, seen)}" if seen is not None and seen >= 0 else ""
    if file is None or file.kind not in {"memfd", "ext4"}:
        return ""
    if index >= file.size:
        return ", and the file ends before that page: the next access gets SIGBUS"
    if seen is None:
        on_disk = (vma.file, index) in scene.state.disk
        return ", and the next access reads the page from disk" if on_disk else ", and the file has a hole there"
    if seen == SWAPPED:
        return ", and the file's page is in swap"
    return f", and the file's page is {name_of(scene, seen)}"
