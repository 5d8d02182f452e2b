"""A path that a search has found, in time and space."""

from collections.abc import Sequence

from model.search.paths import Action, replay
from model.search.problem import SearchProblem
from model.session.interleaving import Interleaving, Lane, LaneStep, interleave
from model.session.step_reads import StateEntry, reads_of


def of_path(problem: SearchProblem, moves: Sequence[Action]) -> Interleaving:
    """The path from where the search set out, a lane for each command that was started.

    Raises AssertionError where the moves are not possible there.
    """
    lanes: list[Lane] = []
    known: dict[str, int] = {}
    steps: list[LaneStep] = []
    before = problem.context.state
    for made in replay(problem, moves):
        task = made.action.task
        if task not in known:
            record = made.state.tasks.get(task) or before.tasks.get(task)
            command = made.action.starts.command.text if made.action.starts else task
            known[task] = len(lanes)
            lanes.append(Lane(task, command, record.cpu if record else -1))
        if made.stepped is not None:
            writes = {StateEntry(change.table, change.key): change for change in made.stepped.changes}
            ends = made.stepped.result is not None
            steps.append(
                LaneStep(
                    known[task],
                    made.stepped.procedure,
                    made.stepped.step,
                    reads_of(before, task),
                    writes,
                    made.violations,
                    made.state,
                    ends,
                )
            )
        before = made.state
    return interleave(lanes, steps, problem.context.state)


def steps_among(moves: Sequence[Action]) -> int:
    """How many of these moves are micro-steps; the others start a command."""
    return sum(move.starts is None for move in moves)
