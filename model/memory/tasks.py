"""Calls in flight: a task is a stack of kernel functions, each with its variables."""

from typing import ClassVar, Final, NamedTuple

import msgspec

from model.memory.record_base import Record
from model.memory.units import CpuNumber, Pfn, Word


class FlushOwed(NamedTuple):
    """Virtual pages [start, end) of `mm` that some call is still going to make every CPU forget."""

    mm: str
    start: int
    end: int

    def covers(self, mm: str, vpn: int) -> bool:
        """Whether a virtual page is among them."""
        return mm == self.mm and self.start <= vpn < self.end


class Replacement(NamedTuple):
    """The frames from `pfn` on, which a call maps at [start, end) of `mm` in the place of other pages."""

    mm: str
    start: int
    end: int
    pfn: Pfn
    old: Pfn = -1
    """The page whose entry is cleared, where it is only one."""


IN_A_STEP: Final[set[int]] = set()
"""The id of each Locals that a step works on at this moment: several where several threads advance machines."""

_set: Final = msgspec.Struct.__setattr__


class Locals(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="procedure", tag=True, gc=False):
    """The variables of one running kernel function: one frame of a task's stack.

    A step works on a fresh copy of its own locals and sets them; in all other hands they are frozen like every record.
    Subclasses are the procedures of `model.kernel`; their tag is their name.
    """

    registry: ClassVar[dict[str, type["Locals"]]] = {}

    pc: int = 0
    """Index of the micro-step that runs next."""
    ret: int = 0
    """What the function that this one called last returned: a value, or a negated errno."""
    out: tuple[Pfn, ...] = ()
    """What that function handed back besides, usually pfns."""
    holds: tuple[Pfn, ...] = ()
    """pfns of which this call owns one reference each, for the reference accounting."""
    pins: tuple[Pfn, ...] = ()
    """pfns of which this call owns one FOLL_PIN each."""
    owes_rmap: tuple[Pfn, ...] = ()
    """pfns whose entry this call has cleared, or is about to set, while the mapcount still (or already) counts it."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set a variable. AttributeError outside the step that runs: States share this record."""
        if id(self) not in IN_A_STEP:
            raise AttributeError(f"{type(self).__name__} is part of a State: its variables change in its steps only")
        _set(self, name, value)

    @property
    def function(self) -> str:
        """The kernel function that it stands for."""
        return type(self).__name__

    def __hash__(self) -> int:
        return hash((type(self).__name__, msgspec.structs.astuple(self)))

    def owes_flush(self) -> FlushOwed | None:
        """The translations that this call is still going to flush, as its variables stand now; None: it owes none.

        A function that takes rights away in one step and flushes in a later one says so here. Until then an outdated
        TLB entry in that range is normal (see the invariant `stale-tlb`).
        """
        return None

    def replaces(self) -> Replacement | None:
        """Which pages this call puts in the place of others in the step that it is about to make; None: in no place.

        A function that clears an entry in one step and maps another page there in a later one says so here. What the
        old page holds when its entry goes, and when the new one comes, the new page must hold (see `lost-store`).
        """
        return None

    def stands_in(self) -> Pfn | None:
        """The table page that this call is inside of, as its variables stand now, in a walk without locks; else None.

        Nobody counts it, and nothing keeps the page but whoever waits for the walk.
        """
        return None


class Task(Record, frozen=True, omit_defaults=True):
    """An operation in flight: a stack of kernel functions, the innermost last."""

    process: str = ""
    cpu: CpuNumber = -1
    """The CPU it runs on; -1 for a device, which needs none."""
    stack: tuple[Locals, ...] = ()
    blocked: Word = ""
    """What it waits for, in words; empty = it can run."""
