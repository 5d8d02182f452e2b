"""Buffers: memory whose owner moves and reuses it without a look at any refcount (kernel-facts I.2, K.3).

That is right as long as nobody can take a page reference on it, and as long as every entry is taken away before a
move. These are the two bug classes of the thread, and they are told apart here: a reference that should not be
(`unguarded-reference`) and an entry that should be gone (`stale-mapping`).
"""

from collections.abc import Iterator
from typing import Final

from model.invariants.case import Case
from model.invariants.holders import BORROWED_KINDS, Holder, HolderKind, members
from model.invariants.machine_view import MachineView
from model.invariants.phrases import capital, listing, place, plural, who
from model.invariants.phrases import frame as name_of
from model.invariants.rule import FrameRule
from model.invariants.rules.counts import count_of_first, is_first_of_block, order_of_block
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.kernel.drivers.buffer import FILE_PREFIX, OWN_FILE, buffer_of
from model.kernel.drivers.driver import driver_of
from model.kernel.drivers.ttm_pool import POOL
from model.memory.records import Frame
from model.text.wording import counted, phrase, together

UNGUARDED_REFERENCE: Final = Invariant(
    "unguarded-reference",
    "hazard",
    "A page reference is held only on pages whose owner looks for references before reusing them.",
    "Prints nothing. With the count mangled to 0 a WARN when the driver frees the page, which is late; with frozen "
    "pages a WARN at once.",
)
STALE_MAPPING: Final = Invariant(
    "stale-mapping",
    "hazard",
    "A page-table entry of a buffer leads to where the buffer is.",
    "Prints nothing: the entry is special, so no debugging option watches it. The CPU itself writes into what the old "
    "memory has become.",
)
DOUBLE_OWNER: Final = Invariant(
    "double-owner",
    "corruption",
    "A frame that a driver lists among a buffer's pages belongs to that buffer and to nobody else.",
    "Prints nothing until the driver frees its page: then `BUG: Bad page state`, if the new owner has left a mapping "
    "or flags on it, or the new owner's memory is freed under it.",
)

LEAKED_BUFFER: Final = Invariant(
    "leaked-buffer",
    "hazard",
    "The memory of a buffer goes back when its last handle, mapping and importer have gone.",
    "Prints nothing. Free memory shrinks each time; kmemleak does not look for pages.",
)
PARTED_PAGES: Final = Invariant(
    "parted-pages",
    "hazard",
    "A buffer made of a file's pages shows what the file shows.",
    "In 6.1, where udmabuf maps ordinary pages, `BUG: Bad page cache … still mapped when deleted`. Since 6.12 nothing: "
    "the entries are special, and the driver's reference is what any reference is.",
)


def owner(scene: MachineView, pfn: int) -> str:
    """Which buffer a driver's frame belongs to now; empty if it lies in the pool, or is no driver's frame."""
    mapping = scene.folio(pfn).mapping
    return buffer_of(mapping) if mapping.startswith(FILE_PREFIX) else ""


def shown_as(file: str) -> str:
    """The file that mappings name where a file's pages are seen: of a buffer's own shmem file the buffer's range."""
    return FILE_PREFIX + file.removeprefix(OWN_FILE) if file.startswith(OWN_FILE) else file


def mapped_buffer(scene: MachineView, process: str, vpn: int) -> tuple[str, int] | None:
    """The buffer, and the page of it, that a VMA shows at a virtual page; None if it shows no buffer."""
    vma = scene.vma_at(process, vpn)
    if vma is None or buffer_of(vma.file) not in scene.state.buffers:
        return None
    return buffer_of(vma.file), vma.pgoff + vpn - vma.start


class BufferFacts:
    """What one state says of its buffers, each asked for once: a buffer of 2 MiB has 512 pages that ask the same."""

    def __init__(self, scene: MachineView) -> None:
        self.scene: Final = scene
        self.leaked: Final[dict[str, bool]] = {}
        self.orders: Final[dict[int, int]] = {}

    def is_leaked(self, name: str) -> bool:
        """Whether nobody has the buffer any more, and its driver keeps it."""
        known = self.leaked.get(name)
        if known is None:
            known = self.leaked[name] = self.scene.state.buffers[name].leaked
        return known

    def order_at(self, pfn: int) -> int:
        """How long the driver's block is that may begin at a frame (order_of_block)."""
        known = self.orders.get(pfn)
        if known is None:
            known = self.orders[pfn] = order_of_block(self.scene, pfn)
        return known


def at_rest(facts: BufferFacts, pfn: int, frame: Frame) -> bool:
    """A driver's page that only its buffer has, or nobody: with such counts no rule about frames is broken there.

    Most pages of a buffer of 2 MiB are, and one question answers for all rules. Nobody counts in video memory. The
    pages of a buffer that has leaked are not at rest.
    """
    if frame.kind not in AT_REST or frame.flags or frame.mapcount or frame.pins:
        return False
    held = facts.scene.holding.held.get(pfn, ())
    if (holders := len(held)) > 1:
        return False
    if holders:
        holder = next(iter(members(held, ("buffer",))), None)
        if holder is None or frame.mapping != FILE_PREFIX + holder.owner or facts.is_leaked(holder.owner):
            return False
    if frame.kind == "vram":
        return frame.refcount >= 0
    return frame.refcount == (
        count_of_first(facts.scene) if frame.mapping and is_first_of_block(pfn, facts.order_at) else 0
    )


AT_REST: Final = frozenset({"buffer", "vram"})
"""The kinds of pages that can be at rest."""


# -- references --------------------------------------------------------------------------------


def unguarded(case: Case) -> bool:
    """A counted reference on a driver's page."""
    return case.frame.kind == "buffer" and bool(case.tally.refs) and bool(case.holders("get", "pin"))


def explain_unguarded(case: Case) -> Violation:
    """Who holds it, whose page it is, and what a move will do."""
    scene, holders = case.scene, case.holders("get", "pin")
    name = owner(scene, case.pfn)
    whose = phrase("a page of buffer {buffer}", buffer=name) if name else None
    facts = {
        "holders": listing([who(scene, holder) for holder in holders]),
        "frame": case.name,
        "whose": whose or phrase("a recycled page that waits for the next buffer"),
    }
    held = (
        phrase("{holders:capital} holds {frame}, {whose}.", **facts)
        if len(holders) == 1
        else phrase("{holders:capital} hold {frame}, {whose}.", **facts)
    )
    message = together((held, _reuse(scene, name)))
    return violation(UNGUARDED_REFERENCE, (case.subject, *(holder.subject for holder in holders)), message)


def _reuse(scene: MachineView, name: str) -> str:
    """When the memory of a buffer goes to somebody else; of a page in the pool if there is no such buffer."""
    buffer = scene.state.buffers.get(name)
    if buffer is None:
        return phrase("Its driver does not look at refcounts: the next buffer gets this page, reference or not.")
    if driver_of(scene.state, buffer.exporter).moves:
        return phrase(
            "Its driver does not look at refcounts: when the buffer moves or is freed, this memory goes to somebody "
            "else, reference or not."
        )
    return phrase(
        "Its driver does not look at refcounts: when the buffer is freed, this memory goes to somebody else, reference "
        "or not."
    )


# -- entries -----------------------------------------------------------------------------------


def _stale_entries(case: Case) -> Iterator[tuple[Holder, str, int]]:
    """Entries of buffer mappings that lead here although that page is elsewhere: (entry, buffer, page)."""
    for holder in case.holders("pte", "special", "huge", "huge-special"):
        vpn = holder.number << 9 if holder.kind.startswith("huge") else holder.number
        shown = mapped_buffer(case.scene, holder.owner, vpn)
        if shown is not None and case.scene.sees_next(holder.owner, vpn) != case.pfn:
            yield holder, *shown


def stale_mapping(case: Case) -> bool:
    """Some entry leads to memory that the buffer has left. Private copies and free frames are others' case."""
    return case.frame.kind not in {"anon", "free", "zero"} and any(True for _ in _stale_entries(case))


def explain_stale_mapping(case: Case) -> Violation:
    """Which entries, where the buffer is, and what the frame is now."""
    scene, entries = case.scene, list(_stale_entries(case))
    holder, buffer, page = entries[0]
    vpn = holder.number << 9 if holder.kind.startswith("huge") else holder.number
    now = scene.buffer_page(buffer, page)
    where = f"in {name_of(scene, now)}" if now is not None else "not in memory"
    new_owner = owner(scene, case.pfn)
    if new_owner and new_owner != buffer:
        fate = f"{capital(case.name)} belongs to buffer {new_owner} now"
    elif case.frame.mapping == POOL:
        fate = f"{capital(case.name)} waits in the pool for its next owner"
    else:
        old = new_owner == buffer
        fate = f"{capital(case.name)} is {'the old memory of the buffer' if old else f'{case.frame.kind} memory'}"
    more = f" ({plural(len(entries) - 1, 'more entry')} likewise)" if len(entries) > 1 else ""
    entry = scene.entry(holder.owner, vpn)
    does = "reads and writes" if entry is not None and entry.writable else "reads"
    message = (
        f"{place(scene, holder.owner, vpn)} shows page {page} of buffer {buffer}, which is {where}, but its entry "
        f"still leads to {case.name}{more}. {fate}: {holder.owner} {does} it without a fault."
    )
    return violation(STALE_MAPPING, (case.subject, *(entry.subject for entry, _, _ in entries)), message)


# -- owners ------------------------------------------------------------------------------------


def double_owner(case: Case) -> bool:
    """A driver lists the frame, but it has become something else."""
    if case.frame.kind == "free":
        return False
    return any(not _its_own(case, holder.owner) for holder in case.holders("buffer"))


def _its_own(case: Case, name: str) -> bool:
    """Whether a frame belongs to a buffer: as its driver's memory, or as a page of the file that it is made of."""
    memfd = case.scene.state.buffers[name].memfd
    return case.frame.mapping in {FILE_PREFIX + name, memfd or FILE_PREFIX + name}


def explain_double_owner(case: Case) -> Violation:
    """Both owners, and how it ends."""
    scene = case.scene
    listed = [who(scene, holder) for holder in case.holders("buffer")]
    others = [who(scene, h) for h in case.holders("pte", "cache", "table", "get", "pin")]
    use = f" ({listing(others)})" if others else ""
    message = (
        f"{capital(case.name)} is {listing(listed)} for its driver, but {_other_owner(case)}{use}. Both read and write "
        "the same bytes, and whoever frees it first frees it under the other."
    )
    subjects = (case.subject, *(holder.subject for holder in case.holders()))
    return violation(DOUBLE_OWNER, subjects, message)


def _other_owner(case: Case) -> str:
    """Who else has a frame that a driver lists among a buffer's pages."""
    if case.frame.mapping == POOL:
        return "it lies in the pool as well: the next buffer gets it"
    other = owner(case.scene, case.pfn)
    return f"it belongs to buffer {other} as well" if other else f"it is in use as {case.frame.kind} memory now"


# -- borrowed pages ----------------------------------------------------------------------------


def _parted(case: Case) -> Iterator[Holder]:
    """Pages of buffers that were borrowed from a file, which has another page there by now, or none."""
    state = case.scene.state
    for holder in case.holders(*BORROWED_KINDS):
        if not state.buffers[holder.owner].memfd:
            continue  # pages of the driver's own
        if state.page_cache.get((state.buffers[holder.owner].memfd, holder.number)) != case.pfn:
            yield holder


def parted(case: Case) -> bool:
    """Some buffer and its file have gone different ways at this page."""
    return any(True for _ in _parted(case))


def explain_parted(case: Case) -> Violation:
    """Which buffer, which file, and what each of them shows."""
    holder = next(_parted(case))
    file = case.scene.state.buffers[holder.owner].memfd
    now = case.scene.state.page_cache.get((file, holder.number))
    there = f"has {name_of(case.scene, now)} there now" if now is not None else "has a hole there now"
    message = (
        f"{capital(case.name)} is page {holder.number} of buffer {holder.owner}, which borrowed it from file {file}; "
        f"the file {there}. The driver's reference keeps the page, not its place in the file: what is written on one "
        "side is not seen on the other, and nobody was told."
    )
    return violation(PARTED_PAGES, (case.subject, holder.subject), message)


# -- buffers that nobody has ---------------------------------------------------------------------

BUFFER_KINDS: Final[tuple[HolderKind, ...]] = ("buffer", *BORROWED_KINDS)
"""How a buffer holds its pages."""


def _leaked(case: Case) -> Iterator[str]:
    """The buffers that list the frame, and that nothing will give back."""
    for holder in case.holders(*BUFFER_KINDS):
        if case.scene.state.buffers[holder.owner].leaked:
            yield holder.owner


def leaked(case: Case) -> bool:
    """A page of a buffer that its driver will keep for ever."""
    buffers = case.scene.state.buffers
    return any(buffers[holder.owner].leaked for holder in members(case.held, BUFFER_KINDS))


def explain_leaked(case: Case) -> Violation:
    """Whose page it is, and what keeps it."""
    name = next(_leaked(case))
    message = phrase(
        "{frame:capital} is a page of buffer {buffer}, which nobody has any more: its last handle, mapping and "
        "importer have gone. Its driver still counts {mappings}, so it never gives the memory back.",
        frame=case.name,
        buffer=name,
        mappings=counted(case.scene.state.buffers[name].users, "{n} mapping", "{n} mappings"),
    )
    return violation(LEAKED_BUFFER, (case.subject, subject("buffer", name)), message)


def origin(scene: MachineView, process: str, vpn: int, taken_from: str) -> str:
    """The buffer that an access was meant for: as noted when the reference was taken, else as the VMA shows it."""
    shown = mapped_buffer(scene, process, vpn) if not taken_from else None
    return shown[0] if shown else taken_from


def stranger(scene: MachineView, pfn: int, meant: str) -> str:
    """Whose a driver's frame is, if it is not the buffer that was meant; empty if it is."""
    if scene.folio(pfn).mapping == POOL:
        return phrase("the pool of recycled pages: the next buffer to be made gets it")
    name = owner(scene, pfn)
    return named(name) if name and meant and name != meant else ""


def named(buffer: str) -> str:
    """A buffer as a phrase."""
    return phrase("buffer {buffer}", buffer=buffer)


def buffer_subjects(scene: MachineView, pfn: int) -> tuple[str, ...]:
    """The buffer that a frame belongs to, as subjects."""
    name = owner(scene, pfn)
    return (subject("buffer", name),) if name else ()


RULES: Final = (
    FrameRule(
        UNGUARDED_REFERENCE,
        {"frames": ("kind",), "references": ("frames", "kind", "counted")},
        unguarded,
        explain_unguarded,
        holds_at_rest=True,
    ),
    FrameRule(
        STALE_MAPPING,
        {
            "frames": ("kind",),
            "ptes": None,
            "tables": None,
            "vmas": ("file", "pgoff", "start", "end"),
            "buffers": ("frames", "file", "memfd"),
            "page_cache": None,
            "swapped": None,
            "swap_slots": ("pfn",),
        },
        stale_mapping,
        explain_stale_mapping,
        holds_at_rest=True,
    ),
    FrameRule(
        PARTED_PAGES,
        {"buffers": ("frames", "memfd", "counted", "pinned"), "page_cache": None},
        parted,
        explain_parted,
        holds_at_rest=True,
    ),
    FrameRule(
        LEAKED_BUFFER,
        {"buffers": ("frames", "memfd", "counted", "pinned", "leaked")},
        leaked,
        explain_leaked,
        holds_at_rest=True,
    ),
    FrameRule(
        DOUBLE_OWNER,
        {"frames": ("kind", "mapping"), "buffers": ("frames", "memfd", "counted", "pinned")},
        double_owner,
        explain_double_owner,
        holds_at_rest=True,
    ),
)
