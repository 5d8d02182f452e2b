"""Recorded ops on page references: taken, used for DMA and dropped; and those on another process's memory."""

from model.kernel.drivers.dma import device_access, peek_reference
from model.kernel.mm.reference import io_sqe_buffer_register, put_reference, vmsplice_get
from model.kernel.mm.remote import (
    direct_read_in,
    direct_write_out,
    mem_read,
    mem_write,
    process_vm_readv,
    process_vm_writev,
)
from model.replay import ops
from model.replay.machine import OK, Machine, Reply
from model.replay.observe import HeldReference


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
