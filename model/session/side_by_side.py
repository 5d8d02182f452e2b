"""The same script on two machines, side by side: another kernel, another defence, and where they part."""

from collections.abc import Sequence
from typing import NamedTuple

from model.memory.state import TABLES, Change, State
from model.script.execute import check_simulated
from model.script.parser import parse
from model.script.runner import Account, Runner

APART = frozenset({"settings"})
"""Tables that differ because the machines do."""


class Pair(NamedTuple):
    """One command, carried out on both machines."""

    command: str
    left: Account
    right: Account

    @property
    def differ(self) -> bool:
        """Whether a user could tell: by the answer, by what broke, or by what the kernel said."""
        return _seen(self.left) != _seen(self.right)

    @property
    def other_way(self) -> bool:
        """Whether the answers are the same, but the kernel took other micro-steps to them."""
        return [note[1:3] for note in self.left.steps] != [note[1:3] for note in self.right.steps]


def _seen(account: Account) -> tuple[object, ...]:
    outcome = account.outcome
    return str(outcome), tuple(violation.invariant for violation in account.violations)


def side_by_side(left: Sequence[str], right: Sequence[str]) -> tuple[Pair, ...]:
    """Both scripts, which differ in their `set` lines only, command by command. Raises ScriptError."""
    accounts = [_played(lines) for lines in (left, right)]
    return tuple(Pair(one.command.text, one, other) for one, other in zip(*accounts, strict=True))


def _played(lines: Sequence[str]) -> list[Account]:
    commands = parse("\n".join(lines))
    check_simulated(commands)
    runner = Runner()
    accounts = [runner.perform(command) for command in commands]
    return [account for account in accounts if account.command.verb != "set"]


def apart(one: State, other: State) -> tuple[Change, ...]:
    """What turns one machine into the other, by table and key; the settings apart. O(size of both)."""
    changes = []
    for table, old, new in zip(TABLES, one.maps, other.maps, strict=True):
        if table.derived or table.name in APART or old == new:
            continue
        changes += [
            Change(table.name, key, old.get(key), new.get(key)) for key in {*old, *new} if old.get(key) != new.get(key)
        ]
    return tuple(changes)
