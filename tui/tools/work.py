"""What the tools do, each in a process of its own: text in, plain values out; no file is read or written."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from model.compare.owner_acts import OwnerAct, of_owner
from model.compare.scenes import DriverRow
from model.compare.table import CellQuestion, review_questions
from model.text.problems import ScriptError, ScriptProblem
from tui.jobs.alarm import raising_after
from tui.jobs.limits import limit_memory, memory_now, with_growth

if TYPE_CHECKING:
    from model.search.bfs import SearchProgress
    from model.search.problem import SearchProblem
    from model.search.strategy import SearchOutcome

MOST_PROBLEMS: Final = 50
"""Problems of a script or driver that are told."""
OVERDUE: Final = 2
"""Seconds beyond its limit after which a search that does not ask for the time is broken off."""
MOST_ANSWER: Final = 400_000
"""Characters of the commands that one answer tells of."""

Detail = Literal["none", "changes"]
"""What is told of the machine after each command."""
Tell = Callable[[object], None]
Progress = Callable[["SearchProgress"], bool]
"""Hears how far a search is; False ends it."""


class WorkRefused(NamedTuple):
    """Why there is no answer: the script or driver is wrong, or memory ran out."""

    why: str


class ToolLimits(NamedTuple):
    """What one call may take."""

    seconds: int
    memory: int
    """MiB."""
    most_states: int = 1_000_000


def listed(problems: Sequence[ScriptProblem], what: str) -> str:
    """Problems, one a line; of very many the first."""
    more = len(problems) - MOST_PROBLEMS
    lines = [problem.located(what) for problem in problems[:MOST_PROBLEMS]]
    return "\n".join([*lines, f"and {more} more problems"] if more > 0 else lines)


def refusing(work: Callable[[], object], tell: Tell, limits: ToolLimits) -> None:
    """Do some work for a tool; what it refuses becomes a WorkRefused with the reason."""
    limit_memory(limits.memory << 20)
    try:
        tell(work())
    except ScriptError as error:
        tell(WorkRefused(listed(error.problems, "script")))
    except MemoryError:
        tell(WorkRefused(f"memory ran out: one call may take {limits.memory} MiB here"))
    except RecursionError:
        tell(WorkRefused("it is nested too deeply"))


class ReviewScenes(NamedTuple):
    """What a review asks."""

    asked: tuple[CellQuestion, ...]
    acts: tuple[OwnerAct, ...]


def review_scenes(tell: Tell, limits: ToolLimits, row: DriverRow, kernel: str) -> None:
    """Tell the scenes of a review: to find out what an operation needs, others are tried; runs in another process."""
    refusing(lambda: ReviewScenes(review_questions(row, kernel), of_owner(row, kernel, ())), tell, limits)


def run(tell: Tell, limits: ToolLimits, script: str, state: Detail) -> None:
    """Carry a script out; runs in another process."""
    refusing(lambda: _run(script, state), tell, limits)


def _run(script: str, state: Detail) -> dict[str, Any]:
    from model.script.execute import check_simulated
    from model.script.parser import parse
    from model.script.runner import Runner
    from model.script.trace import trace_line

    commands = parse(script)
    check_simulated(commands)
    runner = Runner()
    told: list[msgspec.Raw] = []
    length = held_not = left_out = 0
    violations: list[dict[str, str]] = []
    for command in sorted(commands, key=lambda command: command.verb == "final"):
        account = runner.perform(command)
        held_not += (account.outcome.status == "failed") + len(account.properties)
        violations += [
            {"invariant": one.invariant, "severity": one.severity, "command": command.text, "message": one.message}
            for one in account.violations
        ]
        line = trace_line(account, state)
        length += len(line)
        if length > MOST_ANSWER:
            left_out += 1
        else:
            told.append(msgspec.json.decode(line))
    return {
        "held": not held_not,
        "violations": violations[:MOST_TOLD],
        "commands": told,
        "commands_left_out": left_out,
        "script": script,
    }


MOST_TOLD: Final = 1000
"""Violations that one answer tells of."""


def explore(tell: Tell, limits: ToolLimits, script: str, preemptions: int | None) -> None:
    """Search what a script permits; runs in another process."""
    refusing(lambda: _explore(limits, script, preemptions), tell, limits)


def _explore(limits: ToolLimits, script: str, preemptions: int | None) -> dict[str, Any]:
    from model.script.parser import parse
    from model.search.bfs import Search, SearchProgress
    from model.search.part_searches import up_to
    from model.search.problem import set_up
    from model.search.report import report
    from model.search.strategy import SearchOutcome
    from tui.views.search_json import as_object, status

    scene = set_up(parse(script))
    began, due = time.process_time(), time.monotonic() + limits.seconds
    ended: list[str] = []

    def allow(progress: SearchProgress) -> bool:
        if time.monotonic() > due:
            ended.append(f"it took more than {limits.seconds} seconds")
        elif memory_now() > limits.memory * ROOM or with_growth(progress) > limits.memory:
            ended.append(f"it took more than {limits.memory} MiB")
        return not ended

    if preemptions is None:
        made = searched(scene, limits, allow)
        if not made.search.complete and not ended and time.monotonic() > due:
            ended.append(f"it took more than {limits.seconds} seconds")
    else:
        search = Search(scene)
        made = SearchOutcome(search, up_to(search, preemptions, limits.most_states, allow))
    found = report(made.search, "", made.part, made.reduction)
    answer = as_object(found, time.process_time() - began)
    return plain({**answer, "exit_status": status(found), "ended": ended[0] if ended else None})


def searched(scene: "SearchProblem", limits: ToolLimits, allow: Progress) -> "SearchOutcome":
    """Search a scene. Where that goes on beyond its time what was visited breadth first is the answer."""
    from model.search.strategy import SearchOutcome, Strategy
    from model.search.symmetry import AsymmetryError

    def begun(*, symmetry: bool) -> "SearchOutcome":
        strategy = Strategy(scene, limits.most_states, allow, lambda _: False, symmetry=symmetry)
        try:
            return strategy.run(every_state=False)
        except OverdueError:
            return SearchOutcome(strategy.first)

    with raising_after(limits.seconds + OVERDUE, OverdueError):
        try:
            return begun(symmetry=True)
        except AsymmetryError:
            return begun(symmetry=False)


class OverdueError(Exception):
    """The work has gone on beyond its time."""


ROOM: Final = 0.7
"""Of the memory that a process may take, so much may be taken when a search ends: the rest is for telling."""


def plain(value: object) -> dict[str, Any]:
    """The same as values of JSON, numbers of any length among them."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return made
