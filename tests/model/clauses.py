"""The clauses that explanations of broken rules are made of, each with what the State must be where it is said.

Everything that a rule says is covered: a clause with its condition for each fact of the case at hand, and what is true
of kernels at any time in GENERAL. A sentence that is neither fails (`uncovered`).
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from model.invariants.machine_view import SWAPPED, MachineView
from model.kernel.drivers.buffer import buffer_of
from model.kernel.drivers.ttm_pool import POOL
from model.memory.flags import PAGE_UFFD_WP, PG_DIRTY, PG_KSM, VM_EXEC, VM_READ, VM_WRITE
from model.memory.folio import filemap_get_entry
from tests.model.clause_conditions import (
    ADDRESS,
    FRAME,
    MEANT,
    NAMED,
    PLACE,
    Condition,
    all_hold,
    all_map,
    at,
    belongs,
    buffer_frames,
    buffer_moves,
    empty,
    entry,
    every_holder,
    has,
    held,
    index_at,
    is_frame,
    is_user,
    lockers,
    makes_up,
    maps,
    named,
    owed,
    pfn,
    reference,
    second,
    stored,
    the_vma,
    vma,
)


class Clause(NamedTuple):
    """Something that is said, and whether it is so."""

    said: str
    """A regular expression. If it has a group `claim`, only that is what the condition is about."""
    holds: Condition
    before: bool = False
    """It is said of the State before the step, which is what `holds` is given."""


MOVED: Final = (
    rf"(?P<page_name>{PLACE}|[Pp]age \d+ of (?:file|buffer) \S+|[Tt]he page of swap slot \d+) has gone from "
    rf"(?P<from>swap slot \d+|the swap device|{NAMED}) to (?P<to>swap slot \d+|the swap device|{NAMED})\. "
    r"It held (?P<held>\d+) before, and holds (?P<holds>\d+) now: the byte is lost\."
)

CLAUSES: Final = (
    # what a reference holds, and who will be surprised
    Clause(
        rf"(?P<name>\w+) holds {FRAME}, (?=taken)",
        lambda scene, said: any(is_frame(scene, said, one) for one in reference(scene, said).frames),
    ),
    Clause(
        rf"(?P<name>\w+) holds {NAMED}, (?P<claim>taken at {PLACE}(?:, and \d+ more pages?)?\.)",
        lambda scene, said: 0 <= at(said)[1] - reference(scene, said).vpn < len(reference(scene, said).frames),
    ),
    Clause(
        rf"(?P<claim>The reference keeps {FRAME} from being freed); it never kept",
        lambda scene, said: scene.frame(pfn(said)).kind not in {"free", "buffer", "vram"} and held(scene, said),
    ),
    Clause(
        r"(?P<name>\w+) holds .*(?P<claim>It holds no page: whoever keeps such a mapping must "
        r"be told of every change\.)",
        lambda scene, said: not reference(scene, said).counted,
    ),
    Clause(
        rf"holds {FRAME}, taken at {PLACE}.*(?P<claim>That address is empty now: the page has moved to {ADDRESS}\.)",
        lambda scene, said: has(scene, said) and empty(scene, said),
    ),
    Clause(
        rf"holds {FRAME}, .*\. (?P<claim>(?P<process>\w+) and [\w ]+ still share the page, but no longer at that "
        r"address\.)",
        lambda scene, said: said["process"] in scene.mappers(named(scene, said)),
    ),
    Clause(
        rf"taken at {PLACE}.*(?P<claim>Whatever [\w ]+ still does with it, \w+ has no view of it\.)",
        lambda scene, said: vma(scene, said) is None,
    ),
    Clause(
        rf"holds {FRAME}, taken at {PLACE}.*(?P<claim>What [\w ]+ writes will not be where \w+ looks\.)",
        lambda scene, said: not maps(scene, said),
    ),
    Clause(
        rf"holds {FRAME}, taken at {PLACE}.*(?P<claim>What \w+ writes there from now on, [\w ]+ will not see\.)",
        lambda scene, said: not maps(scene, said),
    ),
    Clause(
        rf"The driver that owns {FRAME} does not look at references before it reuses the page\.",
        lambda scene, said: scene.folio(pfn(said)).kind in {"buffer", "vram"},
    ),
    Clause(
        rf"(?P<name>\w+) maps page (?P<index>\d+) of dma-buf (?P<dmabuf>\w+) for \w* ?at {FRAME}, but that page of "
        r"buffer (?P<buffer>\w*) is",
        lambda scene, said: (
            reference(scene, said).frames[int(said["index"])] == pfn(said)
            and scene.buffer_page(said["buffer"], int(said["index"])) != pfn(said)
        ),
    ),
    Clause(
        rf"maps page (?P<index>\d+) of dma-buf .* of buffer (?P<buffer>\w*) is (?P<claim>in {FRAME} now\.)",
        lambda scene, said: is_frame(scene, said, scene.buffer_page(said["buffer"], int(said["index"]))),
    ),
    Clause(
        r"maps page (?P<index>\d+) of dma-buf .* of buffer (?P<buffer>\w*) is (?P<claim>not in memory any more\.)",
        lambda scene, said: scene.buffer_page(said["buffer"], int(said["index"])) in {None, SWAPPED},
    ),
    # what the next access finds
    Clause(
        rf"{MEANT}.*(?P<claim>(?P=process) has nothing mapped there any more\.)",
        lambda scene, said: vma(scene, said) is None,
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>(?P=process) may not touch that address any more: SIGSEGV\.)",
        lambda scene, said: (
            (found := vma(scene, said)) is not None and not found.flags & (VM_READ | VM_WRITE | VM_EXEC)
        ),
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>userfaultfd decides now what the next access there finds\.)",
        lambda scene, said: (found := vma(scene, said)) is not None and bool(found.uffd) and empty(scene, said),
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>There is a guard marker now: the next access gets SIGSEGV\.)",
        lambda scene, said: (found := entry(scene, said)) is not None and found.kind == "marker",
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>There is a migration entry now: the next access waits until {FRAME} has moved\.)",
        lambda scene, said: (
            (found := entry(scene, said)) is not None and (found.kind, found.pfn) == ("migration", pfn(said))
        ),
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>There is a swap entry now: the next access reads the page back, into another frame\.)",
        lambda scene, said: (
            (found := entry(scene, said)) is not None
            and found.kind == "swap"
            and scene.state.swap_slots[found.pfn].pfn < 0
        ),
    ),
    Clause(
        rf"{MEANT}.*(?P<claim>There is a swap entry now, and the swap cache has the page in {FRAME}\.)",
        lambda scene, said: (
            (found := entry(scene, said)) is not None
            and found.kind == "swap"
            and scene.state.swap_slots[found.pfn].pfn == pfn(said)
        ),
    ),
    Clause(rf"{MEANT}.*(?P<claim>The page table maps {FRAME} there now\.)", maps),
    Clause(rf"{MEANT}.*(?P<claim>The entry there is empty now)", empty),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the (?:buffer|file)'s page is {FRAME}\.)",
        lambda scene, said: is_frame(scene, said, scene.sees_next(*at(said))),
    ),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the next access finds zeros\.)",
        lambda scene, said: (found := vma(scene, said)) is not None and not found.file,
    ),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the file ends before that page: the next access gets SIGBUS\.)",
        lambda scene, said: index_at(scene, said) >= scene.state.files[the_vma(scene, said).file].size,
    ),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the next access reads the page from disk\.)",
        lambda scene, said: (
            (the_vma(scene, said).file, index_at(scene, said)) in scene.state.disk
            and filemap_get_entry(scene.state, the_vma(scene, said).file, index_at(scene, said)) is None
        ),
    ),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the file has a hole there\.)",
        lambda scene, said: (
            (the_vma(scene, said).file, index_at(scene, said)) not in scene.state.disk
            and scene.page_of(the_vma(scene, said).file, index_at(scene, said)) is None
        ),
    ),
    Clause(
        rf"{MEANT}.*empty now(?P<claim>, and the file's page is in swap\.)",
        lambda scene, said: scene.page_of(the_vma(scene, said).file, index_at(scene, said)) == SWAPPED,
    ),
    Clause(rf"{MEANT}.*(?P<claim>empty now\.)", empty),
    # what a TLB remembers
    Clause(
        rf"cpu(?P<cpu>\d+) still remembers that {PLACE} is {FRAME}, but the page table ",
        lambda scene, said: any(
            (one.process, one.vpn) == at(said) and is_frame(scene, said, one.pte.pfn)
            for one in scene.state.tlbs.get(int(said["cpu"])) or ()
        ),
    ),
    Clause(
        rf"remembers that {PLACE} is .*(?P<claim>has no usable entry there, and )",
        lambda scene, said: (found := entry(scene, said)) is None or not found.present or found.protnone,
    ),
    Clause(rf"remembers that {PLACE} is .* (?P<claim>maps {FRAME} there, and )", maps),
    Clause(
        rf"remembers that {PLACE} is {FRAME}, but the page table (?P<claim>allows only reading there, and )",
        lambda scene, said: maps(scene, said) and not getattr(entry(scene, said), "writable", True),
    ),
    Clause(rf"remembers that {PLACE} .* (?P<claim>the flush is still to come\.)", owed),
    Clause(
        rf"remembers that {PLACE} .* (?P<claim>nobody is going to flush it\.)",
        lambda scene, said: not owed(scene, said),
    ),
    Clause(
        rf"cpu(?P<cpu>\d+) still remembers that {PLACE} .*"
        rf"(?P<claim>(?P=process) can go on to read(?P<write> and write)? {NAMED} on this CPU without a fault; )",
        lambda scene, said: any(
            (one.process, one.vpn, one.pte.writable) == (*at(said), bool(said["write"]))
            for one in scene.state.tlbs.get(int(said["cpu"])) or ()
        ),
    ),
    Clause(
        rf"is {FRAME}, but .*; (?P<claim>the frame is free, and the next allocation hands it to somebody else\.)",
        lambda scene, said: scene.frame(pfn(said)).kind == "free",
    ),
    Clause(
        rf"is {FRAME}, but .*; (?P<claim>the frame is in use \((?P<kind>[\w-]+)\)\.)",
        lambda scene, said: scene.folio(named(scene, said)).kind == said["kind"],
    ),
    Clause(
        rf"is {FRAME}, but .*; (?P<claim>the frame is held by (?P<people>.*)\.)",
        lambda scene, said: all_hold(scene, named(scene, said), said["people"]),
    ),
    # counts
    Clause(
        rf"{FRAME} has refcount (?P<count>-?\d+), but is ",
        lambda scene, said: scene.folio(pfn(said)).refcount == int(said["count"]),
    ),
    Clause(
        rf"{FRAME} has refcount .*, but is (?P<claim>held by nobody: )",
        lambda scene, said: not scene.holders(pfn(said), "pte", "cache", "table", "get", "pin", "task"),
    ),
    Clause(
        rf"{FRAME} has refcount .*, but is (?P<claim>held by (?!nobody)(?P<people>.*): )that makes",
        lambda scene, said: all_hold(scene, pfn(said), said["people"]),
    ),
    Clause(r"held by (?!nobody)(?P<people>.*): (?P<claim>that makes (?P<sum>-?\d+)\.)", makes_up),
    Clause(r"held by nobody: (?P<claim>that makes (?P<sum>\d+)\.)", lambda _, said: said["sum"] == "0"),
    Clause(
        r"has refcount (?P<count>-?\d+), .*that makes (?P<sum>-?\d+)\. (?P<claim>(?P<more>\d+) "
        r"references? (?:has|have) no "
        r"owner: nobody will drop (?:it|them), and the frame is never freed\.)",
        lambda _, said: int(said["count"]) - int(said["sum"]) == int(said["more"]),
    ),
    Clause(
        r"has refcount (?P<count>-?\d+), .*that makes (?P<sum>-?\d+)\. (?P<claim>The count "
        r"reaches 0 while somebody still "
        r"holds the page: it is freed under them, and the next allocation hands the same frame to somebody else\.)",
        lambda _, said: int(said["count"]) < int(said["sum"]),
    ),
    Clause(
        rf"{FRAME} has refcount .*(?P<claim>A free page with a count: the allocator either "
        rf"skips it, and it is lost, or hands "
        r"it out as it is\.)",
        lambda scene, said: scene.frame(pfn(said)).kind == "free",
    ),
    Clause(
        rf"{FRAME} has mapcount (?P<count>-?\d+), but is ",
        lambda scene, said: scene.folio(pfn(said)).mapcount == int(said["count"]),
    ),
    Clause(
        rf"{FRAME} has mapcount -?\d+, but is (?P<claim>mapped by no entry at all\.)",
        lambda scene, said: not [one for one in every_holder(scene, pfn(said)) if one.kind in {"pte", "huge"}],
    ),
    Clause(
        rf"{FRAME} has mapcount -?\d+, but is (?P<claim>mapped by (?P<n>\d+) entr(?:y|ies): (?P<people>.*?)\.)"
        r" (?:Reclaim|Unmapping)",
        lambda scene, said: (
            all_hold(scene, pfn(said), said["people"])
            and int(said["n"]) == len([h for h in every_holder(scene, pfn(said)) if h.kind in {"pte", "huge"}])
        ),
    ),
    Clause(
        rf"{FRAME} has mapcount (?P<count>-?\d+), .*(?P<claim>Reclaim and copy-on-write will "
        rf"think that somebody still maps "
        r"it\.)",
        lambda _, said: int(said["count"]) > 0,
    ),
    Clause(
        rf"{FRAME} has mapcount (?P<count>-?\d+), .*(?P<claim>Unmapping them takes the count "
        rf"below zero, and a page that is "
        r"still mapped may be taken for unmapped\.)",
        lambda scene, said: (
            int(said["count"]) < len([h for h in every_holder(scene, pfn(said)) if h.kind in {"pte", "huge", "rmap"}])
        ),
    ),
    Clause(rf"{FRAME} is free and has", lambda scene, said: scene.frame(pfn(said)).kind == "free"),
    Clause(
        rf"{FRAME} is in use \((?P<kind>\w+)\) and has",
        lambda scene, said: scene.folio(pfn(said)).kind == said["kind"],
    ),
    Clause(
        rf"{FRAME} is (?:free|in use \(\w+\)) and has "
        rf"(?P<claim>(?P<counts>(?:(?:refcount|mapcount|pins) -\d+(?:, | and )?)+): "
        r"somebody gave back more than was taken\.)",
        lambda scene, said: all(
            getattr(scene.folio(pfn(said)), part.split()[0]) == int(part.split()[1])
            for part in re.split(", | and ", said["counts"])
        ),
    ),
    Clause(
        rf"{FRAME} is mapped by (?P<people>.*), and has (?P<counts>.*)\. (?=Unmapping only)",
        lambda scene, said: (
            all_hold(scene, pfn(said), said["people"])
            and all(
                getattr(scene.folio(pfn(said)), name) == int(count)
                for name, count in re.findall(r"(\w+count) (-?\d+) where -?\d+ is right", said["counts"])
            )
        ),
    ),
    # life
    Clause(
        rf"{FRAME} was given back to (?P<whom>the allocator|the filesystem), but ",
        lambda scene, said: (
            scene.frame(pfn(said)).kind == "free"
            if said["whom"] == "the allocator"
            else scene.frame(pfn(said)).kind == "dax" and not scene.frame(pfn(said)).mapping
        ),
    ),
    Clause(
        rf"{FRAME} was given back to .*?, but (?P<claim>(?P<people>.*) still (?:points? at|holds?) it\.)",
        lambda scene, said: all_hold(scene, pfn(said), said["people"]),
    ),
    Clause(rf"{FRAME} is marked AnonExclusive, yet ", lambda scene, said: scene.folio(pfn(said)).kind == "anon"),
    Clause(
        rf"{FRAME} is marked AnonExclusive, yet (?P<claim>(?P<n>\d+) entries map it: (?P<people>.*?)\.) A write",
        lambda scene, said: (
            all_map(scene, pfn(said), said["people"]) and int(said["n"]) == len(scene.holders(pfn(said), "pte", "huge"))
        ),
    ),
    Clause(
        rf"{FRAME} is held by (?P<people>.*) and mapped at (?P<places>.*), but it is not marked AnonExclusive\.",
        lambda scene, said: (
            all_hold(scene, pfn(said), said["people"])
            and all_map(scene, pfn(said), said["places"])
            and not scene.frame(pfn(said)).exclusive
        ),
    ),
    Clause(
        r"Task (?P<task>\S+) has ended and still holds (?P<kind>\S+) of (?P<owner>\S+): ",
        lambda scene, said: (
            said["task"] not in scene.state.tasks and said["task"] in lockers(scene, said["kind"], said["owner"])
        ),
    ),
    Clause(
        r"still holds (?P<kind>\S+) of (?P<owner>\S+): (?P<claim>the next call that needs it "
        r"(?P<change>to change something )?"
        r"waits for ever\.)",
        lambda scene, said: bool(scene.state.locks[said["kind"], said["owner"]].writer) == (said["change"] is None),
    ),
    Clause(
        r"Task (?P<task>\S+) has ended with interrupts off on cpu(?P<cpu>\d+): nothing is ever "
        r"scheduled there again, and a "
        r"TLB flush waits for that CPU for ever\.",
        lambda scene, said: (
            said["task"] not in scene.state.tasks and scene.state.cpus[int(said["cpu"])].irqs_off_by == said["task"]
        ),
    ),
    Clause(
        rf"The walk for {PLACE} reads its entry in {FRAME}, which was its page table but no longer is\.",
        lambda scene, said: (
            not any(
                upper.pfn == pfn(said) and not upper.huge and key[0] == at(said)[0] and key[2] == at(said)[1] >> 9
                for key, upper in scene.state.tables.items()
                if key[1] == 1
            )
        ),
    ),
    Clause(
        rf"in {FRAME}, which was its page table .*(?P<claim>It is free: what is in it is left over\.)",
        lambda scene, said: scene.frame(pfn(said)).kind == "free",
    ),
    Clause(
        rf"in {FRAME}, which was its page table .*(?P<claim>It is a page table of (?P<process>\w+)\.)",
        lambda scene, said: scene.frame(pfn(said)).mapping == f"mm:{said['process']}",
    ),
    Clause(
        rf"in {FRAME}, which was its page table .*(?P<claim>It holds data, which the walker takes for entries\.)",
        lambda scene, said: scene.frame(pfn(said)).kind not in {"free", "pgtable"},
    ),
    # buffers
    Clause(
        rf"(?P<people>.*) holds? {FRAME}, (?=a (?:page of|recycled))",
        lambda scene, said: (
            all_hold(scene, pfn(said), said["people"][0].lower() + said["people"][1:])
            or all_hold(scene, pfn(said), said["people"])
        ),
    ),
    Clause(
        rf"holds? {FRAME}, (?P<claim>a page of buffer (?P<buffer>\S+)\.)",
        lambda scene, said: scene.folio(pfn(said)).mapping == f"bo:{said['buffer']}",
    ),
    Clause(
        rf"holds? {FRAME}, (?P<claim>a recycled page that waits for the next buffer\.)",
        lambda scene, said: (
            scene.folio(pfn(said)).kind == "buffer" and not scene.folio(pfn(said)).mapping.startswith("bo:")
        ),
    ),
    Clause(
        r"a page of buffer (?P<buffer>\S+)\. (?P<claim>Its driver does not look at refcounts: "
        r"when the buffer moves or is "
        r"freed, this memory goes to somebody else, reference or not\.)",
        buffer_moves,
    ),
    Clause(
        r"a page of buffer (?P<buffer>\S+)\. (?P<claim>Its driver does not look at refcounts: "
        r"when the buffer is freed, this "
        r"memory goes to somebody else, reference or not\.)",
        lambda scene, said: not buffer_moves(scene, said),
    ),
    Clause(
        rf"holds? {FRAME}, .*\. (?P<claim>Its driver does not look at refcounts: the next "
        rf"buffer gets this page, reference or "
        r"not\.)",
        lambda scene, said: buffer_of(scene.folio(pfn(said)).mapping) not in scene.state.buffers,
    ),
    Clause(
        rf"{FRAME} is a page of buffer (?P<buffer>\S+), which nobody has any more: its last handle, mapping and "
        r"importer have gone\.",
        lambda scene, said: (
            pfn(said) in scene.state.buffers[said["buffer"]].frames
            and not scene.state.buffers[said["buffer"]].handles
            and not scene.state.files[f"bo:{said['buffer']}"].i_mmap
        ),
    ),
    Clause(
        r"a page of buffer (?P<buffer>\S+), which nobody .* "
        r"(?P<claim>Its driver still counts (?P<n>\d+) mappings?, so it never gives the memory back\.)",
        lambda scene, said: scene.state.buffers[said["buffer"]].users == int(said["n"]),
    ),
    Clause(
        rf"{FRAME} is (?P<people>.*) for its driver, but ",
        lambda scene, said: all_hold(scene, pfn(said), said["people"]),
    ),
    Clause(
        rf"{FRAME} is .* for its driver, but (?P<claim>it is in use as (?P<kind>\w+) memory now)",
        lambda scene, said: scene.folio(pfn(said)).kind == said["kind"],
    ),
    Clause(
        rf"{FRAME} is .* for its driver, but (?P<claim>it belongs to buffer (?P<buffer>\S+) as well)",
        lambda scene, said: scene.folio(pfn(said)).mapping == f"bo:{said['buffer']}",
    ),
    Clause(
        rf"{FRAME} is .* for its driver, but (?P<claim>it lies in the pool as well: the next buffer gets it)",
        lambda scene, said: scene.folio(pfn(said)).mapping == POOL,
    ),
    Clause(
        rf"{FRAME} is .* for its driver, but it .*?(?P<claim> \((?P<people>the .*|page .*)\)\.) Both",
        lambda scene, said: all_hold(scene, pfn(said), said["people"]),
    ),
    Clause(
        rf"{FRAME} belongs to buffer (?P<name>\S+) now: ",
        lambda scene, said: scene.folio(pfn(said)).mapping == f"bo:{said['name']}",
    ),
    Clause(
        rf"{FRAME} waits in the pool for its next owner: ",
        lambda scene, said: scene.folio(pfn(said)).mapping == POOL,
    ),
    Clause(
        rf"of buffer (?P<buffer>\S+), .*\. (?P<claim>{FRAME} is the old memory of the buffer: )",
        lambda scene, said: scene.folio(pfn(said)).mapping == f"bo:{said['buffer']}",
    ),
    Clause(
        rf"{FRAME} is (?P<kind>\w+) memory: ",
        lambda scene, said: scene.folio(pfn(said)).kind == said["kind"],
    ),
    Clause(
        rf"{PLACE} shows page \d+ of buffer .*, but its entry still leads to {FRAME}(?: \(\d+ "
        rf"more entr(?:y|ies) likewise\))?\.",
        maps,
    ),
    Clause(
        rf"{PLACE} shows .*: (?P<claim>(?P=process) reads(?P<write> and writes)? it without a fault\.)",
        lambda scene, said: (found := entry(scene, said)) is not None and found.writable == bool(said["write"]),
    ),
    Clause(
        rf"shows page (?P<index>\d+) of buffer (?P<name>\w+), which is in {FRAME}",
        lambda scene, said: is_frame(scene, said, scene.buffer_page(said["name"], int(said["index"]))),
    ),
    Clause(
        r"shows page (?P<index>\d+) of buffer (?P<name>\w+), which is not in memory",
        lambda scene, said: scene.buffer_page(said["name"], int(said["index"])) in {None, SWAPPED},
    ),
    Clause(
        rf"{FRAME} is page (?P<index>\d+) of buffer (?P<buffer>\S+), which borrowed it from file (?P<file>[^;]+); ",
        lambda scene, said: (
            scene.state.buffers[said["buffer"]].memfd == said["file"]
            and any(
                (one.owner, one.number) == (said["buffer"], int(said["index"]))
                for one in every_holder(scene, pfn(said))
            )
        ),
    ),
    Clause(
        rf"is page (?P<index>\d+) of buffer .* from file (?P<file>[^;]+); (?P<claim>the file has {FRAME} there now\.)",
        lambda scene, said: scene.state.page_cache.get((said["file"], int(said["index"]))) == pfn(said),
    ),
    Clause(
        r"is page (?P<index>\d+) of buffer .* from file (?P<file>[^;]+); (?P<claim>the file has a hole there now\.)",
        lambda scene, said: (said["file"], int(said["index"])) not in scene.state.page_cache,
    ),
    # what somebody reached
    Clause(
        rf"(?P<user>\S+|[Ww]hoever uses \w+|[Tt]he kernel) (?:wrote (?P<byte>\d+)(?: through "
        rf"\w+)?(?: at {PLACE})? to {FRAME}"
        rf"(?: through \w+)?|read (?P<got>\d+)(?: through \w+)? from (?P<of>{NAMED})(?: through \w+)?)",
        lambda scene, said: (
            scene.byte(named(scene, said, "frame" if said["frame"] else "of")) == int(said["byte"] or said["got"])
            and (said["user"] in {"CPU", "kernel"} or is_user(scene, said["user"]))
        ),
    ),
    Clause(
        rf"(?P<claim>, which (?P<name>\w+) took from {PLACE}\.)",
        lambda scene, said: (
            reference(scene, said).process == at(said)[0]
            and 0 <= at(said)[1] - reference(scene, said).vpn < len(reference(scene, said).frames)
        ),
    ),
    Clause(
        r", which (?P<name>\w+) took from page \d+ of dma-buf (?P<dmabuf>\w+)\.",
        lambda scene, said: reference(scene, said).dmabuf == said["dmabuf"],
    ),
    Clause(
        r", which (?:(?P<name>\w+) took from|the GPU knows as) page \d+ of buffer (?P<buffer>\w+)\.",
        lambda scene, said: said["name"] is None or reference(scene, said).buffer == said["buffer"],
    ),
    Clause(
        rf"(?:to|from) {FRAME}.*?(?P<claim>(?:By now t|T)hat frame (?:also )?belongs to "
        rf"(?P<stranger>.*?)\.)(?: [A-Z\w]|$)",
        belongs,
    ),
    Clause(
        rf"(?:to|from) {FRAME}, which (?P<name>\w+) took .*(?P<claim>The buffer has moved, and "
        rf"(?:the mapping was kept|nobody "
        r"told the device)\.)",
        lambda scene, said: pfn(said) not in buffer_frames(scene, reference(scene, said)),
    ),
    Clause(
        rf"(?:to|from) {FRAME}, .*(?P<claim>The GPU's page table still leads there\.)",
        lambda scene, said: any(
            one.kind == "gpu" and pfn(said) in one.frames for one in scene.state.references.values()
        ),
    ),
    Clause(
        rf"(?:to|from) {FRAME}, .*(?P<claim>The GPU's page table has no entry for it any more, "
        rf"but nobody has flushed its "
        r"TLB\.)",
        lambda scene, said: any(
            one.kind == "gpu" and pfn(said) not in one.frames for one in scene.state.references.values()
        ),
    ),
    Clause(
        rf"(?:to|from) {FRAME}, which \w+ took from {PLACE}.*(?P<claim>(?:A device asks for no "
        rf"permission: the check was to be "
        r"made when the reference was taken\.|Copy-on-write promises each of them a private "
        r"copy from the fork on; a device "
        r"writes past it\.))",
        lambda scene, said: at(said)[0] in scene.mappers(pfn(said)),
    ),
    Clause(
        r"which (?P<name>\w+) took from .* (?P<claim>(?:\w+|The holder) was not told\.)",
        lambda scene, said: reference(scene, said).counted,
    ),
    Clause(
        rf"(?P<claim>, but what \w+ has at {PLACE} is (?P<byte>\d+), in {FRAME}\.)",
        lambda scene, said: (
            scene.byte(named(scene, said)) == int(said["byte"]) and is_frame(scene, said, scene.sees(*at(said)))
        ),
    ),
    Clause(
        rf"for {PLACE}\. (?P<claim>\w+ reads {FRAME} there, which holds (?P<byte>\d+)\.)",
        lambda scene, said: (
            scene.byte(named(scene, said)) == int(said["byte"]) and is_frame(scene, said, scene.sees(*at(said)))
        ),
    ),
    Clause(
        rf"through (?P<name>\w+)(?P<claim>, for {PLACE}\.)",
        lambda scene, said: (
            reference(scene, said).process == at(said)[0]
            and 0 <= at(said)[1] - reference(scene, said).vpn < len(reference(scene, said).frames)
        ),
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through the entry that is there\.",
        maps,
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through a translation that only a TLB remembers\.",
        lambda scene, said: (
            not maps(scene, said) and any(h.kind == "tlb" for h in scene.holders(named(scene, said), "tlb"))
        ),
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through a reference that was taken before the entry changed\.",
        lambda scene, said: not maps(scene, said) and bool(scene.holders(named(scene, said), "task", "task-pin")),
    ),
    Clause(
        rf"{PLACE}: the CPU \w+ \d+ (?:to|from) {FRAME} through a translation that is gone by now\.",
        lambda scene, said: not maps(scene, said),
    ),
    Clause(
        rf"(?:to|from) {FRAME}(?P<claim>, page (?P<index>\d+) of file (?P<file>\S+?)\. "
        rf"Writeback has cleaned the page, and no "
        r"fault told the filesystem of this byte: )",
        lambda scene, said: (
            scene.state.page_cache.get((said["file"], int(said["index"]))) == pfn(said)
            and not scene.frame(pfn(said)).flags & PG_DIRTY
            and not any(
                getattr(scene.entry(one.owner, one.number), "dirty", False) for one in scene.holders(pfn(said), "pte")
            )
        ),
    ),
    Clause(
        rf"at {PLACE} to {FRAME}(?P<claim>, the page of file (?P<file>\S+) itself\. \w+ maps it "
        rf"privately: a write there goes "
        r"to a copy\.)",
        lambda scene, said: (
            the_vma(scene, said).file == said["file"]
            and filemap_get_entry(scene.state, said["file"], index_at(scene, said)) == pfn(said)
        ),
    ),
    Clause(
        rf"at {PLACE} to {FRAME}(?P<claim>, which \w+ has mapped read-only\. Nobody asked for "
        rf"the permission to write\.)",
        lambda scene, said: not the_vma(scene, said).flags & VM_WRITE and is_frame(scene, said, scene.sees(*at(said))),
    ),
    Clause(
        rf"write\(2\) to pipe (?P<name>\w+) put (?P<byte>0x\w+) into {FRAME}, page "
        rf"(?P<index>\d+) of file (?P<file>\S+) itself: "
        r"splice\(2\) has lent it to the pipe, to be read\.",
        lambda scene, said: (
            scene.byte(pfn(said)) == int(said["byte"], 16)
            and pfn(said) in reference(scene, said).frames
            and scene.state.page_cache.get((said["file"], int(said["index"]))) == pfn(said)
        ),
    ),
    Clause(
        rf"(?:to|from) {FRAME}(?P<claim>, a page of secret memory\.)",
        lambda scene, said: scene.state.files[scene.folio(pfn(said)).mapping].kind == "secretmem",
    ),
    Clause(
        rf"to {FRAME}\. (?P<claim>At {ADDRESS} userfaultfd has write-protected it, and was not told: )",
        lambda scene, said: has(scene, said) and bool(getattr(scene.entry(*second(said)), "bits", 0) & PAGE_UFFD_WP),
    ),
    # what has become of a page
    Clause(MOVED, lambda scene, said: stored(scene, said, "to", "holds")),
    Clause(MOVED, lambda scene, said: stored(scene, said, "from", "held"), before=True),
    Clause(
        rf"{FRAME} is a KSM page, and now holds (?P<new>\d+) instead of \d+\.",
        lambda scene, said: scene.byte(pfn(said)) == int(said["new"]) and bool(scene.folio(pfn(said)).flags & PG_KSM),
    ),
    Clause(
        rf"{FRAME} is a KSM page, and now holds \d+ (?P<claim>instead of (?P<old>\d+)\.)",
        lambda scene, said: scene.byte(pfn(said)) == int(said["old"]),
        before=True,
    ),
    Clause(
        rf"{FRAME} is a KSM page.*(?P<claim>It is mapped by (?P<n>\d+) entr(?:y|ies); )",
        lambda scene, said: scene.folio(pfn(said)).mapcount == int(said["n"]),
    ),
)

GENERAL: Final = (
    r"it never kept the entry from changing\.",
    r"The mapping holds no page; only the exporter's pin, or a move_notify that the device obeys, keeps it true\.",
    r"Unmapping only clears a special entry and gives nothing back, so the count stays wrong for good\.",
    r"The count is too low from now on: when it next reaches 0, somebody still holds the page\.",
    r"The allocator notices when it hands the frame out, if it checks\.",
    r"Reclaim and copy-on-write go by these counts, and do what is wrong for this page\.",
    r"Once it is handed out again, two owners read and write the same bytes\.",
    r"Whoever is given the frame next shares it with them, and their put takes a reference away that is not theirs\.",
    r"A write fault takes the mark for leave to write in place: one process's write appears in the other's memory\.",
    r"The next write there is answered with a copy: the process goes on with a new frame, the device with this one\.",
    (
        r"A walker without locks holds no reference on the table it is in: whoever lets go of a table "
        r"must wait until no CPU can be inside\."
    ),
    r"Both read and write the same bytes, and whoever frees it first frees it under the other\.",
    (
        r"The driver's reference keeps the page, not its place in the file: what is written on "
        r"one side is not seen on the "
        r"other, and nobody was told\."
    ),
    r"The byte never arrives, and no error is reported\.",
    r"(?:The device|Whoever reads it) works with old data, and no error is reported\.",
    r"it will not write the page again, and may drop it\.",
    r"get_user_pages\(\) refuses such pages; whoever walks the page tables directly must look at the VMA too\.",
    r"no entry is asked, so there is no fault\.",
    r"whoever reads there finds what they never wrote\.",
    r"\(\d+ more frames? likewise\)",
)
"""What is true at any time, and tells nothing of the case."""


def hold_clauses(scene: MachineView, text: str, before: MachineView | None = None) -> set[str]:
    """Hold every clause of a sentence against the State; returns which there are.

    What is said of the State before a step is held against that, if it is given.
    """
    met = set()
    for clause in CLAUSES:
        where = before if clause.before else scene
        if where is None:
            continue
        for said in re.finditer(clause.said, text):
            assert clause.holds(where, said), (clause.said, text)
            met.add(clause.said)
    return met


def uncovered(text: str) -> str:
    """What a message says that no clause is about; empty if all of it is covered."""
    left = list(text)
    for start, end in _spans(text):
        left[start:end] = "\0" * (end - start)
    return "…".join(part for part in re.split("\0+", "".join(left)) if re.search(r"\w", part))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (*(clause.said for clause in CLAUSES), *GENERAL):
        for said in re.finditer(pattern, text):
            yield said.span("claim") if "claim" in said.re.groupindex else said.span()
