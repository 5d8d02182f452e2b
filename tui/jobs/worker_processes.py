"""Worker processes that outlive nobody: neither their parent, nor the wish for what they compute."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, Final

CONTEXT: Final = get_context("spawn")
"""Fresh interpreters: a forked one would inherit whatever threads and descriptors this one has."""


def nothing() -> None:
    """Work for a process that is only to begin."""


@contextmanager
def worker_processes(
    jobs: int, begin: Callable[..., None] = nothing, *arguments: object
) -> Iterator[ProcessPoolExecutor]:
    """So many interpreters, each of which has first called `begin(*arguments)`.

    Whoever leaves by an exception, also by closing a generator, ends them at once. The signals of the terminal are
    their parent's affair.
    """
    with ProcessPoolExecutor(jobs, CONTEXT, _begin, (begin, arguments)) as pool:
        try:
            with _signals_kept_off():
                pool.submit(nothing)  # starts them
            yield pool
        except BaseException:
            kill_workers(pool)
            raise


def kill_workers(pool: ProcessPoolExecutor) -> None:
    """End them whatever they do; Python 3.14 has a method for that."""
    workers: dict[int, Any] = getattr(pool, "_processes", None) or {}
    for worker in list(workers.values()):
        worker.kill()
    pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _signals_kept_off() -> Iterator[None]:
    """What is started here never hears of Ctrl+C or a hang-up; this process does, afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
