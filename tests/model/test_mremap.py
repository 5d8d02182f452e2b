"""mremap: longer, shorter, elsewhere; the pages do not notice."""

from typing import Any

import pytest

from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.arch.tlb import tlb_lookup
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.mlock import do_mlock
from model.kernel.mm.mmap import MAP_PRIVATE, do_mmap
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.reference import take_reference
from model.memory.errno import EFAULT, EINVAL, ENOMEM, EPERM
from model.memory.flags import FOLL_PIN, FOLL_WRITE, VM_READ
from model.memory.records import Label
from model.memory.state import Transaction
from tests.model.address_space import assert_consistent, ranges, vmas
from tests.model.machine import RW, Machine

MOVE = MREMAP_MAYMOVE | MREMAP_FIXED


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.map_private("anon", 4, at=100)
    machine.write(100, 10)
    machine.write(102, 12)
    return machine


def remap(machine: Machine, start: int, pages: int, new_pages: int, flags: int = 0, to: int = -1) -> int:
    return machine.run(do_mremap(mm="p0", start=start, pages=pages, new_pages=new_pages, flags=flags, to=to)).value


def content(machine: Machine, start: int, pages: int) -> list[int | str]:
    return [machine.read(vpn) for vpn in range(start, start + pages)]


# -- size -------------------------------------------------------------------------------------


def test_shrink_and_grow_in_place(machine: Machine) -> None:
    assert remap(machine, 100, 4, 1) == 100
    assert ranges(machine.state) == [(100, 101)]
    assert remap(machine, 100, 1, 6) == 100
    assert content(machine, 100, 6) == [10, 0, 0, 0, 0, 0]


def test_growing_into_a_neighbour_needs_a_move(machine: Machine) -> None:
    machine.map_private("anon", 1, at=104, prot=VM_READ)
    assert remap(machine, 100, 4, 6) == -ENOMEM
    start = remap(machine, 100, 4, 6, MREMAP_MAYMOVE)
    assert start == 16
    assert content(machine, start, 6) == [10, 0, 12, 0, 0, 0]
    assert ranges(machine.state) == [(16, 22), (104, 105)]


def test_growing_up_to_an_equal_mapping_joins_it(machine: Machine) -> None:
    machine.map_private("anon", 2, at=106)
    assert remap(machine, 100, 4, 6) == 100
    assert ranges(machine.state) == [(100, 108)]


def test_the_middle_of_a_vma_cannot_grow_in_place(machine: Machine) -> None:
    assert remap(machine, 100, 2, 3) == -ENOMEM
    assert remap(machine, 100, 2, 3, MREMAP_MAYMOVE) == 16
    assert ranges(machine.state) == [(16, 19), (102, 104)]
    assert content(machine, 16, 3) == [10, 0, 0]


def test_locked_memory_that_grows_is_brought_in(machine: Machine) -> None:
    machine.run(do_mlock(mm="p0", start=100, pages=4))
    assert remap(machine, 100, 4, 6) == 100
    assert machine.pte(105) is not None


# -- moves ------------------------------------------------------------------------------------


def test_a_move_takes_frames_along_and_replaces_what_was_there(machine: Machine) -> None:
    machine.map_private("anon", 8, at=200)
    machine.write(201, 99)
    frames = [machine.state.ptes["p0", vpn].pfn for vpn in (100, 102)]
    assert remap(machine, 100, 4, 4, MOVE, 200) == 200
    assert [machine.state.ptes["p0", vpn].pfn for vpn in (200, 202)] == frames
    assert content(machine, 200, 4) == [10, 0, 12, 0]
    assert machine.read(100) == "SIGSEGV"
    assert tlb_lookup(machine.state, 0, "p0", 100) is None
    assert_consistent(machine.state)


def test_a_pinned_page_stays_pinned_and_mapped(machine: Machine) -> None:
    machine.run(take_reference(name="r", mm="p0", start=100, pages=1, foll=FOLL_PIN | FOLL_WRITE))
    remap(machine, 100, 1, 1, MOVE, 300)
    assert machine.state.references["r"].frames == (machine.state.ptes["p0", 300].pfn,)
    assert machine.frame(300).refcount == 1025


def test_several_vmas_and_the_holes_between_them_move_together(machine: Machine) -> None:
    machine.run(do_mprotect(mm="p0", start=103, pages=1, prot=VM_READ))
    machine.map_private("anon", 2, at=106)
    machine.map_private("anon", 1, at=205)  # behind the hole: it stays
    assert remap(machine, 101, 6, 6, MOVE, 201) == 201
    assert ranges(machine.state) == [(100, 101), (107, 108), (201, 203), (203, 204), (205, 207)]
    assert content(machine, 201, 3) == [0, 12, 0]


def test_older_kernels_move_one_vma_at_a_time() -> None:
    machine = Machine("6.12")
    machine.map_private("anon", 2, at=100)
    machine.map_private("anon", 2, at=102, prot=VM_READ)
    assert remap(machine, 100, 4, 4, MOVE, 200) == -EFAULT
    assert remap(machine, 100, 2, 2, MOVE, 200) == 200


def test_dontunmap_leaves_an_empty_unlocked_mapping_behind(machine: Machine) -> None:
    machine.run(do_mlock(mm="p0", start=100, pages=4))
    assert remap(machine, 100, 4, 4, MOVE | MREMAP_DONTUNMAP, 200) == 200
    assert ranges(machine.state) == [(100, 104), (200, 204)]
    assert ("lo" in machine.codes(100), "lo" in machine.codes(200)) == (False, True)
    assert vmas(machine.state)[0].anon_vma == 0
    assert content(machine, 100, 1) + content(machine, 200, 1) == [0, 10]
    assert_consistent(machine.state)


def test_dontunmap_without_an_address_takes_any(machine: Machine) -> None:
    assert remap(machine, 100, 4, 4, MREMAP_MAYMOVE | MREMAP_DONTUNMAP) == 16


def test_an_address_is_a_wish_with_dontunmap_and_nothing_without_it(machine: Machine) -> None:
    assert remap(machine, 101, 2, 3, MREMAP_MAYMOVE, to=300) == 16
    assert remap(machine, 100, 1, 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, to=300) == 300
    assert remap(machine, 100, 1, 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, to=300) == 20


def test_old_size_zero_is_a_second_mapping_of_shared_memory(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=4))
    machine.map("memfd", 4, file="f", at=200)
    machine.write(200, 7)
    assert remap(machine, 200, 0, 2, MREMAP_MAYMOVE) == 16
    assert content(machine, 16, 2) == [7, 0]
    machine.write(16, 8)
    assert machine.read(200) == 8
    assert remap(machine, 100, 0, 2, MREMAP_MAYMOVE) == -EINVAL


def test_moving_keeps_sharing_with_a_child(machine: Machine) -> None:
    machine.run(kernel_clone(mm="p0", child="p1"))
    remap(machine, 100, 4, 4, MOVE, 200)
    machine.write(200, 11)
    assert (machine.read(200), machine.read(100, "p1")) == (11, 10)


def test_untouched_memory_may_move_next_to_itself(machine: Machine) -> None:
    machine.map_private("anon", 4, at=300)
    assert remap(machine, 302, 2, 2, MOVE, 304) == 304
    assert ranges(machine.state) == [(100, 104), (300, 302), (304, 306)]
    assert_consistent(machine.state)


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "errno"),
    [
        ((100, 4, 0), EINVAL),
        ((100, 4, TASK_SIZE + 1), EINVAL),
        ((100, 4, 4, 64), EINVAL),
        ((100, 4, 4, MREMAP_FIXED, 200), EINVAL),
        ((100, 4, 4, MOVE, 102), EINVAL),
        ((100, 4, 4, MOVE, TASK_SIZE), EINVAL),
        ((100, 4, 4, MOVE, 4), EPERM),
        ((100, 4, 2, MOVE | MREMAP_DONTUNMAP, 200), EINVAL),
        ((500, 4, 4, MOVE, 200), EFAULT),
        ((99, 4, 4, MOVE, 200), EFAULT),
        ((102, 4, 8), EFAULT),
        ((500, 1, 2), EFAULT),
        ((100, 4, 1 << 21, MREMAP_MAYMOVE), ENOMEM),
    ],
)
def test_refusals(machine: Machine, arguments: Any, errno: int) -> None:
    assert remap(machine, *arguments) == -errno
    assert ranges(machine.state) == [(100, 104)]
    assert not machine.state.locks


def test_what_is_not_to_be_expanded_or_split(machine: Machine) -> None:
    machine.map("perf", 3, at=200)
    assert remap(machine, 200, 3, 4) == -EFAULT
    assert remap(machine, 201, 1, 1, MOVE, 300) == -EINVAL
    assert remap(machine, 200, 3, 3, MOVE | MREMAP_DONTUNMAP, 300) == -EINVAL
    assert remap(machine, 200, 3, 3, MOVE, 300) == 300


def test_without_memory_for_page_tables_everything_stays_where_it_is(machine: Machine) -> None:
    tx = Transaction(machine.state)
    tx.counters["managed_pages"] = tx.counters["high_water"]
    machine.state = tx.commit()[0]
    assert remap(machine, 100, 4, 4, MOVE, 1 << 20) == -ENOMEM
    assert ranges(machine.state) == [(100, 104)]
    assert content(machine, 100, 1) + content(machine, 102, 1) == [10, 12]
    assert_consistent(machine.state)


# -- labels -----------------------------------------------------------------------------------


def test_a_label_moves_with_its_whole_range_only() -> None:
    machine = Machine()
    machine.run(do_mmap(mm="p0", pages=4, prot=RW, flags=MAP_PRIVATE, label="buf"))
    remap(machine, 16, 2, 2, MOVE, 100)
    assert machine.state.labels["p0", "buf"] == Label(16, 4)
    remap(machine, 100, 2, 2, MOVE, 16)
    remap(machine, 16, 4, 6, MOVE, 200)
    assert machine.state.labels["p0", "buf"] == Label(200, 6)
