"""What a search has found, put in order: a verdict on every rule, and for each broken one the ways into it."""

from __future__ import annotations

from typing import NamedTuple

from model.invariants.rules import INVARIANTS
from model.search.calm import calm_path
from model.search.explore import Kind, Search, worst_first
from model.search.memo import Actor, Effect
from model.search.scene import Scene
from model.search.verdicts import Counted, Tipping, Verdict, count_schedules, tipping_point, verdict
from model.search.ways import Move, Path, as_script, best_path, replay, turned


class Finding(NamedTuple):
    """A rule that can be broken."""

    kind: Kind
    """The rule, and the worst that breaking it here amounts to."""
    verdict: Verdict | None
    share: float | None
    """In how large a part of all schedules it is broken; None where they are not counted."""
    shortest: Path
    script: tuple[str, ...]
    """Commands that lead into it from an empty machine, the shortest way."""


class Report(NamedTuple):
    """The result of a search."""

    search: Search
    verdicts: dict[str, Verdict | None]
    """Every invariant; None where the search was ended too early to say."""
    findings: tuple[Finding, ...]
    """The worst first."""
    counted: Counted | None

    @property
    def corrupts(self) -> bool:
        """Something worse than a hazard is reachable."""
        return any(finding.kind[1] != "hazard" for finding in self.findings)


def report(search: Search, only: str = "") -> Report:
    """Draw up the result; `only` names the one invariant that matters."""
    counted = count_schedules(search)
    verdicts = {name: verdict(search, name, counted) for name in INVARIANTS if only in {"", name}}
    worst: dict[str, Kind] = {}
    for kind in sorted(search.found, key=worst_first):
        worst.setdefault(kind[0], kind)
    findings = tuple(
        _finding(search, kind, verdicts[kind[0]], counted) for kind in worst.values() if kind[0] in verdicts
    )
    return Report(search, verdicts, findings, counted)


def _finding(search: Search, kind: Kind, said: Verdict | None, counted: Counted | None) -> Finding:
    shortest = late_starts(search, kind, best_path(search, kind))
    share = 1 - counted.clean[kind[0]] / counted.schedules if counted else None
    return Finding(kind, said, share, shortest, as_script(search.scene, shortest.moves))


class Story(NamedTuple):
    """The way into a violation that is easiest to follow, and the way out."""

    kind: Kind
    path: Path
    tipping: Tipping | None
    """None if no schedule avoids the violation."""


def story(search: Search, finding: Finding) -> Story:
    """Tell how a rule comes to be broken."""
    path = late_starts(search, finding.kind, calm_path(search, finding.kind, finding.shortest))
    return Story(finding.kind, path, tipping_point(search, finding.kind[0], path))


# -- starting late -----------------------------------------------------------------------------


def late_starts(search: Search, kind: Kind, path: Path) -> Path:
    """The same way with each command started right before its first step, where it leads to the same."""
    pending: dict[str, Move] = {}
    moves: list[Move] = []
    for move in path.moves:
        if move.starts is not None:
            pending[move.task] = move
            continue
        if move.task in pending:
            moves.append(pending.pop(move.task))
        moves.append(move)
    if not path.moves or path.moves[-1].starts is not None or not arrives(search.scene, moves, kind):
        return path
    return Path(tuple(moves), tuple(states_along(search, moves)), path.preemptions)


def arrives(scene: Scene, moves: list[Move], kind: Kind) -> bool:
    """Whether the last of `moves` breaks the rule, on the plain kernel."""
    try:
        done = list(replay(scene, moves))
    except AssertionError:
        return False
    return any((broken.invariant, broken.severity) == kind for broken in done[-1].violations)


def states_along(search: Search, moves: list[Move]) -> list[int]:
    """The packed states that moves lead through."""
    states = [0]
    for move in moves:
        effect: Effect = search.memo.effect(_actor(search, move), states[-1])
        states.append(states[-1] ^ turned(effect))
    return states


def _actor(search: Search, move: Move) -> Actor:
    """Who makes a move."""
    if move.starts is not None:
        return next(actor for actor in search.memo.starters if actor.permission == move.starts)
    return next(actor for actor in search.memo.tasks if actor.task == move.task)
