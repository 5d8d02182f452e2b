"""Every invariant: a case that breaks it and is explained, and a case close by that must not."""

import pytest

from model.invariants.registry import INVARIANTS
from model.invariants.violation import SEVERITIES
from model.kernel.arch.boot import ZERO_PFN
from model.memory.flags import (
    PAGE_SPECIAL,
    PG_ANON_EXCLUSIVE,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import (
    Frame,
    Pte,
    TlbEntry,
)
from tests.model.broken_machines import (
    RW,
    USER,
    Scenery,
    anon,
    broken,
    cached,
    machine,
    only,
    process,
    reference,
    standing,
    task,
    unmapped,
    zero_mapped,
)

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
