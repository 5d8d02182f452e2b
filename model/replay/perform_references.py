"""A recorded scenario performed on the model: each op as the kernel's entry procedure, run to its end."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from model.engine.procedure import Procedure
from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.drivers.dma import device_access, peek_reference
from model.kernel.fs.vfs import (
    create_file,
    do_truncate,
    fallocate_punch,
    filp_close,
    kernel_read,
    kernel_write,
    vfs_fsync,
)
from model.kernel.mm import mmap
from model.kernel.mm.exit import do_exit
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.ksmd import ksm_do_scan
from model.kernel.mm.madvise import ADVICE, do_madvise
from model.kernel.mm.memfd import memfd_add_seals, memfd_create
from model.kernel.mm.mlock import do_mlock, do_munlock
from model.kernel.mm.mmap_file import BACKINGS
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.mseal import do_mseal
from model.kernel.mm.msync import do_msync
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reference import io_sqe_buffer_register, put_reference, vmsplice_get
from model.kernel.mm.remote import (
    direct_read_in,
    direct_write_out,
    mem_read,
    mem_write,
    process_vm_readv,
    process_vm_writev,
)
from model.kernel.mm.userfaultfd import FEATURES, MODES, userfaultfd_open, userfaultfd_wake
from model.kernel.mm.userfaultfd_fill import userfaultfd_continue, userfaultfd_copy, userfaultfd_zeropage
from model.kernel.mm.userfaultfd_move import userfaultfd_move
from model.kernel.mm.userfaultfd_register import userfaultfd_register, userfaultfd_release, userfaultfd_unregister
from model.kernel.mm.userfaultfd_wp import userfaultfd_writeprotect
from model.memory.flags import VM_EXEC, VM_READ, VM_WRITE
from model.replay import ops
from model.replay.machine import OK, UNSUPPORTED, Machine, Reply
from model.replay.observe import HeldReference
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
FILE_TYPES: Final = ("memfd", "ext4", "secretmem", "hugetlb")
BACKING_OF_FILE: Final = {"ext4": "file", "hugetlb": "hugetlbfs"}
"""What the model calls a mapping of a file, by its kind, where it has another name."""
SPECIAL_PAGES: Final = {"vvar": (4, "r"), "vdso": (2, "rx")}
"""Length and protection of the mappings that every process has from the start (Linux 6.18, x86-64)."""


def perform(machine: Machine, op: ops.Op | ops.UnknownOp) -> Reply:
    """Do one op; what the recorder answers itself (NOPROC, NOID, UNSUPPORTED) does nothing."""
    if isinstance(op, ops.UnknownOp) or is_unsupported(op):
        return UNSUPPORTED
    for role in ("proc", "target"):
        if getattr(op, role, "p0") not in machine.processes and hasattr(op, role):
            return Reply("NOPROC")
    if isinstance(op, ops.Unpin | ops.Put | ops.DmaRead | ops.DmaWrite | ops.Peek):
        held = machine.held.get(op.id)
        if held is None or getattr(op, "page", 0) >= len(held.frames):
            return Reply("NOID")
    return PERFORMERS[type(op)](machine, op)


def is_unsupported(op: ops.Op) -> bool:
    """What the model does not have (yet): 2 MiB pages, and whatever it has no name for."""
    match op:
        case ops.Mmap():
            return not MMAP_FLAGS.keys() >= set(op.flags) or KERNEL_MAPPINGS.get(op.kind, op.kind) not in BACKINGS
        case ops.Mremap():
            return not MREMAP_FLAGS.keys() >= set(op.flags)
        case ops.Madvise():
            return op.advice.lower() not in ADVICE
        case ops.CreateFile():
            return op.type not in FILE_TYPES
        case ops.UffdOpen():
            return not set(FEATURES) >= set(op.features)
        case ops.PlaceSpecial():
            return op.what not in SPECIAL_PAGES
        case _:
            return False


# -- processes and address spaces -------------------------------------------------------------


def fork(machine: Machine, op: ops.Fork) -> Reply:
    """The child becomes the youngest process."""
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


# -- files ------------------------------------------------------------------------------------


def create(machine: Machine, op: ops.CreateFile) -> Reply:
    """Make the file and write its first pages through the descriptor."""
    made = (
        memfd_create(file=op.name, pages=op.pages, hugetlb=op.type == "hugetlb")
        if op.type in ("memfd", "hugetlb")
        else create_file(file=op.name, kind=op.type, pages=op.pages)
    )
    reply = machine.reply(made)
    for page, value in enumerate(op.fill):
        machine.reply(kernel_write(file=op.name, page=page, value=value))
    return reply


def truncate(machine: Machine, op: ops.Truncate) -> Reply:
    """Set a file's length."""
    return machine.reply(do_truncate(file=op.file, pages=op.pages))


def punch(machine: Machine, op: ops.Punch) -> Reply:
    """Punch a hole."""
    return machine.reply(fallocate_punch(file=op.file, offset=op.offset, pages=op.pages))


def file_write(machine: Machine, op: ops.FileWrite) -> Reply:
    """Write a byte through the descriptor."""
    return machine.reply(kernel_write(file=op.file, page=op.page, value=op.value))


def file_read(machine: Machine, op: ops.FileRead) -> Reply:
    """Read a byte through the descriptor."""
    return machine.reply(kernel_read(file=op.file, page=op.page), value=True)


def close(machine: Machine, op: ops.FileClose) -> Reply:
    """Close the descriptor."""
    return machine.reply(filp_close(file=op.file))


def fsync(machine: Machine, op: ops.Fsync) -> Reply:
    """Write a file back."""
    return machine.reply(vfs_fsync(file=op.file))


def seal(machine: Machine, op: ops.Seal) -> Reply:
    """Seal a memfd."""
    return machine.reply(memfd_add_seals(file=op.file, seals=op.seals))


# -- references -------------------------------------------------------------------------------


def pin(machine: Machine, op: ops.Pin) -> Reply:
    """A long-term pin of all the pages or none."""
    start = machine.vpn(op.page)
    call = io_sqe_buffer_register(name=op.id, mm=op.proc, start=start, pages=op.pages, by="io_uring")
    reply = machine.reply(call, op.proc)
    if reply == OK:
        hold(machine, op, "pin", [op.id])
    return reply


def get(machine: Machine, op: ops.Get) -> Reply:
    """References to as many pages as can be had."""
    call = vmsplice_get(name=op.id, mm=op.proc, start=machine.vpn(op.page), pages=op.pages)
    reply = machine.reply(call, op.proc, value=True)
    if isinstance(reply.result, int):
        hold(machine, op, "get", [op.id])
    return reply


def get_many(machine: Machine, op: ops.GetMany) -> Reply:
    """Get one page again and again; the recording shows it once."""
    taken: list[str] = []
    while len(taken) < op.count:
        name = f"{op.id}.{len(taken)}"
        call = vmsplice_get(name=name, mm=op.proc, start=machine.vpn(op.page), pages=1)
        reply = machine.reply(call, op.proc, value=True)
        if isinstance(reply.result, str):
            break
        taken.append(name)
    else:
        reply = Reply(op.count)
    if taken:
        hold(machine, op, "get", taken)
    return Reply(len(taken)) if taken else reply


def hold(machine: Machine, op: ops.Take, kind: str, names: list[str]) -> None:
    """Keep the books: what the id stands for until it is released."""
    machine.references[op.id] = names
    machine.held[op.id] = HeldReference(kind, op.proc, op.page, machine.state.references[names[0]].frames)


def release(machine: Machine, op: ops.Unpin | ops.Put) -> Reply:
    """Drop everything behind an id."""
    for name in machine.references.pop(op.id):
        reply = machine.reply(put_reference(name=name), cpu=-1)
    del machine.held[op.id]
    return reply


def dma_write(machine: Machine, op: ops.DmaWrite) -> Reply:
    """The device writes into what it has pinned, whatever is mapped now."""
    call = device_access(reference=op.id, page=op.page, write=True, value=op.value)
    return machine.reply(call, cpu=-1)


def dma_read(machine: Machine, op: ops.DmaRead) -> Reply:
    """The device reads what it has pinned."""
    return machine.reply(device_access(reference=op.id, page=op.page, write=False), value=True, cpu=-1)


def peek(machine: Machine, op: ops.Peek) -> Reply:
    """Look at a referenced page."""
    reference = machine.references[op.id][0]
    return machine.reply(peek_reference(reference=reference, page=op.page), value=True, cpu=-1)


# -- other people's memory --------------------------------------------------------------------


def remote_read(machine: Machine, op: ops.RemoteRead) -> Reply:
    """One process reads another's memory."""
    call = process_vm_readv(mm=op.proc, target=op.target, vpn=machine.vpn(op.page))
    return machine.reply(call, op.proc, value=True)


def remote_write(machine: Machine, op: ops.RemoteWrite) -> Reply:
    """One process writes another's memory."""
    call = process_vm_writev(mm=op.proc, target=op.target, vpn=machine.vpn(op.page), value=op.value)
    return machine.reply(call, op.proc)


def force_read(machine: Machine, op: ops.ForceRead) -> Reply:
    """The recorder, which is no process of the scenario, reads /proc/TARGET/mem."""
    call = mem_read(mm=op.target, target=op.target, vpn=machine.vpn(op.page))
    return machine.reply(call, op.target, value=True)


def force_write(machine: Machine, op: ops.ForceWrite) -> Reply:
    """The recorder writes /proc/TARGET/mem."""
    call = mem_write(mm=op.target, target=op.target, vpn=machine.vpn(op.page), value=op.value)
    return machine.reply(call, op.target)


def direct_out(machine: Machine, op: ops.DirectOut) -> Reply:
    """A page goes to disk by DMA."""
    return machine.reply(direct_write_out(mm=op.proc, vpn=machine.vpn(op.page)), op.proc, value=True)


def direct_in(machine: Machine, op: ops.DirectIn) -> Reply:
    """A page comes from disk by DMA."""
    return machine.reply(direct_read_in(mm=op.proc, vpn=machine.vpn(op.page), value=op.value), op.proc)


# -- userfaultfd ------------------------------------------------------------------------------


def uffd_open(machine: Machine, op: ops.UffdOpen) -> Reply:
    """The recorder keeps the descriptor; the next one of this process takes its place."""
    name = op.id or f"uffd{len(machine.state.userfaultfds)}"
    reply = machine.reply(userfaultfd_open(mm=op.proc, uffd=name, features=op.features), op.proc)
    if reply == OK:
        machine.uffds[op.proc] = name
    return reply


def uffd_of(machine: Machine, op: ops.UffdOp) -> str:
    """The descriptor that an op means; a name that nothing has where the process has none."""
    return op.id or machine.uffds.get(op.proc, "")


def uffd_close(machine: Machine, op: ops.UffdClose) -> Reply:
    """Close the descriptor in this process."""
    return machine.reply(userfaultfd_release(caller=op.proc, uffd=uffd_of(machine, op)), op.proc)


def uffd_on_range(procedure: Callable[..., Procedure], machine: Machine, op: ops.UffdRange) -> Reply:
    """An ioctl that takes a range and nothing else."""
    call = procedure(caller=op.proc, uffd=uffd_of(machine, op), start=machine.vpn(op.at), pages=op.pages)
    return machine.reply(call, op.proc)


def uffd_register(machine: Machine, op: ops.UffdRegister) -> Reply:
    """Register a range."""
    modes = sum(MODES[mode] for mode in op.mode)
    start, uffd = machine.vpn(op.at), uffd_of(machine, op)
    return machine.reply(
        userfaultfd_register(caller=op.proc, uffd=uffd, start=start, pages=op.pages, modes=modes), op.proc
    )


def uffd_wp(machine: Machine, op: ops.UffdWp) -> Reply:
    """Write-protect a range, or lift that."""
    start, uffd = machine.vpn(op.at), uffd_of(machine, op)
    call = userfaultfd_writeprotect(caller=op.proc, uffd=uffd, start=start, pages=op.pages, protect=op.protect)
    return machine.reply(call, op.proc)


def uffd_copy(machine: Machine, op: ops.UffdCopy) -> Reply:
    """Fill pages with what others hold."""
    start, source = machine.vpn(op.at), machine.vpn(op.src)
    call = userfaultfd_copy(
        caller=op.proc, uffd=uffd_of(machine, op), start=start, pages=op.pages, source_start=source, wp=op.wp
    )
    return machine.reply(call, op.proc)


def uffd_move(machine: Machine, op: ops.UffdMove) -> Reply:
    """Move pages."""
    start, source = machine.vpn(op.at), machine.vpn(op.src)
    call = userfaultfd_move(caller=op.proc, uffd=uffd_of(machine, op), start=start, pages=op.pages, source_start=source)
    return machine.reply(call, op.proc)


def uffd_continue(machine: Machine, op: ops.UffdContinue) -> Reply:
    """Map pages that the file has."""
    call = userfaultfd_continue(
        caller=op.proc, uffd=uffd_of(machine, op), start=machine.vpn(op.at), pages=op.pages, wp=op.wp
    )
    return machine.reply(call, op.proc)


def ksm_scan(machine: Machine, op: ops.KsmScan) -> Reply:
    """Let ksmd run, and stop it."""
    return machine.reply(ksm_do_scan(scans=op.scans, use_zero_pages=op.use_zero_pages), cpu=-1)


PERFORMERS: Final[dict[type[ops.Op], Callable[[Machine, Any], Reply]]] = {
    ops.Fork: fork,
    ops.Exit: exit_,
    ops.Mmap: do_mmap,
    ops.Munmap: partial(on_range, do_munmap),
    ops.Mprotect: mprotect,
    ops.Mremap: mremap,
    ops.Madvise: madvise,
    ops.Mlock: mlock,
    ops.Munlock: partial(on_range, do_munlock),
    ops.Mseal: partial(on_range, do_mseal),
    ops.Msync: partial(on_range, do_msync),
    ops.PlaceSpecial: place,
    ops.Read: read,
    ops.Write: write,
    ops.CreateFile: create,
    ops.Truncate: truncate,
    ops.Punch: punch,
    ops.FileWrite: file_write,
    ops.FileRead: file_read,
    ops.FileClose: close,
    ops.Fsync: fsync,
    ops.Seal: seal,
    ops.Pin: pin,
    ops.Get: get,
    ops.GetMany: get_many,
    ops.Unpin: release,
    ops.Put: release,
    ops.DmaWrite: dma_write,
    ops.DmaRead: dma_read,
    ops.Peek: peek,
    ops.RemoteRead: remote_read,
    ops.RemoteWrite: remote_write,
    ops.ForceRead: force_read,
    ops.ForceWrite: force_write,
    ops.DirectOut: direct_out,
    ops.DirectIn: direct_in,
    ops.UffdOpen: uffd_open,
    ops.UffdClose: uffd_close,
    ops.UffdRegister: uffd_register,
    ops.UffdUnregister: partial(uffd_on_range, userfaultfd_unregister),
    ops.UffdWake: partial(uffd_on_range, userfaultfd_wake),
    ops.UffdWp: uffd_wp,
    ops.UffdCopy: uffd_copy,
    ops.UffdZeropage: partial(uffd_on_range, userfaultfd_zeropage),
    ops.UffdMove: uffd_move,
    ops.UffdContinue: uffd_continue,
    ops.KsmScan: ksm_scan,
}
"""How each op is performed."""
