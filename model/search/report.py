"""What a search has found, put in order: a verdict on every rule, and for each broken one the ways into it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from model.invariants.registry import INVARIANTS
from model.search.bfs import Property, Search, worst_first
from model.search.ends import CommandUse, NeverEnds, command_uses, never_ends
from model.search.fewest_preemptions import fewest_preemptions
from model.search.part_searches import PartSearch
from model.search.paths import Action, Path, actor_of, as_script, best_path, path_of, path_to, states_along, verified
from model.search.reduction import Reduction
from model.search.transition_cache import STATED
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
    nearest: bool = True
    """No way into it is known to be shorter, nor can there be one; False: this is some way."""


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
    stated: dict[str, Verdict | None]
    """The properties that the script states, by their texts."""
    part: PartSearch | None = None
    """A search of a part of all schedules, where not all were searched."""
    reduction: Reduction | None = None
    """The search that the verdicts come from, where not every state was visited."""

    @property
    def complete(self) -> bool:
        """Every schedule was searched, or stands for one that was."""
        return self.search.complete or (self.reduction is not None and self.reduction.complete)

    @property
    def states(self) -> int:
        """How many states were looked at; by a search of a part, told apart by who moved last."""
        return max(len(self.search.seen), self.part.places if self.part is not None else 0)

    def in_schedules(self, number: int) -> dict[str, int] | None:
        """In how many schedules permission `number` was started (STARTED), and ended with what; None: not counted."""
        if self.counted is None or not self.counted.commands:
            return None
        return {event.outcome: count for event, count in self.counted.commands.items() if event.permission == number}

    @property
    def shows_nothing(self) -> bool:
        """Some command never took place, or some property never spoke of what exists."""
        return bool(self.vacuous) or "vacuous" in self.stated.values()

    @property
    def vacuous(self) -> tuple[CommandUse, ...]:
        """Commands that took place in no schedule of a whole search: what is never broken says nothing then."""
        return tuple(use for use in self.commands if not use.took_place) if self.complete else ()

    @property
    def corrupts(self) -> bool:
        """Something worse than a hazard is reachable."""
        return any(finding.prop[1] != "hazard" for finding in self.findings)


def report(
    search: Search, only: str = "", part: PartSearch | None = None, reduction: Reduction | None = None
) -> Report:
    """Draw up the result; `only` names the one invariant that matters, the others are what else was searched."""
    counted = count_schedules(search)
    reduced = reduction if reduction is not None and reduction.complete and not search.complete else None
    uses = command_uses(search.cache, search.symmetry)
    empty = (search.complete or reduced is not None) and not all(use.took_place for use in uses)
    verdicts: dict[str, Verdict | None] = {}
    stated: dict[str, Verdict | None] = {}
    names = [name for name in INVARIANTS if only in {"", name}]
    for said, asked in ((verdicts, names), (stated, [one.text for one in search.scene.properties])):
        for name in asked:
            found = verdict(search, name, counted) if reduced is None else reduced.verdict(name)
            said[name] = "vacuous" if empty and found == "never" else found
    both = verdicts | stated
    beyond = _beyond(search, part, reduced)
    worst: dict[str, Property] = {}
    for prop in sorted({*search.found, *beyond}, key=worst_first):
        worst.setdefault(prop[0], prop)
    if reduced is None:
        worst |= {name: (name, STATED) for name, final in search.final.items() if final.broken}
    findings = tuple(
        _finding(search, prop, both[prop[0]], counted, beyond) for prop in worst.values() if prop[0] in both
    )
    return Report(search, verdicts, findings, counted, uses, _stuck(search, part, reduced), stated, part, reduction)


def _beyond(search: Search, part: PartSearch | None, reduced: Reduction | None) -> dict[Property, Path]:
    """Ways into what the breadth-first search has not met."""
    if reduced is not None:
        kinds = reduced.kinds - search.found.keys()
        return {kind: path_of(search, search.actors_along(reduced.way_into(kind))) for kind in kinds}
    return part.paths if part is not None and not search.complete else {}


def _stuck(search: Search, part: PartSearch | None, reduced: Reduction | None) -> NeverEnds | None:
    """A schedule that never ends."""
    known = part.waits_for_ever if part is not None else None
    if reduced is not None and reduced.waiting is not None:
        known = path_of(search, search.actors_along(reduced.way_to(reduced.waiting))).actions
    return never_ends(search, known)


def _finding(
    search: Search, prop: Property, said: Verdict | None, counted: ScheduleCounts | None, beyond: dict[Property, Path]
) -> Finding:
    final = search.final.get(prop[0]) if prop not in beyond else None
    if final is not None and final.broken:
        way = path_to(search, final.nearest, final.depth)
    else:
        way = best_path(search, prop) if prop in search.found else beyond[prop]
    shortest = verified(search, prop, late_starts(search, prop, way))
    share = 1 - counted.clean[prop[0]] / counted.schedules if counted else None
    return Finding(prop, said, share, shortest, _script(search, prop, shortest), prop not in beyond)


def _script(search: Search, prop: Property, path: Path) -> tuple[str, ...]:
    """The path as a script; a property is stated in it where the search began, so that running it judges it again."""
    lines = as_script(search, path.actions)
    stated = search.scene.property_named(prop[0])
    if stated is None:
        return lines
    began = len(search.scene.script)
    words = stated.text.split(maxsplit=1)[1]
    return (*lines[:began], f"{stated.when} {words}", *lines[began:])


class Story(NamedTuple):
    """The way into a violation that is easiest to follow, and the way out."""

    prop: Property
    path: Path
    point_of_no_return: PointOfNoReturn | None
    """None if no schedule avoids the violation."""


def story(search: Search, finding: Finding) -> Story:
    """Tell how a rule comes to be broken."""
    by_steps = finding.prop in search.found
    easiest = fewest_preemptions(search, finding.prop, finding.shortest) if by_steps else finding.shortest
    path = late_starts(search, finding.prop, easiest)
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
    if not all(one != other for one, other in pairwise(states)):
        return path
    if prop[0] in search.final:
        if states[-1] != path.states[-1]:
            return path
    elif isinstance(effect, int) or prop not in effect[1]:
        return path
    return Path(tuple(actions), tuple(states), path.preemptions)
