"""madvise: flags, pages that go, pages that may go, guards; holes and what does not suit."""

import pytest

from model.kernel.fs.vfs import create_file, kernel_read, kernel_write
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.mlock import do_mlock
from model.kernel.mm.mmap import MAP_PRIVATE
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reference import take_reference
from model.memory.errno import EACCES, EFAULT, EINVAL, ENOMEM
from model.memory.flags import FOLL_GET, FOLL_PIN, FOLL_WRITE, PG_SWAPBACKED, VM_READ
from tests.model.address_space import assert_consistent, ranges
from tests.model.machine import Machine, interleavings


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.map_private("anon", 4, at=100)
    for vpn in range(100, 104):
        machine.write(vpn, vpn)
    return machine


def advise(machine: Machine, advice: str, start: int = 100, pages: int = 4) -> int:
    return machine.run(do_madvise(mm="p0", start=start, pages=pages, advice=advice)).value


# -- flags ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "clears", "code"),
    [
        ("dontfork", "dofork", "dc"),
        ("wipeonfork", "keeponfork", "wf"),
        ("sequential", "normal", "sr"),
        ("random", "normal", "rr"),
        ("dontdump", "dodump", "dd"),
        ("mergeable", "unmergeable", "mg"),
        ("hugepage", "nohugepage", "hg"),
    ],
)
def test_advice_that_is_a_flag_splits_and_its_opposite_merges(
    machine: Machine, sets: str, clears: str, code: str
) -> None:
    assert advise(machine, sets, 101, 2) == 0
    assert ranges(machine.state) == [(100, 101), (101, 103), (103, 104)]
    assert code in machine.codes(101).split()
    assert advise(machine, clears) == 0
    assert code not in machine.codes(100).split()
    assert ranges(machine.state) == [(100, 104)]
    assert machine.read(101) == 101


def test_what_fork_does_with_it(machine: Machine) -> None:
    advise(machine, "dontfork", 100, 1)
    advise(machine, "wipeonfork", 101, 1)
    machine.run(kernel_clone(mm="p0", child="p1"))
    assert [machine.read(vpn, "p1") for vpn in range(100, 104)] == ["SIGSEGV", 0, 102, 103]


def test_holes_are_passed_over_and_reported(machine: Machine) -> None:
    machine.map_private("anon", 2, at=106)
    assert advise(machine, "dontfork", 98, 12) == -ENOMEM
    assert all("dc" in machine.codes(start) for start in (100, 106))
    assert advise(machine, "dontneed", 500, 1) == -ENOMEM
    assert advise(machine, "dontneed", 500, 0) == 0
    assert advise(machine, "nonsense") == -EINVAL
    assert not machine.state.locks


def test_a_vma_that_the_advice_does_not_suit_ends_it(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=2))
    machine.map("memfd", 2, file="f", at=104)
    machine.map_private("anon", 2, at=106)
    assert advise(machine, "wipeonfork", 100, 8) == -EINVAL
    assert "wf" in machine.codes(100)
    assert "wf" not in machine.codes(106)
    assert advise(machine, "free", 104, 1) == -EINVAL
    assert advise(machine, "mergeable", 104, 1) == 0
    assert "mg" not in machine.codes(104)


@pytest.mark.parametrize(("kernel", "result"), [("6.18", 0), ("7.3", -EINVAL)])
def test_dofork_on_a_mapping_that_is_special_but_no_io(kernel: str, result: int) -> None:
    machine = Machine(kernel)
    machine.map("packet", 1, at=100)
    assert advise(machine, "dofork", 100, 1) == result


# -- pages ------------------------------------------------------------------------------------


def test_dontneed_drops_pages_but_not_what_others_hold(machine: Machine) -> None:
    machine.run(take_reference(name="r", mm="p0", start=101, pages=1, foll=FOLL_PIN | FOLL_WRITE))
    assert advise(machine, "dontneed") == 0
    assert [machine.read(vpn) for vpn in range(100, 104)] == [0, 0, 0, 0]
    (pfn,) = machine.state.references["r"].frames
    assert machine.state.content[pfn] == 101
    assert machine.frames_in_use() == 1


def test_locked_memory_needs_the_stronger_advice(machine: Machine) -> None:
    machine.run(do_mlock(mm="p0", start=100, pages=4))
    for advice in ("dontneed", "free", "cold", "pageout", "remove", "guard_install"):
        assert advise(machine, advice) == -EINVAL
    assert advise(machine, "dontneed_locked") == 0
    assert machine.pte(100) is None


def test_free_keeps_the_content_until_reclaim_and_a_write_takes_it_back(machine: Machine) -> None:
    assert advise(machine, "free", 100, 2) == 0
    assert not machine.frame(100).flags & PG_SWAPBACKED
    machine.write(101, 7)
    assert advise(machine, "pageout") == 0
    assert [machine.read(vpn) for vpn in range(100, 104)] == [0, 7, 102, 103]


def test_a_reference_keeps_a_freed_page_from_reclaim(machine: Machine) -> None:
    machine.run(take_reference(name="r", mm="p0", start=100, pages=1, foll=FOLL_GET))
    advise(machine, "free", 100, 1)
    advise(machine, "pageout", 100, 1)
    assert machine.read(100) == 100


def test_pageout_drops_clean_file_pages_and_the_next_read_brings_them_back() -> None:
    machine = Machine()
    machine.run(create_file(file="e", kind="ext4", pages=2))
    machine.run(kernel_write(file="e", page=0, value=5))
    machine.map_private("file", 2, file="e", at=100, prot=VM_READ)
    assert machine.read(101) == 0
    assert advise(machine, "pageout", 100, 2) == 0
    assert machine.pte(101) is None
    assert [machine.read(100), machine.read(101)] == [5, 0]


def test_remove_punches_a_hole_into_the_file() -> None:
    machine = Machine()
    machine.run(memfd_create(file="f", pages=4))
    machine.map("memfd", 4, file="f", at=100)
    machine.map("memfd", 1, file="f", at=200, share=MAP_PRIVATE)
    for vpn in range(100, 104):
        machine.write(vpn, vpn)
    assert advise(machine, "remove", 101, 2) == 0
    assert [machine.run(kernel_read(file="f", page=page)).value for page in range(4)] == [100, 0, 0, 103]
    assert advise(machine, "remove", 200, 1) == -EACCES
    machine.map_private("anon", 1, at=300)
    assert advise(machine, "remove", 300, 1) == -EINVAL


def test_populate_says_why_it_cannot(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=1))
    machine.map("memfd", 2, file="f", at=200)
    machine.map_private("anon", 2, at=300, prot=VM_READ)
    assert advise(machine, "populate_read", 200, 2) == -EFAULT
    assert advise(machine, "populate_write", 300, 2) == -EINVAL
    assert advise(machine, "populate_read", 302, 1) == -ENOMEM
    assert advise(machine, "populate_read", 300, 2) == 0
    assert machine.frame(300).kind == "zero"


def test_pageout_sees_that_a_freed_page_was_written_again_although_it_is_pinned(machine: Machine) -> None:
    machine.write(100, 1)
    advise(machine, "free")
    machine.write(100, 2)
    machine.run(take_reference(name="dma", mm="p0", start=100, pages=1, foll=FOLL_PIN | FOLL_WRITE))
    assert not machine.frame(100).flags & PG_SWAPBACKED
    advise(machine, "pageout")
    assert machine.frame(100).flags & PG_SWAPBACKED
    assert machine.read(100) == 2


def test_collapse_needs_room_for_a_huge_page_in_memory_that_was_touched(machine: Machine) -> None:
    assert advise(machine, "collapse") == -EINVAL
    machine.map_private("anon", 1024, at=1024)
    assert advise(machine, "collapse", 1024, 512) == -EINVAL
    machine.write(1024, 1)
    assert advise(machine, "collapse", 1024, 512) == 0
    assert [advise(machine, "collapse", start, 5) for start in (1028, 1533, 1536)] == [-EINVAL, 0, 0]
    advise(machine, "nohugepage", 1024, 1024)
    assert advise(machine, "collapse", 1536, 5) == -EINVAL


@pytest.mark.parametrize(("offset", "result"), [(0, 0), (1, -EINVAL)])
def test_collapse_of_a_file_wants_it_aligned_as_the_mapping_is(machine: Machine, offset: int, result: int) -> None:
    machine.run(memfd_create(file="f", pages=8))
    machine.map("memfd", 512, file="f", at=1024, offset=offset)
    assert advise(machine, "collapse", 1024, 5) == result


def test_dontneed_and_a_write_in_every_order_leave_a_whole_page(machine: Machine) -> None:
    machine.run(do_munmap(mm="p0", start=101, pages=3))
    machine.begin("advise", do_madvise(mm="p0", start=100, pages=1, advice="dontneed"))
    machine.begin("again", do_madvise(mm="p0", start=100, pages=1, advice="free"))
    for state, results in interleavings(machine.state, ["advise", "again"]):
        assert all(result.ok for result in results.values())
        assert_consistent(state)


# -- guards -----------------------------------------------------------------------------------


def test_a_guard_is_a_wall_without_a_vma_of_its_own(machine: Machine) -> None:
    assert advise(machine, "guard_install", 101, 2) == 0
    assert ranges(machine.state) == [(100, 104)]
    assert [machine.read(vpn) for vpn in range(100, 104)] == [100, "SIGSEGV", "SIGSEGV", 103]
    assert machine.write(101, 1) == "SIGSEGV"
    assert machine.run(take_reference(name="r", mm="p0", start=100, pages=2, foll=FOLL_GET)).value == -EFAULT
    assert advise(machine, "populate_write") == -EFAULT
    assert_consistent(machine.state)


def test_guards_survive_dontneed_mprotect_and_fork_but_not_removal(machine: Machine) -> None:
    advise(machine, "guard_install", 101, 1)
    advise(machine, "dontneed")
    machine.run(do_mprotect(mm="p0", start=100, pages=4, prot=VM_READ))
    machine.run(kernel_clone(mm="p0", child="p1"))
    assert (machine.read(101), machine.read(101, "p1")) == ("SIGSEGV", "SIGSEGV")
    assert advise(machine, "guard_remove") == 0
    assert (machine.read(101), machine.read(101, "p1")) == (0, "SIGSEGV")
    machine.run(do_munmap(mm="p0", start=100, pages=4))
    assert not [key for key in machine.state.ptes if key[0] == "p0"]


def test_guards_are_for_ordinary_memory_and_new_kernels() -> None:
    machine = Machine()
    machine.map("packet", 1, at=100)
    assert advise(machine, "guard_install", 100, 1) == -EINVAL
    old = Machine("6.12")
    old.map_private("anon", 1, at=100)
    assert advise(old, "guard_install", 100, 1) == -EINVAL
