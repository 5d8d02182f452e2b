"""The real kernel as a State, so that it can be drawn: what was seen of it, under the frame numbers of the model.

What was not seen is not made up: no CPU has a translation. A frame's counts are those of struct page where they can be
read; else that of who is known to hold it: the model's holders, with the kernel's mappings in place of the model's.
Where an entry of 2 MiB differs, the model's is drawn: the list of differences says what the kernel has.
"""

from typing import Final

from msgspec.structs import replace

from model.memory.flags import PAGE_PRESENT
from model.memory.records import Frame, Pte
from model.memory.state import State, Transaction
from model.replay.recording import PteRow
from tui.live.side_by_side import Compared

STRANGERS: Final = 1 << 20
"""Frames that the model does not have get numbers from here on."""


def seen_state(found: Compared, model: State) -> State:
    """What the kernel showed after a command; `model` is the model's machine then."""
    kernel, ours = found.looks
    tx = Transaction(model)
    for cpu in model.tlbs:
        del tx.tlbs[cpu]
    strange = (name for name in kernel.phys if name not in found.frames)
    numbers = dict(found.frames) | {name: STRANGERS + place for place, name in enumerate(strange)}
    for process, rows in kernel.ptes.items():
        before = ours.ptes.get(process, {})
        for page in rows.keys() | before.keys():
            row = rows.get(page)
            if frame_of(row) != frame_of(before.get(page)) and not is_huge(row) and not is_huge(before.get(page)):
                _map(tx, process, page, number_of(row, numbers))
    for name, phys in kernel.phys.items():
        byte = phys[3] if isinstance(phys, tuple) else None
        if isinstance(phys, tuple) and phys[0] is not None and numbers[name] in tx.frames:
            tx.frames.update(numbers[name], refcount=phys[0], mapcount=phys[1] or 0)
        if byte is not None and byte != (tx.content.get(numbers[name]) or 0):
            tx.content[numbers[name]] = byte
    return tx.commit()[0]


def frame_of(row: PteRow | None) -> str:
    """The frame of an entry by its name; empty where the entry has none that was named."""
    return row[0] if row is not None and row[0].startswith("P") else ""


def number_of(row: PteRow | None, numbers: dict[str, int]) -> int:
    """The frame number of an entry: `P3.7` is the page 7 behind the head of P3; -1 where it has none."""
    name, _, page = frame_of(row).partition(".")
    return numbers[name] + int(page or 0) if name in numbers else numbers.get(frame_of(row), -1)


def is_huge(row: PteRow | None) -> bool:
    """It is an entry of 2 MiB."""
    return row is not None and "H" in row[1]


def _map(tx: Transaction, process: str, page: int, pfn: int) -> None:
    """Let the page show that frame, or nothing, and let the counts follow."""
    old = tx.ptes.get((process, page))
    if old is not None and old.present:
        _count(tx, old.pfn, -1)
        del tx.ptes[process, page]
    if pfn >= 0:
        bits = old.bits if old is not None else PAGE_PRESENT
        tx.ptes[process, page] = Pte(pfn, bits | PAGE_PRESENT)
        _count(tx, pfn, 1)


def _count(tx: Transaction, pfn: int, by: int) -> None:
    frame = tx.frames.get(pfn) or Frame(kind="anon")
    tx.frames[pfn] = replace(frame, refcount=frame.refcount + by, mapcount=frame.mapcount + by)
