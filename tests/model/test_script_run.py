"""Running scripts: answers, interleaving by hand, expectations, what is refused and how."""

import pytest
from msgspec.structs import replace

from model.script.context import Outcome
from model.script.dispatch import CALLS
from model.script.execute import MOST_STEPS, check_simulated
from model.script.parser import parse
from model.script.runner import Account, Runner
from model.text.problems import ScriptError
from tests.model.play import Play


def run(text: str) -> list[Account]:
    """The accounts of all commands of a script."""
    runner = Runner()
    return [runner.perform(command) for command in parse(text)]


def answers(text: str) -> list[str]:
    """How each command ended, in words."""
    return [str(account.outcome) for account in run(text)]


def last(text: str) -> Outcome:
    """How the last command ended."""
    return run(text)[-1].outcome


PIN = """\
process p0
device nic
mmap p0 buf anon private rw 4
write p0 buf 0x41
gup p0 buf as=r0 write pin by=nic
"""


def test_the_first_lesson_as_a_script() -> None:
    story = """\
madvise p0 buf dontneed
expect violation stale-reference
expect absent p0 buf[0:4]
dma r0 write 0x42
expect violation lost-write
peek r0
expect value 0x42
read p0 buf
expect value 0
put r0
"""
    assert {account.outcome.status for account in run(PIN + story)} == {"ok"}


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        ("read p0 buf", "ok 65"),
        ("read p0 buf+1", "ok 0"),
        ("read p0 @5000", "signal SIGSEGV"),
        ("dma r0+3 read", "ok 0"),
        ("dma r0+4 read", "error EINVAL"),
        ("dma r0 write 7", "ok"),
        ("peek r0", "ok 65"),
        ("mprotect p0 buf r\nwrite p0 buf 1", "signal SIGSEGV"),
        ("mmap p0 more anon private rw 2", "ok 21"),
        ("mmap p0 more anon private rw 2 at=16", "error EEXIST"),
        ("mmap p0 more anon private rw 2 at=16 fixed", "ok 16"),
        ("mremap p0 buf pages=8", "ok 16"),
        ("mremap p0 buf pages=4 to=100 maymove\nread p0 buf", "ok 65"),
        ("mremap p0 buf pages=4 to=100", "error EINVAL"),
        ("memfd f 2\npwrite f 1 9\npread f 1", "ok 9"),
        ("memfd f 2\npread f 2", "ok"),
        ("memfd f 2\nmmap p0 m memfd:f shared rw 4\nread p0 m+2", "signal SIGBUS"),
        ("diskfile d 2\nmmap p0 m file:d shared rw 2\nwrite p0 m 5\npread d 0", "ok 5"),
        ("mmap p0 v vvar private r 1\ngup p0 v as=r1", "error EFAULT"),
        ("fork p0 kid\nwrite kid buf 9\nread p0 buf", "ok 65"),
        ("fork p0 kid\nremote-write p0 kid buf 9\nremote-read p0 kid buf", "ok 9"),
        ("mprotect p0 buf r\nforce-write p0 p0 buf 9\nread p0 buf", "ok 9"),
        ("gup p0 buf as=r1 longterm", "error EINVAL"),
        ("note nothing happens", "ok"),
        ("may 3 read p0 buf", "ok"),
    ],
)
def test_answers(commands: str, answer: str) -> None:
    assert str(last(PIN + commands)) == answer


@pytest.mark.parametrize(
    "commands",
    [
        "put r0\nput r0",
        "put r0\npeek r0",
        "put r0\ndma r0 write 1",
        "exit p0\nread p0 buf",
        "exit p0\nmmap p0 more anon private rw 1",
        "mmap p0 v vvar private r 1\ngup p0 v as=r1\npeek r1",
        "mmap p0 none anon private rw 0\nread p0 none",
        "begin t put r0\nfinish t\nstep t",
        "begin t peek r0\nput r0\nfinish t",
        "begin t read p0 buf\nfinish t\nfinish t",
    ],
)
def test_what_does_not_exist_any_more_answers_enoent(commands: str) -> None:
    assert str(last(PIN + commands)) == "error ENOENT"


def test_a_name_whose_creation_was_refused_does_nothing() -> None:
    *_, refused, used = run(PIN + "mmap p0 m anon private rw 1000000000000\nread p0 m")
    assert str(refused.outcome) == "error ENOMEM"
    assert (str(used.outcome), used.steps, used.changes) == ("error ENOENT", (), ())


def test_a_name_that_exists_cannot_be_created_again() -> None:
    """A fork that is still on its way has not taken its name yet; the second one comes first."""
    assert answers(PIN + "begin t fork p0 kid\nexit kid\nfork p0 kid\nfinish t")[-3:] == [
        "error ENOENT",
        "ok",
        "error EEXIST",
    ]


# -- interleaving ------------------------------------------------------------------------------


def test_begin_stops_before_the_first_micro_step() -> None:
    *_, begun = run(PIN + "begin t read p0 buf")
    assert (str(begun.outcome), begun.steps, begun.changes) == ("ok", (), ())
    assert len(begun.state.tasks["t"].stack) == 1


def test_step_makes_as_many_micro_steps_as_asked_and_the_last_one_tells_the_result() -> None:
    accounts = run(PIN + "begin t read p0 buf+1\nstep t 2\nstep t\nstep t 1000000")
    assert [len(account.steps) for account in accounts[-3:-1]] == [2, 1]
    assert [str(account.outcome) for account in accounts[-3:]] == ["ok", "ok", "ok 0"]
    assert not len(accounts[-1].state.tasks)
    assert {note.task for note in accounts[-1].steps} == {"t"}


def test_a_command_in_steps_does_what_it_does_in_one_go() -> None:
    whole = run(PIN + "fork p0 kid")[-1]
    stepped = run(PIN + "begin main2 fork p0 kid\nstep main2 3\nstep main2 4\nfinish main2")[-1]
    assert stepped.state == whole.state


def test_a_plain_command_that_would_wait_is_blocked_and_undone() -> None:
    *_, before, blocked, done, after = run(
        PIN + "begin t munmap p0 buf\nstep t\nread p0 @5000\nfinish t\nread p0 @5000"
    )
    assert blocked.outcome.status == "blocked"
    assert "mmap_lock of p0" in blocked.outcome.on
    assert blocked.state is before.state
    assert str(done.outcome) == "ok"
    assert str(after.outcome) == "signal SIGSEGV"


def test_a_task_that_waits_stays_where_it_is() -> None:
    accounts = run(PIN + "begin a munmap p0 buf\nstep a\nbegin b read p0 @5000\nfinish b\nstep b\nfinish a\nfinish b")
    assert [account.outcome.status for account in accounts[-4:]] == ["blocked", "blocked", "ok", "signal"]
    assert accounts[-4].state.tasks["b"].blocked


def test_interrupts_off_hold_up_whoever_needs_that_cpu() -> None:
    """munmap cannot flush while gup_fast runs with interrupts off: that is what makes the walk safe."""
    script = PIN + "put r0\nprocess p1 cpu=1\nbegin t gup p0 buf as=r1 fast-only\n" + "step t\n" * 4 + "read p0 buf"
    answer = last(script)
    assert answer.status == "blocked"
    assert "interrupts off" in answer.on


def test_a_child_cannot_end_before_it_lives() -> None:
    """The process is there from fork's first steps on, but nobody runs in it until fork is done."""
    refused, *_, ended = run(PIN + "begin t fork p0 kid\nstep t 2\nexit kid\nfinish t\nexit kid")[-3:]
    assert refused.outcome.status == "error"
    assert str(ended.outcome) == "ok"


def test_a_task_that_no_script_began_can_be_finished() -> None:
    runner = Runner()
    commands = parse(PIN + "begin t read p0 buf\nfinish t")
    for command in commands[:-1]:
        runner.perform(command)
    runner.context = replace(runner.context, begun={})
    assert str(runner.perform(commands[-1]).outcome) == "ok"


# -- settings and devices ----------------------------------------------------------------------


def test_settings_boot_another_machine_and_keep_its_devices() -> None:
    accounts = run(
        "device nic\nset cpus 4\nset kernel 6.1\nprocess p cpu=3\nmmap p b anon private rw 1\ngup p b as=r by=nic"
    )
    assert {str(account.outcome) for account in accounts[:4]} == {"ok"}
    state = accounts[-1].state
    assert (len(state.cpus), state.settings["kernel"], state.references["r"].by) == (4, "6.1", "nic")
    assert [change.table for change in accounts[2].changes] == ["settings"]


def test_processes_go_to_the_cpus_in_turn() -> None:
    state = run("process a\nprocess b\nprocess c\nprocess d cpu=1")[-1].state
    assert [state.processes[name].cpu for name in "abcd"] == [0, 1, 0, 1]


# -- expectations ------------------------------------------------------------------------------

SHARED = (
    PIN
    + "memfd f 4\nmmap p0 m memfd:f shared rw 4\nread p0 m\nfork p0 kid\nread kid m\nread kid buf+1\nread p0 @5000\n"
)

HOLDING = [
    "signal SIGSEGV",
    "no violation",
    "present p0 buf",
    "present p0 buf[0:4]",
    "absent p0 @4000",
    "absent p0 @[1000:60000000000]",
    "refcount p0 buf+1 1025",
    "mapcount p0 buf 1",
    "pincount p0 buf 1",
    "same p0 m kid m",
    "differ p0 buf kid buf+1",
    "differ p0 buf p0 buf+1",
    "vma p0 buf flags=rd,wr",
    "vma kid m flags=sh,ms",
]
FAILING = [
    ("ok", "expected ok; found signal SIGSEGV"),
    ("error EFAULT", "expected error EFAULT; found signal SIGSEGV"),
    ("signal SIGBUS", "expected signal SIGBUS; found signal SIGSEGV"),
    ("value 0", "expected value 0; found signal SIGSEGV"),
    ("blocked", "expected blocked; found signal SIGSEGV"),
    ("violation stale-reference", "expected violation stale-reference; found no violation"),
    ("absent p0 buf[0:4]", "expected absent p0 buf[0:4]; found page 16 present"),
    ("present p0 m[0:9]", "expected present p0 m[0:9]; found page 22 absent"),
    ("mapcount p0 buf 2", "expected mapcount p0 buf 2; found mapcount 1 of frame 5"),
    ("refcount p0 @4000 1", "expected refcount p0 @4000 1; found no page mapped there"),
    ("differ p0 m kid m", "expected differ p0 m kid m; found frame 9 and frame 9"),
    ("same p0 buf kid m", "expected same p0 buf kid m; found frame 5 and frame 9"),
    ("same p0 @4000 kid @4000", "expected same p0 @4000 kid @4000; found no page and no page"),
    ("vma p0 @4000 flags=rd", "expected vma p0 @4000 flags=rd; found no mapping there"),
    ("vma p0 buf flags=rd,sh", "expected vma p0 buf flags=rd,sh; found flags=rd,wr,mr,mw,me,ac"),
]


@pytest.mark.parametrize("expectation", HOLDING)
def test_expectations_that_hold(expectation: str) -> None:
    assert str(last(f"{SHARED}expect {expectation}")) == "ok"


@pytest.mark.parametrize(("expectation", "message"), FAILING)
def test_expectations_that_do_not_hold_say_what_they_found(expectation: str, message: str) -> None:
    outcome = last(f"{SHARED}expect {expectation}")
    assert (outcome.status, outcome.message) == ("failed", message)


def test_expectations_ask_about_the_last_command_that_is_one() -> None:
    assert answers(
        PIN + "madvise p0 buf dontneed\nnote so\nexpect violation stale-reference\nexpect violation stale-reference"
    )[-2:] == ["ok", "ok"]
    assert last(PIN + "madvise p0 buf dontneed\nread p0 buf+1\nexpect violation stale-reference").status == "failed"


def test_an_expectation_about_something_gone_fails_and_says_so() -> None:
    assert (
        last(PIN + "exit p0\nexpect present p0 buf").message
        == "expected present p0 buf; found there is no process p0 now"
    )


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "mmap p0 m anon private rw 1000000000000",
        "mmap p0 m anon private rw 4503599627370496",
        "mmap p0 m anon private rw 1000000000000 at=0xfffffffff",
        "mmap p0 m vvar private r 1000000000",
        "mmap p0 m io_uring private r 1000000000",
        "mmap p0 m perf shared rw 1000000000",
        "mmap p0 m packet shared rw 1000000000",
        "mmap p0 m secretmem shared rw 1000000000000",
        "mmap p0 m anon shared rw 1000000000000 noreserve",
        "mremap p0 buf pages=1000000000000 maymove",
        "munmap p0 @[0:68719476736]",
        "mprotect p0 @[16:68719476736] r",
        "madvise p0 @[16:68719476736] dontneed",
        "gup p0 @[16:68719476736] as=r9",
        "mlock p0 @[16:68719476736]",
        "memfd f 4503599627370496",
        "diskfile f 4503599627370496",
    ],
)
def test_absurd_sizes_are_answered_at_once(command: str) -> None:
    """By the kernel, with an errno or a granted nothing: no loop goes over pages that do not exist."""
    account = run(PIN + command)[-1]
    assert account.outcome.status in {"ok", "error"}
    assert len(account.steps) < 200


def test_a_command_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.script.execute.MOST_STEPS", 50)
    runner = Runner()
    *setting, hungry = parse("process p0\nmmap p0 b anon private rw 100\nwrite p0 b 1\nmadvise p0 b populate_write")
    for command in setting:
        runner.perform(command)
    before = runner.context
    with pytest.raises(ScriptError, match="takes more than"):
        runner.perform(hungry)
    assert runner.context is before
    assert MOST_STEPS > 50


def test_what_is_not_simulated_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CALLS, "munlock")
    monkeypatch.setattr("model.script.dispatch.SIMULATED_BACKINGS", frozenset({"anon"}))
    commands = parse(PIN + "munlock p0 buf\nbegin t munlock p0 buf\nmmap p0 v vvar private r 1\nmay 1 munlock p0 buf")
    with pytest.raises(ScriptError) as caught:
        check_simulated(commands)
    assert [(p.line, p.column, p.message) for p in caught.value.problems] == [
        (6, 1, "`munlock` is not simulated yet"),
        (7, 9, "`munlock` is not simulated yet"),
        (8, 1, "`vvar` is not simulated yet"),
    ]
    with pytest.raises(ScriptError, match="`munlock` is not simulated yet"):
        run(PIN + "munlock p0 buf")


def test_a_sealed_mapping_is_not_unmapped() -> None:
    lines = "process p0; mmap p0 buf anon private rw 2; mseal p0 buf+0; munmap p0 buf; munmap p0 buf+1"
    assert answers(lines.replace("; ", "\n"))[-3:] == ["ok", "error EPERM", "ok"]


def test_two_tasks_under_way_may_make_the_same_name_and_the_later_one_is_refused() -> None:
    """What the search prints has such lines: both calls begin before either has its reference."""
    play = Play("device nic\nprocess p0", "mmap p0 buf anon private rw 2\nwrite p0 buf 1")
    play.do("begin one gup p0 buf as=r by=nic\nbegin other gup p0 buf+1 as=r by=nic")
    assert play.do("finish other") == "ok"
    assert play.do("finish one") == "error EEXIST"
    assert list(play.state.references) == ["r"]
