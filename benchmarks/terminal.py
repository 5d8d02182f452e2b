"""A terminal in memory that runs a program and measures it from outside.

The program gets its own session on a pseudo-terminal; this process plays the terminal. It answers what a real
terminal is asked, stamps every chunk of output when it is read, and lets pyte draw the chunks only after the
program has gone quiet, so that emulating the screen never disturbs what is being timed. Linux only: CPU time is
read from the program's process clock.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import pyte

now = time.perf_counter

KEYS: Final = {
    "enter": b"\r",
    "tab": b"\t",
    "escape": b"\x1b",
    "space": b" ",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
}

ESCAPE: Final = re.compile(
    rb"""
      \x1b\[ (?P<csi>[0-?]*[ -/]*[@-~])
    | \x1b\] (?P<osc>[^\x07\x1b]*) (?:\x07|\x1b\\)
    | \x1b[PX^_] (?P<string>.*?) \x1b\\
    | \x1b [ -/]* [0-OQ-WYZ\\`-~]
    """,
    re.VERBOSE | re.DOTALL,
)
# What pyte 0.8 would print as text: private parameters, DECRQM, cursor shapes, window operations.
NOT_FOR_PYTE: Final = re.compile(rb"[<=>][0-9;:]*[@-~]|\?[0-9;]*u|[0-9;?]*\$[@-~]|[0-9;]*[stqSTbx ]|[0-9;]* q")
FRAME: Final = b"?2026h"
"""Begin synchronized update: one of these a frame."""
LONGEST_ESCAPE: Final = 4096
LONGEST_TAIL: Final = 1 << 14


class Screen:
    """What the terminal shows, and its answers to queries."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.frames = 0
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._unfinished = b""

    def receive(self, chunk: bytes) -> tuple[bytes, bytes]:
        """At once: (what can be drawn later, what to answer now).

        An escape sequence that was cut in two is kept for the next time.
        """
        data = self._unfinished + chunk
        self._unfinished = b""
        last = data.rfind(b"\x1b")
        if last >= 0 and len(data) - last < LONGEST_ESCAPE and not ESCAPE.match(data, last):
            data, self._unfinished = data[:last], data[last:]
        answers = b""
        for escape in ESCAPE.finditer(data):
            if escape["csi"] is not None:
                self.frames += escape["csi"] == FRAME
                answers += self._answer(escape["csi"])
            elif escape["osc"] in {b"10;?", b"11;?"}:
                answers += b"\x1b]%s;rgb:8080/8080/8080\x1b\\" % escape["osc"][:2]
        return data, answers

    def _answer(self, csi: bytes) -> bytes:
        """What an xterm with synchronized output answers to a control sequence; nothing if it asks nothing."""
        if mode := re.fullmatch(rb"\?(\d+)\$p", csi):
            return b"\x1b[?%s;%d$y" % (mode[1], 2 if mode[1] in {b"2026", b"2004", b"1049", b"1006"} else 0)
        replies = {
            b"c": b"\x1b[?62;22c",
            b">c": b"\x1b[>1;10;0c",
            b">q": b"\x1bP>|ptescope-bench\x1b\\",
            b"5n": b"\x1b[0n",
            b"6n": b"\x1b[1;1R",
            b"14t": b"\x1b[4;%d;%dt" % (self.rows * 20, self.columns * 10),
            b"18t": b"\x1b[8;%d;%dt" % (self.rows, self.columns),
        }
        return replies.get(csi, b"")

    def draw(self, data: bytes) -> None:
        """Later: let the screen show what was received."""
        self._stream.feed(ESCAPE.sub(self._for_pyte, data))

    @staticmethod
    def _for_pyte(escape: re.Match[bytes]) -> bytes:
        csi = escape["csi"]
        if csi is None:
            return b"" if escape["osc"] is not None or escape["string"] is not None else escape[0]
        if csi == b"?1049h":
            return b"\x1b[m\x1b[2J\x1b[H"
        return b"" if NOT_FOR_PYTE.fullmatch(csi) or csi.startswith(b"?2026") else escape[0]

    @property
    def text(self) -> str:
        """The screen as lines of text."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def cells(self) -> list[pyte.screens.Char]:
        """Every cell that something was written to, with its looks."""
        return [cell for line in self._screen.buffer.values() for cell in line.values()]


class Cost(NamedTuple):
    """What something cost, from its cause to the last byte that it made the program write."""

    milliseconds: float
    cpu_ms: float
    bytes: int
    frames: int


class Chunk(NamedTuple):
    """Output as it came in."""

    arrived: float
    cpu_ms: float
    """CPU time that the program had used by then."""
    drawable: bytes


class Program:
    """A program on a pseudo-terminal, its home directory empty; use it as a context manager."""

    def __init__(
        self,
        argv: Sequence[str],
        columns: int = 120,
        rows: int = 40,
        environment: Mapping[str, str] | None = None,
        *,
        at_home: bool = False,
    ) -> None:
        self.screen = Screen(columns, rows)
        self._received: list[Chunk] = []
        """What is not drawn yet."""
        self._last_byte = now()
        self._bytes = 0
        self.tail = b""
        """What was written last, as it came."""
        self._home = tempfile.TemporaryDirectory(prefix="ptescope-bench-")
        self._terminal, inside = os.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, columns * 10, rows * 20))
        self.started = now()
        self._process = subprocess.Popen(
            argv,
            cwd=self._home.name if at_home else None,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=_environment(self._home.name) | dict(environment or {}),
            start_new_session=True,
            close_fds=True,
        )
        os.close(inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, politely at first."""
        for hint in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            self._process.send_signal(hint)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
                break
        os.close(self._terminal)
        self._home.cleanup()

    def send(self, data: bytes) -> None:
        """Type bytes, whatever they are."""
        os.write(self._terminal, data)

    def resize(self, columns: int, rows: int) -> None:
        """The window is now that large; the program hears of it as from any terminal."""
        size = struct.pack("HHHH", rows, columns, columns * 10, rows * 20)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)
        self.screen = Screen(columns, rows)
        self._process.send_signal(signal.SIGWINCH)

    def interrupt(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @property
    def bytes_written(self) -> int:
        """What the program has written so far."""
        return self._bytes

    def end(self, by: signal.Signals, timeout: float = 10.0) -> tuple[int, bytes]:
        """Send a signal; the exit status, and what the program still wrote."""
        self._process.send_signal(by)
        left = b""
        with contextlib.suppress(OSError):
            while ready := select.select([self._terminal], [], [], timeout)[0]:
                left += os.read(ready[0], 1 << 16)
        return self._process.wait(timeout=timeout), left

    # -- what it has used ---------------------------------------------------------------------

    @property
    def cpu_ms(self) -> float:
        """CPU time of all threads since the start, from clock_getcpuclockid(3)."""
        return time.clock_gettime((~self._process.pid << 3) | 2) * 1000

    @property
    def resident_kib(self) -> int:
        """VmRSS."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0])

    def _is_runnable(self) -> bool:
        """Some thread runs, or waits for a CPU or a disk."""
        return any(
            stat.read_text().rpartition(")")[2].split()[0] in "RD"
            for stat in Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        )

    # -- listening ----------------------------------------------------------------------------

    def _read(self, until: float) -> bool:
        """Take one chunk if one comes before `until`, and answer its queries."""
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, until - now()))
        if not ready:
            return False
        try:
            chunk = os.read(self._terminal, 1 << 16)
        except OSError:  # how a pseudo-terminal says that nobody is left on the other side
            chunk = b""
        if not chunk:
            raise ProgramEndedError(self._process.wait(timeout=2), self.shown())
        self._last_byte = now()
        self._bytes += len(chunk)
        self.tail = (self.tail + chunk)[-LONGEST_TAIL:]
        drawable, answers = self.screen.receive(chunk)
        self._received.append(Chunk(self._last_byte, self.cpu_ms, drawable))
        if answers:
            os.write(self._terminal, answers)
        return True

    def settle(self, quiet: float = 0.05, timeout: float = 10.0) -> None:
        """Wait until nothing has been written for `quiet` seconds, next to no CPU was used and no thread wants any."""
        deadline = now() + timeout
        since, cpu = now(), self.cpu_ms
        while now() < deadline:
            if self._read(since + quiet) or self._is_runnable() or self.cpu_ms - cpu > 2:
                since, cpu = now(), self.cpu_ms
            else:
                return

    def shown(self) -> str:
        """The screen's text now."""
        for chunk in self._received:
            self.screen.draw(chunk.drawable)
        self._received.clear()
        return self.screen.text

    # -- measuring ----------------------------------------------------------------------------

    def first_frame(self, ready: str, timeout: float = 20.0) -> Cost:
        """From the start to the chunk with which the screen first matched the regular expression `ready`."""
        deadline = now() + timeout
        while now() < deadline:
            self.settle(quiet=0.2)
            for position, chunk in enumerate(self._received):
                self.screen.draw(chunk.drawable)
                if re.search(ready, self.screen.text, re.DOTALL):
                    del self._received[: position + 1]
                    return Cost((chunk.arrived - self.started) * 1000, chunk.cpu_ms, self._bytes, self.screen.frames)
            self._received.clear()
        raise TimeoutError(f"the screen never showed {ready!r}:\n{self.screen.text}")

    def press(self, key: str) -> Cost:
        """From a key to the end of what it causes."""
        self.settle()
        cpu, size, frames, pressed = self.cpu_ms, self._bytes, self.screen.frames, now()
        os.write(self._terminal, KEYS.get(key) or key.encode())
        self.settle()
        answered = max(self._last_byte - pressed, 0.0) * 1000
        return Cost(answered, self.cpu_ms - cpu, self._bytes - size, self.screen.frames - frames)

    def hold(self, key: str, times: int, hertz: float) -> Cost:
        """A key held down: it comes `times` times at this rate, whether the program keeps up or not."""
        self.settle()
        cpu, size, frames, begun = self.cpu_ms, self._bytes, self.screen.frames, now()
        for number in range(times):
            os.write(self._terminal, KEYS.get(key) or key.encode())
            due = begun + (number + 1) / hertz
            while now() < due:
                self._read(due)
        self.settle()
        elapsed = (self._last_byte - begun) * 1000
        return Cost(elapsed, self.cpu_ms - cpu, self._bytes - size, self.screen.frames - frames)

    def idle(self, seconds: float) -> Cost:
        """What doing nothing costs, a second."""
        self.settle(quiet=0.3)
        cpu, size, frames, end = self.cpu_ms, self._bytes, self.screen.frames, now() + seconds
        while now() < end:
            self._read(end)
        return Cost(
            seconds * 1000,
            (self.cpu_ms - cpu) / seconds,
            round((self._bytes - size) / seconds),
            round((self.screen.frames - frames) / seconds),
        )


class ProgramEndedError(Exception):
    """The program ended while it was being measured."""

    def __init__(self, status: int, screen: str) -> None:
        self.status = status
        super().__init__(f"the program ended with status {status}; its screen was:\n{screen}")


def _environment(home: str) -> dict[str, str]:
    """This environment with a capable terminal and nothing of the user's own."""
    leave_out = re.compile(r"LINES|COLUMNS|NO_COLOR|TERM_PROGRAM|TMUX|STY|XDG_.*|PYTHONDONTWRITEBYTECODE|TEXTUAL.*")
    kept = {name: value for name, value in os.environ.items() if not leave_out.fullmatch(name)}
    return kept | {"HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
