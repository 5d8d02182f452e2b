"""Worker processes that outlive nobody: neither their parent, nor the wish for what they compute.

multiprocessing starts them, and the process that watches over their semaphores, by `python -c`, which puts the current
folder first on the path: a `pickle.py` that happens to lie there would be run. PYTHONSAFEPATH keeps it off.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SAFE_PATH: Final = "PYTHONSAFEPATH"


@contextmanager
def _apart() -> Iterator[None]:
    """What is started here imports nothing from the current folder, and never hears of Ctrl+C or a hang-up."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    endings = {signal.SIGINT, signal.SIGHUP} if hasattr(signal, "pthread_sigmask") else set()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, endings) if endings else set()
    try:
        yield
    finally:
        if endings:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end this process are heeded when the block is over: nothing is left half done.

    To block them does not do that: another thread takes them, and Python's handler runs in this one all the same.
    """
    if current_thread() is not main_thread():
        yield
        return
    heard: list[int] = []
    handlers = {
        number: signal.signal(number, lambda heard_now, _: heard.append(heard_now))
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            signal.raise_signal(number)


class WorkerProcess(SpawnProcess):
    """An interpreter that works for this one."""

    def start(self) -> None:
        """Start it, apart from the current folder and from the terminal's signals."""
        with _undisturbed(), _apart():
            super().start()


class WorkerContext(SpawnContext):
    """Fresh interpreters: a forked one would inherit whatever threads and descriptors this one has."""

    Process = WorkerProcess

    def Queue(self, maxsize: int = 0) -> "Queue[Any]":  # noqa: N802 - multiprocessing's name
        """A queue that all of them can use; the first may start the process that watches over semaphores."""
        with _undisturbed(), _apart():
            return super().Queue(maxsize)


CONTEXT: Final = WorkerContext()


def nothing() -> None:
    """Work for a process that is only to begin."""


@contextmanager
def worker_processes(
    jobs: int, begin: Callable[..., None] = nothing, *arguments: object
) -> Iterator[ProcessPoolExecutor]:
    """So many interpreters, each of which has first called `begin(*arguments)`.

    Whoever leaves by an exception, also by closing a generator, ends them at once.
    """
    with _undisturbed(), _apart():  # its queues start the process that watches over semaphores
        made = ProcessPoolExecutor(jobs, CONTEXT, _begin, (begin, arguments))
    with made as pool:
        try:
            with _undisturbed():
                pool.submit(nothing)  # starts its thread; one that is half started cannot be ended
            yield pool
        except BaseException:
            kill_workers(pool)
            raise


def kill_workers(pool: ProcessPoolExecutor) -> None:
    """End them whatever they do, also one that was just being started, of which the pool does not know yet."""
    for worker in active_children():
        worker.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _begin(begin: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """A worker process begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    begin(*arguments)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
