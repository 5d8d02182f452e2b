"""Invariants about those who remember a translation: references, TLBs, and locks that are left held."""

from typing import Final

import pytest

from model.kernel.arch.access import cpu_load
from model.kernel.arch.boot import ZERO_PFN
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.unmap import zap_page_range_single
from model.memory.flags import (
    PAGE_PROTNONE,
    PG_SWAPCACHE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import Frame, Lock, Pte, Reference, SwapSlot
from model.memory.state import Transaction
from model.memory.tasks import Locals, Task
from tests.model.broken_machines import (
    RW,
    USER,
    Scenery,
    anon,
    broken,
    cached,
    changed,
    machine,
    only,
    process,
    reference,
    remembered,
    standing,
    task,
    unmapped,
    zero_mapped,
)
from tests.model.play import Play

# -- stale-reference ---------------------------------------------------------------------------


def test_a_reference_whose_entry_was_cleared() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17))
    found = only(state, "stale-reference")
    assert found.severity == "hazard"
    assert found.subjects == ("ref:r0", "frame:5", "pte:p0:17")
    assert found.message == (
        "r0 holds frame 5, taken at p0 buf+1 (page 17). The entry there is empty now, and the next access finds "
        "zeros. The reference keeps frame 5 from being freed; it never kept the entry from changing. "
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
    assert found.message.startswith("r0 holds frame 6, taken at p0 buf+2 (page 18), and 1 more page.")


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
            tx.swap_slots[1] = SwapSlot(count=1, pfn=5 if flags else -1)
            tx.frames[5] = Frame("anon", 2 if flags else 1, flags=flags)
            tx.references["r0"] = Reference("get", "p0", 17, (5,))

        return build

    assert broken(machine(process("p0"), swapped(PG_SWAPCACHE))) == []
    assert "There is a swap entry now" in only(machine(process("p0"), swapped(0)), "stale-reference").message


def test_nobody_is_left_to_be_surprised_when_the_process_is_gone() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17),
        lambda tx: tx.vmas.__delitem__(("p0", 16)), lambda tx: tx.processes.__delitem__("p0"),
    )  # fmt: skip
    assert broken(state) == []


# -- stale-tlb ---------------------------------------------------------------------------------


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


def in_flight(call: Locals) -> Scenery:
    return lambda tx: tx.tasks.__setitem__("main", Task("p0", 0, (call,)))


def test_a_translation_may_outlive_its_entry_while_a_call_owes_the_flush() -> None:
    scenery = (process("p0"), process("p1"), anon(5, refs=1), remembered(5))
    held = in_flight(
        zap_page_range_single(mm="p0", vmas=(), start=32, end=32, flush_start=16, flush_end=32, holds=(5,))
    )
    assert broken(machine(*scenery, held)) == []
    elsewhere = in_flight(
        zap_page_range_single(mm="p0", vmas=(), start=32, end=32, flush_start=18, flush_end=32, holds=(5,))
    )
    assert broken(machine(*scenery, elsewhere)) == ["stale-tlb"]
    other_mm = in_flight(flush_tlb_range(mm="p1", start=0, end=32, holds=(5,)))
    assert broken(machine(*scenery, other_mm)) == ["stale-tlb"]


def test_a_call_that_only_works_in_the_address_space_or_holds_the_page_owes_no_flush() -> None:
    walker = in_flight(cpu_load(mm="p0", vpn=17, holds=(5,)))
    assert broken(machine(process("p0"), anon(5, refs=1), remembered(5), walker)) == ["stale-tlb"]


def test_a_frame_that_is_freed_before_the_flush_is_wrong_even_while_the_call_runs() -> None:
    flushing = in_flight(flush_tlb_range(mm="p0", start=0, end=32))
    assert broken(machine(process("p0"), remembered(5), flushing)) == ["stale-tlb"]


NO_FLUSH: Final = """
process p0
bo b 1 in=gtt exporter=no-flush
mmap p0 m bo:b shared rw 1
mmap p0 x anon private rw 1
write p0 x 1
write p0 m 65
"""


@pytest.mark.parametrize("other", ["read p0 m", "begin t gup p0 x as=r slow\nstep t 2"])
def test_a_missing_flush_is_noticed_whatever_else_is_in_flight(other: str) -> None:
    play = Play(NO_FLUSH, other)
    assert play.broken() == set()
    play.do("move b vram")
    assert play.broken() == {"stale-tlb"}


def test_a_cached_translation_may_permit_less_but_not_more() -> None:
    assert broken(machine(process("p0"), anon(5, ("p0", 17), bits=RW), remembered(5, USER))) == []
    found = only(machine(process("p0"), anon(5, ("p0", 17), bits=USER), remembered(5)), "stale-tlb")
    assert "the page table allows only reading there" in found.message
    assert "the frame is held by the entry of p0 buf+1 (page 17)" in found.message


def test_a_translation_of_memory_that_prot_none_has_closed_is_outdated() -> None:
    """The entry counts as present and leads to the same frame, yet the CPU must not use it any more."""
    closed = machine(process("p0"), anon(50, ("p0", 17), bits=PAGE_PROTNONE), remembered(50, USER))
    assert broken(closed) == ["stale-tlb"]
    assert broken(machine(process("p0"), anon(50, ("p0", 17), bits=USER), remembered(50, USER))) == []


# -- lock-left-held ----------------------------------------------------------------------------


def test_a_lock_that_a_finished_call_still_holds() -> None:
    state = machine(process("p0"), lambda tx: tx.locks.__setitem__(("mmap_lock", "p0"), Lock("main")))
    found = only(state, "lock-left-held")
    assert found.subjects == ("lock:mmap_lock:p0", "task:main")
    assert found.message == (
        "Task main has ended and still holds mmap_lock of p0: the next call that needs it waits for ever."
    )
    assert broken(changed(state, task("main"))) == []


def test_a_lock_that_a_finished_call_still_holds_for_reading() -> None:
    readers = Lock(readers=("main", "other"))
    state = machine(process("p0"), task("other"), lambda tx: tx.locks.__setitem__(("mmap_lock", "p0"), readers))
    found = only(state, "lock-left-held")
    assert found.subjects == ("lock:mmap_lock:p0", "task:main")
    assert "needs it to change something waits for ever" in found.message
    assert broken(changed(state, task("main"))) == []


def test_a_cpu_left_with_interrupts_off() -> None:
    state = machine(lambda tx: tx.cpus.update(1, irqs_off_by="walker"))
    assert only(state, "lock-left-held").subjects == ("cpu:1", "task:walker")
    assert broken(changed(state, task("walker"))) == []
