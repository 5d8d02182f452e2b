"""The panes of the stage. One that lists something of the machine is a line in `LISTS`, and a file that draws it."""

from collections.abc import Callable
from typing import Final

import msgspec

from model.memory.state import TABLES
from tui.views.row import Row
from tui.views.shown_state import ShownState


def _spaces(scene: ShownState, width: int) -> list[Row]:
    """Loaded when the pane is first in sight: while the machine is drawn it is not."""
    from tui.views.spaces import spaces

    return spaces(scene, width)


def _walk(scene: ShownState, width: int) -> list[Row]:
    """Loaded when the pane is first in sight, too."""
    from tui.views.walk import walk

    return walk(scene, width)


def _physical(scene: ShownState, width: int) -> list[Row]:
    """Loaded when the pane is first in sight, too."""
    from tui.views.physical import physical

    return physical(scene, width)


def _holders(scene: ShownState, width: int) -> list[Row]:
    """Loaded when the pane is first in sight, too."""
    from tui.views.holders import holders

    return holders(scene, width)


class ListPane(msgspec.Struct, frozen=True):
    """A pane that shows nothing but the machine, as a list."""

    key: str
    title: str
    name: str
    rows: Callable[[ShownState, int], list[Row]]
    """What makes its rows, given the machine and a width in columns."""
    tables: tuple[str, ...]
    """The tables of the State that they are made from: the pane is made anew when one of these has changed."""
    height: int
    """Its share of the screen's height, beside the others'."""


LISTS: Final = (
    ListPane(
        "2", "Address spaces", "spaces", _spaces, ("processes", "vmas", "ptes", "labels", "frames", "content"), 11
    ),
    ListPane(
        "3",
        "Walk",
        "walk",
        _walk,
        ("processes", "vmas", "ptes", "labels", "frames", "content", "tables", "tlbs", "cpus"),
        7,
    ),
    ListPane(
        "4",
        "Memory",
        "memory",
        _physical,
        ("frames", "content", "free", "counters", "processes", "tables", "ptes", "references"),
        8,
    ),
    ListPane("5", "Holders", "holders", _holders, tuple(table.name for table in TABLES if not table.derived), 8),
)
"""In the order in which they stand on the screen."""

PANES: Final = (
    ("1", "Story", "story"),
    *((pane.key, pane.title, pane.name) for pane in LISTS),
    ("6", "Log", "log"),
    ("7", "Rules", "rules"),
)
"""Number key, title and id of each pane while the machine is listed."""

PICTURED: Final = (
    ("1", "Story", "story"),
    ("2", "Picture", "picture"),
    ("4", "Ledger", "ledger"),
    ("6", "Log", "log"),
    ("7", "Rules", "rules"),
)
"""The same while the machine is drawn; a key that is missing here turns to the lists."""


class Heights(msgspec.Struct, frozen=True):
    """How the height of the screen is divided among the rows of panes."""

    rows: str
    """As the style sheet writes them; the last row's number is left open."""
    least: int
    """Lines of the last row, with the rules and the log, at least."""


def heights(*, wide: bool, pictured: bool) -> Heights:
    """The rows of panes beside and below the story."""
    if pictured:
        return Heights("1fr 14 {}", 9) if wide else Heights("1fr 8 {}", 7)
    if not wide:
        return Heights(" ".join(f"{pane.height}fr" for pane in LISTS) + " {}", 7)
    pairs = zip(LISTS[::2], (*LISTS[1::2], LISTS[-1]), strict=False)  # two lists stand side by side
    return Heights(" ".join(f"{left.height + right.height}fr" for left, right in pairs) + " {}", 10)
