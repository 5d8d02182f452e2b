"""Running commands one after the other, each with an account of it: steps, changes, events, violations.

This is what `ptescope run` prints and what tests read. It keeps no State but the last, so a long command costs
what its account costs.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.kernel.arch.boot import boot
from model.memory.changes import net_changes
from model.memory.events import Event
from model.memory.state import Change, State
from model.script.command import Command
from model.script.context import Context, Outcome
from model.script.drive import Moved, carry_out
from model.script.execute import Ended
from model.script.moment import Moment
from model.script.properties import BrokenProperty, PropertyWatch, StateProperty
from model.script.verbs import PROPERTIES


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
    properties: tuple[BrokenProperty, ...] = ()
    """The properties of the script that it newly broke, in the order in which it happened."""


class Runner:
    """Performs commands; the context and the checker go from one to the next."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context(boot())
        self.checker = Checker.full(self.context.state)
        self.watch = PropertyWatch()
        """The properties of the script, each from its line on."""

    def copy(self) -> "Runner":
        """Another runner that stands where this one stands."""
        twin = Runner.__new__(Runner)
        twin.context, twin.checker = self.context, self.checker
        twin.watch = self.watch.copy()
        return twin

    def perform(self, command: Command) -> Account:
        """Carry one command out. Raises ScriptError (as `carry_out` does); the machine is then as before."""
        steps: list[StepNote] = []
        properties: list[BrokenProperty] = []
        standing = self.watch.broken
        journal: list[Change] = []
        events: list[Event] = []
        violations: list[Violation] = []
        for moved in carry_out(self.context, self.checker, command):
            if moved.stepped is not None:
                steps.append(step_note(moved.stepped))
                events += moved.stepped.events
            journal += moved.changes
            violations += moved.violations
            if self.watch.properties:
                properties += self._judge(moved, len(steps))
        assert isinstance(moved.now, Ended)
        context, outcome = moved.now
        if context.state is self.context.state:  # nothing was done, or it was undone
            journal, events, violations, properties = [], [], [], []
            self.watch.broken = standing
        self.context, self.checker = context, moved.checker
        if command.verb in PROPERTIES:
            self.watch.add(StateProperty.of(command), Moment.after(context, moved.checker))
        changes = tuple(net_changes(journal))
        return Account(
            *(command, outcome, tuple(steps), changes, tuple(events), tuple(violations), context.state),
            tuple(properties),
        )

    def _judge(self, moved: Moved, steps: int) -> Iterator[BrokenProperty]:
        """The properties that are broken now and were not before."""
        now = moved.now.context.state if isinstance(moved.now, Ended) else moved.now.state
        moment = Moment(now, checker=moved.checker)
        made = moved.stepped
        at = f"{made.procedure}.{made.step}" if made is not None else ""
        for broken in self.watch.newly_broken(moment):
            yield BrokenProperty(broken, steps if made is not None else 0, at, broken.why_broken(moment))


@lru_cache(maxsize=4096)
def _same_note(*fields: str | int) -> StepNote:
    """One object for all repetitions of a micro-step: a loop over many pages notes the same few again and again."""
    return StepNote(*fields)  # type: ignore[arg-type]


def step_note(stepped: Stepped) -> StepNote:
    """A micro-step that was made, without the States around it."""
    return _same_note(stepped.task, stepped.procedure, stepped.step, stepped.source, stepped.doc, stepped.depth)
