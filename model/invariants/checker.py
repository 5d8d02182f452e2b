"""The checker: which invariants are broken in a State, kept up to date from the journal of each micro-step.

A Checker is a value, like the State it belongs to: kept, branched and gone back to for free. It looks only at what a
step has changed. However one got to a State, its Checker equals the one that `Checker.full` makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rpds import HashTrieMap, HashTrieSet

from model.engine.procedure import Stepped
from model.invariants.call_holdings import of_concern
from model.invariants.case import case_of
from model.invariants.concerns import TRIGGERS
from model.invariants.holder_index import Draft, Index, LockKey
from model.invariants.incremental import Recheck, Translations
from model.invariants.machine_view import MachineView
from model.invariants.registry import (
    ACCESS_RULES,
    CHANGE_RULES,
    FRAME_RULES,
    LOCK_RULE,
    REFERENCE_RULE,
    REPLACED_RULES,
    SPLAT_RULE,
    TABLE_RULE,
    TRANSLATION_RULE,
)
from model.invariants.subjects import parse
from model.invariants.violation import SEVERITIES, Severity, Violation
from model.memory.events import Access, FreedTableRead, Splat
from model.memory.folio import large_orders
from model.memory.leaf import TABLE_SHIFT
from model.memory.records import Pte
from model.memory.state import TABLES, Change, State
from model.memory.tasks import Replacement
from model.text.wording import counted, together

MOST_ALIKE: Final = 4
"""Frames that break the same rule and are explained one by one; the others are counted."""


class BrokenPlaces(NamedTuple):
    """Everything that is wrong in a State, by the places where it is wrong. Explained only when asked."""

    frames: HashTrieSet[tuple[str, int]] = HashTrieSet()
    """(invariant, pfn)"""
    references: HashTrieMap[str, int] = HashTrieMap()
    """Reference → a bit for each of its pages that is stale."""
    outdated: Translations = HashTrieMap()
    """Translations that permit what the page table no longer does: normal for a moment, until the flush …"""
    dangerous: Translations = HashTrieMap()
    """… and those of them that are a violation."""
    locks: HashTrieSet[LockKey] = HashTrieSet()
    """Locks whose holder is gone."""


class Checker:
    """Which invariants are broken in one State. Immutable."""

    __slots__ = ("broken", "scene")

    def __init__(self, scene: MachineView, broken: BrokenPlaces) -> None:
        self.scene = scene
        self.broken = broken

    def __eq__(self, other: object) -> bool:
        """The same memory has the same holders and breaks the same rules."""
        return isinstance(other, Checker) and self.scene == other.scene and self.broken == other.broken

    def __hash__(self) -> int:
        return hash(self.scene.state)

    @classmethod
    def full(cls, state: State) -> Checker:
        """Recheck at everything: O(size of the State). Use `advance` from then on."""
        everything = tuple(
            Change(table.name, key, None, value)
            for table, entries in zip(TABLES, state.maps, strict=True)
            if not table.derived and table.name != "tasks"
            for key, value in entries.items()
        )
        return cls(MachineView(State(), Index()), BrokenPlaces()).follow(state, everything)

    def advance(self, before: State, stepped: Stepped) -> tuple[Checker, tuple[Violation, ...]]:
        """The Checker after one micro-step from `before`, and what is newly violated. O(changes).

        `before` must be the State that this Checker belongs to; ValueError if it is another object.
        """
        scene, state, changes, name = self.scene, stepped.state, stepped.changes, stepped.task
        if before is not scene.state:
            raise ValueError("this Checker belongs to another State")
        if state is before:
            return self, ()
        old, new = before.tasks.get(name), state.tasks.get(name)
        if not changes and not of_concern(old, new):
            after = Checker(MachineView(state, scene.holding), self.broken)
        else:
            draft = Draft(scene.holding, large_orders(state))
            draft.task(name, old, new)
            after = self.look_again(state, changes, draft)
        found = list(committed(scene, after.scene, stepped)) if changes or stepped.events else []
        if after.broken is not self.broken and after.broken != self.broken:
            found += explain(after.scene, _newly(self.broken, after.broken))
        return after, tuple(sorted(found, key=_worst_first)) if found else ()

    def follow(self, state: State, changes: tuple[Change, ...]) -> Checker:
        """The Checker of the State that `changes` lead to. Journals leave the tasks out: those are compared here."""
        old = self.scene.state
        if state is old:
            return self
        draft = Draft(self.scene.holding, large_orders(state))
        _follow_tasks(draft, old, state)
        return self.look_again(state, changes, draft)

    def look_again(self, state: State, changes: tuple[Change, ...], draft: Draft) -> Checker:
        """The Checker of the State that `changes` lead to, where `draft` knows of the tasks already."""
        if not changes and not draft.held and not draft.owed and not draft.came_or_went:
            return Checker(MachineView(state, draft.base), self.broken)
        for change in changes:
            draft.apply(change)
        scene = MachineView(state, draft.commit())
        if scene.holding is draft.base and draft.idle and not any(change.table in TRIGGERS for change in changes):
            return Checker(scene, self.broken)
        look, known = Recheck(scene, draft, changes), self.broken
        frames, references = look.frames(known.frames), look.references(known.references)
        outdated, dangerous = look.translations(known.outdated, known.dangerous)
        return Checker(scene, BrokenPlaces(frames, references, outdated, dangerous, look.locks(known.locks)))

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything that is wrong now, explained, worst first. What only happened (an access, a splat) is not here."""
        if self.broken == BrokenPlaces():
            return ()
        return tuple(sorted(explain(self.scene, self.broken), key=_worst_first))

    def stands(self, violation: Violation) -> bool:
        """Whether that rule is broken in that place here, whatever the wording. O(1)."""
        kind, key = parse(violation.subjects[0])
        match violation.invariant:
            case REFERENCE_RULE.invariant.name:
                return str(key[0]) in self.broken.references
            case TRANSLATION_RULE.invariant.name:
                return key in self.broken.dangerous.get(str(key[1]), frozenset())
            case LOCK_RULE.invariant.name:
                return (("cpu", str(key[0])) if kind == "cpu" else key) in self.broken.locks
            case _:
                return kind == "frame" and (violation.invariant, key[0]) in self.broken.frames


def _newly(old: BrokenPlaces, new: BrokenPlaces) -> BrokenPlaces:
    """What is wrong in `new` and was not in `old`."""
    return BrokenPlaces(
        HashTrieSet(key for key in new.frames if key not in old.frames),
        HashTrieMap({name: pages for name, pages in new.references.items() if name not in old.references}),
        dangerous=HashTrieMap({of: ones - old.dangerous.get(of, frozenset()) for of, ones in new.dangerous.items()}),
        locks=HashTrieSet(lock for lock in new.locks if lock not in old.locks),
    )


def _alike(broken: BrokenPlaces) -> dict[str, list[int]]:
    """Rule → the frames that break it, in order."""
    alike: dict[str, list[int]] = {}
    for name, pfn in sorted(broken.frames):
        alike.setdefault(name, []).append(pfn)
    return alike


def kinds_of(scene: MachineView, broken: BrokenPlaces) -> Iterator[tuple[str, Severity]]:
    """What is wrong as `explain` tells it, without the words: invariant and severity."""
    for name, pfns in _alike(broken).items():
        rule = FRAME_RULES[name]
        for pfn in pfns[:MOST_ALIKE]:
            yield name, rule.severity_of(case_of(scene, pfn, of_folio=rule.of_folio))
    if any(_is_seen(scene, name) for name in broken.references):
        yield REFERENCE_RULE.invariant.name, REFERENCE_RULE.invariant.severity
    if any(broken.dangerous.values()):
        yield TRANSLATION_RULE.invariant.name, TRANSLATION_RULE.invariant.severity
    if broken.locks:
        yield LOCK_RULE.invariant.name, LOCK_RULE.invariant.severity


def _is_seen(scene: MachineView, reference: str) -> bool:
    """Whether there is somebody to whom it matters that a reference is stale."""
    process = scene.state.references[reference].process
    return not process or scene.living(process)


def explain(scene: MachineView, broken: BrokenPlaces) -> Iterator[Violation]:
    """Each thing that is wrong, in words."""
    for name, pfns in _alike(broken).items():
        rule = FRAME_RULES[name]
        found = [rule.explain(case_of(scene, pfn, of_folio=rule.of_folio)) for pfn in pfns[:MOST_ALIKE]]
        if len(pfns) > MOST_ALIKE:
            more = counted(len(pfns) - MOST_ALIKE, "({n} more frame likewise)", "({n} more frames likewise)")
            found[-1] = found[-1]._replace(message=together((found[-1].message, more)))
        yield from found
    for name, pages in broken.references.items():
        if _is_seen(scene, name):
            yield REFERENCE_RULE.explain(scene, name, pages)
    for translations in broken.dangerous.values():
        for translation in translations:
            yield TRANSLATION_RULE.explain(scene, *translation)
    for lock in broken.locks:
        yield LOCK_RULE.explain(scene, *lock)


def committed(before: MachineView, scene: MachineView, stepped: Stepped) -> Iterator[Violation]:
    """What a step did wrong, as opposed to what it left wrong."""
    for event in stepped.events:
        if isinstance(event, Splat):
            yield SPLAT_RULE.explain(scene, stepped.task, event)
        elif isinstance(event, Access):
            yield from filter(None, (rule.judge(scene, event) for rule in ACCESS_RULES))
        elif isinstance(event, FreedTableRead):
            yield TABLE_RULE.explain(scene, event)
    entries = False
    for change in stepped.changes:
        entries |= change.table in REPLACED_RULES
        for rule in CHANGE_RULES[change.table]:
            yield from rule.judge(before, scene, change)
    if entries:
        yield from _elsewhere(before, scene, stepped)


def _elsewhere(before: MachineView, scene: MachineView, stepped: Stepped) -> Iterator[Violation]:
    """What a step did wrong where it made entries lead elsewhere."""
    task = before.state.tasks.get(stepped.task)
    call = task.stack[-1].replaces() if task is not None and task.stack else None
    for change in stepped.changes:
        if change.table in REPLACED_RULES and (call is not None or (change.old is not None and change.new is not None)):
            for whole in _replaced(change, call):
                for rule in REPLACED_RULES[change.table]:
                    yield from rule.judge(before, scene, whole)


def _replaced(change: Change, call: Replacement | None) -> Iterator[Change]:
    """A change from one entry to another, also where a call makes it in two steps; nothing if it only clears or fills.

    Of the two steps each is judged: the byte may get lost before the entry is cleared, and until the new one is set.
    """
    old, new = change.old, change.new
    if old is not None and new is not None:
        yield change
        return
    process, vpn = change.key[0], change.key[-1] << (TABLE_SHIFT if change.table == "tables" else 0)
    if call is None or process != call.mm or not call.start <= vpn < call.end:
        return
    if new is None:
        yield change._replace(new=Pte(call.pfn + vpn - call.start, old.bits))
    elif call.old >= 0:
        yield change._replace(old=Pte(call.old, new.bits))


def _worst_first(found: Violation) -> tuple[int, str, list[tuple[int, str]]]:
    """By severity, then by name, then by subject so that frame 9 stands before frame 10."""
    return -SEVERITIES.index(found.severity), found.invariant, [(len(about), about) for about in found.subjects]


def _follow_tasks(draft: Draft, old: State, new: State) -> None:
    """Let the draft know what tasks in flight hold and owe."""
    if old.tasks is new.tasks:
        return
    for name, task in old.tasks.items():
        now = new.tasks.get(name)
        if now is not task:
            draft.task(name, task, now)
    for name, task in new.tasks.items():
        if name not in old.tasks:
            draft.task(name, None, task)
