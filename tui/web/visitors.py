"""Visitors and their sessions: a program of its own for each, which outlives a reload and a short disconnection."""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from lessons.i18n.lesson_folders import VARIABLE
from tui.jobs.subprocess_job import python_path

if TYPE_CHECKING:
    from collections.abc import Sequence

LINGER: Final = 180.0
"""Seconds that a session waits for its browser to come back."""
POLITE: Final = 4.0
"""Seconds in which a session ends by itself when it is told to."""
IDLE: Final = 3600.0
"""Seconds without a key after which a session ends; what was done is kept."""
LARGEST_MESSAGE: Final = 1 << 16
"""Bytes of one message from a browser: more than any key, less than any harm."""
PASTE: Final = 1 << 15
"""Characters that somebody may send at once …"""
TYPED: Final = 1 << 13
"""… and in a second after that: no hand and no mouse sends as much, and what a session has not read takes memory."""
WIDEST, HIGHEST = 500, 200
MODES: Final = b"\x1b[?1049h\x1b[?1000h\x1b[?1003h\x1b[?1015h\x1b[?1006h\x1b[?25l\x1b[?2004h"
"""What the app tells a terminal when it starts; a browser that comes back is told it again."""
KEPT: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "SYSTEMROOT", "PTESCOPE_LANGUAGE", "PTESCOPE_TRACEBACK")
"""What of this program's environment a session may know."""


class VisitorLimits(NamedTuple):
    """What one visitor may take of this machine, and how many there may be."""

    sessions: int = 60
    memory: int = 1024
    """MiB of a session, its searches included one by one."""
    search: int = 60
    """Seconds of CPU time of one search."""


class Visitor:
    """One browser: its folder, and its session if one is running."""

    def __init__(self, token: str, folder: Path, name: str = "") -> None:
        self.token: Final = token
        self.folder: Final = folder
        self.name = name
        self.service: SessionService | None = None
        self.socket: web.WebSocketResponse | None = None
        self.came = self.heard = self.typed = time.monotonic()
        self.refused = 0
        """Times that there was no room for a session."""
        self._typed_until = 0.0
        """When all that was typed would have been typed at the pace that is allowed."""

    async def may_type(self, characters: int) -> None:
        """Wait until so many more characters may be typed: meanwhile nothing more is read from the browser."""
        now = time.monotonic()
        self._typed_until = max(self._typed_until, now - PASTE / TYPED) + characters / TYPED
        if self._typed_until > now:
            await asyncio.sleep(self._typed_until - now)

    @property
    def key(self) -> str:
        """Tells visitors apart without being their token."""
        return blake2b(self.token.encode(), digest_size=6).hexdigest()

    @property
    def is_running(self) -> bool:
        """Whether a session runs."""
        return self.service is not None and self.service.is_running


class SessionService(AppService):
    """A session's program: started without a shell, in a folder and a process group of its own."""

    def __init__(
        self, words: "Sequence[str]", visitor: Visitor, limits: VisitorLimits, downloads: DownloadManager
    ) -> None:
        super().__init__(
            "",
            write_bytes=self._to_browser,
            write_str=self._to_browser_text,
            close=self._closed,
            download_manager=downloads,
        )
        self.words: Final = list(words)
        self.visitor: Final = visitor
        self.limits: Final = limits
        self.ended = False
        """The app itself has ended: its browser shows so, and a reload begins a new session."""

    @property
    def is_running(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The program's process; 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        """Nothing of the teacher's own environment but what the program needs to speak and to be found."""
        whole = super()._build_environment(width, height)
        kept = {
            name: value
            for name, value in whole.items()
            if name in KEPT or name.startswith(("TEXTUAL_", "LC_")) or name in {"COLUMNS", "ROWS"}
        }
        folder = str(self.visitor.folder)
        return kept | {
            **python_path(),
            "HOME": folder,
            "TMPDIR": folder,
            "TERM_PROGRAM": "textual",
            "PTESCOPE_SESSION": folder,
            "PTESCOPE_SESSION_MEMORY": str(self.limits.memory),
            "PTESCOPE_SEARCH_SECONDS": str(self.limits.search),
            **({VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}),
        }

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self.visitor.folder.mkdir(parents=True, exist_ok=True)
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *self.words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=self._build_environment(width, height),
            cwd=self.visitor.folder,
            start_new_session=True,
        )
        self._stdin = process.stdin
        return process

    async def _to_browser(self, data: bytes) -> None:
        """What the app draws; while no browser listens it is dropped, and drawn again when one comes back."""
        socket = self.visitor.socket
        if socket is not None and not socket.closed:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_bytes(data)

    async def _to_browser_text(self, data: str) -> None:
        socket = self.visitor.socket
        if socket is not None and not socket.closed:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_str(data)

    async def _closed(self) -> None:
        """The app has ended by itself."""
        self.ended = True
        socket = self.visitor.socket
        if socket is not None and not socket.closed:
            await socket.close(code=4000, message=b"ended")

    async def draw_again(self, width: int, height: int) -> None:
        """A browser is back: its terminal knows nothing of what was drawn."""
        await self._to_browser(MODES)
        await self.set_terminal_size(width, max(height - 1, 1))
        await self.set_terminal_size(width, height)

    async def end(self) -> None:
        """End the program politely, then surely, with everything that it has started."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLITE):  # one that reads nothing more does not take the message either
                    await self.send_meta({"type": "quit"})
                    await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class Visitors:
    """Everybody who has come, and the sessions that run."""

    def __init__(self, words: "Sequence[str]", limits: VisitorLimits, changed: Callable[[], None]) -> None:
        self.words: Final = words
        self.limits: Final = limits
        self.downloads: Final = DownloadManager()
        self.known: Final[dict[str, Visitor]] = {}
        self.refused = 0
        self.changed: Final = changed

    @staticmethod
    def new_token() -> str:
        """A token that nobody guesses."""
        return secrets.token_urlsafe(24)

    @property
    def running(self) -> list[Visitor]:
        """Those with a session."""
        return [visitor for visitor in self.known.values() if visitor.is_running]

    def visitor(self, token: str, folder: Path, name: str = "") -> Visitor:
        """The visitor with a token, known or new."""
        if token not in self.known:
            self.known[token] = Visitor(token, folder, name)
            self.changed()
        visitor = self.known[token]
        visitor.heard = time.monotonic()
        visitor.name = name or visitor.name
        return visitor

    async def attach(self, visitor: Visitor, socket: web.WebSocketResponse, width: int, height: int) -> bool:
        """Let a browser see its session, which is begun if there is none. False where there is no room for one."""
        before, visitor.socket = visitor.socket, socket
        if before is not None and not before.closed:
            await before.close(code=4001, message=b"elsewhere")
        if visitor.service is not None and visitor.service.is_running and not visitor.service.ended:
            await visitor.service.draw_again(width, height)
            return True
        if len(self.running) >= self.limits.sessions:
            visitor.refused += 1
            self.refused += 1
            if not visitor.name:
                self.forget(visitor)
            self.changed()
            return False
        visitor.service = SessionService(self.words, visitor, self.limits, self.downloads)
        await visitor.service.start(width, height)
        self.changed()
        return True

    def detach(self, visitor: Visitor, socket: web.WebSocketResponse) -> None:
        """The browser has gone; its session waits for it."""
        if visitor.socket is socket:
            visitor.socket = None
            visitor.heard = time.monotonic()
            self.changed()

    async def tidy(self) -> None:
        """End the sessions that nobody has come back to, and those in which nobody types."""
        now = time.monotonic()
        for visitor in self.running:
            gone = visitor.socket is None and now - visitor.heard > LINGER
            if (gone or now - visitor.typed > IDLE) and visitor.service is not None:
                await visitor.service.end()
                self.changed()
        for visitor in [*self.known.values()]:
            if not visitor.name and not visitor.is_running and now - visitor.heard > LINGER:
                self.forget(visitor)

    def forget(self, visitor: Visitor) -> None:
        """Make room for others. Whoever comes back finds the progress, which is in a folder."""
        self.known.pop(visitor.token, None)
        self.changed()

    async def end(self) -> None:
        """End every session."""
        await asyncio.gather(*(visitor.service.end() for visitor in self.known.values() if visitor.service is not None))


def taken(pid: int) -> tuple[int, int]:
    """MiB of memory and seconds of CPU time that a process has taken; zeros where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        ticks = os.sysconf("SC_CLK_TCK")
        return memory // 1024, sum(int(number) for number in stat[11:15]) // ticks
    except (OSError, StopIteration, ValueError, AttributeError):
        return 0, 0
