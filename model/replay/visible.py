"""The part of an observation that a recorder could see: what it could not see is compared with nothing."""

from collections.abc import Set as AbstractSet
from typing import Final

from model.replay.observe import Observation
from model.replay.recording import LargePhysRow, PhysRow, PinRow, PteRow, Seen

SWAP: Final = "swap"
UNKNOWN: Final = "?"
HUGE: Final = "huge"
LIKE_SWAP: Final = (SWAP, "poison")
"""Who sees no frame numbers cannot tell a poison marker from a swap entry: both are not present."""
HUGE_POISON: Final = ("poison", "H")
"""In place of a huge page of hugetlb: /proc/PID/pagemap does not show it."""
MARKERS: Final = ("guard", "uffd-wp-marker")


def visible(look: Observation, seen: Seen, beside: Observation) -> Observation:
    """What would have been seen of `look`, without the bytes of frames whose bytes `beside` does not know."""
    if "pincount" in seen.counts:
        return look
    huge = {name for name, row in look.phys.items() if is_huge(row)}
    unread = {name for name, row in beside.phys.items() if isinstance(row, tuple) and row[3] is None}
    return Observation(
        vmas=look.vmas,
        ptes={
            process: {
                page: entry(row, seen, look, beside.ptes.get(process, {}).get(page))
                for page, row in rows.items()
                if row != HUGE_POISON
            }
            for process, rows in look.ptes.items()
        },
        phys={
            name: frame(row, seen, read=name not in unread)
            for name, row in look.phys.items()
            if seen.frames and name not in huge
        },
        pins={name: pin(row, seen, huge) for name, row in look.pins.items()},
    )


def entry(row: PteRow, seen: Seen, look: Observation, beside: PteRow | None) -> PteRow:
    """An entry of a look without the letters that were not seen; without frames, its kind and what it shows."""
    name, flags = row
    if "H" in flags:
        return HUGE, "".join(letter for letter in flags if letter in seen.pte)
    if not seen.frames and name not in MARKERS and not name.startswith(UNKNOWN):
        unread = beside is not None and beside[0] == UNKNOWN
        name = SWAP if name.startswith(LIKE_SWAP) else shown(None if unread else byte_behind(look, name))
    return name, "".join(letter for letter in flags if letter in seen.pte)


def byte_behind(look: Observation, name: str) -> int | None:
    """The first byte of a frame, or of a page of a large folio, as far as it is known."""
    if name == "zero":
        return 0
    head, _, page = name.partition(".")
    row = look.phys.get(name) or look.phys.get(head)
    if not isinstance(row, dict):
        return row[3] if row is not None else None
    runs = ((first, value) for first, length, value in row["val"] if first <= int(page) < first + length)
    return next((int(value) for _, value in runs), None)


def shown(byte: int | None) -> str:
    """What stands for a frame that has no number: the byte that it holds, as far as that can be read."""
    return UNKNOWN if byte is None else f"{UNKNOWN}{byte}"


def frame(row: PhysRow | LargePhysRow, seen: Seen, *, read: bool) -> PhysRow | LargePhysRow:
    """A frame without the counts and flags that were not seen, and without its byte unless that was `read`."""
    if not isinstance(row, tuple):
        return row
    refcount, mapcount, flags, byte = row
    return (
        refcount if "refcount" in seen.counts else None,
        mapcount if "mapcount" in seen.counts else None,
        flags if seen.phys is None else " ".join(flag for flag in flags.split() if flag in seen.phys),
        byte if read else None,
    )


def is_huge(row: PhysRow | LargePhysRow) -> bool:
    """A page of 2 MiB: a recorder that reads /proc alone compares the entries of those, not what is behind them."""
    return isinstance(row, dict) or "huge" in row[2].split()


def pin(row: PinRow, seen: Seen, huge: AbstractSet[str]) -> PinRow:
    """A reference, with its frames if frames were seen, and without huge pages."""
    if seen.frames:
        small = tuple(name for name in row.frames if name.partition(".")[0] not in huge)
        return PinRow(row.kind, row.proc, row.page, small)
    return PinRow(row.kind, row.proc, row.page, tuple("?" for _ in row.frames))
