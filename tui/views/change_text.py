"""What a change of the State is called in text: a sign, the thing, and what is different about it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct, to_builtins

from model.kernel.mm.physical import PMEM_BASE
from model.memory.flags import PAGE_BITS, PAGE_FLAGS, SMAPS_CODES, VM_SHARED, names, smaps_codes
from model.memory.records import Frame, Pte, TlbEntry, Vma
from model.memory.state import Change, State
from model.script.json_state import PTE_STATES as NOT_PRESENT
from model.script.json_state import TABLE_NAMES, backing, frame_name, protection, record_picture
from tui.views.shown_state import pfn_name

HIDDEN: Final = frozenset({"counters", "free", "locks"})
"""The allocator's and the scheduler's own bookkeeping: shown only to those who want to see everything."""

SHORTEST_RUN: Final = 2
"""More numbers than that in a row are told by the first and the last."""

LEVELS: Final = {1: "PMD", 2: "PUD", 3: "PGD"}


class ChangeLine(NamedTuple):
    """One change in words."""

    sign: str
    """`+` new, `~` changed, `-` gone."""
    subject: str
    text: str


def change_line(state: State, change: Change, arrow: str = "->") -> ChangeLine:
    """A change, described in the State after it."""
    subject = _subject(change)
    if change.old is None:
        return ChangeLine("+", subject, _whole(state, _value(change, change.new)))
    if change.new is None:
        return ChangeLine("-", subject, _whole(state, _value(change, change.old)))
    return ChangeLine("~", subject, _difference(state, change.old, change.new, arrow))


def _value(change: Change, record: object) -> object:
    """What stands in an entry; a frame by its name."""
    return number_of(record) if change.table == "page_cache" and isinstance(record, int) else record


def number_of(pfn: int) -> str:
    """What comes after the word `frame`: `5`, or `v0` and `d0` where no RAM is meant.

    >>> from model.kernel.mm.physical import VRAM_BASE
    >>> number_of(5), number_of(VRAM_BASE)
    ('5', 'v0')
    """
    return pfn_name(pfn).removeprefix("f")


class ChangeRow(NamedTuple):
    """One change, or neighbours that have changed alike: a block of 2 MiB has 512 frames."""

    first: Change
    line: ChangeLine


def change_rows(state: State, changes: Iterable[Change], arrow: str = "->") -> Iterator[ChangeRow]:
    """Changes in words, neighbours that say the same in one row."""
    row: list[Change] = []
    said = ChangeLine("", "", "")
    for change in changes:
        line = change_line(state, change, arrow)
        if row and _follows(row[-1], change) and (line.sign, line.text) == (said.sign, said.text):
            row.append(change)
            continue
        if row:
            yield _joined(row, said)
        row, said = [change], line
    if row:
        yield _joined(row, said)


def _follows(before: Change, change: Change) -> bool:
    """Neighbours in a table of frames, or of what stands in them."""
    return before.table == change.table and change.table in {"frames", "content"} and change.key == before.key + 1


def _joined(row: Sequence[Change], line: ChangeLine) -> ChangeRow:
    """The one line for a row of changes, e.g. `frames 512 to 1023`."""
    if len(row) > 1:
        line = line._replace(subject=f"{line.subject.replace('frame', 'frames')} to {number_of(row[-1].key)}")
    return ChangeRow(row[0], line)


def _subject(change: Change) -> str:
    """What a change is about, e.g. `pte p0:17`."""
    name = TABLE_NAMES.get(change.table, change.table).replace("_", " ")
    match change.table, change.key:
        case "tables", (process, level, index):
            return f"{LEVELS[level]} entry {process}:{index}"
        case "tlbs", cpu:
            return f"TLB of cpu {cpu}"
        case "shared_tables", pfn:
            return f"shared table {number_of(pfn)}"
        case "content", pfn:
            return f"bytes of frame {number_of(pfn)}"
        case "frames", pfn:
            return f"frame {number_of(pfn)}"
        case _, tuple() as key:
            return f"{name} {':'.join(map(str, key))}"
        case _, key:
            return f"{name} {key}"


def _whole(state: State, record: object) -> str:
    """A record that has come or gone."""
    match record:
        case Pte():
            return _entry(state, record)
        case Frame():
            return ", ".join((record.kind, *_counts(record)))
        case Vma():
            return ", ".join(
                (
                    f"pages {record.start} to {record.end - 1}",
                    protection(record.flags) + ("s" if record.flags & VM_SHARED else "p"),
                    backing(state, record),
                    " ".join(smaps_codes(record.flags)),
                )
            )
        case tuple():
            return _tlb(record)
        case Struct():
            return _plain(to_builtins(record))  # without the defaults
        case _:
            return _plain(record)


def _entry(state: State, pte: Pte) -> str:
    if pte.kind == "swap":
        return f"swap slot {pte.pfn}"
    name = frame_name(state, pte.pfn)
    where = f"frame {number_of(name) if isinstance(name, int) else name}"
    bits = " ".join(names(pte.bits, PAGE_BITS))
    return f"{where}, {bits}" if pte.kind == "page" else f"{NOT_PRESENT[pte.kind]}, {where}"


def _counts(frame: Frame) -> list[str]:
    counts = [f"refcount {frame.refcount}", f"mapcount {frame.mapcount}"]
    return [*counts, f"pins {frame.pins}"] if frame.pins else counts


def _tlb(entries: tuple[Any, ...]) -> str:
    return ", ".join(_translation(entry) if isinstance(entry, TlbEntry) else str(entry) for entry in entries) or "empty"


def _translation(entry: TlbEntry) -> str:
    return f"{entry.process}:{entry.vpn} is frame {number_of(entry.pte.pfn)}{' rw' if entry.pte.writable else ''}"


def _difference(state: State, old: object, new: object, arrow: str) -> str:
    """What is different between two records of a kind."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        return _tlb_difference(old, new)
    if isinstance(old, Frame) and isinstance(new, Frame):
        return ", ".join(
            [*_fields(_frame_words(old), _frame_words(new), arrow), *_flags(old.flags, new.flags, PAGE_FLAGS)]
        )
    if isinstance(old, Vma) and isinstance(new, Vma):
        fields = _fields(_vma_words(old), _vma_words(new), arrow)
        return ", ".join([*fields, *_flags(old.flags, new.flags, SMAPS_CODES)])
    if isinstance(old, Pte) and isinstance(new, Pte):
        if (old.kind, old.pfn) != (new.kind, new.pfn):
            return f"{_entry(state, old)} {arrow} {_entry(state, new)}"
        return ", ".join(_flags(old.bits, new.bits, PAGE_BITS))
    before, after = record_picture(state, old), record_picture(state, new)
    if isinstance(before, dict) and isinstance(after, dict):
        return ", ".join(_fields(before, after, arrow))
    return f"{before} {arrow} {after}"


def _frame_words(frame: Frame) -> dict[str, Any]:
    return {
        "kind": frame.kind,
        "refcount": frame.refcount,
        "mapcount": frame.mapcount,
        "pins": frame.pins,
        "mapping": frame.mapping or "none",
        "index": frame.index,
    }


def _vma_words(vma: Vma) -> dict[str, Any]:
    return {"end": vma.end, "offset": vma.pgoff, "anon_vma": vma.anon_vma, "chain": vma.chain}


def _fields(old: dict[str, Any], new: dict[str, Any], arrow: str) -> list[str]:
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key} {_field(key, old.get(key))} {arrow} {_field(key, new.get(key))}"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _flags(old: int, new: int, table: tuple[tuple[int, str], ...]) -> list[str]:
    """Bits that were set or cleared, as `+dirty -rw`."""
    came = [f"+{name}" for name in names(new & ~old, table)]
    return [" ".join([*came, *(f"-{name}" for name in names(old & ~new, table))])] if old != new else []


def _tlb_difference(old: tuple[Any, ...], new: tuple[Any, ...]) -> str:
    came = [f"caches {_tlb((entry,))}" for entry in new if entry not in old]
    return ", ".join([*came, *(f"forgets {_tlb((entry,))}" for entry in old if entry not in new)])


def _field(key: str, value: object) -> str:
    """The value of a field; frames by their names, where they are not RAM."""
    if key == "frames" and isinstance(value, list | tuple) and value and value[0] >= PMEM_BASE:
        first, last = number_of(value[0]), number_of(value[-1])
        return (
            first
            if len(value) == 1
            else f"{first}-{last}"
            if value[-1] - value[0] == len(value) - 1
            else " ".join(map(number_of, value))
        )
    return _plain(value)


def _plain(value: object) -> str:
    """A JSON value without quotes and braces."""
    match value:
        case None | "" | [] | ():
            return "none"
        case {} if not value:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {_field(key, item)}" for key, item in value.items())
        case list() | tuple():
            return " ".join(_runs(value))
        case _:
            return str(value)


def _runs(values: Sequence[object]) -> Iterator[str]:
    """Each value in words; a run of numbers that follow each other by its ends.

    >>> list(_runs([512, 513, 514, 515, 7, "a"]))
    ['512-515', '7', 'a']
    """
    start = 0
    while start < len(values):
        first, end = values[start], start + 1
        while isinstance(first, int) and end < len(values) and values[end] == first + end - start:
            end += 1
        if end - start > SHORTEST_RUN:
            yield f"{first}-{values[end - 1]}"
        else:
            yield from map(_plain, values[start:end])
        start = end
