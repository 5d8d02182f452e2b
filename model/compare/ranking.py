"""Cells in order, the worst first, and what a whole review amounts to."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

from model.compare.cells import Cell, CellOutcome

ORDER: Final[tuple[CellOutcome, ...]] = get_args(CellOutcome)
"""From bad to good."""
FAILS: Final = frozenset({"corrupts", "splat", "stuck"})
"""What a driver must not let happen."""
QUIET: Final = frozenset({"safe", "refused"})
"""Cells that are counted, not listed."""


def badness(cell: Cell) -> tuple[int, int]:
    """For sorting cells, the worst first; of two that are as bad the one that takes fewer steps."""
    return ORDER.index(cell.outcome), cell.steps


def worst(cells: Iterable[Cell]) -> CellOutcome:
    """What is to be said of all of them: the worst outcome; `refused` if there are none."""
    return min((cell.outcome for cell in cells), key=ORDER.index, default=ORDER[-1])


def counted(cells: Iterable[Cell]) -> str:
    """How many cells there are of each outcome, the worst first.

    >>> counted([Cell("safe"), Cell("corrupts"), Cell("safe")])
    '1 corrupts, 2 safe'
    """
    count = Counter(cell.outcome for cell in cells)
    return ", ".join(f"{count[outcome]} {outcome}" for outcome in ORDER if count[outcome])
