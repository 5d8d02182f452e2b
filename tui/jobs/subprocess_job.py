"""Long work in an interpreter of its own, so that the screen stays alive: what is told there is yielded here.

Not by multiprocessing: under Textual the standard streams are no files that it could hand on. Both ends are this
program, so what goes through the pipes is pickled.
"""

import asyncio
import contextlib
import os
import pickle
import struct
import sys
from collections.abc import AsyncGenerator, Callable
from importlib import import_module
from threading import Thread
from typing import Any, BinaryIO, Final

from model.text.words import whole_number

LENGTH: Final = struct.Struct("!Q")


class ProcessGoneError(Exception):
    """The other process ended before its work did; the message says what it left behind."""


def python_module(name: str) -> list[str]:
    """The words that start a module of this program in an interpreter of its own.

    `-P` keeps the current folder off the path: a `model.py` that happens to lie there is never run.
    """
    return [sys.executable, "-P", "-m", name]


def python_path() -> dict[str, str]:
    """What such an interpreter must know to find what this one finds."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


Work = Callable[..., None]
"""A function of a module; its first argument is what it tells things with."""


async def run_in_process(work: Work, *arguments: object) -> AsyncGenerator[Any]:
    """Each value that `work(tell, *arguments)` tells. Ends the process when closed.

    Raises ProcessGoneError where the process was killed or failed.
    """
    process = await asyncio.create_subprocess_exec(
        *python_module(__name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | python_path(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with contextlib.suppress(ConnectionError):  # it is gone: reading says so
            process.stdin.write(_framed((work.__module__, work.__name__, arguments)))
            await process.stdin.drain()
        while True:
            try:
                (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                if not size:
                    return
                value = await process.stdout.readexactly(size)
            except asyncio.IncompleteReadError:
                left = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
                raise ProcessGoneError(left[-1] if left else "it was killed") from None
            yield pickle.loads(value)  # noqa: S301 - from our own process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - else it complains at exit


def _framed(value: object) -> bytes:
    pickled = pickle.dumps(value)
    return LENGTH.pack(len(pickled)) + pickled


def limit_time() -> None:
    """End with a word where this work may take only so many seconds of CPU time: a visitor of a served app."""
    seconds = os.environ.get("PTESCOPE_SEARCH_SECONDS", "")
    if whole_number(seconds) is None:
        return
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource
        import signal

        def up(*_: object) -> None:
            sys.stderr.write(f"it may take {seconds} seconds here, and they are up\n")
            sys.stderr.flush()
            os._exit(1)

        signal.signal(signal.SIGXCPU, up)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))


def end_with_reader() -> None:
    """End when the process that asked is gone, killed or not: with it goes the other end of the pipe."""
    os.read(sys.__stdin__.fileno(), 1)  # type: ignore[union-attr]
    os._exit(0)


def serve(given: BinaryIO, taken: BinaryIO) -> None:
    """The other process: do the work, hand on what it tells, say that it is done."""
    limit_time()
    (size,) = LENGTH.unpack(given.read(LENGTH.size))
    module, name, arguments = pickle.loads(given.read(size))  # noqa: S301 - from our own process
    Thread(target=end_with_reader, daemon=True).start()

    def tell(value: object) -> None:
        taken.write(_framed(value))
        taken.flush()

    try:
        getattr(import_module(module), name)(tell, *arguments)
        taken.write(LENGTH.pack(0))
        taken.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # nobody listens any more


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
