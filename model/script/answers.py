"""How the questions of the condition language are answered: each function reads a moment by the values of a phrase.

Those that return a text say what there is instead, where a condition does not hold.
"""

from collections.abc import Callable
from typing import Final, cast

import msgspec

from model.memory.flags import PAGE_ACCESSED, PAGE_UFFD_WP, PG_KSM, smaps_codes
from model.memory.folio import folio_of, page_folio, page_frame, rest_of
from model.memory.ordered import ceiling
from model.memory.records import Pte
from model.script.command import Phrase
from model.script.moment import (
    Moment,
    NoValueError,
    entry_at,
    frame_behind,
    frame_of,
    page_at,
    process_named,
    range_at,
    vma_at,
)
from model.script.pages import Missing, page_entry

LEVELS: Final = {"pte": 0, "pmd": 1, "pud": 2, "pgd": 3}
"""Page-table levels, lowest first; each takes nine bits of the virtual page number."""
FEW_TABLES: Final = 64
"""PMD entries that are looked up one by one; of a wider range all tables are looked at."""

Holds = Callable[[Moment, Phrase], bool]
Measure = Callable[[Moment, Phrase], int]
Found = Callable[[Moment, Phrase], str]

# -- about the last command ------------------------------------------------------------------------


def last_answer(moment: Moment, _phrase: Phrase) -> str:
    """How the last command ended."""
    last = moment.last
    return f"{last}{f' ({last.message})' if last.message else ''}"


def ended(moment: Moment, phrase: Phrase) -> bool:
    """The last command ended like that: with any error or signal, or with the one that is named."""
    last = moment.last
    named = phrase.values.get("ERRNO") or phrase.values.get("SIGNAL")
    return last.status == phrase.form and named in {None, last.errno, last.signal}


def returned_value(moment: Moment, _phrase: Phrase) -> int:
    """What the last command returned. Raises NoValueError if that is nothing."""
    if moment.last.value is None:
        raise NoValueError(f"the last command returned no value: {moment.last}")
    return moment.last.value


def broke_rule(moment: Moment, phrase: Phrase) -> bool:
    """The last command broke that rule."""
    return any(violation.invariant == phrase.values["NAME"] for violation in moment.violations)


def rules_broken_by_last(moment: Moment, _phrase: Phrase) -> str:
    """What the last command broke."""
    seen = sorted({violation.invariant for violation in moment.violations})
    return f"violation {', '.join(seen)}" if seen else "no violation"


# -- about the machine -----------------------------------------------------------------------------


def is_broken(moment: Moment, phrase: Phrase) -> bool:
    """That rule is broken now; without a name, any."""
    name = phrase.values.get("NAME")
    return any(name in {None, violation.invariant} for violation in moment.standing)


def rules_broken_now(moment: Moment, _phrase: Phrase) -> str:
    """What is broken now."""
    seen = sorted({violation.invariant for violation in moment.standing})
    return f"{', '.join(seen)} broken" if seen else "nothing broken"


def first_absent(moment: Moment, phrase: Phrase) -> int | None:
    """The first page of a range without a present entry."""
    process, start, end = range_at(moment, phrase)
    for vpn in range(start, end):
        entry = page_entry(moment.state, process, vpn)
        if entry is None or not entry[0].present:
            return vpn
    return None


class PageRun(msgspec.Struct, frozen=True):
    """Pages in a row."""

    first: int
    last: int


def first_present(moment: Moment, phrase: Phrase) -> PageRun | None:
    """What is mapped in a range. It may be astronomically wide: what is there is looked at, not every page."""
    process, start, end = range_at(moment, phrase)
    state = moment.state
    first, last = start >> 9, end - 1 >> 9
    if last - first < FEW_TABLES:
        leaves = [index for index in range(first, last + 1) if _is_huge(moment, process, index)]
    else:
        huge = (key for key, entry in state.tables.items() if entry.huge)
        leaves = sorted(index for owner, level, index in huge if owner == process and level == 1)
        leaves = [index for index in leaves if first <= index <= last]
    if leaves:
        return PageRun(leaves[0] << 9, (leaves[0] + 1 << 9) - 1)
    vpn = ceiling(state.pte_index, process, start)
    while vpn is not None and vpn < end:
        if state.ptes[process, vpn].present:
            return PageRun(vpn, vpn)
        vpn = ceiling(state.pte_index, process, vpn + 1)
    return None


def _is_huge(moment: Moment, process: str, index: int) -> bool:
    leaf = moment.state.tables.get((process, 1, index))
    return leaf is not None and leaf.huge


def absent_page(moment: Moment, phrase: Phrase) -> str:
    """The first page that is missing."""
    return f"page {first_absent(moment, phrase)} absent"


def present_pages(moment: Moment, phrase: Phrase) -> str:
    """What is mapped although nothing should be."""
    run = first_present(moment, phrase)
    if run is None:
        return "no page present"
    return f"page {run.first} present" if run.first == run.last else f"pages {run.first} to {run.last} present"


def both_frames(moment: Moment, phrase: Phrase) -> str:
    """The frames behind two pages."""
    pair = (frame_behind(moment, phrase), frame_behind(moment, phrase, "PAGE2"))
    return " and ".join("no page" if pfn is None else f"frame {pfn}" for pfn in pair)


def is_same(moment: Moment, phrase: Phrase) -> bool:
    """Two pages are there and are one frame."""
    mine, other = frame_behind(moment, phrase), frame_behind(moment, phrase, "PAGE2")
    return mine is not None and mine == other


def do_differ(moment: Moment, phrase: Phrase) -> bool:
    """Two pages are there and are two frames."""
    mine, other = frame_behind(moment, phrase), frame_behind(moment, phrase, "PAGE2")
    return mine is not None and other is not None and mine != other


def is_covered(moment: Moment, phrase: Phrase) -> bool:
    """A VMA covers the page and has those flags."""
    vma = vma_at(moment, phrase)
    wanted = cast("tuple[str, ...]", phrase.values.get("flags", ()))
    return vma is not None and set(wanted) <= set(smaps_codes(vma.flags))


def vm_flags_there(moment: Moment, phrase: Phrase) -> str:
    """The VmFlags of the VMA that covers the page."""
    vma = vma_at(moment, phrase)
    return "no mapping there" if vma is None else f"flags={','.join(smaps_codes(vma.flags))}"


def is_cached(moment: Moment, phrase: Phrase) -> bool:
    """A CPU's TLB holds a translation of the page."""
    page = page_at(moment, phrase)
    entries = moment.state.tlbs.get(cast("int", phrase.values["CPU"])) or ()
    return any((entry.process, entry.vpn) == page for entry in entries)


def placement(moment: Moment, phrase: Phrase) -> str:
    """Where the backing store of a buffer is. Raises Missing."""
    buffer = moment.state.buffers.get(str(phrase.values["B"]))
    if buffer is None:
        raise Missing("buffer", str(phrase.values["B"]))
    return buffer.place


def does_wait(moment: Moment, phrase: Phrase) -> bool:
    """A task was to go on and could not; not so if there is no such task."""
    task = moment.state.tasks.get(str(phrase.values["T"]))
    return task is not None and bool(task.blocked)


def does_hold(moment: Moment, phrase: Phrase) -> bool:
    """A task in flight has a reference on the page; not so if there is no such task."""
    pfn = frame_behind(moment, phrase)
    task = moment.state.tasks.get(str(phrase.values["T"]))
    return task is not None and any(pfn in (*call.holds, *call.pins) for call in task.stack)


def seals(moment: Moment, phrase: Phrase) -> tuple[str, ...]:
    """The seals of a memfd, as `seal` names them. Raises Missing."""
    file = moment.state.files.get(str(phrase.values["F"]))
    if file is None:
        raise Missing("file", str(phrase.values["F"]))
    return file.seals


def is_held(moment: Moment, phrase: Phrase) -> bool:
    """There is a reference of that name."""
    return str(phrase.values["R"]) in moment.state.references


def is_exclusive(moment: Moment, phrase: Phrase) -> bool:
    """The page is there and PageAnonExclusive."""
    pfn = frame_behind(moment, phrase)
    return pfn is not None and page_frame(moment.state, pfn).exclusive


def not_exclusive(moment: Moment, phrase: Phrase) -> str:
    """The frame that is not exclusive."""
    pfn = frame_behind(moment, phrase)
    return "no page mapped there" if pfn is None else f"frame {pfn}, which is not exclusive"


def is_ksm_page(moment: Moment, phrase: Phrase) -> bool:
    """The page is there and a KSM page (folio_test_ksm)."""
    pfn = frame_behind(moment, phrase)
    return pfn is not None and bool(page_frame(moment.state, pfn).flags & PG_KSM)


def not_ksm_page(moment: Moment, phrase: Phrase) -> str:
    """The frame that is no KSM page."""
    pfn = frame_behind(moment, phrase)
    return "no page mapped there" if pfn is None else f"frame {pfn}, which is no KSM page"


def bits_there(moment: Moment, phrase: Phrase) -> str:
    """The entry with what can be asked of it."""
    entry = entry_at(moment, phrase)
    if entry is None:
        return "no page mapped there"
    bits = [name for name, test in BITS.items() if test(entry)]
    return f"an entry that is {', '.join(bits)}" if bits else "an entry without any of those bits"


def has_bit(moment: Moment, phrase: Phrase) -> bool:
    """The page has a present entry with the bit that the form is called after."""
    entry = entry_at(moment, phrase)
    return entry is not None and BITS[phrase.form](entry)


def is_uffd_wp(moment: Moment, phrase: Phrase) -> bool:
    """Whatever stands there, a page, a swap entry or a marker, has the mark."""
    found = page_entry(moment.state, *page_at(moment, phrase))
    return found is not None and bool(found[0].bits & PAGE_UFFD_WP)


BITS: Final[dict[str, Callable[[Pte], bool]]] = {
    "writable": lambda entry: entry.writable,
    "dirty": lambda entry: entry.dirty,
    "accessed": lambda entry: bool(entry.bits & PAGE_ACCESSED),
    "special": lambda entry: entry.special,
    "huge": lambda entry: entry.huge,
}

# -- quantities ------------------------------------------------------------------------------------


def refcount(moment: Moment, phrase: Phrase) -> int:
    """page_count()."""
    return frame_of(moment, phrase)[1].refcount


def mapcount(moment: Moment, phrase: Phrase) -> int:
    """page_mapcount()."""
    return frame_of(moment, phrase)[1].mapcount


def order(moment: Moment, phrase: Phrase) -> int:
    """Its folio is made of 2 to this power of pages, which share a refcount; 0 for a small page."""
    frame = frame_of(moment, phrase)[1]
    return frame.order if frame.large else 0


def folio_mapcount(moment: Moment, phrase: Phrase) -> int:
    """The entries that map any page of its folio."""
    pfn, frame = frame_of(moment, phrase)
    return folio_of(moment.state, pfn).mapcount if frame.large else frame.mapcount


def entire_mapcount(moment: Moment, phrase: Phrase) -> int:
    """folio_entire_mapcount(): the PMDs that map its folio as a whole."""
    return rest_of(moment.state, page_folio(moment.state, frame_of(moment, phrase)[0])).entire


def pincount(moment: Moment, phrase: Phrase) -> int:
    """The pins that are part of the refcount."""
    return frame_of(moment, phrase)[1].pins


def frame_number(moment: Moment, phrase: Phrase) -> int:
    """The page frame number."""
    return frame_of(moment, phrase)[0]


def page_number(moment: Moment, phrase: Phrase) -> int:
    """The virtual page number."""
    return page_at(moment, phrase)[1]


def address(moment: Moment, phrase: Phrase) -> int:
    """The virtual address, in bytes."""
    return page_at(moment, phrase)[1] << 12


def content_of(moment: Moment, phrase: Phrase) -> int:
    """The first byte of the page."""
    return moment.state.content.get(frame_of(moment, phrase)[0]) or 0


def table_index(moment: Moment, phrase: Phrase) -> int:
    """Which entry of the table at a level leads to the page."""
    return page_at(moment, phrase)[1] >> 9 * LEVELS[str(phrase.values["LEVEL"])] & 511


def map_count(moment: Moment, phrase: Phrase) -> int:
    """The VMAs of an address space."""
    return moment.state.processes[process_named(moment.state, str(phrase.values["P"]))].map_count


def huge_pages_free(moment: Moment, _phrase: Phrase) -> int:
    """The free pages of the pool that hugetlb has."""
    return moment.state.counters.get("hugetlb_free") or 0


def huge_pages_reserved(moment: Moment, _phrase: Phrase) -> int:
    """How many of them are reserved."""
    return moment.state.counters.get("hugetlb_resv") or 0


def resident_pages(moment: Moment, phrase: Phrase) -> int:
    """The pages that an address space maps and accounts for. A special entry, as of the zero page, is none."""
    state, process = moment.state, process_named(moment.state, str(phrase.values["P"]))
    small = sum(owner == process and pte.present and not pte.special for (owner, _), pte in state.ptes.items())
    blocks = [entry for (owner, _, _), entry in state.tables.items() if owner == process and entry.huge]
    return small + sum(folio_of(state, block.pfn).pages for block in blocks if not block.special)


def page_table_pages(moment: Moment, phrase: Phrase) -> int:
    """The page-table pages of an address space, its PGD included."""
    process = process_named(moment.state, str(phrase.values["P"]))
    entries = [entry for (owner, _, _), entry in moment.state.tables.items() if owner == process]
    tables = sum(entry.kind == "page" and not entry.huge for entry in entries)
    return 1 + tables + sum(owner == process for owner, _ in moment.state.deposits)
