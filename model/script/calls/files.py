"""Files, memfds and pipes."""

from typing import Final

from model.engine.procedure import Procedure
from model.script.calls.call import Builder, Call


def _memfd(call: Call) -> Procedure:
    from model.kernel.mm.memfd import memfd_create

    return memfd_create(file=call.name("F"), pages=call.number("PAGES"), hugetlb=call.given("hugetlb"))


def _seal(call: Call) -> Procedure:
    from model.kernel.mm.memfd import SEALS, memfd_add_seals

    return memfd_add_seals(file=call.name("F"), seals=call.words(SEALS))


def _diskfile(call: Call) -> Procedure:
    from model.kernel.fs.vfs import create_file

    return create_file(file=call.name("F"), kind="ext4", pages=call.number("PAGES"))


def _dax(call: Call) -> Procedure:
    from model.kernel.fs.dax import dax_create

    return dax_create(file=call.name("X"), pages=call.number("PAGES"))


def _truncate(call: Call) -> Procedure:
    from model.kernel.fs.vfs import do_truncate

    return do_truncate(file=call.name("F"), pages=call.number("PAGES"))


def _punch(call: Call) -> Procedure:
    from model.kernel.fs.vfs import fallocate_punch

    return fallocate_punch(file=call.name("F"), offset=call.number("OFFSET"), pages=call.number("PAGES"))


def _fsync(call: Call) -> Procedure:
    from model.kernel.fs.vfs import vfs_fsync

    return vfs_fsync(file=call.name("F"))


def _pread(call: Call) -> Procedure:
    from model.kernel.fs.vfs import kernel_read

    return kernel_read(file=call.name("F"), page=call.number("PAGE"))


def _pwrite(call: Call) -> Procedure:
    from model.kernel.fs.vfs import kernel_write

    return kernel_write(file=call.name("F"), page=call.number("PAGE"), value=call.number("BYTE"))


def _pipe(call: Call) -> Procedure:
    from model.kernel.fs.pipe import alloc_pipe_info

    return alloc_pipe_info(name=call.name("R"))


def _pipe_write(call: Call) -> Procedure:
    from model.kernel.fs.pipe import pipe_write

    return pipe_write(name=call.name("R"), value=call.number("BYTE"))


def _pipe_read(call: Call) -> Procedure:
    from model.kernel.fs.pipe import pipe_read

    return pipe_read(name=call.name("R"))


def _splice(call: Call) -> Procedure:
    from model.kernel.fs.pipe import splice_file_to_pipe

    return splice_file_to_pipe(file=call.name("F"), page=call.number("PAGE"), name=call.name("R"))


CALLS: Final[dict[str, Builder]] = {
    "memfd": _memfd,
    "seal": _seal,
    "diskfile": _diskfile,
    "dax": _dax,
    "truncate": _truncate,
    "punch": _punch,
    "fsync": _fsync,
    "pread": _pread,
    "pwrite": _pwrite,
    "pipe": _pipe,
    "pipe-write": _pipe_write,
    "pipe-read": _pipe_read,
    "splice": _splice,
}
