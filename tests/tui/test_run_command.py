"""`ptescope run` from outside: the trace, the account, exit statuses, and whatever a user can do wrong."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lessons.i18n.language import ENGLISH, use
from model.kernel.arch.boot import boot
from model.memory.events import Splat
from model.script.context import OK
from model.script.dispatch import CALLS
from model.script.parser import parse
from model.script.runner import Account
from tests.tui.command_line import ROOT, called, started
from tui.cli import main
from tui.views.plain_text import Narrator, console

SCRIPT = """\
process p0          # on cpu 0
device nic
mmap p0 buf anon private rw 4
write p0 buf+1 0x41
gup p0 buf+1 as=r0 write pin by=nic
madvise p0 buf dontneed
dma r0 write 7
read p0 @5000
begin t read p0 buf+1
step t 2
expect ok
"""


@pytest.fixture(name="script")
def _script(tmp_path: Path) -> Path:
    path = tmp_path / "demo.pte"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def trace(text: str, *options: str) -> list[dict[str, Any]]:
    """The trace of a script, decoded."""
    done = called("run", "--json", *options, "-", text=text)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


# -- the trace ---------------------------------------------------------------------------------


def test_the_trace_has_a_line_a_command_as_in_the_contract() -> None:
    lines = trace(SCRIPT, "--state", "full")
    assert [line["line"] for line in lines] == list(range(1, 12))
    assert lines[0]["command"] == "process p0"
    assert all([*line] == ["line", "command", "result", "steps", "changes", "violations", "state"] for line in lines)
    write = lines[3]
    assert write["result"] == {"status": "ok"}
    assert set(write["steps"][0]) == {"task", "procedure", "step", "source"}
    assert {step["task"] for step in write["steps"]} == {"main"}
    assert [change["key"] for change in write["changes"] if change["table"] == "pte"] == [["p0", 17]]


def test_the_state_of_the_trace() -> None:
    state = trace(SCRIPT, "--state", "full")[4]["state"]
    tables = ["processes", "frames", "files", "buffers", "references", "userfaultfds", "devices", "tasks", "tlbs"]
    assert [*state] == tables
    frame = state["processes"]["p0"]["pages"]["17"]["frame"]
    assert state["processes"]["p0"] == {
        "vmas": [
            {
                "start": 16,
                "end": 20,
                "prot": "rw-",
                "share": "private",
                "backing": "anon",
                "offset": 0,
                "flags": ["rd", "wr", "mr", "mw", "me", "ac"],
                "label": "buf",
            }
        ],
        "pages": {
            "17": {
                "state": "present",
                "frame": frame,
                "writable": True,
                "dirty": True,
                "special": False,
                "huge": False,
                "uffd_wp": False,
                "exclusive": True,
                "content": 65,
            }
        },
    }
    assert state["frames"][str(frame)] == {
        "kind": "anon",
        "refcount": 1025,
        "mapcount": 1,
        "pincount": 1,
        "owner": "p0",
        "content": 65,
    }
    assert state["references"] == {"r0": {"kind": "pin", "frames": [frame], "by": "nic"}}
    assert state["devices"] == {"nic": {}}
    assert state["tlbs"]["0"] == [{"process": "p0", "page": 17, "frame": frame, "writable": True}]


def test_results_violations_and_tasks_of_the_trace() -> None:
    lines = trace(SCRIPT, "--state", "full")
    assert lines[7]["result"] == {"status": "signal", "signal": "SIGSEGV"}
    stale = lines[5]["violations"][0]
    assert (stale["invariant"], stale["severity"], stale["subjects"][0]) == ("stale-reference", "hazard", "ref:r0")
    assert stale["message"]
    assert lines[6]["violations"][0]["invariant"] == "lost-write"
    task = lines[9]["state"]["tasks"]["t"]
    assert (task["process"], task["cpu"], task["blocked"]) == ("p0", 0, None)
    assert [call["procedure"] for call in task["stack"]] == ["cpu_load", "mmu_access"]


def test_files_the_zero_page_and_refusals_in_the_trace() -> None:
    text = """\
process p0
memfd f 3
mmap p0 m memfd:f shared rw 3 offset=0
write p0 m+1 9
mmap p0 z anon private rw 1
read p0 z
gup p0 @5000 as=r
"""
    *_, zero, refused = trace(text, "--state", "full")
    state = zero["state"]
    frame = state["processes"]["p0"]["pages"]["17"]["frame"]
    assert state["files"] == {"f": {"kind": "memfd", "pages": 3, "seals": [], "cache": {"1": frame}}}
    assert state["frames"][str(frame)]["owner"] == "f"
    assert [vma["backing"] for vma in state["processes"]["p0"]["vmas"]] == ["memfd:f", "anon"]
    (page,) = [page for page in state["processes"]["p0"]["pages"].values() if page["frame"] == "zero"]
    assert page["special"]
    assert refused["result"] == {"status": "error", "errno": "EFAULT"}


def test_less_state_in_the_trace() -> None:
    assert "state" not in trace(SCRIPT)[3]
    assert trace(SCRIPT)[3]["changes"]
    assert [*trace(SCRIPT, "--state", "none")[3]] == ["line", "command", "result", "steps", "violations"]


def test_a_record_that_is_as_before_is_no_change() -> None:
    """fork makes write_protect_seq odd and even again, takes locks and gives them back: the trace has what is left."""
    fork = trace("process p0\nmmap p0 b anon private rw 1\nwrite p0 b 1\nfork p0 kid\n")[-1]
    assert all(change["old"] != change["new"] for change in fork["changes"])
    assert not [change for change in fork["changes"] if change["table"] in {"lock", "task"}]


# -- exit statuses -----------------------------------------------------------------------------


def test_exit_status_0_if_everything_held(script: Path) -> None:
    assert called("run", str(script)).returncode == 0


def test_exit_status_1_if_an_expectation_did_not_hold() -> None:
    text = "process p0\nexpect error EFAULT\nexpect ok\n"
    readable, lines = called("run", "-", text=text), called("run", "--json", "-", text=text)
    assert (readable.returncode, lines.returncode) == (1, 1)
    assert "expected error EFAULT; found ok" in readable.stdout
    assert "1 of 2 expectations held" in readable.stdout
    assert lines.stderr == "-:2:1: expected error EFAULT; found ok\n"
    assert [json.loads(line)["result"]["status"] for line in lines.stdout.splitlines()] == ["ok", "failed", "ok"]


def test_exit_status_2_if_the_script_is_malformed_and_nothing_has_run(tmp_path: Path) -> None:
    path = tmp_path / "bad.pte"
    path.write_text("process p0\nraed p0 buf\nwrite p7 buf 300\n")
    done = called("run", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{path}:2:1: unknown command `raed`; did you mean `read`?",
        f"{path}:3:7: there is no process `p7`; there is p0",
        f"{path}:3:14: `300` is not a byte (0 to 255)",
    ]


def test_exit_status_2_for_what_is_not_simulated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delitem(CALLS, "memfd")
    path = tmp_path / "ahead.pte"
    path.write_text("process p0\nmemfd f 4\n")
    assert main(["run", str(path)]) == 2
    assert capsys.readouterr() == ("", f"{path}:2:1: `memfd` is not simulated yet\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no/such.pte"], "no/such.pte: No such file or directory"),
        (["run", "tests"], "tests: Is a directory"),
        (["run", ""], ": Is a directory"),
        (["run", "/dev/zero"], "/dev/zero: longer than 4000000 bytes"),
        (["run"], "ptescope run: the following arguments are required: FILE"),
        (["rnu", "x"], "did you mean `run`?"),
        (["run", "--state", "all", "x"], "there is no `all`: expected full, changes, none"),
        (["run", "-q", "-v", "x"], "not allowed with argument"),
        (["--frobnicate"], "unrecognized arguments"),
    ],
)
def test_exit_status_2_and_one_line_for_what_cannot_be_read(arguments: list[str], message: str) -> None:
    done = called(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_text_that_is_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.pte"
    path.write_bytes("process p0\nnote größer".encode("latin-1"))
    done = called("run", str(path))
    assert (done.returncode, done.stderr) == (2, f"{path}:2:8: this is not UTF-8 text\n")


def test_nothing_is_a_script_too() -> None:
    done = called("run", "-", text="")
    assert (done.returncode, done.stderr) == (0, "")


# -- the account -------------------------------------------------------------------------------


def test_the_account_tells_calls_steps_changes_results_and_violations(script: Path) -> None:
    text = called("run", str(script)).stdout
    assert "   4  write p0 buf+1 0x41  → ok" in text
    assert "do_anonymous_page:" in text
    assert re.search(r"^ +\+ pte p0:17: frame \d+, present rw user accessed dirty nx$", text, re.MULTILINE)
    assert re.search(r"^ +~ frame \d+: refcount 1025 → 1024, mapcount 1 → 0$", text, re.MULTILINE)
    assert re.search(r"^ +- pte p0:17: ", text, re.MULTILINE)
    assert "! hazard stale-reference: " in text
    assert "! corruption lost-write: " in text
    assert "signal SIGSEGV, SEGV_MAPERR" in text
    assert "expect ok  ✓ holds" in text
    assert text.endswith("10 commands, 2 violations, 1 of 1 expectation held\n")


@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"COLUMNS": "60"}, {"COLUMNS": "x"}, {"COLUMNS": "²"}, {"TERM": "dumb"}]
)
def test_a_pipe_gets_plain_text_that_is_wrapped_and_not_cut(script: Path, environment: dict[str, str]) -> None:
    text = called("run", str(script), **environment).stdout
    assert "\x1b" not in text
    assert "…" not in text
    width = int(environment["COLUMNS"]) if environment.get("COLUMNS", "x").isdecimal() else 100
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    assert "never kept the entry from changing" in words


def test_a_terminal_without_unicode_gets_ascii(script: Path) -> None:
    text = started("run", str(script), TERM="dumb", PYTHONIOENCODING="ascii").stdout
    assert text.isascii()
    assert "write p0 buf+1 0x41  > ok" in text


def test_quiet_and_verbose(script: Path) -> None:
    quiet, verbose = (called("run", option, str(script)).stdout for option in ("-q", "-v"))
    assert "do_anonymous_page" not in quiet
    assert "! hazard stale-reference: " in quiet
    assert "do_anonymous_page.set_pte  (mm/memory.c: do_anonymous_page)" in verbose
    assert "On a real kernel: " in verbose
    assert len(quiet) < len(called("run", str(script)).stdout) < len(verbose)


def test_a_loop_is_told_once() -> None:
    text = called("run", "-", text="process p0\nmmap p0 b anon private rw 300 populate\n").stdout
    assert "299 times:" in text
    assert len(text.splitlines()) < 100


def test_a_splat_is_told_with_its_call_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page whose count is damaged by hand: no script can do that before buffers move."""
    monkeypatch.setenv("NO_COLOR", "1")
    splat = Splat("WARNING: mm/gup.c: try_grab_folio", ("refcount 0",), trace=("gup_fast", "take_reference"))
    Narrator(console()).tell(Account(parse("process p0")[0], OK, (), (), (splat,), (), boot()))
    lines = [line.strip(" │") for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines[1:6] == ["WARNING: mm/gup.c: try_grab_folio", "refcount 0", "Call Trace:", "<TASK>", "gup_fast"]
    assert [lines[0], lines[-1]] == ["------------[ cut here ]------------", "---[ end trace 0000000000000000 ]---"]


# -- being interrupted -------------------------------------------------------------------------


def test_a_reader_that_has_seen_enough_is_no_accident(script: Path) -> None:
    text = script.read_text() + "read p0 buf\n" * 3000
    with subprocess.Popen(
        [sys.executable, "-m", "tui", "run", "--json", "-"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write(text)
        running.stdin.close()
        assert json.loads(running.stdout.readline())["line"] == 1
        running.stdout.close()
        assert (running.stderr.read(), running.wait(60)) == ("", 141)


def test_ctrl_c_ends_it_quietly(script: Path) -> None:
    text = script.read_text() + "".join(f"process q{n}\n" for n in range(50_000))
    path = script.with_name("long.pte")
    path.write_text(text)
    with subprocess.Popen(
        [sys.executable, "-m", "tui", "run", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.stderr.read() == ""
        # Where the interrupt falls into an eval() of the standard library, as for plural forms and named tuples,
        # CPython ends by the signal itself, whatever status was asked for; a shell calls both 130.
        assert running.wait(60) in {130, -signal.SIGINT}


# -- properties ---------------------------------------------------------------------------------

PINNED = """\
process p0
device nic
mmap p0 buf anon private rw 1
{property}
write p0 buf 1
gup p0 buf as=r write pin by=nic
madvise p0 buf dontneed
"""


def test_a_property_is_judged_after_every_micro_step_and_the_step_is_named() -> None:
    text = PINNED.format(property="always same r p0 buf")
    done = called("run", "-q", "-", text=text)
    assert done.returncode == 1
    assert "`always same r p0 buf` is broken: found frame 5 and no page" in done.stdout
    assert "zap_page_range_single.zap_pte_range" in done.stdout
    assert "0 of 1 property held" in done.stdout
    lines = [json.loads(line) for line in called("run", "--json", "-", text=text).stdout.splitlines()]
    broken = {line["command"]: line["properties"] for line in lines if "properties" in line}
    assert list(broken) == ["madvise p0 buf dontneed"]
    (one,) = broken["madvise p0 buf dontneed"]
    steps = next(line["steps"] for line in lines if "properties" in line)
    assert one["at"] == "{procedure}.{step}".format(**steps[one["step"] - 1])
    assert (one["property"], one["line"]) == ("always same r p0 buf", 4)


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ("never pincount p0 buf 2", 0),
        ("never pincount p0 buf 1", 1),
        ("always vma p0 buf", 0),
        ("always present p0 buf", 1),  # not yet, where it stands
        ("final absent p0 buf", 0),
        ("final present p0 buf", 1),
        ("never broken", 1),
        ("never broken freed-while-mapped", 0),
    ],
)
def test_properties_of_one_way(stated: str, status: int) -> None:
    assert called("run", "-q", "-", text=PINNED.format(property=stated)).returncode == status


def test_a_property_of_what_does_not_exist_yet_says_nothing_and_at_the_end_it_fails() -> None:
    gone = PINNED.format(property="{} refcount r 2") + "put r\n"
    assert called("run", "-q", "-", text=gone.format("never")).returncode == 0
    assert called("run", "-q", "-", text=gone.format("final")).returncode == 1


def test_a_property_is_about_the_machine() -> None:
    done = called("run", "-", text="process p0\nalways ok\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("-:2:1: `ok` is about the last command, and `always` about the machine")


def test_a_collapse_that_is_refused_says_which_check_it_was(tmp_path: Path) -> None:
    script = tmp_path / "c.pte"
    script.write_bytes(
        b"process p0\nmmap p0 a anon private rw 512 at=512\nmadvise p0 a collapse\nwrite p0 a 1\ngup p0 a as=r\n"
        b"madvise p0 a collapse\nput r\nmadvise p0 a nohugepage\nmadvise p0 a collapse\n"
        b"madvise p0 a hugepage\nmadvise p0 a collapse\n"
    )
    reasons = [line.strip() for line in called("run", str(script)).stdout.splitlines() if "why: " in line]
    assert reasons == [
        "why: the VMA has not had a page yet: no anon_vma",
        "why: page has another reference",
        "why: the VMA is VM_NOHUGEPAGE",
    ]
    lines = [json.loads(line) for line in called("run", "--json", "--state", "none", str(script)).stdout.splitlines()]
    assert [line["result"].get("reason") for line in lines if line["result"]["status"] == "error"] == [
        "the VMA has not had a page yet: no anon_vma",
        "page has another reference",
        "the VMA is VM_NOHUGEPAGE",
    ]
    use("de")
    try:
        assert "warum: die VMA ist VM_NOHUGEPAGE" in called("run", str(script)).stdout
    finally:
        use(ENGLISH)
