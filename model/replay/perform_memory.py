"""Recorded ops on processes and address spaces: fork, mmap and its relatives, loads and stores."""

from collections.abc import Callable
from functools import partial
from typing import Final

from model.engine.procedure import Procedure
from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.mm import mmap
from model.kernel.mm.exit import do_exit
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.mlock import do_mlock
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.memory.flags import VM_EXEC, VM_READ, VM_WRITE
from model.replay import ops
from model.replay.machine import OK, Machine, Reply
from model.replay.recording import ARENA, ARENA_PAGES, KERNEL_CHOOSES

PROT_BITS: Final = {"r": VM_READ, "w": VM_WRITE, "x": VM_EXEC}
MMAP_FLAGS: Final = {
    "fixed": mmap.MAP_FIXED,
    "populate": mmap.MAP_POPULATE,
    "locked": mmap.MAP_LOCKED,
    "noreserve": mmap.MAP_NORESERVE,
    "growsdown": mmap.MAP_GROWSDOWN,
    "hugetlb": mmap.MAP_HUGETLB,
}
MREMAP_FLAGS: Final = {"maymove": MREMAP_MAYMOVE, "fixed": MREMAP_FIXED, "dontunmap": MREMAP_DONTUNMAP}
KERNEL_MAPPINGS: Final = {"io_uring_ring": "io_uring"}
"""Backings that a recording calls otherwise than the model."""
BACKING_OF_FILE: Final = {"ext4": "file", "hugetlb": "hugetlbfs"}
"""What the model calls a mapping of a file, by its kind, where it has another name."""
SPECIAL_PAGES: Final = {"vvar": (4, "r"), "vdso": (2, "rx")}
"""Length and protection of the mappings that every process has from the start (Linux 6.18, x86-64)."""


def fork(machine: Machine, op: ops.Fork) -> Reply:
    """Fork; the child is the last in the list of processes."""
    reply = machine.reply(kernel_clone(mm=op.proc, child=op.child), op.proc)
    if reply == OK:
        machine.processes.append(op.child)
        if op.proc in machine.uffds:
            machine.uffds[op.child] = machine.uffds[op.proc]
    return reply


def exit_(machine: Machine, op: ops.Exit) -> Reply:
    """The process is gone."""
    reply = machine.reply(do_exit(mm=op.proc), op.proc)
    machine.processes.remove(op.proc)
    return reply


def prot_bits(prot: str) -> int:
    """`rw` → VM_READ | VM_WRITE; `none` → 0."""
    return sum(PROT_BITS[letter] for letter in prot) if prot != "none" else 0


def flag_bits(flags: tuple[str, ...], bits: dict[str, int]) -> int:
    """The flag word of flags by name."""
    return sum(bits[flag] for flag in flags)


def do_mmap(machine: Machine, op: ops.Mmap) -> Reply:
    """Without `fixed` the recorder asks for MAP_FIXED_NOREPLACE."""
    flags = flag_bits(op.flags, MMAP_FLAGS) | (mmap.MAP_SHARED if op.share == "shared" else mmap.MAP_PRIVATE)
    anywhere = op.at >= KERNEL_CHOOSES
    if not anywhere and "fixed" not in op.flags:
        flags |= mmap.MAP_FIXED_NOREPLACE
    call = mmap.do_mmap(
        mm=op.proc,
        pages=op.pages,
        prot=prot_bits(op.prot),
        flags=flags,
        backing=backing(machine, op),
        file=op.file,
        offset=op.offset,
        at=-1 if anywhere else machine.vpn(op.at),
    )
    reply = machine.reply(call, op.proc, value=True)
    if isinstance(reply.result, str):
        return reply
    if anywhere:
        machine.outside[reply.result] = op.at
    return OK


def backing(machine: Machine, op: ops.Mmap) -> str:
    """What the model calls the mapped thing."""
    if op.kind != "file":
        return KERNEL_MAPPINGS.get(op.kind, op.kind)
    file = machine.state.files.get(op.file)
    kind = "ext4" if file is None else file.kind
    return BACKING_OF_FILE.get(kind, kind)


def place(machine: Machine, op: ops.PlaceSpecial) -> Reply:
    """The recorder moves the process's own mapping; the model makes one where it would be moved to.

    The C library of every program reads the first page of the vDSO when it starts: that page is mapped already.
    """
    pages, prot = SPECIAL_PAGES[op.what]
    flags = mmap.MAP_PRIVATE | mmap.MAP_FIXED
    at = machine.vpn(op.at)
    call = mmap.do_mmap(mm=op.proc, pages=pages, prot=prot_bits(prot), flags=flags, backing=op.what, at=at)
    reply = machine.reply(call, op.proc)
    if reply == OK and op.what == "vdso":
        machine.run(cpu_load(mm=op.proc, vpn=at), op.proc)
    return reply


def on_range(procedure: Callable[..., Procedure], machine: Machine, op: ops.RangeOp) -> Reply:
    """A system call that takes an address range and nothing else."""
    return machine.reply(procedure(mm=op.proc, start=machine.vpn(op.at), pages=op.pages), op.proc)


def mprotect(machine: Machine, op: ops.Mprotect) -> Reply:
    """Change a range's protection."""
    return on_range(partial(do_mprotect, prot=prot_bits(op.prot)), machine, op)


def mlock(machine: Machine, op: ops.Mlock) -> Reply:
    """Lock a range."""
    return on_range(partial(do_mlock, onfault=op.onfault), machine, op)


def madvise(machine: Machine, op: ops.Madvise) -> Reply:
    """Advise on a range."""
    return on_range(partial(do_madvise, advice=op.advice.lower()), machine, op)


def mremap(machine: Machine, op: ops.Mremap) -> Reply:
    """What has left the arena is brought back by a second mremap, as the recorder does."""
    move = partial(do_mremap, mm=op.proc)
    flags = flag_bits(op.flags, MREMAP_FLAGS)
    to = machine.vpn(op.to) if op.to >= 0 else -1
    call = move(start=machine.vpn(op.at), pages=op.pages, new_pages=op.new_pages, flags=flags, to=to)
    reply = machine.reply(call, op.proc, value=True)
    if isinstance(reply.result, str):
        return reply
    page = reply.result - ARENA
    if 0 <= page < ARENA_PAGES or "fixed" in op.flags:
        return Reply(page if op.to < KERNEL_CHOOSES else op.to)
    flags = MREMAP_MAYMOVE | MREMAP_FIXED
    back = machine.vpn(op.to_if_moved)
    machine.reply(move(start=reply.result, pages=op.new_pages, new_pages=op.new_pages, flags=flags, to=back), op.proc)
    return Reply("moved")


def read(machine: Machine, op: ops.Read) -> Reply:
    """Load a byte."""
    return machine.reply(cpu_load(mm=op.proc, vpn=machine.vpn(op.page)), op.proc, value=True)


def write(machine: Machine, op: ops.Write) -> Reply:
    """Store a byte."""
    return machine.reply(cpu_store(mm=op.proc, vpn=machine.vpn(op.page), value=op.value), op.proc)
