"""One row of the drawing, and the whole of them."""

from typing import Literal

import msgspec

from model.memory.folio import page_folio
from model.memory.records import TlbEntry
from model.memory.state import State
from tui.views.picture.fold import FoldedRun

HolderKey = tuple[Literal["ref", "task", "buffer"], str]
"""Who stands on the right: a reference, a task in flight, a driver that borrows pages."""


class Line(msgspec.Struct):
    """One row of the drawing."""

    head: str = ""
    """A process whose pages follow."""
    run: FoldedRun | None = None
    """The pages on the left."""
    tlb: tuple[int, TlbEntry] | None = None
    """A cached translation that the page table no longer has, and the CPU."""
    zone: str = ""
    """What kind of frames these are that stand beside no page."""
    frames: tuple[int, ...] = ()
    """The frames in the box; more than one where equal neighbours are folded."""
    ghost: bool = False
    """They are no longer there: so it was one step ago."""
    listed: tuple[int, ...] = ()
    """Frames that are only named: pool and free list."""
    waits: str = ""
    """A task that cannot go on."""
    holder: HolderKey | None = None
    note: HolderKey | None = None
    """Whose second line stands here."""
    column: int = 0
    """Which of the frames beside the page."""
    folio: int = -1
    """The large folio whose box begins here, with its count; -1: none."""
    pages: tuple[int, ...] = ()
    """Of that folio: the first page of each row that shows some of its pages."""
    part: str = ""
    """The frames are pages of a folio: `page`, or `last` where its box ends."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same row in another step."""
        if self.run is not None:
            return "page", self.run.process, self.run.first, self.column
        if self.tlb is not None:
            return "tlb", self.tlb[0], self.tlb[1].process, self.tlb[1].vpn
        if self.folio >= 0:
            return "folio", self.folio
        return self.head, self.zone, self.frames[:1], self.waits


class Layout(msgspec.Struct, frozen=True):
    """All rows, and where the frames and the holders are."""

    lines: list[Line]
    at: dict[int, int]
    """pfn → its row."""
    held_at: dict[HolderKey, int]
    """Holder → its row."""
    holders: dict[HolderKey, list[int]]
    """Holder → the frames that its line leads to, each once."""
    folio_at: dict[int, int]
    """Head of a large folio → the row with its count."""

    def row_of(self, mem: State, pfn: int) -> int | None:
        """The row of a frame; of a page of a folio that has none of its own, that of the folio."""
        row = self.at.get(pfn)
        return self.folio_at.get(page_folio(mem, pfn)) if row is None else row
