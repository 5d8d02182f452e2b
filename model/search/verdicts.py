"""What a whole search says about a rule: never, sometimes or always broken, in how many schedules, and where it tips.

A schedule is an order in which everything that may happen does happen, until nothing more can: a path from the start
to an end. Starting a command is a move of its own in it.
"""

from __future__ import annotations

from operator import add
from typing import Final, Literal, NamedTuple

from model.search.bfs import Search
from model.search.command_events import CommandEvent, CommandEvents
from model.search.paths import Action, Path, action_of, actor_of, turned
from model.search.transition_cache import Actor, TransitionCache

Verdict = Literal["never", "sometimes", "always", "vacuous"]
"""`vacuous`: never, but some command that was permitted never took place either, so nothing has been shown."""

MEMORY_ORDER: Final = "sequentially consistent"
"""How the interleaved micro-steps see memory: "never" says nothing of barriers that are missing (model/README.md)."""

Counted = str | CommandEvent | None
"""What may happen in a schedule: a rule is broken, a command starts or ends."""

MOST_COUNTED: Final = 60_000
"""States of a search whose schedules are counted: less than a second."""


class ScheduleCounts(NamedTuple):
    """How many schedules there are."""

    schedules: int
    clean: dict[str, int]
    """Rule or property → in how many of them it is never broken; only for those that are broken in some."""
    commands: dict[CommandEvent, int]
    """In how many of them a permitted command is started, and ends with what; empty where commands are exchangeable."""


def verdict(search: Search, invariant: str, counted: ScheduleCounts | None) -> Verdict | None:
    """What the search says about an invariant; None if it was ended too early to say."""
    if invariant in search.final:
        return _final_verdict(search, invariant, counted)
    properties = [prop for prop in search.found if prop[0] == invariant]
    if not properties:
        return _never(search, invariant)
    if any(search.distance[prop] == 0 and not search.found[prop] for prop in properties):
        return "always"
    if counted is not None:
        return "sometimes" if counted.clean[invariant] else "always"
    if not search.complete:
        return None  # it is broken in some schedule; whether in all, nobody knows
    return "sometimes" if safe_continuation(search, invariant, 0, None) is not None else "always"


def _never(search: Search, name: str) -> Verdict | None:
    """The verdict on what was never broken: a property that always spoke of what does not exist shows nothing."""
    if not search.complete:
        return None
    stated = any(one.text == name for one in search.cache.stated)
    return "vacuous" if stated and name not in search.cache.answered else "never"


def _final_verdict(search: Search, name: str, counted: ScheduleCounts | None) -> Verdict | None:
    """What the search says about a property of the end."""
    if not search.complete:
        return None
    final = search.final[name]
    if not final.broken:
        return "never" if final.ends else "vacuous"
    if counted is not None:
        return "sometimes" if counted.clean[name] else "always"
    return "sometimes" if len(final.broken) < final.ends else "always"


def successors(cache: TransitionCache, packed: int) -> list[tuple[Actor, int, frozenset[str]]]:
    """Every transition out of a state: who moves, the state after it, which invariants it breaks."""
    found = []
    for actor in (*cache.tasks, *cache.starters):
        if effect := cache.effect(actor, packed):
            broken = frozenset() if isinstance(effect, int) else frozenset(name for name, _ in effect[1])
            found.append((actor, packed ^ turned(effect), broken))
    return found


def count_schedules(search: Search) -> ScheduleCounts | None:
    """Count the schedules of a complete search; None where there are loops, or too many states to do it at once."""
    if not search.complete or len(search.seen) > MOST_COUNTED:
        return None
    events = CommandEvents(search)
    rules = sorted({name for name, _ in search.found} | {name for name, one in search.final.items() if one.broken})
    counted: list[Counted] = [*rules, *events.all]
    columns = {what: at for at, what in enumerate(counted, 1)}
    counts: dict[int, list[int]] = {}
    open_ones: dict[int, list[tuple[int, list[int]]]] = {}
    stack = [0]
    while stack:
        packed = stack[-1]
        if packed in counts:
            stack.pop()
            continue
        following = open_ones.get(packed)
        if following is None:
            following = open_ones[packed] = _marked(search, events, columns, packed)
            ahead = [after for after, _ in following if after not in counts]
            if any(after in open_ones for after in ahead):
                return None
            stack += ahead
            if ahead:
                continue
        if following:
            counts[packed] = _sum(following, counts)
        else:
            counts[packed] = [int(not search.ends_badly(str(what), packed)) for what in ("", *columns)]
        del open_ones[packed]
        stack.pop()
    without = counts[0]
    total = without[0]
    standing = {name for (name, _), transitions in search.found.items() if not transitions}
    return ScheduleCounts(
        total,
        {name: 0 if name in standing else without[columns[name]] for name in rules},
        {event: total - without[columns[event]] for event in events.all},
    )


def _marked(
    search: Search, events: CommandEvents, columns: dict[Counted, int], packed: int
) -> list[tuple[int, list[int]]]:
    """The states after each transition out of a state, with the columns of what happens in it."""
    found = []
    for actor, after, broken in successors(search.cache, packed):
        marks = [columns[name] for name in broken]
        event = events.of(actor, packed)
        if event in columns:
            marks.append(columns[event])
        found.append((search.canonical(after), marks))
    return found


def _sum(following: list[tuple[int, list[int]]], counts: dict[int, list[int]]) -> list[int]:
    """The schedules from a state on: all, and for each column those in which it does not happen."""
    sums: list[int] = []
    for after, marks in following:
        numbers = counts[after]
        if marks:
            numbers = list(numbers)
            for column in marks:
                numbers[column] = 0
        sums = list(map(add, sums, numbers)) if sums else numbers
    return sums


class PointOfNoReturn(NamedTuple):
    """Where a way into a violation could last have been left."""

    actions: int
    """How many moves of the way still leave a safe schedule open; the next one does not."""
    safe: tuple[Action, ...]
    """What to do instead from there on, until everything that the way begins has ended and the invariant was never
    broken. What else may happen is left out, unless it is needed for that."""


def point_of_no_return(search: Search, invariant: str, path: Path) -> PointOfNoReturn | None:
    """The last state on a way from which a safe schedule existed; None if there is none at all."""
    dead: set[int] = set()
    for position in range(len(path.actions) - 1, -1, -1):
        last = path.actions[position - 1].task if position else None
        safe = safe_continuation(search, invariant, path.states[position], last, dead)
        if safe is not None:
            if invariant not in search.final:  # a property of the end is one of what everything has led to
                safe = _without_others(search, invariant, path, position, safe)
            return PointOfNoReturn(position, safe)
    return None


def _without_others(
    search: Search, invariant: str, path: Path, position: int, safe: tuple[Action, ...]
) -> tuple[Action, ...]:
    """The safe continuation without the commands that the way into the violation does not begin, if it goes without."""
    begun = {action.task for action in path.actions}
    others = dict.fromkeys(action.task for action in safe if action.starts is not None and action.task not in begun)
    for task in reversed(others):
        fewer = tuple(action for action in safe if action.task != task)
        if _is_safe(search, invariant, path.states[position], fewer):
            safe = fewer
    return safe


def _is_safe(search: Search, invariant: str, packed: int, actions: tuple[Action, ...]) -> bool:
    """Whether these moves are possible one after the other, and none breaks the invariant."""
    for action in actions:
        actor = actor_of(search, action, packed)
        effect = search.cache.effect(actor, packed)
        if not effect or action_of(search, actor, packed).task != action.task:
            return False
        if not isinstance(effect, int) and any(prop[0] == invariant for prop in effect[1]):
            return False
        packed ^= turned(effect)
    return True


def safe_continuation(
    search: Search, invariant: str, start: int, last: str | None, dead: set[int] | None = None
) -> tuple[Action, ...] | None:
    """Moves from a state to an end that never break an invariant, staying with a task where possible; None if none.

    `last` is the task that has moved before. `dead` gathers states from which there are none.
    """
    cache = search.cache
    dead = set() if dead is None else dead
    if start in dead:
        return None
    trail: list[tuple[int, Actor]] = []
    entered = {start}
    ahead = [_in_order(cache, start, last, invariant)]
    packed = start
    while True:
        if not ahead[-1]:
            if not successors(cache, packed) and not search.ends_badly(invariant, packed):
                return tuple(action_of(search, actor, before) for before, actor in trail)
            dead.add(packed)
            ahead.pop()
            if not trail:
                return None
            packed = trail.pop()[0]
            continue
        actor, after = ahead[-1].pop()
        if after in dead or after in entered:
            continue
        entered.add(after)
        trail.append((packed, actor))
        packed = after
        mover = action_of(search, actor, trail[-1][0]).task
        ahead.append(_in_order(cache, after, mover, invariant))


def _in_order(cache: TransitionCache, packed: int, last: str | None, invariant: str) -> list[tuple[Actor, int]]:
    """The clean transitions out of a state, the one to try first last: whoever moved last, then tasks, then starts."""
    transitions = [(actor, after) for actor, after, broken in successors(cache, packed) if invariant not in broken]
    return sorted(transitions, key=lambda transition: (transition[0].task == last, transition[0].permission is None))
