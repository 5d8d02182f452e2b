"""From a violation back to the start: the best of all nearest ways, and the same way on the plain kernel.

The search keeps no parents. The levels are walked back, each expanded once more, which the memo makes cheap; then the
way with the fewest pre-emptions is picked among those that are left. Where one state stands for several, that way
goes from one such state to the next, under names that change; at last it is made again under the names of the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.memory.state import State
from model.script.command import Command
from model.script.drive import begin_task, carry_out, step_task
from model.script.execute import Ended
from model.script.moment import Moment
from model.search.bfs import Property, Search, Transition
from model.search.problem import Permission, SearchProblem
from model.search.symmetry import Image
from model.search.transition_cache import Actor, Effect


class Action(NamedTuple):
    """One transition by names: a task makes a micro-step, or is started."""

    task: str
    starts: Permission | None = None
    pages: tuple[int, ...] = ()
    """What the allocations of the micro-step get, where that is open."""


class Path(NamedTuple):
    """A way from the start of a search."""

    actions: tuple[Action, ...]
    states: tuple[int, ...]
    """The packed states that it passes: one more than there are moves."""
    preemptions: int
    """How often a task had to stop where it could have gone on."""

    @property
    def steps(self) -> int:
        """Micro-steps; starting a command is none."""
        return sum(action.starts is None for action in self.actions)


class ReplayedAction(NamedTuple):
    """One move, made on the plain kernel."""

    action: Action
    state: State
    checker: Checker
    stepped: Stepped | None
    """None where a command was started."""
    violations: tuple[Violation, ...]


Cost = tuple[int, int]
"""Pre-emptions, and changes from one task to another."""


class _Arrival(NamedTuple):
    """The best way to be in a state with a certain task having moved last."""

    cost: Cost
    before: int
    last: Actor | None
    """Who had moved last in the state before."""
    actor: Actor | None
    """Who moved from there to here; None at the start."""


def turned(effect: Effect) -> int:
    """The bits that an effect turns over."""
    return effect if isinstance(effect, int) else effect[0]


def best_path(search: Search, prop: Property) -> Path:
    """The shortest way into a kind of violation; of several the one with the fewest pre-emptions. KeyError if none."""
    transitions = search.found[prop]
    if not transitions:
        return Path((), (0,), 0)
    depth = search.distance[prop] - (transitions[0].actor.permission is None)
    arrivals = _arrivals(search, *_ancestry(search, {transition.packed for transition in transitions}, depth))
    best: tuple[Cost, Transition, Actor | None] | None = None
    for transition in transitions:
        for last, arrival in arrivals.get(transition.packed, {}).items():
            cost = _cost(search, arrival.cost, transition.packed, last, transition.actor)
            if best is None or cost < best[0]:
                best = cost, transition, last
    if best is None:
        raise AssertionError(f"no way back from {prop}")
    _, transition, last = best
    return path_of(search, search.actors_along([*_way_to(arrivals, transition.packed, last), transition]))


def path_to(search: Search, states: Sequence[int], depth: int) -> Path:
    """The shortest way to any of the states, which are `depth` micro-steps away, with the fewest pre-emptions."""
    arrivals = _arrivals(search, *_ancestry(search, set(states), depth))
    ways = [(arrival.cost, packed, last) for packed in states for last, arrival in arrivals.get(packed, {}).items()]
    if not ways:
        raise AssertionError("no way back from these states")
    _, packed, last = min(ways, key=lambda way: way[0])
    return path_of(search, search.actors_along(_way_to(arrivals, packed, last)))


class IncomingEdge(NamedTuple):
    """A transition on a nearest way, seen from where it leads to."""

    before: int
    actor: Actor
    image: Image | None
    """How the names change with it; None: not at all."""


Edges = dict[int, list[IncomingEdge]]
"""State → the transitions into it."""


def _ancestry(search: Search, states: set[int], depth: int) -> tuple[list[int], Edges]:
    """The states on nearest ways to any of `states`, first ones first, and the transitions between them."""
    wanted = states
    order: list[int] = []
    edges: Edges = {}
    for level in range(depth, -1, -1):
        later: set[int] = set()
        for packed in reversed(search.levels[level]):
            if _leads(search, packed, search.cache.starters, later, edges):
                wanted.add(packed)
            if packed in wanted:
                later.add(packed)
                order.append(packed)
        before = search.levels[level - 1] if level else ()
        wanted = {packed for packed in before if _leads(search, packed, search.cache.tasks, later, edges)}
    order.reverse()
    return order, edges


def _leads(search: Search, packed: int, actors: Sequence[Actor], later: set[int], edges: Edges) -> bool:
    """Whether one of the actors leads from a state to one of `later`; the transitions are added to `edges`."""
    found = False
    for actor in actors:
        effect = turned(search.cache.effect(actor, packed))
        if not effect:
            continue
        after, image = search.stands_for(packed ^ effect)
        if after in later and after != packed:
            edges.setdefault(after, []).append(IncomingEdge(packed, actor, image))
            found = True
    return found


def _arrivals(search: Search, order: list[int], edges: Edges) -> dict[int, dict[Actor | None, _Arrival]]:
    """For each state and whoever moved last, the cheapest way there."""
    arrivals: dict[int, dict[Actor | None, _Arrival]] = {0: {None: _Arrival((0, 0), 0, None, None)}}
    for packed in order:
        here = arrivals.setdefault(packed, {})
        for before, actor, image in edges.get(packed, ()):
            for last, arrival in arrivals.get(before, {}).items():
                cost = _cost(search, arrival.cost, before, last, actor)
                mover = last if actor.permission is not None else actor.first
                if mover is not None and image is not None:
                    mover = image.actor(mover)
                if mover is not None and packed & mover.control.mask == mover.idle:
                    mover = None
                if mover not in here or cost < here[mover].cost:
                    here[mover] = _Arrival(cost, before, last, actor)
    return arrivals


def _cost(search: Search, cost: Cost, packed: int, last: Actor | None, actor: Actor) -> Cost:
    """The cost of `actor` moving on in a state where `last` has moved before."""
    if actor.permission is not None or last is actor.first:
        return cost
    preempted = last is not None and search.cache.effect(last, packed) != 0
    return cost[0] + preempted, cost[1] + 1


def _way_to(arrivals: dict[int, dict[Actor | None, _Arrival]], packed: int, last: Actor | None) -> list[Transition]:
    """The transitions of the best way to a state in which `last` has moved last, from the start."""
    steps: list[Transition] = []
    while (arrival := arrivals[packed][last]).actor is not None:
        packed, last = arrival.before, arrival.last
        steps.append(Transition(packed, arrival.actor))
    return steps[::-1]


def path_of(search: Search, actors: Sequence[Actor]) -> Path:
    """What happens if these move one after the other, from the start."""
    states, actions, preemptions = [0], [], 0
    last: Actor | None = None
    for actor in actors:
        packed = states[-1]
        actions.append(action_of(search, actor, packed))
        preemptions = _cost(search, (preemptions, 0), packed, last, actor)[0]
        after = packed ^ turned(search.cache.effect(actor, packed))
        states.append(after)
        last = last if actor.permission is not None else actor.first
        if last is not None and after & last.control.mask == last.idle:
            last = None
    return Path(tuple(actions), tuple(states), preemptions)


def action_of(search: Search, actor: Actor, packed: int) -> Action:
    """What an actor does in a state, by names."""
    if actor.permission is None:
        return Action(actor.task, None, search.cache.pages(actor, packed))
    running = {task.task: packed & task.control.mask != task.idle for task in search.cache.tasks}
    return Action(next(name for name in actor.permission.tasks if not running[name]), actor.permission)


def replay(scene: SearchProblem, actions: Sequence[Action]) -> Iterator[ReplayedAction]:
    """Make the moves on the plain kernel. AssertionError if one of them is not possible there."""
    context, checker = scene.context, scene.checker
    for action in actions:
        command = command_of(action, context.state)
        *_, moved = carry_out(context, checker, command)
        assert isinstance(moved.now, Ended)
        context, outcome = moved.now
        if outcome.status == "blocked" or (action.starts is not None and outcome.status != "ok"):
            raise AssertionError(f"`{command.text}` cannot be done there: {outcome}")
        checker = moved.checker
        yield ReplayedAction(action, context.state, checker, moved.stepped, moved.violations)


def command_of(action: Action, state: State) -> Command:
    """The command that does an action in a state."""
    if action.starts is None:
        return step_task(action.task, action.pages)
    return begin_task(action.task, action.starts.command, action.starts.cpu_in(state))


def as_script(search: Search, actions: Sequence[Action], cut: int = -1) -> tuple[str, ...]:
    """The commands that lead from an empty machine along `actions`; a new one begins at move number `cut`."""
    lines = list(search.scene.script)
    states = states_along(search, actions)
    position = 0
    while position < len(actions):
        action, first = actions[position], position
        if action.starts is not None or action.pages:
            lines.append(command_of(action, search.cache.tracked(states[position])).text)
            position += 1
            continue
        position += 1
        while position < len(actions) and actions[position] == action and position != cut:
            position += 1
        count, actor = position - first, actor_of(search, action, states[first])
        if states[position] & actor.control.mask == actor.idle:
            lines.append(f"finish {action.task}")
        else:
            lines.append(f"step {action.task} {count}" if count > 1 else f"step {action.task}")
    return tuple(lines)


def states_along(search: Search, actions: Sequence[Action]) -> list[int]:
    """The packed states that moves lead through, the start among them. Moves that are not possible change nothing."""
    states = [0]
    for action in actions:
        effect = search.cache.effect(actor_of(search, action, states[-1]), states[-1])
        states.append(states[-1] ^ turned(effect))
    return states


def actor_of(search: Search, action: Action, packed: int) -> Actor:
    """The actor that takes an action in a state."""
    if action.starts is not None:
        return next(actor for actor in search.cache.starters if actor.permission == action.starts)
    cache = search.cache
    actors = [actor for actor in cache.tasks if actor.task == action.task]
    if not action.pages:
        return actors[0]
    return next((actor for actor in actors if cache.pages(actor, packed) == action.pages), actors[0])


def verified(search: Search, prop: Property, path: Path) -> Path:
    """The path, after it was walked on the plain kernel. AssertionError if that does not break the rule."""
    verified_in(search.scene, prop, path.actions)
    return path


def verified_in(scene: SearchProblem, prop: Property, actions: Sequence[Action]) -> None:
    """Walk moves on the plain kernel of a scene. AssertionError if that does not break the rule."""
    done = list(replay(scene, actions))
    if (stated := scene.property_named(prop[0])) is not None:
        last = Moment(done[-1].state, checker=done[-1].checker) if done else Moment(scene.context.state)
        if not stated.broken_at_once(last):
            raise AssertionError(f"the plain kernel does not break `{prop[0]}` there")
    elif done and prop not in {(broken.invariant, broken.severity) for broken in done[-1].violations}:
        raise AssertionError(f"the plain kernel does not break {prop[0]} there")
