"""Whether a frame lives as long as somebody can reach it, and belongs to one process where it says so."""

from typing import Final

from model.invariants.case import Case
from model.invariants.holders import BORROWED_KINDS, Holder
from model.invariants.phrases import capital, listing, place, plural, who
from model.invariants.rule import FrameRule
from model.invariants.violation import Invariant, Violation, violation

FREED_WHILE_MAPPED: Final = Invariant(
    "freed-while-mapped",
    "corruption",
    "Once a frame is back with the allocator it is mapped nowhere and belongs to no file and no buffer.",
    "`BUG: Bad page state … nonzero mapcount` where the kernel checks pages when they are freed and a normal entry is "
    "left. Nothing for a special entry: no debugging option watches those.",
)
FREED_WHILE_REFERENCED: Final = Invariant(
    "freed-while-referenced",
    "corruption",
    "Once a frame is back with the allocator nobody holds it: no get, no pin, no call in flight.",
    "Prints nothing at this point. The last put takes the count of a free page below zero; only CONFIG_DEBUG_VM stops "
    "there. Page poisoning finds the damage when the frame is allocated again, if it was written meanwhile.",
)
EXCLUSIVE_SHARED: Final = Invariant(
    "exclusive-shared",
    "hazard",
    "An anonymous page that is marked exclusive is mapped by one entry only.",
    "Prints nothing: fork clears the mark without a look, and GUP complains only of a pinned page that lacks it. A "
    "write simply does not copy.",
)
PINNED_SHARED: Final = Invariant(
    "pinned-shared",
    "hazard",
    "An anonymous page that is mapped and held by a FOLL_PIN is exclusive to its process.",
    "With CONFIG_DEBUG_VM `VM_BUG_ON_PAGE(!PageAnonExclusive(page))` in gup; otherwise nothing: copy-on-write parts "
    "the process from the page that its device uses.",
)


def freed_while_mapped(case: Case) -> bool:
    """A free frame that a page table or the page cache points at."""
    return given_back(case) and bool(case.holders(*MAPPING))


def freed_while_referenced(case: Case) -> bool:
    """A free frame that a reference or a call in flight counts on."""
    return given_back(case) and bool(case.holders(*HOLDING))


def given_back(case: Case) -> bool:
    """Free, or a block of storage that no file has."""
    return case.frame.kind == "free" or (case.frame.kind == "dax" and not case.frame.mapping)


def allocator(case: Case) -> str:
    """Who hands the frame out next."""
    return "the filesystem" if case.frame.kind == "dax" else "the allocator"


MAPPING: Final = (
    *("pte", "special", "huge", "huge-special", "shared-huge", "table", "shared-table", "cache", "buffer"),
    *BORROWED_KINDS,
)
HOLDING: Final = ("get", "pin", "covered", "task", "task-pin")


def explain_freed_while_mapped(case: Case) -> Violation:
    """Who still gets there, and what the next owner will see."""
    holders = case.holders(*MAPPING)
    verb = "still points at it" if len(holders) == 1 else "still point at it"
    message = (
        f"{capital(case.name)} was given back to {allocator(case)}, "
        f"but {listing([who(case.scene, h) for h in holders])} {verb}. "
        "Once it is handed out again, two owners read and write the same bytes."
    )
    return violation(FREED_WHILE_MAPPED, (case.subject, *(h.subject for h in holders)), message)


def explain_freed_while_referenced(case: Case) -> Violation:
    """Who holds it, and what happens at the next access and at the put."""
    holders = case.holders(*HOLDING)
    verb = "still holds it" if len(holders) == 1 else "still hold it"
    message = (
        f"{capital(case.name)} was given back to {allocator(case)}, "
        f"but {listing([who(case.scene, h) for h in holders])} {verb}. "
        "Whoever is given the frame next shares it with them, and their put takes a reference away that is "
        "not theirs."
    )
    return violation(FREED_WHILE_REFERENCED, (case.subject, *(h.subject for h in holders)), message)


def exclusive_shared(case: Case) -> bool:
    """Marked exclusive, but there is more than one entry."""
    return case.frame.kind == "anon" and case.frame.exclusive and case.tally.entries > 1


def explain_exclusive_shared(case: Case) -> Violation:
    """Who shares it, and that a write will not copy."""
    holders = case.holders("pte", "huge")
    places = listing(_places(case, holders))
    message = (
        f"{capital(case.name)} is marked AnonExclusive, yet {plural(case.tally.entries, 'entry')} map it: {places}. "
        "A write fault takes the mark for leave to write in place: one process's write appears in the other's memory."
    )
    return violation(EXCLUSIVE_SHARED, (case.subject, *(h.subject for h in holders)), message)


def _places(case: Case, entries: list[Holder]) -> list[str]:
    """Where entries map the page; of one of 2 MiB its place for this page."""
    places = ((entry.owner, case.scene.place_of(entry, case.pfn)) for entry in entries)
    return [place(case.scene, owner, vpn) for owner, vpn in places if vpn is not None]


def pinned_shared(case: Case) -> bool:
    """Pinned and mapped, but copy-on-write may still replace it. A pin that is only being taken may yet be undone."""
    frame = case.frame
    if frame.kind != "anon" or frame.exclusive or not case.tally.pins or not case.tally.entries:
        return False
    return bool(case.holders("pin", "covered"))


def explain_pinned_shared(case: Case) -> Violation:
    """Which pin, and how it comes to miss writes."""
    pins = case.holders("pin", "covered")
    entries = case.holders("pte", "huge")
    message = (
        f"{capital(case.name)} is held by {listing([who(case.scene, h) for h in pins])} and mapped at "
        f"{listing(_places(case, entries))}, but it is not marked AnonExclusive. "
        "The next write there is answered with a copy: the process goes on with a new frame, the device with this one."
    )
    return violation(PINNED_SHARED, (case.subject, *(h.subject for h in (*pins, *entries))), message)


RULES: Final = (
    FrameRule(
        FREED_WHILE_MAPPED,
        {
            "frames": ("kind", "mapping"),
            "ptes": None,
            "tables": None,
            "processes": ("pgd",),
            "page_cache": None,
            "buffers": ("frames",),
        },
        freed_while_mapped,
        explain_freed_while_mapped,
        holds_at_rest=True,
    ),
    FrameRule(
        FREED_WHILE_REFERENCED,
        {"frames": ("kind", "mapping"), "references": ("frames", "kind", "counted", "heads"), "tasks": ("stack",)},
        freed_while_referenced,
        explain_freed_while_referenced,
        holds_at_rest=True,
    ),
    FrameRule(
        EXCLUSIVE_SHARED,
        {"frames": ("kind", "flags"), "folios": ("exclusive", "entire"), "ptes": None, "tables": None},
        exclusive_shared,
        explain_exclusive_shared,
        holds_at_rest=True,
    ),
    FrameRule(
        PINNED_SHARED,
        {
            "frames": ("kind", "flags"),
            "folios": ("exclusive", "entire"),
            "ptes": None,
            "tables": None,
            "references": ("frames", "kind", "counted", "heads"),
        },
        pinned_shared,
        explain_pinned_shared,
        holds_at_rest=True,
    ),
)
