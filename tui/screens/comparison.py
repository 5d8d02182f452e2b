"""The comparison: exporters and grabbers under one defence, and the uses it breaks; Enter on a cell opens its trace."""

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Static

from lessons.i18n.language import tr
from model.compare.cells import MOST_STATES, Cell
from model.compare.ranking import FAILS
from model.compare.scenes import DEFENCES, GRABBERS, DriverRow, Settings, defence_name, rows
from model.compare.table import CellQuestion, questions
from model.script.parser import parse
from tui.drivers.sandbox import SandboxDriver
from tui.jobs.compare import answers
from tui.jobs.compare_cache import Answer
from tui.jobs.subprocess_job import ProcessGoneError
from tui.screens.leaves_once import LeavesOnce
from tui.views.bars import keys
from tui.views.comparison_table import LEGEND, bounds, words
from tui.views.glyphs import Glyphs
from tui.views.row import Row
from tui.widgets.bar import Bar

if TYPE_CHECKING:
    from tui.screens.sandbox_stage import SandboxStage

KERNEL: Final = "6.1"
"""That of the discussion."""
SIGNS: Final = {
    "corrupts": "broken",
    "splat": "broken",
    "stuck": "broken",
    "hazard": "caution",
    "open": "caution",
    "vacuous": "caution",
    "refused": "bar",
}
"""Outcome → which glyph stands before its words; `ok` for all others."""
USE: Final = "use"


class Comparison(LeavesOnce[None]):
    """One table a defence; left and right of it the others."""

    DEFAULT_CSS = """
    Comparison #title { height: 1; background: $panel; color: $primary; text-style: bold; }
    Comparison DataTable { height: 1fr; }
    Comparison #status { height: auto; max-height: 4; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,right_square_bracket", "defence(1)", "Next defence", priority=True, id="comparison.next"),
        Binding(
            "shift+tab,left_square_bracket", "defence(-1)", "Previous defence", priority=True, id="comparison.before"
        ),
        Binding("u", "uses", "Uses that each defence breaks", id="comparison.uses"),
        Binding("r", "review", "Review this driver", id="comparison.review"),
        Binding("q,escape", "app.pop_screen", "Leave", id="comparison.leave"),
    ]

    heading = tr("exporter")
    """What the rows are."""

    class ReviewAsked(Message):
        """Somebody wants one of the drivers reviewed; the app opens the screen."""

        def __init__(self, row: DriverRow, kernel: str, defence: Settings) -> None:
            super().__init__()
            self.row = row
            self.kernel = kernel
            self.defence = defence

    def __init__(self, glyphs: Glyphs, kernel: str = KERNEL, asked: tuple[CellQuestion, ...] = ()) -> None:
        super().__init__()
        self.glyphs = glyphs
        self.kernel = kernel
        self.asked = asked or questions(kernel)
        self.answers: dict[str, Answer] = {}
        self.defences = list(dict.fromkeys(question.defence for question in self.asked))
        self.at = 0
        """Which defence is shown."""
        self.shows_uses = False
        self.missing = 0
        self.computing: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        """Title, table, what the cell under the cursor says, keys."""
        yield Static("", id="title")
        table: DataTable[Text] = DataTable(cursor_type="cell")
        yield table
        yield Static("", id="status")
        yield Bar(pane_id="keys")

    def on_mount(self) -> None:
        """Show what is known; compute the rest."""
        self.query_one(Bar).build = self._keys
        self.fill()
        self.query_one(DataTable).focus()
        self.computing = asyncio.create_task(self._compute())

    def on_unmount(self) -> None:
        """What has been computed is kept; the rest is not needed now."""
        if self.computing is not None:
            self.computing.cancel()

    def _keys(self, width: int) -> list[Row]:
        return [keys([*self.hints(), ("?", "help", "app.help"), ("q", "leave", "app.pop_screen")], width)]

    def hints(self) -> list[tuple[str, str, str]]:
        """Keys that do something here: each with a word for it and its action."""
        other = tr("table") if self.shows_uses else tr("uses")
        return [
            ("Enter", tr("trace"), "screen.open"),
            ("Tab", tr("defence"), "screen.defence(1)"),
            ("u", other, "screen.uses"),
            ("r", tr("review it"), "screen.review"),
            ("^y", tr("your own"), "app.review"),
        ]

    async def _compute(self) -> None:
        """Fill the cells as their answers come."""
        places: dict[str, list[CellQuestion]] = {}
        for question in self.asked:
            places.setdefault(question.text, []).append(question)
        self.missing = len(places)
        try:
            async with aclosing(answers(self.asked, MOST_STATES, os.cpu_count() or 1)) as coming:
                async for text, answer in coming:
                    self.answers[text] = answer
                    self.missing -= 1
                    self.came(places[text])
        except ProcessGoneError as gone:
            self.notify(tr("The search ended: {why}").format(why=gone), severity="error", markup=False)
        self.searched()

    def searched(self) -> None:
        """The search is over: there is nothing more to come."""
        self.entitle()

    def came(self, here: list[CellQuestion]) -> None:
        """Show an answer where it belongs, if that is on the screen."""
        table = self.query_one(DataTable)
        for question in here:
            if self._is_shown(question):
                column = question.defence if self.shows_uses else question.column
                table.update_cell(question.row, column, self.cell(question), update_width=True)
        self.entitle()
        self.describe()

    # -- showing -----------------------------------------------------------------------------------

    @property
    def defence(self) -> str:
        """The one that is shown."""
        return self.defences[self.at]

    def _is_shown(self, question: CellQuestion) -> bool:
        return question.use if self.shows_uses else not question.use and question.defence == self.defence

    def fill(self) -> None:
        """Fill the table anew."""
        shown = [question for question in self.asked if self._is_shown(question)]
        table = self.query_one(DataTable)
        table.clear(columns=True)
        columns = [question.defence if self.shows_uses else question.column for question in shown]
        table.add_column(tr(USE) if self.shows_uses else self.heading, key="")
        for column in dict.fromkeys(columns):
            table.add_column(column, key=column)
        rows: dict[str, list[CellQuestion]] = {}
        for question in shown:
            rows.setdefault(question.row, []).append(question)
        for name, cells in rows.items():
            table.add_row(Text(name, "bold"), *map(self.cell, cells), key=name)
        table.fixed_columns = 1
        if columns:
            table.move_cursor(column=1)
        self.entitle()
        self.query_one(Bar).renew()

    def entitle(self) -> None:
        """The title: what is compared, and how much is still being searched."""
        self.query_one("#title", Static).update(Text(self.entitled()))

    def entitled(self) -> str:
        """The title in words."""
        what = tr("uses of today") if self.shows_uses else tr("defence: {name}").format(name=self.defence)
        where = "" if self.shows_uses else f"  {self.at + 1}/{len(self.defences)}"
        title = tr(" Compare, kernel {kernel}, {what}").format(kernel=self.kernel, what=what)
        return f"{title}{where}{self.rest()}"

    def rest(self) -> str:
        """How much is still being searched."""
        if not self.missing:
            return ""
        return "  " + tr("{count} cells are still being searched").format(count=self.missing)

    def cell(self, question: CellQuestion) -> Text:
        """A cell: sign and words; nothing by colour alone."""
        answer = self.answers.get(question.text)
        if answer is None:
            return Text("...", "dim")
        outcome = answer.outcome if isinstance(answer, Cell) else "safe" if answer.works else "corrupts"
        sign = getattr(self.glyphs, SIGNS.get(outcome, "ok"))
        style = "bold" if outcome in FAILS else ""
        return Text(f"{sign} {words(answer)}", style)

    def question(self) -> CellQuestion | None:
        """What stands under the cursor."""
        table = self.query_one(DataTable)
        if not table.row_count:
            return None
        row, column = table.coordinate_to_cell_key(table.cursor_coordinate)
        wanted = (row.value, column.value)
        for question in self.asked:
            at = (question.row, question.defence if self.shows_uses else question.column)
            if self._is_shown(question) and at == wanted:
                return question
        return None

    def on_data_table_cell_highlighted(self, message: DataTable.CellHighlighted) -> None:
        """Say what the cell under the cursor means."""
        message.stop()
        self.describe()

    def describe(self) -> None:
        """Say what the cell under the cursor means."""
        self.query_one("#status", Static).update(Text(self.described()))

    def described(self) -> str:
        """What the cell under the cursor means; where there is none yet, what the figures hold for."""
        question = self.question()
        answer = self.answers.get(question.text) if question is not None else None
        if question is None or answer is None:
            return bounds(self.kernel, MOST_STATES)
        if isinstance(answer, Cell):
            meaning = next((tr(text) for term, text in LEGEND if term.startswith(answer.outcome)), "")
            return f"{self.about(question)} {answer}" + (f": {meaning}." if meaning else "")
        return f"{question.row}: {words(answer)}"

    def about(self, question: CellQuestion) -> str:
        """Who grabs in a cell, in a sentence."""
        grabber = next(grabber for grabber in GRABBERS if grabber.name == question.column)
        return f"{question.column}: {tr(grabber.meaning)}."

    # -- moving ------------------------------------------------------------------------------------

    def action_defence(self, by: int) -> None:
        """Compare with another defence."""
        self.at = (self.at + by) % len(self.defences)
        self.shows_uses = False
        self.fill()

    def action_uses(self) -> None:
        """The uses, or the table again."""
        self.shows_uses = not self.shows_uses
        self.fill()

    def on_data_table_cell_selected(self, message: DataTable.CellSelected) -> None:
        """Open the scene of the cell."""
        message.stop()
        self.action_open()

    def action_open(self) -> None:
        """Open the trace of a cell, or where there is none its scene, on a stage: at the end, to go back through."""
        self.open_cell()

    def open_cell(self) -> "SandboxStage | None":
        """Open the cell under the cursor; returns the stage, or None if there is nothing to open yet."""
        question = self.question()
        answer = self.answers.get(question.text) if question is not None else None
        if question is None or answer is None:
            self.notify(tr("This cell is not searched yet."), markup=False)
            return None
        trace = answer.trace if isinstance(answer, Cell) and answer.trace else question.text
        script = [command for command in parse(trace) if command.verb != "may"]
        from tui.screens.sandbox_stage import SandboxStage

        title = f"{question.row} / {question.column or question.defence}: {words(answer)}"
        stage = SandboxStage(SandboxDriver(script, title), self.glyphs)
        self.app.push_screen(stage)
        return stage

    def action_review(self) -> None:
        """Review the driver under the cursor."""
        question = self.question()
        row = next((row for row in rows(self.kernel) if question is not None and row.name == question.row), None)
        if row is None:
            self.notify(tr("Only a driver can be reviewed: put the cursor on one of its cells."), markup=False)
            return
        defence = next(known for known in DEFENCES if defence_name(known) == self.defence)
        self.post_message(self.ReviewAsked(row, self.kernel, defence))
