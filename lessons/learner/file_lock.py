"""A lock between programs, by a file that nobody reads. The system takes it back from a program that dies."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PATIENCE: float = 2.0
"""Seconds to wait for whoever has it: what is done under it takes some milliseconds."""
PAUSE: Final = 0.02

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Take it if nobody has it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    try:
        import fcntl
    except ModuleNotFoundError:  # as under WebAssembly, where no other program is there to be locked out

        def try_lock(descriptor: int) -> bool:
            """Take it: a Python without fcntl has no lock that would end with its program."""
            return descriptor >= 0

    else:

        def try_lock(descriptor: int) -> bool:
            """Take it if nobody has it."""
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


@contextlib.contextmanager
def locked(path: Path, patience: float | None = None) -> Iterator[None]:
    """Hold the lock of a file, which is made and stays.

    Raises TimeoutError if somebody else keeps it, OSError where the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        while not try_lock(descriptor):
            if time.monotonic() > until:
                raise TimeoutError(f"{path} is locked")
            time.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)
