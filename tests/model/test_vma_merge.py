"""When two VMAs become one, and when they stay apart although they touch."""

from itertools import pairwise

import pytest

from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.limits import MAX_MAP_COUNT
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.mmap import MAP_PRIVATE, MAP_SHARED
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.munmap import do_munmap
from model.memory.errno import ENOMEM
from model.memory.flags import VM_EXEC, VM_READ
from model.memory.state import Transaction
from tests.model.address_space import assert_consistent, ranges, vmas
from tests.model.machine import RW, Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_mapping_between_two_equal_ones_makes_one_of_three(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100)
    machine.map_private("anon", 2, at=104)
    assert ranges(machine.state) == [(100, 102), (104, 106)]
    machine.map_private("anon", 2, at=102)
    assert ranges(machine.state) == [(100, 106)]


def test_permissions_keep_vmas_apart_until_they_agree(machine: Machine) -> None:
    machine.map_private("anon", 6, at=100)
    machine.run(do_mprotect(mm="p0", start=102, pages=2, prot=VM_READ))
    assert ranges(machine.state) == [(100, 102), (102, 104), (104, 106)]
    machine.run(do_mprotect(mm="p0", start=102, pages=2, prot=RW))
    assert ranges(machine.state) == [(100, 106)]


@pytest.mark.parametrize(("first", "second", "border"), [(100, 103, 103), (103, 100, 103)])
def test_areas_that_were_written_apart_stay_apart(machine: Machine, first: int, second: int, border: int) -> None:
    machine.map_private("anon", 2, at=100)
    machine.map_private("anon", 2, at=103)
    machine.write(first, 1)
    machine.write(second, 1)
    machine.map_private("anon", 1, at=102)
    assert ranges(machine.state) == [(100, border), (border, 105)]
    assert_consistent(machine.state)


def test_a_neighbour_that_differs_in_permissions_only_shares_its_anon_vma(machine: Machine) -> None:
    machine.map_private("anon", 4, at=100)
    machine.run(do_mprotect(mm="p0", start=102, pages=2, prot=RW | VM_EXEC))
    machine.write(100, 1)
    machine.write(102, 2)
    assert [vma.anon_vma for vma in vmas(machine.state)] == [1, 1]
    machine.run(do_mprotect(mm="p0", start=102, pages=2, prot=RW))
    assert ranges(machine.state) == [(100, 104)]


def test_what_came_from_fork_does_not_spread(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100)
    machine.write(100, 1)
    machine.run(kernel_clone(mm="p0", child="p1"))
    machine.map_private("anon", 2, at=102)
    machine.run(do_munmap(mm="p1", start=101, pages=1), "p1")
    assert ranges(machine.state, "p0") == [(100, 104)]
    assert len(vmas(machine.state, "p1")[0].chain) == 2


@pytest.mark.parametrize(("kernel", "expected"), [("6.18", [(100, 104)]), ("6.12", [(100, 102), (102, 104)])])
def test_a_written_range_joins_an_untouched_neighbour_only_since_6_16(
    kernel: str, expected: list[tuple[int, int]]
) -> None:
    machine = Machine(kernel)
    machine.map_private("anon", 4, at=100)
    machine.run(do_mprotect(mm="p0", start=100, pages=2, prot=RW | VM_EXEC))
    machine.write(103, 1)
    machine.run(do_mprotect(mm="p0", start=102, pages=2, prot=RW | VM_EXEC))
    assert ranges(machine.state) == expected


def test_file_mappings_merge_only_where_the_offsets_go_on(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=8))
    machine.map("memfd", 2, file="f", at=100, offset=0)
    machine.map("memfd", 2, file="f", at=102, offset=2)
    machine.map("memfd", 2, file="f", at=104, offset=5)
    assert ranges(machine.state) == [(100, 104), (104, 106)]


def test_every_shared_anonymous_mapping_is_a_file_of_its_own(machine: Machine) -> None:
    machine.map("anon", 2, at=100, share=MAP_SHARED)
    machine.map("anon", 2, at=102, share=MAP_SHARED)
    assert ranges(machine.state) == [(100, 102), (102, 104)]
    machine.run(do_munmap(mm="p0", start=100, pages=4))
    assert not machine.state.files


def test_special_mappings_never_merge(machine: Machine) -> None:
    assert machine.map("packet", 2, at=100) == 100
    assert machine.map("packet", 2, at=102) == 102
    assert ranges(machine.state) == [(100, 102), (102, 104)]


def test_a_guard_flag_does_not_hinder_a_merge_and_is_kept(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100)
    machine.run(do_madvise(mm="p0", start=100, pages=1, advice="guard_install"))
    machine.map_private("anon", 2, at=102)
    assert ranges(machine.state) == [(100, 104)]
    assert "gu" in machine.codes(100)


def test_untouched_memory_is_renumbered_when_it_moves_and_so_merges(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100)
    machine.map_private("anon", 2, at=200)
    flags = MREMAP_FIXED | MREMAP_MAYMOVE
    assert machine.run(do_mremap(mm="p0", start=200, pages=2, new_pages=2, flags=flags, to=102)).value == 102
    assert ranges(machine.state) == [(100, 104)]


def test_written_memory_keeps_its_numbers_and_merges_only_at_home(machine: Machine) -> None:
    machine.map_private("anon", 4, at=100)
    machine.write(102, 1)
    flags = MREMAP_FIXED | MREMAP_MAYMOVE
    machine.run(do_mremap(mm="p0", start=102, pages=2, new_pages=2, flags=flags, to=200))
    assert ranges(machine.state) == [(100, 102), (200, 202)]
    machine.run(do_mremap(mm="p0", start=200, pages=2, new_pages=2, flags=flags, to=102))
    assert ranges(machine.state) == [(100, 104)]
    assert machine.read(102) == 1


def test_equal_memory_numbers_its_anon_vmas_equally(machine: Machine) -> None:
    for start in (100, 200, 300):
        machine.map_private("anon", 1, at=start)
        machine.write(start, 1)
    machine.run(do_munmap(mm="p0", start=200, pages=1))
    machine.map_private("anon", 1, at=400)
    machine.write(400, 1)
    assert sorted(machine.state.anon_vmas) == [1, 2, 3]
    assert_consistent(machine.state)


def test_forking_over_and_over_reuses_anon_vmas_that_nobody_owns(machine: Machine) -> None:
    machine.map_private("anon", 1, at=100)
    machine.write(100, 1)
    names = [f"p{number}" for number in range(6)]
    for parent, child in pairwise(names):
        machine.run(kernel_clone(mm=parent, child=child), parent)
        machine.run(do_munmap(mm=parent, start=100, pages=1), parent)
    assert len(vmas(machine.state, "p5")[0].chain) <= 3
    assert_consistent(machine.state)


def test_too_many_vmas(machine: Machine) -> None:
    machine.map_private("anon", 8, at=100)
    tx = Transaction(machine.state)
    tx.processes.update("p0", map_count=MAX_MAP_COUNT)
    machine.state = tx.commit()[0]
    assert machine.run(do_mprotect(mm="p0", start=102, pages=1, prot=VM_READ)).value == -ENOMEM
    assert machine.run(do_munmap(mm="p0", start=102, pages=1)).value == -ENOMEM
    assert machine.run(do_munmap(mm="p0", start=100, pages=1)).ok


def test_private_and_shared_mappings_of_a_file_do_not_merge(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=8))
    machine.map("memfd", 2, file="f", at=100, share=MAP_PRIVATE)
    machine.map("memfd", 2, file="f", at=102, offset=2, share=MAP_SHARED)
    assert ranges(machine.state) == [(100, 102), (102, 104)]
    assert_consistent(machine.state)
