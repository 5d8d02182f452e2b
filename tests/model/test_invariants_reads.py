"""Rules are looked at again in time: each says what it reads, and says the truth.

Every entry of every table of the States in `rule_states` is removed and altered, one at a time. Each time the rules are
evaluated by hand, on everything there is; the checker that looks at everything and the one that follows the change
must both come to the same. A rule whose verdict changes must have declared that table and that field, and each table
that a rule declares must change its verdict somewhere.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgspec
import pytest

from model.engine.config import SETTINGS
from model.invariants.case import Case, case_of
from model.invariants.checker import Checker
from model.invariants.machine_view import MachineView
from model.invariants.registry import ACCESS_RULES, FRAME_RULES, LOCK_RULE, REFERENCE_RULE, RULES, TRANSLATION_RULE
from model.invariants.rule import (
    AccessRule,
    ChangeRule,
    FrameRule,
    LockRule,
    ReferenceRule,
    Rule,
    SplatRule,
    TableRule,
    TranslationRule,
)
from model.memory.flags import (
    PAGE_RW,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_FROZEN,
    PG_NOREF,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.state import DERIVED, TABLES, Change, State, Transaction
from tests.model.reading import NotedRecord, Seen, noting
from tests.model.rule_states import NAMES, SCRIPTS, accesses, states

FLAGS: Final = (
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_FROZEN,
    PG_NOREF,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_SHARED,
    VM_WRITE,
    PAGE_RW,
)

MOST_ACCESSES: Final = 3
"""Accesses of each script that are judged anew after each change: the last ones."""

Verdicts = dict[str, frozenset[Any]]
"""Rule → everything that breaks it."""

STANDING: Final = [
    name for name, rule in RULES.items() if not isinstance(rule, AccessRule | ChangeRule | SplatRule | TableRule)
]


def verdicts(scene: MachineView) -> Verdicts:
    """Every rule about a State asked about everything, without a short cut."""
    state = scene.state
    pfns = {*state.frames.keys(), *scene.holding.held.keys()}
    found: Verdicts = {
        name: frozenset(
            pfn
            for pfn in pfns
            if scene.head(pfn) in {None, pfn} or not rule.of_folio
            if rule.broken(case_of(scene, pfn, of_folio=rule.of_folio))
        )
        for name, rule in FRAME_RULES.items()
    }
    found[REFERENCE_RULE.invariant.name] = frozenset(
        (name, page)
        for name, reference in state.references.items()
        for page in range(len(reference.frames))
        if REFERENCE_RULE.broken(scene, reference, page)
    )
    found[TRANSLATION_RULE.invariant.name] = frozenset(
        (cpu, cached.process, cached.vpn)
        for cpu, entries in state.tlbs.items()
        for cached in entries
        if TRANSLATION_RULE.outdated(cached.pte, scene.entry(cached.process, cached.vpn))
        and TRANSLATION_RULE.dangerous(scene, cached)
    )
    found[LOCK_RULE.invariant.name] = frozenset(lock for lock in locks(scene) if LOCK_RULE.broken(scene, *lock))
    return found


def locks(scene: MachineView) -> list[tuple[str, str]]:
    """Every lock that there may be something to say of."""
    return [*scene.state.locks, *(("cpu", str(number)) for number in scene.state.cpus)]


def said(checker: Checker) -> Verdicts:
    """What the checker says, in the same shape."""
    broken = checker.broken
    found: Verdicts = {name: frozenset(pfn for rule, pfn in broken.frames if rule == name) for name in FRAME_RULES}
    found[REFERENCE_RULE.invariant.name] = frozenset(
        (name, page)
        for name, bits in broken.references.items()
        for page in range(bits.bit_length())
        if bits >> page & 1
    )
    found[TRANSLATION_RULE.invariant.name] = frozenset().union(*broken.dangerous.values())
    found[LOCK_RULE.invariant.name] = frozenset(broken.locks)
    return found


# -- every other value an entry could have ------------------------------------------------------


Altered = tuple[str, str, State, tuple[Change, ...]]


def altered(state: State) -> Iterator[Altered]:
    """(table, field, State, journal): each State differs in one entry. The field is empty where the entry is gone."""
    for number, table in enumerate(TABLES):
        if table.name in DERIVED or table.name == "settings":
            continue
        entries = dict(state.maps[number].items())
        for key, value in entries.items():
            yield table.name, "", *_with(state, table.name, key, None)
            for field, other in _others(value, list(entries.values())):
                yield table.name, field, *_with(state, table.name, key, other)
    for key, setting in SETTINGS.items():
        for value in setting.values:
            if value != (state.settings.get(key) or setting.values[0]):
                yield "settings", "value", *_with(state, "settings", key, value)


def _others(value: Any, alike: list[Any]) -> Iterator[tuple[str, Any]]:
    """Other values of an entry, and the field that makes the difference."""
    if isinstance(value, tuple):
        for position in range(len(value)):
            yield "value", value[:position] + value[position + 1 :]
            for _, other in _others(value[position], []):
                yield "value", (*value[:position], other, *value[position + 1 :])
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            mine = getattr(value, field)
            others = (*_like(mine, field), *(getattr(one, field) for one in alike))
            for other in {repr(one): one for one in others}.values():
                if other != mine:
                    yield field, msgspec.structs.replace(value, **{field: other})
    else:
        for other in {*_like(value), *(one for one in alike if one != value)}:
            yield "value", other


def _like(value: Any, field: str = "") -> list[Any]:
    """Values near one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        if field == "order":
            return [0, 1]
        return [value ^ flag for flag in FLAGS] if field in {"flags", "bits"} else [value + 1, value - 1]
    if isinstance(value, str):
        return ["", "somebody", "free", "anon", "buffer", "dax"]
    if isinstance(value, tuple):
        return [(), value[1:], tuple(one + 1 if isinstance(one, int) else one for one in value)]
    return []


def _with(state: State, table: str, key: Any, value: Any) -> tuple[State, tuple[Change, ...]]:
    tx = Transaction(state)
    view = getattr(tx, table)
    if value is None:
        del view[key]
    else:
        view[key] = value
    return tx.commit()


def followed(checker: Checker, other: State, journal: tuple[Change, ...]) -> Checker:
    """The Checker after such a change. What a task carries is of no concern to the rules here."""
    return checker.follow(other, tuple(change for change in journal if change.table != "tasks"))


# -- the rules about a State ---------------------------------------------------------------------


@cache
def examined(name: str) -> dict[str, set[tuple[str, str]]]:
    """Rule → what of the States of one script has changed its verdict. Checks the checker on the way."""
    told: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for state in states(name):
        checker = Checker.full(state)
        before = verdicts(checker.scene)
        assert said(checker) == before
        for table, field, other, journal in altered(state):
            full = Checker.full(other)
            after = verdicts(full.scene)
            what = f"{table}.{field or 'gone'}"
            assert said(full) == after, f"Checker.full after a change of {what}"
            following = followed(checker, other, journal)
            assert said(following) == after, f"the checker that follows a change of {what}"
            assert following.scene == full.scene
            for rule in STANDING:
                if before[rule] != after[rule]:
                    told[rule].add((table, field))
    return told


def permitted(rule: Rule, table: str, field: str) -> bool:
    """Whether the rule has declared that it reads this.

    Who reads a frame finds its folio on the way: whether there is one, and how many pages it has. Who looks for a page
    of a file asks whether it has large ones.
    """
    if "frames" in rule.reads and (table, field) in {("folios", ""), ("frames", "order"), ("frames", "flags")}:
        return True
    if "page_cache" in rule.reads and (table, field) in {("files", ""), ("files", "nr_thps")}:
        return True
    fields = rule.reads.get(table, ())
    return table in rule.reads and (fields is None or not field or field in fields)


@pytest.mark.parametrize("script", NAMES)
def test_the_checker_notices_every_change_and_each_rule_declares_what_it_depends_on(script: str) -> None:
    for name, told in examined(script).items():
        secret = {f"{table}.{field}" for table, field in told if not permitted(RULES[name], table, field)}
        assert not secret, f"rule `{name}` depends on {sorted(secret)}: add that to its `reads`"


def test_each_declared_table_changes_the_verdict() -> None:
    """One test for all rules: it takes what the tests above have examined, in whichever process they ran."""
    for name in STANDING:
        shown = {table for script in NAMES for table, _ in examined(script)[name]}
        idle = RULES[name].reads.keys() - shown
        assert not idle, (
            f"rule `{name}` declares that it reads {sorted(idle)}, but no change there alters its verdict: add a "
            "script to tests/model/rule_states.py in which it does, or take the table out of `reads`"
        )


# -- the rules about an access --------------------------------------------------------------------


def judged() -> dict[str, set[tuple[str, str]]]:
    """Rule about accesses → what of a State has changed its verdict."""
    told: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for script in SCRIPTS:
        for state, access in accesses(script)[-MOST_ACCESSES:]:
            checker = Checker.full(state)
            before = [rule.judge(checker.scene, access) is not None for rule in ACCESS_RULES]
            for table, field, other, journal in altered(state):
                scene = followed(checker, other, journal).scene
                for rule, was in zip(ACCESS_RULES, before, strict=True):
                    if (rule.judge(scene, access) is not None) != was:
                        told[rule.invariant.name].add((table, field))
    return told


def test_a_rule_about_accesses_depends_on_what_it_declares() -> None:
    told = judged()
    for rule in ACCESS_RULES:
        name = rule.invariant.name
        secret = {f"{table}.{field}" for table, field in told[name] if not permitted(rule, table, field)}
        assert not secret, f"rule `{name}` depends on {sorted(secret)}: add that to its `reads`"


# -- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("script", NAMES)
def test_no_rule_reads_what_it_does_not_declare(script: str) -> None:
    for state in states(script):
        scene = Checker.full(state).scene
        for name, rule in RULES.items():
            noted, seen = noting(state)
            watched = MachineView(noted, scene.holding)
            ask(rule, watched, scene, seen)
            undeclared = {f"{t}.{f}" if f else t for t, f in seen if not permitted(rule, t, f)}
            assert not undeclared, f"rule `{name}` reads {sorted(undeclared)}: add that to its `reads`"


def ask(rule: Rule, watched: MachineView, scene: MachineView, seen: Seen) -> None:
    """Put every question about a State to a rule; `watched` notes what it reads for the answers."""
    state = scene.state
    if isinstance(rule, FrameRule):
        for pfn in {*state.frames.keys(), *scene.holding.held.keys()}:
            frame: Any = NotedRecord("frames", scene.frame(pfn), seen)
            rule.broken(Case(watched, pfn, frame))
    elif isinstance(rule, ReferenceRule):
        for reference in watched.state.references.values():
            for page in range(len(reference.frames)):
                rule.broken(watched, reference, page)
    elif isinstance(rule, TranslationRule):
        for entries in state.tlbs.values():
            for cached in entries:
                rule.outdated(cached.pte, watched.entry(cached.process, cached.vpn))
                rule.dangerous(watched, cached)
    elif isinstance(rule, LockRule):
        for lock in locks(scene):
            rule.broken(watched, *lock)
