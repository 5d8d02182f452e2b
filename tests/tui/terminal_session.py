"""A program as a terminal has it: in a session of its own, whose terminal can go away. Linux only: it asks /proc."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

BEGIN: Final = "import fcntl, os, signal, subprocess, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
DIRECTLY: Final = BEGIN + "os.execv(sys.argv[1], sys.argv[1:])"
"""The program leads the session itself, as in a new window."""
UNDER_LEADER: Final = BEGIN + (
    "signal.signal(signal.SIGHUP, lambda *_: None)\nos._exit(subprocess.call(sys.argv[1:]) % 256)"
)
"""The leader keeps a hang-up for itself and waits for the program, as make does."""
UNDER_SHELL: Final = (
    BEGIN
    + """
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
program, status = subprocess.Popen(sys.argv[1:], process_group=0), 0
os.tcsetpgrp(0, program.pid)
while os.WIFSTOPPED(status := os.waitpid(program.pid, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpgrp())
    os.write(1, b"<stopped>")
    os.read(0, 9)
    os.tcsetpgrp(0, program.pid)
    os.killpg(program.pid, signal.SIGCONT)
os._exit(os.waitstatus_to_exitcode(status) % 256)
"""
)
"""The leader has job control: once the program stops it says so, and lets it go on when it is sent a line."""
PATIENCE: Final = 60.0
HANG_UP: Final = 1 << (signal.SIGHUP - 1)


class TerminalSession:
    """A program on a pseudo-terminal that controls it; use it as a context manager."""

    def __init__(self, arguments: tuple[str, ...], home: Path, leader: str = DIRECTLY, **environment: str) -> None:
        self.terminal, inside = os.openpty()
        names = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
        self.leader = subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", leader, sys.executable, "-m", "tui", *arguments),
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=os.environ | dict.fromkeys(names, str(home)) | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
        )
        os.close(inside)
        self.shown = b""
        """What the program has written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.leader.wait()
        with contextlib.suppress(OSError):
            os.close(self.terminal)

    def processes(self) -> list[int]:
        """Every process of the session that is alive, in the order in which they were started."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                number, _, rest = stat.read_text().partition(" ")
                state, _, _, session = rest.rpartition(")")[2].split()[:4]
                if int(session) == self.leader.pid and state not in "ZX":
                    found.append(int(number))
        return sorted(found)

    def started(self, processes: int, says: bytes = b"") -> list[int]:
        """Wait until there are so many, the program heeds a hang-up, and `says` was shown."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.leader.poll() is None:
            self.read(0.02)
            found = self.processes()
            if len(found) >= processes and says in self.shown and any(map(heeds_hang_up, found)):
                return found
        raise TimeoutError(f"{self.processes()} said {self.shown!r}")

    def read(self, seconds: float) -> None:
        """Take what is written within that time."""
        end = time.monotonic() + seconds
        while select.select([self.terminal], [], [], max(end - time.monotonic(), 0))[0] and time.monotonic() < end:
            try:
                chunk = os.read(self.terminal, 1 << 16)
            except OSError:  # nobody is left on the other side
                return
            self.shown += chunk

    def says(self, what: bytes) -> bytes:
        """Wait for it; everything up to there is returned, and the next call looks behind it."""
        end = time.monotonic() + PATIENCE
        while what not in self.shown:
            if time.monotonic() > end:
                raise TimeoutError(f"no {what!r} in {self.shown!r}")
            self.read(0.02)
        before, found, self.shown = self.shown.partition(what)
        return before + found

    def hang_up(self) -> None:
        """The window is closed."""
        os.close(self.terminal)

    def ended(self) -> int:
        """Wait until the leader and everybody else has ended; the leader's status."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                self.read(0.02)
            if self.leader.poll() is not None and not self.processes():
                return self.leader.returncode
            time.sleep(0.005)
        raise TimeoutError(f"{self.processes()} are left")


def heeds_hang_up(process: int) -> bool:
    """Whether a process that runs this program has got so far as to catch SIGHUP."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return words[1:3] == [b"-m", b"tui"] and bool(int(caught.split()[1], 16) & HANG_UP)
