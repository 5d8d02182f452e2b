"""A session: commands begun, stepped into, over and out of, interleaved, undone; and why things are as they are."""

import pytest

from model.invariants.checker import Checker
from model.script.parser import parse
from model.script.runner import Runner
from model.session.causes import why, why_byte, why_count, why_violation
from model.session.session import MOST_KEPT, Session
from model.text.problems import ScriptError


def session_of(*lines: str) -> Session:
    session = Session()
    for line in lines:
        session.run(line)
    return session


def begun(session: Session, line: str) -> Session:
    command = session.understand(line)
    assert command is not None
    session.begin_command(command)
    return session


MAPPED = ("process p0", "mmap p0 buf anon private rw 4")


# -- stepping ----------------------------------------------------------------------------------


def test_a_begun_command_shows_what_its_first_micro_step_will_do() -> None:
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    at = session.position()
    assert at is not None
    assert (at.task, at.process, at.procedure, at.step, at.depth) == ("main", "p0", "cpu_store", "access", 0)
    assert at.doc.startswith("Execute the instruction")
    assert at.about == "The process stores a byte at the start of a page."
    assert at.stack == ("cpu_store",)
    assert session.outcome is None


def test_stepping_into_goes_down_into_calls() -> None:
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    node = session.step_into()
    assert node.stepped is not None
    assert node.stepped.step == "access"
    at = session.position()
    assert at is not None
    assert at.stack == ("cpu_store", "mmu_access")


def test_stepping_over_stays_at_its_level_and_out_comes_back_to_the_caller() -> None:
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    session.step_over()
    at = session.position()
    assert at is not None
    assert (at.procedure, at.step) == ("cpu_store", "store_byte")
    session.timeline.back(lambda node: node.stepped is not None and node.stepped.step == "tlb_lookup")
    session.step_out()
    at = session.position()
    assert at is not None
    assert (at.procedure, at.step) == ("cpu_store", "store_byte")


def test_the_end_of_a_command_carries_its_outcome() -> None:
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    node = session.finish()
    assert node.outcome is not None
    assert node.outcome.status == "ok"
    assert session.running is None
    assert session.position() is None
    assert session.step_into() is node, "there is nothing to step"
    assert session.run("read p0 buf").outcome == session.node.context.last
    assert session.node.context.last.value == 7


def test_stepping_and_performing_reach_the_same_state() -> None:
    whole = session_of(*MAPPED, "write p0 buf 7").state
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    while session.running:
        session.step_into()
    assert session.state == whole


def test_a_new_command_carries_the_one_under_way_to_its_end() -> None:
    session = begun(session_of(*MAPPED), "write p0 buf 7")
    session.step_into()
    assert session.run("read p0 buf").context.last.value == 7


def test_back_and_forward_by_commands() -> None:
    session = session_of(*MAPPED)
    mapped = session.node
    written = session.run("write p0 buf 7")
    assert session.back("command") is mapped
    assert session.forward("command") is written
    assert session.back().depth == written.depth - 1


def test_what_is_not_a_command_changes_nothing() -> None:
    session = session_of(*MAPPED)
    here = session.node
    assert session.run("   # nothing") is here
    with pytest.raises(ScriptError, match="did you mean"):
        session.run("raed p0 buf")
    assert session.node is here


def test_what_a_command_broke_is_known_at_its_end() -> None:
    session = session_of(*MAPPED, "write p0 buf 1", "gup p0 buf as=r0 pin write", "madvise p0 buf dontneed")
    assert [violation.invariant for violation in session.node.context.violations] == ["stale-reference"]
    assert session.run("expect violation stale-reference").outcome == session.node.outcome
    assert session.node.outcome is not None
    assert session.node.outcome.status == "ok"
    assert [violation.invariant for violation in session.violations] == ["stale-reference"]
    assert session.run("read p0 buf+1").context.violations == ()


# -- several tasks -----------------------------------------------------------------------------


def test_tasks_are_stepped_side_by_side() -> None:
    session = session_of(*MAPPED, "write p0 buf 7", "begin a read p0 buf", "begin b madvise p0 buf dontneed")
    assert [(at.task, at.procedure) for at in session.tasks()] == [("a", "cpu_load"), ("b", "do_madvise")]
    session.step_task("a", 2)
    session.step_task("b")
    assert [at.task for at in session.tasks()] == ["a", "b"]
    session.run("finish a")
    assert session.node.context.last.value == 7
    assert session.node.checker == Checker.full(session.state)
    session.run("finish b")
    with pytest.raises(ValueError, match="there is no task b"):
        session.step_task("b")


def test_another_task_may_be_stepped_while_a_command_is_under_way() -> None:
    session = session_of(*MAPPED, "write p0 buf 7", "begin a read p0 buf")
    begun(session, "madvise p0 buf dontneed").step_into()
    while session.position("a"):
        session.step_task("a")
    assert session.node.outcome is not None
    assert session.node.outcome.value == 7
    assert session.running is not None
    node = session.finish()
    assert node.outcome is not None
    assert node.outcome.status == "ok"
    assert node.context.begun == {}


def test_a_plain_command_that_would_have_to_wait_is_undone() -> None:
    session = session_of(*MAPPED, "begin a mprotect p0 buf r")
    while not any(lock.writer == "a" for lock in session.state.locks.values()):
        session.step_task("a")
    before = session.state
    node = session.run("munmap p0 buf")
    assert node.outcome is not None
    assert node.outcome.status == "blocked"
    assert "mmap_lock of p0" in node.outcome.on
    assert session.state == before
    assert node.checker == Checker.full(before)


def test_a_command_that_was_undone_has_broken_nothing() -> None:
    """It had cleared an entry that a reference was taken at, when its flush had to wait for a walk without locks."""
    session = session_of(
        *MAPPED, "device nic", "gup p0 buf as=r by=nic", "begin G cpu=1 gup p0 buf as=q fast-only by=nic"
    )
    while not any(cpu.irqs_off_by for cpu in session.state.cpus.values()):
        session.step_task("G")
    node = session.run("madvise p0 buf dontneed")
    assert node.outcome is not None
    assert node.outcome.status == "blocked"
    assert any(found.invariant == "stale-reference" for each in session.timeline.nodes for found in each.new)
    assert node.context.violations == ()


def test_by_hand_a_command_may_wait_for_the_task_that_is_in_its_way() -> None:
    session = session_of(*MAPPED, "begin a mprotect p0 buf r")
    while not any(lock.writer == "a" for lock in session.state.locks.values()):
        session.step_task("a")
    begun(session, "munmap p0 buf").finish()
    at = session.position()
    assert at is not None
    assert "mmap_lock of p0" in at.blocked
    while session.position("a"):
        session.step_task("a")
    assert session.finish().outcome is not None
    assert ("p0", 16) not in session.state.vmas


def test_a_very_long_command_is_kept_as_one_node_from_some_point_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.session.session.MOST_KEPT", 30)
    assert MOST_KEPT > 1000
    session = session_of("process p0")
    before = session.node
    node = session.run("mmap p0 buf anon private rw 40 populate")
    assert node.depth - before.depth < 40
    assert node.checker == Checker.full(node.state)
    assert len(node.changes) > 50
    assert session.timeline.difference(before, node)


# -- why ---------------------------------------------------------------------------------------


LOST = (
    "device nic",
    *MAPPED,
    "write p0 buf 65",
    "gup p0 buf as=r0 write by=nic",
    "fork p0 p1",
    "write p0 buf 66",
    "dma r0 write 9",
)


def commands(causes: tuple[object, ...]) -> list[str]:
    return [getattr(cause, "command") for cause in causes]  # noqa: B009


def test_the_account_of_a_lost_write_names_each_step_that_led_to_it() -> None:
    session = session_of(*LOST)
    lost = next(found for found in session.node.context.violations if found.invariant == "lost-write")
    causes = why_violation(session.timeline, lost)
    texts = [cause.text for cause in causes]
    order = [
        "allocated frame 5 as an anonymous page",
        "took r0, a get, on frame 5",
        "made the entry of p0 buf (page 16) read-only",
        "cleared the entry of p0 buf (page 16), which led to frame 5",
        "nic wrote 9 to frame 5 through r0",
    ]
    found = [next(at for at, text in enumerate(texts) if text.startswith(start)) for start in order]
    assert found == sorted(found)
    assert causes[-1].command == "dma r0 write 9"
    assert causes[-1].step == "device_access.transfer"
    assert session.goto(causes[-1].node).stepped is not None


def test_an_account_ends_where_the_rule_was_broken() -> None:
    session = session_of(*MAPPED, "write p0 buf 1", "gup p0 buf as=r0 pin", "madvise p0 buf dontneed", "write p0 buf 2")
    causes = why_violation(session.timeline, session.violations[0])
    assert "write p0 buf 2" not in commands(causes)
    assert causes[-1].text == "cleared the entry of p0 buf (page 16), which led to frame 5"


def test_who_wrote_this_byte() -> None:
    session = session_of(*LOST)
    assert [cause.text for cause in why_byte(session.timeline, 5)] == [
        "allocated frame 5 as an anonymous page",
        "nic wrote 9 to frame 5 through r0",
    ]
    session.run("read p1 buf")
    assert why_byte(session.timeline, 5)[-1].command == "dma r0 write 9"


def test_each_step_that_changed_a_count() -> None:
    session = session_of(*LOST[:6])
    counts = why_count(session.timeline, 5, "refcount")
    assert [cause.change.new.refcount for cause in counts] == [1, 2, 3]
    assert commands(counts) == ["write p0 buf 65", "gup p0 buf as=r0 write by=nic", "fork p0 p1"]
    assert [cause.change.new.mapcount for cause in why_count(session.timeline, 5, "mapcount")] == [1, 2]


def test_a_frame_has_no_past_before_its_last_allocation() -> None:
    session = session_of(*MAPPED, "write p0 buf 1", "madvise p0 buf dontneed", "write p0 buf+1 2")
    texts = [cause.text for cause in why(session.timeline, "frame:5")]
    assert texts == [
        "allocated frame 5 as an anonymous page",
        "put 0 into frame 5",
        "p0 wrote 2 to frame 5, at p0 buf+1 (page 17)",
    ]


def test_the_past_of_an_entry_a_file_page_and_a_translation() -> None:
    session = session_of("memfd f 2", "process p0", "mmap p0 buf memfd:f shared rw 2", "write p0 buf 1", "punch f 0 1")
    assert [cause.text for cause in why(session.timeline, "cache:f:0")] == [
        "made frame 5 page 0 of file f",
        "took frame 5 out of file f, page 0",
    ]
    assert why(session.timeline, "pte:p0:16")[-1].command == "punch f 0 1"
    assert [cause.text for cause in why(session.timeline, "tlb:0:p0:16") if cause.change.table == "tlbs"] == [
        "cpu0 remembers that p0 buf (page 16) is frame 5",
        "cpu0 forgets p0 buf (page 16)",
    ]
    assert why(session.timeline, "pte:p0:17") == ()


def test_a_task_that_takes_a_label_over_says_whose_it_was() -> None:
    session = Session()
    lines = ["process p0", "begin t mmap p0 l anon private rw 1", "mmap p0 l anon private rw 2"]
    for line in (*lines, "step t 3", "finish t"):
        session.run(line)
    assert session.outcome is not None
    assert session.outcome.message == "the label l meant pages 16 to 17 until now"
    assert session.state.labels["p0", "l"].pages == 1


def test_expect_violation_after_a_finish_that_has_to_wait_is_answered_alike_everywhere() -> None:
    script = """process p0
mmap p0 buf anon private rw 1
write p0 buf 1
gup p0 buf as=r write pin
begin walk cpu=1 gup p0 buf as=r2 write pin fast-only
step walk 4
begin t madvise p0 buf dontneed
finish t
expect violation stale-reference
"""
    session, runner, answers = Session(), Runner(), []
    for command in parse(script):
        session.perform(command)
        answers.append(str(runner.perform(command).outcome))
        assert session.outcome is not None
        assert str(session.outcome) == answers[-1]
        assert session.node.context == runner.context
    assert answers[-2].startswith("blocked"), "it has broken a rule, and waits"
    assert answers[-1] == "ok"
