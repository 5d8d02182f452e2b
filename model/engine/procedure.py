"""The engine: kernel functions as procedures of named micro-steps, and tasks that run them.

A procedure is a class that bears the kernel function's name. Its fields are the function's variables, its methods
marked `@step` are the micro-steps, in order. A step is what really is atomic: one PTE read, one cmpxchg, or what
happens under one spinlock. Its docstring is what the learner reads while it runs.

    class gup_fast(Procedure):
        \"\"\"The lockless walk.\"\"\"

        source: ClassVar[str] = "mm/gup.c: gup_fast, gup_fast_pte_range"
        mm: str
        vpn: int

        @step
        def disable_interrupts(self, tx: Transaction) -> None:
            \"\"\"Interrupts off on this CPU.\"\"\"
            tx.cpus.update(tx.task.cpu, irqs_off_by=tx.task_name)

A paragraph of it that begins with `As it was before COMMIT` is read only where that mend is undone (`set as-it-was`).

A step works on its own fresh copy of the variables and returns what comes next: None for the following step,
or goto / call / tail / done / fail / blocked. Running a command to its end, stepping it by hand and interleaving it
with others are the same function, `advance`.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec.structs import replace

from model.engine.mends import all_mended, made_by, mended
from model.memory.errno import ENOMEM
from model.memory.events import Event, Splat
from model.memory.state import Change, Choose, ChoosingTransaction, Memory, State, Tables, Transaction, Wait
from model.memory.tasks import IN_A_STEP, Locals, Task
from model.text.docstrings import docstring


class Goto(msgspec.Struct, frozen=True, gc=False):
    """Continue this procedure at the named step."""

    step: str


class CallOut(msgspec.Struct, frozen=True, gc=False):
    """Run another procedure; its result arrives in `ret` and `out` before the next step."""

    procedure: "Procedure"
    then: str
    """The step to continue with; empty = the following one."""
    tail: bool
    """The callee takes this frame's place: its result goes to our caller."""


class Done(msgspec.Struct, frozen=True, gc=False):
    """Return to the caller."""

    value: int
    out: tuple[int, ...]
    signal: str
    """SIGSEGV or SIGBUS, for what a user-space access can end with."""
    si_code: str
    handed_over: str = ""
    """`holds` or `pins`: the caller owns a reference, or a pin, on each page of `out` from now on."""


class Blocked(msgspec.Struct, frozen=True, gc=False):
    """Cannot go on now: nothing is changed, and the same step is tried again later."""

    on: str


Outcome = Goto | CallOut | Done | Blocked | None

Step = Callable[[Any, Transaction], Outcome]
S = TypeVar("S", bound=Callable[..., Outcome])


def step(body: S) -> S:
    """Mark a method of a Procedure as one of its micro-steps."""
    body.__dict__["is_step"] = True
    return body


def walks(level: int) -> Callable[[S], S]:
    """Mark a micro-step that reads the entry of `vpn` in `mm` at a level of the page table: 3 = PGD … 0 = PTE."""

    def mark(body: S) -> S:
        body.__dict__["level"] = level
        return body

    return mark


def goto(target: Callable[..., Outcome]) -> Goto:
    """Continue at another step of the same procedure."""
    return Goto(target.__name__)


def call(procedure: "Procedure", then: Callable[..., Outcome] | None = None) -> CallOut:
    """Call a kernel function and continue at `then`, by default at the following step."""
    return CallOut(procedure, then.__name__ if then else "", tail=False)


def tail(procedure: "Procedure") -> CallOut:
    """Call a kernel function in place of this one: return whatever it returns."""
    return CallOut(procedure, "", tail=True)


def done(value: int = 0, out: tuple[int, ...] = ()) -> Done:
    """Return `value` (and `out`) to the caller."""
    return Done(value, out, "", "")


def hand_over(value: int, pfns: tuple[int, ...], *, pinned: bool = False) -> Done:
    """Return `value`, and pages of which the caller owns one reference (or FOLL_PIN) each from now on."""
    return Done(value, pfns, "", "", "pins" if pinned else "holds")


def fail(errno: int) -> Done:
    """Return -errno."""
    return Done(-errno, (), "", "")


def signal(name: str, si_code: str) -> Done:
    """End a user-space access with a signal."""
    return Done(0, (), name, si_code)


def blocked(on: str) -> Blocked:
    """Wait, and say what for."""
    return Blocked(on)


class MicroStep(msgspec.Struct, frozen=True):
    """One step of a procedure as the engine and the reader see it."""

    name: str
    doc: str
    source: str
    body: Step
    level: int | None = None
    """The level of the page table that it reads, for the walk; None for other steps."""
    was: tuple[tuple[str, str], ...] = ()
    """(mend, what is missing without it): the paragraphs of its docstring that begin with `As it was before COMMIT`."""

    def explanation(self, mem: Memory) -> str:
        """Its explanation on this machine: what a mend has changed is said where that mend is undone."""
        if all_mended(mem):
            return self.doc
        return "\n\n".join((self.doc, *(text for name, text in self.was if not mended(mem, name))))


class Procedure(Locals, kw_only=True, omit_defaults=True, tag_field="procedure", tag=True):
    """A kernel function: subclasses declare its variables as fields and its micro-steps as methods.

    A subclass of a procedure inherits its steps; one that it defines again takes the place of the inherited one.
    """

    source: ClassVar[str] = ""
    """Where it stands in the kernel: file, and version where that matters."""
    mm_users: ClassVar[tuple[str, ...]] = ()
    """Its fields that name an address space which it keeps alive (mmget): exit_mmap() waits for it."""
    steps: ClassVar[tuple[MicroStep, ...]] = ()
    positions: ClassVar[dict[str, int]] = {}

    @property
    def next_step(self) -> MicroStep:
        """The micro-step that runs next. IndexError where only the return to the caller is left."""
        return self.steps[self.pc]

    @property
    def next_name(self) -> str:
        """The micro-step that runs next by its name; `return` where there is none."""
        return self.next_step.name if self.pc < len(self.steps) else "return"

    def __init_subclass__(cls, **config: Any) -> None:
        super().__init_subclass__(**config)
        micros = {micro.name: micro for base in cls.__bases__ for micro in getattr(base, "steps", ())}
        for name, body in vars(cls).items():
            if getattr(body, "__dict__", {}).get("is_step"):
                doc, was = _explained(body)
                micros[name] = MicroStep(name, doc, cls.source, body, body.__dict__.get("level"), was)
        cls.steps = tuple(micros.values())
        cls.positions = {micro.name: number for number, micro in enumerate(cls.steps)}
        Locals.registry[cls.__name__] = cls


AS_IT_WAS_BEFORE: Final = r"As it was before ([0-9a-f]{12})\b"


def _explained(body: Callable[..., object]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A docstring as running text, lines joined and paragraphs kept; and apart from it what is said of each mend."""
    text = docstring(body)
    if "\n" not in text:  # as most are: every step of every procedure comes by here when it is loaded
        return text.strip(), ()
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    if not any(text.startswith("As it was before") for text in paragraphs):
        return "\n\n".join(paragraphs), ()
    was = [(found[1], text) for text in paragraphs if (found := re.match(AS_IT_WAS_BEFORE, text))]
    doc = "\n\n".join(text for text in paragraphs if not re.match(AS_IT_WAS_BEFORE, text))
    return doc, tuple((made_by(commit), text) for commit, text in was)


class Result(msgspec.Struct, frozen=True):
    """How a task ended."""

    value: int
    """At least 0: success; below: a negated errno."""
    out: tuple[int, ...] = ()
    signal: str = ""
    si_code: str = ""

    @property
    def ok(self) -> bool:
        """Neither an errno nor a signal."""
        return self.value >= 0 and not self.signal


class Stepped(msgspec.Struct, frozen=True, gc=False):
    """What one micro-step did."""

    state: State
    task: str
    procedure: str
    step: str
    source: str
    doc: str
    depth: int
    """How many callers are below this procedure on the task's stack."""
    changes: tuple[Change, ...]
    """The journal without the task's own record."""
    events: tuple[Event, ...]
    blocked: str
    """Not empty: the step could not be done, and this is what it waits for."""
    result: Result | None
    """Not None: the task has ended with this step."""
    waits: tuple[Wait, ...] = ()
    """The locks that it has taken by waiting for them; if it could not be done, the one that it waits for is last."""


def begin(state: State, name: str, procedure: Procedure, process: str, cpu: int) -> State:
    """A State in which task `name` is about to run `procedure`; cpu -1 for a device."""
    tx = Transaction(state)
    tx.tasks[name] = Task(process=process, cpu=cpu, stack=(procedure,))
    return tx.commit()[0]


TASKS: Final = Tables.tasks.number
CPUS: Final = Tables.cpus.number
"""Where they stand among the maps of a State: every step asks for both."""

MOST_CALLS: Final = 200
"""A kernel stack is 16 KiB; a deeper recursion is a bug of the model."""


def advance(state: State, name: str, picks: Choose | None = None) -> Stepped:
    """Run one micro-step of task `name`. Raises KeyError if there is no such task.

    `picks`: who says which pages its allocations get, where that is open (setting `allocator`).
    """
    task: Task = state.maps[TASKS][name]
    innermost: Any = task.stack[-1]
    running: Procedure = replace(innermost)
    micro = running.next_step  # a driver's function makes its own
    function = running.function
    tx = Transaction(state, task, name) if picks is None else ChoosingTransaction(state, task, name, picks=picks)
    mark = id(running)
    IN_A_STEP.add(mark)
    try:
        outcome = _held_up(state, task, name) or micro.body(running, tx)
    finally:
        IN_A_STEP.discard(mark)
    result, waits = None, tx.waits
    if isinstance(outcome, Blocked):
        tx = Transaction(state, task, name)
        tx.tasks[name] = replace(task, blocked=outcome.on)
    elif tx.events and any(isinstance(event, Splat) and event.fatal for event in tx.events):
        result = Result(-ENOMEM)
        del tx.tasks[name]
        _release_cpu(tx)
    else:
        stack, result = _follow(task.stack[:-1], running, outcome)
        if result is None:
            tx.tasks[name] = Task(task.process, task.cpu, stack)
        else:
            del tx.tasks[name]
    after, journal = tx.commit()
    return Stepped(
        after,
        name,
        function,
        micro.name,
        micro.source,
        micro.explanation(state) if micro.was else micro.doc,
        len(task.stack) - 1,
        journal[:-1] if journal and journal[-1].table == "tasks" else _of_memory(journal),
        tuple([_traced(event, task) for event in tx.events]) if tx.events else (),
        outcome.on if isinstance(outcome, Blocked) else "",
        result,
        tuple(waits) if waits else (),
    )


def _of_memory(journal: tuple[Change, ...]) -> tuple[Change, ...]:
    """A journal without the task's own record, which need not be its last: some steps look through the tasks."""
    return tuple([change for change in journal if change.table != "tasks"])


def _held_up(state: State, task: Task, name: str) -> Blocked | None:
    """With interrupts off on a CPU nobody else is scheduled there."""
    cpu = task.cpu
    if cpu < 0:
        return None
    owner = state.maps[CPUS][cpu].irqs_off_by
    if owner and owner != name:
        return Blocked(f"cpu{cpu}: {owner} runs there with interrupts off")
    return None


def _release_cpu(tx: Transaction) -> None:
    """A task that dies does not keep its CPU."""
    if tx.task.cpu >= 0 and tx.cpus[tx.task.cpu].irqs_off_by == tx.task_name:
        tx.cpus.update(tx.task.cpu, irqs_off_by="")


def _follow(
    callers: tuple[Locals, ...], running: Procedure, outcome: Outcome
) -> tuple[tuple[Locals, ...], Result | None]:
    """The stack after a step that was not blocked, or the task's result if it was the last."""
    if outcome is None:
        pc = running.pc + 1
    elif isinstance(outcome, Goto):
        pc = running.positions[outcome.step]
    elif isinstance(outcome, CallOut):
        if outcome.tail:
            return _pushed(callers, outcome.procedure), None
        pc = running.positions[outcome.then] if outcome.then else running.pc + 1
        return _pushed((*callers, _at(running, pc)), outcome.procedure), None
    elif isinstance(outcome, Done):
        return _returned(callers, outcome)
    else:
        raise AssertionError(f"a step cannot return {outcome!r}")
    if pc == len(running.steps):
        return _returned(callers, Done(0, (), "", ""))
    return (*callers, _at(running, pc)), None


def _at(running: Procedure, pc: int) -> Procedure:
    """The copy that the step has worked on, at its next step; from here on it is part of a State."""
    msgspec.Struct.__setattr__(running, "pc", pc)
    return running


def _pushed(callers: tuple[Locals, ...], callee: "Procedure") -> tuple[Locals, ...]:
    if len(callers) > MOST_CALLS:
        raise RecursionError(f"{type(callee).__name__} called {len(callers)} deep")
    return (*callers, callee)


def _returned(callers: tuple[Locals, ...], outcome: Done) -> tuple[tuple[Locals, ...], Result | None]:
    """Hand a result to the caller; a caller whose call was its last step returns it in turn."""
    while callers:
        caller: Any = callers[-1]
        if caller.pc < len(caller.steps):
            changed: dict[str, object] = {"ret": outcome.value, "out": outcome.out}
            if outcome.handed_over:
                changed[outcome.handed_over] = getattr(caller, outcome.handed_over) + outcome.out
            return (*callers[:-1], replace(caller, **changed)), None
        callers = callers[:-1]
    return (), Result(outcome.value, outcome.out, outcome.signal, outcome.si_code)


def _traced(event: Event, task: Task) -> Event:
    """A splat carries the task's stack as its call trace."""
    if isinstance(event, Splat):
        trace = tuple(call.function for call in reversed(task.stack))
        return replace(event, trace=trace)
    return event
