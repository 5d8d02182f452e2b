"""A session: the machine as somebody works at it, micro-step by micro-step, with its whole history.

Lessons, sandbox and plain mode drive this. A command is begun and then stepped: into a call, over it, out of it, or to
its end; other tasks may be stepped in between. Every micro-step becomes a node of the timeline, so one can go back
anywhere and do something else. Pure model: no clock, no files, no screen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from model.engine.procedure import Procedure
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.kernel.arch.boot import boot
from model.memory.state import State
from model.memory.tasks import Task
from model.script.command import Command
from model.script.context import Context, Outcome
from model.script.drive import Moved, carry_out, commence, differing, step, step_task, undo, with_violations
from model.script.execute import MAIN, Ended, Running
from model.script.parser import parse_line
from model.script.scope import Scope
from model.session.timeline import Node, Timeline
from model.text.docstrings import docstring

MOST_KEPT: Final = 10_000
"""Micro-steps that one stride keeps one by one; the rest of a longer one becomes a single node."""


class Position(msgspec.Struct, frozen=True):
    """Where a task stands: the micro-step that it will make next."""

    task: str
    process: str
    cpu: int
    procedure: str
    step: str
    source: str
    doc: str
    """What the micro-step is going to do, for the learner."""
    about: str
    """What the procedure as a whole does."""
    stack: tuple[str, ...]
    """The procedures it is in, the outermost first."""
    blocked: str
    """Not empty: what it waits for."""

    @property
    def depth(self) -> int:
        """How many callers are below."""
        return len(self.stack) - 1


class Session:
    """A machine and its history, driven by commands and steps."""

    def __init__(
        self, context: Context | None = None, checker: Checker | None = None, timeline: Timeline | None = None
    ) -> None:
        self.timeline = timeline or Timeline(context or Context(boot()), checker)

    # -- where we are --------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The present place in the history."""
        return self.timeline.here

    @property
    def state(self) -> State:
        """The machine now."""
        return self.node.state

    @property
    def running(self) -> Running | None:
        """The plain command that has begun and not ended, if any."""
        return self.node.running

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What is wrong now, explained, worst first."""
        return self.node.checker.violations

    @property
    def outcome(self) -> Outcome | None:
        """How the command ended whose last step led here; None while one is under way."""
        return self.node.outcome

    def tasks(self) -> list[Position]:
        """Every task in flight, by name, and what it does next."""
        return [position(self.state, name, task) for name, task in sorted(self.state.tasks.items())]

    def position(self, task: str = MAIN) -> Position | None:
        """What a task will do next; None if there is no such task."""
        found = self.state.tasks.get(task)
        return position(self.state, task, found) if found else None

    # -- commands ------------------------------------------------------------------------------

    def understand(self, line: str) -> Command | None:
        """A command as it is typed here and now; None for a blank line. Raises ScriptError."""
        return parse_line(line, Scope.of(self.state))

    def begin_command(self, command: Command) -> Node:
        """Begin a command and stop before its first micro-step; one that has none is done at once.

        A plain command that is still under way is carried to its end first. Raises ScriptError for what is not
        simulated; then nothing has changed.
        """
        if self.running:
            self.finish()
        return self.commence(command)

    def commence(self, command: Command) -> Node:
        """Begin a command, but give up one that is under way: nothing of that has happened, whoever else moved."""
        return self._keep(commence(self.node.context, self.node.checker, command), command)

    def begin_beside(self, command: Command) -> Node:
        """Carry out a `begin` while a plain command is under way and stays where it is. Raises ScriptError."""
        running = self.running
        if running is None:
            return self.commence(command)
        begun = commence(replace(running.before, state=self.state), self.node.checker, command)
        return self._keep(_beside(running, begun), command, begun.outcome)

    def perform(self, command: Command) -> Node:
        """Carry a command to its end, as a script does: a plain one that would have to wait is undone instead."""
        self.begin_command(command)
        node = self.finish()
        return node if node.running is None or node.running.task != MAIN else self.undo()

    def undo(self) -> Node:
        """Undo the plain command under way, which would have to wait: it answers `blocked`."""
        node, running = self.node, self.running
        assert running is not None, "nothing is under way"
        stepped, undone = undo(running)
        start_of_it = self._where(running.before.state)
        changes = self.timeline.difference(node, start_of_it)
        return self._keep(Moved(undone, start_of_it.checker, stepped, changes), running.command)

    def run(self, line: str) -> Node:
        """Understand a line and perform it. Raises ScriptError."""
        command = self.understand(line)
        return self.node if command is None else self.perform(command)

    # -- steps ---------------------------------------------------------------------------------

    def step_into(self) -> Node:
        """One micro-step of the command under way; stays here if there is none."""
        running = self.running
        if running is None:
            return self.node
        return self._arrive(step(running, self.node.checker), running.command)

    def step_over(self) -> Node:
        """Go to the next micro-step of this procedure, through whatever it calls."""
        depth = self._depth()
        return self._stride(lambda: self._depth() <= depth)

    def step_out(self) -> Node:
        """Go on until this procedure has returned to its caller."""
        depth = self._depth()
        return self._stride(lambda: self._depth() < depth)

    def finish(self) -> Node:
        """To the end of the command under way, or to where it has to wait."""
        return self._stride(lambda: False)

    def step_until(self, wanted: Callable[[Node], bool]) -> Node:
        """Go on to a place that is wanted, to the end of the command under way, or to where it has to wait."""
        return self._stride(lambda: wanted(self.node))

    def step_task(self, task: str, steps: int = 1) -> Node:
        """Some micro-steps of any task, whoever else is under way. Raises ValueError if there is no such task."""
        for _ in range(steps):
            running = self.running
            if running is not None and running.task == task:
                self.step_into()
            elif task in self.state.tasks:
                self._step_beside(task, running)
            else:
                raise ValueError(f"there is no task {task}" + (" any more" if _ else ""))
        return self.node

    def _step_beside(self, task: str, running: Running | None) -> None:
        """A micro-step of another task than the one that the command under way runs as."""
        command = step_task(task)
        context = self.node.context if running is None else replace(running.before, state=self.state)
        *_, moved = carry_out(context, self.node.checker, command)
        self._arrive(moved if running is None else _beside(running, moved), command, moved.outcome)

    def _stride(self, arrived: Callable[[], bool]) -> Node:
        """Step on until `arrived`, the end of the command, or a wait; past MOST_KEPT steps without keeping each."""
        for _ in range(MOST_KEPT):
            if self.running is None:
                return self.node
            node = self.step_into()
            if arrived() or (node.stepped and node.stepped.blocked):
                return node
        return self.leap()

    def leap(self) -> Node:
        """The rest of a very long command, as one node."""
        running = self.running
        if running is None:
            return self.node
        moved = Moved(running, self.node.checker)
        keys: dict[tuple[str, object], None] = {}
        new: list[Violation] = []
        while isinstance(moved.now, Running) and not moved.waits:
            moved = step(moved.now, moved.checker)
            new += moved.violations
            keys.update(dict.fromkeys((change.table, change.key) for change in moved.changes))
        changes = tuple(differing(self.state, moved.checker.scene.state, keys))
        return self._keep(replace(moved, changes=changes, violations=tuple(new)), running.command)

    def _depth(self) -> int:
        """How deep the task of the command under way is in calls; -1 once it has ended."""
        running = self.running
        task = self.state.tasks.get(running.task) if running else None
        return len(task.stack) - 1 if task else -1

    # -- history -------------------------------------------------------------------------------

    def back(self, stride: str = "into") -> Node:
        """Back by a micro-step, or with `command` to where the last command began."""
        if stride != "command":
            return self.timeline.back()
        return self.timeline.back(lambda node: node.running is None)

    def forward(self, stride: str = "into") -> Node:
        """Forward along the way walked last, by a micro-step or with `command` to the end of the next command."""
        if stride != "command":
            return self.timeline.forward()
        return self.timeline.forward(lambda node: node.running is None)

    def goto(self, number: int) -> Node:
        """Be at any node of the history."""
        return self.timeline.goto(number)

    # -- keeping -------------------------------------------------------------------------------

    def _arrive(self, moved: Moved, command: Command, outcome: Outcome | None = None) -> Node:
        """Keep the place that a micro-step has led to; one that had to wait and waits again leads nowhere."""
        last, stepped = self.node.stepped, moved.stepped
        assert stepped is not None
        again = last is not None and (last.task, last.blocked) == (stepped.task, stepped.blocked)
        if stepped.blocked and again and stepped.state == self.state:
            return self.node
        return self._keep(moved, command, outcome)

    def _keep(self, moved: Moved, command: Command, outcome: Outcome | None = None) -> Node:
        """Grow the timeline by a node; at the end of a command it remembers what the command broke, for `expect`."""
        if isinstance(moved.now, Ended) and moved.stepped is not None and self.running is not None:
            undone = moved.now.context.state is self.running.before.state
            broken = () if undone else (*self._broken_so_far(), *moved.violations)
            context = with_violations(moved.now.context, command, broken)
            moved = replace(moved, now=moved.now._replace(context=context))
        return self.timeline.grow(Node.of(moved, command.text, self.node.context, outcome))

    def _broken_so_far(self) -> tuple[Violation, ...]:
        """What the command under way has broken until here."""
        broken: tuple[Violation, ...] = ()
        node = self.node
        while node.running is not None and node.parent >= 0:
            broken = (*node.new, *broken)
            node = self.timeline.nodes[node.parent]
        return broken

    def _where(self, state: State) -> Node:
        """The last place on the way here where the machine was in `state`."""
        node = self.node
        while node.state is not state:
            node = self.timeline.nodes[node.parent]
        return node


def _beside(running: Running, moved: Moved) -> Moved:
    """The command under way, after another one has moved: the machine is another, and tasks may have come or gone."""
    assert isinstance(moved.now, Ended), "only `begin`, and single steps of other tasks, may come beside a command"
    before = replace(running.before, begun=moved.now.context.begun)
    return replace(moved, now=replace(running, state=moved.now.context.state, before=before))


def position(state: State, name: str, task: Task) -> Position:
    """Where a task stands, in words."""
    running = cast("Procedure", task.stack[-1])
    micro = running.next_step
    return Position(
        task=name,
        process=task.process,
        cpu=task.cpu,
        procedure=running.function,
        step=micro.name,
        source=micro.source,
        doc=micro.explanation(state) if micro.was else micro.doc,
        about=" ".join(docstring(type(running)).split()),
        stack=tuple(call.function for call in task.stack),
        blocked=task.blocked,
    )
