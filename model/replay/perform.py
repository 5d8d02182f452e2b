"""A recorded scenario performed on the model: each op as the kernel's entry procedure, run to its end.

What an op does stands with those of its subject: memory, files, references, userfaultfd.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from model.kernel.mm.ksmd import ksm_do_scan
from model.kernel.mm.madvise import ADVICE
from model.kernel.mm.mlock import do_munlock
from model.kernel.mm.mmap_file import BACKINGS
from model.kernel.mm.mseal import do_mseal
from model.kernel.mm.msync import do_msync
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.userfaultfd import FEATURES, userfaultfd_wake
from model.kernel.mm.userfaultfd_fill import userfaultfd_poison, userfaultfd_zeropage
from model.kernel.mm.userfaultfd_register import userfaultfd_unregister
from model.replay import ops
from model.replay.machine import UNSUPPORTED, Machine, Reply
from model.replay.perform_files import FILE_TYPES, close, create, file_read, file_write, fsync, punch, seal, truncate
from model.replay.perform_memory import (
    KERNEL_MAPPINGS,
    MMAP_FLAGS,
    MREMAP_FLAGS,
    SPECIAL_PAGES,
    do_mmap,
    exit_,
    fork,
    madvise,
    mlock,
    mprotect,
    mremap,
    on_range,
    place,
    read,
    write,
)
from model.replay.perform_references import (
    direct_in,
    direct_out,
    dma_read,
    dma_write,
    force_read,
    force_write,
    get,
    get_many,
    peek,
    pin,
    release,
    remote_read,
    remote_write,
)
from model.replay.perform_userfaultfd import (
    uffd_close,
    uffd_continue,
    uffd_copy,
    uffd_move,
    uffd_on_range,
    uffd_open,
    uffd_register,
    uffd_wp,
)


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
    """Whether the op asks for something that the model has no name for."""
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
    ops.UffdPoison: partial(uffd_on_range, userfaultfd_poison),
    ops.UffdMove: uffd_move,
    ops.UffdContinue: uffd_continue,
    ops.KsmScan: ksm_scan,
}
"""How each op is performed."""
