"""Which calls this machine forbids: a container's seccomp filter, a sysctl, a kernel that was built without them.

What is forbidden is tried once, in a process of its own, before any script needs it: what comes back is no answer of
the memory manager, so it must not be compared with the model's.
"""

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Final

from tui.live import system_calls as kernel
from tui.live.workers import WorkerLostError, Workers, address

PAGE: Final = 16


def pin(workers: Workers) -> None:
    """A fixed buffer of io_uring, and one transfer."""
    workers.pin("r", "p0", PAGE, 1)
    workers.device("r", 0, 1)


def get(workers: Workers) -> None:
    """A page in a pipe."""
    workers.get("g", "p0", PAGE, 1)


def remote(workers: Workers) -> None:
    """A byte of another process's memory."""
    workers.start("p1")
    workers.processes["p1"].call("process_vm", workers.processes["p0"].pid, address(PAGE), None)


def force(workers: Workers) -> None:
    """A byte through /proc/PID/mem."""
    workers.start("p1")
    workers.processes["p1"].call("force_store", workers.processes["p0"].pid, address(PAGE), 1)


def secret(workers: Workers) -> None:
    """memfd_secret(2)."""
    workers.create("s", "secretmem", 1)


def userfaultfd(workers: Workers) -> None:
    """System call userfaultfd, and UFFDIO_API."""
    workers.processes["p0"].call("userfaultfd", kernel.UFFD_FEATURES["sigbus"])


PROBES: Final[dict[str, Callable[[Workers], None]]] = {
    "pin": pin,
    "get": get,
    "remote": remote,
    "force": force,
    "secretmem": secret,
    "userfaultfd": userfaultfd,
}


@cache
def forbidden(call: str) -> str:
    """The errno with which this machine refuses a kind of call (a key of PROBES); empty where it permits it."""
    if not call:
        return ""
    with Workers() as workers:
        try:
            workers.start("p0")
            flags = kernel.MAP_PRIVATE | kernel.MAP_ANONYMOUS | kernel.MAP_FIXED_NOREPLACE
            workers.processes["p0"].call("mmap", address(PAGE), kernel.PAGE, 3, flags, -1, 0)
            workers.processes["p0"].call("store", address(PAGE), 1)
            PROBES[call](workers)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, os.strerror(error.errno or 0))
        except WorkerLostError as error:
            return str(error)
    return ""
