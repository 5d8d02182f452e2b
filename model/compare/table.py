"""The whole comparison: which scenes belong to which cell."""

from collections.abc import Collection
from typing import NamedTuple

from model.compare.scenes import DEFENCES, GRABBERS, DriverRow, defence_name, is_huge, rows, scene
from model.compare.uses import use_scene, uses


class CellQuestion(NamedTuple):
    """One cell: its place, and the scene whose text decides what stands in it."""

    row: str
    """The exporter, or the use."""
    column: str
    """The grabber; empty for a use."""
    defence: str
    text: str
    use: bool = False
    """Whether the text is a use with expectations instead of a scene to search."""
    heavy: bool = False
    """It takes longer than others."""


def questions(
    kernel: str,
    exporters: Collection[str] = (),
    grabbers: Collection[str] = (),
    defences: Collection[str] = (),
) -> tuple[CellQuestion, ...]:
    """Every cell, defence by defence, or those of the named ones; nothing named means all.

    The uses are asked for where no exporter and no grabber is named.
    """
    drivers = [row for row in rows(kernel) if not exporters or not set(exporters).isdisjoint(row.kinds)]
    chosen = [defence for defence in DEFENCES if not defences or defence_name(defence) in defences]
    cells = [
        CellQuestion(
            row.name,
            grabber.name,
            defence_name(defence),
            scene(row, grabber, defence, kernel),
            heavy=_huge(row) or grabber.name == "follow",
        )
        for defence in chosen
        for row in drivers
        for grabber in GRABBERS
        if not grabbers or grabber.name in grabbers
    ]
    if exporters or grabbers:
        return tuple(cells)
    tried = [
        CellQuestion(use.name, "", defence_name(defence), use_scene(use, defence, kernel), use=True)
        for use in uses(tuple(drivers))
        for defence in chosen
    ]
    return *cells, *tried


def _huge(row: DriverRow) -> bool:
    """Whether a scene has buffers of 512 pages."""
    return is_huge(row.kinds[0])
