"""Carrying a command out, micro-step by micro-step, as a task of the engine.

    now = start(context, command)
    while isinstance(now, Running):
        stepped, now = proceed(now)

Everything here is a value: a command half carried out can be kept, gone back to and continued in two ways.

A plain command runs as task `main`, to its end or not at all: where it would have to wait for a task that was begun,
it answers `blocked` and the machine stands where it stood before. `begin` starts a command as a task of its own;
that one may wait, `step` and `finish` move it on, and whichever of them ends it reports its result.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from model.driver_files.resolve import whole
from model.engine.config import fact, setting
from model.engine.mends import AS_IT_WAS, undone_too
from model.engine.procedure import Result, Stepped, advance, begin
from model.kernel.arch.boot import boot
from model.kernel.fs.file_kinds import EOF
from model.memory.buffer_records import Device
from model.memory.errno import EBUSY, EEXIST, EINVAL, ENOENT
from model.memory.state import State, Transaction
from model.script.chosen_frames import ChosenFrames, why_not
from model.script.command import Command, Condition, RefPage
from model.script.conditions import found_instead
from model.script.context import OK, Context, Outcome, refused
from model.script.dispatch import not_simulated, procedure_of
from model.script.moment import Moment
from model.script.operands import NewLabel
from model.script.pages import Missing
from model.script.places import arguments, check_names, exists, taken
from model.script.properties import StateProperty
from model.script.verbs import verb_of
from model.text.problems import ScriptError, ScriptProblem

MAIN: Final = "main"
"""The task that plain commands run as."""

ITS_OWN: Final = -2
"""The CPU that a command runs on by itself; -1 is none."""

MOST_STEPS: Final = 400_000
"""Micro-steps of one command: some ten seconds. What needs more is refused, not endured."""


class Ended(NamedTuple):
    """A command that is over."""

    context: Context
    outcome: Outcome


class Running(msgspec.Struct, frozen=True):
    """A command that has micro-steps to make."""

    state: State
    """The machine now: the next micro-step starts here."""
    task: str
    command: Command
    before: Context
    """Where the command started, to go back to if it cannot be done."""
    most: int
    """How many micro-steps `step T N` still asks for; for the others, how many are still allowed."""


def start(context: Context, command: Command) -> Running | Ended:
    """Begin to carry `command` out: no micro-step is made yet. Raises ScriptError for what is not simulated."""
    match command.verb:
        case "note" | "may":
            return Ended(context, OK)
        case "expect":
            return _expect(context, command)
        case "always" | "never" | "final":
            return _state(context, command)
        case "set":
            return _set(context, command)
        case "driver":
            return _driver(context, command)
        case "device":
            return _device(context, command)
        case "begin":
            return _begin(context, command)
        case "step" | "finish":
            return _move_on(context, command)
        case _:
            return _plain(context, command)


def proceed(running: Running) -> tuple[Stepped, Running | Ended]:
    """Make one micro-step. Raises ScriptError if the command needs more of them than any may take."""
    pages = cast("tuple[int, ...]", running.command.options.get("taking", ()))
    stepped = advance(running.state, running.task, ChosenFrames(pages) if pages else None)
    left = running.most - 1
    if stepped.result is not None:
        return stepped, _finished(running, stepped.state, stepped.result)
    if stepped.blocked:
        return stepped, _blocked(running, stepped)
    if left == 0 and running.command.verb == "step":
        not_yet = Outcome(message=f"{running.task} is not at its end yet{_label_taken_over(running, stepped.state)}")
        return stepped, _ended(replace(running.before, state=stepped.state), not_yet)
    if left == 0:
        limit = f"`{running.command.verb}` takes more than {MOST_STEPS} micro-steps, the most that a command may take"
        raise ScriptError([ScriptProblem(running.command.line, running.command.column, limit)])
    return stepped, replace(running, state=stepped.state, most=left)


def check_simulated(commands: Iterable[Command]) -> None:
    """Raise ScriptError for every command of a script that cannot be run yet, before anything runs."""
    problems = [problem for command in commands for problem in _unsimulated(command)]
    if problems:
        raise ScriptError(problems)


def _unsimulated(command: Command) -> list[ScriptProblem]:
    """Why a command cannot be run, if it cannot."""
    if command.verb == "begin":
        return _unsimulated(cast("Command", command.operands["COMMAND"]))
    what = not_simulated(command) if verb_of(command.verb).role == "kernel" else ""
    return [ScriptProblem(command.line, command.column, f"`{what}` is not simulated yet")] if what else []


def _ended(context: Context, outcome: Outcome) -> Ended:
    """The end of a command that `expect` can ask about."""
    return Ended(replace(context, last=outcome, violations=()), outcome)


def _expect(context: Context, command: Command) -> Ended:
    found = found_instead(cast("Condition", command.operands["CONDITION"]), Moment.after(context))
    if not found:
        return Ended(context, OK)
    wanted = command.text.removeprefix("expect").strip()
    return Ended(context, Outcome("failed", message=f"expected {wanted}; found {found}"))


def _state(context: Context, command: Command) -> Ended:
    """Judge a property as the machine stands here; whoever runs a script watches it from here on."""
    wrong = StateProperty.of(command).broken_at_once(Moment.after(context))
    return Ended(context, Outcome("failed", message=wrong) if wrong else OK)


def _set(context: Context, command: Command) -> Ended:
    """The machine is booted anew with the setting; its devices stay."""
    state = context.state
    if len(state.processes) or len(state.files):
        return _ended(context, refused(EBUSY, "memory has been touched already"))
    settings = dict(state.settings.items())
    key, value = str(command.operands["KEY"]), str(command.operands["VALUE"])
    settings[key] = undone_too(settings.get(key, ""), value) if key == AS_IT_WAS else value
    tx = Transaction(boot(int(settings.get("cpus", "2")), settings=settings))
    if setting(tx, "mthp") != "never" and not fact(tx, "folios of less than a huge page"):
        return _ended(context, refused(EINVAL, "Linux has folios of less than a huge page since 6.8"))
    for name, device in state.devices.items():
        tx.devices[name] = device
    for name, text in state.drivers.items():
        tx.drivers[name] = text
    return _ended(replace(context, state=tx.commit()[0]), OK)


def _driver(context: Context, command: Command) -> Ended:
    """The kernel knows one driver more."""
    driver = whole(command.text)
    known = context.state.drivers.get(driver.name)
    if known is not None and known != command.text:
        return _ended(context, refused(EEXIST, f"there is another driver {driver.name} already"))
    tx = Transaction(context.state)
    tx.drivers[driver.name] = command.text
    return _ended(replace(context, state=tx.commit()[0]), OK)


def _device(context: Context, command: Command) -> Ended:
    if duplicate := taken(context.state, command):
        return _ended(context, refused(EEXIST, f"there is a {duplicate} already"))
    tx = Transaction(context.state)
    tx.devices[str(command.operands["DEV"])] = Device()
    return _ended(replace(context, state=tx.commit()[0]), OK)


def _begin(context: Context, command: Command) -> Ended:
    """Put the task on the machine; its first micro-step comes with `step` or `finish`."""
    task, inner = str(command.operands["T"]), cast("Command", command.operands["COMMAND"])
    if exists(context.state, "task", task):
        return _ended(context, refused(EEXIST, f"there is a task {task} already"))
    begun = task_begun(context.state, task, inner, cast("int", command.options.get("cpu", ITS_OWN)))
    if isinstance(begun, Outcome):
        return _ended(context, begun)
    return _ended(replace(context, state=begun, begun=context.begun | {task: inner}), OK)


def _move_on(context: Context, command: Command) -> Running | Ended:
    task = str(command.operands["T"])
    if not exists(context.state, "task", task):
        return _ended(context, refused(ENOENT, f"there is no task {task} now"))
    steps = cast("int", command.get("N", 1)) if command.verb == "step" else MOST_STEPS
    if pages := cast("tuple[int, ...]", command.options.get("taking", ())):
        wrong = why_not(context.state, task, pages) if steps == 1 else "`taking=` is said of one micro-step"
        if wrong:
            return _ended(context, refused(EINVAL, wrong))
    return Running(context.state, task, command, context, steps)


def _plain(context: Context, command: Command) -> Running | Ended:
    begun = task_begun(context.state, MAIN, command)
    if isinstance(begun, Outcome):
        return _ended(context, begun)
    return Running(begun, MAIN, command, context, MOST_STEPS)


def task_begun(state: State, task: str, command: Command, on: int = ITS_OWN) -> State | Outcome:
    """The State in which `task` is about to run `command`, or why it is not even tried.

    `on`: the CPU, where it is not that of the process: another thread of it.
    """
    if problems := _unsimulated(command):
        raise ScriptError(problems)
    try:
        check_names(state, command)
        procedure = procedure_of(state, command)
    except Missing as missing:
        return refused(ENOENT, str(missing))
    if duplicate := taken(state, command):
        return refused(EEXIST, f"there is a {duplicate} already")
    process, cpu = _where(state, command)
    return begin(state, task, procedure, process, cpu if on == ITS_OWN else on)


def _where(state: State, command: Command) -> tuple[str, int]:
    """Process and CPU that a command runs on: ("", -1) for devices, and for file I/O, whose CPU matters to nobody.

    A guest runs in a thread of the process that KVM works for.
    """
    operand = verb_of(command.verb).cpu_of
    name = str(command.get(operand, "")) if operand else ""
    if operand == "R":
        name = state.references[name].process
    elif operand == "R[+N]":
        reference = state.references[cast("RefPage", command.operands[operand]).reference]
        name = reference.process if reference.kind == "follow" else ""
    process = state.processes.get(name)
    return (name, process.cpu) if process else ("", -1)


def _finished(running: Running, state: State, result: Result) -> Ended:
    """The task has ended: its result answers the command that ended it."""
    begun = dict(running.before.begun)
    command = running.command if running.task == MAIN else begun.pop(running.task, None)
    outcome = outcome_of(command, result)
    if took_over := _label_taken_over(running, state):
        outcome = msgspec.structs.replace(outcome, message=outcome.message + took_over.removeprefix("; "))
    return _ended(replace(running.before, state=state, begun=begun), outcome)


def _label_taken_over(running: Running, state: State) -> str:
    """What to say where a task has given its mapping a label that another mapping has got since the task began."""
    command = running.before.begun.get(running.task)
    if command is None:
        return ""
    for operand, name in arguments(command):
        if isinstance(operand, NewLabel):
            key = (str(command.operands["P"]), str(name))
            old, new = running.before.state.labels.get(key), state.labels.get(key)
            if old is not None and new is not None and old != new:
                return f"; the label {name} meant pages {old.start} to {old.start + old.pages - 1} until now"
    return ""


def _blocked(running: Running, stepped: Stepped) -> Ended:
    """A task of its own waits where it is; a plain command is undone."""
    if running.task != MAIN:
        return _ended(replace(running.before, state=stepped.state), Outcome("blocked", on=stepped.blocked))
    advice = "nothing of it was done; let that task go on first, or use `begin` so that this command can wait"
    return _ended(running.before, Outcome("blocked", on=stepped.blocked, message=advice))


def outcome_of(command: Command | None, result: Result) -> Outcome:
    """What a task's result means for the command that it ran; None: a task that no script began."""
    if result.signal:
        return Outcome("signal", signal=result.signal, si_code=result.si_code)
    if result.value == EOF:
        return Outcome(message="end of file")
    if result.value < 0:
        return refused(-result.value)
    # A device's write shares its verb with the read, which has a value to show.
    yields = verb_of(command.verb).yields if command is not None and command.get("ACCESS") != "write" else ""
    return Outcome(value=result.value, is_page=yields == "page") if yields else OK
