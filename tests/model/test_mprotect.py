"""mprotect and mseal: permissions of VMAs and of the entries that are there already."""

import pytest

from model.kernel.arch.tlb import tlb_lookup
from model.kernel.fs.vfs import create_file
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.memfd import memfd_add_seals, memfd_create
from model.kernel.mm.mlock import do_mlock
from model.kernel.mm.mmap import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, do_mmap
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.mseal import do_mseal
from model.kernel.mm.munmap import do_munmap
from model.memory.errno import EACCES, ENOMEM, ENOSYS, EPERM
from model.memory.flags import PG_MLOCKED, VM_READ, VM_WRITE
from tests.model.address_space import assert_consistent, ranges
from tests.model.machine import RW, Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


def protect(machine: Machine, prot: int, start: int = 100, pages: int = 1, mm: str = "p0") -> int:
    return machine.run(do_mprotect(mm=mm, start=start, pages=pages, prot=prot), mm).value


def test_a_page_of_our_own_becomes_writable_again_without_a_fault(machine: Machine) -> None:
    machine.map_private("anon", at=100)
    machine.write(100, 1)
    protect(machine, VM_READ)
    pte = machine.pte(100)
    assert pte is not None
    assert (pte.writable, pte.dirty) == (False, True)
    assert machine.write(100, 2) == "SIGSEGV"
    protect(machine, RW)
    pte = machine.pte(100)
    assert pte is not None
    assert pte.writable


@pytest.mark.parametrize(("kernel", "writable"), [("6.1", False), ("6.18", True)])
def test_a_clean_page_of_our_own_waited_for_a_fault_in_6_1(kernel: str, writable: bool) -> None:
    machine = Machine(kernel)
    machine.map_private("anon", 1, at=100)
    machine.write(100, 1)
    machine.run(do_madvise(mm="p0", start=100, pages=1, advice="free"))
    protect(machine, VM_READ)
    protect(machine, RW)
    assert machine.state.ptes["p0", 100].writable is writable


def test_a_page_shared_with_a_child_and_the_zero_page_wait_for_a_write_fault(machine: Machine) -> None:
    machine.map_private("anon", at=100)
    machine.write(100, 1)
    machine.read(101)
    machine.run(kernel_clone(mm="p0", child="p1"))
    protect(machine, VM_READ, pages=2)
    protect(machine, RW, pages=2)
    for vpn in (100, 101):
        pte = machine.pte(vpn)
        assert pte is not None
        assert not pte.writable
    machine.write(100, 2)
    assert machine.read(100, "p1") == 1


def test_prot_none_hides_pages_and_gives_them_back(machine: Machine) -> None:
    machine.map_private("anon", at=100)
    machine.write(100, 7)
    protect(machine, 0)
    pte = machine.pte(100)
    assert pte is not None
    assert pte.protnone
    assert machine.read(100) == "SIGSEGV"
    protect(machine, VM_READ)
    assert machine.read(100) == 7


def test_shared_memory_becomes_writable_at_once_unless_the_file_wants_to_know(machine: Machine) -> None:
    machine.run(memfd_create(file="m", pages=1))
    machine.run(create_file(file="e", kind="ext4", pages=1))
    machine.map("memfd", 1, file="m", at=100)
    machine.map("file", 1, file="e", at=200)
    for start in (100, 200):
        machine.read(start)
        protect(machine, VM_READ, start)
        protect(machine, RW, start)
    writable = {vpn: pte.writable for (_, vpn), pte in machine.state.ptes.items()}
    assert writable == {100: True, 200: False}
    machine.write(200, 1)
    protect(machine, VM_READ, 200)
    protect(machine, RW, 200)
    assert machine.state.ptes["p0", 200].writable, "a dirty entry has been told of"


def test_old_permissions_do_not_survive_in_a_tlb(machine: Machine) -> None:
    machine.map_private("anon", at=100)
    machine.write(100, 1)
    assert tlb_lookup(machine.state, 0, "p0", 100) is not None
    protect(machine, VM_READ)
    assert tlb_lookup(machine.state, 0, "p0", 100) is None


def test_a_hole_stops_it_after_the_part_before(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100)
    machine.map_private("anon", 2, at=104)
    assert protect(machine, VM_READ, 100, 6) == -ENOMEM
    assert machine.codes(100) == "rd mr mw me"
    assert machine.codes(104) == "rd wr mr mw me ac"
    assert protect(machine, VM_READ, 102, 4) == -ENOMEM
    assert protect(machine, VM_READ, 500, 0) == 0
    assert not machine.state.locks


def test_accounting_follows_the_pages_not_the_permission(machine: Machine) -> None:
    machine.map_private("anon", 2, at=100, prot=0)
    assert "ac" not in machine.codes(100)
    protect(machine, RW, pages=2)
    assert "ac" in machine.codes(100)
    protect(machine, VM_READ, pages=2)
    assert "ac" not in machine.codes(100)
    protect(machine, RW, pages=2)
    machine.write(100, 1)
    protect(machine, VM_READ, pages=2)
    assert "ac" in machine.codes(100)


def test_more_private_memory_than_there_is_cannot_become_writable(machine: Machine) -> None:
    machine.map_private("anon", 1 << 20, at=4096, prot=VM_READ)
    assert protect(machine, RW, 4096, 1 << 20) == -ENOMEM
    assert ranges(machine.state) == [(4096, 4096 + (1 << 20))]


def test_a_sealed_file_never_becomes_writable(machine: Machine) -> None:
    machine.run(memfd_create(file="f", pages=1))
    machine.run(memfd_add_seals(file="f", seals=("future_write",)))
    machine.map("memfd", 1, file="f", at=100, prot=VM_READ)
    machine.map_private("memfd", 1, file="f", at=200, prot=VM_READ)
    assert protect(machine, RW) == -EACCES
    assert protect(machine, RW, 200) == 0


@pytest.mark.parametrize("share", [MAP_PRIVATE, MAP_SHARED])
def test_locked_private_memory_that_becomes_writable_is_copied_now(machine: Machine, share: int) -> None:
    machine.run(memfd_create(file="f", pages=2))
    machine.map("memfd", 2, file="f", at=100, share=share, prot=VM_READ)
    machine.run(do_mlock(mm="p0", start=100, pages=2))
    protect(machine, VM_READ | VM_WRITE, pages=2)
    kinds = {machine.frame(vpn).kind for vpn in (100, 101)}
    assert kinds == {"anon" if share == MAP_PRIVATE else "file"}
    assert all(machine.frame(vpn).flags & PG_MLOCKED for vpn in (100, 101))
    assert_consistent(machine.state)


def test_a_sealed_mapping_cannot_be_changed_by_anybody(machine: Machine) -> None:
    machine.map_private("anon", 4, at=100)
    machine.write(101, 5)
    assert machine.run(do_mseal(mm="p0", start=101, pages=2)).ok
    assert ranges(machine.state) == [(100, 101), (101, 103), (103, 104)]
    move = MREMAP_FIXED | MREMAP_MAYMOVE
    refused = [
        do_munmap(mm="p0", start=100, pages=4),
        do_mprotect(mm="p0", start=102, pages=1, prot=VM_READ),
        do_mremap(mm="p0", start=101, pages=1, new_pages=1, flags=move, to=200),
        do_mmap(mm="p0", pages=1, prot=RW, flags=MAP_PRIVATE | MAP_FIXED, at=101),
    ]
    assert [machine.run(call).value for call in refused] == [-EPERM] * 4
    assert ranges(machine.state) == [(100, 101), (101, 103), (103, 104)]
    assert machine.read(101) == 5
    assert machine.run(do_mlock(mm="p0", start=101, pages=1)).ok


def test_a_seal_protects_content_that_could_not_be_written_anyway(machine: Machine) -> None:
    machine.map_private("anon", 1, at=100)
    machine.map_private("anon", 1, at=102, prot=VM_READ)
    for start in (100, 102):
        machine.run(do_mseal(mm="p0", start=start, pages=1))
    results = [machine.run(do_madvise(mm="p0", start=start, pages=1, advice="dontneed")).value for start in (100, 102)]
    assert results == [0, -EPERM]
    assert machine.run(do_madvise(mm="p0", start=102, pages=1, advice="willneed")).ok


def test_mseal_is_all_or_nothing_and_new(machine: Machine) -> None:
    machine.map_private("anon", 1, at=100)
    assert machine.run(do_mseal(mm="p0", start=100, pages=2)).value == -ENOMEM
    assert "sl" not in machine.codes(100)
    assert machine.run(do_mseal(mm="p0", start=100, pages=0)).ok
    assert Machine("6.1").run(do_mseal(mm="p0", start=100, pages=1)).value == -ENOSYS
