"""What is said of frames: their counts, their life, and the buffers that have them."""

import re
from typing import Final

from model.invariants.machine_view import SWAPPED
from model.kernel.drivers.buffer import buffer_of
from model.kernel.drivers.ttm_pool import POOL
from tests.model.clause_conditions import (
    FRAME,
    PLACE,
    Clause,
    all_hold,
    all_map,
    at,
    buffer_moves,
    entry,
    every_holder,
    is_frame,
    lockers,
    makes_up,
    maps,
    pfn,
)

OF_FRAMES: Final = (
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
)
