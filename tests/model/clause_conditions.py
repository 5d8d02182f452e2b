"""What a clause of an explanation names, looked up in the State: addresses, frames, holders, and whose a page is."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from model.invariants.holders import Holder
from model.invariants.machine_view import MachineView
from model.invariants.phrases import who
from model.kernel.drivers.buffer import buffer_of
from model.kernel.drivers.driver import driver_of
from model.kernel.drivers.ttm_pool import POOL
from model.kernel.mm.physical import BAR_BASE, PMEM_BASE, VRAM_BASE
from model.memory.flags import PG_PRIVATE, PG_SWAPCACHE
from model.memory.records import Pte, Reference, Vma

Said = re.Match[str]
Condition = Callable[[MachineView, Said], bool]


class Clause(NamedTuple):
    """Something that is said, and whether it is so."""

    said: str
    """A regular expression. If it has a group `claim`, only that is what the condition is about."""
    holds: Condition
    before: bool = False
    """It is said of the State before the step, which is what `holds` is given."""


PLACE: Final = r"(?P<process>\w+) (?:[\w+-]+ \(page (?P<page>\d+)\)|page (?P<bare>\d+))"
"""An address, as sentences call it: `p0 buf+1 (page 17)`, `p0 page 17`."""
ADDRESS: Final = PLACE.replace("process", "whose").replace("page>", "vpn>").replace("bare", "plain")
"""A second one in the same sentence."""
NAMED: Final = (
    r"(?:[Ff]rame \d+|[Pp]age \d+ of (?:folio \d+|the video memory|the device memory)|[Bb]lock \d+ of the storage"
    r"|[Ff]olio \d+|[Tt]he shared zero page|[Tt]he huge zero page)"
)
FRAME: Final = rf"(?P<frame>{NAMED})"
OTHER: Final = rf"(?P<other>{NAMED})"
MEANT: Final = rf"(?:taken at|for|took from) {PLACE}"
"""Where a reference was taken: what follows is said of this address."""


def pfn(said: Said, name: str = "frame") -> int:
    """The frame that is named."""
    text = said[name].lower()
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if "folio" in text:
        return sum(numbers)
    if not numbers:
        return -1
    bases = (("video", VRAM_BASE), ("device memory", BAR_BASE), ("storage", PMEM_BASE))
    return numbers[0] + next((base for word, base in bases if word in text), 0)


def is_frame(scene: MachineView, said: Said, number: int | None, name: str = "frame") -> bool:
    """Whether a frame is the one that is named; of the zero pages the name tells no number."""
    if "zero page" in said[name]:
        return number is not None and number >= 0 and scene.folio(number).kind == "zero"
    return number == pfn(said, name)


def named(scene: MachineView, said: Said, name: str = "frame") -> int:
    """The frame that is named, the zero page by what it is."""
    if "zero page" not in said[name]:
        return pfn(said, name)
    return next(number for number, frame in scene.state.frames.items() if frame.kind == "zero")


def at(said: Said) -> tuple[str, int]:
    """The address that is named."""
    return said["process"], int(said["page"] or said["bare"])


def second(said: Said) -> tuple[str, int]:
    """The second address that is named."""
    return said["whose"], int(said["vpn"] or said["plain"])


def entry(scene: MachineView, said: Said) -> Pte | None:
    """The entry of the address that is named."""
    return scene.entry(*at(said))


def vma(scene: MachineView, said: Said) -> Vma | None:
    """The VMA of the address that is named."""
    return scene.vma_at(*at(said))


def leads(scene: MachineView, process: str, vpn: int, number: int) -> bool:
    """Whether an entry maps a frame at an address."""
    found = scene.entry(process, vpn)
    return found is not None and found.present and found.pfn == number


def maps(scene: MachineView, said: Said) -> bool:
    """Whether the entry there maps the frame."""
    found = entry(scene, said)
    return found is not None and found.present and is_frame(scene, said, found.pfn)


def has(scene: MachineView, said: Said) -> bool:
    """Whether a process has the frame at the second address that is named."""
    return leads(scene, *second(said), named(scene, said))


def empty(scene: MachineView, said: Said) -> bool:
    """Whether the entry there is empty: userfaultfd's mark on an empty entry leads nowhere."""
    found = entry(scene, said)
    return found is None or found.kind == "marker"


def owed(scene: MachineView, said: Said) -> bool:
    """Whether some call will flush the address."""
    calls = (call for task in scene.state.tasks.values() for call in task.stack)
    return any(one.covers(*at(said)) for call in calls if (one := call.owes_flush()) is not None)


def held(scene: MachineView, said: Said) -> bool:
    """Whether somebody counted keeps the frame."""
    return bool(scene.holders(pfn(said), "get", "pin", "covered", "task", "task-pin"))


def reference(scene: MachineView, said: Said) -> Reference:
    """The reference that is named."""
    return scene.state.references[said["name"]]


def every_holder(scene: MachineView, number: int) -> list[Holder]:
    """Whoever holds a frame, or any page of the folio of which it is the head."""
    pages = scene.state.frames[number].pages if number in scene.state.frames else 1
    return [*dict.fromkeys(one for page in range(number, number + pages) for one in scene.holders(page))]


def people(text: str) -> list[str]:
    """The holders that a list names: `a, b and 2 more`."""
    text = text.replace("RCU, which", "RCU which").replace("the filesystem, idle", "the filesystem idle")
    parts = re.split(r", | and (?=\w)", text)
    return [part for part in parts if not re.fullmatch(r"\d+ more", part)]


def all_hold(scene: MachineView, number: int, text: str) -> bool:
    """Whether each holder that a list names is one."""
    known = {who(scene, one).replace("RCU, which", "RCU which") for one in every_holder(scene, number)}
    frame = scene.folio(number)
    own = {
        "the driver that allocated it": frame.kind == "buffer",
        "the filesystem idle": frame.kind == "dax",
        "the filesystem's private data": bool(frame.flags & PG_PRIVATE),
        "the swap cache": bool(frame.flags & PG_SWAPCACHE),
    }
    return all(own.get(one) or one in known for one in (re.sub(r" \(-?\d+\)$", "", part) for part in people(text)))


def all_map(scene: MachineView, number: int, text: str) -> bool:
    """Whether a list of addresses maps a frame: `p0 buf (page 16), p1 page 17 and 2 more`."""
    places = [re.fullmatch(PLACE, part) for part in people(text)]
    return all(found is not None and leads(scene, *at(found), number) for found in places)


def weight(text: str) -> int | None:
    """What the holders that a list names add up to; None where it does not name all."""
    if re.search(r"\d+ more$", text):
        return None
    return sum(int(found[1]) if (found := re.search(r"\((-?\d+)\)$", part)) else 1 for part in people(text))


def makes_up(_scene: MachineView, said: Said) -> bool:
    """Whether the sum of the holders is the one that is named."""
    total = weight(said["people"])
    return total is None or total == int(said["sum"])


def belongs(scene: MachineView, said: Said) -> bool:
    """Whether a frame is whose it is said to be."""
    number, stranger = pfn(said), said["stranger"]
    mapping = scene.folio(number).mapping
    if stranger.startswith("nobody: it is free"):
        return scene.frame(number).kind == "free"
    if stranger.startswith("nobody: the file"):
        return scene.folio(number).kind == "dax" and not mapping
    if stranger.startswith("everybody"):
        return scene.folio(number).kind == "zero"
    if stranger.startswith("the pool"):
        return mapping == POOL
    if found := re.match(r"(buffer|file) (\S+?)(?:, which (\w+) may only (read|copy))?$", stranger):
        owner = buffer_of(mapping) if found[1] == "buffer" else mapping
        return owner == found[2] or any(one.owner == found[2] for one in every_holder(scene, number))
    if stranger.startswith(("the page tables of", "the kernel, as")):
        return scene.folio(number).kind == "pgtable"
    having = re.findall(rf"(\w+), which has it at (a special entry|{PLACE})", stranger)
    return bool(having) and all(
        owner in scene.mappers(number) and (not process or leads(scene, process, int(page or bare), number))
        for owner, _, process, page, bare in having
    )


def buffer_moves(scene: MachineView, said: Said) -> bool:
    """Whether the driver of the buffer moves its buffers."""
    return driver_of(scene.state, scene.state.buffers[said["buffer"]].exporter).moves


def slot(scene: MachineView, number: int) -> int:
    """What a slot of swap stands for."""
    record = scene.state.swap_slots[number]
    return scene.byte(record.pfn) if record.pfn >= 0 else record.content


def stored(scene: MachineView, said: Said, where: str, byte: str) -> bool:
    """Whether the frame, or the slot, that a page has gone from or to holds a byte."""
    text = said[where]
    if found := re.fullmatch(r"swap slot (\d+)", text):
        return slot(scene, int(found[1])) == int(said[byte])
    if text == "the swap device":
        on = re.search(r"[Pp]age of swap slot (\d+)", said["page_name"])
        return on is None or slot(scene, int(on[1])) == int(said[byte])
    found = re.fullmatch(FRAME, text)
    return found is not None and scene.byte(named(scene, found)) == int(said[byte])


def the_vma(scene: MachineView, said: Said) -> Vma:
    """The VMA of the address that is named, which there must be."""
    found = vma(scene, said)
    assert found is not None, said[0]
    return found


def index_at(scene: MachineView, said: Said) -> int:
    """Which page of its file is mapped at the address that is named."""
    found = the_vma(scene, said)
    return found.pgoff + at(said)[1] - found.start


def is_user(scene: MachineView, text: str) -> bool:
    """Whether there is such a device, or such a reference."""
    name = text.rsplit(maxsplit=1)[-1]
    return name in scene.state.devices or name in scene.state.references or text.lower() == "the kernel"


def buffer_frames(scene: MachineView, one: Reference) -> tuple[int, ...]:
    """Where the buffer is that a reference was taken for."""
    exported = scene.state.dma_bufs.get(one.dmabuf)
    found = scene.state.buffers.get(exported.buffer if exported is not None else one.buffer)
    return found.frames if found is not None else ()


def lockers(scene: MachineView, kind: str, owner: str) -> tuple[str, ...]:
    """The tasks that hold a lock."""
    lock = scene.state.locks[kind, owner]
    return (lock.writer, *lock.readers)
