"""A small state space as a graph of plain values: every state, every transition, and how each end turns out."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, NamedTuple, cast

from model.engine.procedure import Procedure
from model.invariants.checker import Checker
from model.invariants.violation import SEVERITIES
from model.memory.state import State
from model.script.context import Context
from model.search.bfs import Search
from model.search.paths import Action, action_of, replay, turned
from model.search.problem import SearchProblem
from model.search.transition_cache import Actor, Effect

MOST_STATES: Final = 1000
"""States of the largest space that is drawn: two calls against each other."""
MOST_CLASSED: Final = 60_000
"""States of the largest space whose layers are sorted by what is broken in them."""

Class = Literal["safe", "hazard", "corruption", "splat", "blocked"]
"""How a state stands. `blocked`: every task waits for another, and nothing worse has happened."""


class NumberedAction(NamedTuple):
    """One transition, by names that mean something in another process too."""

    task: str
    starts: int = -1
    """The number of the permission that starts it; -1: it makes a micro-step."""
    pages: tuple[int, ...] = ()
    """What the allocations of the micro-step get, where that is open."""


class GraphNode(NamedTuple):
    """A state; one that is reached with and without harm is two places."""

    depth: int
    """Transitions from the start, starts of commands among them."""
    standing: Class
    """The worst that stands in it, or was done on the way to it and is not taken back."""
    ends: bool
    """Nothing more can happen."""


class Edge(NamedTuple):
    """A transition between places."""

    start: int
    end: int
    """Indices of places."""
    step: NumberedAction
    name: str
    """`procedure.step`, or the command that begins."""
    severity: str
    """The worst that it breaks; empty: nothing."""


class StateGraph(NamedTuple):
    """The whole state space."""

    states: int
    places: tuple[GraphNode, ...]
    """The start first, then by depth."""
    edges: tuple[Edge, ...]


class Layer(NamedTuple):
    """How many states there are at one depth in micro-steps."""

    states: int
    broken: tuple[tuple[str, int], ...] = ()
    """Severity → into how many of them a step leads that does it. Of very large spaces it is not counted."""


def numbered_action(scene: SearchProblem, action: Action) -> NumberedAction:
    """An action with its permission by number."""
    return NumberedAction(action.task, scene.permissions.index(action.starts) if action.starts else -1, action.pages)


def state_graph(search: Search) -> StateGraph:
    """Every state of a complete search, in the order in which a walk by single transitions finds them."""
    return _GraphWalk(search).walked()


SeverePlace = tuple[int, str]
"""A packed state, and the worst harm of the way to it that is not taken back: corruption, splat or nothing."""


class _GraphWalk:
    """Breadth first; the plain kernel comes along, for what stands in each state.

    Two ways that end in the same memory, one with and one without corruption, end in two places.
    """

    def __init__(self, search: Search) -> None:
        self.search: Final = search
        self.numbers: Final[dict[SeverePlace, int]] = {(0, ""): 0}
        scene = search.scene
        self.machines: Final[list[tuple[State, Checker]]] = [(scene.context.state, scene.checker)]
        self.depths: Final = [0]
        self.edges: Final[list[Edge]] = []

    def walked(self) -> StateGraph:
        """Every place and every edge."""
        order: list[SeverePlace] = [(0, "")]
        for place in order:
            for actor in (*self.search.cache.tasks, *self.search.cache.starters):
                if effect := self.search.cache.effect(actor, place[0]):
                    self._edge(place, actor, effect, order)
        return StateGraph(len({packed for packed, _ in order}), tuple(self._places(order)), tuple(self.edges))

    def _edge(self, place: SeverePlace, actor: Actor, effect: Effect, order: list[SeverePlace]) -> None:
        """A transition, and the place behind it if that is new."""
        packed, harm = place
        here = self.numbers[place]
        action = action_of(self.search, actor, packed)
        severity = worst_of(effect)
        lasting = [one for one in (harm, severity) if one not in {"", "hazard"}]
        after = packed ^ turned(effect), max(lasting, key=SEVERITIES.index, default="")
        if after not in self.numbers:
            self.numbers[after] = len(order)
            order.append(after)
            self.depths.append(self.depths[here] + 1)
            state, checker = self.machines[here]
            done = next(replay(self.search.scene._replace(context=Context(state), checker=checker), (action,)))
            self.machines.append((done.state, done.checker))
        name = action.starts.command.text if action.starts else self._step(here, action)
        self.edges.append(Edge(here, self.numbers[after], numbered_action(self.search.scene, action), name, severity))

    def _step(self, here: int, action: Action) -> str:
        """The micro-step that a task makes next."""
        running = cast("Procedure", self.machines[here][0].tasks[action.task].stack[-1])
        return f"{running.function}.{running.next_name}"

    def _places(self, order: list[SeverePlace]) -> list[GraphNode]:
        """The places with their classes."""
        onward = {edge.start for edge in self.edges}
        tasks = self.search.cache.tasks
        places = []
        for number, (packed, harm) in enumerate(order):
            found: list[str] = [violation.severity for violation in self.machines[number][1].violations]
            worst = max((*found, *([harm] if harm else [])), key=SEVERITIES.index, default="safe")
            ends = number not in onward
            if ends and worst == "safe" and any(packed & task.control.mask != task.idle for task in tasks):
                worst = "blocked"
            places.append(GraphNode(self.depths[number], cast("Class", worst), ends))
        return places


def worst_of(effect: Effect) -> str:
    """The worst that a transition breaks; empty: nothing."""
    severities = [] if isinstance(effect, int) else [severity for _, severity in effect[1]]
    return max(severities, key=SEVERITIES.index, default="")


def layers(search: Search) -> tuple[Layer, ...]:
    """How many states there are at each depth, by the worst that a step into them does."""
    if len(search.seen) > MOST_CLASSED:
        return tuple(Layer(len(level)) for level in search.levels)
    worst: dict[int, str] = {}
    for level in search.levels:
        for packed in level:
            for actor in search.cache.tasks:
                effect = search.cache.effect(actor, packed)
                if severity := worst_of(effect):
                    after = search.canonical(packed ^ turned(effect))
                    worst[after] = max(severity, worst.get(after, severity), key=SEVERITIES.index)
    counted = [Counter(worst[packed] for packed in level if packed in worst) for level in search.levels]
    return tuple(
        Layer(len(level), tuple(sorted(count.items()))) for level, count in zip(search.levels, counted, strict=True)
    )
