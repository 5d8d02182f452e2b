"""The whole comparison, and the review of one driver: which scenes belong to which cell."""

from collections.abc import Collection
from typing import Final, NamedTuple

from model.compare.owner_acts import CellScene, of_owner, scene
from model.compare.scenes import DEFENCES, GRABBERS, NOBODY, DriverRow, Settings, defence_name, rows
from model.compare.uses import use_scene, uses

HEAVY: Final = frozenset({"follow", "mirror"})
"""Grabbers that take many steps, and so many states."""


class CellQuestion(NamedTuple):
    """One cell: its place, and the scene whose text decides what stands in it."""

    row: str
    """The exporter, or the use; in a review the grabber."""
    column: str
    """The grabber; empty for a use. In a review what happens meanwhile."""
    defence: str
    scene: CellScene
    use: bool = False
    """Whether the text is a use with expectations instead of a scene to search."""
    heavy: bool = False
    """It takes longer than others."""
    group: str = ""
    """Scenes of one group are judged together: what a search of one has shown spares that of another."""

    @property
    def text(self) -> str:
        """The script."""
        return self.scene.text


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
            heavy=row.is_huge(kernel) or grabber.name in HEAVY,
            group=f"{row.name} {grabber.name}",
        )
        for defence in chosen
        for row in drivers
        for grabber in GRABBERS
        if not grabbers or grabber.name in grabbers
    ]
    if exporters or grabbers:
        return tuple(cells)
    tried = [
        CellQuestion(
            use.name, "", defence_name(defence), CellScene(use_scene(use, defence, kernel)), use=True, group=use.name
        )
        for use in uses(tuple(drivers), kernel)
        for defence in chosen
    ]
    return *cells, *tried


def review_questions(
    row: DriverRow, kernel: str, defence: Settings = (), grabbers: Collection[str] = ()
) -> tuple[CellQuestion, ...]:
    """One driver: every grabber, and nobody, or those named, against its operations and what its process may do.

    Raises ScriptError.
    """
    return tuple(
        CellQuestion(
            grabber.name,
            act.name,
            defence_name(defence),
            scene(row, grabber, defence, kernel, act),
            heavy=row.is_huge(kernel) or grabber.name in HEAVY,
            group=f"{act.name} {grabber.name if grabber.name in HEAVY else ''}",
        )
        for act in of_owner(row, kernel, defence)
        for grabber in (NOBODY, *GRABBERS)
        if not grabbers or grabber.name in grabbers
    )
