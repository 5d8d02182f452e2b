"""mmap and munmap: where mappings go, what they are refused for, what they take away."""

from typing import Any

import pytest

from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.fs.vfs import do_truncate, filp_close
from model.kernel.mm.limits import MAX_MAP_COUNT
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.mmap import (
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    do_mmap,
)
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reference import take_reference
from model.memory.errno import EEXIST, EINVAL, ENOMEM, EOVERFLOW, EPERM
from model.memory.flags import FOLL_GET, PG_MLOCKED, VM_READ
from model.memory.records import Label
from model.memory.state import Transaction
from tests.model.address_space import assert_consistent, ranges
from tests.model.machine import RW, Machine, interleavings


@pytest.fixture
def machine() -> Machine:
    return Machine()


# -- place ------------------------------------------------------------------------------------


def test_without_an_address_mappings_go_into_the_lowest_gap_with_a_hole_on_either_side(machine: Machine) -> None:
    assert [machine.map_private("anon", pages) for pages in (4, 2, 1)] == [16, 21, 24]
    machine.run(do_munmap(mm="p0", start=21, pages=2))
    assert machine.map_private("anon", 3) == 26
    assert machine.map_private("anon", 2) == 21


def test_a_place_that_is_taken_is_refused_unless_it_is_to_be_replaced(machine: Machine) -> None:
    machine.map_private("anon", 4, at=100)
    machine.write(101, 7)
    assert machine.map_private("anon", 1, at=101) == -EEXIST
    fixed = do_mmap(mm="p0", pages=1, prot=VM_READ, flags=MAP_PRIVATE | MAP_FIXED, at=101)
    assert machine.run(fixed).value == 101
    assert ranges(machine.state) == [(100, 101), (101, 102), (102, 104)]
    assert machine.read(101) == 0


@pytest.mark.parametrize(("kernel", "left"), [("6.1", [(100, 101)]), ("6.12", [(100, 101), (101, 104)])])
def test_more_than_there_is_in_place_of_something(kernel: str, left: list[tuple[int, int]]) -> None:
    """6.1 unmaps before it counts; since 6.12 what was there is put back, and only the cut remains."""
    machine = Machine(kernel)
    machine.map_private("anon", 4, at=100)
    too_much = do_mmap(mm="p0", pages=1 << 21, prot=RW, flags=MAP_PRIVATE | MAP_FIXED, at=101)
    assert machine.run(too_much).value == -ENOMEM
    assert ranges(machine.state) == left


@pytest.mark.parametrize(
    ("arguments", "errno"),
    [
        ({"pages": 0}, EINVAL),
        ({"pages": TASK_SIZE + 1}, ENOMEM),
        ({"pages": 4, "at": TASK_SIZE - 3}, ENOMEM),
        ({"pages": 1, "at": 3}, EPERM),
        ({"pages": 2, "offset": (1 << 52) - 1}, EOVERFLOW),
        ({"pages": 1 << 30}, ENOMEM),
        ({"pages": 512, "flags": MAP_PRIVATE | MAP_HUGETLB}, ENOMEM),
        ({"pages": 4, "flags": MAP_SHARED | MAP_GROWSDOWN}, EINVAL),
    ],
)
def test_absurd_mappings_are_refused(machine: Machine, arguments: dict[str, Any], errno: int) -> None:
    call = do_mmap(mm="p0", prot=RW, **{"flags": MAP_PRIVATE, **arguments})
    assert machine.run(call).value == -errno
    assert not machine.state.vmas
    assert not machine.state.files
    assert not machine.state.locks


def test_more_than_all_of_ram_can_be_mapped_if_it_need_not_be_there(machine: Machine) -> None:
    pages = 1 << 30
    assert machine.run(do_mmap(mm="p0", pages=pages, prot=RW, flags=MAP_PRIVATE | MAP_NORESERVE)).ok
    assert machine.run(do_mmap(mm="p0", pages=pages, prot=VM_READ, flags=MAP_PRIVATE)).ok


def test_a_process_has_only_so_many_vmas(machine: Machine) -> None:
    tx = Transaction(machine.state)
    tx.processes.update("p0", map_count=MAX_MAP_COUNT + 1)
    machine.state = tx.commit()[0]
    assert machine.map_private("anon") == -ENOMEM


# -- what the VMA looks like ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prot", "flags", "codes"),
    [
        (RW, MAP_PRIVATE, "rd wr mr mw me ac"),
        (VM_READ, MAP_PRIVATE, "rd mr mw me"),
        (0, MAP_PRIVATE, "mr mw me"),
        (RW, MAP_PRIVATE | MAP_NORESERVE, "rd wr mr mw me nr"),
        (RW, MAP_PRIVATE | MAP_LOCKED, "rd wr mr mw me lo ac"),
        (RW, MAP_PRIVATE | MAP_GROWSDOWN, "rd wr mr mw me gd ac"),
        (RW, MAP_SHARED, "rd wr sh mr mw me ms"),
    ],
)
def test_flags_of_anonymous_mappings(machine: Machine, prot: int, flags: int, codes: str) -> None:
    assert machine.run(do_mmap(mm="p0", pages=1, prot=prot, flags=flags)).value == 16
    assert machine.codes(16) == codes


def test_a_label_names_the_range_as_it_was_mapped(machine: Machine) -> None:
    machine.run(do_mmap(mm="p0", pages=4, prot=RW, flags=MAP_PRIVATE, label="buf"))
    machine.run(do_mmap(mm="p0", pages=0, prot=RW, flags=MAP_PRIVATE, label="none"))
    machine.run(do_munmap(mm="p0", start=18, pages=2))
    assert dict(machine.state.labels.items()) == {("p0", "buf"): Label(16, 4)}


# -- populate ---------------------------------------------------------------------------------


def test_populate_brings_pages_in_and_ignores_what_it_cannot_have(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=2))
    flags = MAP_SHARED | MAP_POPULATE
    call = do_mmap(mm="p0", pages=4, prot=RW, flags=flags, backing="memfd", file="f")
    assert machine.run(call).value == 16
    assert [machine.pte(vpn) is not None for vpn in range(16, 20)] == [True, True, False, False]


def test_locked_memory_is_there_at_once_and_unevictable(machine: Machine) -> None:
    machine.run(do_mmap(mm="p0", pages=2, prot=RW, flags=MAP_PRIVATE | MAP_LOCKED))
    assert all(machine.frame(vpn).flags & PG_MLOCKED for vpn in (16, 17))
    machine.run(do_munmap(mm="p0", start=16, pages=2))
    assert machine.frames_in_use() == 0


# -- munmap -----------------------------------------------------------------------------------


def test_munmap_cuts_and_frees(machine: Machine) -> None:
    machine.map_private("anon", 8, at=100)
    for vpn in range(100, 108):
        machine.write(vpn, 1)
    assert machine.run(do_munmap(mm="p0", start=102, pages=3)).ok
    assert ranges(machine.state) == [(100, 102), (105, 108)]
    assert machine.frames_in_use() == 5
    assert machine.read(103) == "SIGSEGV"
    assert_consistent(machine.state)


@pytest.mark.parametrize(("start", "pages", "result"), [(500, 4, 0), (100, 0, -EINVAL), (TASK_SIZE, 1, -EINVAL)])
def test_munmap_of_nothing(machine: Machine, start: int, pages: int, result: int) -> None:
    machine.map_private("anon", 2, at=100)
    assert machine.run(do_munmap(mm="p0", start=start, pages=pages)).value == result


def test_munmap_leaves_a_referenced_page_to_its_holder(machine: Machine) -> None:
    machine.map_private("anon", 1, at=100)
    machine.write(100, 7)
    pfn = machine.state.ptes["p0", 100].pfn
    machine.run(take_reference(name="r", mm="p0", start=100, pages=1, foll=FOLL_GET))
    machine.run(do_munmap(mm="p0", start=100, pages=1))
    assert (machine.state.frames[pfn].refcount, machine.state.frames[pfn].mapcount) == (1, 0)


def test_what_a_driver_does_not_split_stays_whole(machine: Machine) -> None:
    assert machine.map("perf", 3, at=100) == 100
    assert machine.run(do_munmap(mm="p0", start=101, pages=1)).value == -EINVAL
    assert ranges(machine.state) == [(100, 103)]
    assert machine.run(do_munmap(mm="p0", start=100, pages=3)).ok


def test_the_last_mapping_of_a_closed_file_takes_its_pages_along(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=2))
    machine.map("memfd", 2, file="f", at=100)
    machine.write(100, 1)
    machine.run(filp_close(file="f"))
    machine.run(do_munmap(mm="p0", start=100, pages=1))
    assert "f" in machine.state.files
    machine.run(do_munmap(mm="p0", start=101, pages=1))
    assert "f" not in machine.state.files
    assert machine.frames_in_use() == 0


def test_page_tables_go_with_the_last_mapping_in_them(machine: Machine) -> None:
    before = dict(machine.state.tables.items())
    machine.map_private("anon", 1, at=1000)
    machine.map_private("anon", 1, at=1002)
    machine.write(1000, 1)
    machine.run(do_munmap(mm="p0", start=1000, pages=1))
    assert len(machine.state.tables) == 3
    machine.run(do_munmap(mm="p0", start=1002, pages=1))
    assert dict(machine.state.tables.items()) == before


def test_munmap_and_truncate_of_the_same_page_in_every_order(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=1))
    machine.map("memfd", 1, file="f", at=100)
    machine.write(100, 1)
    machine.begin("unmap", do_munmap(mm="p0", start=100, pages=1))
    machine.begin("truncate", do_truncate(file="f", pages=0))
    ends = list(interleavings(machine.state, ["unmap", "truncate"]))
    assert len(ends) >= 1
    for state, results in ends:
        assert all(result.ok for result in results.values())
        assert not state.page_cache
        assert not [frame for frame in state.frames.values() if frame.kind == "file"]
        assert_consistent(state)
