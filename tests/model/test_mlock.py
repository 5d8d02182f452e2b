"""mlock: marks on VMAs, counts on pages, and what is left after a failure."""

import pytest

from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.mlock import do_mlock, do_munlock
from model.kernel.mm.mmap import MAP_PRIVATE, MAP_SHARED
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.munmap import do_munmap
from model.memory.errno import EAGAIN, EINVAL, ENOMEM
from model.memory.flags import PG_MLOCKED, PG_UNEVICTABLE, VM_READ
from model.memory.state import Transaction
from tests.model.address_space import assert_consistent, ranges
from tests.model.machine import Machine
from tests.model.play import Play


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.map_private("anon", 4, at=100)
    return machine


def lock(machine: Machine, start: int, pages: int, **more: bool) -> int:
    return machine.run(do_mlock(mm="p0", start=start, pages=pages, **more)).value  # type: ignore[arg-type]


def mlocked(machine: Machine, vpn: int) -> bool:
    return bool(machine.frame(vpn).flags & PG_MLOCKED)


def test_locked_pages_are_there_and_unevictable_until_they_are_unlocked(machine: Machine) -> None:
    assert lock(machine, 101, 2) == 0
    assert ranges(machine.state) == [(100, 101), (101, 103), (103, 104)]
    assert mlocked(machine, 101)
    assert mlocked(machine, 102)
    assert machine.pte(100) is None
    machine.run(do_munlock(mm="p0", start=100, pages=4))
    assert ranges(machine.state) == [(100, 104)]
    assert not machine.frame(101).flags & (PG_MLOCKED | PG_UNEVICTABLE)
    assert_consistent(machine.state)


def test_what_fails_stays_marked(machine: Machine) -> None:
    machine.run(do_mprotect(mm="p0", start=102, pages=1, prot=0))
    assert lock(machine, 100, 4) == -ENOMEM
    assert [codes.split().count("lo") for codes in map(machine.codes, (100, 102, 103))] == [1, 1, 1]
    assert [machine.pte(vpn) is not None for vpn in range(100, 104)] == [True, True, False, False]


def test_a_hole_ends_the_marking_and_nothing_is_brought_in(machine: Machine) -> None:
    machine.map_private("anon", 2, at=106)
    assert lock(machine, 100, 8) == -ENOMEM
    assert "lo" in machine.codes(100)
    assert "lo" not in machine.codes(106)
    assert machine.pte(100) is None
    assert machine.run(do_munlock(mm="p0", start=104, pages=2)).value == -ENOMEM


def test_lock_on_fault_brings_nothing_in(machine: Machine) -> None:
    assert lock(machine, 100, 4, onfault=True) == 0
    assert machine.codes(100) == "rd wr mr mw me lo lf ac"
    assert machine.pte(100) is None
    machine.write(100, 1)
    assert mlocked(machine, 100)


def test_read_only_private_memory_gets_the_zero_page(machine: Machine) -> None:
    machine.run(do_mprotect(mm="p0", start=100, pages=4, prot=VM_READ))
    assert lock(machine, 100, 4) == 0
    assert machine.frame(100).kind == "zero"


def test_locks_are_not_inherited_and_count_once_per_mapping(machine: Machine) -> None:
    lock(machine, 100, 1)
    lock(machine, 100, 1)
    machine.run(kernel_clone(mm="p0", child="p1"))
    assert "lo" not in machine.codes(100, "p1")
    machine.run(do_munlock(mm="p0", start=100, pages=1))
    assert not mlocked(machine, 100)


def test_two_mappings_of_one_page_lock_it_twice() -> None:
    machine = Machine()
    machine.map("anon", 1, at=100, share=MAP_SHARED)
    machine.write(100, 1)
    machine.run(kernel_clone(mm="p0", child="p1"))
    machine.read(100, "p1")
    lock(machine, 100, 1)
    machine.run(do_mlock(mm="p1", start=100, pages=1), "p1")
    machine.run(do_munmap(mm="p0", start=100, pages=1))
    assert machine.state.frames[machine.state.ptes["p1", 100].pfn].flags & PG_MLOCKED
    machine.run(do_munlock(mm="p1", start=100, pages=1), "p1")
    assert not machine.state.frames[machine.state.ptes["p1", 100].pfn].flags & PG_MLOCKED


def test_special_mappings_are_neither_marked_nor_refused(machine: Machine) -> None:
    machine.map("perf", 3, at=200)
    before = machine.codes(200)
    assert lock(machine, 200, 3) == 0
    assert machine.codes(200) == before


@pytest.mark.parametrize(("pages", "result"), [(0, 0), (-1, -EINVAL)])
def test_empty_and_backward_ranges(machine: Machine, pages: int, result: int) -> None:
    assert lock(machine, 100, pages) == result


def test_lack_of_memory_is_eagain() -> None:
    machine = Machine()
    machine.map_private("anon", 8, at=100)
    tx = Transaction(machine.state)
    tx.counters["managed_pages"] = tx.counters["high_water"] + 5
    machine.state = tx.commit()[0]
    assert lock(machine, 100, 8) == -EAGAIN
    assert "lo" in machine.codes(100)


def test_private_file_pages_are_copied_when_locked_writable() -> None:
    machine = Machine()
    machine.map("devzero", 1, at=100, share=MAP_PRIVATE)
    assert lock(machine, 100, 1) == 0
    assert machine.frame(100).kind == "anon"


@pytest.mark.parametrize(("kernel", "mlocked"), [("6.1", True), ("6.12", False), ("6.18", False)])
def test_a_page_read_from_swap_for_a_lock_is_not_mlocked_itself(kernel: str, mlocked: bool) -> None:
    """do_swap_page() maps it as a new page that is on the LRU list already; up to 6.1 as any page. 6.18: measured."""
    play = Play(f"set kernel {kernel}\nset swap zram", "process p0\nmmap p0 m anon private rw 2\nwrite p0 m 5")
    play.do("madvise p0 m pageout\nmlock p0 m")
    first, second = (play.state.frames[play.state.ptes["p0", vpn].pfn].flags for vpn in (16, 17))
    assert (bool(first & PG_MLOCKED), bool(second & PG_MLOCKED)) == (mlocked, True)
