"""What rules say is true of the state at hand: each clause is held against it, over random scripts.

What a process "finds" at its next access is found out by making the access.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from model.engine.procedure import Result, Stepped, advance, begin
from model.invariants import checker as checker_module
from model.invariants.checker import Checker
from model.invariants.machine_view import MachineView
from model.invariants.next_access import next_access
from model.invariants.phrases import frame as name_of
from model.invariants.registry import RULES
from model.invariants.rule import AccessRule
from model.invariants.rules.splats import MEANINGS
from model.invariants.violation import Violation
from model.kernel.arch.access import cpu_load
from model.kernel.arch.tlb import flush_tlb_range
from model.memory.events import Access, Splat
from model.memory.flags import PAGE_BITS, PAGE_SWP_EXCLUSIVE, PG_ANON_EXCLUSIVE, SMAPS_CODES, VM_GROWSDOWN
from model.memory.records import Frame, Lock, Reference, TlbEntry, Vma
from model.memory.state import State, Transaction
from model.memory.tasks import Task
from model.script.runner import Runner
from model.session.change_sentences import ChangeInStep, change_phrase
from tests.model import sayings
from tests.model.broken_machines import USER, anon, machine, process, remembered
from tests.model.clauses import CLAUSES, hold_clauses, uncovered
from tests.model.play import Play
from tests.model.random_scripts import commands, scripts
from tests.model.rule_states import NAMES, SCRIPTS, accesses, states
from tests.model.test_random_scripts import COUNTED, UNCOUNTED, possible

EXAMPLES: Final = int(os.environ.get("PTESCOPE_EXAMPLES", "30"))

MOST_LOOKED_AT: Final = 12
"""Virtual pages of each machine that are looked at."""


def load(state: State, process: str, vpn: int) -> tuple[Result, tuple[int, ...]] | None:
    """What a read of the page ends with, and the frames that it reads; None if it has to wait."""
    state = begin(state, "look", cpu_load(mm=process, vpn=vpn), process, state.processes[process].cpu)
    read: tuple[int, ...] = ()
    while True:
        stepped = advance(state, "look")
        read = (*read, *(event.pfn for event in stepped.events if isinstance(event, Access)))
        if stepped.blocked:
            return None
        if stepped.result is not None:
            return stepped.result, read
        state = stepped.state


def pages(state: State) -> Iterator[tuple[str, int]]:
    """Virtual pages in, at the end of and behind each VMA, and where references were taken."""
    for (owner, _), vma in sorted(state.vmas.items()):
        yield from ((owner, vpn) for vpn in {vma.start, vma.end - 1, vma.end})
    for reference in state.references.values():
        if reference.process in state.processes:
            yield reference.process, reference.vpn


def hold_next_access(scene: MachineView, process: str, vpn: int) -> None:
    """Hold what `next_access` says against the access."""
    said = next_access(scene, process, vpn)
    cached = any(h.kind == "tlb" for h in scene.holding.watched.get((process, vpn), ()))
    outcome = None if cached else load(scene.state, process, vpn)
    if outcome is None or outcome[0].value < 0:
        return
    result, read = outcome
    if "SIGSEGV" in said or "nothing mapped" in said:
        stacks = [vma for (owner, _), vma in scene.state.vmas.items() if owner == process and vma.flags & VM_GROWSDOWN]
        assert result.signal == "SIGSEGV" or any(vma.start > vpn for vma in stacks), said
    elif "SIGBUS" in said:
        assert result.signal == "SIGBUS", said
    elif result.signal:
        assert not re.search(r"maps|finds|reads the page|the file's page is|has a hole", said), (said, result.signal)
    elif found := re.search(r"(?:maps|page is|has the page in) frame (\d+)", said):
        assert read == (int(found[1]),), said
    elif "finds zeros" in said or "has a hole" in said:
        assert result.value == 0, said


MET: Final[set[str]] = set()
"""The clauses that have been held against some State."""

HEARD: Final[set[str]] = set()
"""The rules that have said something."""


def hold(scene: MachineView, found: Violation, before: MachineView | None = None) -> None:
    """Hold every clause of an explanation against the State, and see that there is no other."""
    MET.update(hold_clauses(scene, found.message, before))
    HEARD.add(found.invariant)
    left = uncovered(found.message)
    assert not left, (
        f"rule `{found.invariant}` says {left!r}, and no clause in tests/model/clauses_*.py tells when that is so: add "
        f"one with its condition. The whole: {found.message!r}"
    )


def hold_splat(found: Violation, stepped: Stepped) -> None:
    """What is said of a splat: its title, what such a title means, where it was, and whether the task dies."""
    splat = next(e for e in stepped.events if isinstance(e, Splat) and found.message.startswith(f"{e.title}. "))
    meaning = next(
        (text for start, text in MEANINGS.items() if splat.title.startswith(start)), "The kernel has complained."
    )
    where = f" It was found in {splat.trace[0]}." if splat.trace else ""
    assert found.message == f"{splat.title}. {meaning}{where}{' The task dies here.' if splat.fatal else ''}"


def hold_change(made: ChangeInStep) -> None:
    """Hold what `why` says of a change against it: each frame, byte, page, bit and task that it names."""
    said, (table, key, old, new) = change_phrase(made), made.change
    match table:
        case "ptes" if new is None:
            assert said.startswith("cleared the entry of ")
        case "ptes" if old is None or (old.pfn, old.kind) != (new.pfn, new.kind):
            assert said.startswith("made the entry of ")
            assert " lead to " in said
        case "ptes" if old.writable != new.writable:
            assert said.endswith("writable" if new.writable else "read-only")
        case "ptes":
            toggled = {
                name for bit, name in (*PAGE_BITS, (PAGE_SWP_EXCLUSIVE, "exclusive")) if bit & (old.bits ^ new.bits)
            }
            assert set(re.findall(r"[+-]([a-z-]+)", said.rpartition(": ")[2])) == toggled - {
                "pwt" if new.kind != "page" else "exclusive"
            }
        case "content":
            assert re.search(rf"\b{new or 0}\b", said)
            assert not re.match(r"\s|wrote", said)
        case "page_cache":
            assert said.endswith(f"page {key[1]}" if new is None else f"page {key[1]} of file {key[0]}")
            assert name_of(made.scene, old if new is None else new) in said
        case "frames":
            hold_frame(said, key, old or Frame(), new or Frame())
        case "references":
            hold_reference(made.scene, said, old, new)
        case "tlbs":
            hold_tlb(made.scene, said, set(old or ()), set(new or ()))
        case "locks":
            hold_lock(said, old or Lock(), new or Lock())
        case "vmas":
            hold_vma(said, key, old, new)


def hold_frame(said: str, pfn: int, old: Frame, new: Frame) -> None:
    """Freed and allocated is what was in use, or is now; else each count that changed is named."""
    if (old.kind == "free") != (new.kind == "free"):
        assert said.startswith(f"freed frame {pfn}: " if new.kind == "free" else f"allocated frame {pfn} as ")
        return
    for field in ("refcount", "mapcount", "pins"):
        before, after = getattr(old, field), getattr(new, field)
        assert (f"{field} {before} → {after}" in said) == (before != after), said


def hold_reference(scene: MachineView, said: str, old: Reference | None, new: Reference | None) -> None:
    """What counts is taken and given back; what does not leads somewhere. Each frame is named, up to a few."""
    if new is None:
        assert old is not None
        assert said.startswith("gave " if old.counted else "removed ")
        return
    if old is not None and old.frames == new.frames:
        assert said.startswith("changed ")
        return
    pages = [name_of(scene, pfn) for pfn in new.frames if pfn >= 0]
    assert all(page in said for page in pages[:1]), said
    assert ("nothing yet" in said) == (not pages)
    assert (" holds " in said) == (old is not None and new.counted)


def hold_tlb(scene: MachineView, said: str, old: set[TlbEntry], new: set[TlbEntry]) -> None:
    """Whatever the CPU did not know before it remembers now, and it forgets the rest."""
    come, gone = new - old, {(one.process, one.vpn) for one in old} - {(one.process, one.vpn) for one in new}
    assert (" remembers that " in said) == bool(come)
    assert (" forgets " in said) == bool(gone)
    if len(come) + len(gone) == 1:
        for one in come:
            assert f"(page {one.vpn}) is {name_of(scene, one.pte.pfn)}" in said or f"page {one.vpn} is" in said
        for _, vpn in gone:
            assert re.search(rf"\bpage {vpn}\b", said)


def hold_lock(said: str, old: Lock, new: Lock) -> None:
    """Who took it, and in which way; who gave it back, and whether a writer goes on as a reader."""
    found = re.match(r"(?P<who>\S+).* (?P<did>took|gave|holds) .* (?:for (?P<way>writing|reading)|back)", said)
    assert found, said
    before, after = {old.writer, *old.readers} - {""}, {new.writer, *new.readers} - {""}
    match found["did"], found["way"]:
        case "took", "writing":
            assert found["who"] == new.writer
        case "took", _:
            assert found["who"] in set(new.readers) - before
        case "gave", _:
            assert found["who"] in before - after
        case _:
            assert old.writer == found["who"]
            assert found["who"] in new.readers


def hold_vma(said: str, key: tuple[str, int], old: Vma | None, new: Vma | None) -> None:
    """Which pages of which process; of a change each field and flag."""
    if new is None:
        assert said == f"took the VMA of {key[0]} at page {key[1]} away"
        return
    assert f"the VMA of {key[0]}, pages {new.start} to {new.end - 1}" in said
    if old is None:
        assert said.startswith("made ")
        return
    assert (f"end {old.end} → {new.end}" in said) == (old.end != new.end)
    for bit, name in SMAPS_CODES:
        sign = "+" if new.flags & bit else "-"
        assert (re.search(rf"\{sign}{name}\b", said) is not None) == bool((old.flags ^ new.flags) & bit), said


@contextmanager
def listening() -> Iterator[None]:
    """Whatever is said of a step is held against the States before and after it."""
    committed = checker_module.committed

    def held(before: MachineView, scene: MachineView, stepped: Stepped) -> Iterator[Violation]:
        for change in stepped.changes:
            hold_change(ChangeInStep(scene, change, stepped.events))
        for found in committed(before, scene, stepped):
            if found.invariant == "splat":
                hold_splat(found, stepped)
            else:
                hold(scene, found, before)
            yield found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checker_module, "committed", held)
        yield


def held_against_the_state(lines: list[str]) -> None:
    runner = Runner()
    with listening():
        for command in commands(lines):
            if possible(command):
                runner.perform(command)
    hold_all(runner.context.state)


def hold_violations(state: State) -> Checker:
    """Hold what is said of everything that is wrong in a State against it."""
    checker = Checker.full(state)
    for violation in checker.violations:
        hold(checker.scene, violation)
    return checker


def hold_all(state: State) -> None:
    """Hold everything that is said of a State against it."""
    checker = hold_violations(state)
    for owner, vpn in list(dict.fromkeys(pages(checker.scene.state)))[:MOST_LOOKED_AT]:
        if checker.scene.living(owner):
            hold_next_access(checker.scene, owner, vpn)


PLACES: Final = {
    "the end of a file": "memfd f 2\nmmap p0 a memfd:f shared rw 3\nwrite p0 a 1\ntruncate f 1",
    "a file that has shrunk to nothing": "memfd f 1\nmmap p0 a memfd:f private rw 1\nread p0 a\ntruncate f 0",
    "a hole": "memfd f 1\nmmap p0 a memfd:f shared rw 1\nwrite p0 a 7\npunch f 0 1",
    "a page on disk": "diskfile f 1\npwrite f 0 9\nfsync f\nmmap p0 a file:f shared r 1\nread p0 a\nreclaim p0 a",
    "no permission": "mmap p0 a anon private rw 1\nwrite p0 a 1\nmprotect p0 a none",
    "nothing mapped": "mmap p0 a anon private rw 2\nwrite p0 a 1\nmunmap p0 a[0:1]",
    "empty memory": "mmap p0 a anon private rw 1\nwrite p0 a 1\nmadvise p0 a dontneed",
}


@pytest.mark.parametrize("name", PLACES)
def test_of_an_address(name: str) -> None:
    play = Play("process p0", PLACES[name])
    hold_all(play.state)
    for page in range(3):
        hold_next_access(Checker.full(play.state).scene, "p0", 16 + page)


@pytest.mark.parametrize("name", SCRIPTS)
def test_of_what_goes_wrong(name: str) -> None:
    for state in states(name):
        hold_all(state)
    for state, access in accesses(name):
        hold_access(state, access)


def hold_access(state: State, access: Access) -> None:
    """Hold what is said of a byte that was read or written against the State right after it."""
    scene = Checker.full(state).scene
    for rule in RULES.values():
        if isinstance(rule, AccessRule) and (found := rule.judge(scene, access)) is not None:
            hold(scene, found)


def flush_owed(tx: Transaction) -> None:
    tx.tasks["main"] = Task("p0", 0, (flush_tlb_range(mm="p0", start=16, end=32),))


MACHINES: Final = {
    "a TLB with another page": (process("p0"), anon(5, refs=1), anon(6, ("p0", 17)), remembered(5)),
    "a TLB that may write": (process("p0"), anon(5, ("p0", 17), bits=USER), remembered(5)),
    "a TLB with a free frame": (process("p0"), remembered(9)),
    "a flush to come": (process("p0"), remembered(9), flush_owed),
    "a count below zero": (lambda tx: tx.frames.__setitem__(9, Frame("free", -1)),),
    "two owners of one": (
        process("p0"),
        process("p1"),
        anon(5, ("p0", 17), ("p1", 17), flags=PG_ANON_EXCLUSIVE),
    ),
}


def test_every_clause_is_said_somewhere() -> None:
    """One that nobody says any more, or in other words, would be held against nothing."""
    MET.clear()
    HEARD.clear()
    for sceneries in MACHINES.values():
        hold_violations(machine(*sceneries))
    for name in NAMES:
        for state in states(name):
            hold_violations(state)
    for name in SCRIPTS:
        for one in accesses(name):
            hold_access(*one)
    for sceneries in sayings.MACHINES.values():
        hold_violations(machine(*sceneries))
    for sceneries, access in sayings.ACCESSES.values():
        hold_access(machine(*sceneries), access)
    for text in sayings.SCRIPTS.values():
        with listening():
            play = Play("", text)
        hold_violations(play.state)
    missing = {clause.said for clause in CLAUSES} - MET
    assert not missing
    mute = RULES.keys() - HEARD - {"splat"}
    assert not mute, f"nobody has heard {sorted(mute)}: add a script to tests/model/sayings.py in which it is broken"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(COUNTED))
def test_of_counted_memory(lines: list[str]) -> None:
    held_against_the_state(lines)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(UNCOUNTED))
def test_of_buffers_and_storage(lines: list[str]) -> None:
    held_against_the_state(lines)
