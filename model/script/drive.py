"""Driving the machine: commands are begun, each micro-step is made and checked, and nothing else moves a task on.

    for moved in carry_out(context, checker, command):
        …

`ptescope run`, sessions, lessons and the search's replay of what it found all go through here: they differ in what
they keep. Everything is a value, so a command half carried out can be kept, gone back to and continued in two ways.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.memory.state import TABLES, Change, State
from model.script.command import Command
from model.script.context import Context, Outcome
from model.script.execute import ITS_OWN, MAIN, Ended, Running, proceed, start
from model.script.verbs import verb_of


class Moved(msgspec.Struct, frozen=True):
    """What beginning a command, or one micro-step of it, has led to."""

    now: Running | Ended
    checker: Checker
    """Of the machine after it."""
    stepped: Stepped | None = None
    """None where a command was begun."""
    changes: tuple[Change, ...] = ()
    """What differs from the machine before it, tasks apart."""
    violations: tuple[Violation, ...] = ()
    """What it newly broke."""

    @property
    def outcome(self) -> Outcome | None:
        """How the command ended; None while it is under way."""
        return self.now.outcome if isinstance(self.now, Ended) else None

    @property
    def waits(self) -> bool:
        """A plain command stands before a micro-step that it cannot make: some task has to go on first."""
        return isinstance(self.now, Running) and self.stepped is not None and bool(self.stepped.blocked)


def commence(context: Context, checker: Checker, command: Command) -> Moved:
    """Begin a command and stop before its first micro-step; one that has none is done at once.

    `checker` is that of the machine as it stands. A `context` with another State gives up what was under way there.
    Raises ScriptError for what is not simulated.
    """
    now = start(context, command)
    after = now.state if isinstance(now, Running) else now.context.state
    changes = tuple(_unlike(checker.scene.state, after))
    return Moved(now, checker.follow(after, changes), None, changes)


def step(running: Running, checker: Checker) -> Moved:
    """Make one micro-step; a plain command that has to wait for another task stays where it is.

    Raises ScriptError if the command needs more micro-steps than any may take.
    """
    stepped, now = proceed(running)
    if stepped.blocked and running.task == MAIN:
        now = replace(running, state=stepped.state)
    checker, violations = checker.advance(running.state, stepped)
    return Moved(now, checker, stepped, stepped.changes, violations)


def undo(running: Running) -> tuple[Stepped, Ended]:
    """Give up a plain command that has to wait: it answers `blocked`, and nothing of it was done."""
    stepped, undone = proceed(running)
    assert isinstance(undone, Ended), "it could go on"
    return stepped, undone


def carry_out(context: Context, checker: Checker, command: Command) -> Iterator[Moved]:
    """Begin a command and make its micro-steps, one after the other, to its end.

    Where a plain command would have to wait, the last move undoes it instead. Raises ScriptError as `commence` and
    `step` do.
    """
    journal: list[tuple[Change, ...]] = []
    violations: list[Violation] = []
    moved = commence(context, checker, command)
    while isinstance(moved.now, Running):
        yield moved
        running = moved.now
        moved = step(running, moved.checker)
        if moved.waits:
            stepped, undone = undo(running)
            touched = dict.fromkeys((change.table, change.key) for changes in journal for change in changes)
            changes = tuple(differing(running.state, context.state, touched))
            yield Moved(undone, checker.follow(context.state, ()), stepped, changes)
            return
        journal.append(moved.changes)
        violations += moved.violations
    yield replace(moved, now=_with_violations(moved.now, command, violations))


def look_ahead(now: Running | Ended) -> Iterator[Stepped]:
    """The micro-steps that are left of a command if nobody else moves; they are neither checked nor kept.

    Raises ScriptError as `step` does.
    """
    while isinstance(now, Running):
        stepped, now = proceed(now)
        yield stepped


def _with_violations(ended: Ended, command: Command, violations: Iterable[Violation]) -> Ended:
    return ended._replace(context=with_violations(ended.context, command, violations))


def with_violations(context: Context, command: Command, violations: Iterable[Violation]) -> Context:
    """The context after a command that broke these: `expect` can ask about it."""
    return context if verb_of(command.verb).role == "word" else replace(context, violations=tuple(violations))


def begin_task(task: str, command: Command, cpu: int = ITS_OWN) -> Command:
    """The command that puts a task on the machine, which is to run `command`, by a thread on `cpu` if that is given."""
    if cpu == ITS_OWN:
        return Command("begin", {"T": task, "COMMAND": command}, {}, f"begin {task} {command.text}")
    return Command("begin", {"T": task, "COMMAND": command}, {"cpu": cpu}, f"begin {task} cpu={cpu} {command.text}")


def step_task(task: str, pages: tuple[int, ...] = ()) -> Command:
    """The command that makes one micro-step of a task, whose allocations get `pages` where that is open."""
    if not pages:
        return Command("step", {"T": task}, {}, f"step {task}")
    taking = ",".join(map(str, pages))
    return Command("step", {"T": task}, {"taking": pages}, f"step {task} taking={taking}")


# -- what differs ------------------------------------------------------------------------------

NUMBERS: Final = {table.name: number for number, table in enumerate(TABLES)}


def differing(one: State, other: State, keys: Iterable[tuple[str, Any]]) -> Iterator[Change]:
    """The entries among `keys`, each a table's name and a key of it, that the States do not share."""
    for table, key in keys:
        old, new = one.maps[NUMBERS[table]].get(key), other.maps[NUMBERS[table]].get(key)
        if old != new:
            yield Change(table, key, old, new)


def _unlike(one: State, other: State) -> Iterator[Change]:
    """What differs between two States, tasks apart; O(size) of the tables that do, so for commands without steps."""
    for table, old, new in zip(TABLES, one.maps, other.maps, strict=True):
        if old is new or table.derived or table.name == "tasks":
            continue
        for key in sorted({*old, *new}, key=_in_order):
            if old.get(key) != new.get(key):
                yield Change(table.name, key, old.get(key), new.get(key))


def _in_order(key: object) -> tuple[int, str]:
    """Keys of one table by number, or by name; those of tables that have both, too."""
    return (key, "") if isinstance(key, int) else (-1, str(key))
