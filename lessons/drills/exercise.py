"""What an exercise is made of, and a machine to make one on."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from model.engine.procedure import Stepped
from model.script.ask import amount, is_so
from model.script.drive import look_ahead
from model.script.execute import start
from model.script.moment import Moment
from model.script.parser import parse_line
from model.script.runner import Account, Runner
from model.script.scope import Scope


class AnswerOption(NamedTuple):
    """One answer to choose."""

    text: str
    reply: str
    """To the belief behind it, if it is wrong; what there is to say, if it is right."""


class Exercise(NamedTuple):
    """A scene and a question about it."""

    kind: str
    seed: int
    """Together with the kind it gives this very exercise again, on every machine."""
    scene: tuple[str, ...]
    """Commands that set it."""
    ask: str
    answers: tuple[AnswerOption, ...]
    right: int
    """Index of the one that the model gives."""
    account: tuple[str, ...]
    """Commands that show it, played on the scene."""
    both: bool = False
    """The machine after the account is shown beside the one before: the question is what lies between."""
    blind: bool = False
    """The panes would give the answer away: they are empty until it is answered."""


class UnsuitableError(Exception):
    """This throw of the dice gives no exercise; the next one may."""


def machine(lines: Iterable[str]) -> Runner:
    """The machine after these commands. Raises UnsuitableError where one of them is refused."""
    runner = Runner()
    for line in lines:
        if perform(runner, line).outcome.status != "ok":
            raise UnsuitableError(line)
    return runner


def perform(runner: Runner, line: str) -> Account:
    """Carry out a command as it is typed on that machine."""
    command = parse_line(line, Scope.of(runner.context.state))
    if command is None:
        raise UnsuitableError(line)
    return runner.perform(command)


def tried(runner: Runner, line: str) -> tuple[Runner, Account]:
    """The machine after one more command, and what was answered; the given machine stays as it is."""
    after = runner.copy()
    return after, perform(after, line)


def steps(runner: Runner, line: str) -> Iterator[Stepped]:
    """The micro-steps of a command as it would run on that machine, which stays as it is."""
    command = parse_line(line, Scope.of(runner.context.state))
    if command is None:
        raise UnsuitableError(line)
    yield from look_ahead(start(runner.context, command))


def holds(runner: Runner, condition: str) -> bool:
    """Whether a condition holds on that machine, asked as `expect` asks. Raises NoAnswerError."""
    return is_so(condition, Moment.after(runner.context, runner.checker))


def measured(runner: Runner, quantity: str) -> int:
    """The number that a quantity is on that machine. Raises NoAnswerError."""
    return amount(quantity, Moment.after(runner.context, runner.checker))
