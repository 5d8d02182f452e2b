"""What ends a search besides the number of states: memory, and somebody who presses Ctrl+C."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.jobs.alarm import raising_after

if TYPE_CHECKING:
    from model.search.bfs import SearchProgress

MIB: Final = 1 << 20
TELLING: Final = 0.7
"""Seconds in which somebody who has pressed Ctrl+C is told what is known."""


class Limits:
    """Asked now and then while a search runs; `ended` says why it was not to go on."""

    def __init__(self, most_memory: int, show: "Callable[[SearchProgress], None]") -> None:
        self.most_memory: Final = most_memory
        """MiB that the process may take."""
        self.show: Final = show
        self.ended = ""
        self.interrupted = False
        """Somebody pressed Ctrl+C."""

    def allow(self, progress: "SearchProgress") -> bool:
        """Whether the search may go on."""
        self.show(progress)
        if not self.ended and memory() > self.most_memory:
            self.ended = tr("it took more than {most} MiB").format(most=self.most_memory)
        elif not self.ended and with_growth(progress) > self.most_memory:
            self.ended = tr("it was about to take more than {most} MiB").format(most=self.most_memory)
        return not self.ended

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first Ctrl+C ends the search in good order; what is known by then is told. The second one is as usual."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.ended, self.interrupted = tr("you interrupted it"), True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """What is known is told; KeyboardInterrupt where Ctrl+C has ended the search and that takes too long.

        Large searches take many seconds to be told of: the ways into what they have found must be found first.
        """
        with raising_after(TELLING, KeyboardInterrupt) if self.interrupted else contextlib.nullcontext():
            yield


def with_growth(progress: "SearchProgress") -> float:
    """The MiB that this process is about to take, if a search goes on; 0 where no table of it will grow soon."""
    return memory_now() + progress.growth / MIB if progress.growth else 0.0


def memory_now() -> float:
    """The MiB that this process takes now; where the system does not say, the most that it has taken."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB
    except (OSError, ValueError, IndexError, AttributeError):
        return memory()


def memory() -> float:
    """The most MiB that this process has taken; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return taken / MIB if sys.platform == "darwin" else taken / 1024


def limit_memory(most: int) -> None:
    """Let an allocation of this process fail beyond `most` bytes of address space, before the machine begins to swap.

    Where the system has no such limit, do without.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (least, hard))
