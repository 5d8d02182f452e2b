"""Recorded ops on userfaultfd: opened, registered, and each ioctl that fills or protects."""

from collections.abc import Callable

from model.engine.procedure import Procedure
from model.kernel.mm.userfaultfd import MODES, userfaultfd_open
from model.kernel.mm.userfaultfd_fill import userfaultfd_continue, userfaultfd_copy
from model.kernel.mm.userfaultfd_move import userfaultfd_move
from model.kernel.mm.userfaultfd_register import userfaultfd_register, userfaultfd_release
from model.kernel.mm.userfaultfd_wp import userfaultfd_writeprotect
from model.replay import ops
from model.replay.machine import OK, Machine, Reply


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
