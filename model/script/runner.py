"""Running commands one after the other, each with an account of it: steps, changes, events, violations.

This is what `ptescope run` prints and what tests read. It keeps no State but the last, so a long command costs
what its account costs.
"""

from functools import lru_cache
from typing import NamedTuple

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.kernel.arch.boot import boot
from model.memory.records import Event
from model.memory.state import Change, State
from model.script.command import Command
from model.script.context import Context, Outcome
from model.script.execute import Running, proceed, start
from model.script.json_state import net_changes
from model.script.verbs import VERBS


class StepNote(NamedTuple):
    """A micro-step that was made."""

    task: str
    procedure: str
    step: str
    source: str
    doc: str
    depth: int
    """How many callers are below it on the task's stack."""


class Account(NamedTuple):
    """What one command did."""

    command: Command
    outcome: Outcome
    steps: tuple[StepNote, ...]
    changes: tuple[Change, ...]
    """Net: a record that is as it was before does not appear."""
    events: tuple[Event, ...]
    violations: tuple[Violation, ...]
    """What it newly broke, in the order in which it happened."""
    state: State
    """The machine after it."""


class Runner:
    """Performs commands; the context and the checker go from one to the next."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context(boot())
        self.checker = Checker.full(self.context.state)

    def copy(self) -> "Runner":
        """Another runner that stands where this one stands."""
        twin = Runner.__new__(Runner)
        twin.context, twin.checker = self.context, self.checker
        return twin

    def perform(self, command: Command) -> Account:
        """Carry one command out. Raises ScriptError (as `start` and `proceed` do); the machine is then as before."""
        steps: list[StepNote] = []
        journal: list[Change] = []
        events: list[Event] = []
        violations: list[Violation] = []
        before, checker = self.context, self.checker
        now = start(before, command)
        while isinstance(now, Running):
            checker = checker.follow(now.state, ())
            stepped, after = proceed(now)
            checker, found = checker.advance(now.state, stepped)
            steps.append(_note(stepped))
            journal += stepped.changes
            events += stepped.events
            violations += found
            now = after
        context, outcome = now
        if context.state is before.state:
            journal, events, violations = [], [], []
            checker = self.checker
        elif not steps:
            journal = _differences(before.state, context.state)
            checker = Checker.full(context.state) if command.verb == "set" else checker.follow(context.state, ())
        if VERBS[command.verb].role != "word":
            context = context._replace(violations=tuple(violations))
        self.context, self.checker = context, checker
        changes = tuple(net_changes(journal))
        return Account(command, outcome, tuple(steps), changes, tuple(events), tuple(violations), context.state)


@lru_cache(maxsize=4096)
def _same_note(*fields: str | int) -> StepNote:
    """One object for all repetitions of a micro-step: a loop over many pages notes the same few again and again."""
    return StepNote(*fields)  # type: ignore[arg-type]


def _note(stepped: Stepped) -> StepNote:
    return _same_note(stepped.task, stepped.procedure, stepped.step, stepped.source, stepped.doc, stepped.depth)


def _differences(before: State, after: State) -> list[Change]:
    """What a command changed that runs no kernel code: `set` and `device`."""
    return [
        Change(table, key, old.get(key), new.get(key))
        for table in ("settings", "cpus", "devices")
        for old, new in [(getattr(before, table), getattr(after, table))]
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
