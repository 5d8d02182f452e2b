"""The search as one would write it first: whole States in a set, every step run on the kernel, nothing remembered."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from model.engine.procedure import advance
from model.invariants.checker import Checker
from model.invariants.violation import Severity
from model.memory.state import State
from model.script.context import Outcome
from model.script.execute import task_begun
from model.search.problem import SearchProblem


class Found(NamedTuple):
    """What a whole search finds."""

    states: int
    transitions: int
    distances: dict[tuple[str, Severity], int]
    """Invariant and severity → the fewest micro-steps into it."""


class Place(NamedTuple):
    """A state of the search."""

    state: State
    left: tuple[int, ...]
    """How often each permission may still be used; -1 for one without limit."""


Same = Callable[[Place], Hashable]
"""What two places have in common that count as the same."""


def search(scene: SearchProblem, same: Same = lambda place: place, ends: list[Place] | None = None) -> Found:
    """Everything that a scene can reach. `ends` gathers the places where nothing more can happen."""
    start = Place(scene.context.state, tuple(permission.times or -1 for permission in scene.permissions))
    seen = {same(start)}
    checkers = {start: scene.checker}
    distances = {(broken.invariant, broken.severity): 0 for broken in scene.checker.violations}
    level, depth, transitions = [start], 0, 0
    while level:
        moved: set[Place] = set()
        for place in level:
            for number, permission in enumerate(scene.permissions):
                name = next((name for name in permission.tasks if name not in place.state.tasks), None)
                if not place.left[number] or name is None:
                    continue
                begun = task_begun(place.state, name, permission.command, permission.cpu_in(place.state))
                if isinstance(begun, Outcome):
                    continue
                transitions += 1
                moved.add(place)
                left = list(place.left)
                left[number] -= left[number] > 0
                after = Place(begun, tuple(left))
                if same(after) not in seen:
                    seen.add(same(after))
                    checkers[after] = Checker.full(begun)
                    level.append(after)
        following = []
        for place in level:
            for task in sorted(place.state.tasks):
                stepped = advance(place.state, task)
                if stepped.blocked:
                    continue
                transitions += 1
                moved.add(place)
                checker, violations = checkers[place].follow(place.state, ()).advance(place.state, stepped)
                for broken in violations:
                    distances.setdefault((broken.invariant, broken.severity), depth + 1)
                after = Place(stepped.state, place.left)
                if same(after) not in seen:
                    seen.add(same(after))
                    checkers[after] = checker
                    following.append(after)
        if ends is not None:
            ends += [place for place in level if place not in moved]
        level, depth = following, depth + 1
    return Found(len(checkers), transitions, distances)
