"""What a search has found, put in order: a verdict on every rule, and for each broken one the ways into it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from model.invariants.registry import INVARIANTS
from model.search.bfs import Property, Search, worst_first
from model.search.ends import CommandUse, NeverEnds, command_uses, never_ends
from model.search.fewest_preemptions import fewest_preemptions
from model.search.paths import Action, Path, actor_of, as_script, best_path, states_along, verified
from model.search.verdicts import PointOfNoReturn, ScheduleCounts, Verdict, count_schedules, point_of_no_return, verdict


class Finding(NamedTuple):
    """A rule that can be broken."""

    prop: Property
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
    commands: tuple[CommandUse, ...]
    """What became of each permitted command."""
    never_ends: NeverEnds | None
    """The nearest schedule in which tasks wait for each other, or one for ever."""

    @property
    def vacuous(self) -> tuple[CommandUse, ...]:
        """Commands that took place in no schedule of a whole search: what is never broken says nothing then."""
        return tuple(use for use in self.commands if not use.took_place) if self.search.complete else ()

    @property
    def corrupts(self) -> bool:
        """Something worse than a hazard is reachable."""
        return any(finding.prop[1] != "hazard" for finding in self.findings)


def report(search: Search, only: str = "") -> Report:
    """Draw up the result; `only` names the one invariant that matters."""
    counted = count_schedules(search)
    uses = command_uses(search)
    empty = search.complete and not all(use.took_place for use in uses)
    verdicts: dict[str, Verdict | None] = {}
    for name in INVARIANTS:
        if only in {"", name}:
            said = verdict(search, name, counted)
            verdicts[name] = "vacuous" if empty and said == "never" else said
    worst: dict[str, Property] = {}
    for prop in sorted(search.found, key=worst_first):
        worst.setdefault(prop[0], prop)
    findings = tuple(
        _finding(search, prop, verdicts[prop[0]], counted) for prop in worst.values() if prop[0] in verdicts
    )
    return Report(search, verdicts, findings, counted, uses, never_ends(search))


def _finding(search: Search, prop: Property, said: Verdict | None, counted: ScheduleCounts | None) -> Finding:
    shortest = verified(search, prop, late_starts(search, prop, best_path(search, prop)))
    share = 1 - counted.clean[prop[0]] / counted.schedules if counted else None
    return Finding(prop, said, share, shortest, as_script(search, shortest.actions))


class Story(NamedTuple):
    """The way into a violation that is easiest to follow, and the way out."""

    prop: Property
    path: Path
    point_of_no_return: PointOfNoReturn | None
    """None if no schedule avoids the violation."""


def story(search: Search, finding: Finding) -> Story:
    """Tell how a rule comes to be broken."""
    path = late_starts(search, finding.prop, fewest_preemptions(search, finding.prop, finding.shortest))
    return Story(finding.prop, path, point_of_no_return(search, finding.prop[0], path))


# -- starting late -----------------------------------------------------------------------------


def late_starts(search: Search, prop: Property, path: Path) -> Path:
    """The path with each command started right before its first step, where that leads to the same."""
    pending: dict[str, Action] = {}
    actions: list[Action] = []
    for action in path.actions:
        if action.starts is not None:
            pending[action.task] = action
            continue
        if action.task in pending:
            actions.append(pending.pop(action.task))
        actions.append(action)
    if not path.actions or path.actions[-1].starts is not None:
        return path
    states = states_along(search, actions)
    effect = search.cache.effect(actor_of(search, actions[-1], states[-2]), states[-2])
    moved = all(one != other for one, other in pairwise(states))
    if not moved or isinstance(effect, int) or prop not in effect[1]:
        return path
    return Path(tuple(actions), tuple(states), path.preemptions)
