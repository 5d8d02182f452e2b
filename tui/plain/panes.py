"""The machine as the panes of the app show it, one below the other."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from lessons.i18n.language import tr
from model.memory.state import Change, State
from tui.views.glyphs import Glyphs
from tui.views.holders import holders
from tui.views.physical import physical
from tui.views.row import Row
from tui.views.shown_state import ShownState, follow
from tui.views.spaces import spaces
from tui.views.walk import walk

LEGEND: Final = (
    ("1/1/0", "of a frame: its refcount, its mapcount, how many of its references are pins"),
    ("=01", "the byte that a page has"),
    ("rd wr ex sh", "of a mapping: readable, writable, executable, shared, as /proc/PID/smaps has it"),
    ("mr mw me ms", "the same that mprotect may still grant; ac: it counts as memory that is promised"),
    ("+ ~ -", "new, changed, gone"),
)
"""What the short forms in the listings mean."""


def machine(state: State, changes: Iterable[Change], width: int, glyphs: Glyphs) -> Iterator[tuple[str, Sequence[Row]]]:
    """The title of each pane, and its rows; the walk is that of the page that changed."""
    scene = ShownState(state, focus=follow(tuple(changes)), glyphs=glyphs)
    yield tr("Address spaces"), spaces(scene, width)
    yield tr("Page table"), walk(scene, width)
    yield tr("Memory"), physical(scene, width)
    yield tr("Holders and devices"), holders(scene, width)
