"""What a search has found, as plain values: to be sent from the process that searched, and to be shown."""

from __future__ import annotations

from typing import NamedTuple

from model.invariants.registry import INVARIANTS
from model.search.bfs import Search
from model.search.paths import Action
from model.search.problem import SearchProblem
from model.search.report import Finding, Report, report, story
from model.search.state_graph import (
    MOST_STATES,
    Layer,
    NumberedAction,
    StateGraph,
    layers,
    numbered_action,
    state_graph,
)
from model.search.verdicts import Verdict


class Counterexample(NamedTuple):
    """A way into a violation, as moves that lead on from where the search began."""

    actions: tuple[NumberedAction, ...]
    steps: int
    """Micro-steps."""
    preemptions: int
    cut: int
    """After so many moves a safe schedule is open for the last time; -1: no schedule is safe."""
    safe: tuple[NumberedAction, ...]
    """The moves of the nearest safe schedule from there on."""


class PropertyVerdict(NamedTuple):
    """The verdict on one rule."""

    invariant: str
    verdict: Verdict | None
    """None: the search was ended too early to say."""
    severity: str = ""
    """The worst that breaking it here amounts to; empty where it holds."""
    share: float | None = None
    """In how large a part of all schedules it is broken; None where they are not counted."""
    shortest: int = 0
    """The fewest micro-steps into it."""
    counterexample: Counterexample | None = None


class SearchResult(NamedTuple):
    """The result of a search."""

    states: int
    transitions: int
    depth: int
    """Micro-steps from the start to the farthest state."""
    complete: bool
    schedules: int | None
    alike: tuple[tuple[str, ...], ...]
    """Names that can take each other's place: states that differ in nothing else are counted once."""
    stuck: tuple[str, ...]
    """Not empty: in some schedule these tasks wait for each other for ever."""
    never_done: tuple[str, ...]
    """Permitted commands that took place in no schedule of a complete search: then "never" is vacuous."""
    judgements: tuple[PropertyVerdict, ...]
    """Every rule: the broken ones first, the worst of them first."""
    state_graph: StateGraph | None
    """The whole space, where it is small enough to be drawn …"""
    layers: tuple[Layer, ...]
    """… else how many states there are at each depth."""


def result_of(search: Search) -> SearchResult:
    """The result of a search, with the easiest way into each violation."""
    drawn: Report = report(search)
    broken = {finding.prop[0]: finding for finding in drawn.findings}
    judged = [
        PropertyVerdict(name, found.verdict, found.prop[1], found.share, found.shortest.steps, _trail(search, found))
        for name, found in broken.items()
    ]
    both = drawn.stated | {name: drawn.verdicts[name] for name in INVARIANTS}
    rest = [PropertyVerdict(name, said) for name, said in both.items() if name not in broken]
    small = search.complete and len(search.seen) <= MOST_STATES
    waiting = (one.task for one in drawn.never_ends.waiting) if drawn.never_ends else ()
    return SearchResult(
        states=len(search.seen),
        transitions=search.transitions,
        depth=max(len(search.levels) - 1, 0),
        complete=search.complete,
        schedules=drawn.counted.schedules if drawn.counted else None,
        alike=search.symmetry.alike if search.symmetry else (),
        stuck=tuple(waiting),
        never_done=tuple(use.permission.command.text for use in drawn.vacuous),
        judgements=(*judged, *rest),
        state_graph=state_graph(search) if small else None,
        layers=() if small else layers(search),
    )


def _trail(search: Search, finding: Finding) -> Counterexample:
    """The way that is easiest to follow, and the nearest way round it."""
    told = story(search, finding)
    path, point_of_no_return = told.path, told.point_of_no_return
    actions = _steps(search.scene, path.actions)
    if point_of_no_return is None:
        return Counterexample(actions, path.steps, path.preemptions, -1, ())
    return Counterexample(
        actions, path.steps, path.preemptions, point_of_no_return.actions, _steps(search.scene, point_of_no_return.safe)
    )


def _steps(scene: SearchProblem, actions: tuple[Action, ...]) -> tuple[NumberedAction, ...]:
    return tuple(numbered_action(scene, action) for action in actions)
