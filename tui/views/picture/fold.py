"""Neighbouring pages that look the same are one row: `17 buf+1..7`."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from model.invariants.call_holdings import OWNED
from model.invariants.holders import Crowd
from model.memory.ordered import ceiling
from model.memory.records import Vma
from tui.views.entries import huge_blocks
from tui.views.picture.history import BLOCK, HOLE, Page
from tui.views.picture.picture_state import PictureState

LEAST: Final = 3
"""Pages that are worth folding."""
MOST_PAGES: Final = 64
"""Pages of one VMA that are looked at one by one."""


class FoldedRun(msgspec.Struct, frozen=True):
    """Pages [first, stop) of a process that are drawn as one row."""

    process: str
    first: int
    stop: int
    huge: bool = False
    """One PMD entry maps them all."""
    more: bool = False
    """So many pages that they are not looked at one by one."""

    @property
    def page(self) -> Page:
        """The first page."""
        return self.process, self.first

    @property
    def pages(self) -> int:
        """The number of pages."""
        return self.stop - self.first


def runs(drawn: PictureState, process: str, vma: Vma) -> Iterator[FoldedRun]:
    """The pages of a VMA, folded, in order."""
    blocks = [block * BLOCK for block in huge_blocks(drawn.state, process, vma)]
    special = drawn.special.get(process, [])
    vpn = first = vma.start
    look: tuple[object, ...] | None = None
    looked = 0
    while vpn < vma.end:
        there = _next(drawn, process, vpn, vma.end, special, blocks)
        if blocks and vpn - vpn % BLOCK in blocks:
            yield from _folded(process, first, vpn)
            end = min(vpn - vpn % BLOCK + BLOCK, vma.end)
            yield FoldedRun(process, vpn, end, huge=True)
            vpn, first, look = end, end, None
        elif there > vpn:
            yield from _folded(process, first, vpn)
            yield from _folded(process, vpn, there)
            vpn, first, look = there, there, None
        elif looked == MOST_PAGES:
            yield from _folded(process, first, vpn)
            yield FoldedRun(process, vpn, vma.end, more=True)
            return
        else:
            its = _look(drawn, process, vpn)
            if its is None or its != look:
                yield from _folded(process, first, vpn)
                first, look = vpn, its
            vpn, looked = vpn + 1, looked + 1
    yield from _folded(process, first, vma.end)


def alike(drawn: PictureState, process: str, pages: Sequence[int]) -> Iterator[FoldedRun]:
    """Pages that no VMA has, folded, in order."""
    first = stop = -1
    look: tuple[object, ...] | None = None
    for vpn in pages[:MOST_PAGES]:
        its = _look(drawn, process, vpn)
        if vpn != stop or its is None or its != look:
            yield from _folded(process, first, stop)
            first, look = vpn, its
        stop = vpn + 1
    yield from _folded(process, first, stop)
    if len(pages) > MOST_PAGES:
        yield FoldedRun(process, pages[MOST_PAGES], pages[-1] + 1, more=True)


def _next(drawn: PictureState, process: str, vpn: int, end: int, special: list[int], blocks: list[int]) -> int:
    """The next page at which there is anything to draw."""
    mapped = ceiling(drawn.state.pte_index, process, vpn)
    found = [end, *special[(at := bisect_left(special, vpn)) : at + 1]]
    found += blocks[(at := bisect_left(blocks, vpn)) : at + 1]
    if mapped is not None:
        found.append(mapped)
    return min(found)


def _folded(process: str, first: int, stop: int) -> Iterator[FoldedRun]:
    """Equal pages: one row where that is worth it."""
    if stop - first >= LEAST:
        yield FoldedRun(process, first, stop)
    else:
        for vpn in range(first, stop):
            yield FoldedRun(process, vpn, vpn + 1)


def _look(drawn: PictureState, process: str, vpn: int) -> tuple[object, ...] | None:
    """All that is drawn of a page, relative to its number: pages that look the same fold. None: it does not fold."""
    page = (process, vpn)
    if page in drawn.opened:
        return None
    scene, entry = drawn.scene, drawn.state.ptes.get(page)
    subject = f"pte:{process}:{vpn}"
    leads_to = entry.pfn if entry is not None and entry.kind == "page" else None
    home = drawn.past.home.get(leads_to) if leads_to is not None else None
    zero = leads_to is not None and drawn.page(leads_to)[0].kind == "zero"
    beside = drawn.past.slots.get(page, ())
    old = drawn.before.get(page)
    lost = (old.pfn,) if old is not None and old.present and old.pfn not in beside else ()
    cached = drawn.cached.get(page)
    return (
        entry and (entry.bits, entry.kind),
        "zero" if zero else home and (home[0], home[1] - vpn),  # all pages of zeros are one frame
        old is not None,
        scene.marks.get(subject),
        scene.broken.get(subject),
        tuple((belief.holder, belief.pfn in beside) for belief in drawn.believed.get(page, ())),
        cached and tuple((cpu, one.pte.bits, one.pte.pfn in beside) for cpu, one in cached),
        tuple(looks(drawn, ((pfn, vpn) for pfn in (*beside, *lost)))),
    )


def looks(drawn: PictureState, frames: Iterable[tuple[int, int]]) -> Iterator[tuple[object, ...]]:
    """All that is drawn of each frame, relative to the number of a page beside it: (pfn, number of the page).

    Of a buffer of 2 MiB it is asked 512 times a drawing, hence the local names.
    """
    frame_of, held_of, byte_of, noted = drawn.frames.get, drawn.index.held.get, drawn.content.get, drawn.noted.get
    cached = drawn.cached_frames
    for pfn, near in frames:
        if pfn == HOLE:
            yield ()
            continue
        frame = frame_of(pfn)
        frame, mapcount = drawn.page(pfn) if frame is None or frame.order else (frame, frame.mapcount)
        held = drawn.index.holders(pfn) if pfn in cached else held_of(pfn, ())
        if isinstance(held, Crowd):
            holders: tuple[object, ...] = held.tally
        elif len(held) == 1:
            ((kind, owner, number, level),) = held
            holders = kind, owner, number if kind in OWNED else number - near, level
        else:
            holders = tuple(
                (kind, owner, number if kind in OWNED else number - near, level) for kind, owner, number, level in held
            )
        yield frame.kind, frame.mapping, frame.refcount, mapcount, frame.order, byte_of(pfn, 0), noted(pfn), holders
