"""Micro-steps remembered: each is run on the real kernel once for all states that look the same to it.

What a step does, and what the checker says to it, depends on nothing but the entries that they read. So for each place
in the code (a value of the task's own record) there is a cell: the bits that steps from there have read so far, and
for each value of these bits what the step then does, as the bits that it turns over. If a run reads what none before
it has read, a wider cell takes the place of this one, and asks it before it runs anything.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, cast

import msgspec
from rpds import HashTrieMap, HashTrieSet

from model.engine.config import KernelQuestions, kernel_questions, setting
from model.engine.lock import CPU
from model.engine.procedure import Result, Stepped, advance
from model.invariants.checker import BrokenPlaces, Checker, committed, explain, kinds_of
from model.invariants.holder_index import Index, irqs_off, lock_holders
from model.invariants.machine_view import MachineView
from model.invariants.violation import Severity
from model.memory.folio import large_orders
from model.memory.records import Cpu, Lock
from model.memory.state import TABLES, State, Tables, Wait
from model.memory.tasks import Task
from model.script.context import Outcome
from model.script.execute import outcome_of, task_begun
from model.script.moment import Moment
from model.search.packed import BitLayout, Component, Footprint, PackedTable
from model.search.page_choice import MOST_CHOICES, PageChoice
from model.search.problem import Permission, SearchProblem
from model.search.read_tracking import (
    TASKS,
    Reads,
    Tracked,
    TrackedFrames,
    TrackedIndex,
    TrackedState,
    tracked_state,
)
from model.search.touch import Touch
from model.search.tracked_holders import PeekingDraft, TrackedHolders, by_kind

Properties = frozenset[tuple[str, Severity]]
"""What a transition violates: (invariant, severity) of each violation."""

STATED: Final[Severity] = "corruption"
"""A property of the script weighs as much as the worst rule: whoever states it wants to know."""

Effect = int | tuple[int, Properties]
"""The bits that a transition turns over, 0 if it is not possible; with what it violates, if anything."""


class StepCache(Footprint):
    """What is known of one actor at one place."""

    __slots__ = ("effects", "older", "outcomes", "steps", "touches")

    def __init__(self, older: tuple[StepCache, ...] = ()) -> None:
        super().__init__()
        self.older = older
        """What was known when fewer bits were known to matter, the latest first. It still holds, and grows: a run that
        read no more than one of these holds for every value of the bits that matter to others."""
        self.effects: dict[int, Effect] = {}
        """The bits that matter → what happens."""
        self.outcomes: dict[int, str] = {}
        """The bits that matter → how the call ends, where it ends: `ok`, an errno, or a signal."""
        self.touches: dict[int, Touch] = {}
        """The bits that matter → what the transition looks at and changes, where somebody has asked for that."""
        self.steps: dict[int, Any] = {}
        """The bits that matter → what a reduced search (`model.search.reduction`) knows of the transition."""

    def remember(self, packed: int, run: ExecutedTransition) -> None:
        """What happened in a state, for all that are the same where it matters."""
        self.effects[packed & self.mask] = run.effect
        if run.outcome:
            self.outcomes[packed & self.mask] = run.outcome
        if run.touch is not None:
            self.touches[packed & self.mask] = run.touch


class Actor:
    """Something that can move: a task, or a permission to start one."""

    __slots__ = ("cells", "choice", "control", "first", "idle", "permission", "task")

    def __init__(
        self,
        control: Component,
        idle: int,
        task: str = "",
        permission: Permission | None = None,
        first: Actor | None = None,
        choice: int = 0,
    ) -> None:
        self.control = control
        """The component that says where the actor is: the task's record, or what is left of the permission."""
        self.idle = idle
        """The value of its bits at which the actor can do nothing."""
        self.task = task
        self.permission = permission
        """None for a task."""
        self.first: Actor = first or self
        """The same task with the first choice of pages."""
        self.choice = choice
        """Which pages its allocations get, where that is open."""
        self.cells: dict[int, StepCache] = {}

    @property
    def name(self) -> str:
        """What messages call the actor."""
        return self.task or (self.permission.command.text if self.permission else "")


class ExecutedTransition(NamedTuple):
    """One transition, made on the real kernel."""

    effect: Effect
    reads: Reads
    outcome: str = ""
    """How the call ends, if it ends with this: `ok`, an errno, or a signal."""
    touch: Touch | None = None
    """What it looks at and changes; None if nobody has asked for that."""


class NotedRun(NamedTuple):
    """A transition that has asked something of its kernel."""

    actor: Actor
    packed: int
    effect: Effect
    reads: Reads
    questions: KernelQuestions

    @property
    def mask(self) -> int:
        """The bits that it depends on, in the states that are known by now."""
        known = 0
        for component in self.reads.depends_on:
            known |= component.mask
        for packed_table in self.reads.packed_tables:
            for component in packed_table.components.values():
                known |= component.mask
        return known


class TransitionCache:
    """The transitions of a scene."""

    def __init__(self, scene: SearchProblem) -> None:
        state, checker = scene.context.state, scene.checker
        self.layout: Final = BitLayout()
        self.tables: Final = [
            self.layout.split_table(table, TABLES[number].value)
            if TABLES[number].name in SPLIT and len(table) <= MOST_SPLIT
            else self.layout.packed_table(table, msgspec.msgpack.encode if number == TASKS else None)
            for number, table in enumerate(state.maps)
        ]
        self.alive: Final = self.layout.packed_table(_map({name: in_short(task) for name, task in state.tasks.items()}))
        """What the checker needs to know of a task: that there is one, for whom and where."""
        holding = checker.scene.holding
        self.kinds_apart: Final = len(holding.held) <= MOST_SPLIT
        """The holders of a frame are kept kind by kind."""
        held = by_kind(holding.held) if self.kinds_apart else holding.held
        self.holding: Final = [self.layout.packed_table(entries) for entries in cast("Any", (held, *holding[1:]))]
        """The tables of the index of holders."""
        broken = checker.broken
        rules: dict[int, frozenset[str]] = {}
        for name, pfn in broken.frames:
            rules[pfn] = rules.get(pfn, frozenset()) | {name}
        self.frames: Final = self.layout.packed_table(_map(rules))
        self.references: Final = self.layout.packed_table(broken.references)
        self.outdated: Final = self.layout.packed_table(broken.outdated)
        self.dangerous: Final = self.layout.packed_table(broken.dangerous)
        self.locks: Final = self.layout.packed_table(_map(dict.fromkeys(broken.locks, True)))
        budgets = {budget_key(number): permission.times for number, permission in enumerate(scene.permissions)}
        self.budgets: Final = self.layout.packed_table(_map(budgets))
        """How often what may still be started."""
        self.choosing: Final = setting(state, "allocator") == "any"
        """Allocations may get any page."""
        self.left_out = False
        """There were more choices of pages than are tried."""
        self.threads: Final = [self._task(name) for name in self._names(scene)]
        """The tasks, each once."""
        self.tasks: Final = [
            actor
            for task in self.threads
            for actor in (
                task,
                *(
                    Actor(task.control, task.idle, task.task, None, task, choice)
                    for choice in range(1, MOST_CHOICES if self.choosing else 1)
                ),
            )
        ]
        """The tasks with every choice of pages that they may have."""
        self.starters: Final = [
            Actor(budget := self.budgets.component(budget_key(number)), self._spent(budget, permission), "", permission)
            for number, permission in enumerate(scene.permissions)
        ]
        self.stated: Final = [one for one in scene.properties if one.when != "final"]
        """What the script says of every state: judged with each transition that may change it."""
        self.finals: Final = [one for one in scene.properties if one.when == "final"]
        """What it says of the states in which nothing more can happen."""
        self.answered: Final[set[str]] = set()
        """Those that have spoken of what exists in some state."""
        self.whose: Final = scene.whose
        self.runs = 0
        """How often the real kernel was asked."""
        self.touching = False
        """What transitions look at and change is remembered too."""
        self.waits_in_section = False
        """A task has been seen to wait, or to end, with interrupts off."""
        self.noted: list[NotedRun] | None = None
        """Those that have asked something of their kernel, where somebody wants to know."""

    def _names(self, scene: SearchProblem) -> list[str]:
        named = [name for permission in scene.permissions for name in permission.tasks]
        return [*sorted(scene.context.state.tasks), *named]

    def _task(self, name: str) -> Actor:
        record = self.tables[TASKS].component(name)
        return Actor(record, record.code(None), name)

    def _spent(self, budget: Component, permission: Permission) -> int:
        """The code of a permission that is used up; one without limit never is."""
        return budget.code(0) if permission.times else -1

    # -- looking up ------------------------------------------------------------------------

    def effect(self, actor: Actor, packed: int) -> Effect:
        """What `actor` does in a state."""
        at = packed & actor.control.mask
        if at == actor.idle:
            return 0
        cell = actor.cells.get(at)
        if cell is not None:
            effect = cell.effects.get(packed & cell.mask)
            if effect is not None:
                return effect
        return self.learn(actor, packed)

    def learn(self, actor: Actor, packed: int) -> Effect:
        """Run the transition and remember it, unless it was remembered with fewer bits."""
        at = packed & actor.control.mask
        cell = actor.cells.get(at) or StepCache()
        for older in cell.older:
            effect = older.effects.get(packed & older.mask)
            if effect is not None:
                cell.effects[packed & cell.mask] = effect
                if outcome := older.outcomes.get(packed & older.mask):
                    cell.outcomes[packed & cell.mask] = outcome
                if touch := older.touches.get(packed & older.mask):
                    cell.touches[packed & cell.mask] = touch
                return effect
        run = self.run(actor, packed) if self.noted is None else self._run_noted(actor, packed, self.noted)
        matters = run.reads.depends_on
        if cell.effects and not cell.covers(matters, run.reads.packed_tables):
            narrow, cell = cell, StepCache((cell, *cell.older))
            cell.include(narrow.components, narrow.packed_tables)
        cell.include(matters, run.reads.packed_tables)
        if cell.older:
            self._least(cell, run.reads).remember(packed, run)
        cell.remember(packed, run)
        actor.cells[at] = cell
        return run.effect

    def _run_noted(self, actor: Actor, packed: int, noted: list[NotedRun]) -> ExecutedTransition:
        with kernel_questions() as questions:
            run = self.run(actor, packed)
        if questions.facts or questions.drivers:
            noted.append(NotedRun(actor, packed, run.effect, run.reads, questions))
        return run

    @staticmethod
    def _least(cell: StepCache, reads: Reads) -> StepCache:
        """What is known where no more than `reads` matters."""
        components, tables = {*reads.depends_on}, {*reads.packed_tables}
        for older in cell.older:
            if older.components == components and older.packed_tables == tables:
                return older
        least = StepCache()
        least.include(components, tables)
        cell.older = (*cell.older, least)
        return least

    def touch(self, actor: Actor, packed: int) -> Touch:
        """What the transition of `actor` in a state looks at and changes, be it possible or not."""
        self.effect(actor, packed)
        cell = actor.cells[packed & actor.control.mask]
        touch = cell.touches.get(packed & cell.mask)
        if touch is None:
            run = self.run(actor, packed)
            touch = cell.touches[packed & cell.mask] = run.touch or self._touch(run.reads)
        return touch

    def outcome(self, actor: Actor, packed: int) -> str:
        """How the call of `actor` ends with its next step; empty if it does not end with it."""
        self.effect(actor, packed)
        cell = actor.cells.get(packed & actor.control.mask)
        return cell.outcomes.get(packed & cell.mask, "") if cell is not None else ""

    def outcomes(self, actor: Actor) -> frozenset[str]:
        """Every way in which the calls of `actor` have been seen to end."""
        cells = [older for cell in actor.cells.values() for older in (cell, *cell.older)]
        return frozenset(outcome for cell in cells for outcome in cell.outcomes.values())

    # -- running ---------------------------------------------------------------------------

    def run(self, actor: Actor, packed: int) -> ExecutedTransition:
        """Make the transition on the real kernel and judge it, whatever is remembered."""
        self.runs += 1
        reads = Reads()
        state = tracked_state(self.tables, self.alive, packed, reads)
        if actor.permission is not None:
            run = self._start(actor.permission, actor.control, packed, state, reads)
            return run._replace(touch=self._touch(reads)) if self.touching else run
        pages = self._page_choice(actor, packed, reads) if self.choosing else None
        stepped = advance(state, actor.task, pages)
        if stepped.blocked or (pages is not None and actor.choice >= pages.choices):
            run = ExecutedTransition(0, reads)
        else:
            self.left_out |= pages is not None and pages.choices > MOST_CHOICES
            run = self._judged(actor.task, packed, state, stepped.state, stepped, reads)
            if stepped.result is not None:
                run = run._replace(outcome=in_a_word(stepped.result))
        return run._replace(touch=self._step_touch(actor, packed, stepped, reads)) if self.touching else run

    # -- what a step has to do with others -------------------------------------------------

    def _touch(self, reads: Reads) -> Touch:
        """What a start has to do with others."""
        looked = reads.looked
        return Touch(looked, reads.turned, looked)

    def _step_touch(self, actor: Actor, packed: int, stepped: Stepped, reads: Reads) -> Touch:
        """What a micro-step has to do with others, also one that is not possible now."""
        looked = heeds = reads.looked
        locks = [0, 0]
        for wait in stepped.waits:
            if wait.lock[0] != CPU:
                locks[wait.write] |= self.tables[LOCKS].component(wait.lock).mark
        task = cast("Task", actor.control.by_code[packed & actor.control.mask])
        held_up = None
        if task.cpu >= 0:
            cpu = self.tables[CPUS].component(task.cpu)
            locks[False] |= cpu.mark
            heeds &= ~cpu.mark
            owner = cpu.by_code[packed & cpu.mask].irqs_off_by
            if owner == actor.task and (stepped.blocked or stepped.result is not None):
                self.waits_in_section |= stepped.state.maps[CPUS][task.cpu].irqs_off_by == owner
            held_up = cpu if owner not in {"", actor.task} else None
        waits_for = 0
        if stepped.blocked:
            if held_up is None and stepped.waits:
                held_up = self._against(stepped.waits[-1], packed)
            if held_up is not None:
                waits_for = held_up.mark
                heeds &= ~waits_for
                if len(holders := holders_of(held_up, packed)) == 1:
                    heeds &= ~self.tables[TASKS].component(holders[0]).mark
        return Touch(looked, reads.turned, heeds, not stepped.blocked, waits_for, *locks)

    def _against(self, wait: Wait, packed: int) -> Component | None:
        """What a step waits for: a lock that somebody holds against it; None if it waits for something else."""
        kind, owner = wait.lock
        held = self.tables[CPUS].component(int(owner)) if kind == CPU else self.tables[LOCKS].component(wait.lock)
        value = held.by_code[packed & held.mask]
        against = value is not None and (kind == CPU or bool(value.writer) or wait.write)
        return held if against else None

    def pages(self, actor: Actor, packed: int) -> tuple[int, ...]:
        """The pages that the allocations of its next micro-step get, where that is open."""
        if not self.choosing or actor.permission is not None:
            return ()
        reads = Reads()
        pages = self._page_choice(actor, packed, reads)
        advance(tracked_state(self.tables, self.alive, packed, reads), actor.task, pages)
        return pages.picked

    def _page_choice(self, actor: Actor, packed: int, reads: Reads) -> PageChoice:
        held = self._held(packed, reads)
        return PageChoice(actor.choice, lambda page: bool(held.get(page)))

    def _start(
        self, permission: Permission, budget: Component, packed: int, state: State, reads: Reads
    ) -> ExecutedTransition:
        """Begin a permitted command under the first name that is free."""
        alive = Tracked(self.alive, packed, reads)
        name = next((name for name in permission.tasks if name not in alive), "")
        if not name:
            return ExecutedTransition(0, reads)
        begun = task_begun(state, name, permission.command, permission.cpu_in(state))
        if isinstance(begun, Outcome):
            return ExecutedTransition(0, reads)
        run = self._judged(name, packed, state, begun, None, reads)
        if not permission.times:
            return run
        left = budget.by_code[packed & budget.mask]
        reads.components.add(budget)
        reads.changed.add(budget)
        turned = packed & budget.mask ^ budget.code(left - 1)
        effect = run.effect ^ turned if isinstance(run.effect, int) else (run.effect[0] ^ turned, run.effect[1])
        return run._replace(effect=effect)

    def _judged(
        self, task: str, packed: int, before: State, after: State, stepped: Stepped | None, reads: Reads
    ) -> ExecutedTransition:
        """The effect of a transition of `task`, and what it breaks."""
        old, new = before.tasks.get(task), after.tasks.get(task)
        holding = Index(
            self._held(packed, reads),
            *(cast("Any", TrackedIndex(table, packed, reads)) for table in self.holding[1:]),
        )
        standing = BrokenPlaces(
            cast("Any", TrackedFrames(self.frames, packed, reads)),
            *(self._any(one, packed, reads) for one in (self.references, self.outdated, self.dangerous, self.locks)),
        )
        draft = PeekingDraft(holding, large_orders(before))
        draft.task(task, old, new)
        alive = Tracked(self.alive, packed, reads)
        if (old is None) != (new is None):
            alive = alive.insert(task, None if new is None else in_short(new))
        maps: list[Any] = list(after.maps)
        maps[TASKS] = alive
        seen = TrackedState(tuple(maps))
        was = MachineView(before, holding)
        checker = Checker(was, standing).look_again(seen, stepped.changes if stepped else (), draft)
        broken = checker.broken
        kinds = self._kinds(task, was, checker, _newly(standing, broken), stepped)
        written = (*after.maps, alive, *checker.scene.holding, *broken)
        turned = self._turned(packed, cast("Any", written), reads)
        properties = frozenset(kinds)
        if self.stated:
            was_so = self._moment(before, was, standing)
            properties |= self._newly_broken(was_so, self._moment(after, checker.scene, broken))
        return ExecutedTransition((turned, properties) if properties else turned, reads)

    def _held(self, packed: int, reads: Reads) -> Any:
        """The table of holders."""
        return (TrackedHolders if self.kinds_apart else TrackedIndex)(self.holding[0], packed, reads)

    def _kinds(
        self, task: str, was: MachineView, checker: Checker, broken: BrokenPlaces, stepped: Stepped | None
    ) -> set[tuple[str, Severity]]:
        """What a transition does wrong, and what it leaves wrong. Words are made only where it matters whose it is."""
        found = list(committed(was, checker.scene, stepped)) if stepped else []
        if self.whose is None:
            return {(one.invariant, one.severity) for one in found} | set(kinds_of(checker.scene, broken))
        found += explain(checker.scene, broken)
        return {(one.invariant, one.severity) for one in found if self.whose.counts(task, one)}

    def _newly_broken(self, before: Moment, after: Moment) -> Properties:
        """The properties of the script that hold before a transition, or say nothing, and are broken after it."""
        found = set()
        for stated in self.stated:
            broken, was = stated.is_broken(after), stated.is_broken(before)
            if broken is not None:
                self.answered.add(stated.text)
            if broken and not was:
                found.add((stated.text, STATED))
        return frozenset(found)

    def _moment(self, state: State, scene: MachineView, broken: BrokenPlaces) -> Moment:
        """What a property is asked about, on tables that note what it reads."""
        if not any(stated.asks("broken") for stated in self.stated):
            return Moment(state)
        frames: Any = broken.frames
        plain = broken._replace(
            frames=HashTrieSet([(name, pfn) for pfn, names in frames.items() for name in names]),
            references=_map(dict(broken.references.items())),
            dangerous=_map(dict(broken.dangerous.items())),
            locks=HashTrieSet(list(broken.locks)),
        )
        return Moment(state, checker=Checker(scene, plain))

    @staticmethod
    def _any(packed_table: PackedTable, packed: int, reads: Reads) -> Any:
        return Tracked(packed_table, packed, reads)

    def _turned(self, packed: int, written: tuple[Tracked, ...], reads: Reads) -> int:
        """The bits that differ. What is written counts as read: the bits to turn depend on what was there."""
        turned = 0
        locks = self.tables[LOCKS]
        for table in written:
            for component, value in table.written() if table.writes else ():
                old = packed & component.mask
                peeked = component in reads.peeked and component not in reads.components
                if not peeked:
                    reads.components.add(component)
                code = component.code(value)
                if code != old:
                    reads.changed.add(component)
                    if table.packed_table is locks and not is_written(value) and not is_written(component.by_code[old]):
                        reads.shared.add(component)
                turned ^= old ^ code
        return turned

    # -- unpacking -------------------------------------------------------------------------

    def tracked(self, packed: int) -> State:
        """The State, read out of the packed one entry by entry: for who looks at few of them."""
        return tracked_state(self.tables, self.alive, packed, Reads())

    def state(self, packed: int) -> State:
        """The State, with tables of its own."""
        maps = tuple(_map(dict(packed_table.items(packed))) for packed_table in self.tables)
        return State(maps)


def _newly(old: BrokenPlaces, new: BrokenPlaces) -> BrokenPlaces:
    """What is wrong in `new` and was not in `old`, from what was written."""
    frames, references, dangerous, locks = (
        cast("Any", table).writes or {} for table in (new.frames, new.references, new.dangerous, new.locks)
    )
    return BrokenPlaces(
        HashTrieSet(
            [(name, pfn) for pfn, names in frames.items() for name in names or () if (name, pfn) not in old.frames]
        ),
        HashTrieMap({name: pages for name, pages in references.items() if pages and name not in old.references}),
        dangerous=HashTrieMap(
            {of: ones - old.dangerous.get(of, frozenset()) for of, ones in dangerous.items() if ones}
        ),
        locks=HashTrieSet([lock for lock, held in locks.items() if held and lock not in old.locks]),
    )


def _map(entries: dict[Any, Any]) -> HashTrieMap[Any, Any]:
    return HashTrieMap(entries)


SPLIT: Final = frozenset({"frames", "processes", "buffers", "references"})
"""Tables whose records are kept field by field: much has to do with each of them, but little with all of it."""

MOST_SPLIT: Final = 128
"""A table with more records at the start is kept record by record: a step that goes through hundreds of pages of a
buffer would look at thousands of fields, and nobody else has to do with a single one of them."""

LOCKS: Final = Tables.locks.number
CPUS: Final = Tables.cpus.number


def holders_of(lock: Component, packed: int) -> tuple[str, ...]:
    """The tasks that hold a lock, or that have interrupts off on a CPU."""
    held = lock.by_code[packed & lock.mask]
    return irqs_off(held) if isinstance(held, Cpu) else lock_holders(held)


def in_a_word(result: Result) -> str:
    """How a call ended.

    >>> in_a_word(Result(0)), in_a_word(Result(-14)), in_a_word(Result(0, signal="SIGBUS"))
    ('ok', 'EFAULT', 'SIGBUS')
    """
    outcome = outcome_of(None, result)
    return outcome.errno or outcome.signal or "ok"


def budget_key(number: int) -> str:
    """Under what is kept how often a permission may still be used."""
    return f"may {number}"


def is_written(lock: Lock | None) -> bool:
    """Whether a lock has a writer."""
    return lock is not None and bool(lock.writer)


# -- tasks in short ----------------------------------------------------------------------------


def in_short(task: Task) -> Task:
    """A task as the rules look at one: what its calls own and owe stands in the index of holders."""
    return Task(task.process, task.cpu)
