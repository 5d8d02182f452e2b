"""What a search has found, put in order: a verdict on every rule, and for each broken one the ways into it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from model.invariants.rules import INVARIANTS
from model.search.bfs import Property, Search, worst_first
from model.search.fewest_preemptions import fewest_preemptions
from model.search.paths import Action, Path, actor_of, as_script, best_path, states_along, verified
from model.search.verdicts import PointOfNoReturn, ScheduleCounts, Verdict, count_schedules, point_of_no_return, verdict


class Finding(NamedTuple):
    """A rule that can be broken."""

    kind: Property
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
    counted: ScheduleCounts | None

    @property
    def corrupts(self) -> bool:
        """Something worse than a hazard is reachable."""
        return any(finding.kind[1] != "hazard" for finding in self.findings)


def report(search: Search, only: str = "") -> Report:
    """Draw up the result; `only` names the one invariant that matters."""
    counted = count_schedules(search)
    verdicts = {name: verdict(search, name, counted) for name in INVARIANTS if only in {"", name}}
    worst: dict[str, Property] = {}
    for kind in sorted(search.found, key=worst_first):
        worst.setdefault(kind[0], kind)
    findings = tuple(
        _finding(search, kind, verdicts[kind[0]], counted) for kind in worst.values() if kind[0] in verdicts
    )
    return Report(search, verdicts, findings, counted)


def _finding(search: Search, kind: Property, said: Verdict | None, counted: ScheduleCounts | None) -> Finding:
    shortest = verified(search, kind, late_starts(search, kind, best_path(search, kind)))
    share = 1 - counted.clean[kind[0]] / counted.schedules if counted else None
    return Finding(kind, said, share, shortest, as_script(search, shortest.moves))


class Story(NamedTuple):
    """The way into a violation that is easiest to follow, and the way out."""

    kind: Property
    path: Path
    tipping: PointOfNoReturn | None
    """None if no schedule avoids the violation."""


def story(search: Search, finding: Finding) -> Story:
    """Tell how a rule comes to be broken."""
    path = late_starts(search, finding.kind, fewest_preemptions(search, finding.kind, finding.shortest))
    return Story(finding.kind, path, point_of_no_return(search, finding.kind[0], path))


# -- starting late -----------------------------------------------------------------------------


def late_starts(search: Search, kind: Property, path: Path) -> Path:
    """The same way with each command started right before its first step, where it leads to the same."""
    pending: dict[str, Action] = {}
    moves: list[Action] = []
    for move in path.moves:
        if move.starts is not None:
            pending[move.task] = move
            continue
        if move.task in pending:
            moves.append(pending.pop(move.task))
        moves.append(move)
    if not path.moves or path.moves[-1].starts is not None:
        return path
    states = states_along(search, moves)
    effect = search.memo.effect(actor_of(search, moves[-1]), states[-2])
    moved = all(one != other for one, other in pairwise(states))
    if not moved or isinstance(effect, int) or kind not in effect[1]:
        return path
    return Path(tuple(moves), tuple(states), path.preemptions)
