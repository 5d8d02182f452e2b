"""Stopping and going on as a shell wants it: Ctrl+Z and `fg`, `kill -TSTP`, and stops of which no program hears.

Textual's driver does both in signal handlers, in the middle of whatever goes on. It would wait for ever where that is
the thread that writes being handed something. After a SIGSTOP it takes the terminal without having given it back: a
second thread reads keys, and in the end the terminal is left without echo. And it stops by SIGSTOP, also where no shell
is there that would ever let the program go on; the kernel does not let SIGTSTP do that.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from textual.driver import Driver

from tui.session.platform_modules import TERMINAL_MODULES, missing_module

PROCESS_GROUP: Final = 0
"""Everybody whom the terminal would stop, for kill(2): `make`, say, that runs the app, too."""


class JobControl:
    """Mixed into Textual's driver for Linux. Everything happens between two turns of the app's loop."""

    _loop: asyncio.AbstractEventLoop | None = None
    _has_terminal = False
    _is_away = False
    """Stopped, or waiting to be in the foreground; whoever stopped takes the terminal again."""

    def start_application_mode(self) -> None:
        """Take the terminal."""
        self._loop = asyncio.get_running_loop()
        cast("Any", super()).start_application_mode()
        self._has_terminal = True

    def stop_application_mode(self) -> None:
        """Give it back as it was."""
        self._has_terminal = False
        cast("Any", super()).stop_application_mode()

    def write(self, data: str) -> None:
        """Write to the terminal, unless there is none to write to: nobody would take it from the writer's queue."""
        writer = self._textual._writer_thread  # noqa: SLF001 - Textual's own
        if writer is None or writer.is_alive():
            cast("Any", super()).write(data)

    def stop_for_shell(self, whom: int) -> None:
        """Give the terminal back and stop, until somebody lets us go on in the foreground. `whom`: as for kill(2)."""
        if not self._has_terminal:
            return
        self._is_away = True
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            self._textual.suspend_application_mode()
            os.kill(whom, signal.SIGTSTP)
            self._await_foreground()
            self._take_again()
        finally:
            signal.signal(signal.SIGTSTP, ours)
            self._is_away = False

    def _sigtstp_application(self, *_: object) -> None:
        self._soon(partial(self.stop_for_shell, os.getpid()))

    def _sigcont_application(self, *_: object) -> None:
        if not self._is_away:
            self._soon(self._gone_on)

    def _soon(self, work: Callable[[], None]) -> None:
        """In the next turn of the loop, if the app is on the screen."""
        if self._has_terminal and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    def _gone_on(self) -> None:
        """After a stop that came without a warning: the terminal may have been somebody else's in between."""
        if not self._has_terminal:
            return
        self._is_away = True
        try:
            self._await_foreground()
            self._textual.suspend_application_mode()
            self._take_again()
        finally:
            self._is_away = False

    def _take_again(self) -> None:
        self._textual._must_signal_resume = True  # noqa: SLF001 - all is to be drawn anew
        self._textual.resume_application_mode()

    def _await_foreground(self) -> None:
        """In the background the kernel stops whoever changes the terminal, were it to nothing new."""
        import termios

        terminal = self._textual.fileno
        while True:
            try:
                termios.tcsetattr(terminal, termios.TCSANOW, termios.tcgetattr(terminal))
            except termios.error as error:
                if error.args[0] == errno.EINTR:
                    continue
            return

    @property
    def _textual(self) -> Any:
        return self


def with_job_control(driver: type[Driver]) -> type[Driver]:
    """The driver under job control, where its terminal and this system have such a thing."""
    if not hasattr(driver, "_sigtstp_application") or missing_module(*TERMINAL_MODULES):
        return driver
    return type("JobControlDriver", (JobControl, driver), {})
