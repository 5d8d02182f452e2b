"""What a set-up has decided that is open: with `set allocator any` an allocation may get a page that is referred to.

The search tries those choices from the first `may` on. Before it each line takes one page, as a plain run does: memory
that was never used, where there is some. A line that could have got a page to which an old reference, a TLB or a table
still leads is named, for what is found holds for the choice that was made. Whoever wants another permits the line
instead, or begins it as a task and says `step T taking=PFN`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.engine.config import setting
from model.engine.procedure import advance
from model.invariants.checker import Checker
from model.script.command import Command
from model.script.context import Context
from model.script.drive import carry_out


class OpenAllocation(NamedTuple):
    """A micro-step of the set-up whose allocation could have got other pages, which somebody still refers to."""

    command: Command
    step: int
    """Which of its micro-steps, from 1."""
    others: tuple[int, ...]
    """The pages that it could have taken."""


class NotedChoices:
    """Picks the pages that a plain run picks, and notes which others somebody refers to."""

    def __init__(self, checker: Checker) -> None:
        self.held = checker.scene.holding.held
        self.others: list[int] = []

    def __call__(self, free: Sequence[int], fresh: int | None) -> int:
        """The page of the next allocation."""
        picked = min(free) if fresh is None else fresh
        self.others += [page for page in sorted(free) if page != picked and self.held.get(page)]
        return picked


def open_allocations(context: Context, checker: Checker, command: Command) -> Iterator[OpenAllocation]:
    """Those of a command that is about to be carried out from here: its steps are made on the side."""
    if setting(context.state, "allocator") != "any" or "taking" in command.options:
        return
    state, held, number = context.state, checker, 0
    for moved in carry_out(context, checker, command):
        if moved.stepped is not None:
            number += 1
            choices = NotedChoices(held)
            if moved.stepped.task in state.tasks:
                advance(state, moved.stepped.task, choices)
            if choices.others:
                yield OpenAllocation(command, number, tuple(choices.others))
        state, held = moved.checker.scene.state, moved.checker
