"""Whether the counts in struct page say what is true: refcount, mapcount, and special entries that must not count.

The expected refcount of a small page (kernel-facts A.4): one for each normal entry, one in the page cache (or in
the list of the driver whose page it is), one for PG_private data, one in the swap cache, one for each FOLL_GET,
1024 for each FOLL_PIN, and what tasks in flight own. Storage has its idle count instead of one for its file. Nobody
counts the references of the zero page, of reserved memory and of pages that refuse references. The pages of a large
folio share one count: what all their holders add up to, where a FOLL_PIN is 1 and one entry may map the whole.
"""

from collections.abc import Callable
from typing import Final

from model.invariants.case import Case
from model.invariants.holders import WEIGHTS
from model.invariants.machine_view import MachineView
from model.invariants.phrases import capital, listing, plural, weighed, who
from model.invariants.rule import FrameRule, Reads
from model.invariants.violation import Invariant, Severity, Violation, violation
from model.kernel.drivers.ttm_pool import MAX_ORDER, count_is_zero
from model.kernel.mm.physical import idle_count
from model.memory.flags import PG_FROZEN, PG_NOREF, PG_PRIVATE, PG_SWAPCACHE
from model.memory.records import Frame

REFERENCE_ACCOUNTING: Final = Invariant(
    "reference-accounting",
    "corruption",
    "The refcount of a page is the number of references that somebody really holds.",
    "Prints nothing: the count is a plain number and nobody keeps a list of the holders. Too low, the page is freed "
    "under whoever still uses it; too high, it is never freed. CONFIG_DEBUG_VM notices a get or a put on a count of 0.",
)
MAP_ACCOUNTING: Final = Invariant(
    "map-accounting",
    "hazard",
    "The mapcount of a page is the number of page-table entries that map it.",
    "`BUG: Bad page map in process …` when an unmap takes it below zero, or `BUG: Bad page state … nonzero mapcount` "
    "when the page is freed, on kernels that check there.",
)
UNDERFLOW: Final = Invariant(
    "underflow",
    "corruption",
    "No count of a page ever falls below zero.",
    "With CONFIG_DEBUG_VM `kernel BUG at include/linux/mm.h!` in put_page. Without it nothing: the count goes to -1, "
    "and the frame is lost when the allocator next looks at it (`nonzero _refcount`), if it looks at all.",
)
SPECIAL_COUNTED: Final = Invariant(
    "special-counted",
    "hazard",
    "A special entry adds nothing to the refcount and the mapcount of the page it points at.",
    "At process exit `BUG: Bad rss-counter state`, and `Bad page map` when the counts are taken back twice.",
)

NOT_COUNTED: Final = frozenset({"zero", "reserved", "vram"})
"""Kinds of frames whose references nobody counts; video memory has no struct pages at all."""


def expected_refs(case: Case) -> int | None:
    """The refcount that the holders explain; None where nobody counts."""
    frame = case.frame
    if frame.flags & (PG_FROZEN | PG_NOREF):
        return first_of_block(case.scene, case.pfn, frame)  # get_page() and put_page() do nothing there
    if frame.kind == "buffer":
        return case.tally.refs + first_of_block(case.scene, case.pfn, frame)
    if frame.kind == "dax":
        return case.tally.refs - len(case.holders("cache")) + idle_count(case.scene.state)
    if frame.kind in NOT_COUNTED:
        return None
    data = bool(frame.flags & PG_PRIVATE) + (frame.pages if frame.flags & PG_SWAPCACHE else 0)
    return case.tally.refs + data


def first_of_block(scene: MachineView, pfn: int, frame: Frame) -> int:
    """What alloc_pages() without __GFP_COMP leaves on a driver's page: 1 on the first of a block, 0 on all others.

    The defences that mangle the count leave 0 on the first as well. A page without `mapping` has been freed by its
    driver, and lives on for others.
    """
    if not frame.mapping or not is_first_of_block(pfn, lambda first: order_of_block(scene, first)):
        return 0
    return count_of_first(scene)


def is_first_of_block(pfn: int, order_at: Callable[[int], int]) -> bool:
    """Whether no driver's block that begins at an earlier frame reaches to this one; `order_at`: see order_of_block."""
    for order in range(MAX_ORDER, 0, -1):
        first = pfn >> order << order
        if first != pfn and order_at(first) >= order:
            return False
    return True


def order_of_block(scene: MachineView, pfn: int) -> int:
    """How long the driver's block is that may begin at a frame: 2^order pages; -1 for no driver's page."""
    head = scene.frame(pfn)
    return head.order if head.kind == "buffer" else -1


def count_of_first(scene: MachineView) -> int:
    """What is left on the first page of a block."""
    return 0 if count_is_zero(scene.state) else 1


def surplus_refs(case: Case) -> int:
    """How many references too many (or, negative, too few) the page counts."""
    expected = expected_refs(case)
    return 0 if expected is None else case.frame.refcount - expected


def surplus_maps(case: Case) -> int:
    """How many mappings too many (or, negative, too few) the page counts."""
    return case.frame.mapcount - case.tally.maps


def underflow(case: Case) -> bool:
    """A count is negative."""
    return min(case.frame.refcount, case.frame.mapcount, case.frame.pins) < 0


def special_counted(case: Case) -> bool:
    """The surplus is just what counting the special entries would give."""
    special = case.tally.special
    return bool(special) and (0 < surplus_maps(case) <= special or 0 < surplus_refs(case) <= special)


def references_wrong(case: Case) -> bool:
    """The refcount does not match, and no other rule has a better word for it."""
    if _freed_in_use(case) or case.frame.refcount < 0 or special_counted(case):
        return False
    return surplus_refs(case) != 0


def maps_wrong(case: Case) -> bool:
    """The mapcount does not match, and no other rule has a better word for it."""
    if _freed_in_use(case) or case.frame.mapcount < 0 or special_counted(case):
        return False
    return surplus_maps(case) != 0


def _freed_in_use(case: Case) -> bool:
    return case.frame.kind == "free" and case.reachable


def explain_references(case: Case) -> Violation:
    """Too many or too few, who the holders are, and what that leads to."""
    surplus, expected = surplus_refs(case), expected_refs(case) or 0
    order = case.frame.order if case.frame.large else 0
    counted = [holder for holder in case.holders() if WEIGHTS[holder.kind].refs or (order and holder.kind == "huge")]
    holders = [weighed(case.scene, holder, order) for holder in counted]
    holders += (
        ["the driver that allocated it"]
        if case.frame.kind == "buffer" and first_of_block(case.scene, case.pfn, case.frame)
        else []
    )
    holders += ["the filesystem, idle (1)"] if case.frame.kind == "dax" and idle_count(case.scene.state) else []
    holders += ["the filesystem's private data"] if case.frame.flags & PG_PRIVATE else []
    holders += ["the swap cache"] if case.frame.flags & PG_SWAPCACHE else []
    held = f"held by {listing(holders)}" if holders else "held by nobody"
    fact = f"{capital(case.name)} has refcount {case.frame.refcount}, but is {held}: that makes {expected}."
    if case.frame.kind == "free":
        fate = "A free page with a count: the allocator either skips it, and it is lost, or hands it out as it is."
    elif surplus > 0:
        owners = "has no owner: nobody will drop it" if surplus == 1 else "have no owner: nobody will drop them"
        fate = f"{plural(surplus, 'reference')} {owners}, and the frame is never freed."
    else:
        fate = (
            "The count reaches 0 while somebody still holds the page: it is freed under them, and the next allocation "
            "hands the same frame to somebody else."
        )
    subjects = (case.subject, *_subjects(case))
    return violation(REFERENCE_ACCOUNTING, subjects, f"{fact} {fate}", severity_of_references(case))


def severity_of_references(case: Case) -> Severity:
    """Too few references, and the page is freed under those who hold it; too many, and it is lost."""
    return "corruption" if case.frame.kind != "free" and surplus_refs(case) <= 0 else "hazard"


def explain_maps(case: Case) -> Violation:
    """How many entries there are, and which."""
    entries = [who(case.scene, h) for h in case.holders("pte", "huge")]
    real = f"{plural(len(entries), 'entry')}: {listing(entries)}" if entries else "no entry at all"
    fate = (
        "Reclaim and copy-on-write will think that somebody still maps it."
        if surplus_maps(case) > 0
        else "Unmapping them takes the count below zero, and a page that is still mapped may be taken for unmapped."
    )
    message = f"{capital(case.name)} has mapcount {case.frame.mapcount}, but is mapped by {real}. {fate}"
    return violation(MAP_ACCOUNTING, (case.subject, *_subjects(case)), message)


def explain_underflow(case: Case) -> Violation:
    """Which count, and what a negative one does."""
    frame = case.frame
    counts = {"refcount": frame.refcount, "mapcount": frame.mapcount, "pins": frame.pins}
    wrong = listing([f"{name} {count}" for name, count in counts.items() if count < 0])
    state = "is free" if frame.kind == "free" else f"is in use ({frame.kind})"
    if frame.kind == "free":
        fate = "The allocator notices when it hands the frame out, if it checks."
    elif frame.refcount < 0:
        fate = "The count is too low from now on: when it next reaches 0, somebody still holds the page."
    else:
        fate = "Reclaim and copy-on-write go by these counts, and do what is wrong for this page."
    message = f"{capital(case.name)} {state} and has {wrong}: somebody gave back more than was taken. {fate}"
    return violation(UNDERFLOW, (case.subject, *_subjects(case)), message)


def explain_special(case: Case) -> Violation:
    """Which special entries, and what was counted for them."""
    entries = [who(case.scene, h) for h in case.holders("special", "huge-special")]
    counted = listing(
        [
            f"{name} {count} where {count - surplus} is right"
            for name, count, surplus in (
                ("mapcount", case.frame.mapcount, surplus_maps(case)),
                ("refcount", case.frame.refcount, surplus_refs(case)),
            )
            if surplus > 0
        ]
    )
    message = (
        f"{capital(case.name)} is mapped by {listing(entries)}, and has {counted}. "
        "Unmapping only clears a special entry and gives nothing back, so the count stays wrong for good."
    )
    return violation(SPECIAL_COUNTED, (case.subject, *_subjects(case)), message)


def _subjects(case: Case) -> tuple[str, ...]:
    """Whoever points at the frame, each once."""
    return tuple(dict.fromkeys(holder.subject for holder in case.holders()))


HOLDERS: Final[Reads] = {
    "ptes": None,
    "tables": None,
    "processes": ("pgd",),
    "page_cache": None,
    "references": ("frames", "kind", "counted", "heads"),
    "buffers": ("frames", "counted", "pinned"),
    "tasks": ("stack",),
}
"""Where those who hold a page are found."""

RULES: Final = (
    FrameRule(
        REFERENCE_ACCOUNTING,
        {
            **HOLDERS,
            "deposits": None,
            "rcu": None,
            "frames": ("kind", "refcount", "mapcount", "flags", "mapping", "order"),
            "settings": None,
        },
        references_wrong,
        explain_references,
        holds_at_rest=True,
        of_surplus=True,
        of_folio=True,
        severity=severity_of_references,
    ),
    FrameRule(
        MAP_ACCOUNTING,
        {**HOLDERS, "frames": ("kind", "refcount", "mapcount", "flags", "mapping", "order"), "settings": None},
        maps_wrong,
        explain_maps,
        holds_at_rest=True,
        of_surplus=True,
        of_folio=True,
    ),
    FrameRule(
        UNDERFLOW,
        {"frames": ("refcount", "mapcount", "pins")},
        underflow,
        explain_underflow,
        holds_at_rest=True,
        of_surplus=True,
        of_folio=True,
    ),
    FrameRule(
        SPECIAL_COUNTED,
        {**HOLDERS, "frames": ("kind", "refcount", "mapcount", "flags", "mapping", "order"), "settings": None},
        special_counted,
        explain_special,
        holds_at_rest=True,
        of_surplus=True,
        of_folio=True,
    ),
)
