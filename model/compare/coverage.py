"""A few cases of the sweep that stand for all: chosen so that every kernel function meets every other one early on."""

from collections.abc import Iterable
from functools import cache
from heapq import heapify, heappop, heapreplace
from itertools import product
from typing import NamedTuple, cast

from model.compare.sweep import SweepCase, commands
from model.script.command import Command
from model.script.parser import parse
from model.script.runner import Runner

CodePair = tuple[str, str]
"""Two kernel functions that run at the same time, in order."""


def thinned(cases: Iterable[SweepCase], most: int) -> list[SweepCase]:
    """At most `most` cases: always the one that brings most pairs of kernel functions together that none before has.

    Of equals it is the earlier one; a case that brings nothing new is left out.
    """
    covers = [(case, code_pairs(case)) for case in cases]
    chosen: list[SweepCase] = []
    covered: set[CodePair] = set()
    # Gains only shrink, so a case whose gain is up to date and still the largest is the best.
    gains = [(-len(pairs), number) for number, (_, pairs) in enumerate(covers)]
    heapify(gains)
    while gains and len(chosen) < most:
        gain, number = gains[0]
        case, pairs = covers[number]
        now = len(pairs - covered)
        if not now:
            heappop(gains)
        elif -now != gain:
            heapreplace(gains, (-now, number))
        else:
            chosen.append(case)
            covered |= pairs
            heappop(gains)
    return chosen


def code_pairs(case: SweepCase) -> frozenset[CodePair]:
    """Which kernel functions can meet in a case: those that its calls run when each is alone."""
    runs = [functions(case._replace(calls=(call,))) for call in case.calls]
    return frozenset(
        (min(one, other), max(one, other))
        for number, mine in enumerate(runs)
        for its in runs[number + 1 :]
        for one, other in product(mine, its)
    )


@cache
def functions(case: SweepCase) -> frozenset[str]:
    """The kernel functions that run if what is permitted happens one after the other."""
    scene = commands(case)
    first = next(number for number, command in enumerate(scene) if command.verb == "may")
    before = _set_up(tuple(command.text for command in scene[:first]))
    runner = before.runner.copy()
    accounts = [runner.perform(cast("Command", command.operands["COMMAND"])) for command in scene[first:]]
    return before.functions.union(note.procedure for account in accounts for note in account.steps)


class _Standing(NamedTuple):
    """A machine that is set up, and the kernel functions that have run for that."""

    runner: Runner
    functions: frozenset[str]


@cache
def _set_up(lines: tuple[str, ...]) -> _Standing:
    """Carry a set-up out, once for all calls that begin from it."""
    runner = Runner()
    accounts = [runner.perform(command) for command in parse("".join(f"{line}\n" for line in lines))]
    return _Standing(runner, frozenset(note.procedure for account in accounts for note in account.steps))
