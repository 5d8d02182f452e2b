"""The checker that follows the journal equals the one that looks at everything, on every state of random programs."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.driver_files import library
from model.engine.procedure import Procedure, advance, begin, step
from model.invariants.call_holdings import OWNED
from model.invariants.checker import Checker
from model.memory.state import Transaction
from model.session.session import Session
from model.text.problems import ScriptError

SCENE = """
    device nic
    memfd f 6
    process p0
    mmap p0 a anon private rw 6
    mmap p0 s memfd:f shared rw 6
    mmap p0 c memfd:f private rw 6
    write p0 a 1
    write p0 s+1 2
    gup p0 a as=r0 pin write by=nic
    gup p0 s+1 as=r1 write
    fork p0 p1
"""

SOUND = {
    "reference-accounting",
    "map-accounting",
    "underflow",
    "special-counted",
    "freed-while-mapped",
    "freed-while-referenced",
    "exclusive-shared",
    "pinned-shared",
    "stale-tlb",
    "foreign-access",
    "lock-left-held",
    "splat",
}
"""What a correct kernel never breaks, whatever its users do."""

pages = st.integers(0, 5)
labels = st.sampled_from("asc")
processes = st.sampled_from(["p0", "p1"])
references = st.sampled_from(["r0", "r1", "r2"])


def line(template: str, **parts: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(parts).map(lambda values: template.format(**values))


commands = st.one_of(
    line("read {p} {l}+{n}", p=processes, l=labels, n=pages),
    line("write {p} {l}+{n} {v}", p=processes, l=labels, n=pages, v=st.integers(0, 255)),
    line("madvise {p} {l} dontneed", p=processes, l=labels),
    line("madvise {p} {l}[1:3] dontneed", p=processes, l=labels),
    line("gup {p} {l}+{n} as={r} {how}", p=processes, l=labels, n=pages, r=references,
         how=st.sampled_from(["", "write", "pin", "pin write", "slow", "slow pin write by=nic", "pin longterm"])),
    line("put {r}", r=references),
    line("dma {r} write {v}", r=references, v=st.integers(0, 255)),
    line("dma {r} read", r=references),
    line("munmap {p} {l}[0:2]", p=processes, l=labels),
    line("mprotect {p} {l} {prot}", p=processes, l=labels, prot=st.sampled_from(["r", "rw", "none"])),
    line("mremap {p} {l} pages=6 to={to} maymove", p=processes, l=labels, to=st.sampled_from(["100", "200"])),
    line("truncate f {n}", n=pages),
    line("punch f {n} 1", n=pages),
    line("pwrite f {n} 7", n=pages),
    st.sampled_from(["fork p0 p1", "exit p1", "exit p0", "fork p1 p2"]),
    st.sampled_from(["remote-read p0 p1 a", "remote-write p1 p0 a+1 5"]),
)  # fmt: skip
strides = st.lists(st.tuples(st.sampled_from(["t0", "t1"]), st.integers(1, 12)), min_size=3, max_size=10)


def equal_everywhere(session: Session) -> None:
    nodes = session.timeline.nodes
    for node in (*nodes[::5], nodes[-1]):
        assert node.checker == Checker.full(node.state), f"after {node.command}: {node.stepped}"


def sound(session: Session) -> None:
    for node in session.timeline.nodes:
        for violation in node.new:
            assert violation.invariant not in SOUND, f"{node.command}: {violation.message}"


def attempt(session: Session, text: str) -> None:
    """Run a line, unless it uses a name that does not exist."""
    with suppress(ScriptError):
        session.run(text)


def scene() -> Session:
    session = Session()
    for text in SCENE.strip().splitlines():
        session.run(text.strip())
    return session


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(commands, min_size=4, max_size=14))
def test_one_command_after_the_other(lines: list[str]) -> None:
    session = scene()
    for text in lines:
        attempt(session, text)
    equal_everywhere(session)
    sound(session)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(commands, max_size=4), commands, commands, strides)
def test_two_commands_interleaved(lines: list[str], one: str, other: str, turns: list[tuple[str, int]]) -> None:
    session = scene()
    for text in [*lines, f"begin t0 {one}", f"begin t1 {other}"]:
        attempt(session, text)
    for task, steps in turns:
        for _ in range(steps):
            if session.position(task):
                session.step_task(task)
    equal_everywhere(session)
    sound(session)


BUFFERS = """
    set vram 4
    device nic
    process p0
    bo a 3 in=system exporter={exporter}
    mmap p0 m bo:a shared rw 3
    write p0 m 1
    export a as=d
    fork p0 p1
"""

buffer_commands = st.one_of(
    line("read {p} m+{n}", p=processes, n=st.integers(0, 2)),
    line("write {p} m+{n} {v}", p=processes, n=st.integers(0, 2), v=st.integers(0, 255)),
    line("move a {place}", place=st.sampled_from(["vram", "gtt", "system"])),
    line("bo {b} {n} in=system", b=st.sampled_from("bc"), n=st.integers(1, 4)),
    line("bo {b} {n} in=vram", b=st.sampled_from("bc"), n=st.integers(1, 4)),
    line("{verb} {b}", verb=st.sampled_from(["evict", "invalidate", "destroy"]), b=st.sampled_from("abc")),
    line("dma {r} write {v}", r=references, v=st.integers(0, 255)),
    line("put {r}", r=references),
    line("munmap {p} m", p=processes),
    st.sampled_from(["attach d nic", "attach d nic dynamic", "map d nic as=r0", "unmap r0", "detach d nic", "exit p1"]),
)  # fmt: skip
grabs = line(
    "{grab} {p} m as={r} by=nic", grab=st.sampled_from(["grab", "gup", "follow", "mirror"]), p=processes, r=references
)


def buffer_scene(exporter: str) -> Session:
    session = Session()
    for text in BUFFERS.format(exporter=exporter).strip().splitlines():
        attempt(session, text.strip())
    return session


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["qxl", "vgem", "mixed"]), st.lists(buffer_commands, min_size=4, max_size=14))
def test_buffers_of_sound_drivers_whom_nobody_grabs(exporter: str, lines: list[str]) -> None:
    session = buffer_scene(exporter)
    for text in lines:
        attempt(session, text)
    equal_everywhere(session)
    sound(session)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["qxl", "insert-page", "no-zap", "no-flush"]),
    st.lists(st.one_of(buffer_commands, grabs), min_size=4, max_size=14),
)
def test_buffers_with_every_bug(exporter: str, lines: list[str]) -> None:
    session = buffer_scene(exporter)
    for text in lines:
        attempt(session, text)
    equal_everywhere(session)


ANY_EXPORTER = """
    set vram 2048
    device nic
    memfd f 4
    process p0
    mmap p0 own memfd:f shared rw 4
    seal f shrink
    bo b {pages} in=gtt exporter={exporter}{source}
    mmap p0 m bo:b shared rw {pages}{at}
    write p0 m 1
    write p0 m+1 2
    export b as=d
    attach d nic dynamic
    map d nic as=m0
    fork p0 p1
"""

exporter_commands = st.one_of(
    line("read {p} m+{n}", p=processes, n=st.integers(0, 2)),
    line("write {p} m+{n} {v}", p=processes, n=st.integers(0, 2), v=st.integers(0, 255)),
    line("move b {place}", place=st.sampled_from(["vram", "gtt", "system"])),
    line("{verb} b", verb=st.sampled_from(["evict", "invalidate", "destroy"])),
    line("{grab} {p} m as={r} by=nic", grab=st.sampled_from(["grab", "gup", "follow", "mirror"]), p=processes,
         r=references),
    line("dma {r} write {v}", r=st.sampled_from(["r0", "r1", "m0"]), v=st.integers(0, 255)),
    line("dma {r} read", r=st.sampled_from(["r0", "r1", "m0"])),
    line("put {r}", r=references),
    line("reclaim {p} m", p=processes),
    line("punch f {n} 1", n=st.integers(0, 3)),
    line("munmap {p} m", p=processes),
    st.sampled_from(["unmap m0", "map d nic as=m0", "detach d nic", "exit p1", "bo c 2 in=gtt", "write p0 own 3"]),
)  # fmt: skip


@pytest.mark.parametrize("kernel", ["6.1", "6.18"])
@pytest.mark.parametrize("exporter", library.names())
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(exporter_commands, min_size=4, max_size=12))
def test_buffers_of_every_exporter(exporter: str, kernel: str, lines: list[str]) -> None:
    huge = exporter == "ttm-huge"
    text = ANY_EXPORTER.format(
        exporter=exporter,
        pages=512 if huge else 2,
        at=" at=512" if huge else "",
        source=" memfd=f" if exporter == "udmabuf" else "",
    )
    session = Session()
    for command in (f"set kernel {kernel}", *map(str.strip, text.strip().splitlines()), *lines[: 2 if huge else None]):
        attempt(session, command)
    assert "b" in session.state.buffers or "destroy b" in lines
    if huge:
        assert session.timeline.nodes[-1].checker == Checker.full(session.state)
    else:
        equal_everywhere(session)


def test_a_large_page_leaves_its_file_while_its_second_page_is_held() -> None:
    session = Session()
    for text in ("set hugetlb 4", "process p0", "memfd f 512 hugetlb", "mmap p0 buf memfd:f shared rw 512 at=512"):
        session.run(text)
    for text in ("begin t truncate f 0", "vmsplice p0 buf+1 as=r", "finish t"):
        session.run(text)
    equal_everywhere(session)
    assert "stale-reference" in {violation.invariant for violation in session.timeline.nodes[-1].checker.violations}


class giving_up(Procedure):
    """A function that holds a page and says in the next step that it holds it no longer; it touches nothing else."""

    @step
    def forget(self, _tx: Transaction) -> None:
        """Nothing but what this call says it owns changes."""
        self.holds = self.pins = self.owes_rmap = ()

    @step
    def end(self, _tx: Transaction) -> None:
        """So that there is a next step."""


@pytest.mark.parametrize("field", OWNED.values())
def test_a_step_that_changes_only_what_its_call_owns(field: str) -> None:
    owns: dict[str, Any] = {field: (5,)}
    before = begin(scene().state, "t", giving_up(**owns), "p0", 0)
    stepped = advance(before, "t")
    assert not stepped.changes
    assert Checker.full(before).advance(before, stepped)[0] == Checker.full(stepped.state)
