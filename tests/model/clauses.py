"""The clauses that explanations of broken rules are made of, each with what the State must be where it is said."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from model.invariants.machine_view import MachineView
from model.memory.records import Pte

PLACE: Final = r"(?P<process>\w+) (?:[\w+]+ \(page (?P<page>\d+)\)|page (?P<bare>\d+))"
"""An address, as sentences call it: `p0 buf+1 (page 17)`, `p0 page 17`."""
ADDRESS: Final = PLACE.replace("process", "whose").replace("page>", "vpn>").replace("bare", "plain")
"""A second one in the same sentence."""
FRAME: Final = r"frame (?P<frame>\d+)"

Said = re.Match[str]


class Clause(NamedTuple):
    """Something that is said, and whether it is so."""

    said: str
    """A regular expression."""
    holds: Callable[[MachineView, Said], bool]


def pfn(said: Said, name: str = "frame") -> int:
    """The frame that is named."""
    return int(said[name])


def entry(scene: MachineView, said: Said) -> Pte | None:
    """The entry of the address that is named."""
    return scene.entry(said["process"], int(said["page"] or said["bare"]))


def maps(scene: MachineView, said: Said) -> bool:
    """Whether the entry there maps the frame."""
    found = entry(scene, said)
    return found is not None and found.present and found.pfn == pfn(said)


def has(scene: MachineView, said: Said) -> bool:
    """Whether a process has the frame at the second address that is named."""
    found = scene.entry(said["whose"], int(said["vpn"] or said["plain"]))
    return found is not None and found.present and found.pfn == pfn(said)


def owed(scene: MachineView, said: Said) -> bool:
    """Whether some call will flush the address."""
    process, vpn = said["process"], int(said["page"] or said["bare"])
    calls = (call for task in scene.state.tasks.values() for call in task.stack)
    return any(one.covers(process, vpn) for call in calls if (one := call.owes_flush()) is not None)


def held(scene: MachineView, said: Said) -> bool:
    """Whether somebody counted keeps the frame."""
    return bool(scene.holders(pfn(said), "get", "pin", "covered", "task", "task-pin"))


def count(scene: MachineView, said: Said) -> tuple[int, int]:
    """refcount and mapcount of the frame."""
    frame = scene.frame(pfn(said))
    return frame.refcount, frame.mapcount


CLAUSES: Final = (
    # what a reference holds, and who will be surprised
    Clause(
        rf"(?P<name>\w+) holds {FRAME}", lambda scene, said: pfn(said) in scene.state.references[said["name"]].frames
    ),
    Clause(
        rf"keeps {FRAME} from being freed",
        lambda scene, said: scene.frame(pfn(said)).kind not in {"free", "buffer", "vram"} and held(scene, said),
    ),
    Clause(
        rf"holds {FRAME}, .*the page has moved to {ADDRESS}\.",
        has,
    ),
    Clause(
        rf"holds {FRAME}, .*\. (?P<process>\w+) and [\w ]+ still share the page",
        lambda scene, said: said["process"] in scene.mappers(pfn(said)),
    ),
    Clause(
        rf"taken at {PLACE}.* has no view of it\.",
        lambda scene, said: scene.vma_at(said["process"], int(said["page"] or said["bare"])) is None,
    ),
    Clause(
        rf"holds {FRAME}, taken at {PLACE}.*(?:will not be where \w+ looks|writes there from now on)",
        lambda scene, said: not maps(scene, said),
    ),
    Clause(
        rf"The driver that owns {FRAME} does not look",
        lambda scene, said: scene.folio(pfn(said)).kind in {"buffer", "vram"},
    ),
    # what a TLB remembers
    Clause(
        rf"cpu(?P<cpu>\d+) still remembers that {PLACE} is {FRAME}",
        lambda scene, said: any(
            (one.process, one.vpn, one.pte.pfn) == (said["process"], int(said["page"] or said["bare"]), pfn(said))
            for one in scene.state.tlbs.get(int(said["cpu"])) or ()
        ),
    ),
    Clause(
        rf"remembers that {PLACE} is .* has no usable entry there",
        lambda scene, said: (found := entry(scene, said)) is None or not found.present,
    ),
    Clause(rf"remembers that {PLACE} is .* the page table maps {FRAME} there", maps),
    Clause(
        rf"remembers that {PLACE} is {FRAME}, but the page table allows only reading",
        lambda scene, said: maps(scene, said) and not getattr(entry(scene, said), "writable", True),
    ),
    Clause(rf"remembers that {PLACE} .* the flush is still to come", owed),
    Clause(rf"remembers that {PLACE} .* nobody is going to flush", lambda scene, said: not owed(scene, said)),
    Clause(rf"is {FRAME}, but .*; the frame is free", lambda scene, said: scene.frame(pfn(said)).kind == "free"),
    Clause(
        rf"is {FRAME}, but .*; the frame is in use \((?P<kind>[\w-]+)\)",
        lambda scene, said: scene.folio(pfn(said)).kind == said["kind"],
    ),
    # counts
    Clause(
        r"Frame (?P<frame>\d+) has refcount (?P<count>-?\d+)",
        lambda scene, said: count(scene, said)[0] == int(said["count"]),
    ),
    Clause(
        r"Frame (?P<frame>\d+) has mapcount (?P<count>-?\d+)",
        lambda scene, said: count(scene, said)[1] == int(said["count"]),
    ),
    Clause(
        r"Frame (?P<frame>\d+) has refcount -?\d+, but is held by nobody",
        lambda scene, said: not scene.holders(pfn(said), "pte", "cache", "table", "get", "pin", "task"),
    ),
    Clause(
        r"Frame (?P<frame>\d+) has mapcount -?\d+, but is mapped by no entry",
        lambda scene, said: not scene.holders(pfn(said), "pte", "huge"),
    ),
    Clause(r"Frame (?P<frame>\d+) is free and has", lambda scene, said: scene.frame(pfn(said)).kind == "free"),
    # life
    Clause(
        r"Frame (?P<frame>\d+) was given back to the allocator",
        lambda scene, said: scene.frame(pfn(said)).kind == "free",
    ),
    Clause(
        r"Frame (?P<frame>\d+) is marked AnonExclusive",
        lambda scene, said: scene.folio(pfn(said)).kind == "anon" and len(scene.holders(pfn(said), "pte", "huge")) > 1,
    ),
    # buffers
    Clause(
        r"Frame (?P<frame>\d+) belongs to buffer (?P<name>\S+) now",
        lambda scene, said: scene.frame(pfn(said)).mapping == f"bo:{said['name']}",
    ),
    Clause(
        r"Frame (?P<frame>\d+) waits in the pool",
        lambda scene, said: scene.frame(pfn(said)).mapping == "ttm_pool",
    ),
    Clause(
        rf"{PLACE} shows page \d+ of buffer .*, but its entry still leads to {FRAME}",
        maps,
    ),
    Clause(
        rf"shows page (?P<index>\d+) of buffer (?P<name>\w+), which is in {FRAME}",
        lambda scene, said: scene.buffer_page(said["name"], int(said["index"])) == pfn(said),
    ),
    # what somebody reached
    Clause(
        rf"wrote (?P<byte>\d+) (?:to|in|through \w+ to) {FRAME}",
        lambda scene, said: scene.byte(pfn(said)) == int(said["byte"]),
    ),
    Clause(rf"read (?P<byte>\d+) from {FRAME}", lambda scene, said: scene.byte(pfn(said)) == int(said["byte"])),
    Clause(rf"{FRAME}.*belongs to nobody: it is free", lambda scene, said: scene.frame(pfn(said)).kind == "free"),
    Clause(rf"{FRAME}.* belongs to (?P<whose>\w+), which has it at {ADDRESS.replace('whose', 'again')}", has),
    Clause(
        rf"what \w+ has at {PLACE} is (?P<byte>\d+), in {FRAME}",
        lambda scene, said: maps(scene, said) and scene.byte(pfn(said)) == int(said["byte"]),
    ),
    Clause(
        rf"for {PLACE}\. \w+ reads {FRAME} there, which holds (?P<byte>\d+)",
        lambda scene, said: maps(scene, said) and scene.byte(pfn(said)) == int(said["byte"]),
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through the entry that is there",
        maps,
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through a translation that only a TLB",
        lambda scene, said: not maps(scene, said) and any(h.kind == "tlb" for h in scene.holders(pfn(said), "tlb")),
    ),
    Clause(
        r"(?P<process>\w+) has nothing mapped there any more",
        lambda scene, said: said["process"] in scene.state.processes,
    ),
)


def hold_clauses(scene: MachineView, text: str) -> set[str]:
    """Hold every clause of a sentence against the State; returns which there are."""
    met = set()
    for clause in CLAUSES:
        for said in re.finditer(clause.said, text):
            assert clause.holds(scene, said), (clause.said, text)
            met.add(clause.said)
    return met
