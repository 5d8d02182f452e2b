"""A session as text: the same moves grow the same history, and its way as a script leads to the same state."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model.script.command import Command
from model.script.parser import parse
from model.script.scope import Scope
from model.session import to_script as scribe
from model.session.move_log import RecordError, record, replay
from model.session.session import Session
from model.session.to_script import reproduces, script_of, with_setting
from model.text.problems import ScriptError
from tests.model.random_scripts import Dialect, scripts
from tests.model.test_random_scripts import COUNTED

WITH_TASKS: Final = COUNTED._replace(
    verbs=("begin", "begin", "step", "gup", "munmap", "madvise", "write", "mmap", "fork", "put", "mprotect", "exit")
)


@st.composite
def sessions(draw: st.DrawFn, dialect: Dialect = WITH_TASKS) -> Session:
    """Somebody at work: commands begun, stepped, interleaved, given up and undone; going back and elsewhere."""
    session = Session()
    lines = draw(scripts(dialect))
    for line in lines:
        for _ in range(draw(st.integers(0, 3))):
            wander(session, draw)
        if session.running is not None and (not line.startswith("begin") or draw(st.booleans())):
            session.finish()
        try:
            if session.running is not None and not line.startswith("begin"):
                continue  # it waits
            command = session.understand(line)
            if command is None or unsayable(command, list(in_flight(session))):
                continue
            if session.running is not None and command.verb == "begin":
                session.begin_beside(command)
            elif draw(st.booleans()):
                session.perform(command)
            else:
                session.begin_command(command)
        except ScriptError:
            continue
    for _ in range(draw(st.integers(0, 4))):
        wander(session, draw)
    return session


def in_flight(session: Session) -> Iterator[Command]:
    """The commands that are not over."""
    running = session.running
    context = session.node.context if running is None else running.before
    yield from context.begun.values()
    if running is not None:
        yield running.command


def unsayable(command: Command, others: list[Command]) -> bool:
    """Whether no script can have a command beside these: it is read before it runs, and who gets a label is not known.

    A saved session says it all the same, by the record below its script.
    """
    taken = {name for each in others for name in asked_for(each)}
    words = {word for each in (command, *others) for word in each.text.split()}
    return bool(asked_for(command) & taken) or (bool(others) and bool(words & {"mmap", "fork"}))


def asked_for(command: Command) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name, _ in scribe._asked_for(command, Scope())}


def wander(session: Session, draw: st.DrawFn) -> None:
    """A few micro-steps of somebody, or a jump."""
    match draw(st.integers(0, 9)):
        case 0:
            session.goto(draw(st.integers(0, len(session.timeline.nodes) - 1)))
        case 1:
            session.timeline.bookmark(draw(st.sampled_from(["here", "before the move", ""])))
        case 2 | 3 | 4:
            tasks = [at.task for at in session.tasks()]
            if tasks:
                session.step_task(draw(st.sampled_from(tasks)))
        case _:
            for _ in range(draw(st.integers(1, 5))):
                session.step_into()


@settings(
    max_examples=int(os.environ.get("EX", "60")),
    phases=(Phase.generate,),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(sessions())
def test_a_record_grows_the_same_history_and_a_script_leads_to_the_same_state(session: Session) -> None:
    timeline, twin = session.timeline, Session()
    text = record(timeline)
    replay(twin, text)
    grown = twin.timeline
    assert [(node.parent, node.command, node.outcome) for node in grown.nodes] == [
        (node.parent, node.command, node.outcome) for node in timeline.nodes
    ]
    assert [node.state for node in grown.nodes] == [node.state for node in timeline.nodes]
    assert grown.bookmarks == timeline.bookmarks
    assert grown.here.number == timeline.here.number
    assert record(grown) == text
    script = script_of(timeline, timeline.here)
    parse("\n".join(script.lines))
    assert reproduces(script, timeline.here), script


def test_a_very_long_command_is_recorded_with_its_leap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.session.session.MOST_KEPT", 30)
    session = Session()
    for line in ("process p0", "mmap p0 buf anon private rw 40 populate", "write p0 buf 1"):
        session.run(line)
    text = record(session.timeline)
    assert "&" in text.split("\n")
    twin = Session()
    replay(twin, text)
    assert twin.state == session.state
    assert len(twin.timeline.nodes) == len(session.timeline.nodes)
    assert script_of(session.timeline, session.node).lines[1] == "mmap p0 buf anon private rw 40 populate"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "nothing is under way"),
        ("@7", "there is no node 7 yet"),
        (">raed p0 buf", "did you mean `read`"),
        ("^memfd f 1", "only `begin` may come beside"),
        ("t 3", "there is no task t"),
        ("some words", "a number is expected"),
    ],
)
def test_a_record_that_cannot_be_followed_says_where(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=r"move 3, `.*`: .*") as caught:
        replay(Session(), f">process p0\n1\n{text}")
    assert message in str(caught.value)


def test_a_script_says_what_was_interleaved() -> None:
    session = Session()
    for line in ("process p0", "mmap p0 buf anon private rw 1", "write p0 buf 1"):
        session.run(line)
    command = session.understand("madvise p0 buf dontneed")
    assert command is not None
    session.begin_command(command)
    session.step_task("main", 2)
    beside = session.understand("begin r read p0 buf")
    assert beside is not None
    session.begin_beside(beside)
    session.step_task("r", 3)
    session.step_task("main")
    script = script_of(session.timeline, session.node)
    assert script.stopped == "t1"
    assert script.lines[3:] == (
        "begin t1 madvise p0 buf dontneed",
        "step t1 2",
        "begin r read p0 buf",
        "step r 3",
        "step t1",
    )
    assert reproduces(script, session.node)
    assert with_setting(script.lines, "kernel", "6.1")[0] == "set kernel 6.1"


def test_a_name_that_was_refused_is_free_at_the_prompt_and_gets_another_one_in_the_script() -> None:
    session = Session()
    for line in ("process p0", "gup p0 @16 as=r", "mmap p0 buf anon private rw 1", "gup p0 buf as=r"):
        session.run(line)
    script = script_of(session.timeline, session.node)
    assert script.lines[1] == "gup p0 @16 as=r_1"
    assert script.lines[3] == "gup p0 buf as=r"
    assert reproduces(script, session.node)


def test_a_plain_command_that_has_died_with_a_lock_is_no_difference() -> None:
    session = Session()
    for line in (
        *("process p0", "process p1", "bo b 1 in=gtt exporter=pfnmap-page", "mmap p0 buf bo:b shared rw 1"),
        "write p0 buf 65",
    ):
        command = session.understand(line)
        assert command is not None
        session.perform(command)
    assert session.state.locks["mmap_lock", "p0"].readers == ("main",)
    fork = session.understand("fork p1 kid")
    assert fork is not None
    session.begin_command(fork)
    session.step_into()
    assert reproduces(script_of(session.timeline, session.node), session.node)
