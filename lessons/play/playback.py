"""Commands of a lesson played on the machine: each becomes played steps, one for each micro-step.

Playing is pure: the same command from the same moment gives the same steps, so a player may look ahead, go back and
go forward again as it likes. What it really comes to, its session's history keeps.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lessons.file import schema as lesson_format
from lessons.file.problems import LessonError, LessonProblem
from lessons.i18n.lesson_folders import WORLDS
from lessons.play.grading import fill
from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.memory.state import Change
from model.script.command import Command
from model.script.context import OK, Context, Outcome
from model.script.drive import Moved, carry_out
from model.script.execute import MAIN, Running
from model.script.moment import Moment, NoAnswerError
from model.script.parser import parse, parse_line
from model.script.scope import Scope
from model.session.session import MOST_KEPT, Session
from model.session.timeline import Node
from model.text.problems import ScriptError


class Standing(msgspec.Struct, frozen=True):
    """Where the machine stands: what the next command starts from, and which invariants are broken."""

    context: Context
    checker: Checker

    @classmethod
    def at(cls, node: Node) -> "Standing":
        """At a node of the history; while a command is under way there, the last answer is that of the one before."""
        return cls(replace(node.context, state=node.state), node.checker)

    @property
    def moment(self) -> Moment:
        """What a condition or quantity of a lesson is asked about."""
        return Moment.after(self.context, self.checker)


class PlayedStep(msgspec.Struct, frozen=True):
    """One micro-step, or a command that has none (`device`, `begin` …), with what the author says to it."""

    node: Node
    """Where it leads; a history that is there grows it."""
    begun: Node | None = None
    """Where the command stands before its first micro-step, which this one is."""
    first: bool = False
    """The command begins with this step."""
    remark: str = ""
    """What the author adds to this micro-step."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What a history grows by."""
        return (self.node,) if self.begun is None else (self.begun, self.node)

    @property
    def command(self) -> str:
        """The command as written."""
        return self.node.command

    @property
    def standing(self) -> Standing:
        """The machine after the step."""
        return Standing.at(self.node)

    @property
    def stepped(self) -> Stepped | None:
        """The micro-step; None for a command that has none."""
        return self.node.stepped

    @property
    def outcome(self) -> Outcome | None:
        """How the command ended; None: it has not."""
        return self.node.outcome

    @property
    def fresh(self) -> tuple[Violation, ...]:
        """What this step broke."""
        return self.node.new

    @property
    def changes(self) -> tuple[Change, ...]:
        """What differs from the machine before it."""
        return self.node.changes

    @property
    def name(self) -> str:
        """`procedure.step`; empty for a command without micro-steps."""
        return f"{self.stepped.procedure}.{self.stepped.step}" if self.stepped else ""

    def is_step(self, name: str) -> bool:
        """Whether `name`, as `procedure.step` or the step alone, means this micro-step."""
        return self.stepped is not None and name in {self.stepped.step, self.name}


def power_on() -> Standing:
    """A machine that has just been booted, with nothing on it."""
    return Standing.at(Session().node)


def set_scene(lesson: lesson_format.Lesson, item: lesson_format.Item, session: Session | None = None) -> Standing:
    """The machine at the start of a scene: the item's world, then what the item sets further.

    `session`: in which it is set, as a way of its own from the start; it stands at the end of that then.

    Raises:
        LessonError: a script is malformed, or a command of it does not succeed.
    """
    session = session or Session()
    session.goto(0)
    file = str(Path(lesson.file).parent / WORLDS / f"{item.world}.pte")
    try:
        for command in parse(lesson.worlds[item.world]):
            _succeeded(session.perform(command), file, command.line)
    except ScriptError as error:
        raise _located(error, file, 0) from None
    for more in item.setup:
        try:
            _succeeded(session.run(more.text), lesson.file, more.line)
        except ScriptError as error:
            raise _located(error, lesson.file, more.line - 1) from None
    return at_the_start(session.node)


def at_the_start(node: Node) -> Standing:
    """The machine at the first node of a scene: there the commands that set it have no answer to ask for."""
    standing = Standing.at(node)
    return replace(standing, context=replace(standing.context, last=OK, violations=()))


def _succeeded(last: Node, file: str, line: int) -> None:
    """LessonError unless a command of a scene was granted; `last` is where it ended."""
    if last.outcome is not None and last.outcome.status != "ok":
        text = f"`{last.command}` sets the scene, but ends with: {last.outcome}"
        raise LessonError([LessonProblem(file, line, 1, text)])


def understand(line: str, standing: Standing) -> Command | None:
    """A command as it is typed before this machine; None for a blank line. Raises ScriptError."""
    return parse_line(line, Scope.of(standing.context.state))


def play_all(action: lesson_format.Do, standing: Standing, file: str) -> Iterator[PlayedStep]:
    """All steps of a `do` block. Raises LessonError."""
    for number, command in enumerate(action.commands, 1):
        until = action.until if number == len(action.commands) else ""
        for played_step in play(standing, command, file, until):
            standing = played_step.standing
            yield played_step


def play(
    standing: Standing, command: lesson_format.LessonCommand, file: str, until: str = ""
) -> tuple[PlayedStep, ...]:
    """All steps of a lesson's command, with the author's remarks; with `until` only up to that micro-step.

    Raises:
        LessonError: the command is malformed, or nothing of the kind is simulated.
    """
    try:
        understood = understand(command.text, standing)
    except ScriptError as error:
        raise _located(error, file, command.line - 1) from None
    if understood is None:
        return ()
    try:
        played_steps = list(_beats(standing, understood, until))
    except ScriptError as error:
        raise _located(error, file, command.line - 1) from None
    try:
        return tuple(_remarked(played_steps, command.remarks))
    except NoAnswerError as error:
        raise LessonError([LessonProblem(file, command.line, 1, f"a number in a remark: {error}")]) from None


def try_out(standing: Standing, line: str) -> tuple[PlayedStep, ...]:
    """All steps of a command that the learner typed; none for a blank line. Raises ScriptError."""
    understood = understand(line, standing)
    return tuple(_beats(standing, understood)) if understood else ()


def _beats(standing: Standing, command: Command, until: str = "") -> Iterator[PlayedStep]:
    """Carry a command out: a played step for each micro-step; past MOST_KEPT of them, one for all the rest.

    A task that goes on `until` a certain step is stopped there, and no command is under way afterwards: in the history
    it is moved step by step, beside whatever comes later.
    """
    moves = carry_out(standing.context, standing.checker, command)
    begun: Node | None = None
    for number, moved in enumerate(moves):
        if isinstance(moved.now, Running) and moved.stepped is None:
            begun = _node(standing, command, moved)
            continue
        if number > MOST_KEPT:
            yield PlayedStep(_node(standing, command, _all_of(moved, moves)))
            return
        node = _node(standing, command, moved)
        by_itself = begun is not None and begun.running is not None and begun.running.task != MAIN and bool(until)
        if by_itself and node.running is not None:
            node = replace(node, running=None, context=replace(standing.context, state=node.state))
        before = None if by_itself or number != 1 else begun
        played_step = PlayedStep(node, before, first=number <= 1)
        yield played_step
        if until and played_step.is_step(until):
            return


def _node(standing: Standing, command: Command, moved: Moved) -> Node:
    return Node.of(moved, command.text, standing.context)


def _all_of(first: Moved, rest: Iterable[Moved]) -> Moved:
    """Many moves as one."""
    changes = {(change.table, change.key): change for change in first.changes}
    violations, last = first.violations, first
    for last in rest:
        violations += last.violations
        for change in last.changes:
            known = changes.get((change.table, change.key), change)
            changes[change.table, change.key] = change._replace(old=known.old)
    return replace(last, changes=tuple(changes.values()), violations=violations)


def _remarked(played_steps: Iterable[PlayedStep], remarks: tuple[lesson_format.Remark, ...]) -> Iterator[PlayedStep]:
    """The steps with the author's remarks: each at the first micro-step it names that has none yet."""
    waiting = list(remarks)
    for played_step in played_steps:
        mine = next((remark for remark in waiting if played_step.is_step(remark.step)), None)
        if mine is not None:
            waiting.remove(mine)
            yield replace(played_step, remark=fill(mine.text, played_step.standing.moment))
        else:
            yield played_step


def _located(error: ScriptError, file: str, above: int) -> LessonError:
    """A script's problems at their places in the file around it; `above` lines stand before the script."""
    return LessonError(
        LessonProblem(file, above + problem.line, problem.column, problem.message) for problem in error.problems
    )
