"""Commands of a lesson played on the machine: each becomes a row of beats, one a micro-step.

Playing is pure: the same command from the same moment gives the same beats, so a player may look ahead, go back and
go forward again as it likes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lessons.file import schema as lesson_format
from lessons.file.problems import LessonError, LessonProblem
from lessons.play.expressions import Moment
from lessons.play.grading import fill
from lessons.play.operands import ExpressionError
from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.kernel.arch.boot import boot
from model.memory.state import Change
from model.script.command import Command
from model.script.context import OK, Context, Outcome
from model.script.drive import Moved, carry_out
from model.script.execute import Ended, Running
from model.script.parser import parse, parse_line
from model.script.problems import ScriptError
from model.script.scope import Scope
from model.session.timeline import Node


class Standing(NamedTuple):
    """Where the machine stands: what the next command starts from, and which invariants are broken."""

    context: Context
    checker: Checker

    @property
    def moment(self) -> Moment:
        """What an expression of a lesson is asked about."""
        last = self.context.last
        lasting = {violation.invariant for violation in self.checker.violations}
        happened = {violation.invariant for violation in self.context.violations}
        return Moment(
            self.context.state,
            last.status,
            last.errno or last.signal or last.on,
            last.value,
            frozenset(lasting | happened),
        )


class PlayedStep(NamedTuple):
    """One micro-step, or a command that has none (`device`, `begin` …)."""

    command: str
    standing: Standing
    """After it."""
    stepped: Stepped | None
    outcome: Outcome | None
    """How the command ended; None: it has not."""
    fresh: tuple[Violation, ...]
    """What this beat broke."""
    changes: tuple[Change, ...] = ()
    """What differs from the machine before it."""
    running: Running | None = None
    """What is left of the command."""
    first: bool = False
    """The command begins with this beat."""
    remark: str = ""
    """What the author adds to this micro-step."""

    @property
    def node(self) -> Node:
        """The step as a timeline keeps it."""
        return Node(
            number=0,
            parent=-1,
            depth=0,
            context=self.standing.context,
            checker=self.standing.checker,
            running=self.running,
            command=self.command,
            stepped=self.stepped,
            changes=self.changes,
            outcome=self.outcome,
            new=self.fresh,
        )

    @property
    def name(self) -> str:
        """`procedure.step`; empty for a command without micro-steps."""
        return f"{self.stepped.procedure}.{self.stepped.step}" if self.stepped else ""

    def is_step(self, name: str) -> bool:
        """Whether `name`, as `procedure.step` or the step alone, means this micro-step."""
        return self.stepped is not None and name in {self.stepped.step, self.name}


def power_on() -> Standing:
    """A machine that has just been booted, with nothing on it."""
    state = boot()
    return Standing(Context(state), Checker.full(state))


def set_scene(lesson: lesson_format.Lesson, item: lesson_format.Item) -> Standing:
    """The machine at the start of a scene: the item's world, then what the item sets further.

    Raises:
        LessonError: a script is malformed, or a command of it does not succeed.
    """
    file = str(Path(lesson.file).parent / lesson_format.WORLDS / f"{item.world}.pte")
    try:
        commands = parse(lesson.worlds[item.world])
    except ScriptError as error:
        raise _located(error, file, 0) from None
    standing = power_on()
    for command in commands:
        standing = _succeeded(_played(standing, command, file, 0), file, command.line)
    for more in item.setup:
        standing = _succeeded(play(standing, more, lesson.file), lesson.file, more.line)
    return standing._replace(context=standing.context._replace(last=OK, violations=()))


def _succeeded(beats: Sequence[PlayedStep], file: str, line: int) -> Standing:
    """Where a command of a scene has led. LessonError unless it was granted."""
    last = beats[-1]
    if last.outcome is not None and last.outcome.status != "ok":
        raise LessonError(
            [LessonProblem(file, line, 1, f"`{last.command}` sets the scene, but ends with: {last.outcome}")]
        )
    return last.standing


def understand(line: str, standing: Standing) -> Command | None:
    """A command as it is typed before this machine; None for a blank line. Raises ScriptError."""
    return parse_line(line, Scope.of(standing.context.state))


def play_all(action: lesson_format.Do, standing: Standing, file: str) -> Iterator[PlayedStep]:
    """All beats of a `do` block. Raises LessonError."""
    for number, command in enumerate(action.commands, 1):
        until = action.until if number == len(action.commands) else ""
        for beat in play(standing, command, file, until):
            standing = beat.standing
            yield beat


def play(
    standing: Standing, command: lesson_format.LessonCommand, file: str, until: str = ""
) -> tuple[PlayedStep, ...]:
    """All beats of a lesson's command, with the author's remarks; with `until` only up to that micro-step.

    Raises:
        LessonError: the command is malformed, or nothing of the kind is simulated.
    """
    try:
        understood = understand(command.text, standing)
    except ScriptError as error:
        raise _located(error, file, command.line - 1) from None
    if understood is None:
        return ()
    beats = _played(standing, understood, file, command.line - 1, lambda beat: bool(until) and beat.is_step(until))
    try:
        return tuple(_remarked(beats, command.remarks))
    except ExpressionError as error:
        raise LessonError([LessonProblem(file, command.line, 1, f"a number in a remark: {error}")]) from None


def try_out(standing: Standing, line: str) -> tuple[PlayedStep, ...]:
    """All beats of a command that the learner typed; none for a blank line. Raises ScriptError."""
    understood = understand(line, standing)
    return tuple(_beats(standing, understood, lambda _: False)) if understood else ()


def _played(
    standing: Standing, command: Command, file: str, above: int, stop: Callable[[PlayedStep], bool] = lambda _: False
) -> list[PlayedStep]:
    try:
        return _beats(standing, command, stop)
    except ScriptError as error:
        raise _located(error, file, above) from None


MOST_BEATS: Final = 5_000
"""Micro-steps of a command that are kept one by one; the rest of a longer one becomes a single beat."""


def _beats(standing: Standing, command: Command, stop: Callable[[PlayedStep], bool]) -> list[PlayedStep]:
    """Carry a command out and keep a beat of every micro-step."""
    beats: list[PlayedStep] = []
    far: dict[tuple[str, object], Change] = {}
    """What the steps have changed that the last beat stands for, if those are more than one."""
    for moved in carry_out(*standing, command):
        if moved.stepped is None and moved.outcome is None:
            continue  # it has only begun
        beat = _beat(standing, command, moved)._replace(first=not beats)
        if len(beats) < MOST_BEATS:
            beats.append(beat)
        else:
            _gather(far, (*beats[-1].changes, *beat.changes))
            beats[-1] = beat._replace(fresh=beats[-1].fresh + beat.fresh, changes=())
        if stop(beat):
            break
    if far:
        beats[-1] = beats[-1]._replace(changes=tuple(far.values()))
    return beats


def _gather(far: dict[tuple[str, object], Change], changes: Iterable[Change]) -> None:
    """Add the changes of one more step to those of several."""
    for change in changes:
        known = far.get((change.table, change.key))
        far[change.table, change.key] = change if known is None else change._replace(old=known.old)


def _beat(standing: Standing, command: Command, moved: Moved) -> PlayedStep:
    """What one move of a command has done. While it is under way, the last answer is that of the one before."""
    now = moved.now
    context = now.context if isinstance(now, Ended) else standing.context._replace(state=now.state)
    running = now if isinstance(now, Running) else None
    return PlayedStep(
        command.text,
        Standing(context, moved.checker),
        moved.stepped,
        moved.outcome,
        moved.violations,
        moved.changes,
        running,
    )


def _remarked(beats: Iterable[PlayedStep], remarks: tuple[lesson_format.Remark, ...]) -> Iterator[PlayedStep]:
    """The beats with the author's remarks: each at the first micro-step it names that has none yet."""
    waiting = list(remarks)
    for beat in beats:
        mine = next((remark for remark in waiting if beat.is_step(remark.step)), None)
        if mine is not None:
            waiting.remove(mine)
            yield beat._replace(remark=fill(mine.text, beat.standing.moment))
        else:
            yield beat


def _located(error: ScriptError, file: str, above: int) -> LessonError:
    """A script's problems at their places in the file around it; `above` lines stand before the script."""
    return LessonError(
        LessonProblem(file, above + problem.line, problem.column, problem.message) for problem in error.problems
    )
