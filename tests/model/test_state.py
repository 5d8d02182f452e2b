"""The State: what is kept, what is journalled, what is equal."""

import os
import subprocess
import sys
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.memory.buffer_records import Buffer
from model.memory.flags import PAGE_PRESENT, VM_READ, VM_WRITE
from model.memory.ordered import ceiling, floor
from model.memory.records import Cpu, Frame, Process, Pte, Reference, Vma
from model.memory.state import Change, State, Transaction


def one_page() -> State:
    """Process p0 with one writable page in frame 5."""
    tx = Transaction(State())
    tx.cpus[0] = Cpu()
    tx.processes["p0"] = Process(cpu=0)
    tx.vmas["p0", 16] = Vma(16, 17, VM_READ | VM_WRITE)
    tx.ptes["p0", 16] = Pte(5, PAGE_PRESENT)
    tx.frames[5] = Frame("anon", refcount=1, mapcount=1)
    return tx.commit()[0]


# -- keeping ----------------------------------------------------------------------------------


def test_a_state_that_was_kept_does_not_see_later_writes() -> None:
    before = one_page()
    tx = Transaction(before)
    tx.frames.update(5, refcount=2)
    del tx.ptes["p0", 16]
    after, _ = tx.commit()
    assert (before.frames[5].refcount, ("p0", 16) in before.ptes) == (1, True)
    assert (after.frames[5].refcount, ("p0", 16) in after.ptes) == (2, False)


def test_nothing_is_written_before_the_commit() -> None:
    state = one_page()
    tx = Transaction(state)
    tx.frames[6] = Frame("anon")
    assert 6 in tx.frames
    assert 6 not in state.frames


def test_a_commit_without_a_difference_is_the_same_state() -> None:
    state = one_page()
    tx = Transaction(state)
    tx.frames[5] = Frame("anon", refcount=1, mapcount=1)
    tx.frames[6] = Frame("anon")
    del tx.frames[6]
    assert tx.commit() == (state, ())
    assert tx.commit()[0] is state


# -- the journal ------------------------------------------------------------------------------


def test_the_journal_names_table_key_old_and_new() -> None:
    tx = Transaction(one_page())
    tx.frames.update(5, refcount=2)
    tx.content[5] = 0x41
    del tx.ptes["p0", 16]
    assert tx.commit()[1] == (
        Change("frames", 5, Frame("anon", 1, 1), Frame("anon", 2, 1)),
        Change("content", 5, None, 0x41),
        Change("ptes", ("p0", 16), Pte(5, PAGE_PRESENT), None),
    )


def test_the_journal_has_one_change_a_key_however_often_it_was_written() -> None:
    tx = Transaction(one_page())
    for refcount in (2, 3, 4):
        tx.frames.update(5, refcount=refcount)
    (change,) = tx.commit()[1]
    assert (change.old.refcount, change.new.refcount) == (1, 4)


def test_indices_are_not_in_the_journal() -> None:
    tx = Transaction(one_page())
    tx.ptes["p0", 17] = Pte(6, PAGE_PRESENT)
    state, journal = tx.commit()
    assert [change.table for change in journal] == ["ptes"]
    assert ceiling(state.pte_index, "p0", 17) == 17


def test_reading_what_is_not_there() -> None:
    tx = Transaction(one_page())
    with pytest.raises(KeyError, match="content"):
        tx.content[6]
    with pytest.raises(KeyError, match="references"):
        tx.references.update("r0", by="nic")
    tx.content[5] = 1
    del tx.content[5]
    with pytest.raises(KeyError, match="content"):
        tx.content[5]


def test_every_frame_has_a_struct_page() -> None:
    """A free one is not stored: whoever has kept its number finds a page that is free, and may write to it."""
    tx = Transaction(one_page())
    assert tx.frames[6] == Frame()
    assert 6 not in tx.frames
    assert tx.frames.update(6, refcount=1) == Frame(refcount=1)
    tx.frames.update(6, refcount=0)
    del tx.frames[5]
    assert tx.frames[5] == Frame()
    assert not len(tx.commit()[0].frames)


def test_the_index_is_one_whichever_table_was_asked_first() -> None:
    tx = Transaction(one_page())
    assert ceiling(tx.pte_index, "p0", 17) is None
    tx.ptes["p0", 20] = Pte(6, PAGE_PRESENT)
    assert ceiling(tx.pte_index, "p0", 17) == 20


# -- hash and equality ------------------------------------------------------------------------


def test_two_ways_to_the_same_memory_are_the_same_state() -> None:
    tx = Transaction(one_page())
    tx.references["r0"] = Reference("pin", "p0", 16, (5,))
    there, _ = tx.commit()
    tx = Transaction(there)
    del tx.references["r0"]
    back, _ = tx.commit()
    assert there != one_page()
    assert back == one_page()
    assert hash(back) == hash(one_page())
    assert len({one_page(), there, back}) == 2


def test_the_same_memory_is_not_unequal_whichever_way_it_is_asked() -> None:
    tx = Transaction(one_page())
    tx.frames.update(5, refcount=2)
    assert not one_page() != one_page()  # noqa: SIM202 -- `!=` is what is tried
    assert tx.commit()[0] != one_page()


def test_the_fingerprint_does_not_depend_on_the_run_of_python() -> None:
    """Another interpreter with another hash seed finds the same number."""
    program = "from tests.model.test_state import one_page; print(one_page().fingerprint)"
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert int(told.stdout) == one_page().fingerprint


KEYS = st.integers(0, 7)
FRAMES = st.none() | st.builds(Frame, refcount=st.integers(0, 2), mapcount=st.integers(0, 1))
PTES = st.none() | st.builds(Pte, pfn=st.integers(0, 3))
WRITES = st.lists(
    st.tuples(st.just("frames"), KEYS, FRAMES) | st.tuples(st.just("ptes"), st.tuples(st.just("p0"), KEYS), PTES),
    max_size=6,
)


def written(state: State, writes: list[tuple[str, Any, Any]]) -> State:
    """The State after one transaction."""
    tx = Transaction(state)
    for table, key, value in writes:
        view = getattr(tx, table)
        if value is None:
            del view[key]
        else:
            view[key] = value
    return tx.commit()[0]


def from_scratch(state: State) -> State:
    """The same entries, put into an empty State at once."""
    entries = [("frames", pfn, frame) for pfn, frame in state.frames.items()]
    return written(State(), [*entries, *(("ptes", at, pte) for at, pte in state.ptes.items())])


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(WRITES, max_size=30), st.sets(st.integers(0, 30)))
def test_the_fingerprint_is_that_of_the_same_memory_made_from_scratch(
    transactions: list[list[tuple[str, Any, Any]]], looks: set[int]
) -> None:
    state = State()
    for number, writes in enumerate(transactions):
        state = written(state, writes)
        if number in looks:  # asking in between must not make a difference
            assert state.fingerprint == from_scratch(state).fingerprint
    assert state == from_scratch(state)


def test_a_long_path_without_a_look_at_the_hash_ends_at_the_same_fingerprint() -> None:
    state = one_page()
    for refcount in (*range(2, 3000), 1):
        tx = Transaction(state)
        tx.frames.update(5, refcount=refcount)
        state, _ = tx.commit()
    assert state == one_page()


# -- JSON -------------------------------------------------------------------------------------


def test_json_is_the_same_for_the_same_memory() -> None:
    one = written(State(), [("frames", n, Frame(refcount=n)) for n in range(50)])
    other = written(State(), [("frames", n, Frame(refcount=n)) for n in reversed(range(50))])
    assert one.to_json() == other.to_json()


# -- the ordered index ------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(0, 40), st.integers(500, 530), st.integers(2**18 - 3, 2**18 + 3), st.integers(0, 2**36 - 1)
)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(NUMBERS), st.sets(NUMBERS), NUMBERS)
def test_ceiling_and_floor_agree_with_a_sorted_list(added: set[int], gone: set[int], probe: int) -> None:
    state = written(State(), [("ptes", ("p0", n), Pte(0)) for n in added | gone])
    state = written(state, [("ptes", ("p0", n), None) for n in gone])
    kept = sorted(added - gone)
    at = bisect_left(kept, probe)
    assert ceiling(state.pte_index, "p0", probe) == (kept[at] if at < len(kept) else None)
    at = bisect_right(kept, probe)
    assert floor(state.pte_index, "p0", probe) == (kept[at - 1] if at else None)
    assert ceiling(state.pte_index, "p1", 0) is None


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(NUMBERS))
def test_an_index_that_was_emptied_leaves_nothing(numbers: set[int]) -> None:
    state = written(State(), [("ptes", ("p0", n), Pte(0)) for n in numbers])
    state = written(state, [("ptes", ("p0", n), None) for n in numbers])
    assert len(state.pte_index) == 0
    assert state == State()


def test_equal_strings_make_equal_states() -> None:
    """A default that was read from a script is another object than the default itself."""
    read = b"system".decode()
    states = []
    for place in ("system", read):
        tx = Transaction(State())
        tx.buffers["b"] = Buffer(pages=1, place=place)  # type: ignore[arg-type]
        states.append(tx.commit()[0])
    assert states[0] == states[1]
