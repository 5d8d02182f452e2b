"""What rules say is true of the state at hand: each clause is held against it, over random scripts.

What a process "finds" at its next access is found out by making the access.
"""

import os
import re
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from model.engine.procedure import Result, advance, begin
from model.invariants.checker import Checker
from model.invariants.machine_view import MachineView
from model.invariants.next_access import next_access
from model.invariants.violation import Violation
from model.kernel.arch.access import cpu_load
from model.memory.events import Access
from model.memory.flags import VM_GROWSDOWN
from model.memory.state import State
from model.script.runner import Runner
from tests.model.play import Play
from tests.model.random_scripts import commands, scripts
from tests.model.rule_states import SCRIPTS, states
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
    for (process, start), vma in sorted(state.vmas.items()):
        yield from ((process, vpn) for vpn in {start, vma.end - 1, vma.end})
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


def hold(scene: MachineView, violation: Violation) -> None:
    """Hold the clauses of one explanation against the State."""
    text = violation.message
    for found in re.finditer(r"keeps frame (\d+) from being freed", text):
        assert scene.frame(int(found[1])).kind not in {"free", "buffer", "vram"}, text
        assert scene.holders(int(found[1]), "get", "pin", "task", "task-pin"), text
    for process in re.findall(r"(\w+) has nothing mapped there any more", text):
        assert process in scene.state.processes, text
    for name, buffer in re.findall(r"Frame (\d+) belongs to buffer (\S+) now", text):
        assert scene.frame(int(name)).mapping == f"bo:{buffer}", text
    for name in re.findall(r"Frame (\d+) waits in the pool", text):
        assert scene.frame(int(name)).mapping == "ttm_pool", text
    remembered = r"cpu(\d+) still remembers that (\w+)\D.*?page (\d+)\)? is frame (\d+)"
    for cpu, process, page, name in re.findall(remembered, text):
        entries = scene.state.tlbs.get(int(cpu)) or ()
        assert any((one.process, one.vpn, one.pte.pfn) == (process, int(page), int(name)) for one in entries), text
    if "nobody is going to flush it" in text:
        assert not any(call.owes_flush() for task in scene.state.tasks.values() for call in task.stack), text
    for name, count in re.findall(r"Frame (\d+) has refcount (-?\d+)", text):
        assert scene.frame(int(name)).refcount == int(count), text
    for name, count in re.findall(r"Frame (\d+) has mapcount (-?\d+)", text):
        assert scene.frame(int(name)).mapcount == int(count), text


def held_against_the_state(lines: list[str]) -> None:
    runner = Runner()
    for command in commands(lines):
        if possible(command):
            runner.perform(command)
    hold_all(runner.context.state)


def hold_all(state: State) -> None:
    """Hold everything that is said of a State against it."""
    checker = Checker.full(state)
    for violation in checker.violations:
        hold(checker.scene, violation)
    for process, vpn in list(dict.fromkeys(pages(checker.scene.state)))[:MOST_LOOKED_AT]:
        if checker.scene.living(process):
            hold_next_access(checker.scene, process, vpn)


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


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(COUNTED))
def test_of_counted_memory(lines: list[str]) -> None:
    held_against_the_state(lines)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(UNCOUNTED))
def test_of_buffers_and_storage(lines: list[str]) -> None:
    held_against_the_state(lines)
