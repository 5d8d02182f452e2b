"""The review of a driver: every grabber against everything that its owner may do; Enter on a cell tells its story.

What does harm stands in a list, the worst first; all cells make a table.
"""

from typing import ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from lessons.i18n.language import tr
from model.compare.cells import Cell
from model.compare.owner_acts import of_owner
from model.compare.ranking import QUIET, badness, counted
from model.compare.scenes import GRABBERS, NOBODY, DriverRow, Settings, defence_name
from model.compare.table import CellQuestion, review_questions
from model.engine.config import SETTINGS
from tui.screens.comparison import Comparison
from tui.views.glyphs import Glyphs
from tui.widgets.bar import Bar

OWN_KERNEL: Final = SETTINGS["kernel"].values[0]
"""The newest, for a driver that somebody writes now."""


class DriverReview(Comparison):
    """One driver: rows are grabbers, columns what happens."""

    DEFAULT_CSS = "DriverReview #status { max-height: 6; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "The list, worst first, or the table of all cells", id="review.view"),
    ]

    heading = tr("grabber")

    def __init__(self, glyphs: Glyphs, row: DriverRow, kernel: str, defence: Settings = ()) -> None:
        super().__init__(glyphs, kernel, review_questions(row, kernel, defence))
        self.driver = row.name
        self.acts = of_owner(row, kernel, defence)
        self.lists = True
        """What does harm is listed; else all cells are in a table."""
        self.listed: list[CellQuestion] = []
        """What the rows of the list are about."""

    def hints(self) -> list[tuple[str, str, str]]:
        """Keys that do something here."""
        other = tr("all cells") if self.lists else tr("worst first")
        return [("Enter", tr("tell the story"), "screen.open"), ("v", other, "screen.view")]

    # -- the list ----------------------------------------------------------------------------------

    def fill(self) -> None:
        """Fill the list, or the table."""
        table = self.query_one(DataTable)
        table.cursor_type = "row" if self.lists else "cell"
        if not self.lists:
            super().fill()
            return
        table.clear(columns=True)
        table.fixed_columns = 0
        table.add_columns(self.heading, tr("against"), tr("what comes of it"), tr("broken rule"))
        self._list()
        self.entitle()
        self.query_one(Bar).renew()

    def _list(self) -> None:
        """The rows of the list, in their order; the cursor stays on its row, or at the top if it was there."""
        table = self.query_one(DataTable)
        at = table.cursor_row
        stood = self.listed[at] if 0 < at < len(self.listed) else None
        harm = [(badness(cell), one) for one in self.asked if (cell := self._known(one)) and cell.outcome not in QUIET]
        self.listed = [one for _, one in sorted(harm, key=lambda ranked: ranked[0])]
        table.clear()
        for one in self.listed:
            cell = self._known(one)
            rule = cell.invariant if cell is not None else ""
            table.add_row(Text(one.row, "bold"), Text(one.column), self.cell(one), Text(rule))
        if stood is not None:
            table.move_cursor(row=self.listed.index(stood))
        self.describe()

    def _known(self, question: CellQuestion) -> Cell | None:
        answer = self.answers.get(question.text)
        return answer if isinstance(answer, Cell) else None

    def came(self, here: list[CellQuestion]) -> None:
        """Put an answer into the list, if it does harm, or into the table."""
        if not self.lists:
            super().came(here)
            return
        if any((cell := self._known(one)) and cell.outcome not in QUIET for one in here):
            self._list()
        else:
            self.describe()
        self.entitle()

    def searched(self) -> None:
        """The search is over: where nothing does harm, the table says what was looked at."""
        if self.lists and not self.listed:
            self.action_view()
        super().searched()
        self.describe()

    def question(self) -> CellQuestion | None:
        """What stands under the cursor."""
        if not self.lists:
            return super().question()
        at = self.query_one(DataTable).cursor_row
        return self.listed[at] if at < len(self.listed) else None

    def on_data_table_row_highlighted(self, message: DataTable.RowHighlighted) -> None:
        """Say what the row under the cursor means."""
        message.stop()
        self.describe()

    def on_data_table_row_selected(self, message: DataTable.RowSelected) -> None:
        """Tell the story of the row."""
        message.stop()
        self.action_open()

    def action_view(self) -> None:
        """The list, or the table."""
        self.lists = not self.lists
        self.fill()
        self.describe()

    def described(self) -> str:
        """How many cells there are of each outcome, and what the one under the cursor means."""
        count = counted(cell for one in self.asked if (cell := self._known(one)))
        if self.lists and not self.listed:
            nothing = tr("Nothing harmful so far. Esc stops the search; what is known is kept.")
            return f"{count}\n{nothing}".strip()
        return f"{count}\n{super().described()}".strip()

    # -- one cell ----------------------------------------------------------------------------------

    def action_open(self) -> None:
        """Open the trace of a cell, with the drawing of who did what when over it: Esc leads to the steps."""
        from tui.screens.time_space import TimeSpace

        question = self.question()
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
        return f"{grabber.name}: {tr(grabber.meaning)}. {act.name}: {tr(act.meaning).rstrip('.')}."

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is one defence here, and no other driver."""
        if action in {"defence", "uses", "review"}:
            return False
        return super().check_action(action, parameters)
