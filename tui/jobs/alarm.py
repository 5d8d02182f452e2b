"""An exception after some seconds, in the middle of things, where the system has such an alarm."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def raising_after(seconds: float, error: type[BaseException]) -> Iterator[None]:
    """Raise `error` in here after so many seconds of real time; without setitimer() (Windows) never."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def up(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise error

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
