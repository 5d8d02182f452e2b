"""A machine made by hand, with something of everything that the panes show."""

from model.kernel.arch.boot import boot
from model.memory.buffer_records import Device
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_NX,
    PAGE_PRESENT,
    PAGE_RW,
    PAGE_USER,
    PG_ANON_EXCLUSIVE,
    PG_LRU,
    VM_ACCOUNT,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import AnonVma, File, Frame, Label, Process, Pte, Reference, TlbEntry, Vma
from model.memory.state import State, Transaction

TABLE = PAGE_PRESENT | PAGE_RW | PAGE_USER
READ_ONLY = PAGE_PRESENT | PAGE_USER | PAGE_NX
WRITABLE = READ_ONLY | PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY
PRIVATE = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_ACCOUNT
SHARED = PRIVATE | VM_SHARED | VM_MAYSHARE


def machine() -> State:
    """p0 with private pages 16-20 (`buf`), p0 and p1 with the memfd `f` at 32-34, a pin on p0's first page."""
    tx = Transaction(boot())
    tx.files["f"] = File("memfd", 2, i_mmap=(("p0", 32), ("p1", 32)))
    tx.anon_vmas[1] = AnonVma((("p0", 16),))
    tx.counters["high_water"] = 40
    for index, pfn in enumerate((30, 31)):
        tx.page_cache["f", index] = pfn
        tx.frames[pfn] = Frame("file", 3, 2, flags=PG_LRU, mapping="f", index=index)
        tx.content[pfn] = 0x61 + index
    for number, process in enumerate(("p0", "p1")):
        first = 1 + 4 * number
        tx.processes[process] = Process(number, pgd=first, parent="p0" if number else "")
        for pfn in range(first, first + 4):
            tx.frames[pfn] = Frame("pgtable", 1)
        for level in (3, 2, 1):
            tx.tables[process, level, 0] = Pte(first + 4 - level, TABLE)
        tx.vmas[process, 32] = Vma(32, 34, SHARED, ops="shmem", file="f")
        tx.labels[process, "shm"] = Label(32, 2)
        tx.ptes[process, 32] = Pte(30, WRITABLE)
        tx.ptes[process, 33] = Pte(31, READ_ONLY)
    tx.vmas["p0", 16] = Vma(16, 20, PRIVATE, pgoff=16, anon_vma=1, chain=(1,))
    tx.labels["p0", "buf"] = Label(16, 4)
    for number in range(2):
        tx.frames[20 + number] = Frame("anon", 1, 1, flags=PG_LRU | PG_ANON_EXCLUSIVE, mapping="anon_vma:1", index=16)
        tx.ptes["p0", 16 + number] = Pte(20 + number, WRITABLE)
        tx.content[20 + number] = 0x41 + number
    tx.frames.update(20, refcount=1025, pins=1)
    tx.devices["nic"] = Device()
    tx.references["r0"] = Reference("pin", "p0", 16, (20,), "nic", write=True, longterm=True)
    tx.tlbs[0] = (TlbEntry("p0", 16, tx.ptes["p0", 16]),)
    tx.free[11] = 0
    tx.free[12] = 11
    tx.counters["free_head"] = 12
    return tx.commit()[0]


def unmapped(state: State) -> tuple[State, Transaction]:
    """The same machine after p0's first page was unmapped and another one came in its place; the TLB is stale."""
    tx = Transaction(state)
    tx.frames[22] = Frame("anon", 1, 1, flags=PG_LRU | PG_ANON_EXCLUSIVE, mapping="anon_vma:1", index=16)
    tx.ptes["p0", 16] = Pte(22, WRITABLE)
    tx.frames.update(20, mapcount=0, refcount=1024)
    return tx.commit()[0], tx
