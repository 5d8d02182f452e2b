"""What is said of accesses and moves: what somebody has reached, and what has become of a page."""

from typing import Final

from model.memory.flags import PAGE_UFFD_WP, PG_DIRTY, PG_KSM, VM_WRITE
from model.memory.folio import filemap_get_entry
from tests.model.clause_conditions import (
    ADDRESS,
    FRAME,
    NAMED,
    PLACE,
    Clause,
    at,
    belongs,
    buffer_frames,
    has,
    index_at,
    is_frame,
    is_user,
    maps,
    named,
    pfn,
    reference,
    second,
    stored,
    the_vma,
)

MOVED: Final = (
    rf"(?P<page_name>{PLACE}|[Pp]age \d+ of (?:file|buffer) \S+|[Tt]he page of swap slot \d+) has gone from "
    rf"(?P<from>swap slot \d+|the swap device|{NAMED}) to (?P<to>swap slot \d+|the swap device|{NAMED})\. "
    r"It held (?P<held>\d+) before, and holds (?P<holds>\d+) now: the byte is lost\."
)

OF_ACCESSES: Final = (
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
