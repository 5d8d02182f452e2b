"""From one observation to the next: what changed, with equal neighbours told as runs."""

from collections.abc import Iterable
from typing import Final

from model.replay.observe import Observation
from model.replay.recording import (
    Delta,
    LargePhysRow,
    PhysRow,
    PinRow,
    ProcessDelta,
    PteRow,
)

SHORTEST_RUN: Final = 8
"""So many equal neighbours are written as one run."""


def number_of(frame: str) -> tuple[int, int]:
    """`P12.3` → (12, 3): frames in the order of their names."""
    head, _, sub = frame[1:].partition(".")
    return int(head), int(sub.partition("+")[0] or 0)


def delta(before: Observation, after: Observation, freed: Iterable[str]) -> Delta:
    """What a recording says of the way from one Look to the next: what is new or changed, then what is gone."""
    procs: dict[str, ProcessDelta | None] = {}
    for process, vmas in after.vmas.items():
        old, new = before.ptes.get(process, {}), after.ptes[process]
        pages = sorted(page for page in old.keys() | new.keys() if old.get(page) != new.get(page))
        changed = ProcessDelta(
            vmas if vmas != before.vmas.get(process) else None, in_runs({page: new.get(page) for page in pages})
        )
        if changed.vmas is not None or changed.ptes:
            procs[process] = changed
    procs |= dict.fromkeys(process for process in before.vmas if process not in after.vmas)
    names = sorted(before.phys.keys() | after.phys.keys(), key=number_of)
    phys: dict[str, PhysRow | LargePhysRow | None] = {
        name: after.phys[name] for name in names if name in after.phys and after.phys[name] != before.phys.get(name)
    }
    phys |= dict.fromkeys(name for name in names if name not in after.phys)
    pins: dict[str, PinRow | None] = {name: pin for name, pin in after.pins.items() if name not in before.pins}
    pins |= dict.fromkeys(name for name in before.pins if name not in after.pins)
    return Delta(procs, phys, pins, freed_in_runs(freed))


def freed_in_runs(freed: Iterable[str]) -> list[str]:
    """Names of freed frames, in order, with many neighbouring pages of one folio as a run.

    >>> freed_in_runs([*(f"P0.{page}" for page in range(2, 12)), "P1"])
    ['P0.2+10', 'P1']
    """
    runs: list[list[str]] = []
    for name in sorted(freed, key=number_of):
        before = number_of(runs[-1][-1]) if runs else None
        if "." in name and before is not None and (before[0], before[1] + 1) == number_of(name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return [written for run in runs for written in ([f"{run[0]}+{len(run)}"] if len(run) >= SHORTEST_RUN else run)]


def in_runs(rows: dict[int, PteRow | None]) -> dict[str, PteRow | None]:
    """Entries by page, with neighbours that continue each other as runs: `512+100`."""
    runs: list[tuple[int, int, PteRow | None]] = []
    for page, row in rows.items():
        if runs:
            start, length, first = runs[-1]
            if page == start + length and row == in_run(first, length) and (first is None or not _is_small(first[0])):
                runs[-1] = start, length + 1, first
                continue
        runs.append((page, 1, row))
    written: dict[str, PteRow | None] = {}
    for start, length, first in runs:
        if length >= SHORTEST_RUN:
            written[f"{start}+{length}"] = first
        else:
            written |= {str(start + step): in_run(first, step) for step in range(length)}
    return written


def _is_small(frame: str) -> bool:
    """A frame of its own never is part of a run."""
    return frame[0] in "PS" and "." not in frame


def in_run(first: PteRow | None, steps: int) -> PteRow | None:
    """The entry `steps` pages behind the first of a run: sub-pages count up, the rest repeats."""
    if first is None or "." not in first[0]:
        return first
    folio, _, sub = first[0].partition(".")
    return f"{folio}.{int(sub) + steps}", first[1]


def apply(look: Observation, change: Delta) -> None:
    """Bring a Look up to date with a recorded delta."""
    for process, changed in change.procs.items():
        if changed is None:
            look.vmas.pop(process, None)
            look.ptes.pop(process, None)
            continue
        entries = look.ptes.setdefault(process, {})
        look.vmas[process] = look.vmas.get(process, []) if changed.vmas is None else changed.vmas
        for key, row in changed.ptes.items():
            start, _, length = key.partition("+")
            for step in range(int(length or 1)):
                entry = in_run(row, step)
                if entry is None:
                    entries.pop(int(start) + step, None)
                else:
                    entries[int(start) + step] = entry
    for name, phys in change.phys.items():
        if phys is None:
            look.phys.pop(name, None)
        else:
            look.phys[name] = phys
    for name, pin in change.pins.items():
        if pin is None:
            look.pins.pop(name, None)
        else:
            look.pins[name] = pin
