"""What a search sets out from: the machine that a script has set up, and what may happen from there on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from model.invariants.checker import Checker
from model.script.command import Command
from model.script.context import Context
from model.script.execute import MAIN, check_simulated
from model.script.problems import ScriptError, ScriptProblem
from model.script.runner import Runner

MOST_SLOTS: Final = 8
"""How many tasks may run the same permitted command at the same time."""


class Permission(NamedTuple):
    """A `may` line."""

    command: Command
    """What may be started."""
    times: int
    """How often; 0 for `*`, no limit."""
    tasks: tuple[str, ...]
    """The names that its tasks take: the first that is free."""


class SearchProblem(NamedTuple):
    """Where a search begins."""

    context: Context
    """The machine, and the tasks that the script has begun."""
    checker: Checker
    permissions: tuple[Permission, ...]
    script: tuple[str, ...]
    """The commands that lead here from an empty machine, as written."""


def set_up(commands: Sequence[Command]) -> SearchProblem:
    """Carry out what stands before the first `may`. Raises ScriptError, also where nothing may happen.

    Commands after the first `may` are no part of the search, except for further `may` lines.
    """
    allowed = [command for command in commands if command.verb == "may"]
    setting = list(commands[: commands.index(allowed[0])] if allowed else commands)
    check_simulated([*setting, *(_inner(command) for command in allowed)])
    runner = Runner()
    for command in setting:
        runner.perform(command)
    tasks = set(runner.context.state.tasks)
    if not allowed and not tasks:
        line = commands[-1].line + 1 if commands else 1
        nothing = "nothing may happen: add a line such as `may 1 write p0 buf 5` for each command that may be started"
        raise ScriptError([ScriptProblem(line, 1, nothing)])
    script = tuple(command.text for command in setting if command.verb not in {"expect", "note"})
    return SearchProblem(runner.context, runner.checker, permissions(allowed, tasks), script)


def from_here(context: Context, checker: Checker, allowed: Sequence[Command]) -> SearchProblem:
    """A search from a machine at hand, under the permissions of `may` lines. Raises ScriptError.

    Its scripts lead on from that machine, not from an empty one.
    """
    check_simulated([_inner(command) for command in allowed])
    tasks = set(context.state.tasks)
    if not allowed and not tasks:
        raise ScriptError([ScriptProblem(1, 1, "nothing may happen: permit a command")])
    return SearchProblem(context, checker, permissions(allowed, tasks), ())


def permissions(allowed: Sequence[Command], taken: set[str]) -> tuple[Permission, ...]:
    """What `may` lines permit, with names for the tasks: the verb, numbered where that is needed.

    Of a command without a limit one task runs at a time, of others at most MOST_SLOTS.
    """
    verbs = Counter(_inner(command).verb for command in allowed)
    used = {MAIN, *taken}
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
        found.append(Permission(command, times, tuple(names)))
    return tuple(found)


def _inner(may: Command) -> Command:
    return cast("Command", may.operands["COMMAND"])
