"""The stage of an exhibit: the sandbox's, with a key that turns to the other machine."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from tui.screens.sandbox_stage import SandboxStage

if TYPE_CHECKING:
    from tui.drivers.exhibit import ExhibitDriver


class ExhibitStage(SandboxStage):
    """A bug as it was, and `b`: as mended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "turn", "The other machine: as it was, as mended", id="exhibit.turn"),
    ]

    def action_turn(self) -> None:
        """Go to the same place of the way on the other machine."""
        driver = cast("ExhibitDriver", self.driver)
        self.move(driver.turn)

    def _key_hints(self) -> list[tuple[str, str, str]]:
        """The usual ones, and ours first."""
        mended = cast("ExhibitDriver", self.driver).mended
        return [("b", tr("as it was") if mended else tr("as mended"), "turn"), *super()._key_hints()]
