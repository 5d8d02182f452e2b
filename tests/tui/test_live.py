"""`ptescope live`: the same commands on this machine's own kernel and on the model, where that kernel permits it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessons.learner.progress import Store
from model.replay.compare import compare as replay
from model.replay.recording import decode
from model.script.parser import parse
from tests.tui.test_explorer import until
from tests.tui.user import at
from tui.cli import main
from tui.commands.live import KINDS
from tui.drivers.sandbox import SandboxDriver
from tui.live import ksmd, possible, side_by_side
from tui.live.kernel_memory import unreadable
from tui.live.permitted import forbidden
from tui.live.random_programs import PROGRAM_KINDS, program
from tui.live.seen_state import seen_state
from tui.live.shrink import shrink
from tui.live.side_by_side import Compared, Machines, compare
from tui.live.workers import WORKER, WorkerLostError, Workers, address


def why_not_here() -> str:
    """Why nothing can be carried out on this machine; empty if it can."""
    if sys.platform != "linux":
        return "no Linux"
    try:
        with Workers() as workers:
            workers.start("p0")
            workers.processes["p0"].call("mmap", address(16), 4096, 3, 0x100022, -1, 0)
            workers.pin("r", "p0", 16, 1)
    except (OSError, WorkerLostError) as error:
        return f"this kernel forbids it: {error}"
    return ""


FORBIDDEN = why_not_here()
pytestmark = pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "allowed")

CENTRAL = """
process p0
mmap p0 buf anon private rw 2
write p0 buf 7
gup p0 buf as=r write pin longterm
madvise p0 buf dontneed
dma r write 65
read p0 buf
fork p0 c
write c buf+1 3
memfd f 2
mmap c m memfd:f shared rw 2
write c m 9
gup c m[0:1] as=g
truncate f 0
peek g
read c m
put g
exit p0
dma r read
"""
"""A pin that outlives its PTE and its process; a page of a file that outlives the file's end."""


USERFAULTFD = """
process p0
mmap p0 buf anon private rw 4
mmap p0 src anon private rw 2
write p0 src 7
userfaultfd p0 u sigbus wp_unpopulated
userfaultfd p0 v sigbus
uffdio-register p0 buf u missing wp
uffdio-register p0 src v wp
uffdio-copy p0 buf[0:2] u src
uffdio-writeprotect p0 buf u wp
write p0 buf 3
uffdio-move p0 buf+3 u buf+1
uffdio-wake p0 buf u
fork p0 kid
uffd-close p0 u
uffdio-writeprotect kid src v wp
write p0 src 9
write p0 buf 4
exit kid
write p0 buf 5
"""
"""Two descriptors, one of which the child keeps open; protection with and without a page; a move that is refused."""


HUGE = """
process p0
mmap p0 m anon private rw 1024 at=512
madvise p0 m hugepage
write p0 m+3 7
read p0 m+600
gup p0 m+5 as=g
gup p0 m+9 as=d write pin longterm
fork p0 c
write c m+3 8
munmap p0 m[100:110]
madvise p0 m[512:1024] collapse
direct-write p0 m+3
put d
put g
"""
"""The huge zero page, a huge page that is pinned when its process forks, and one that is mapped in part."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No descriptor and no child process remains."""
    descriptors, children = len(list(Path("/proc/self/fd").iterdir())), children_now()
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert children_now() <= children


def children_now() -> set[str]:
    """The processes that this one has started and not waited for."""
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {pid for path in found for pid in path.read_text().split()}


def both(text: str, *, privileged: bool | None = None) -> list[Compared]:
    """Carry a script out on both machines."""
    with Machines(privileged=privileged) as machines:
        return list(compare(parse(text), machines))


def told(found: list[Compared]) -> list[str]:
    """What was not carried out and what differs."""
    return [f"{one.command.text}: {one.skipped or one.differences}" for one in found if one.skipped or one.differences]


@pytest.mark.parametrize("privileged", [False, None], ids=["anybody", "as-far-as-it-goes"])
def test_the_central_experiment_is_the_same_on_a_real_kernel(privileged: bool | None) -> None:
    assert told(both(CENTRAL, privileged=privileged)) == []


@pytest.mark.skipif(bool(FORBIDDEN or forbidden("userfaultfd")), reason="userfaultfd is forbidden here")
def test_faults_that_a_program_handles_are_the_same_on_a_real_kernel(tmp_path: Path) -> None:
    script, recording = tmp_path / "a.pte", tmp_path / "a.json"
    script.write_text(USERFAULTFD)
    assert main(["live", str(script), "--record", str(recording)]) == 0
    assert replay(decode(recording.read_bytes())).agrees
    assert main(["live", str(script), "--record", str(tmp_path / "nowhere" / "a.json")]) == 2, "nothing was recorded"


@pytest.mark.skipif(bool(FORBIDDEN or possible.why_no_thp()), reason="huge pages are set otherwise here")
@pytest.mark.parametrize("level", ["anybody", "frames", "as-far-as-it-goes"])
def test_a_huge_page_is_split_copied_and_collapsed_as_on_a_real_kernel(
    monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    if level == "frames":
        monkeypatch.setattr(side_by_side, "unreadable", lambda: "CAP_BPF is missing")
    found = both(HUGE, privileged=False if level == "anybody" else None)
    if any("no free huge page" in one.skipped for one in found):
        pytest.skip("this machine had no free huge page")
    on_disk = [one for one in found if one.command.verb == "direct-write"]
    assert told([one for one in found if one not in on_disk or not one.skipped]) == []
    assert all("H" in found[4].looks[side].ptes["p0"][512][1] for side in (0, 1))


@pytest.mark.skipif(bool(FORBIDDEN or unreadable()), reason="kernel memory cannot be read here")
def test_what_struct_page_says_is_read_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    with Machines() as machines:
        found = list(
            compare(parse("process p0\nmmap p0 m anon private rw 1\ngup p0 m as=r write pin longterm"), machines)
        )
    assert found[-1].looks[0].phys["P0"][:2] == (1025, 1)  # type: ignore[literal-required]
    assert found[-1].looks[0].ptes["p0"][16] == ("P0", "wdx")
    monkeypatch.setattr("tui.live.kernel_memory.KernelMemory.refcount_of", lambda *_: 3)
    (different,) = both("process p0\nmmap p0 m anon private rw 1\nwrite p0 m 1")[-1].differences
    assert (different.field, different.kernel[0], different.model[0]) == ("phys.P0", 3, 1)


def test_random_programs_are_the_same_on_a_real_kernel() -> None:
    for seed in range(2):
        assert [line for line in told(both("\n".join(program(seed)))) if "≠" in line or "Difference" in line] == []


@pytest.mark.parametrize("kind", PROGRAM_KINDS)
def test_a_kind_of_program_is_the_same_every_time_and_about_its_subject(kind: str) -> None:
    words = {"thp": "hugepage", "mthp": "hugepage", "ksm": "mergeable", "swap": "pageout", "uffd": "userfaultfd"}
    word = words.get(kind, kind)
    programs = [program(seed, kind=kind) for seed in range(5)]
    assert programs == [program(seed, kind=kind) for seed in range(5)]
    assert all(any(word in line for line in lines) for lines in programs)
    assert [parse("\n".join(lines)) for lines in programs]
    assert tuple(PROGRAM_KINDS) == KINDS


def test_pages_far_away_are_seen_up_to_a_limit() -> None:
    """The model puts a mapping wherever the script says."""
    text = "process p0\nmmap p0 m anon private rw 1 at=5000\nwrite p0 m 1\nmmap p0 n anon private rw 1 at=268435456"
    assert [one.partition(":")[2][:22] for one in told(both(text))] == [" page 268435456 is too"]


def test_a_model_that_errs_is_found_and_the_program_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "nearest_kernel", lambda: "6.1")  # read-only long-term pins and guards differ …
    wrong = "write p0 buf 8"

    def differs(lines: list[str]) -> bool:
        found = both("\n".join(lines))
        return any(one.command.text == wrong and one.kernel == "EFAULT" for one in found)

    lines = ["process p0", "mmap p0 x anon private rw 1", "mmap p0 buf anon private r 1", "read p0 buf", wrong]
    assert shrink(lines, lambda fewer: _is_script(fewer) and differs(fewer)) == [lines[0], lines[2], wrong]


def _is_script(lines: list[str]) -> bool:
    from model.text.problems import ScriptError

    try:
        parse("\n".join(lines))
    except ScriptError:
        return False
    return True


def test_a_difference_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from model.kernel.arch.access import cpu_load

    monkeypatch.setitem(
        __import__("model.script.dispatch", fromlist=["CALLS"]).CALLS,
        "write",
        lambda call: cpu_load(mm=call.name("P"), vpn=call.page()),  # a model whose stores only load
    )
    found = both("process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 7\n")
    assert found[-1].differences


def test_what_cannot_be_done_is_done_on_neither_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "s.pte"
    script.write_text("process p0\nbo b 2\nmmap p0 m bo:b shared rw 2\nmigrate p0 m\nbegin t read p0 @16\nnote hello\n")
    assert main(["live", str(script)]) == 0
    out = capsys.readouterr().out
    assert "bo b 2  not carried out" in out
    assert "there is no buffer b now" in out
    assert "1 of 1 command agrees" in out
    assert "4 were not carried out" in out
    assert "hello" not in out


def test_what_was_recorded_is_replayed_without_a_difference(tmp_path: Path) -> None:
    script, recording = tmp_path / "s.pte", tmp_path / "rec.json"
    script.write_text(CENTRAL)
    for level in ([], ["--unprivileged"]):
        assert main(["live", str(script), "--record", str(recording), *level]) == 0
        answer = replay(decode(recording.read_bytes()))
        assert (answer.difference, answer.unsupported) == (None, ())


def test_a_recording_that_was_tampered_with_differs(tmp_path: Path) -> None:
    script, recording = tmp_path / "s.pte", tmp_path / "rec.json"
    script.write_text(CENTRAL)
    main(["live", str(script), "--record", str(recording)])
    recording.write_text(
        recording.read_text().replace(
            '"op":"read","proc":"p0","page":16,"result":0', '"op":"read","proc":"p0","page":16,"result":65'
        )
    )
    assert replay(decode(recording.read_bytes())).difference is not None


def test_json_is_an_object_a_command(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    script = tmp_path / "s.pte"
    script.write_text("process p0\nread p0 @16\n")
    assert main(["live", "--json", str(script)]) == 0
    last = json.loads(capsysbinary.readouterr().out.splitlines()[-1])
    assert last == {
        "line": 2,
        "command": "read p0 @16",
        "kernel": "EFAULT",
        "model": {"status": "signal", "signal": "SIGSEGV"},
        "differences": [],
    }


def test_a_process_that_is_killed_ends_the_run_with_a_sentence() -> None:
    with Machines() as machines:
        commands = parse("process p0\nmmap p0 buf anon private rw 1\nread p0 buf\n")
        found = [next(iter(compare(commands[:1], machines)))]
        machines.workers.processes["p0"].started.kill()  # type: ignore[union-attr]
        found += compare(commands[1:], machines)
    assert "p0 died" in found[1].skipped
    assert found[2].skipped == found[1].skipped


def test_a_worker_whose_answer_nobody_hears_ends_without_a_word() -> None:
    ours, its = socket.socketpair()
    words = (sys.executable, "-I", "-S", str(WORKER), str(its.fileno()))
    with subprocess.Popen(words, pass_fds=(its.fileno(),), stderr=subprocess.PIPE) as worker:
        its.close()
        assert select.select([ours], [], [], 20)[0], "it has said that it is ready, which is not read"
        ours.close()
        assert worker.communicate(timeout=20)[1] == b""


def test_the_workers_go_when_who_started_them_is_killed() -> None:
    script = (
        "import os, time\nfrom tui.live.workers import Workers\nw = Workers()\nw.start('p0')\nw.fork('p0', 'c')\n"
        "print(*[x.pid for x in w.processes.values()], flush=True)\ntime.sleep(60)\n"
    )
    started = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    pids = [int(pid) for pid in started.stdout.readline().split()]
    started.kill()
    started.wait()
    started.stdout.close()
    for pid in pids:
        descriptor = _pidfd(pid)
        if descriptor >= 0:
            import select

            assert select.select([descriptor], [], [], 5)[0], f"{pid} is still there"
            os.close(descriptor)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def test_what_this_machine_forbids_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.live.possible.forbidden", lambda call: "EPERM" if call == "pin" else "")
    found = both(CENTRAL)
    assert found[3].skipped == "this machine forbids it (EPERM)"
    assert [one for one in found if one.differences] == []


def test_a_call_that_is_refused_is_found_out_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Workers, "pin", refuse)
    forbidden.cache_clear()
    try:
        assert forbidden("pin") == "EPERM"
        assert forbidden("get") == ""
    finally:
        forbidden.cache_clear()


def test_absurd_sizes_are_refused_before_they_are_tried(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "s.pte"
    script.write_text("process p0\nmmap p0 big anon private rw 100000000 populate\n")
    assert main(["live", str(script)]) == 0
    assert "it touches 100000000 pages" in capsys.readouterr().out


async def test_k_draws_this_kernel_beside_the_model(tmp_path: Path) -> None:
    driver = SandboxDriver()
    for line in CENTRAL.strip().splitlines()[:7]:
        driver.command(line)
        driver.step("command")
    async with at(Store(tmp_path / "progress.json"), driver, (170, 45)) as user:
        await user.press("K")
        await until(user, lambda: "commands agree" in user.seen())
        assert "7 of 7 commands agree" in user.seen()
        kernel, model = (line.split("16 buf+0")[1:] for line in user.lines() if line.count("16 buf+0") == 2).__next__()
        assert "(p0)" in kernel, "the frame that p0 has lost is drawn"
        assert "(p0)" in model
        await user.press("escape")
        assert user.stage is not None


def test_a_kernel_that_differs_is_drawn_as_it_is() -> None:
    with Machines() as machines:
        found = list(compare(parse("process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 7\n"), machines))
        if not machines.looking.seen.frames:
            pytest.skip("frames are seen by CAP_SYS_ADMIN alone")
        last, model = found[-1], machines.session.state
        assert seen_state(last, model).ptes["p0", 16].pfn == model.ptes["p0", 16].pfn
        last.looks[0].ptes["p0"] = {}
        last.looks[0].phys["P0"] = (None, 0, "anon", 9)
        drawn = seen_state(last, model)
        pfn = model.ptes["p0", 16].pfn
        assert ("p0", 16) not in drawn.ptes
        assert (drawn.frames[pfn].refcount, drawn.frames[pfn].mapcount, drawn.content[pfn]) == (0, 0, 9)


def test_a_malformed_script_is_told_as_everywhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "s.pte"
    script.write_text("proces p0\n")
    assert main(["live", str(script)]) == 2
    assert f"{script}:1:1:" in capsys.readouterr().err


@pytest.mark.parametrize(("free", "refused"), [(0, True), (5, True), (4, False)])
def test_huge_pages_are_mapped_where_both_machines_have_the_same_pool(
    monkeypatch: pytest.MonkeyPatch, free: int, refused: bool
) -> None:
    """What the kernel at hand says to it is another matter: its pool may be empty."""
    monkeypatch.setattr(possible, "free_huge_pages", lambda: free)
    script = parse("process p0\nmmap p0 m hugetlb private rw 1\nmemfd f 512 hugetlb")
    with Machines(privileged=False) as machines:
        found = [machines.perform(command) for command in script]
    assert [f"{free} are free here" in one.skipped for one in found] == [False, refused, refused]
    assert refused or "ht" in found[1].looks[1].vmas["p0"][0][5]


# -- ksmd ------------------------------------------------------------------------------------------

MERGING = """
process p0
mmap p0 a anon private rw 3
madvise p0 a mergeable
write p0 a+0 5
write p0 a+1 5
ksm-scan 2
write p0 a+0 6
"""


def test_ksmd_is_left_alone_unless_the_user_allows_it() -> None:
    (scan,) = (one for one in both(MERGING) if one.command.verb == "ksm-scan")
    assert "--allow-system" in scan.skipped


@pytest.mark.skipif(bool(ksmd.unusable()), reason="ksmd cannot be told to scan here")
def test_ksmd_merges_here_what_it_merges_in_the_model_and_its_settings_are_put_back() -> None:
    before = [ksmd.setting(name) for name in (*ksmd.CHANGED, "run")]
    with Machines(allow_system=True) as machines:
        found = list(compare(parse(MERGING), machines))
    assert [one.skipped for one in found] == [""] * 7
    assert [one.differences for one in found] == [()] * 7
    assert [ksmd.setting(name) for name in (*ksmd.CHANGED, "run")] == before


@pytest.mark.parametrize("ending", ksmd.ENDINGS)
def test_whoever_is_killed_while_ksmd_runs_puts_its_settings_back_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    numbers = {"run": 0, "full_scans": 9, "use_zero_pages": 0, "pages_to_scan": 100, "sleep_millisecs": 20}
    for name, number in numbers.items():
        (tmp_path / name).write_text(f"{number}\n")
    monkeypatch.setattr(ksmd, "SETTINGS", tmp_path)
    during: dict[str, int] = {}

    def killed(_seconds: float) -> None:
        during.update({name: ksmd.setting(name) for name in numbers})
        os.kill(os.getpid(), ending)

    monkeypatch.setattr("tui.live.ksmd.time.sleep", killed)
    handler = signal.getsignal(ending)
    with pytest.raises(SystemExit):
        ksmd.scan(3, use_zero_pages=True)
    assert (during["run"], during["use_zero_pages"]) == (1, 1)
    assert {name: ksmd.setting(name) for name in numbers} == numbers
    assert signal.getsignal(ending) == handler
