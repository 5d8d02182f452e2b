"""Every invariant: a case that breaks it and is explained, and a case close by that must not."""

from collections.abc import Callable

import pytest

from model.invariants.checker import Checker
from model.invariants.rules import INVARIANTS
from model.invariants.violation import SEVERITIES, Violation
from model.kernel.boot import ZERO_PFN, boot
from model.kernel.procedure import Stepped
from model.memory.flags import (
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_PRESENT,
    PAGE_RW,
    PAGE_SPECIAL,
    PAGE_USER,
    PG_ANON_EXCLUSIVE,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import (
    Access,
    Device,
    Event,
    File,
    Frame,
    Label,
    Locals,
    Lock,
    Process,
    Pte,
    Reference,
    Splat,
    Task,
    TlbEntry,
    Vma,
)
from model.memory.state import State, Transaction

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


# -- a healthy machine -------------------------------------------------------------------------


def test_a_healthy_machine_breaks_nothing() -> None:
    state = machine(
        process("p0"),
        process("p1", file="f", flags=VM_READ | VM_WRITE | VM_SHARED),
        anon(5, ("p0", 17)),
        anon(6, ("p0", 18), ("p1", 30)),
        cached(7, "f", 1, ("p1", 17)),
        reference("r0", "p0", 17, 5),
        reference("r1", "p1", 17, 7, kind="get"),
        lambda tx: tx.ptes.__setitem__(("p0", 20), Pte(ZERO_PFN, USER | PAGE_SPECIAL)),
        lambda tx: tx.tlbs.__setitem__(0, (TlbEntry("p0", 17, Pte(5, RW)),)),
    )
    assert standing(state) == []


def test_every_invariant_says_its_rule_in_one_sentence_and_knows_its_symptom() -> None:
    for name, invariant in INVARIANTS.items():
        assert invariant.name == name
        assert invariant.rule.endswith(".")
        assert ". " not in invariant.rule
        assert len(invariant.symptom) > 20
        assert invariant.severity in SEVERITIES


# -- reference-accounting ----------------------------------------------------------------------


def test_a_reference_without_an_owner_is_a_leak() -> None:
    found = only(machine(process("p0"), anon(5, ("p0", 17), refs=1)), "reference-accounting")
    assert found.severity == "hazard"
    assert found.subjects == ("frame:5", "pte:p0:17")
    assert found.message == (
        "Frame 5 has refcount 2, but is held by the entry of p0 buf+1 (page 17): that makes 1. "
        "1 reference has no owner: nobody will drop it, and the frame is never freed."
    )


def test_a_holder_that_is_not_counted_will_lose_the_page() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), lambda tx: tx.frames.update(5, refcount=1)
    )
    found = only(state, "reference-accounting")
    assert found.severity == "corruption"
    assert found.subjects == ("frame:5", "ref:r0", "pte:p0:17")
    assert "has refcount 1, but is held by the pin r0 (1024) and the entry of p0 buf+1 (page 17)" in found.message
    assert "freed under them" in found.message


@pytest.mark.parametrize(
    "scenery",
    [
        anon(5, ("p0", 17), refs=1, flags=PG_SWAPCACHE),
        anon(5, ("p0", 17), refs=1, flags=PG_PRIVATE),
        lambda tx: (anon(5, ("p0", 17), refs=2)(tx), task("main", holds=(5, 5))(tx)),
        lambda tx: (anon(5, ("p0", 17), refs=1024)(tx), task("main", pins=(5,))(tx)),
        lambda tx: (tx.frames.__setitem__(5, Frame("kernel", 1)), tx.page_cache.__setitem__(("perf#1", 0), 5)),
        lambda tx: tx.frames.__setitem__(5, Frame("reserved", 7)),
    ],
)
def test_swap_cache_private_data_tasks_and_owners_count(scenery: Scenery) -> None:
    assert broken(machine(process("p0"), scenery)) == []


def test_a_count_on_a_free_frame_is_wrong() -> None:
    found = only(machine(lambda tx: tx.frames.__setitem__(9, Frame("free", 1))), "reference-accounting")
    assert "A free page with a count" in found.message


# -- map-accounting ----------------------------------------------------------------------------


def test_a_mapcount_that_does_not_match_the_entries() -> None:
    found = only(machine(process("p0"), anon(5, ("p0", 17), maps=1)), "map-accounting")
    assert found.message.startswith(
        "Frame 5 has mapcount 2, but is mapped by 1 entry: the entry of p0 buf+1 (page 17)."
    )
    found = only(machine(process("p0"), anon(5, ("p0", 17), maps=-1)), "map-accounting")
    assert "takes the count below zero" in found.message


def test_between_clearing_the_entry_and_dropping_the_mapcount_a_task_owes_it() -> None:
    in_flight = task("main", holds=(5,), owes_rmap=(5,))
    assert broken(machine(process("p0"), anon(5, refs=1, maps=1), in_flight)) == []


# -- underflow ---------------------------------------------------------------------------------


def test_a_count_below_zero() -> None:
    found = only(machine(lambda tx: tx.frames.__setitem__(9, Frame("free", -1))), "underflow")
    assert found.severity == "corruption"
    assert found.message.startswith("Frame 9 is free and has refcount -1: somebody gave back more than was taken.")


def test_zero_is_not_below_zero() -> None:
    assert broken(machine(lambda tx: tx.frames.__setitem__(9, Frame("free", 0)))) == []


# -- special-counted ---------------------------------------------------------------------------


def zero_mapped(tx: Transaction) -> None:
    tx.ptes["p0", 17] = Pte(ZERO_PFN, USER | PAGE_SPECIAL)


def test_a_special_entry_that_was_counted() -> None:
    state = machine(process("p0"), zero_mapped, lambda tx: tx.frames.update(ZERO_PFN, mapcount=1))
    found = only(state, "special-counted")
    assert found.subjects == ("frame:0", "pte:p0:17")
    assert found.message.startswith(
        "The shared zero page is mapped by the special entry of p0 buf+1 (page 17), "
        "and has mapcount 1 where 0 is right."
    )


def test_a_special_entry_of_ordinary_memory_that_was_counted() -> None:
    state = machine(
        process("p0", flags=VM_READ | VM_PFNMAP),
        lambda tx: tx.frames.__setitem__(5, Frame("kernel", 2, 1)),
        lambda tx: tx.page_cache.__setitem__(("perf#1", 0), 5),
        lambda tx: tx.ptes.__setitem__(("p0", 17), Pte(5, USER | PAGE_SPECIAL)),
    )
    assert "has mapcount 1 where 0 is right and refcount 2 where 1 is right" in only(state, "special-counted").message


def test_a_special_entry_that_was_not_counted() -> None:
    assert broken(machine(process("p0"), zero_mapped)) == []


# -- freed-while-mapped, freed-while-referenced ------------------------------------------------


def test_a_free_frame_that_is_still_mapped() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), lambda tx: tx.frames.__delitem__(5))
    found = only(state, "freed-while-mapped")
    assert found.severity == "corruption"
    assert found.subjects == ("frame:5", "pte:p0:17")
    assert found.message.startswith(
        "Frame 5 was given back to the allocator, but the entry of p0 buf+1 (page 17) still points at it."
    )


def test_a_free_frame_behind_a_special_entry_is_noticed_here_and_nowhere_else() -> None:
    state = machine(process("p0"), lambda tx: tx.ptes.__setitem__(("p0", 17), Pte(5, USER | PAGE_SPECIAL)))
    assert "the special entry of p0 buf+1" in only(state, "freed-while-mapped").message


def test_a_free_frame_that_a_reference_holds() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17),
        lambda tx: tx.frames.__delitem__(5),
    )  # fmt: skip
    found = [violation for violation in standing(state) if violation.invariant == "freed-while-referenced"]
    assert found[0].subjects == ("frame:5", "ref:r0")
    assert "but the pin r0 still holds it" in found[0].message


def test_a_frame_that_is_only_referenced_lives() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17))
    assert broken(state) == ["stale-reference"]


# -- exclusive-shared, pinned-shared -----------------------------------------------------------


def test_an_exclusive_page_with_two_entries() -> None:
    state = machine(process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), flags=PG_ANON_EXCLUSIVE))
    found = only(state, "exclusive-shared")
    assert "2 entries map it: p0 buf+1 (page 17) and p1 buf+1 (page 17)" in found.message
    assert broken(machine(process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), bits=USER))) == []


def test_a_pinned_page_that_copy_on_write_may_take_away() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), bits=USER), reference("r0", "p0", 17, 5)
    )
    found = only(state, "pinned-shared")
    assert found.subjects == ("frame:5", "ref:r0", "pte:p0:17", "pte:p1:17")
    assert "it is not marked AnonExclusive" in found.message


def test_a_got_page_may_be_shared() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), bits=USER),
        reference("r0", "p0", 17, 5, kind="get"),
    )  # fmt: skip
    assert broken(state) == []


# -- stale-reference ---------------------------------------------------------------------------


def test_a_reference_whose_entry_was_cleared() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17))
    found = only(state, "stale-reference")
    assert found.severity == "hazard"
    assert found.subjects == ("ref:r0", "frame:5", "pte:p0:17")
    assert found.message == (
        "r0 holds frame 5, taken at p0 buf+1 (page 17). The entry there is empty now, and the next access brings in "
        "another page. The reference keeps frame 5 from being freed; it never kept the entry from changing. "
        "What nic writes will not be where p0 looks."
    )


def test_a_reference_whose_entry_maps_another_frame() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5, kind="get", write=False),
        unmapped("p0", 17), anon(9, ("p0", 17)),
    )  # fmt: skip
    found = only(state, "stale-reference")
    assert "The page table maps frame 9 there now." in found.message
    assert "What p0 writes there from now on, nic will not see." in found.message


def test_a_reference_on_the_zero_page_goes_stale_with_the_first_write() -> None:
    taken = (process("p0"), zero_mapped, reference("r0", "p0", 17, ZERO_PFN, kind="get", write=False))
    assert broken(machine(*taken)) == []
    found = only(machine(*taken, lambda tx: tx.ptes.__delitem__(("p0", 17)), anon(5, ("p0", 17))), "stale-reference")
    assert found.message.startswith("r0 holds the shared zero page, taken at p0 buf+1 (page 17).")


def test_all_stale_pages_of_a_reference_are_one_violation() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), anon(6, ("p0", 18)), anon(7, ("p0", 19)),
        reference("r0", "p0", 17, 5, 6, 7), unmapped("p0", 18), unmapped("p0", 19),
    )  # fmt: skip
    found = only(state, "stale-reference")
    assert found.message.startswith("r0 holds frame 6, taken at p0 buf+2 (page 18) (and 1 more page likewise).")


def test_a_moved_page_and_an_unmapped_area_are_told_apart() -> None:
    taken = (process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5))
    moved = machine(*taken, unmapped("p0", 17), anon(5, ("p0", 29)), lambda tx: tx.frames.update(5, refcount=1025))
    moved = changed(moved, lambda tx: tx.frames.update(5, pins=1))
    assert "the page has moved to p0 buf+13 (page 29)" in standing(moved)[-1].message
    gone = machine(*taken, unmapped("p0", 17), lambda tx: tx.vmas.__delitem__(("p0", 16)))
    message = only(gone, "stale-reference").message
    assert "p0 has nothing mapped there any more." in message
    assert message.endswith("Whatever nic still does with it, p0 has no view of it.")


def test_what_the_next_access_would_map_again_is_not_stale() -> None:
    shared = process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED)
    state = machine(shared, cached(7, "f", 1, ("p0", 17)), reference("r0", "p0", 17, 7), unmapped("p0", 17))
    assert broken(state) == []
    truncated = changed(
        state, lambda tx: tx.page_cache.__delitem__(("f", 1)), lambda tx: tx.frames.update(7, refcount=1024)
    )
    assert broken(truncated) == ["stale-reference"]


def test_a_swapped_page_is_the_same_as_long_as_it_is_in_the_swap_cache() -> None:
    def swapped(flags: int) -> Scenery:
        def build(tx: Transaction) -> None:
            tx.ptes["p0", 17] = Pte(1, kind="swap")
            tx.frames[5] = Frame("anon", 2 if flags else 1, flags=flags)
            tx.references["r0"] = Reference("get", "p0", 17, (5,))

        return build

    assert broken(machine(process("p0"), swapped(PG_SWAPCACHE))) == []
    assert "a swap entry there now" in only(machine(process("p0"), swapped(0)), "stale-reference").message


def test_nobody_is_left_to_be_surprised_when_the_process_is_gone() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17),
        lambda tx: tx.vmas.__delitem__(("p0", 16)), lambda tx: tx.processes.__delitem__("p0"),
    )  # fmt: skip
    assert broken(state) == []


# -- stale-tlb ---------------------------------------------------------------------------------


def remembered(pfn: int, bits: int = RW, cpu: int = 1) -> Scenery:
    return lambda tx: tx.tlbs.__setitem__(cpu, (TlbEntry("p0", 17, Pte(pfn, bits)),))


def test_a_translation_that_outlives_its_entry() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), remembered(5), unmapped("p0", 17), anon(6, ("p0", 17)))
    state = changed(state, lambda tx: tx.frames.__delitem__(5))
    found = only(state, "stale-tlb")
    assert found.subjects == ("tlb:1:p0:17", "frame:5")
    assert found.message == (
        "cpu1 still remembers that p0 buf+1 (page 17) is frame 5, but the page table maps frame 6 there, and nobody is "
        "going to flush it. p0 can go on to read and write frame 5 on this CPU without a fault; the frame is free, and "
        "the next allocation hands it to somebody else."
    )


def test_a_translation_may_outlive_its_entry_while_somebody_keeps_the_page_for_the_flush() -> None:
    scenery = (process("p0"), process("p1"), anon(5, refs=1), remembered(5))
    assert broken(machine(*scenery, task("main", "p1", holds=(5,)))) == []
    assert "stale-tlb" in broken(machine(*scenery, task("main", "p1")))


def test_a_frame_that_is_freed_before_the_flush_is_wrong_even_while_the_call_runs() -> None:
    assert broken(machine(process("p0"), remembered(5), task("main"))) == ["stale-tlb"]


def test_a_cached_translation_may_permit_less_but_not_more() -> None:
    assert broken(machine(process("p0"), anon(5, ("p0", 17), bits=RW), remembered(5, USER))) == []
    found = only(machine(process("p0"), anon(5, ("p0", 17), bits=USER), remembered(5)), "stale-tlb")
    assert "the page table allows only reading there" in found.message
    assert "the frame is held by the entry of p0 buf+1 (page 17)" in found.message


# -- lock-left-held ----------------------------------------------------------------------------


def test_a_lock_that_a_finished_call_still_holds() -> None:
    state = machine(process("p0"), lambda tx: tx.locks.__setitem__(("mmap_lock", "p0"), Lock("main")))
    found = only(state, "lock-left-held")
    assert found.subjects == ("lock:mmap_lock:p0", "task:main")
    assert found.message == (
        "Task main has ended and still holds mmap_lock of p0: the next call that needs it waits for ever."
    )
    assert broken(changed(state, task("main"))) == []


def test_a_cpu_left_with_interrupts_off() -> None:
    state = machine(lambda tx: tx.cpus.update(1, irqs_off_by="walker"))
    assert only(state, "lock-left-held").subjects == ("cpu:1", "task:walker")
    assert broken(changed(state, task("walker"))) == []


# -- what accesses do --------------------------------------------------------------------------


def dma(page: int, pfn: int, value: int, *, write: bool) -> Access:
    return Access(pfn, write, value, reference="r0", page=page, device="nic")


def names(found: list[Violation]) -> list[str]:
    return [violation.invariant for violation in found]


def test_a_device_writes_where_nobody_looks() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17))
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["lost-write"]
    assert found[0].subjects == ("ref:r0", "frame:5", "pte:p0:17")
    assert found[0].message == (
        "nic wrote 0x09 to frame 5 through r0, for p0 buf+1 (page 17). p0 has no page there now; its next access gets "
        "another one, or a signal. The byte never arrives, and no error is reported."
    )


def test_a_device_writes_where_the_process_looks() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_a_device_reads_what_the_process_no_longer_writes_to() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17), anon(9, ("p0", 17)),
        lambda tx: tx.content.__setitem__(9, 3),
    )  # fmt: skip
    found = after(state, dma(0, 5, 1, write=False))
    assert names(found) == ["lost-write"]
    assert "what p0 has at p0 buf+1 (page 17) is 0x03, in frame 9. The device works with old data" in (found[0].message)
    assert after(state, dma(0, 5, 3, write=False)) == [], "the bytes are the same: nobody can tell"
    untouched = machine(process("p0"), zero_mapped, anon(5), reference("r0", "p0", 17, 5))
    assert after(untouched, dma(0, 5, 1, write=False)) == [], "the process has written nothing there"


def test_a_moved_page_still_carries_bytes_to_its_process() -> None:
    state = machine(process("p0"), anon(5, ("p0", 29)), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_bytes_for_memory_that_was_given_up_are_not_lost() -> None:
    state = machine(process("p0", 20, 32), anon(5), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_after_fork_the_page_may_have_stayed_with_the_child() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p1", 17)), anon(9, ("p0", 17)),
        reference("r0", "p0", 17, 5, kind="get"),
    )  # fmt: skip
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["foreign-dma", "lost-write"]
    assert found[0].subjects == ("ref:r0", "frame:5", "pte:p0:17", "pte:p1:17")
    assert found[0].message == (
        "nic wrote 0x09 to frame 5, which r0 took from p0 buf+1 (page 17). By now that frame belongs to p1, which has "
        "it at p1 buf+1 (page 17). p0 has another page there; the device was never told."
    )
    assert names(after(state, dma(0, 5, 0, write=False))) == ["foreign-dma"]


def test_a_pin_makes_fork_copy_so_nothing_foreign_is_reached() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17)),
        anon(9, ("p1", 17)), reference("r0", "p0", 17, 5),
    )  # fmt: skip
    assert after(state, dma(0, 5, 9, write=True)) == []
    assert broken(state) == []


def test_a_device_writes_past_copy_on_write() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), bits=USER),
        reference("r0", "p0", 17, 5, kind="get"),
    )  # fmt: skip
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["foreign-dma"]
    assert "By now that frame also belongs to p1" in found[0].message
    assert after(state, dma(0, 5, 0, write=False)) == [], "both still see the same byte"


def test_a_device_writes_to_shared_file_memory() -> None:
    shared = VM_READ | VM_WRITE | VM_SHARED
    state = machine(
        process("p0", file="f", flags=shared), process("p1", file="f", flags=shared),
        cached(7, "f", 1, ("p0", 17), ("p1", 17)), reference("r0", "p0", 17, 7),
    )  # fmt: skip
    assert after(state, dma(0, 7, 9, write=True)) == []
    assert after(changed(state, unmapped("p0", 17)), dma(0, 7, 9, write=True)) == []


def test_a_device_writes_to_a_file_that_the_process_may_only_copy() -> None:
    private = process("p0", file="f")
    state = machine(private, cached(7, "f", 1, ("p0", 17)), reference("r0", "p0", 17, 7, kind="get", write=False))
    found = after(state, dma(0, 7, 9, write=True))
    assert names(found) == ["foreign-dma"]
    assert "That frame belongs to file f, which p0 may only copy." in found[0].message
    assert after(state, dma(0, 7, 9, write=False)) == []
    shared = process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED)
    state = machine(shared, cached(7, "f", 1, ("p0", 17)), reference("r0", "p0", 17, 7, kind="get", write=False))
    assert after(state, dma(0, 7, 9, write=True)) == []


def test_a_device_reaches_a_frame_that_is_free_or_a_page_table() -> None:
    held = (process("p0"), reference("r0", "p0", 17, 5, kind="mirror"))
    assert "belongs to nobody: it is free" in after(machine(*held), dma(0, 5, 9, write=True))[0].message
    table = (
        lambda tx: tx.frames.__setitem__(5, Frame("pgtable", 1)),
        lambda tx: tx.tables.__setitem__(("p1", 1, 0), Pte(5, RW)),
    )
    found = after(machine(*held, process("p1"), *table), dma(0, 5, 9, write=True))
    assert "belongs to the page tables of p1" in found[0].message


def test_a_device_writes_into_the_zero_page() -> None:
    state = machine(process("p0"), zero_mapped, reference("r0", "p0", 17, ZERO_PFN, kind="get"))
    assert "belongs to everybody" in after(state, dma(0, ZERO_PFN, 9, write=True))[0].message
    assert after(state, dma(0, ZERO_PFN, 0, write=False)) == []


def test_a_user_without_a_name_is_found_out_as_well() -> None:
    state = machine(process("p0"), process("p1"), anon(5, ("p1", 17)), reference("r0", "p0", 17, 5, kind="get"))
    found = after(state, Access(5, write=True, value=1, reference="r0"))
    assert names(found) == ["foreign-dma", "lost-write"]
    assert found[0].message.startswith("Whoever uses r0 wrote 0x01 to frame 5")


def load(pfn: int, *, write: bool = False) -> Access:
    return Access(pfn, write, 7, process="p0", vpn=17)


def test_a_cpu_reaches_a_strangers_page_through_its_tlb() -> None:
    state = machine(process("p0"), process("p1"), anon(5, ("p1", 30)), anon(6, ("p0", 17)), remembered(5))
    found = after(state, load(5, write=True))
    assert names(found) == ["foreign-access"]
    assert found[0].message == (
        "p0 buf+1 (page 17): the CPU wrote 0x07 to frame 5 through a translation that only its TLB remembers. That "
        "frame belongs to p1, which has it at p1 buf+14 (page 30)."
    )


def test_a_cpu_reaches_a_free_frame_through_an_entry_that_was_left() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), lambda tx: tx.frames.__delitem__(5))
    found = after(state, load(5))
    assert names(found) == ["foreign-access"]
    assert "through an entry that should be gone. That frame belongs to nobody: it is free" in found[0].message


def test_a_cpu_may_use_the_old_page_until_the_flush() -> None:
    state = machine(process("p0"), anon(5, refs=1), remembered(5), task("main", holds=(5,)))
    assert after(state, load(5, write=True)) == []


def test_a_cpu_reaches_its_own_page() -> None:
    assert after(machine(process("p0"), anon(5, ("p0", 17))), load(5, write=True)) == []


# -- splats ------------------------------------------------------------------------------------


def test_a_splat_is_a_violation_with_the_kernels_words() -> None:
    title = "BUG: Bad page state in process p0  pfn:00005"
    found = after(machine(process("p0"), task("main")), Splat(title, ("page: refcount:1",), trace=("free_page", "put")))
    assert names(found) == ["splat"]
    assert found[0].severity == "splat"
    assert found[0].subjects == ("frame:5", "task:main", "process:p0")
    assert found[0].message.startswith(f"{title}. The allocator looked at the page")
    assert found[0].message.endswith("It was found in free_page.")
