"""Machines with something wrong, made by hand, and what the checker says of them."""

from collections.abc import Callable

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.registry import INVARIANTS
from model.invariants.violation import SEVERITIES, Violation
from model.kernel.arch.boot import ZERO_PFN, boot
from model.memory.buffer_records import Device
from model.memory.events import Event
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_PRESENT,
    PAGE_RW,
    PAGE_SPECIAL,
    PAGE_USER,
    PG_ANON_EXCLUSIVE,
    VM_READ,
    VM_WRITE,
)
from model.memory.records import File, Frame, Label, Process, Pte, Reference, TlbEntry, Vma
from model.memory.state import State, Transaction
from model.memory.tasks import Locals, Task

Scenery = Callable[[Transaction], object]

USER = PAGE_PRESENT | PAGE_USER | PAGE_ACCESSED
RW = USER | PAGE_RW | PAGE_DIRTY


def changed(state: State, *sceneries: Scenery) -> State:
    """The State after some changes by hand."""
    tx = Transaction(state)
    for scenery in sceneries:
        scenery(tx)
    return tx.commit()[0]


def machine(*sceneries: Scenery) -> State:
    return changed(boot(), *sceneries)


def process(name: str, start: int = 16, end: int = 32, file: str = "", flags: int = VM_READ | VM_WRITE) -> Scenery:
    """A process with one VMA; label `buf` names it."""

    def build(tx: Transaction) -> None:
        tx.processes[name] = Process(cpu=0)
        tx.vmas[name, start] = Vma(start, end, flags, file=file, ops="shmem" if file else "")
        tx.labels[name, "buf"] = Label(start, end - start)

    return build


def anon(pfn: int, *places: tuple[str, int], refs: int = 0, maps: int = 0, flags: int = 0, bits: int = RW) -> Scenery:
    """An anonymous page, mapped at `places` with right counts; `refs` and `maps` are what is added to them."""

    def build(tx: Transaction) -> None:
        mapped = len(places)
        exclusive = PG_ANON_EXCLUSIVE if mapped == 1 else 0
        tx.frames[pfn] = Frame("anon", mapped + refs, mapped + maps, flags=flags | exclusive)
        for place in places:
            tx.ptes[place] = Pte(pfn, bits)

    return build


def cached(pfn: int, file: str, index: int, *places: tuple[str, int]) -> Scenery:
    """A page of a file, in its page cache and mapped at `places`."""

    def build(tx: Transaction) -> None:
        maps = tuple(sorted((owner, 16) for owner, _ in places))
        tx.files[file] = File("memfd", size=16, i_mmap=maps)
        tx.frames[pfn] = Frame("file", 1 + len(places), len(places), mapping=file, index=index)
        tx.page_cache[file, index] = pfn
        for place in places:
            tx.ptes[place] = Pte(pfn, RW)

    return build


def reference(
    name: str, owner: str, vpn: int, *pfns: int, kind: str = "pin", by: str = "nic", write: bool = True
) -> Scenery:
    """A reference on frames, and what it adds to their counts."""

    def build(tx: Transaction) -> None:
        tx.devices["nic"] = Device()
        tx.references[name] = Reference(kind, owner, vpn, pfns, by, write)  # type: ignore[arg-type]
        for pfn in pfns:
            frame = tx.frames.get(pfn)
            if frame is not None and frame.kind != "zero":
                pinned = kind == "pin"
                tx.frames.update(pfn, refcount=frame.refcount + (1024 if pinned else 1), pins=frame.pins + pinned)

    return build


def unmapped(owner: str, vpn: int) -> Scenery:
    """An entry cleared, counts and all."""

    def build(tx: Transaction) -> None:
        pfn = tx.ptes[owner, vpn].pfn
        del tx.ptes[owner, vpn]
        if (frame := tx.frames[pfn]).kind != "zero":
            tx.frames.update(pfn, refcount=frame.refcount - 1, mapcount=frame.mapcount - 1)

    return build


def task(name: str, owner: str = "p0", **locals_: tuple[int, ...]) -> Scenery:
    """A call in flight that holds or owes something."""

    def build(tx: Transaction) -> None:
        tx.tasks[name] = Task(owner, 0, (Locals(**locals_),))  # type: ignore[arg-type]

    return build


def standing(state: State) -> list[Violation]:
    return list(Checker.full(state).violations)


def broken(state: State) -> list[str]:
    return [violation.invariant for violation in standing(state)]


def only(state: State, invariant: str) -> Violation:
    """The one violation of a State."""
    found = standing(state)
    assert [violation.invariant for violation in found] == [invariant]
    assert found[0].severity in SEVERITIES
    assert found[0].symptom == INVARIANTS[invariant].symptom
    return found[0]


def after(state: State, *events: Event) -> list[Violation]:
    """What a step of task `main` on the machine does wrong that only emits `events`."""
    before = state
    state = changed(state, lambda tx: tx.counters.__setitem__("elsewhere", 1))
    stepped = Stepped(state, "main", "some_call", "some_step", "", "", 0, (), tuple(events), "", None)
    return list(Checker.full(before).advance(before, stepped)[1])


def zero_mapped(tx: Transaction) -> None:
    tx.ptes["p0", 17] = Pte(ZERO_PFN, USER | PAGE_SPECIAL)


def remembered(pfn: int, bits: int = RW, cpu: int = 1) -> Scenery:
    return lambda tx: tx.tlbs.__setitem__(cpu, (TlbEntry("p0", 17, Pte(pfn, bits)),))
