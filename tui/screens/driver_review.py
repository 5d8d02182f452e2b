"""The review of a driver: every grabber against everything that its owner may do; Enter on a cell tells its story."""

from typing import Final

from lessons.i18n.language import tr
from model.compare.cells import Cell
from model.compare.owner_acts import of_owner
from model.compare.scenes import GRABBERS, NOBODY, DriverRow, Settings, defence_name
from model.compare.table import CellQuestion, review_questions
from model.engine.config import SETTINGS
from tui.screens.comparison import Comparison
from tui.views.glyphs import Glyphs

OWN_KERNEL: Final = SETTINGS["kernel"].values[0]
"""The newest, for a driver that somebody writes now."""


class DriverReview(Comparison):
    """One driver: rows are grabbers, columns what happens."""

    heading = tr("grabber")

    def __init__(self, glyphs: Glyphs, row: DriverRow, kernel: str, defence: Settings = ()) -> None:
        super().__init__(glyphs, kernel, review_questions(row, kernel, defence))
        self.driver = row.name
        self.acts = of_owner(row, kernel, defence)

    def hints(self) -> list[tuple[str, str, str]]:
        """Keys that do something here."""
        return [("Enter", tr("tell the story"), "screen.open")]

    def action_open(self) -> None:
        """Open the trace of a cell, with the drawing of who did what when over it: Esc leads to the steps."""
        from tui.screens.time_space import TimeSpace

        question = self._question()
        answer = self.answers.get(question.text) if question is not None else None
        stage = self.open_cell()
        if stage is not None and isinstance(answer, Cell) and answer.trace:
            drawing = TimeSpace.over(stage)
            self.app.push_screen(drawing, lambda chosen: drawing.finished(stage, chosen) if chosen else None)

    def entitled(self) -> str:
        """The title in words."""
        under = "" if self.defence == defence_name(()) else tr(", defence {name}").format(name=self.defence)
        title = tr(" Review of {driver}, kernel {kernel}{under}")
        return title.format(driver=self.driver, kernel=self.kernel, under=under) + self.rest()

    def about(self, question: CellQuestion) -> str:
        """Who grabs in a cell, and what happens."""
        grabber = next(grabber for grabber in (NOBODY, *GRABBERS) if grabber.name == question.row)
        act = next(one for one in self.acts if one.name == question.column)
        return f"{grabber.name}: {grabber.meaning}. {act.name}: {act.meaning.rstrip('.')}."

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is one defence here, and no other driver."""
        if action in {"defence", "uses", "review"}:
            return False
        return super().check_action(action, parameters)
