"""What became of each command in a search, and schedules that never end: tasks wait for each other, or for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from model.engine.procedure import advance
from model.memory.state import State
from model.search.bfs import Search
from model.search.paths import Action, action_of, as_script, states_along, turned
from model.search.problem import Permission
from model.search.symmetry import Symmetry
from model.search.transition_cache import Actor, TransitionCache

OK: Final = "ok"
NOTHING_SHOWN: Final = frozenset({"EINVAL", "ENOSPC", "ENOMEM", "EEXIST"})
"""Errnos of a call that was not possible as it was made; whoever guards a page has others."""


class CommandUse(NamedTuple):
    """What became of a permitted command."""

    permission: Permission
    started: bool
    """In some schedule."""
    outcomes: tuple[str, ...]
    """Every way in which it ended: `ok`, errnos, signals; sorted, `ok` first."""

    @property
    def took_place(self) -> bool:
        """Whether the command came to something in some schedule: done, a signal, or a refusal by who guards the page.

        EFAULT from GUP or EBUSY from migration is what one wants to see. A command that never got so far as to be
        refused, or that failed for want of room or by its arguments, shows nothing.
        """
        return any(outcome not in NOTHING_SHOWN for outcome in self.outcomes)


def command_uses(cache: TransitionCache, symmetry: Symmetry | None) -> tuple[CommandUse, ...]:
    """What became of every permitted command, in the order of the `may` lines.

    Where names can take each other's place, what one of them met was met by all.
    """
    tasks = {actor.task: actor for actor in cache.threads}
    found = []
    for starter in cache.starters:
        permission = starter.permission
        assert permission is not None
        actors = [tasks[name] for name in permission.tasks]
        outcomes = {outcome for actor in actors for outcome in cache.outcomes(actor)}
        started = any(effect for cell in starter.cells.values() for effect in cell.effects.values())
        found.append(CommandUse(permission, started, _in_order(outcomes)))
    return tuple(found) if symmetry is None else tuple(_shared(symmetry, found))


def _in_order(outcomes: set[str]) -> tuple[str, ...]:
    return tuple(sorted(outcomes, key=lambda outcome: (outcome != OK, outcome)))


def _shared(symmetry: Symmetry, uses: list[CommandUse]) -> list[CommandUse]:
    """Permissions that are exchanged with each other have the same uses."""
    shared = []
    for number, use in enumerate(uses):
        alike = {number} | {image.renaming.permissions[number] for image in symmetry.images}
        outcomes = {outcome for other in alike for outcome in uses[other].outcomes}
        started = any(uses[other].started for other in alike)
        shared.append(CommandUse(use.permission, started, _in_order(outcomes)))
    return shared


# -- schedules without an end ------------------------------------------------------------------


class Waiting(NamedTuple):
    """A task that can never go on."""

    task: str
    command: str
    on: str
    """What it waits for, as the kernel's call says it."""
    held_by: tuple[str, ...]
    """The tasks that hold it; empty: nobody does, it waits for something that nobody will do."""


class HeldLock(NamedTuple):
    """A lock where nothing can go on."""

    lock: str
    """What it is and whose: `mmap_lock of p0`."""
    writer: str
    """The task that has it for itself; empty if none."""
    readers: tuple[str, ...]


class NeverEnds(NamedTuple):
    """The nearest schedule that does not end."""

    kind: Literal["deadlock", "waits for ever"]
    """Tasks that wait for each other in a circle, or a task that waits for what nobody does any more."""
    waiting: tuple[Waiting, ...]
    moves: tuple[Action, ...]
    script: tuple[str, ...]
    locks: tuple[HeldLock, ...] = ()
    """Every lock that some task holds there."""
    references: tuple[str, ...] = ()
    """The references that nobody has put."""


def never_ends(search: Search, known: tuple[Action, ...] | None = None) -> NeverEnds | None:
    """The nearest schedule in which a task waits and nothing else can happen; None if there is none.

    `known`: moves that lead there, where another search has found them.
    """
    moves = known
    if search.stuck is not None:
        moves = nearest(search, lambda packed: is_stuck(search, packed))
        assert moves is not None, "the search has seen such a state"
    if moves is None:
        return None
    packed = states_along(search, moves)[-1]
    waiting = tuple(_waiting(search, actor, packed) for actor in search.cache.threads if _runs(actor, packed))
    in_circle = all(one.held_by for one in waiting) and len(waiting) > 1
    kind: Literal["deadlock", "waits for ever"] = "deadlock" if in_circle else "waits for ever"
    state = search.cache.state(packed)
    return NeverEnds(kind, waiting, moves, as_script(search, moves), _held_locks(state), _held_references(state))


def _held_references(state: State) -> tuple[str, ...]:
    """Those that have pages: a job that is done has none."""
    return tuple(sorted(name for name, reference in state.references.items() if reference.frames))


def _held_locks(state: State) -> tuple[HeldLock, ...]:
    held = sorted(state.locks.items())
    return tuple(HeldLock(f"{kind} of {owner}", lock.writer, lock.readers) for (kind, owner), lock in held)


def is_stuck(search: Search, packed: int) -> bool:
    """Some task is under way, and nothing can happen any more."""
    cache = search.cache
    if not any(_runs(actor, packed) for actor in cache.tasks):
        return False
    return not any(cache.effect(actor, packed) for actor in (*cache.tasks, *cache.starters))


def nearest(search: Search, wanted: Callable[[int], bool]) -> tuple[Action, ...] | None:
    """The moves into the nearest state that is wanted, under the names of the start; None if there is none.

    Starting a command counts as a move here.
    """
    cache = search.cache
    before: dict[int, tuple[int, Actor] | None] = {0: None}
    level = [0]
    while level:
        following = []
        for packed in level:
            if wanted(packed):
                return _walked(search, before, packed)
            for actor in (*cache.tasks, *cache.starters):
                after = packed ^ turned(cache.effect(actor, packed))
                if after not in before:
                    before[after] = packed, actor
                    following.append(after)
        level = following
    return None


def _walked(search: Search, before: dict[int, tuple[int, Actor] | None], packed: int) -> tuple[Action, ...]:
    moves = []
    while (step := before[packed]) is not None:
        packed, actor = step
        moves.append(action_of(search, actor, packed))
    return tuple(reversed(moves))


def _runs(actor: Actor, packed: int) -> bool:
    return packed & actor.control.mask != actor.idle


def _waiting(search: Search, actor: Actor, packed: int) -> Waiting:
    state = search.cache.state(packed)
    on = _blocked_on(state, actor.task)
    commands = {name: one.command.text for one in search.scene.permissions for name in one.tasks}
    others = {name for name in state.tasks if name != actor.task}
    held_by = tuple(sorted(name for name in others if name in on.split() or f"task {name}" in on))
    return Waiting(actor.task, commands.get(actor.task, actor.task), on, held_by)


def _blocked_on(state: State, task: str) -> str:
    """What a task says that it waits for."""
    return advance(state, task).blocked
