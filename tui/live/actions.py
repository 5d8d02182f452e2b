"""What each command of a script is on a real kernel: an op of the recording format, and the call that carries it out.

Pages are numbers of the arena, which are the script's own.
"""

import mmap as python_mmap
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, cast

from model.kernel.mm.memfd import SEALS
from model.memory.state import State
from model.replay.recording import ARENA, KERNEL_CHOOSES
from model.script.command import BackingSpec, Command, RefPage
from model.script.context import Outcome
from model.script.places import resolve
from tui.live import ksmd
from tui.live import system_calls as kernel
from tui.live.ring import FixedBuffer
from tui.live.workers import PAGE, Worker, Workers, address

Answer = int | str
"""`ok`, a value, or an errno by its name."""

PROT_BITS: Final = {"r": python_mmap.PROT_READ, "w": python_mmap.PROT_WRITE, "x": python_mmap.PROT_EXEC}
MMAP_FLAGS: Final = {
    "populate": kernel.MAP_POPULATE,
    "locked": kernel.MAP_LOCKED,
    "noreserve": kernel.MAP_NORESERVE,
}
MREMAP_FLAGS: Final = {"maymove": kernel.MREMAP_MAYMOVE, "dontunmap": kernel.MREMAP_DONTUNMAP}
SEAL_BITS: Final = {"seal": 1, "shrink": 2, "grow": 4, "write": 8, "future_write": 16}
"""F_SEAL_* (include/uapi/linux/fcntl.h, 6.12)."""


class Live(NamedTuple):
    """What an action works on."""

    workers: Workers
    took: Callable[[str, str, str, int, int], None]
    """A reference was taken: name, kind, process, page, pages."""
    dropped: Callable[[str], None]


class KernelCall(NamedTuple):
    """A command as the real kernel does it."""

    op: dict[str, Any]
    """As a recording writes it, without what came of it."""
    do: Callable[[], object]
    """Raises OSError with the kernel's errno."""
    valued: bool = False
    """What it returns is the answer; otherwise that is `ok`."""
    before: tuple[dict[str, Any], ...] = ()
    """Ops that a recording needs before it."""


class AskedCommand(NamedTuple):
    """A command, the model's machine before it, and what the model answered: it says where a mapping shall be."""

    command: Command
    before: State
    outcome: Outcome
    created: tuple[str, ...] = ()
    """Files that the model made for it."""

    def name(self, key: str) -> str:
        """A name or word; empty where an option was not given."""
        return cast("str", self.command.get(key, ""))

    def number(self, key: str, default: int = 0) -> int:
        """A number, or `default` where the option was not given."""
        return cast("int", self.command.get(key, default))

    def place(self, of: str = "P") -> tuple[int, int]:
        """The range WHERE: (first page, pages)."""
        return resolve(self.before, self.name(of), self.command, "WHERE")

    @property
    def held(self) -> RefPage:
        """Operand R[+N]."""
        return cast("RefPage", self.command.operands["R[+N]"])


def process(live: Live, asked: AskedCommand) -> KernelCall:
    """A new process of its own."""
    name = asked.name("P")
    return KernelCall({"op": "process", "proc": name}, lambda: live.workers.start(name))


def fork(live: Live, asked: AskedCommand) -> KernelCall:
    """System call fork."""
    parent, child = asked.name("P"), asked.name("CHILD")
    return KernelCall({"op": "fork", "proc": parent, "child": child}, lambda: live.workers.fork(parent, child))


def exit_(live: Live, asked: AskedCommand) -> KernelCall:
    """The process ends."""
    name = asked.name("P")
    return KernelCall({"op": "exit", "proc": name}, lambda: live.workers.exit(name))


def _prot(bits: int) -> str:
    """The letters of VM_READ | VM_WRITE | VM_EXEC, or `none`."""
    return "".join(letter for letter, bit in zip("rwx", (1, 2, 4), strict=True) if bits & bit) or "none"


def mmap(live: Live, asked: AskedCommand) -> KernelCall:
    """System call mmap, at the place where the model has put it; what the model refuses is asked for anywhere."""
    worker = live.workers.processes[asked.name("P")]
    backing = cast("BackingSpec", asked.command.operands["BACKING"])
    options = [flag for flag in ("fixed", *MMAP_FLAGS) if flag in asked.command.options]
    hugetlb = backing.kind == "hugetlb"
    wanted = asked.number("at", -1)
    at = asked.outcome.value if asked.outcome.value is not None else wanted if wanted >= 0 else KERNEL_CHOOSES
    file = backing.of or next((name for name in asked.created if backing.kind == "secretmem"), "")
    op = {
        "op": "mmap",
        "proc": worker.name,
        "at": at,
        "pages": asked.number("PAGES"),
        "prot": _prot(asked.number("PROT")),
        "kind": "file" if file else "anon" if hugetlb else backing.kind,
        "share": asked.name("SHARE"),
        "file": file,
        "offset": asked.number("offset"),
        "flags": [*options, "hugetlb"] if hugetlb else options,
    }
    flags = sum(MMAP_FLAGS.get(flag, 0) for flag in options)
    flags |= kernel.MAP_SHARED if asked.name("SHARE") == "shared" else kernel.MAP_PRIVATE
    if at < KERNEL_CHOOSES:
        flags |= kernel.MAP_FIXED if "fixed" in options else kernel.MAP_FIXED_NOREPLACE
    where = address(at) if at < KERNEL_CHOOSES else 0
    length, prot, offset = asked.number("PAGES") * PAGE, asked.number("PROT"), asked.number("offset") * PAGE
    what = (where, length, prot)
    if backing.kind == "anon" or hugetlb:
        flags |= kernel.MAP_ANONYMOUS | (kernel.MAP_HUGETLB if hugetlb else 0)
        return KernelCall(op, lambda: worker.call("mmap", *what, flags, -1, 0))
    if backing.kind == "devzero":
        return KernelCall(op, lambda: _map_zero(worker, what, flags, offset))
    if file == backing.of:
        return KernelCall(op, lambda: _map_file(live, worker, file, what, flags, offset))
    pages = asked.number("PAGES") + asked.number("offset")
    secret = {"op": "file", "name": file, "pages": pages, "type": "secretmem"}

    def map_secret() -> int:
        live.workers.create(file, "secretmem", pages)
        return _map_file(live, worker, file, what, flags, offset)

    return KernelCall(op, map_secret, before=(secret,))


def _map_file(live: Live, worker: Worker, file: str, what: tuple[int, int, int], flags: int, offset: int) -> int:
    descriptor = live.workers.files[file].descriptor
    return worker.call("map_descriptor", *what, flags, offset, descriptors=(descriptor,))


def _map_zero(worker: Worker, what: tuple[int, int, int], flags: int, offset: int) -> int:
    descriptor = os.open("/dev/zero", os.O_RDWR)
    try:
        return worker.call("map_descriptor", *what, flags, offset, descriptors=(descriptor,))
    finally:
        os.close(descriptor)


def _ranged(call: str) -> Callable[[Live, AskedCommand], KernelCall]:
    """A call that takes a range and nothing else."""

    def make(live: Live, asked: AskedCommand) -> KernelCall:
        worker = live.workers.processes[asked.name("P")]
        at, pages = asked.place()
        op = {"op": call, "proc": worker.name, "at": at, "pages": pages}
        return KernelCall(op, lambda: worker.call(call, address(at), pages * PAGE))

    return make


def mprotect(live: Live, asked: AskedCommand) -> KernelCall:
    """System call mprotect."""
    worker = live.workers.processes[asked.name("P")]
    (at, pages), prot = asked.place(), asked.number("PROT")
    op = {"op": "mprotect", "proc": worker.name, "at": at, "pages": pages, "prot": _prot(prot)}
    return KernelCall(op, lambda: worker.call("mprotect", address(at), pages * PAGE, prot))


def madvise(live: Live, asked: AskedCommand) -> KernelCall:
    """System call madvise."""
    worker = live.workers.processes[asked.name("P")]
    (at, pages), advice = asked.place(), asked.name("ADVICE")
    op = {"op": "madvise", "proc": worker.name, "at": at, "pages": pages, "advice": advice.upper()}
    return KernelCall(op, lambda: worker.call("madvise", address(at), pages * PAGE, kernel.ADVICE[advice]))


def mremap(live: Live, asked: AskedCommand) -> KernelCall:
    """System call mremap. What the kernel moves where it likes is brought back to where the model has it."""
    worker = live.workers.processes[asked.name("P")]
    (at, pages), new_pages, to = asked.place(), asked.number("pages"), asked.number("to", -1)
    options = [flag for flag in MREMAP_FLAGS if flag in asked.command.options]
    flags = sum(MREMAP_FLAGS[flag] for flag in options)
    if to >= 0:
        options, flags = [*options, "fixed"], flags | kernel.MREMAP_FIXED
    back = asked.outcome.value if asked.outcome.value is not None else at
    op = {"op": "mremap", "proc": worker.name, "at": at, "pages": pages, "new_pages": new_pages, "flags": options}
    op |= {"to": to} if to >= 0 else {"to_if_moved": back}

    def do() -> Answer:
        now = worker.call("mremap", address(at), pages * PAGE, new_pages * PAGE, flags, address(to) if to >= 0 else 0)
        page = now // PAGE - ARENA
        if to >= 0 or page == at:
            return page
        move = kernel.MREMAP_MAYMOVE | kernel.MREMAP_FIXED
        worker.call("mremap", now, new_pages * PAGE, new_pages * PAGE, move, address(back))
        return "moved"

    return KernelCall(op, do, valued=True)


def read(live: Live, asked: AskedCommand) -> KernelCall:
    """A byte is loaded, through write(2) on a pipe."""
    worker, (page, _) = live.workers.processes[asked.name("P")], asked.place()
    return KernelCall(
        {"op": "read", "proc": worker.name, "page": page}, lambda: worker.call("load", address(page)), valued=True
    )


def write(live: Live, asked: AskedCommand) -> KernelCall:
    """A byte is stored, through read(2) on a pipe."""
    worker, (page, _), byte = live.workers.processes[asked.name("P")], asked.place(), asked.number("BYTE")
    op = {"op": "write", "proc": worker.name, "page": page, "value": byte}
    return KernelCall(op, lambda: worker.call("store", address(page), byte))


def create(kind: str, live: Live, asked: AskedCommand) -> KernelCall:
    """A file, empty and of this length."""
    name, pages = asked.name("F"), asked.number("PAGES")
    kind = "hugetlb" if "hugetlb" in asked.command.options else kind
    op = {"op": "file", "name": name, "pages": pages, "type": kind}
    return KernelCall(op, lambda: live.workers.create(name, kind, pages))


def seal(live: Live, asked: AskedCommand) -> KernelCall:
    """fcntl(F_ADD_SEALS)."""
    import fcntl

    name = asked.name("F")
    seals = [seal for seal in SEALS if seal in asked.command.options]
    bits = sum(SEAL_BITS[seal] for seal in seals)
    descriptor = live.workers.files[name].descriptor
    op = {"op": "seal", "file": name, "seals": seals}
    return KernelCall(op, lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, bits))


def truncate(live: Live, asked: AskedCommand) -> KernelCall:
    """System call ftruncate."""
    name, pages = asked.name("F"), asked.number("PAGES")
    descriptor = live.workers.files[name].descriptor
    op = {"op": "truncate", "file": name, "pages": pages}
    return KernelCall(op, lambda: os.ftruncate(descriptor, pages * PAGE))


def punch(live: Live, asked: AskedCommand) -> KernelCall:
    """System call fallocate with FALLOC_FL_PUNCH_HOLE."""
    name, offset, pages = asked.name("F"), asked.number("OFFSET"), asked.number("PAGES")
    descriptor = live.workers.files[name].descriptor
    op = {"op": "punch", "file": name, "offset": offset, "pages": pages}
    return KernelCall(op, lambda: kernel.punch(descriptor, offset * PAGE, pages * PAGE))


def fsync(live: Live, asked: AskedCommand) -> KernelCall:
    """System call fsync."""
    descriptor = live.workers.files[asked.name("F")].descriptor
    return KernelCall({"op": "fsync", "file": asked.name("F")}, lambda: os.fsync(descriptor))


def pread(live: Live, asked: AskedCommand) -> KernelCall:
    """System call pread of one byte; at the end of the file there is none."""
    name, page = asked.name("F"), asked.number("PAGE")
    descriptor = live.workers.files[name].descriptor

    def do() -> Answer:
        found = os.pread(descriptor, 1, page * PAGE)
        return found[0] if found else "EOF"

    return KernelCall({"op": "file_read", "file": name, "page": page}, do, valued=True)


def pwrite(live: Live, asked: AskedCommand) -> KernelCall:
    """System call pwrite of one byte."""
    name, page, byte = asked.name("F"), asked.number("PAGE"), asked.number("BYTE")
    descriptor = live.workers.files[name].descriptor
    op = {"op": "file_write", "file": name, "page": page, "value": byte}
    return KernelCall(op, lambda: os.pwrite(descriptor, bytes([byte]), page * PAGE))


def gup(live: Live, asked: AskedCommand) -> KernelCall:
    """A get by vmsplice(2), all pages or none; or a pin by a fixed buffer of io_uring."""
    name, who, (page, pages) = asked.name("as"), asked.name("P"), asked.place()
    kind = "pin" if "pin" in asked.command.options else "get"

    def do() -> Answer:
        if kind == "pin":
            live.workers.pin(name, who, page, pages)
        elif live.workers.get(name, who, page, pages) < pages:
            live.workers.drop(name)
            return "EFAULT"
        live.took(name, kind, who, page, pages)
        return "ok" if kind == "pin" else pages

    return KernelCall({"op": kind, "proc": who, "page": page, "pages": pages, "id": name}, do, valued=True)


def put(live: Live, asked: AskedCommand) -> KernelCall:
    """The pipe is closed, or the fixed buffer unregistered."""
    name = asked.name("R")
    held = live.workers.held.get(name)

    def do() -> None:
        live.workers.drop(name)
        live.dropped(name)

    return KernelCall({"op": "unpin" if isinstance(held, FixedBuffer) else "put", "id": name}, do)


def dma(live: Live, asked: AskedCommand) -> KernelCall:
    """A transfer into the fixed buffer, or out of it."""
    name, page = asked.held.reference, asked.held.page
    if asked.name("ACCESS") == "write":
        byte = asked.number("BYTE")
        op = {"op": "dma_write", "id": name, "page": page, "value": byte}
        return KernelCall(op, lambda: live.workers.device(name, page, byte))
    return KernelCall(
        {"op": "dma_read", "id": name, "page": page}, lambda: live.workers.device(name, page, None), valued=True
    )


def peek(live: Live, asked: AskedCommand) -> KernelCall:
    """A copy of the pipe is read."""
    name, page = asked.held.reference, asked.held.page
    return KernelCall({"op": "peek", "id": name, "page": page}, lambda: live.workers.peek(name, page), valued=True)


def remote(writes: bool, live: Live, asked: AskedCommand) -> KernelCall:
    """System call process_vm_readv or process_vm_writev(2) of a byte."""
    who, target = live.workers.processes[asked.name("P")], live.workers.processes[asked.name("TARGET")]
    page, byte = asked.place("TARGET")[0], asked.number("BYTE") if writes else None
    op: dict[str, Any] = {"op": "remote_write" if writes else "remote_read", "proc": who.name, "target": target.name}
    op |= {"page": page} | ({"value": byte} if writes else {})

    def do() -> Answer:
        found = who.call("process_vm", target.pid, address(page), byte)
        return "ok" if writes else found

    return KernelCall(op, do, valued=True)


def force_write(live: Live, asked: AskedCommand) -> KernelCall:
    """A byte is written through /proc/TARGET/mem."""
    who, target = live.workers.processes[asked.name("P")], live.workers.processes[asked.name("TARGET")]
    page, byte = asked.place("TARGET")[0], asked.number("BYTE")
    op = {"op": "force_write", "target": target.name, "page": page, "value": byte}
    return KernelCall(op, lambda: who.call("force_store", target.pid, address(page), byte))


def direct_read(live: Live, asked: AskedCommand) -> KernelCall:
    """System call pread with O_DIRECT: the disk writes to the page."""
    who, (page, _), byte = asked.name("P"), asked.place(), asked.number("BYTE")
    op = {"op": "odirect_in", "proc": who, "page": page, "value": byte}
    return KernelCall(op, lambda: live.workers.from_disk(who, page, byte))


def direct_write(live: Live, asked: AskedCommand) -> KernelCall:
    """System call pwrite with O_DIRECT: the disk reads the page."""
    who, (page, _) = asked.name("P"), asked.place()
    op = {"op": "odirect_out", "proc": who, "page": page}
    return KernelCall(op, lambda: live.workers.to_disk(who, page), valued=True)


def userfaultfd(live: Live, asked: AskedCommand) -> KernelCall:
    """System call userfaultfd, and UFFDIO_API."""
    worker, name = live.workers.processes[asked.name("P")], asked.name("U")
    features = [feature for feature in kernel.UFFD_FEATURES if feature in asked.command.options]
    bits = sum(kernel.UFFD_FEATURES[feature] for feature in features)

    def do() -> None:
        live.workers.uffds[name] = worker.call("userfaultfd", bits)

    return KernelCall({"op": "uffd_open", "proc": worker.name, "id": name, "features": features}, do)


def uffd_close(live: Live, asked: AskedCommand) -> KernelCall:
    """The descriptor is closed, in this process."""
    worker, name = live.workers.processes[asked.name("P")], asked.name("U")
    op = {"op": "uffd_close", "proc": worker.name, "id": name}
    return KernelCall(op, lambda: worker.call("close", live.workers.uffds[name]))


def uffdio(call: str, live: Live, asked: AskedCommand) -> KernelCall:
    """An ioctl on a range, through the descriptor of the process that has opened it."""
    worker, name = live.workers.processes[asked.name("P")], asked.name("U")
    descriptor = live.workers.uffds[name]
    at, pages = asked.place()
    wp = "wp" in asked.command.options
    span = (address(at), pages * PAGE)
    op: dict[str, Any] = {"op": f"uffd_{call}", "proc": worker.name, "id": name, "at": at, "pages": pages}
    words: tuple[int, ...] = span
    match call:
        case "register":
            modes = [mode for mode in kernel.UFFD_MODES if mode in asked.command.options]
            op |= {"mode": modes}
            words = (*span, sum(kernel.UFFD_MODES[mode] for mode in modes), 0)
        case "copy" | "move":
            source = resolve(asked.before, worker.name, asked.command, "FROM")[0]
            op |= {"src": source} | ({"wp": True} if wp else {})
            words = (span[0], address(source), span[1], 2 if wp else 0, 0)
        case "zeropage" | "poison":
            words = (*span, 0, 0)
        case "continue":
            op |= {"wp": True} if wp else {}
            words = (*span, 2 if wp else 0, 0)
        case "writeprotect":
            op |= {"op": "uffd_wp", "protect": wp}
            words = (*span, int(wp))
    return KernelCall(op, lambda: worker.call("uffdio", descriptor, kernel.UFFDIO[call], *words))


def ksm_scan(_live: Live, asked: AskedCommand) -> KernelCall:
    """The machine's own ksmd makes so many scans."""
    scans, zero = asked.number("N", 1), "use-zero-pages" in asked.command.options
    op: dict[str, Any] = {"op": "ksm_scan", "scans": scans} | ({"use_zero_pages": True} if zero else {})
    return KernelCall(op, lambda: ksmd.scan(scans, use_zero_pages=zero), valued=True)


ACTIONS: Final[dict[str, Callable[[Live, AskedCommand], KernelCall]]] = {
    "process": process,
    "fork": fork,
    "exit": exit_,
    "mmap": mmap,
    "munmap": _ranged("munmap"),
    "mprotect": mprotect,
    "mremap": mremap,
    "madvise": madvise,
    "mlock": _ranged("mlock"),
    "munlock": _ranged("munlock"),
    "mseal": _ranged("mseal"),
    "msync": _ranged("msync"),
    "read": read,
    "write": write,
    "memfd": partial(create, "memfd"),
    "diskfile": partial(create, "ext4"),
    "seal": seal,
    "truncate": truncate,
    "punch": punch,
    "fsync": fsync,
    "pread": pread,
    "pwrite": pwrite,
    "gup": gup,
    "put": put,
    "dma": dma,
    "peek": peek,
    "remote-read": partial(remote, False),
    "remote-write": partial(remote, True),
    "force-write": force_write,
    "direct-read": direct_read,
    "direct-write": direct_write,
    "userfaultfd": userfaultfd,
    "uffd-close": uffd_close,
    "uffdio-register": partial(uffdio, "register"),
    "uffdio-unregister": partial(uffdio, "unregister"),
    "uffdio-copy": partial(uffdio, "copy"),
    "uffdio-zeropage": partial(uffdio, "zeropage"),
    "uffdio-move": partial(uffdio, "move"),
    "uffdio-poison": partial(uffdio, "poison"),
    "uffdio-continue": partial(uffdio, "continue"),
    "uffdio-writeprotect": partial(uffdio, "writeprotect"),
    "uffdio-wake": partial(uffdio, "wake"),
    "ksm-scan": ksm_scan,
}
"""Verb → what it is on a real kernel."""
