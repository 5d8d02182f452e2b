"""Whether those who remember a translation remember a true one: references and TLBs.

A reference keeps a frame from being freed. It never keeps the entry that led to it from changing, and that belief is
what `stale-reference` marks: as long as nobody acts on it nothing is lost, so it is a hazard.
"""

from typing import Final

from model.invariants.holders import Holder
from model.invariants.machine_view import MachineView
from model.invariants.next_access import next_access
from model.invariants.phrases import frame as name_of
from model.invariants.phrases import place, who
from model.invariants.rule import ReferenceRule, TranslationRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.records import Pte, Reference, TlbEntry
from model.text.wording import counted, phrase, together

STALE_REFERENCE: Final = Invariant(
    "stale-reference",
    "hazard",
    "At the address where a reference was taken, the process still reaches the page that the reference holds.",
    "Prints nothing: this is allowed. A reference promises that the page is not freed, and that promise is kept.",
)
STALE_TLB: Final = Invariant(
    "stale-tlb",
    "hazard",
    "Every CPU forgets a translation that the page table no longer has before its frame can be reused.",
    "Prints nothing: no debugging option looks into TLBs. The CPU uses somebody else's page without a fault.",
)

# -- references --------------------------------------------------------------------------------


def stale_page(scene: MachineView, reference: Reference, page: int) -> bool:
    """Whether an access at the place where this page was taken would reach another page, or none.

    A process that is gone has no view that could differ, and a mirror that was emptied believes nothing. Where a call
    has cleared the entry under its lock and still counts the mapping, it is not decided yet: KSM puts it back.
    """
    pfn, vpn = reference.frames[page], reference.vpn + page
    if pfn != NOT_MAPPED and reference.dmabuf:
        return scene.buffer_page(exported_buffer(scene, reference), page) != pfn
    if pfn == NOT_MAPPED or reference.process not in scene.state.processes:
        return False
    seen = scene.sees(reference.process, vpn)
    return seen != pfn and not (seen is None and scene.undecided(pfn, reference.process, vpn))


def exported_buffer(scene: MachineView, reference: Reference) -> str:
    """The buffer behind the dma-buf that a device has mapped; empty if it is gone."""
    exported = scene.state.dma_bufs.get(reference.dmabuf)
    return exported.buffer if exported else ""


def explain_stale_reference(scene: MachineView, name: str, pages: int) -> Violation:
    """Which reference, what the process sees instead, and who will be surprised. `pages` has a bit for each page."""
    reference = scene.state.references[name]
    page = (pages & -pages).bit_length() - 1
    if reference.dmabuf:
        return _stale_mapping_for_dma(scene, name, reference, page)
    pfn, vpn = reference.frames[page], reference.vpn + page
    facts = {"name": name, "frame": name_of(scene, pfn), "place": place(scene, reference.process, vpn)}
    taken = phrase("{name} holds {frame}, taken at {place}.", **facts)
    if others := pages.bit_count() - 1:
        more = counted(others, "{n} more page", "{n} more pages")
        taken = phrase("{name} holds {frame}, taken at {place}, and {more}.", **facts, more=more)
    said = (
        taken,
        _sees_instead(scene, reference.process, vpn, pfn),
        _kept(scene, reference, pfn),
        _surprise(scene, reference, pfn, vpn),
    )
    message = together(said)
    subjects = (subject("ref", name), subject("frame", pfn), subject("pte", reference.process, vpn))
    return violation(STALE_REFERENCE, subjects, message)


def _stale_mapping_for_dma(scene: MachineView, name: str, reference: Reference, page: int) -> Violation:
    """A device's mapping of a dma-buf that points at where the buffer was."""
    buffer = exported_buffer(scene, reference)
    pfn, now = reference.frames[page], scene.buffer_page(buffer, page)
    gone = phrase("not in memory any more")
    message = phrase(
        "{name} maps page {page} of dma-buf {dmabuf} for {device} at {frame}, but that page of buffer {buffer} is "
        "{where}. The mapping holds no page; only the exporter's pin, or a move_notify that the device obeys, keeps it "
        "true.",
        name=name,
        page=page,
        dmabuf=reference.dmabuf,
        device=reference.by,
        frame=name_of(scene, pfn),
        buffer=buffer,
        where=gone if now is None else phrase("in {frame} now", frame=name_of(scene, now)),
    )
    return violation(STALE_REFERENCE, (subject("ref", name), subject("frame", pfn)), message)


def _sees_instead(scene: MachineView, process: str, vpn: int, pfn: int) -> str:
    """What an access at the place would meet now."""
    moved = scene.mapped_at(pfn, process)
    if moved is not None and scene.sees(process, vpn) is None:
        there = place(scene, process, moved)
        return phrase("That address is empty now: the page has moved to {place}.", place=there)
    return next_access(scene, process, vpn)


def _kept(scene: MachineView, reference: Reference, pfn: int) -> str:
    """What the reference does for the page."""
    if not reference.counted:
        return phrase("It holds no page: whoever keeps such a mapping must be told of every change.")
    name = name_of(scene, pfn)
    if scene.folio(pfn).kind in {"buffer", "vram"}:
        return phrase("The driver that owns {frame} does not look at references before it reuses the page.", frame=name)
    if scene.folio(pfn).kind in {"free", "reserved", "zero"}:
        return ""
    return phrase("The reference keeps {frame} from being freed; it never kept the entry from changing.", frame=name)


def _surprise(scene: MachineView, reference: Reference, pfn: int, vpn: int) -> str:
    """Who is going to find out."""
    user, process = reference.by or phrase("its holder"), reference.process
    if scene.mapped_at(pfn, process) is not None:
        return phrase(
            "{process} and {user} still share the page, but no longer at that address.", process=process, user=user
        )
    if scene.vma_at(process, vpn) is None:
        return phrase("Whatever {user} still does with it, {process} has no view of it.", user=user, process=process)
    if reference.write:
        return phrase("What {user} writes will not be where {process} looks.", user=user, process=process)
    return phrase("What {process} writes there from now on, {user} will not see.", process=process, user=user)


# -- TLBs --------------------------------------------------------------------------------------


def tlb_entry(scene: MachineView, cpu: int, process: str, vpn: int) -> TlbEntry | None:
    """What a CPU remembers of a virtual page."""
    entries = scene.state.tlbs.get(cpu) or ()
    return next((entry for entry in entries if entry.process == process and entry.vpn == vpn), None)


def outdated(cached: Pte, real: Pte | None) -> bool:
    """Whether the cached translation permits what the page table no longer does.

    A cached entry that permits less costs a spurious fault and is harmless, as are accessed and dirty bits.
    """
    if real is None or not real.present or real.protnone or real.pfn != cached.pfn:
        return True
    return cached.writable and not real.writable


def dangerous(scene: MachineView, entry: TlbEntry) -> bool:
    """Whether nobody is going to flush an outdated translation, or its frame is up for reuse before the flush."""
    return scene.folio(entry.pte.pfn).kind == "free" or not _flush_is_owed(scene, entry)


def _flush_is_owed(scene: MachineView, entry: TlbEntry) -> bool:
    """Whether some call in flight is still going to flush a translation."""
    return any(owed.covers(entry.process, entry.vpn) for _, owed in scene.holding.owed.get(entry.process, ()))


def explain_stale_tlb(scene: MachineView, cpu: int, process: str, vpn: int) -> Violation:
    """What the CPU remembers, what the page table says, and what has become of the frame."""
    entry = tlb_entry(scene, cpu, process, vpn)
    assert entry is not None
    pfn = entry.pte.pfn
    real = scene.entry(process, vpn)
    if real is None or not real.present or real.protnone:
        now = phrase("has no usable entry there")
    elif real.pfn != pfn:
        now = phrase("maps {frame} there", frame=name_of(scene, real.pfn))
    else:
        now = phrase("allows only reading there")
    owed = _flush_is_owed(scene, entry)
    flush = phrase("the flush is still to come") if owed else phrase("nobody is going to flush it")
    message = phrase(
        "cpu{cpu} still remembers that {place} is {frame}, but the page table {now}, and {flush}. {process} can go on "
        "to {access} {again} on this CPU without a fault; {fate}.",
        cpu=cpu,
        place=place(scene, process, vpn),
        frame=name_of(scene, pfn),
        again=name_of(scene, pfn),
        now=now,
        flush=flush,
        process=process,
        access=phrase("read and write") if entry.pte.writable else phrase("read"),
        fate=_fate(scene, pfn),
    )
    return violation(STALE_TLB, (subject("tlb", cpu, process, vpn), subject("frame", pfn)), message)


def _fate(scene: MachineView, pfn: int) -> str:
    """What the frame is by now."""
    kind = scene.folio(pfn).kind
    if kind == "free":
        return phrase("the frame is free, and the next allocation hands it to somebody else")
    owners: list[Holder] = scene.holders(pfn, "pte", "cache", "table", "get", "pin")
    if owners:
        return phrase("the frame is held by {holder}", holder=who(scene, owners[0]))
    return phrase("the frame is in use ({kind})", kind=kind)


RULES: Final = (
    ReferenceRule(
        STALE_REFERENCE,
        {
            "references": ("frames", "vpn", "process", "dmabuf"),
            "processes": (),
            "ptes": None,
            "tables": None,
            "vmas": ("file", "pgoff", "start", "end"),
            "page_cache": None,
            "swapped": None,
            "swap_slots": ("pfn",),
            "buffers": ("frames", "file", "memfd"),
            "dma_bufs": ("buffer",),
            "tasks": ("stack",),
            "locks": ("writer",),
        },
        stale_page,
        explain_stale_reference,
    ),
    TranslationRule(
        STALE_TLB,
        {"tlbs": None, "ptes": None, "tables": None, "frames": ("kind",), "tasks": ("stack",)},
        outdated,
        dangerous,
        explain_stale_tlb,
    ),
)
