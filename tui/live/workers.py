"""The processes of a script on the real kernel, their files, and what devices hold of their memory.

`Workers` is the controller: it starts a worker for each `process`, hands descriptors over, keeps files, pipes and
rings, and leaves nothing behind when it is closed. Addresses are bytes, pages are numbers of the arena.
"""

import array
import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from model.replay.recording import ARENA
from tui.live import system_calls as kernel
from tui.live.ring import FixedBuffer

PAGE: Final = kernel.PAGE
PATIENCE: Final = 10.0
"""Seconds after which a call that has not returned is given up, with its process."""
WORKER: Final = Path(__file__).with_name("worker.py")


class WorkerLostError(Exception):
    """A worker has died or does not answer; the message says which and how."""


class Worker:
    """One process of the script."""

    def __init__(self, name: str, pid: int, channel: socket.socket, started: subprocess.Popen[bytes] | None) -> None:
        self.name, self.pid, self.channel, self.started = name, pid, channel, started

    def call(self, call: str, *arguments: int | None, descriptors: tuple[int, ...] = ()) -> int:
        """Make a system call in this process. Raises OSError with its errno, WorkerLostError if it never answers."""
        message = json.dumps({"call": call, "arguments": arguments}).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self.channel.sendmsg([message], rights)
            answer: dict[str, int] = json.loads(self.channel.recv(256) or b"{}")
        except TimeoutError:
            self.end()
            raise WorkerLostError(f"{self.name} did not come back from {call} within {PATIENCE:.0f} s") from None
        except OSError:
            answer = {}
        if not answer:
            raise WorkerLostError(f"{self.name} died in {call}")
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer["value"]

    def end(self) -> None:
        """Let the process go; its address space is torn down before this returns."""
        waits = os.pidfd_open(self.pid) if self.started is None and _alive(self.pid) else -1
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()
        if self.started is not None:
            try:
                self.started.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.started.kill()
                self.started.wait()
        elif waits >= 0:
            _wait_for(waits)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _wait_for(descriptor: int) -> None:
    """Until the process behind a pidfd is gone, which is when its descriptor becomes readable."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(int(PATIENCE * 1000))
    os.close(descriptor)


class LiveFile(NamedTuple):
    """A file of the script, open in the controller and nameless on disk."""

    descriptor: int
    kind: str
    inode: tuple[int, int]
    """Device and number, as smaps has them."""


class HeldPipe(NamedTuple):
    """What holds the pages of a `get`."""

    source: int
    sink: int


class Workers:
    """The processes, files and holders of a script. A context manager: leaving it ends and closes all of them."""

    def __init__(self) -> None:
        self.processes: dict[str, Worker] = {}
        """Those alive, oldest first."""
        self.files: dict[str, LiveFile] = {}
        self.held: dict[str, HeldPipe | FixedBuffer] = {}
        self.direct = -1
        """A nameless file of one page on disk, opened with O_DIRECT once it is needed."""
        self.uffds: dict[str, int] = {}
        """The descriptor of each userfaultfd, in the process that has opened it."""

    def __enter__(self) -> Self:
        """Nothing is started before the first process is."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process, youngest first, and close whatever is open."""
        for held in list(self.held):
            self.drop(held)
        for worker in reversed(self.processes.values()):
            worker.end()
        for file in self.files.values():
            os.close(file.descriptor)
        if self.direct >= 0:
            os.close(self.direct)
            self.direct = -1
        self.processes.clear()
        self.files.clear()

    def start(self, name: str) -> None:
        """A new process with an empty arena: a fresh interpreter that runs worker.py and knows nothing of this one."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(PATIENCE)
        started = subprocess.Popen(  # noqa: S603 -- this interpreter and a file of this package
            [sys.executable, "-I", "-S", str(WORKER), str(its.fileno())],
            pass_fds=(its.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath},
            start_new_session=True,
        )
        its.close()
        worker = Worker(name, started.pid, mine, started)
        try:
            ready = mine.recv(256)
        except TimeoutError:
            ready = b""
        if not ready:
            started.kill()
            started.wait()
            mine.close()
            raise WorkerLostError(f"{name} did not start")
        self.processes[name] = worker

    def fork(self, parent: str, child: str) -> None:
        """System call fork of a process. Raises OSError."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(PATIENCE)
        try:
            pid = self.processes[parent].call("fork", descriptors=(its.fileno(),))
        except OSError:
            mine.close()
            raise
        finally:
            its.close()
        self.processes[child] = Worker(child, pid, mine, None)

    def exit(self, name: str) -> None:
        """The process ends."""
        self.processes.pop(name).end()

    # -- files ---------------------------------------------------------------------------------

    def create(self, name: str, kind: str, pages: int) -> None:
        """A memfd, also of huge pages, a nameless file of the temporary folder, or secret memory. Raises OSError."""
        match kind:
            case "memfd" | "hugetlb":
                huge = os.MFD_HUGETLB if kind == "hugetlb" else 0
                descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | huge)
            case "secretmem":
                descriptor = kernel.system_call("memfd_secret", 0)
            case _:
                descriptor = os.open(tempfile.gettempdir(), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, pages * PAGE)
        except OSError:
            os.close(descriptor)
            raise
        about = os.fstat(descriptor)
        self.files[name] = LiveFile(descriptor, kind, (about.st_dev, about.st_ino))

    def to_disk(self, process: str, page: int) -> int:
        """System call pwrite with O_DIRECT of a page; returns the byte that reached the disk. Raises OSError."""
        descriptor = self._direct_file()
        self.processes[process].call("direct", address(page), 0, descriptors=(descriptor,))
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(again, 1, 0)[0]
        finally:
            os.close(again)

    def from_disk(self, process: str, page: int, value: int) -> None:
        """System call pread with O_DIRECT into a page, from a disk that holds `value` and zeros. Raises OSError."""
        descriptor = self._direct_file()
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(again, bytes([value]).ljust(PAGE, b"\0"), 0)
            os.fsync(again)
        finally:
            os.close(again)
        self.processes[process].call("direct", address(page), 1, descriptors=(descriptor,))

    def _direct_file(self) -> int:
        if self.direct < 0:
            flags = os.O_RDWR | os.O_TMPFILE | os.O_DIRECT | os.O_CLOEXEC
            self.direct = os.open(tempfile.gettempdir(), flags, 0o600)
            os.ftruncate(self.direct, PAGE)
        return self.direct

    # -- who holds pages -----------------------------------------------------------------------

    def get(self, name: str, process: str, page: int, pages: int) -> int:
        """System call vmsplice into a new pipe: a FOLL_GET of each page. Returns how many it got. Raises OSError."""
        source, sink = os.pipe()
        try:
            fcntl.fcntl(sink, 1031, max(pages, 1) * PAGE)  # F_SETPIPE_SZ: a slot a page
            taken = self.processes[process].call("vmsplice", address(page), pages * PAGE, descriptors=(sink,))
        except OSError:
            os.close(source)
            os.close(sink)
            raise
        self.held[name] = HeldPipe(source, sink)
        return taken // PAGE

    def pin(self, name: str, process: str, page: int, pages: int) -> None:
        """A fixed buffer of io_uring: a long-term pin of each page, which outlives its process. Raises OSError."""
        worker = self.processes[process]
        ring = worker.call("pin", address(page), pages * PAGE)
        try:
            mine = kernel.take_descriptor(worker.pid, ring)
        finally:
            worker.call("close", ring)
        self.held[name] = FixedBuffer(mine, address(page), pages * PAGE)

    def drop(self, name: str) -> None:
        """put_page() or unpin_user_page() on everything behind a name."""
        held = self.held.pop(name)
        if isinstance(held, FixedBuffer):
            held.close()
        else:
            os.close(held.source)
            os.close(held.sink)

    def peek(self, name: str, page: int) -> int:
        """What a page in a pipe holds now: a copy of the pipe is read, the pipe itself stays as it is."""
        held = self.held[name]
        assert isinstance(held, HeldPipe)
        source, sink = os.pipe()
        try:
            fcntl.fcntl(sink, 1031, (page + 1) * PAGE)
            kernel.tee(held.source, sink, (page + 1) * PAGE)
            return os.read(source, (page + 1) * PAGE)[page * PAGE]
        finally:
            os.close(source)
            os.close(sink)

    def device(self, name: str, page: int, value: int | None) -> int:
        """READ_FIXED of a byte into the pinned page, or WRITE_FIXED of it: a device's DMA. Raises OSError."""
        held = self.held[name]
        assert isinstance(held, FixedBuffer)
        return held.transfer(page * PAGE, value)


def address(page: int) -> int:
    """The address of a page of the arena, in bytes."""
    return (ARENA + page) * PAGE
