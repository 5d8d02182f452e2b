"""MAP_GROWSDOWN: a mapping that follows the address which is touched, up to a guard gap."""

import pytest

from model.kernel.mm.limits import STACK_GUARD_GAP, STACK_LIMIT
from model.kernel.mm.mmap import MAP_GROWSDOWN, MAP_PRIVATE, do_mmap
from tests.model.address_space import assert_consistent, ranges
from tests.model.machine import RW, Machine

STACK = 10_000


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.run(do_mmap(mm="p0", pages=2, prot=RW, flags=MAP_PRIVATE | MAP_GROWSDOWN, at=STACK))
    return machine


def test_one_touch_far_below_extends_it_over_everything_between(machine: Machine) -> None:
    assert machine.write(STACK - 500, 7) == ""
    assert ranges(machine.state) == [(STACK - 500, STACK + 2)]
    assert machine.read(STACK - 1) == 0
    assert_consistent(machine.state)


def test_it_keeps_its_distance_from_what_is_mapped_below(machine: Machine) -> None:
    machine.map_private("anon", 1, at=STACK - 600)
    end = STACK - 599
    assert machine.write(end + STACK_GUARD_GAP - 1, 1) == "SIGSEGV"
    assert machine.write(end + STACK_GUARD_GAP, 1) == ""


def test_inaccessible_memory_below_needs_no_distance(machine: Machine) -> None:
    machine.map_private("anon", 1, at=STACK - 10, prot=0)
    assert machine.write(STACK - 9, 1) == ""


def test_its_size_is_limited(machine: Machine) -> None:
    lowest = STACK + 2 - STACK_LIMIT
    assert machine.write(lowest - 1, 1) == "SIGSEGV"
    assert machine.write(lowest, 1) == ""


def test_nothing_else_grows(machine: Machine) -> None:
    machine.map_private("anon", 1, at=500)
    assert machine.write(499, 1) == "SIGSEGV"
    assert machine.write(3, 1) == "SIGSEGV"
