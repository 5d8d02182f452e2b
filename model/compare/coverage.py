"""A few cases of the sweep that stand for all: chosen so that every kernel function meets every other one early on."""

from collections.abc import Iterable
from functools import cache
from heapq import heapify, heappop, heapreplace
from itertools import product
from typing import cast

from model.compare.sweep import SweepCase, commands
from model.script.command import Command
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
    runner = Runner()
    accounts = [runner.perform(_itself(command)) for command in commands(case)]
    return frozenset(note.procedure for account in accounts for note in account.steps)


def _itself(command: Command) -> Command:
    """What a `may` line permits."""
    return cast("Command", command.operands["COMMAND"]) if command.verb == "may" else command
