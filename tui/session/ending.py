"""How a program is ended from outside: SIGTERM and SIGHUP unwind it as Ctrl+C does, so that it keeps what it has.

In the end it dies of the signal, Ctrl+C's included: whoever waits for it, a loop of a shell above all, sees that it was
interrupted, and a shell calls that 128 and the signal's number, 130.

The kernel tells a hang-up only to the leader of the terminal's session; everybody else learns of it when the leader
hands it on, or ends. A shell does one of the two at once. `make` does neither: it waits for what it has started. So a
program whose leader runs it without job control looks at the terminal itself.

While a module is being imported nothing is raised, but a moment later: C code there, msgspec's above all, where it
works out the types of what it will decode, loses an exception or ends in a segmentation fault.
"""

import _thread
import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it: somebody pressed Ctrl+C, and what is known was told or kept."""
BACK_OFF: Final = 0.05
"""Seconds between two reads of a terminal that is gone, until the program has ended."""


NOT_IN: Final = ("<frozen importlib", f"{os.sep}msgspec{os.sep}", f"{os.sep}typing.py")
"""Parts of the names of files in whose frames, or below them, nothing is raised …"""
LATER: Final = 0.01
"""… but so many seconds later."""


class EndedError(SystemExit):
    """Somebody wants the program to end. No Exception: nobody but the command line may take it for an accident.

    asyncio keeps whatever else a task raises for those who wait for the task, and goes on.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number: Final = number


def in_order(work: Callable[[], int]) -> int:
    """Work; SIGTERM and SIGHUP raise EndedError in it, once, and then end the program, whatever the work made of that.

    SIGINT raises KeyboardInterrupt, as ever. That ends the program by SIGINT, and so does EXIT_INTERRUPTED of the work.
    A signal that is ignored, as SIGHUP is under nohup, stays ignored.
    """
    if os.name != "posix":
        return work()
    asked_by: list[int] = []

    def asked(number: int, frame: FrameType | None) -> None:
        if not may_be_raised_in(frame):
            once_more(number)
            return
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice is not made to wait
        asked_by.append(number)
        raise EndedError(number)

    heeded = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) == signal.SIG_DFL]
    status = 0
    try:
        for number in heeded:
            signal.signal(number, asked)
        if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signal.SIGINT, interrupted)
        if signal.SIGHUP in heeded:
            _watch_terminal()
        status = work()
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    finally:
        if asked_by:
            end_by(asked_by[0])
    if status == EXIT_INTERRUPTED:
        end_by(signal.SIGINT)
    return status


def interrupted(number: int, frame: FrameType | None) -> None:
    """Ctrl+C, also where asyncio would cancel a task and hope that it does not go on."""
    if may_be_raised_in(frame):
        raise KeyboardInterrupt
    once_more(number)


def may_be_raised_in(frame: FrameType | None) -> bool:
    """Whether no code is under way that does not stand an exception out of nowhere."""
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in NOT_IN):
            return False
        frame = frame.f_back
    return True


def once_more(number: int) -> None:
    """Send the main thread, in which handlers run, the signal again in a moment."""
    thread = _thread.get_ident()

    def send() -> None:
        time.sleep(LATER)
        signal.pthread_kill(thread, number)

    _thread.start_new_thread(send, ())


def end_by(number: int) -> NoReturn:
    """End as if the signal had not been caught: whoever started this program sees in its status what ended it."""
    signal.signal(number, signal.SIG_DFL)  # whoever asks once more is not made to wait
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 - a signal ends a program without them
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # blocked


def hung_up() -> None:
    """Reading the terminal found its end: say so to this program, and do not let it read on at full speed."""
    from time import sleep

    os.kill(os.getpid(), signal.SIGHUP)
    sleep(BACK_OFF)


def _watch_terminal() -> None:
    """Let a hang-up arrive here too, where this program runs in the very process group of its session's leader."""
    if os.getsid(0) == os.getpid() or os.getsid(0) != os.getpgrp():
        return  # the kernel tells us, or a shell with job control decides
    import threading

    with suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        threading.Thread(target=_tell_of_hang_up, args=(terminal,), daemon=True).start()


def _tell_of_hang_up(terminal: int) -> None:
    """Wait, at no cost, until the other side of the terminal is closed. No signal is for this thread."""
    import select

    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    poll = select.poll()
    poll.register(terminal, 0)  # that it has gone is told in any case
    if any(event & select.POLLHUP for _, event in poll.poll()):
        os.kill(os.getpid(), signal.SIGHUP)
