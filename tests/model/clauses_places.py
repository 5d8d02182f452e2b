"""What is said of places: what a reference holds, what the next access finds, what a TLB remembers."""

from typing import Final

from model.invariants.machine_view import SWAPPED
from model.memory.flags import VM_EXEC, VM_READ, VM_WRITE
from model.memory.folio import filemap_get_entry
from tests.model.clause_conditions import (
    ADDRESS,
    FRAME,
    MEANT,
    NAMED,
    PLACE,
    Clause,
    all_hold,
    at,
    empty,
    entry,
    has,
    held,
    index_at,
    is_frame,
    maps,
    named,
    owed,
    pfn,
    reference,
    the_vma,
    vma,
)

OF_PLACES: Final = (
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
)
