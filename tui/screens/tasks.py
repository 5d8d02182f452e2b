"""The scheduler's seat: every task in flight, what it does next or what it waits for; a key lets one of them move."""

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from lessons.i18n.language import tr
from model.session.session import Position
from tui.drivers.sandbox import SandboxDriver
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import EXPORT
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut, row
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

MOST: Final = 9
TO_ITS_END: Final = 2000
"""Micro-steps that `f` lets a task make at most."""


class Tasks(ModalScreen[None], LeavesOnce[None]):
    """Lies over the lower part of the stage, which goes on showing the machine."""

    DEFAULT_CSS = """
    Tasks { align: left bottom; background: $background 0%; }
    Tasks #box { height: 11; width: 100%; background: $panel; }
    Tasks #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        EXPORT,
        Binding("q,escape,r", "dismiss(None)", "Close", id="tasks.close"),
        Binding("enter,n,right", "step(1)", "One micro-step of the task", id="tasks.step"),
        Binding("f,c", f"step({TO_ITS_END})", "To its end, or until it waits", id="tasks.finish"),
        Binding("p,left", "back", "Back", id="tasks.back"),
        *(Binding(str(digit), f"task({digit})", show=False) for digit in range(1, MOST + 1)),
    ]

    def __init__(self, sandbox: SandboxDriver, glyphs: Glyphs, move: Callable[[Callable[[], str]], None]) -> None:
        """`move` makes a move on the stage below, and shows what comes of it there."""
        super().__init__()
        self.sandbox, self.glyphs, self.move = sandbox, glyphs, move

    def compose(self) -> ComposeResult:
        """The tasks, and below them the keys."""
        self.pane = LinePane(tr("Tasks: who makes the next micro-step?"), "tasks", "", self.glyphs)
        self.pane.build = self._rows
        self.bar = Bar(pane_id="keys")
        self.bar.build = self._keys
        with Container(id="box"):
            yield self.pane
            yield self.bar

    def on_mount(self) -> None:
        """The cursor begins at the first task that can move."""
        self.pane.focus()
        tasks = self.tasks
        first = next((task for task in tasks if not task.blocked), tasks[0] if tasks else None)
        if first is not None:
            self.pane.point_at(f"task:{first.task}")

    @property
    def tasks(self) -> list[Position]:
        """Every task in flight."""
        return self.sandbox.session.tasks()

    def _rows(self, width: int) -> list[Row]:
        """A few rows a task: where it is; what comes next, or what it waits for and where the holder is."""
        if not self.tasks:
            return [
                row(Span(tr("No task is in flight."), "dim")),
                row(Span(tr("`begin T COMMAND` starts one that stops before its first micro-step."), "dim")),
            ]
        rows = []
        for number, task in enumerate(self.tasks, 1):
            subject = f"task:{task.task}"
            where = f"cpu{task.cpu}" if task.cpu >= 0 else tr("on a device")
            calls = f" {self.glyphs.pointer} ".join(task.stack)
            head = f"{number if number <= MOST else ' '} "
            text = f"{task.process} {where}  {calls}".strip()
            lead = f"{task.task:8} "
            rows.append(
                row(
                    Span(head, "key", subject),
                    Span(lead, "name", subject),
                    Span(cut(text, width - len(head) - len(lead)), "plain", subject),
                )
            )
            rows += self._next(task, subject, width)
        return rows

    def _next(self, task: Position, subject: str, width: int) -> list[Row]:
        """What a task does next; or what it waits for, and where whoever is in its way stands."""
        if not task.blocked:
            return [row(Span(cut(f"     {tr('next')}: {task.procedure}.{task.step}", width), "now", subject))]
        rows = [row(Span(cut(f"     {tr('waits')}: {task.blocked}", width), "hazard", subject))]
        for other in self.tasks:
            if other.task != task.task and _named(other.task, task.blocked):
                text = f"       {other.task} {tr('is at')} {other.procedure}.{other.step}"
                rows.append(row(Span(cut(text, width), "dim", subject)))
        return rows

    def _keys(self, width: int) -> list[Row]:
        hints = [
            ("1-9 Enter", tr("one micro-step of that task"), "step(1)"),
            ("f", tr("to its end"), f"step({TO_ITS_END})"),
            ("p", tr("back"), "back"),
            ("q", tr("close"), "dismiss(None)"),
        ]
        return [keys(hints, width)]

    def _chosen(self) -> str:
        return self.pane.cursor.subject.partition(":")[2] if self.pane.cursor is not None else ""

    def action_task(self, number: int) -> None:
        """One micro-step of the task with that number."""
        tasks = self.tasks
        if number <= len(tasks):
            self.pane.point_at(f"task:{tasks[number - 1].task}")
            self.action_step(1)

    def action_step(self, steps: int) -> None:
        """Let the task under the cursor move."""
        task = self._chosen()
        if task:
            self.move(lambda: self.sandbox.step_task(task, steps))
            self.pane.renew()

    def action_back(self) -> None:
        """Undo the last move."""
        self.move(self.sandbox.back)
        self.pane.renew()

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click on a task lets it move; on the key line it does what the key does."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif message.clicked:
            self.action_step(1)


def _named(task: str, text: str) -> bool:
    """Whether a text about waiting names a task."""
    return task in text.replace(",", " ").split()
