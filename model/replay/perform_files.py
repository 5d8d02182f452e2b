"""Recorded ops on files: created, written, truncated, punched, sealed, closed."""

from typing import Final

from model.kernel.fs.vfs import (
    create_file,
    do_truncate,
    fallocate_punch,
    filp_close,
    kernel_read,
    kernel_write,
    vfs_fsync,
)
from model.kernel.mm.memfd import memfd_add_seals, memfd_create
from model.replay import ops
from model.replay.machine import Machine, Reply

FILE_TYPES: Final = ("memfd", "ext4", "secretmem", "hugetlb")


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
