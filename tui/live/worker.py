"""One process of a script, on the real kernel: it does to its own memory what it is told, and nothing else.

Started by its path in an isolated interpreter (`python -I worker.py DESCRIPTOR`), so that it shares neither memory nor
settings with who started it. Each message on the socket is one JSON object: a call, its numbers (bytes), and
descriptors beside it; the answer is a value or an errno. `fork` is a real fork(2) of this process. When the socket
closes, it ends.
"""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    # An isolated interpreter knows no package but those that are installed, and no other than this one is needed.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    kernel: Any = import_module("system_calls")
else:
    from tui.live import system_calls as kernel

LONGEST: Final = 4096
"""Bytes of a message."""
FILE_BYTES: Final = 1 << 28
"""RLIMIT_FSIZE: no script fills a disk."""
CPU_SECONDS: Final = 120


def limit() -> None:
    """What a worker may use: no core dump, bounded CPU time and file size, first to go when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # all on one CPU: its batches are drained where they fill
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def without_automatic_huge_pages() -> None:
    """Where the system gives every program huge pages, this one wants small ones, as the model has them."""
    with suppress(OSError):
        if "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii"):
            kernel.prctl(kernel.PR_SET_THP_DISABLE, 1)


def load(address: int) -> int:
    """The byte at an address, through write(2) on a pipe."""
    source, sink = os.pipe()
    try:
        kernel.copy_to_pipe(sink, address)
        return os.read(source, 1)[0]
    finally:
        os.close(source)
        os.close(sink)


def store(address: int, value: int) -> None:
    """Store a byte at an address, through read(2) on a pipe."""
    source, sink = os.pipe()
    try:
        os.write(sink, bytes([value]))
        kernel.copy_from_pipe(source, address)
    finally:
        os.close(source)
        os.close(sink)


def force_store(pid: int, address: int, value: int) -> int:
    """Write a byte through /proc/PID/mem."""
    descriptor = os.open(f"/proc/{pid}/mem", os.O_WRONLY)
    try:
        return os.pwrite(descriptor, bytes([value]), address)
    finally:
        os.close(descriptor)


def map_descriptor(address: int, length: int, prot: int, flags: int, offset: int, descriptor: int) -> None:
    """mmap(2) of a descriptor that came with the message; the mapping keeps the file, so it is closed."""
    try:
        kernel.mmap(address, length, prot, flags, descriptor, offset)
    finally:
        os.close(descriptor)


def splice(address: int, length: int, descriptor: int) -> int | None:
    """vmsplice(2) into the pipe that came with the message."""
    try:
        taken: int = kernel.vmsplice(descriptor, address, length)
        return taken
    finally:
        os.close(descriptor)


def direct(address: int, writes_memory: int, descriptor: int) -> int:
    """One page to or from a file that was opened with O_DIRECT and that came with the message."""
    try:
        transfer = kernel.page_from_file if writes_memory else kernel.page_to_file
        moved: int = transfer(descriptor, address)
        return moved
    finally:
        os.close(descriptor)


CALLS: Final[dict[str, Callable[..., int | None]]] = {
    "mmap": kernel.mmap,
    "map_descriptor": map_descriptor,
    "munmap": kernel.munmap,
    "mprotect": kernel.mprotect,
    "mremap": kernel.mremap,
    "madvise": kernel.madvise,
    "mlock": kernel.mlock,
    "mlock_on_fault": kernel.mlock_on_fault,
    "munlock": kernel.munlock,
    "direct": direct,
    "mseal": kernel.mseal,
    "msync": kernel.msync,
    "load": load,
    "store": store,
    "process_vm": kernel.process_vm,
    "force_store": force_store,
    "vmsplice": splice,
    "pin": kernel.io_uring_with_buffer,
    "userfaultfd": kernel.userfaultfd,
    "uffdio": kernel.uffdio,
    "close": os.close,
}
"""What a worker can be told. Numbers are bytes."""


def answer(message: dict[str, Any], descriptors: list[int]) -> dict[str, int]:
    """Do what a message says: a value, or the errno."""
    try:
        return {"value": CALLS[message["call"]](*message["arguments"], *descriptors) or 0}
    except OSError as error:
        return {"errno": error.errno or 0}


def serve(channel: socket.socket) -> None:
    """Answer messages until the socket closes; `fork` leaves two processes that do so, each on its own socket."""
    while True:
        text, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 2)
        if not text:
            os._exit(0)
        message = json.loads(text)
        if message["call"] != "fork":
            channel.send(json.dumps(answer(message, descriptors)).encode())
            continue
        try:
            child = os.fork()
        except OSError as error:
            os.close(descriptors[0])
            channel.send(json.dumps({"errno": error.errno}).encode())
            continue
        if child == 0:
            channel.close()
            channel = socket.socket(fileno=descriptors[0])
            continue
        os.close(descriptors[0])
        channel.send(json.dumps({"value": child}).encode())


def main() -> None:
    """Set limits, say that it is ready, and serve."""
    limit()
    without_automatic_huge_pages()
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        channel.send(json.dumps({"value": os.getpid()}).encode())
        serve(channel)
    except ConnectionError:  # whoever asked is gone, before the answer
        os._exit(0)


if __name__ == "__main__":
    main()
