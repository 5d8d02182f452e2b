"""How a program ends when its terminal goes, when somebody presses Ctrl+C, and when it is told to end."""

import os
import signal
import subprocess
import sys
import termios
import time
from codecs import getincrementaldecoder
from pathlib import Path
from typing import Final

import pytest

from tests.tui.browser import free_port
from tests.tui.terminal_session import DIRECTLY, UNDER_LEADER, UNDER_SHELL, TerminalSession
from tui.app.gone_terminal import read_any_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")

RECORDINGS: Final = str(Path(__file__).parents[1] / "recordings")
LOOP: Final = "process p0\nmmap p0 buf anon private rw 4\n" + "write p0 buf 1\nmadvise p0 buf dontneed\n" * 20_000
SEARCH: Final = "device nic\nprocess p0\nmmap p0 buf anon private rw 2\n" + "".join(
    f"may 3 {command}\n" for command in ("gup p0 buf as=r write by=nic", "madvise p0 buf dontneed", "write p0 buf 3")
)
LONG: Final = {
    "explore": (1, ("explore", "scene.pte")),
    "replay": (3, ("replay", "--jobs", "2", RECORDINGS)),
    "run": (1, ("run", "-q", "long.pte")),
}
"""How many processes each has, and its words."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scripts that take long, which is the current one."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)
    Path("long.pte").write_text(LOOP)
    Path("scene.pte").write_text(SEARCH)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), b"\x1b[?1049h"),
        (("sandbox", "--plain"), b"> "),
        (("run", "-q", "long.pte"), b"madvise"),
        (("serve", "--port", str(free_port())), b"http"),
    ],
    ids=["app", "plain", "run", "serve"],
)
def test_a_closed_terminal_ends_whatever_runs_in_it_although_the_leader_does_not(
    folder: Path, words: tuple[str, ...], says: bytes
) -> None:
    with TerminalSession(words, folder, UNDER_LEADER) as program:
        program.started(2, says)
        program.hang_up()
        program.ended()


def test_an_app_whose_terminal_is_full_and_goes_keeps_what_was_done(folder: Path) -> None:
    with TerminalSession(("sandbox",), folder, DIRECTLY) as program:
        program.started(1, b"Sandbox")
        os.write(program.terminal, b":process p7\r")
        program.started(1, b"step 1: process p7")
        os.write(program.terminal, b"?\x1b" * 500)
        program.hang_up()
        assert program.ended() == 128 + signal.SIGHUP
    assert [path for path in folder.rglob("sandbox/*.pte") if "process p7" in path.read_text()]


def test_a_program_that_is_stopped_leaves_the_terminal_as_it_was_and_takes_it_again(folder: Path) -> None:
    with TerminalSession(("sandbox",), folder, UNDER_SHELL) as program:
        before = termios.tcgetattr(program.terminal)
        program.says(b"Sandbox")
        os.write(program.terminal, b"\x1a")
        assert b"\x1b[?1049l" in program.says(b"<stopped>"), "Ctrl+Z gives the terminal back"
        assert termios.tcgetattr(program.terminal) == before
        os.write(program.terminal, b"\n")
        assert b"\x1b[?1049h" in program.says(b"Sandbox"), "in the foreground all of it is drawn anew"
        for stop in (signal.SIGSTOP, signal.SIGTSTP):
            os.kill(program.processes()[1], stop)
            program.says(b"<stopped>")
            os.write(program.terminal, b"\n")
            program.says(b"\x1b[?1049h")
            program.says(b"Sandbox")
        os.write(program.terminal, b"\x11")
        assert program.ended() == 0, "one thread reads keys, and it ends"
        assert b"\x1b[?1049l" in program.shown
        assert termios.tcgetattr(program.terminal) == before


@pytest.mark.parametrize("leader", [DIRECTLY, UNDER_LEADER], ids=["alone", "under make"])
def test_a_signal_while_the_app_starts_is_heard_once_it_can_give_the_terminal_back(folder: Path, leader: str) -> None:
    with TerminalSession((), folder, leader) as program:
        app = program.started(1 if leader == DIRECTLY else 2)[-1]
        end = time.monotonic() + 20
        while not blocked(app) & 1 << (signal.SIGTERM - 1) and time.monotonic() < end:
            time.sleep(0.001)
        os.kill(app, signal.SIGTERM)
        assert program.ended() == 128 + signal.SIGTERM, "the app has ended in order"
        assert b"Traceback" not in program.shown
        assert program.shown.count(b"\x1b[?1049h") == program.shown.count(b"\x1b[?1049l") == 1


def blocked(process: int) -> int:
    """The signals that the main thread of a process holds back, as a mask."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)


def test_what_no_shell_would_let_go_on_does_not_stop(folder: Path) -> None:
    with TerminalSession(("sandbox",), folder, DIRECTLY) as program:
        program.says(b"Sandbox")
        os.write(program.terminal, b"\x1a\x11")
        program.says(b"\x1b[?1049l")
        program.says(b"\x1b[?1049h")
        os.write(program.terminal, b"\x11")  # the first may be lost with what was typed before
        assert program.ended() == 0


def test_the_end_of_a_terminal_is_a_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.drivers import linux_driver

    heard: list[int] = []
    monkeypatch.setattr(linux_driver, "getincrementaldecoder", getincrementaldecoder)
    monkeypatch.setattr(os, "kill", lambda _process, number: heard.append(number))
    read_any_bytes()
    decoder = vars(linux_driver)["getincrementaldecoder"]("utf-8")()
    assert decoder.decode(b"\xff a") == "\ufffd a"
    assert not decoder.decode(b"", final=True)
    assert not heard
    assert not decoder.decode(b"")
    assert heard == [signal.SIGHUP]


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_and_a_kill_leave_nobody(folder: Path, name: str) -> None:
    processes, words = LONG[name]
    with TerminalSession(words, folder, DIRECTLY) as program:
        program.started(processes)
        os.write(program.terminal, b"\x03")
        assert program.ended() == -signal.SIGINT
        assert b"Traceback" not in program.shown


def test_the_workers_of_a_program_that_was_killed_end_too(folder: Path) -> None:
    with TerminalSession(("replay", "--jobs", "2", RECORDINGS), folder, DIRECTLY) as program:
        first = program.started(3)[0]
        os.kill(first, signal.SIGKILL)
        assert program.ended() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_is_told_to_end_keeps_what_it_has_and_ends_by_the_signal(number: signal.Signals) -> None:
    work = f"""
import os
from tui.session.ending import in_order
def work():
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        print("kept", flush=True)
        raise OSError("the terminal is gone")
in_order(work)
"""
    ended = subprocess.run((sys.executable, "-c", work), capture_output=True, check=False)
    assert ended.returncode == -number
    assert ended.stdout == b"kept\n"


def test_whoever_is_interrupted_ends_by_the_signal_and_tidies_up() -> None:
    work = """
import atexit
from tui.session.ending import EXIT_INTERRUPTED, in_order
atexit.register(print, "tidy")
in_order(lambda: print("told") or EXIT_INTERRUPTED)
"""
    ended = subprocess.run((sys.executable, "-c", work), capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"told\ntidy\n", b"")


def test_whoever_is_interrupted_before_there_is_anything_to_end_sees_no_traceback() -> None:
    early = "import os, signal\nfrom tui.session import ending\n"
    ways = (
        early + "ending._watch_terminal = lambda: os.kill(os.getpid(), signal.SIGINT)\nending.in_order(lambda: 0)",
        "import tui.__main__, os, signal\nos.kill(os.getpid(), signal.SIGINT)",
    )
    for work in ways:
        ended = subprocess.run((sys.executable, "-c", work), capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_raised_in_the_middle_of_an_import(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {int(number)})\n    for _ in range(10_000):\n        pass\n"
        "except BaseException:\n    pass  # as C code may lose it\nprint('imported', flush=True)\n"
    )
    work = """
import time
from tui.session.ending import in_order
def work():
    import slow
    time.sleep(20)
in_order(work)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), str(tmp_path)))}
    ended = subprocess.run((sys.executable, "-c", work), capture_output=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (-number, b"imported\n")


def test_a_signal_ends_what_runs_in_a_task_of_asyncio() -> None:
    work = """
import asyncio, os, signal, time
from tui.session.ending import in_order
async def task():
    os.kill(os.getpid(), signal.SIGTERM)
async def waits():
    kept = asyncio.create_task(task())
    await asyncio.sleep(20)
in_order(lambda: asyncio.run(waits()))
"""
    begun = time.monotonic()
    ended = subprocess.run((sys.executable, "-c", work), capture_output=True, check=False, timeout=15)
    assert ended.returncode == -signal.SIGTERM, f"after {time.monotonic() - begun} s"


def test_who_ignores_a_hang_up_goes_on_ignoring_it() -> None:
    work = """
import os, signal
from tui.session.ending import in_order
signal.signal(signal.SIGHUP, signal.SIG_IGN)
in_order(lambda: os.kill(os.getpid(), signal.SIGHUP))
print("went on")
"""
    assert subprocess.run((sys.executable, "-c", work), capture_output=True, check=True).stdout == b"went on\n"
