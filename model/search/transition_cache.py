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
from model.engine.procedure import Result, Stepped, advance
from model.invariants.checker import BrokenPlaces, Checker, committed, explain
from model.invariants.holder_index import Draft, Index
from model.invariants.machine_view import MachineView
from model.invariants.violation import Severity, Violation
from model.memory.records import Lock
from model.memory.state import TABLES, State, Tables
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
    Touch,
    Tracked,
    TrackedFrames,
    TrackedIndex,
    TrackedState,
    tracked_state,
)

Properties = frozenset[tuple[str, Severity]]
"""What a transition violates: (invariant, severity) of each violation."""

STATED: Final[Severity] = "corruption"
"""A property of the script weighs as much as the worst rule: whoever states it wants to know."""

Effect = int | tuple[int, Properties]
"""The bits that a transition turns over, 0 if it is not possible; with what it violates, if anything."""


class StepCache(Footprint):
    """What is known of one actor at one place."""

    __slots__ = ("effects", "older", "outcomes", "touches")

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
    violations: tuple[Violation, ...]
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
        self.holding: Final = [self.layout.packed_table(entries) for entries in checker.scene.holding]
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
        if self.touching:
            run = run._replace(touch=run.reads.touch())
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
            touch = cell.touches[packed & cell.mask] = self.run(actor, packed).reads.touch()
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
            return self._start(actor.permission, actor.control, packed, state, reads)
        pages = self._page_choice(actor, packed, reads) if self.choosing else None
        stepped = advance(state, actor.task, pages)
        if stepped.blocked or (pages is not None and actor.choice >= pages.choices):
            return ExecutedTransition(0, reads, ())
        self.left_out |= pages is not None and pages.choices > MOST_CHOICES
        run = self._judged(actor.task, packed, state, stepped.state, stepped, reads)
        return run if stepped.result is None else run._replace(outcome=in_a_word(stepped.result))

    def pages(self, actor: Actor, packed: int) -> tuple[int, ...]:
        """The pages that the allocations of its next micro-step get, where that is open."""
        if not self.choosing or actor.permission is not None:
            return ()
        reads = Reads()
        pages = self._page_choice(actor, packed, reads)
        advance(tracked_state(self.tables, self.alive, packed, reads), actor.task, pages)
        return pages.picked

    def _page_choice(self, actor: Actor, packed: int, reads: Reads) -> PageChoice:
        held = TrackedIndex(self.holding[0], packed, reads)
        return PageChoice(actor.choice, lambda page: bool(held.get(page)))

    def _start(
        self, permission: Permission, budget: Component, packed: int, state: State, reads: Reads
    ) -> ExecutedTransition:
        """Begin a permitted command under the first name that is free."""
        alive = Tracked(self.alive, packed, reads)
        name = next((name for name in permission.tasks if name not in alive), "")
        if not name:
            return ExecutedTransition(0, reads, ())
        begun = task_begun(state, name, permission.command, permission.cpu_in(state))
        if isinstance(begun, Outcome):
            return ExecutedTransition(0, reads, ())
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
        holding = Index(*(cast("Any", TrackedIndex(table, packed, reads)) for table in self.holding))
        standing = BrokenPlaces(
            cast("Any", TrackedFrames(self.frames, packed, reads)),
            *(self._any(one, packed, reads) for one in (self.references, self.outdated, self.dangerous, self.locks)),
        )
        draft = PeekingDraft(holding)
        draft.task(task, old, new)
        alive = Tracked(self.alive, packed, reads)
        if (old is None) != (new is None):
            alive = alive.insert(task, None if new is None else in_short(new))
        maps: list[Any] = list(after.maps)
        maps[TASKS] = alive
        seen = TrackedState(tuple(maps))
        was = MachineView(before, holding)
        checker = Checker(was, standing).look_again(seen, stepped.changes if stepped else (), draft)
        found = list(committed(was, checker.scene, stepped)) if stepped else []
        found += explain(checker.scene, _newly(standing, checker.broken))
        if self.whose is not None:
            found = [violation for violation in found if self.whose.counts(task, violation)]
        broken = checker.broken
        written = (*after.maps, alive, *checker.scene.holding, *broken)
        turned = self._turned(packed, cast("Any", written), reads)
        properties = frozenset((violation.invariant, violation.severity) for violation in found)
        if self.stated:
            was_so = self._moment(before, was, standing)
            properties |= self._newly_broken(was_so, self._moment(after, checker.scene, broken))
        return ExecutedTransition((turned, properties) if properties else turned, reads, tuple(found))

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
            for component, value in table.written():
                old = packed & component.mask
                peeked = component in reads.peeked and component not in reads.components
                if not peeked:
                    reads.components.add(component)
                code = component.code(value)
                if code != old:
                    reads.changed.add(component)
                    if table.packed_table is locks and not _written(value) and not _written(component.by_code[old]):
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


class PeekingDraft(Draft):
    """Adds holders and takes them away without a look at who else is there."""

    __slots__ = ()

    def entry(self, table: Any, key: Any) -> Any:
        """An entry of the base that is not looked at."""
        return table.peek(key, ())


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


SPLIT: Final = frozenset({"frames", "processes", "buffers"})
"""Tables whose records are kept field by field: much has to do with each of them, but little with all of it."""

MOST_SPLIT: Final = 128
"""A table with more records at the start is kept record by record: a step that goes through hundreds of pages of a
buffer would look at thousands of fields, and nobody else has to do with a single one of them."""

LOCKS: Final = Tables.locks.number


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


def _written(lock: Lock | None) -> bool:
    """Whether a lock has a writer."""
    return lock is not None and bool(lock.writer)


# -- tasks in short ----------------------------------------------------------------------------


def in_short(task: Task) -> Task:
    """A task as the rules look at one: what its calls own and owe stands in the index of holders."""
    return Task(task.process, task.cpu)
