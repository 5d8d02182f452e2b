"""A small state space as a graph of plain values: every state, every transition, and how each end turns out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from model.invariants.violation import SEVERITIES
from model.memory.records import Task
from model.search.explore import Search
from model.search.memo import Actor
from model.search.verdicts import successors
from model.search.ways import move_of

MOST_STATES: Final = 400
"""States that can still be looked at one by one."""
NAMES: Final[tuple[str, ...]] = ("", *SEVERITIES)
"""From good to bad."""


class Place(NamedTuple):
    """A state."""

    depth: int
    """Transitions from the start, by the shortest way."""
    best: str
    """The worst that is broken on the best way here: a severity, or nothing."""
    worst: str
    """The worst that is broken on any way here."""
    ends: bool
    """Nothing more can happen …"""
    stuck: bool
    """… because every task waits for another."""


class Step(NamedTuple):
    """A transition."""

    start: int
    end: int
    """Indices of places."""
    line: str
    """The command that makes it."""
    label: str
    """What it does, for people: `gup: gup_fast.read_pte`."""
    severity: str
    """The worst that it breaks; empty: nothing."""


class Atlas(NamedTuple):
    """The whole space."""

    places: tuple[Place, ...]
    """The start first, then by depth."""
    steps: tuple[Step, ...]


def atlas(search: Search) -> Atlas:
    """Every state of a complete search, in the order in which a walk by single transitions finds them."""
    memo = search.memo
    numbers = {0: 0}
    order = [0]
    depths = [0]
    steps: list[Step] = []
    waiting: list[bool] = []
    for at, packed in enumerate(order):
        ways = successors(memo, packed)
        waiting.append(any(packed & task.control.mask != task.idle for task in memo.tasks))
        for actor, after, _ in ways:
            if after not in numbers:
                numbers[after] = len(order)
                order.append(after)
                depths.append(depths[at] + 1)
            effect = memo.effect(actor, packed)
            worst = "" if isinstance(effect, int) else max((severity for _, severity in effect[1]), key=NAMES.index)
            line, label = _named(search, actor, packed)
            steps.append(Step(at, numbers[after], line, label, worst))
    ends = set(range(len(order))) - {step.start for step in steps}
    best, bad = _ranks(len(order), steps, min, len(SEVERITIES)), _ranks(len(order), steps, max, 0)
    places = (
        Place(depths[at], NAMES[best[at]], NAMES[bad[at]], at in ends, at in ends and waiting[at])
        for at in range(len(order))
    )
    return Atlas(tuple(places), tuple(steps))


def _named(search: Search, actor: Actor, packed: int) -> tuple[str, str]:
    """The command that makes an actor's move, and what to call the move."""
    move = move_of(search, actor, packed)
    if move.starts is not None:
        text = move.starts.command.text
        return f"begin {move.task} {text}", text
    task = cast("Task", actor.control.by_code[packed & actor.control.mask])
    running = task.stack[-1]
    step = getattr(type(running), "steps", ())[running.pc].name
    return f"step {move.task}", f"{move.task}: {type(running).__name__}.{step}"


def _ranks(places: int, steps: list[Step], choose: Callable[[int, int], int], unknown: int) -> list[int]:
    """For each state how bad the chosen way there is, the best (min) or the worst (max)."""
    ranks = [0, *([unknown] * (places - 1))]
    changed = True
    while changed:
        changed = False
        for step in steps:
            through = choose(ranks[step.end], max(ranks[step.start], NAMES.index(step.severity)))
            if through != ranks[step.end]:
                ranks[step.end] = through
                changed = True
    return ranks
