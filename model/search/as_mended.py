"""The way into a bug, walked again on the machine that is mended: where the two part, and which steps the fix changed.

The way is a schedule that a search has found. On the other machine the same tasks move in the same order as long as
they can: a step is not made where its task waits, is over, or was never begun. In the end all run to their ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.memory.state import Change, State
from model.script.context import Context
from model.script.drive import carry_out
from model.script.execute import Ended
from model.search.paths import Action, command_of
from model.search.problem import SearchProblem

MOST_STEPS: Final = 5000
"""Micro-steps that tasks make to come to their ends: far more than any scene has."""
CONTEXT: Final = 2
"""Steps that are shown before and behind those that differ."""


class WalkedMove(NamedTuple):
    """A move of the way on one of the two machines."""

    action: Action
    state: State
    stepped: Stepped | None
    """None where a command was started, or nothing could be done."""
    waits: str
    """What the task waits for, so that the step was not made."""
    answer: str
    """How its command ended with it; empty: it has not."""
    violations: tuple[Violation, ...]
    done: bool
    """The move was made: False where its task waits, is over, or was never begun."""

    @property
    def step(self) -> str:
        """`procedure.step`; empty where none was made."""
        return f"{self.stepped.procedure}.{self.stepped.step}" if self.stepped is not None and self.done else ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What the step changed."""
        return self.stepped.changes if self.stepped is not None and self.done else ()

    def same_as(self, other: WalkedMove) -> bool:
        """Whether both machines did the same, as far as it shows: the step, what it changed, how the command ended."""
        mine = (self.done, self.step, self.changes, self.answer)
        return mine == (other.done, other.step, other.changes, other.answer)


class SecondWalk(NamedTuple):
    """The same way on the other machine."""

    moves: tuple[WalkedMove, ...]
    """One a move of the way …"""
    rest: tuple[WalkedMove, ...]
    """… and those that lead every task to its end."""


def walk(scene: SearchProblem, actions: Sequence[Action]) -> SecondWalk:
    """Make the moves of a way on a machine that may refuse some of them."""
    walker = _Walker(scene)
    moves = tuple(walker.move(action) for action in actions)
    return SecondWalk(moves, tuple(walker.to_the_end()))


class _Walker:
    """A machine on which moves are tried."""

    def __init__(self, scene: SearchProblem) -> None:
        self.scene = scene
        self.context: Context = scene.context
        self.checker: Checker = scene.checker

    def move(self, action: Action) -> WalkedMove:
        """Make a move, if it can be made here."""
        known = own(self.scene, action)
        running = action.task in self.context.state.tasks
        if known is None or (action.starts is None and not running) or (action.starts is not None and running):
            return WalkedMove(action, self.context.state, None, "", "", (), done=False)
        *_, moved = carry_out(self.context, self.checker, command_of(known, self.context.state))
        assert isinstance(moved.now, Ended)
        context, outcome = moved.now
        if outcome.status == "blocked" or (action.starts is not None and outcome.status != "ok"):
            return WalkedMove(action, self.context.state, moved.stepped, outcome.on, str(outcome), (), done=False)
        self.context, self.checker = context, moved.checker
        over = moved.stepped is not None and moved.stepped.result is not None
        answer = str(outcome) if over else ""
        return WalkedMove(action, context.state, moved.stepped, "", answer, moved.violations, done=True)

    def to_the_end(self) -> Iterator[WalkedMove]:
        """Let every task that is under way go on, one after the other, as long as one of them can."""
        made, left = True, MOST_STEPS
        while made and left > 0:
            made = False
            for task in sorted(self.context.state.tasks):
                while task in self.context.state.tasks and left > 0:
                    move = self.move(Action(task))
                    left -= 1
                    if not move.done:
                        break
                    made = True
                    yield move


def own(scene: SearchProblem, action: Action) -> Action | None:
    """The move with this machine's own permission to start the command; None: it permits none of that name."""
    if action.starts is None:
        return action
    mine = next((one for one in scene.permissions if action.task in one.tasks), None)
    return None if mine is None else action._replace(starts=mine)


# -- where they part ---------------------------------------------------------------------------


def parting(before: Sequence[WalkedMove], after: Sequence[WalkedMove]) -> int | None:
    """The number of the first move that is not the same on both machines; None: there is none."""
    pairs = zip(before, after, strict=True)
    return next((number for number, (one, other) in enumerate(pairs) if not one.same_as(other)), None)


class StepLine(NamedTuple):
    """A line of the difference: a micro-step that both machines make (` `), only the old one (`-`) or the new (`+`)."""

    sign: Literal[" ", "-", "+"]
    step: str
    changes: tuple[Change, ...]
    answer: str
    violations: tuple[Violation, ...]


class TaskDifference(NamedTuple):
    """What is different for one task."""

    task: str
    lines: tuple[StepLine, ...]


def difference(before: SecondWalk, after: SecondWalk) -> tuple[TaskDifference, ...]:
    """The micro-steps of each task on both machines, as far as they differ, each with some that are the same."""
    walks = [(*one.moves, *one.rest) for one in (before, after)]
    tasks = dict.fromkeys(move.action.task for moves in walks for move in moves)
    found = (TaskDifference(task, tuple(_lines(*(_of(task, moves) for moves in walks)))) for task in tasks)
    return tuple(each for each in found if each.lines)


def _of(task: str, moves: Sequence[WalkedMove]) -> list[WalkedMove]:
    return [move for move in moves if move.action.task == task and move.step]


def _lines(old: list[WalkedMove], new: list[WalkedMove]) -> Iterator[StepLine]:
    """The steps that differ, and CONTEXT of those around them."""
    matcher = SequenceMatcher(
        None, [_compared(move) for move in old], [_compared(move) for move in new], autojunk=False
    )
    for group in matcher.get_grouped_opcodes(CONTEXT):
        for kind, first, last, start, end in group:
            if kind == "equal":
                yield from (_line(" ", move) for move in old[first:last])
                continue
            yield from (_line("-", move) for move in old[first:last])
            yield from (_line("+", move) for move in new[start:end])


def _compared(move: WalkedMove) -> tuple[str, tuple[Change, ...], str]:
    """What of a step makes it the same as another."""
    return move.step, move.changes, move.answer


def _line(sign: Literal[" ", "-", "+"], move: WalkedMove) -> StepLine:
    return StepLine(sign, move.step, move.changes, move.answer, move.violations)
