"""What a lesson may ask the model: quantities and conditions over the state after a step.

A condition is what may follow `expect` in a script, a quantity is the same without the number it is compared with:

    refcount p0 buf        a number: what page_count() says of the frame behind p0's page buf
    refcount p0 buf 1      a condition: it is 1
    content nic0.r+1       page 1 of what the reference r holds; `r` alone is its page 0
    not present p0 buf and same p0 other r

A subject is a process and a place in it (`p0 buf+1`), or a reference and a page of it (`r`, `r+1`).
Every word of it is looked up in the model when it is asked, so no author ever types an answer.
"""

import re
from collections.abc import Callable, Collection
from typing import Final, NamedTuple, get_args

from lessons.file.problems import did_you_mean
from lessons.play.operands import (
    ExpressionError,
    NoValueError,
    frame_number,
    take_entry,
    take_frame,
    take_subject,
)
from model.invariants.rules import INVARIANTS
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import ERRNO_NAMES
from model.memory.flags import PAGE_ACCESSED, smaps_codes
from model.memory.records import Place, Pte
from model.memory.state import State

LEVELS: Final = {"pte": 0, "pmd": 1, "pud": 2, "pgd": 3}
"""Page-table levels, lowest first; each takes nine bits of the virtual page number."""
NUMBER: Final = re.compile(r"-?(?:0x[0-9a-fA-F]+|0|[1-9][0-9]*)")
SIGNALS: Final = ("SIGSEGV", "SIGBUS")
PLACES: Final[tuple[Place, ...]] = get_args(Place)


class Moment(NamedTuple):
    """What an expression is asked about: a state, how the last command ended, and what is broken now."""

    state: State
    status: str = "ok"
    """ok, error, signal or blocked."""
    detail: str = ""
    """The errno, the signal, or what it is blocked on."""
    value: int | None = None
    violations: frozenset[str] = frozenset()
    """Names of the invariants that do not hold now."""


# -- quantities ----------------------------------------------------------------------------------

Quantity = Callable[[Moment, list[str]], int]
"""Takes its operands off the front of the words."""


def _index(moment: Moment, words: list[str]) -> int:
    """`index pmd P WHERE`: which of the 512 entries of that table the walk looks at."""
    level = words.pop(0) if words else ""
    if level not in LEVELS:
        raise ExpressionError(f"`{level}` is no page-table level; expected one of: {', '.join(LEVELS)}")
    return take_subject(moment.state, words).vpn >> 9 * LEVELS[level] & 511


def _process(moment: Moment, words: list[str]) -> str:
    """The process at the front of `words`."""
    process = words.pop(0) if words else ""
    if process not in moment.state.processes:
        raise ExpressionError(f"no process `{process}`")
    return process


def _vmas(moment: Moment, words: list[str]) -> int:
    """`vmas P`: the VMAs of an address space (map_count)."""
    return moment.state.processes[_process(moment, words)].map_count


def _rss(moment: Moment, words: list[str]) -> int:
    """`rss P`: the pages that an address space maps and accounts for. A special entry, as of the zero page, is none."""
    process = _process(moment, words)
    return sum(
        owner == process and entry.present and not entry.special for (owner, _), entry in moment.state.ptes.items()
    )


def _table_pages(moment: Moment, words: list[str]) -> int:
    """`table-pages P`: the page-table pages of an address space, its PGD included."""
    process = _process(moment, words)
    return 1 + sum(owner == process and not entry.huge for (owner, _, _), entry in moment.state.tables.items())


def _value(moment: Moment, _words: list[str]) -> int:
    """`value`: what the last command returned."""
    if moment.value is None:
        raise NoValueError(f"the last command returned no value: {moment.status} {moment.detail}".rstrip())
    return moment.value


QUANTITIES: Final[dict[str, Quantity]] = {
    "refcount": lambda moment, words: take_frame(moment.state, words)[1].refcount,
    "mapcount": lambda moment, words: take_frame(moment.state, words)[1].mapcount,
    "pincount": lambda moment, words: take_frame(moment.state, words)[1].pins,
    "content": lambda moment, words: moment.state.content.get(take_frame(moment.state, words)[0]) or 0,
    "frame": lambda moment, words: take_frame(moment.state, words)[0],
    "page-number": lambda moment, words: take_subject(moment.state, words).vpn,
    "address": lambda moment, words: take_subject(moment.state, words).vpn << 12,
    "index": _index,
    "table-pages": _table_pages,
    "vmas": _vmas,
    "rss": _rss,
    "value": _value,
}

# -- conditions ----------------------------------------------------------------------------------

Condition = Callable[[Moment, list[str]], bool]
"""Takes its operands off the front of the words."""


def _same(moment: Moment, words: list[str]) -> bool:
    """Two subjects lead to the same physical page; false where either leads to none."""
    one, other = (frame_number(moment.state, take_subject(moment.state, words)) for _ in range(2))
    return one is not None and one == other


def _vma(moment: Moment, words: list[str]) -> bool:
    """`vma P WHERE [flags=pf,io]`: a VMA covers the page, with these VmFlags."""
    subject = take_subject(moment.state, words)
    vma = vma_lookup(moment.state, subject.process, subject.vpn)
    wanted = words.pop(0).removeprefix("flags=").split(",") if words and words[0].startswith("flags=") else []
    return vma is not None and set(wanted) <= set(smaps_codes(vma.flags))


def _cached(moment: Moment, words: list[str]) -> bool:
    """`cached CPU P WHERE`: that CPU's TLB holds a translation of the page."""
    cpu = words.pop(0) if words else ""
    if not NUMBER.fullmatch(cpu) or cpu.startswith("-"):
        raise ExpressionError(f"`{cpu}` is no CPU number")
    subject = take_subject(moment.state, words)
    entries = moment.state.tlbs.get(int(cpu, 0)) or ()
    return any((entry.process, entry.vpn) == (subject.process, subject.vpn) for entry in entries)


def _place(moment: Moment, words: list[str]) -> bool:
    """`place B vram`: where the backing store of a buffer is now."""
    if len(words) < 2:
        raise ExpressionError("expected `place BUFFER PLACE`")
    name, place = words.pop(0), words.pop(0)
    if name not in moment.state.buffers:
        raise ExpressionError(f"no buffer `{name}`")
    if place not in PLACES:
        raise ExpressionError(f"`{place}` is no place of a buffer; {did_you_mean(place, PLACES)}")
    return moment.state.buffers[name].place == place


def _waits(moment: Moment, words: list[str]) -> bool:
    """`waits T`: a task was to go on and could not; false if there is no such task (any more)."""
    if not words:
        raise ExpressionError("which task? `waits TASK`")
    task = moment.state.tasks.get(words.pop(0))
    return task is not None and bool(task.blocked)


def _holds(moment: Moment, words: list[str]) -> bool:
    """`holds T S`: a task in flight has a reference on the page, which nobody else knows of yet."""
    if len(words) < 2:
        raise ExpressionError("which task, and which page? `holds TASK PROCESS WHERE`")
    task = moment.state.tasks.get(words.pop(0))
    pfn = frame_number(moment.state, take_subject(moment.state, words))
    return task is not None and any(pfn in (*call.holds, *call.pins) for call in task.stack)


def _present(moment: Moment, words: list[str]) -> bool:
    return take_entry(moment.state, words) is not None


def _ended(status: str, details: Collection[str] = ()) -> Condition:
    """`ok`, `error EFAULT`, `signal SIGBUS`: how the last command ended. Without a detail any will do."""

    def ended(moment: Moment, words: list[str]) -> bool:
        detail = words.pop(0) if words and details else ""
        if detail and detail not in details:
            raise ExpressionError(f"`{detail}` is no {status}; {did_you_mean(detail, details)}")
        return moment.status == status and detail in {"", moment.detail}

    return ended


def _violation(moment: Moment, words: list[str]) -> bool:
    if not words:
        raise ExpressionError("which violation? `violation NAME`, or `no violation`")
    name = words.pop(0)
    if name not in INVARIANTS:
        raise ExpressionError(f"no invariant is called `{name}`; {did_you_mean(name, INVARIANTS)}")
    return name in moment.violations


def _no(moment: Moment, words: list[str]) -> bool:
    if not words or words.pop(0) != "violation":
        raise ExpressionError("expected `no violation`")
    return not moment.violations


def _bit(test: Callable[[Pte], bool]) -> Condition:
    """A condition on the present entry of a page; false where there is none."""

    def holds(moment: Moment, words: list[str]) -> bool:
        entry = take_entry(moment.state, words)
        return entry is not None and test(entry)

    return holds


CONDITIONS: Final[dict[str, Condition]] = {
    "ok": _ended("ok"),
    "error": _ended("error", ERRNO_NAMES.values()),
    "signal": _ended("signal", SIGNALS),
    "blocked": _ended("blocked"),
    "violation": _violation,
    "no": _no,
    "present": _present,
    "absent": lambda moment, words: not _present(moment, words),
    "same": _same,
    "differ": lambda moment, words: not _same(moment, words),
    "vma": _vma,
    "cached": _cached,
    "writable": _bit(lambda entry: entry.writable),
    "dirty": _bit(lambda entry: entry.dirty),
    "special": _bit(lambda entry: entry.special),
    "accessed": _bit(lambda entry: bool(entry.bits & PAGE_ACCESSED)),
    "place": _place,
    "exclusive": lambda moment, words: take_frame(moment.state, words)[1].exclusive,
    "waits": _waits,
    "holds": _holds,
    "held": lambda moment, words: bool(words) and words.pop(0) in moment.state.references,
}

WORDS: Final = frozenset({*CONDITIONS, *QUANTITIES, "not"})

# -- evaluation ----------------------------------------------------------------------------------


def quantity(text: str, moment: Moment) -> int:
    """The number that a quantity stands for at a moment. A literal number stands for itself.

    Raises ExpressionError where it is malformed or has no value then.
    """
    if NUMBER.fullmatch(text.strip()):
        return int(text, 0)
    words = text.split()
    head = words.pop(0) if words else ""
    if head not in QUANTITIES:
        raise ExpressionError(f"`{head}` is no quantity; {did_you_mean(head, QUANTITIES)}")
    number = QUANTITIES[head](moment, words)
    _exhausted(words, text)
    return number


def condition(text: str, moment: Moment) -> bool:
    """Whether a condition holds at a moment. Phrases may be negated with `not` and joined with `and`.

    Raises ExpressionError where it is malformed or speaks of a process, label or reference that does not exist.
    """
    return all(_phrase(phrase, moment) for phrase in re.split(r"\s+and\s+", text.strip()))


def _phrase(text: str, moment: Moment) -> bool:
    words = text.split()
    negated = words[:1] == ["not"]
    head, operands = (words[negated], words[negated + 1 :]) if len(words) > negated else ("", [])
    if head in CONDITIONS:
        holds = CONDITIONS[head](moment, operands)
    elif head in QUANTITIES:
        holds = _equals(head, moment, operands)
    else:
        raise ExpressionError(f"`{head}` is no condition; {did_you_mean(head, [*CONDITIONS, *QUANTITIES, 'not'])}")
    _exhausted(operands, text)
    return holds is not negated


def _equals(head: str, moment: Moment, operands: list[str]) -> bool:
    """A quantity followed by the number it should be; without a page or a value it equals no number."""
    if not operands or not NUMBER.fullmatch(operands[-1]):
        raise ExpressionError(f"`{head}` is compared with a number, e.g. `{head} p0 buf 1`")
    wanted = int(operands.pop(), 0)
    try:
        return QUANTITIES[head](moment, operands) == wanted
    except NoValueError:
        operands.clear()
        return False


def _exhausted(words: list[str], text: str) -> None:
    if words:
        raise ExpressionError(f"`{text}`: `{' '.join(words)}` is left over")
