"""What may become of a buffer's pages while somebody holds them: what its driver does, and what its process does."""

from collections.abc import Iterable, Iterator
from itertools import islice, permutations
from typing import Final, NamedTuple

from model.compare.scenes import (
    DMABUF,
    DRM_FILE,
    EXPORTING,
    HUGE_PAGES,
    DriverRow,
    Grabber,
    Settings,
    as_text,
    buffer_lines,
    for_reading,
    settings_lines,
)
from model.driver_files.line_forms import ASKED, CONDITIONS, KEPT
from model.driver_files.records import DriverLine, KernelDriver, StepList
from model.script.parser import parse
from model.script.runner import Runner

MOST_PREPARING: Final = 2
"""How many other operations may have to come before one."""
MOVING: Final = frozenset({"alloc", "switch", "free", "put", "save"})
"""Steps after which the buffer has other memory, or none."""
MOST_TRIED: Final = 100
"""Orders of others that are tried for one operation: all of up to ten others."""
PUNCHED: Final = "whoever has the memfd takes its page out: fallocate(2)"
PROCESS_ACTS: Final = {
    "fork": "fork(2), and the parent writes on",
    "munmap": "munmap(2): the driver still has the buffer",
    "mremap": "mremap(2): the mapping goes elsewhere",
    "exit": "the process ends",
    "destroy": "munmap(2), and the last handle is closed: the buffer goes",
}
"""What a process does with its mapping, in words."""
BEYOND: Final = "a mapping one page longer than the buffer, and a write to that page"
"""Where it matters: nobody looks where the buffer ends."""
CHILD: Final = "a child of fork() ends; without a handle, the parent's mapping alone keeps the buffer"
"""Where it matters: ->open forgets to count the child's mapping."""


class OwnerAct(NamedTuple):
    """Something that somebody does to a buffer or its mapping."""

    name: str
    """What columns call it: an operation of the driver, or a system call."""
    commands: tuple[str, ...]
    """What the scene permits, each once."""
    subjects: tuple[str, ...]
    """Those of them that it is about: where none of these ever succeeds, the scene shows nothing."""
    meaning: str = ""
    begun: tuple[str, ...] = ()
    """What has been done before anything is permitted: jobs of the device are at work, there is a child."""
    unexported: bool = False
    """It is refused as long as there is a dma-buf: the scene has none, and maps the buffer through the DRM file."""


class CellScene(NamedTuple):
    """The scene of one cell."""

    text: str
    """The script; its first `may` lines are the grabber's."""
    grabs: int = 0
    """How many of them."""
    subjects: tuple[str, ...] = ()
    """Of what else is permitted: what must succeed for the scene to show anything; empty: nothing need."""


def together(row: DriverRow, kernel: str) -> OwnerAct:
    """What a driver does to its buffers in their life, all in one scene: a cell of the comparison."""
    driver = row.driver(kernel)
    ops = [one.name for one in driver.ops if one.name not in {"move", "invalidate"}]
    commands: tuple[str, ...]
    if driver.moves:
        commands = _op_commands("move")
    elif driver.backing == "borrow:memfd":
        commands = _punch(driver)
    else:
        commands = tuple(f"{op} b" for op in ops) or ("munmap p0 buf", "destroy b")
    return OwnerAct("", commands, commands)


def of_owner(row: DriverRow, kernel: str, defence: Settings) -> tuple[OwnerAct, ...]:
    """Each operation of the driver, and what a process does with its mapping: the columns of a review."""
    return *_operations(row, kernel, defence), *_of_process(row, kernel)


def _operations(row: DriverRow, kernel: str, defence: Settings) -> Iterator[OwnerAct]:
    driver = row.driver(kernel)
    names = [one.name for one in driver.ops]
    for one in driver.ops:
        subjects = _op_commands(one.name)
        helping, asked = _helping(driver, one), _asked(driver, one)
        others = [_op_commands(name)[0] for name in names if name != one.name and name in helping]
        others += ["munmap p0 buf"] if "mapped" in asked else []
        before = _prepared(row, kernel, defence, subjects, others)
        alone = None
        if before is None and "exported" in asked:
            alone = _prepared(row, kernel, defence, subjects, others, unexported=True)
        begun, ended = _jobs(driver, one)
        commands = (*(before or alone or ()), *subjects, *ended)
        yield OwnerAct(one.name, commands, subjects, one.about, begun, unexported=alone is not None)
    if driver.backing == "borrow:memfd":
        punch = _punch(driver)
        yield OwnerAct("punch", punch, punch, PUNCHED)


def _jobs(driver: KernelDriver, one: StepList) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What begins jobs of the device and what ends them, where an operation is about neither.

    A device that has noted frame numbers uses them some time.
    """
    words = {other.name: {step.word for step in _all_steps(driver, other)} for other in driver.ops}
    if words[one.name] & {"fence", "signal", "keep"}:
        return (), ()
    ending = tuple(f"{name} b" for name, said in words.items() if "signal" in said and "fence" not in said)
    wanted = {"keep"} | ({"fence"} if ending else set())
    begin = tuple(f"{name} b" for name, said in words.items() if said & wanted)
    kept = any("keep" in said for said in words.values())
    return begin, (*(ending if begin else ()), *((f"dma b{KEPT} write 98",) if kept else ()))


def _helping(driver: KernelDriver, one: StepList) -> set[str]:
    """The operations that may bring the buffer into a state that an operation asks for."""
    asked = _asked(driver, one)
    if not asked:
        return set()

    def helps(other: StepList) -> bool:
        theirs = tuple(_all_steps(driver, other))
        states = {step.word_at("STATE") for step in theirs if step.word in {"set", "clear"}}
        moves = any(step.word in MOVING for step in theirs)
        return bool(states & asked) or (moves and bool(asked & CONDITIONS.keys()))

    return {other.name for other in driver.ops if helps(other)}


def _asked(driver: KernelDriver, one: StepList) -> set[str]:
    """The states that an operation asks for."""
    steps = tuple(_all_steps(driver, one))
    asked = {step.word_at("STATE") for step in steps if step.word in ASKED}
    return asked | {state for step in steps for state, _ in step.when}


def _all_steps(driver: KernelDriver, one: StepList, depth: int = 0) -> Iterator[DriverLine]:
    """The steps of a list, and of those that it calls."""
    for step in one.every_step():
        yield step
        called = driver.steps(step.word_at("NAME")) if step.word == "call" else None
        if called is not None and depth <= len(driver.functions):
            yield from _all_steps(driver, called, depth + 1)


def _op_commands(op: str) -> tuple[str, ...]:
    return ("move b vram", "move b gtt") if op == "move" else (f"{op} b",)


def _punch(driver: KernelDriver) -> tuple[str, ...]:
    assert driver.backing == "borrow:memfd"
    return ("punch f 0 1",)


def _prepared(
    row: DriverRow,
    kernel: str,
    defence: Settings,
    subjects: tuple[str, ...],
    others: list[str],
    *,
    unexported: bool = False,
) -> tuple[str, ...] | None:
    """The fewest other commands after which one of `subjects` succeeds; None where nothing helps."""
    orders = (before for count in range(MOST_PREPARING + 1) for before in permutations(others, count))
    for before in islice(orders, MOST_TRIED):
        lines = (*set_up_lines(row, kernel, defence, unexported=unexported), *before)
        if any(_succeeds((*lines, subject)) for subject in subjects):
            return before
    return None


def _succeeds(lines: tuple[str, ...]) -> bool:
    """Whether the last line of a script succeeds."""
    runner = Runner()
    return [runner.perform(command) for command in parse(as_text(lines))][-1].outcome.status == "ok"


def _of_process(row: DriverRow, kernel: str) -> Iterator[OwnerAct]:
    pages, to = row.pages(kernel), 4 * HUGE_PAGES if row.is_huge(kernel) else 64
    move = f"mremap p0 buf pages={pages} maymove to={to}"
    done = {
        "fork": ("fork p0 c", "write p0 buf+0 67"),
        "munmap": ("munmap p0 buf",),
        "mremap": (move,),
        "exit": ("exit p0",),
        "destroy": ("munmap p0 buf", "destroy b"),
    }
    for name, meaning in PROCESS_ACTS.items():
        subject = done[name][-1] if name == "destroy" else done[name][0]
        yield OwnerAct(name, done[name], (subject,), meaning)
    driver = row.driver(kernel)
    if not driver.bounds and driver.backing != "borrow:memfd":
        beyond = (f"mmap p0 more {DRM_FILE} shared rw {pages + 1}", f"write p0 more+{pages} 68")
        yield OwnerAct("beyond", beyond, beyond[1:], BEYOND, (f"bo c {pages} in=gtt exporter={row.kinds[0]}",))
    if driver.opens == "forgets":
        yield OwnerAct("child", ("exit c",), ("exit c",), CHILD, ("fork p0 c", "destroy b"))


# -- scenes ----------------------------------------------------------------------------------------


def set_up_lines(row: DriverRow, kernel: str, defence: Settings, *, unexported: bool = False) -> tuple[str, ...]:
    """A process that has written to a mapped buffer; where an operation makes the entries, that comes first."""
    mapped = row.driver(kernel)
    inserting = next((one.name for one in mapped.ops if mapped.at == "op" and _inserts(mapped, one)), "")
    lines = (
        *settings_lines(kernel, defence, row),
        "process p0",
        "device dev",
        *(buffer_lines(row, kernel) if not unexported else _alone(buffer_lines(row, kernel))),
        *([f"{inserting} b"] if inserting else ()),
        "write p0 buf+0 65",
    )
    return as_asked(row, kernel, lines)


def _alone(lines: Iterable[str]) -> Iterator[str]:
    """The lines that make and map a buffer, without a dma-buf of it."""
    yield from (line.replace(DMABUF, DRM_FILE) for line in lines if line != EXPORTING)


def as_asked(row: DriverRow, kernel: str, commands: Iterable[str]) -> tuple[str, ...]:
    """Commands at the page that shows something, and only reading where the driver permits no more."""
    placed = (row.at_page(command, kernel) for command in commands)
    return tuple(map(for_reading, placed)) if row.driver(kernel).unwritable else tuple(placed)


def _inserts(driver: KernelDriver, one: StepList) -> bool:
    """Whether an operation makes entries, itself or by a function that it calls."""
    return any(step.word == "insert" for step in _all_steps(driver, one))


def scene(row: DriverRow, grabber: Grabber, defence: Settings, kernel: str, act: OwnerAct | None = None) -> CellScene:
    """One cell: a grabber against what happens; by default all that the driver does, as the comparison has it."""
    happens = act or together(row, kernel)
    permitted = as_asked(row, kernel, (*grabber.commands, *happens.commands))
    may = (f"may 1 {command}" for command in permitted)
    imports = any(line.startswith("attach ") for line in grabber.before)
    lines = set_up_lines(row, kernel, defence, unexported=happens.unexported and not imports)
    asked = (EXPORTING,) if imports and EXPORTING not in lines else ()
    text = as_text((*lines, *asked, *grabber.before, *happens.begun, *may))
    return CellScene(text, len(grabber.commands), as_asked(row, kernel, happens.subjects))


def without_grabber(one: CellScene) -> CellScene:
    """The same scene without the grabber's `may` lines."""
    lines = one.text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("may "))
    return CellScene(as_text((*lines[:first], *lines[first + one.grabs :])), 0, one.subjects)
