"""What a search sets out from: the machine that a script has set up, and what may happen from there on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, NamedTuple, cast

from model.invariants.checker import Checker
from model.memory.state import State
from model.script.command import Command
from model.script.conditions import CONDITIONS
from model.script.context import Context
from model.script.execute import ITS_OWN, MAIN, check_simulated
from model.script.properties import StateProperty
from model.script.runner import Account, Runner
from model.script.verbs import PROPERTIES, verb_of
from model.search.open_set_up import OpenAllocation, open_allocations
from model.search.whose import Whose
from model.text.problems import ScriptError, ScriptProblem

AFTER_MAY: Final = PROPERTIES | {"may", "note"}
"""What may stand behind the first `may` line."""
TASK_VERBS: Final = frozenset({"begin", "step", "finish"})
"""A task may wait where it is: that is a place to set out from."""
MOST_SLOTS: Final = 8
"""How many tasks may run the same permitted command at the same time."""


class Permission(NamedTuple):
    """A `may` line: a command that may happen, and how often."""

    command: Command
    """What may be started."""
    times: int
    """How often; 0 for `*`, no limit."""
    tasks: tuple[str, ...]
    """The names that its tasks take: the first that is free."""
    cpu: int = ITS_OWN
    """Where a thread runs it, as the script says."""
    thread: int = 0
    """Where the script does not say it: so many CPUs behind that of the process."""
    cpus: int = 1
    """How many CPUs the machine has."""

    def cpu_in(self, state: State) -> int:
        """The CPU on which it starts in a state; ITS_OWN where that is the CPU of the process, or none."""
        if self.cpu != ITS_OWN or not self.thread:
            return self.cpu
        process = state.processes.get(str(self.command.get("P", "")))
        return ITS_OWN if process is None else (process.cpu + self.thread) % self.cpus


class SearchProblem(NamedTuple):
    """Where a search begins."""

    context: Context
    """The machine, and the tasks that the script has begun."""
    checker: Checker
    permissions: tuple[Permission, ...]
    script: tuple[str, ...]
    """The commands that lead here from an empty machine, as written."""
    properties: tuple[StateProperty, ...] = ()
    """What the script says must hold, each text once."""
    whose: Whose | None = None
    """Whose doing counts; None: everybody's."""
    decided: tuple[OpenAllocation, ...] = ()
    """Allocations of the set-up that could have got other pages: what is found holds for those that it got."""

    def property_named(self, name: str) -> StateProperty | None:
        """The property with this text; None: it is a rule of the checker that has this name."""
        return next((one for one in self.properties if one.text == name), None)


def set_up(commands: Sequence[Command], *, refusals: bool = False) -> SearchProblem:
    """Carry out what stands before the first `may`.

    Raises ScriptError where a line of it fails or an `expect` does not hold, where a command stands behind the first
    `may`, and where nothing may happen: a verdict on another scene than the one that was meant is worth nothing. With
    `refusals` a line may fail: the comparison asks just whether a driver refuses a mapping.
    """
    allowed = [command for command in commands if command.verb == "may"]
    first = commands.index(allowed[0]) if allowed else len(commands)
    setting = [command for command in commands[:first] if command.verb != "final"]
    _refuse_commands_behind(allowed[0] if allowed else None, commands[first:])
    stated = [command for command in commands if command.verb in PROPERTIES]
    stated += [command for command in commands[first:] if command.verb == "expect"]
    properties = {command.text: StateProperty.of(command) for command in stated}
    _refuse_waiting(stated)
    check_simulated([*setting, *(_inner(command) for command in allowed)])
    runner = Runner()
    decided: list[OpenAllocation] = []
    for command, following in zip_longest(setting, setting[1:]):
        decided += open_allocations(runner.context, runner.checker, command)
        account = runner.perform(command)
        if not refusals:
            _must_succeed(account, following)
    tasks = set(runner.context.state.tasks)
    if not allowed and not tasks:
        line = commands[-1].line + 1 if commands else 1
        nothing = "nothing may happen: add a line such as `may 1 write p0 buf 5` for each command that may be started"
        raise ScriptError([ScriptProblem(line, 1, nothing)])
    script = tuple(command.text for command in setting if command.verb not in PROPERTIES | {"expect", "note"})
    permitted = permissions(allowed, runner.context.state)
    return SearchProblem(
        runner.context, runner.checker, permitted, script, tuple(properties.values()), decided=tuple(decided)
    )


def _refuse_commands_behind(may: Command | None, commands: Sequence[Command]) -> None:
    """Behind the first `may` stand what else may happen, properties and notes. Raises ScriptError."""
    if may is None:
        return
    problems = [
        ScriptProblem(command.line, command.column, f"`{command.text}` {wrong}")
        for command in commands
        if (wrong := _wrong_behind(may, command))
    ]
    if problems:
        raise ScriptError(problems)


def _wrong_behind(may: Command, command: Command) -> str:
    """Why a command cannot stand behind the first `may`; empty: it can."""
    behind = f"stands behind the first `may` (line {may.line}), where the search begins"
    if command.verb != "expect":
        permit = f"put it before that, or permit it: `may 1 {command.text}`"
        return "" if command.verb in AFTER_MAY else f"{behind}; {permit}"
    if all(CONDITIONS[phrase.form].about == "machine" for phrase in command.phrases):
        return ""
    return f"{behind}: there is no last command then; expect something of the machine, as `final` does"


def _refuse_waiting(stated: Sequence[Command]) -> None:
    """A task that cannot go on is left where it is by the search, unmarked. Raises ScriptError."""
    why = "no property of a search asks `waits`; a task that waits for ever is a verdict of its own"
    problems = [
        ScriptProblem(command.line, command.column, f"`{command.text}`: {why}")
        for command in stated
        if any(phrase.form == "waits" for phrase in command.phrases)
    ]
    if problems:
        raise ScriptError(problems)


def _must_succeed(account: Account, following: Command | None) -> None:
    """A line of the set-up has done what it says, or the line below it expects that it does not. Raises ScriptError."""
    command, outcome = account.command, account.outcome
    if outcome.status == "failed":
        what = f"`{command.text}` does not hold before anything may happen: {outcome.message}"
        raise ScriptError([ScriptProblem(command.line, command.column, what)])
    if account.properties:
        what = f"before anything may happen `{command.text}` breaks a property: {account.properties[0].message}"
        raise ScriptError([ScriptProblem(command.line, command.column, what)])
    said = {"error": outcome.errno, "signal": outcome.signal, "blocked": f"waits: {outcome.on}"}.get(outcome.status)
    if said is None or (outcome.status == "blocked" and command.verb in TASK_VERBS):
        return
    if following is not None and following.verb == "expect":
        return  # it is meant, or the expectation says what is wrong
    why = f" ({outcome.message})" if outcome.message else ""
    what = f"`{command.text}` fails: {said}{why}; the search would begin somewhere else"
    hint = f"; `expect {outcome.status}` below it says that this is meant" if outcome.status != "blocked" else ""
    raise ScriptError([ScriptProblem(command.line, command.column, what + hint)])


def from_here(
    context: Context, checker: Checker, allowed: Sequence[Command], stated: Sequence[Command] = ()
) -> SearchProblem:
    """A search from a machine at hand, under the permissions of `may` lines. Raises ScriptError.

    Its scripts lead on from that machine, not from an empty one. `stated`: lines that say what must hold.
    """
    properties = {command.text: StateProperty.of(command) for command in stated}
    _refuse_waiting(stated)
    check_simulated([_inner(command) for command in allowed])
    tasks = set(context.state.tasks)
    if not allowed and not tasks:
        raise ScriptError([ScriptProblem(1, 1, "nothing may happen: permit a command")])
    return SearchProblem(context, checker, permissions(allowed, context.state), (), tuple(properties.values()))


def permissions(allowed: Sequence[Command], state: State) -> tuple[Permission, ...]:
    """What `may` lines permit, with names for the tasks: the verb, numbered where that is needed.

    Of a command without a limit one task runs at a time, of others at most MOST_SLOTS. The commands of one process are
    spread over the CPUs, each verb on the next one, as the threads of a program are.
    """
    verbs = Counter(_inner(command).verb for command in allowed)
    used = {MAIN, *state.tasks}
    threads: dict[str, list[str]] = {}
    cpus = len(state.cpus)
    found: list[Permission] = []
    for may in allowed:
        command = _inner(may)
        times = max(cast("int", may.operands["N"]), 0)
        slots = min(times, MOST_SLOTS) or 1
        several = slots > 1 or verbs[command.verb] > 1 or command.verb in used
        names: list[str] = []
        number = 0
        while len(names) < slots:
            number += several
            name = f"{command.verb}-{number}" if several else command.verb
            if name not in used:
                names.append(name)
                used.add(name)
        cpu = cast("int", may.options.get("cpu", ITS_OWN))
        process = str(command.get("P", "")) if verb_of(command.verb).cpu_of == "P" else ""
        thread = 0
        if process and cpu == ITS_OWN:
            verbs_of = threads.setdefault(process, [])
            if command.verb not in verbs_of:
                verbs_of.append(command.verb)
            thread = verbs_of.index(command.verb) % cpus
        found.append(Permission(command, times, tuple(names), cpu, thread, cpus))
    return tuple(found)


def _inner(may: Command) -> Command:
    return cast("Command", may.operands["COMMAND"])
