"""What a search has found, as plain values: to be sent from the process that searched, and to be shown."""

from __future__ import annotations

from typing import NamedTuple

from model.invariants.rules import INVARIANTS
from model.search.atlas import MOST_STATES, Atlas, atlas
from model.search.explore import Search
from model.search.report import Finding, Report, report, story
from model.search.verdicts import Verdict
from model.search.ways import as_script


class Trail(NamedTuple):
    """A way into a violation, as commands that lead on from where the search began."""

    lines: tuple[str, ...]
    steps: int
    """Micro-steps."""
    preemptions: int
    cut: int
    """After so many commands a safe schedule is open for the last time; -1: no schedule is safe."""
    safe: tuple[str, ...]
    """The commands of the nearest safe schedule from there on."""


class Judgement(NamedTuple):
    """The verdict on one rule."""

    invariant: str
    verdict: Verdict | None
    """None: the search was ended too early to say."""
    severity: str = ""
    """The worst that breaking it here amounts to; empty where it holds."""
    share: float | None = None
    """In how large a part of all schedules it is broken; None where they are not counted."""
    trail: Trail | None = None


class Found(NamedTuple):
    """The result."""

    states: int
    transitions: int
    depth: int
    """Micro-steps from the start to the farthest state."""
    complete: bool
    schedules: int | None
    stuck: bool
    """In some schedule tasks wait for each other for ever."""
    judgements: tuple[Judgement, ...]
    """Every rule: the broken ones first, the worst of them first."""
    atlas: Atlas | None
    """The whole space, where it is small enough to be looked at."""


def outcome(search: Search) -> Found:
    """The result of a search, with the easiest way into each violation."""
    drawn: Report = report(search)
    broken = {finding.kind[0]: finding for finding in drawn.findings}
    judged = [
        Judgement(name, finding.verdict, finding.kind[1], finding.share, _trail(search, finding))
        for name, finding in broken.items()
    ]
    rest = [Judgement(name, drawn.verdicts[name]) for name in INVARIANTS if name not in broken]
    schedules = drawn.counted.schedules if drawn.counted else None
    depth = len(search.levels) - 1
    stuck = search.stuck is not None
    small = search.complete and len(search.seen) <= MOST_STATES
    mapped = atlas(search) if small else None
    every = (*judged, *rest)
    return Found(len(search.seen), search.transitions, depth, search.complete, schedules, stuck, every, mapped)


def _trail(search: Search, finding: Finding) -> Trail:
    """The way that is easiest to follow, and the nearest way round it."""
    told = story(search, finding)
    moves, first = told.path.moves, len(search.scene.script)
    if told.tipping is None:
        lines = as_script(search, moves)[first:]
        return Trail(lines, told.path.steps, told.path.preemptions, -1, ())
    cut = told.tipping.moves
    lines = as_script(search, moves, cut)[first:]
    shared = len(as_script(search, moves[:cut])) - first
    safe = as_script(search, (*moves[:cut], *told.tipping.safe), cut)[first + shared :]
    return Trail(lines, told.path.steps, told.path.preemptions, shared, safe)
