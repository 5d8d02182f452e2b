"""Nothing in a State can be changed in place, and every entry can be a key."""

import msgspec
import pytest

from model.engine.procedure import advance, begin
from model.kernel.arch.boot import boot
from model.kernel.mm.mm_alloc import mm_alloc
from model.memory.state import TABLES
from model.memory.tasks import Locals
from tests.model.play import Play
from tests.model.rule_states import NAMES, states

IN_FLIGHT = """
    process p0
    mmap p0 buf anon private rw 1
    begin T write p0 buf 1
    step T 4
    begin F fork p0 p1
    step F 2
"""


def test_every_entry_has_a_hash_that_follows_from_its_value() -> None:
    machines = [Play("device nic", IN_FLIGHT).state, *(state for name in NAMES for state in states(name))]
    for state in machines:
        for number, table in enumerate(TABLES):
            for key, value in state.maps[number].items():
                twin = msgspec.structs.replace(value) if isinstance(value, msgspec.Struct) else value
                assert (hash(key), hash(value)) == (hash(key), hash(twin)), table.name


def test_a_call_in_flight_is_frozen_like_every_record() -> None:
    before = begin(boot(), "main", mm_alloc(mm="p0"), "", 0)
    fingerprint = before.fingerprint
    call = before.tasks["main"].stack[0]
    for name in ("pc", "mm"):
        with pytest.raises(AttributeError, match="mm_alloc is part of a State"):
            setattr(call, name, "changed")
    advance(before, "main")
    assert (call.pc, before.fingerprint) == (0, fingerprint)


def test_a_call_is_frozen_again_after_its_step_and_after_its_callee_returns() -> None:
    for task in Play("device nic", IN_FLIGHT).state.tasks.values():
        assert task.stack
        for call in task.stack:
            with pytest.raises(AttributeError, match="part of a State"):
                call.pc = 0


def test_equal_calls_have_equal_hashes_and_different_ones_are_told_apart() -> None:
    one, same, other = mm_alloc(mm="p0"), mm_alloc(mm="p0"), mm_alloc(mm="p1")
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same, other, Locals()}) == 3
