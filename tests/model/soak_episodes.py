"""Episodes of the soak: several tasks at once over every verb, backing, setting and kernel.

An episode follows from its number alone. It begins with one backing, draws a few verbs, and then begins, steps and
finishes tasks. Two kinds of finds: an error inside the program, whatever was typed; and corruption or a splat where
only ordinary calls were made, which do no harm on any kernel.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from model.compare.known_bugs import known_bug
from model.compare.ordinary_calls import CALLS, Backing
from model.engine.config import KERNELS, SETTINGS
from model.invariants.checker import Checker
from model.script.dispatch import SIMULATED_BACKINGS
from model.script.operands import Branch, Name, NewName, Operand, Signature
from model.script.page_operands import Where
from model.script.parser import parse_line
from model.script.runner import Runner
from model.script.scope import Scope
from model.script.verbs import VERBS
from model.text.problems import ScriptError
from tests.model.random_scripts import Dialect, Drawing, Seeded
from tests.model.soak_backings import ANY_HARM, HUGE_ENTRY, SOAK_BACKINGS
from tests.model.soak_calls import calls_on
from tests.model.soak_coverage import Coverage
from tests.model.test_random_scripts import BUFFER_VERBS, RUNNABLE, possible

TURNS: Final = 45
"""Commands of an episode."""
MOST_TASKS: Final = 4
"""Tasks in flight."""
STEP: Final = 37
"""From one number to the next, so many beginnings further: each comes as often as the others, and neighbours differ."""
STRIDES: Final = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55)
"""Micro-steps of one turn."""
KERNEL_VERBS: Final = tuple(verb for verb in RUNNABLE if VERBS[verb].role == "kernel" and verb != "process")
WORDS: Final = tuple(verb for verb in VERBS if VERBS[verb].role == "word")
"""`note`, `expect`, `may`, properties: they move nothing, whatever is under way."""
KEEPING: Final = ("gup", "follow", "grab", "mirror", "put", "dma", "peek", "export", "attach", "map", "unmap", "detach")
"""Verbs of whoever keeps pages for longer than a call. What that does to mappings is no fault of the kernel."""
HARMLESS: Final = tuple(verb for verb in KERNEL_VERBS if verb not in (*KEEPING, "bo"))
"""Verbs of the ordinary calls; a buffer's driver is the one that the episode begins with."""
THROUGH_GUP: Final = ("remote-read", "remote-write", "force-write", "vmsplice", "userptr", "io-register")
"""Ordinary calls that get a buffer's pages where its driver lends them, and hold them while it gives them away."""
SIMULATED: Final = tuple(sorted(SIMULATED_BACKINGS))
NOBODY: Final = "nobody"


CHECKERS_DIFFER: Final = "the checker that follows the journal differs from the one that looks at all"


class Find(NamedTuple):
    """What went wrong in an episode."""

    lines: tuple[str, ...]
    what: str
    """The error's type and place, or the rule that is broken."""


def words_of(form: Signature) -> Iterator[Operand]:
    """Every operand that a command may have, those of its options and branches included."""
    for operand in (*form.operands, *(option.value for option in form.options if option.value is not None)):
        yield operand
        if isinstance(operand, Branch):
            for branch in operand.forms.values():
                yield from words_of(branch)


def makers(operand: Operand) -> tuple[str, ...]:
    """The verbs that make what an operand names; none for one that names nothing."""
    if not isinstance(operand, Name):
        return ()
    making = (verb for verb in KERNEL_VERBS if any(_makes(made, operand) for made in words_of(VERBS[verb].form)))
    return tuple(verb for verb in making if not operand.made_by or verb in operand.made_by)


def _makes(made: Operand, operand: Name) -> bool:
    return isinstance(made, NewName) and made.kind == operand.kind


MAKERS: Final = {verb: [makers(operand) for operand in words_of(VERBS[verb].form)] for verb in KERNEL_VERBS}
"""Verb → for each of its operands the verbs that make what it names."""


class Focused(Drawing):
    """Commands that are mostly about what there is: two calls meet where both have something to do."""

    def line(self, verbs: tuple[str, ...]) -> str:
        """One command; mostly one of which every name exists, now and then an operation of a buffer's driver."""
        ops = [(op, name) for name in sorted(self.scope.exporters) for op in self.scope.ops_of(name) or ()]
        if ops and not self.chance.number(0, 4):
            return " ".join(self.chance.one_of(ops))
        line = super().line(verbs)
        for _ in range(3):
            if NOBODY not in line:
                break
            line = super().line(verbs)
        return line

    def existing(self, operand: Name) -> str:
        """A name that is known; most often a process that has mappings."""
        known = self.scope.made_by(operand.kind, operand.made_by)
        if operand.kind == "process" and self.chance.number(0, 9):
            known = [name for name in known if self.scope.labels.get(name)] or known
        return self.chance.one_of(known or [NOBODY])

    def place(self, operand: Where, chosen: dict[str, str]) -> str:
        """Most often the first page of a mapping, or all of it."""
        labels = sorted(self.scope.labels.get(chosen.get(operand.of, ""), ()))
        if not labels or not self.chance.number(0, 9):
            return super().place(operand, chosen)
        return self.chance.one_of(labels) + self.chance.one_of(("", "+0", "+0", "+1"))


class Episode:
    """A script that is drawn while it runs."""

    def __init__(self, number: int) -> None:
        chance = Seeded(number)
        self.chance: Final = chance
        ordinary = bool(chance.number(0, 1))
        backing = SOAK_BACKINGS[number * STEP % len(SOAK_BACKINGS)]
        self.ordinary: Final = ordinary and backing.name not in ANY_HARM
        """Only ordinary calls: they must do no harm."""
        self.kernel: Final = chance.one_of(KERNELS)
        self.prelude: Final = (
            f"set kernel {self.kernel}",
            *backing.settings,
            *self._settings(),
            "process p0",
            "process p1",
            "device dev",
            "device nic",
            *backing.lines,
            *backing.touch,
            *self._more(backing),
        )
        self.backing: Final = backing
        permitted = self._permitted(backing)
        self.verbs: Final = self._verbs(permitted)
        groups = [
            lines
            for group in calls_on(backing, self.kernel)
            if (lines := [line for line in group if line.partition(" ")[0] in permitted])
        ]
        self.calls: Final = [chance.one_of(chance.one_of(groups)) for _ in range(chance.number(3, 12))]
        """Some of the calls that belong to such a mapping, each drawn again and again."""

    def _more(self, backing: Backing) -> Iterator[str]:
        """A second mapping of the same, or a child that has inherited it."""
        match self.chance.number(0, 2):
            case 0:
                yield backing.lines[-1].replace("mmap p0 buf", "mmap p1 also")
            case 1:
                yield "fork p0 kid"

    def _settings(self) -> Iterator[str]:
        """Another machine, and where anything may break another defence."""
        keys = ("allocator", "swap", "cma") if self.ordinary else tuple(SETTINGS)
        for key in dict.fromkeys(self.chance.one_of(keys) for _ in range(self.chance.number(0, 2))):
            if key not in ("kernel", "vram"):
                yield f"set {key} {self.chance.one_of(SETTINGS[key].values)}"

    def _permitted(self, backing: Backing) -> tuple[str, ...]:
        """The verbs that an episode may have."""
        known = HARMLESS if self.ordinary else KERNEL_VERBS
        if self.ordinary and (backing.lends_pages or backing == HUGE_ENTRY):
            known = tuple(verb for verb in known if verb not in THROUGH_GUP)
        return known

    def _verbs(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """A few verbs: with fewer of them the same two meet more often."""
        if self.backing.owner not in ("buffer", "borrowed") and self.chance.number(0, 3):
            known = tuple(verb for verb in known if verb not in BUFFER_VERBS)
        drawn = [self.chance.one_of(known) for _ in range(self.chance.number(2, 6))]
        needed = [self.chance.one_of(found) for verb in drawn for found in MAKERS[verb] if found]
        return ("read", "write", *drawn, *drawn, *(verb for verb in needed if verb in known and verb != "mmap"))

    def next_line(self, runner: Runner) -> str:
        """A command for the machine as it stands."""
        state = runner.context.state
        drawing = Focused(self.chance, Scope.of(state), Dialect((), self.verbs, SIMULATED))
        tasks = sorted(state.tasks)
        turn = self.chance.number(0, 9)
        if len(tasks) > 1 and turn < 7:
            return f"step {self.chance.one_of(tasks)} {self.chance.one_of(STRIDES)}"
        if len(tasks) > 1 and turn == 7:
            return f"finish {self.chance.one_of(tasks)}"
        if not self.chance.number(0, 29):
            return drawing.line(WORDS)
        line = self.command(drawing)
        if len(tasks) < MOST_TASKS and turn < 9:
            free = next(name for name in ("T1", "T2", "T3", "T4", "T5") if name not in tasks)
            return f"begin {free} {self.chance.one_of(('', 'cpu=0 ', 'cpu=1 '))}{line}"
        return line

    def command(self, drawing: Drawing) -> str:
        """A call that belongs to such a mapping, or whatever the verb table gives."""
        return self.chance.one_of(self.calls) if self.chance.number(0, 1) else drawing.line(self.verbs)

    def lines(self, runner: Runner) -> Iterator[str]:
        """The script, each line drawn when the ones before it have run."""
        yield from self.prelude
        for _ in range(TURNS):
            yield self.next_line(runner)

    def run(self, coverage: Coverage | None = None) -> Find | None:
        """Play it; what went wrong, if anything did."""
        runner = Runner()
        done: list[str] = []
        for line in self.lines(runner):
            done.append(line)
            wrong = played(runner, line, ordinary=self.ordinary, coverage=coverage)
            if wrong and not self.is_known(wrong):
                return Find(tuple(done), wrong)
        if runner.checker != Checker.full(runner.context.state):
            return Find(tuple(done), CHECKERS_DIFFER)
        return None

    def is_known(self, wrong: str) -> bool:
        """Whether this kernel really does it."""
        calls = [call.name for call in CALLS]
        return bool(known_bug(self.kernel, self.backing.name, calls, wrong))


def played(runner: Runner, line: str, *, ordinary: bool, coverage: Coverage | None = None) -> str:
    """Carry a line out; what went wrong. What cannot be read, or is not simulated, is passed over."""
    try:
        command = parse_line(line, Scope.of(runner.context.state))
    except ScriptError:
        return ""
    if command is None or not possible(command):
        return ""
    try:
        account = runner.perform(command)
    except ScriptError:
        return ""
    except Exception as error:  # noqa: BLE001 - any error at all is a find
        return f"{type(error).__name__} in {place_of(error)}"
    if coverage is not None:
        coverage.note((made.procedure, made.step) for made in account.steps)
    harm = (violation for violation in account.violations if ordinary and violation.severity != "hazard")
    return next((violation.invariant for violation in harm), "")


def place_of(error: Exception) -> str:
    """Where in the program an error was raised."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "kernel" in Path(code.co_filename).parts or not place:
            place = f"{Path(code.co_filename).name}:{code.co_qualname}"
        trace = trace.tb_next
    return place


def shortest(find: Find, *, ordinary: bool) -> Find:
    """The find without the lines that it does not need."""
    lines = list(find.lines)
    at = len(lines) - 2
    while at >= 0:
        fewer = lines[:at] + lines[at + 1 :]
        if ends_with(fewer, find.what, ordinary=ordinary):
            lines = fewer
        at -= 1
    return Find(tuple(lines), find.what)


def ends_with(lines: list[str], what: str, *, ordinary: bool) -> bool:
    """Whether the last of the lines goes wrong in that way, and none before it does in any."""
    runner = Runner()
    for line in lines[:-1]:
        if played(runner, line, ordinary=ordinary):
            return False
    wrong = played(runner, lines[-1], ordinary=ordinary)
    return what == (wrong or (CHECKERS_DIFFER if runner.checker != Checker.full(runner.context.state) else ""))


def as_script(find: Find) -> str:
    """A find as a script with a comment."""
    return "".join(f"{line}\n" for line in (f"# {find.what}", *find.lines))
