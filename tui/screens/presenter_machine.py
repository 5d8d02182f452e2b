"""What a room sees of the machine: the picture, or the pane that the teacher turns to."""

from typing import Final

from msgspec.structs import replace

from tui.drivers.driver import Driver
from tui.screens.panes import LISTS
from tui.screens.picture_panes import PicturePanes
from tui.views.glyphs import Glyphs
from tui.views.row import Row
from tui.views.shown_state import ShownState, follow, marks
from tui.views.verdict import severities
from tui.views.view_model import Picture

PICTURE: Final = "picture"
LEDGER: Final = "ledger"

MACHINE: Final = (
    ("2", "Picture", PICTURE),
    *((pane.key, pane.title, pane.name) for pane in LISTS if pane.name != "spaces"),
    ("6", "Ledger", LEDGER),
    ("7", "Address spaces", "spaces"),
)
"""Number key, title and name of each pane of the presentation; `v` turns from one to the next."""


class PresenterMachine:
    """The rows of the pane in sight; the page that the walk shows is the one that was changed or used last."""

    def __init__(self, driver: Driver, glyphs: Glyphs) -> None:
        self.drawing = PicturePanes(driver)
        self.glyphs = glyphs
        self.shown = PICTURE
        self._followed = ""

    @property
    def title(self) -> str:
        """What the pane in sight is called."""
        return next(title for _, title, name in MACHINE if name == self.shown)

    @property
    def touched(self) -> str:
        """The box with the frame that the last move touched, as a subject."""
        return self.drawing.touched

    def turn(self, name: str = "") -> None:
        """To a pane, or to the next one."""
        names = [one for _, _, one in MACHINE]
        self.shown = name or names[(names.index(self.shown) + 1) % len(names)]

    def rows(self, picture: Picture, width: int) -> list[Row]:
        """The pane in sight, of the machine as it stands."""
        self._followed = follow(picture.changes) or self._followed
        changed, broken = marks(picture.changes), severities(picture.broken)
        scene = ShownState(picture.state, picture.changes, changed, broken, "", self.glyphs)
        self.drawing.take(scene, picture.start)
        accessed = [one for one in self.drawing.state.last.accesses if one.process and not one.reference]
        if accessed:
            self._followed = f"pte:{accessed[-1].process}:{accessed[-1].vpn}"
        if self.shown == PICTURE:
            return self.drawing.picture(width)
        if self.shown == LEDGER:
            return self.drawing.ledger(width)
        pane = next(pane for pane in LISTS if pane.name == self.shown)
        return pane.rows(replace(scene, focus=self._followed), width)
