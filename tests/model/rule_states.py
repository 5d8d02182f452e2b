"""States in which each rule is broken, or nearly: what `test_invariants_reads` changes entry by entry."""

from functools import cache
from itertools import pairwise
from typing import Final

from model.kernel.arch.tlb import flush_tlb_range
from model.memory.buffer_records import Buffer
from model.memory.events import Access
from model.memory.flags import (
    PAGE_PSE,
    PAGE_SHARED_TABLE,
    PAGE_SPECIAL,
    PG_ANON_EXCLUSIVE,
    PG_HEAD,
    PG_SWAPCACHE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import File, Folio, Frame, Process, Pte, Reference, SwapSlot, TlbEntry, Vma
from model.memory.state import State, Transaction
from model.memory.tasks import Locals, Task
from model.session.session import Session
from tests.model.broken_machines import RW, USER, Scenery, anon, machine, process, remembered

SCRIPTS: Final = {
    "anonymous memory, a pin gone stale": """
        device nic
        process p0
        mmap p0 buf anon private rw 2
        write p0 buf 1
        gup p0 buf as=r pin write by=nic
        madvise p0 buf dontneed
        dma r write 7
        write p0 buf 2
        dma r read
    """,
    "a fork that shares, and a get that does not keep up": """
        device nic
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r by=nic
        fork p0 p1
        write p0 buf 2
        dma r write 9
    """,
    "a held page whose entry ksmd has cleared for the moment": """
        process p0
        mmap p0 buf anon private rw 4
        madvise p0 buf mergeable
        write p0 buf+0 1
        write p0 buf+3 1
        ksm-scan
        gup p0 buf+3 as=r
        begin K ksm-scan
        step K 13
    """,
    "a file, its pages and a hole": """
        device nic
        memfd f 2
        process p0
        mmap p0 buf memfd:f shared rw 2
        write p0 buf 1
        gup p0 buf as=r pin write by=nic
        punch f 0 1
        dma r write 3
        read p0 buf
    """,
    "swap": """
        set swap file
        memfd f 1
        process p0
        mmap p0 buf anon private rw 1
        mmap p0 shm memfd:f shared rw 1
        write p0 buf 1
        write p0 shm 2
        gup p0 buf as=r
        gup p0 shm as=s
        reclaim p0 buf
        reclaim p0 shm
        peek r
        peek s
    """,
    "a buffer that moves under a reference": """
        device nic
        process p0
        bo b 1 in=gtt exporter=insert-page
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        gup p0 buf as=r write by=nic
        move b vram
        dma r write 9
        bo c 1 in=gtt
        dma r write 8
    """,
    "a driver that does not zap": """
        set vram 4
        process p0
        bo b 1 in=gtt exporter=no-zap
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        move b vram
        write p0 buf 66
        bo c 1 in=gtt
        write p0 buf 67
    """,
    "a driver that does not flush": """
        process p0
        bo b 1 in=gtt exporter=no-flush
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        move b vram
        write p0 buf 66
    """,
    "an importer": """
        device nic
        process p0
        bo b 1 in=gtt exporter=qxl
        mmap p0 buf bo:b shared rw 1
        export b as=d
        attach d nic dynamic
        map d nic as=m
        dma m write 5
    """,
    "i915: a buffer of a shmem file": """
        device nic
        process p0
        bo b 1 exporter=i915-shmem
        mmap p0 buf bo:b shared rw 1
        write p0 buf 1
        export b as=d
        attach d nic
        evict b
        map d nic as=m
        dma m write 7
        read p0 buf
    """,
    "udmabuf and its memfd": """
        set kernel 6.1
        memfd f 1
        process p0
        mmap p0 own memfd:f shared rw 1
        write p0 own 1
        seal f shrink
        bo b 1 exporter=udmabuf memfd=f
        mmap p0 buf bo:b shared rw 1
        read p0 buf
        punch f 0 1
        write p0 own 2
    """,
    "a file on disk, cleaned under a device": """
        set kernel 6.1
        device nic
        process p0
        diskfile f 1
        mmap p0 buf file:f shared rw 1
        write p0 buf 1
        gup p0 buf as=r write pin by=nic
        fsync f
        dma r write 3
    """,
    "secret and read-only memory": """
        device nic
        process p0
        mmap p0 s secretmem shared rw 1
        write p0 s 83
        mirror p0 s as=m by=nic
        mmap p0 buf anon private rw 1
        write p0 buf 1
        mprotect p0 buf r
        grab p0 buf as=g by=nic
        dma m read
        dma g write 9
    """,
    "storage": """
        dax f 2
        process p0
        mmap p0 buf dax:f shared rw 2
        write p0 buf 1
        gup p0 buf as=r pin write
        dma r write 2
        madvise p0 buf dontneed
        truncate f 0
    """,
}
"""Name → script."""


def _held_by_all_kinds(tx: Transaction) -> None:
    """Frame 5 is held in every way there is, and counts one reference and two mappings more than that."""
    tx.frames[5] = Frame("kernel", refcount=7, mapcount=2)
    tx.page_cache["perf#1", 0] = 5
    tx.ptes["p0", 17] = Pte(5, USER | PAGE_SPECIAL)
    tx.tables["p0", 1, 9] = Pte(5, RW)
    tx.processes["p1"] = Process(cpu=0, pgd=5)
    tx.references["r"] = Reference("get", "p0", 20, (5,))
    tx.references["s"] = Reference("map", "", 0, (5,), counted=False)
    tx.buffers["u"] = Buffer(1, "udmabuf", frames=(5,), memfd="perf#1", counted=True)
    tx.tasks["main"] = Task("p0", 0, (Locals(holds=(5,)),))


def _free_in_hands(tx: Transaction) -> None:
    tx.tasks["main"] = Task("p0", 0, (Locals(holds=(9,)),))


def _pinned_not_exclusive(tx: Transaction) -> None:
    tx.frames[5] = Frame("anon", 1025, 1, pins=1)
    tx.ptes["p0", 17] = Pte(5, USER)
    tx.references["r"] = Reference("pin", "p0", 17, (5,))


def _storage_counted_twice(tx: Transaction) -> None:
    """A block of storage behind a special entry: whether it counts one too many or two is up to the kernel."""
    tx.frames[5] = Frame("dax", refcount=2, mapcount=2, mapping="f")
    tx.ptes["p0", 17] = Pte(5, USER | PAGE_SPECIAL)


def _flush_owed(tx: Transaction) -> None:
    tx.tasks["main"] = Task("p0", 0, (flush_tlb_range(mm="p0", start=16, end=32),))


def _swapped_buffer(tx: Transaction) -> None:
    """A buffer of a shmem file whose first page is in the swap cache, and mapped; the second is held there."""
    tx.files["bo:b"] = File("drm", size=2, i_mmap=(("p0", 16),))
    tx.buffers["b"] = Buffer(2, "i915-shmem", file="bo:b")
    tx.vmas["p0", 16] = Vma(16, 18, VM_READ | VM_WRITE | VM_SHARED, file="bo:b", ops="shmem")
    for index in (0, 1):
        tx.swapped["bo:b", index] = index
        tx.swap_slots[index] = SwapSlot(count=1, pfn=5 + index)
        tx.frames[5 + index] = Frame("file", 2, 1 - index, flags=PG_SWAPCACHE, swap=index)
    tx.ptes["p0", 16] = Pte(5, RW)
    tx.references["r"] = Reference("get", "p0", 17, (6,))


def _huge_entry(tx: Transaction) -> None:
    """A buffer that has moved away from under an entry of 2 MiB, which a TLB remembers."""
    tx.files["bo:b"] = File("drm", size=512, i_mmap=(("p0", 512),))
    tx.buffers["b"] = Buffer(1, "ttm-huge", frames=(2048,), file="bo:b")
    tx.vmas["p0", 512] = Vma(512, 1024, VM_READ | VM_WRITE | VM_SHARED, file="bo:b", ops="ttm-huge")
    tx.frames[1024] = Frame("buffer", mapping="ttm_pool")
    tx.tables["p0", 1, 1] = Pte(1024, RW | PAGE_PSE | PAGE_SPECIAL)
    tx.tlbs[1] = (TlbEntry("p0", 513, Pte(1025, RW)),)


def _huge_page(tx: Transaction) -> None:
    """A huge page with too many counts: pinned, exclusive, and mapped by two processes, by one in part."""
    tx.processes["p1"] = Process(cpu=1)
    tx.frames[1024] = Frame("anon", 6, 4, pins=1, flags=PG_HEAD | PG_ANON_EXCLUSIVE, order=9, mapping="anon_vma:1")
    tx.folios[1024] = Folio(entire=1, mapcounts=((7, 1), (9, 0)), exclusive=((7, 1), (8, 0)))
    tx.tables["p0", 1, 1] = Pte(1024, RW | PAGE_PSE)
    tx.frames[6] = Frame("pgtable", 1)
    tx.deposits["p0", 1] = 6
    tx.frames[7] = Frame("pgtable", 1)
    tx.rcu[1] = (7,)
    tx.frames[8] = Frame("pgtable", 1)
    tx.tables["p0", 2, 1] = Pte(8, USER)
    tx.tables["p1", 2, 1] = Pte(8, USER | PAGE_SHARED_TABLE)
    tx.tables["p1", 1, 512] = Pte(1024, RW | PAGE_PSE | PAGE_SHARED_TABLE)
    tx.shared_tables[8] = (("p0", 1), ("p1", 1))
    tx.ptes["p1", 519] = Pte(1031, USER)
    tx.ptes["p1", 520] = Pte(1032, USER)
    tx.references["r"] = Reference("pin", "p1", 520, (1032, 1033), heads=(1032,))


def _pinned_huge_page(tx: Transaction) -> None:
    """A huge page that its process may have to copy although it is pinned."""
    tx.frames[1024] = Frame("anon", 2, 1, pins=1, flags=PG_HEAD, order=9, mapping="anon_vma:1")
    tx.folios[1024] = Folio(entire=1)
    tx.tables["p0", 1, 1] = Pte(1024, USER | PAGE_PSE)
    tx.references["r"] = Reference("pin", "p0", 520, (1032,))


BY_HAND: Final[dict[str, tuple[Scenery, ...]]] = {
    "held in every way, and counted wrongly": (process("p0"), _held_by_all_kinds),
    "a free frame that a call holds": (process("p0"), _free_in_hands),
    "a pinned page that is not exclusive": (process("p0"), _pinned_not_exclusive),
    "storage, counted twice": (process("p0"), _storage_counted_twice),
    "a flush that is owed": (process("p0"), anon(5, refs=1), remembered(5), _flush_owed),
    "a buffer in swap": (process("p0"), _swapped_buffer),
    "a huge entry that is stale": (process("p0", 512, 1024), _huge_entry),
    "a huge page, counted wrongly": (process("p0", 512, 1024), _huge_page),
    "a huge page, pinned and not exclusive": (process("p0", 512, 1024), _pinned_huge_page),
}
"""What no sound kernel gets into."""

NAMES: Final = (*SCRIPTS, *BY_HAND)

MOST: Final = 2
"""States of each script that are looked at: the last ones, where all is there."""


@cache
def states(name: str) -> list[State]:
    """The States after the commands of a script, and some from inside its commands."""
    if name in BY_HAND:
        return [machine(*BY_HAND[name])]
    nodes = _played(SCRIPTS[name]).timeline.nodes
    ends = [node.state for node, after in pairwise(nodes) if node.command != after.command]
    return [*dict.fromkeys((*ends, *(node.state for node in nodes[::40]), nodes[-1].state))][-MOST:]


@cache
def accesses(name: str) -> list[tuple[State, Access]]:
    """Each byte that a script reads or writes, with the State right after it."""
    return [
        (node.state, event)
        for node in _played(SCRIPTS[name]).timeline.nodes
        if node.stepped is not None
        for event in node.stepped.events
        if isinstance(event, Access)
    ]


@cache
def _played(text: str) -> Session:
    session = Session()
    for line in text.strip().splitlines():
        session.run(line.strip())
    return session
