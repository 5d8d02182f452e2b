"""Mappings of what the kernel owns: their flags on four kernels, who may touch them, and what brings pages back."""

import pytest

from model.kernel.drivers.special import BTF_PAGES
from model.kernel.fs.vfs import create_file, fallocate_punch
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.mlock import do_mlock, do_munlock
from model.kernel.mm.mmap import MAP_GROWSDOWN, MAP_PRIVATE, MAP_SHARED
from model.kernel.mm.mremap import MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reference import put_reference, take_reference
from model.kernel.mm.remote import mem_read, process_vm_readv
from model.memory.errno import EACCES, EBADF, EFAULT, EINVAL, EIO, ENODEV, ENOMEM, EOPNOTSUPP, EPERM
from model.memory.flags import (
    FOLL_LONGTERM,
    FOLL_PIN,
    FOLL_WRITE,
    PG_MLOCKED,
    PG_UNEVICTABLE,
    VM_EXEC,
    VM_READ,
    VM_WRITE,
)
from tests.model.machine import RW, Machine

ORDINARY = "rd wr sh mr mw me ms"
NOEXEC = "rd wr sh mr mw ms"


def secret(kernel: str = "6.18", pages: int = 4) -> Machine:
    """A machine with a file of secret memory `s`."""
    machine = Machine(kernel)
    machine.run(create_file(file="s", kind="secretmem", pages=pages))
    return machine


def pin(machine: Machine, vpn: int, foll: int = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM, name: str = "d") -> int:
    """get_user_pages_fast on one page."""
    return machine.run(take_reference(name=name, mm="p0", start=vpn, pages=1, foll=foll)).value


# -- VmFlags, as observed (tests/recordings/dma-buf/matrix.json; 6.18: the recordings) --------------------------


@pytest.mark.parametrize(
    ("backing", "kernel", "flags"),
    [
        ("packet", "6.1", ORDINARY + " mm"),
        ("packet", "6.12", ORDINARY + " mm"),
        ("packet", "6.18", NOEXEC + " mm"),
        ("packet", "7.3", NOEXEC + " mm"),
        ("perf", "6.1", ORDINARY + " dc de dd"),
        ("perf", "6.12", ORDINARY + " dc de dd"),
        ("perf", "6.18", NOEXEC + " pf io dc de dd"),
        ("perf", "7.3", NOEXEC + " pf io dc de dd"),
        ("io_uring", "6.1", ORDINARY + " de mm"),
        ("io_uring", "6.18", NOEXEC + " de mm"),
        ("bpf_map", "6.18", NOEXEC + " de dd mm"),
        ("kvm_vcpu", "6.18", NOEXEC),
        ("guest_memfd", "6.18", NOEXEC),
    ],
)
def test_flags_of_rings_and_maps(backing: str, kernel: str, flags: str) -> None:
    machine = Machine(kernel)
    start = machine.map(backing, 3 if backing == "perf" else 2)
    assert machine.codes(start) == flags


@pytest.mark.parametrize(("kernel", "locked"), [("6.1", ""), ("6.12", "lo "), ("6.18", "lo "), ("7.3", "")])
def test_flags_of_secret_memory(kernel: str, locked: str) -> None:
    machine = secret(kernel)
    start = machine.map("secretmem", file="s")
    assert machine.codes(start) == f"{NOEXEC} {locked}dd"
    dontneed = machine.run(do_madvise(mm="p0", start=start, pages=4, advice="dontneed")).value
    assert dontneed == (-EINVAL if locked else 0)


def test_the_kernels_own_mappings_choose_their_flags_themselves() -> None:
    machine = Machine()
    assert machine.codes(machine.map_private("vvar", 4)) == "rd mr pf io de dd"
    assert machine.codes(machine.map_private("vdso", 2)) == "rd ex mr mw me de"
    assert machine.codes(machine.map_private("btf", 4, prot=VM_READ)) == "rd mr pf io de dd"
    newest = Machine("7.3")
    assert newest.codes(newest.map_private("vvar", 4)) == "rd mr de dd mm"


# -- what mmap refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backing", "pages", "share", "prot", "offset", "errno"),
    [
        ("perf", 4, MAP_SHARED, RW, 0, EINVAL),
        ("perf", 3, MAP_PRIVATE, RW, 0, EINVAL),
        ("perf", 3, MAP_SHARED, RW, 1, EINVAL),
        ("packet", 4, MAP_SHARED, RW, 1, EINVAL),
        ("packet", 1 << 20, MAP_SHARED, RW, 0, ENOMEM),
        ("packet", 4, MAP_SHARED, RW | VM_EXEC, 0, EPERM),
        ("bpf_map", 2, MAP_PRIVATE, RW, 0, EINVAL),
        ("bpf_map", 2, MAP_SHARED, RW, 1, EINVAL),
        ("guest_memfd", 2, MAP_PRIVATE, RW, 0, EINVAL),
        ("btf", 4, MAP_PRIVATE, RW, 0, EACCES),
        ("btf", 4, MAP_SHARED, VM_READ, 0, EACCES),
        ("btf", 4, MAP_SHARED, RW, 0, EACCES),
        ("btf", 4, MAP_PRIVATE, VM_READ | VM_EXEC, 0, EPERM),
        ("btf", 4, MAP_PRIVATE, VM_READ, 1, EINVAL),
        ("btf", BTF_PAGES + 1, MAP_PRIVATE, VM_READ, 0, EINVAL),
        ("devzero", 4, MAP_PRIVATE | MAP_GROWSDOWN, RW, 0, EINVAL),
        ("memfd", 4, MAP_SHARED, RW, 0, EBADF),
        ("file", 4, MAP_SHARED, RW, 0, EBADF),
    ],
)
def test_mmap_refuses_and_leaves_nothing_behind(
    backing: str, pages: int, share: int, prot: int, offset: int, errno: int
) -> None:
    machine = Machine()
    before = machine.state
    assert machine.map(backing, pages, share=share, prot=prot, offset=offset) == -errno
    assert machine.frames_in_use() == 0
    assert (machine.state.vmas, machine.state.files, machine.state.page_cache) == (
        before.vmas,
        before.files,
        before.page_cache,
    )


def test_a_ring_that_cannot_be_filled_is_not_mapped() -> None:
    machine = Machine(memory=100)
    assert machine.map("packet", 200) == -ENOMEM
    assert (machine.frames_in_use(), len(machine.state.files), len(machine.state.vmas)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("share", "prot", "errno"),
    [
        (MAP_PRIVATE, RW, EINVAL),
        (MAP_SHARED, RW | VM_EXEC, EPERM),
        (MAP_SHARED | MAP_GROWSDOWN, RW | VM_EXEC, EPERM),
        (MAP_SHARED | MAP_GROWSDOWN, RW, EINVAL),
    ],
)
def test_secret_memory_is_shared_and_never_executed(share: int, prot: int, errno: int) -> None:
    assert secret().map("secretmem", file="s", share=share, prot=prot) == -errno


def test_guest_memory_could_not_be_mapped_before_6_18() -> None:
    assert Machine("6.12").map("guest_memfd", 2) == -ENODEV


def test_an_io_uring_ring_goes_where_it_wants() -> None:
    machine = Machine()
    assert machine.map("io_uring", 1, at=100) == -EINVAL
    assert machine.map("io_uring", 1) > 0


# -- who may touch them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backing", "kernel", "allowed"),
    [
        ("vvar", "6.1", False),
        ("vvar", "6.18", False),
        ("btf", "6.18", False),
        ("perf", "6.1", True),
        ("perf", "6.18", False),
        ("packet", "6.18", True),
        ("io_uring", "6.18", True),
        ("bpf_map", "6.18", True),
        ("kvm_vcpu", "6.18", True),
        ("guest_memfd", "6.18", True),
        ("vdso", "6.18", True),
    ],
)
def test_special_entries_are_for_cpus_alone(backing: str, kernel: str, allowed: bool) -> None:
    machine = Machine(kernel)
    private = backing in ("vvar", "vdso", "btf")
    map_it = machine.map_private if private else machine.map
    start = map_it(backing, 3 if backing == "perf" else 2, prot=VM_READ if private else RW)
    assert isinstance(machine.read(start), int)
    entry = machine.pte(start)
    assert entry is not None
    assert entry.special != allowed
    counts = machine.frame(start).refcount, machine.frame(start).mapcount
    assert pin(machine, start, FOLL_PIN) == (1 if allowed else -EFAULT)
    assert machine.run(process_vm_readv(mm="p0", target="p0", vpn=start)).ok == allowed
    assert machine.run(mem_read(mm="p0", target="p0", vpn=start)).value == (machine.read(start) if allowed else -EIO)
    if allowed:
        machine.run(put_reference(name="d"), "")
        assert pin(machine, start) == (1 if backing != "vdso" else -EFAULT)
    else:
        assert counts == (1, 0), "a special entry counts nothing"


@pytest.mark.parametrize(("kernel", "got"), [("6.1", 1), ("6.12", -EFAULT), ("6.18", -EFAULT)])
def test_the_fast_path_leaves_a_drivers_page_to_the_vma_since_it_looks_for_its_mapping(kernel: str, got: int) -> None:
    machine = Machine(kernel)
    start = machine.map("packet", prot=VM_WRITE)
    assert pin(machine, start, 0) == got
    assert pin(machine, start, FOLL_PIN | FOLL_WRITE, name="other") == 1


def test_secret_memory_has_ordinary_entries_and_yet_nobody_else_gets_at_it() -> None:
    machine = secret()
    start = machine.map("secretmem", file="s")
    machine.write(start, 5)
    frame = machine.frame(start)
    assert (frame.refcount, frame.mapcount, frame.flags & PG_UNEVICTABLE) == (2, 1, PG_UNEVICTABLE)
    assert pin(machine, start, FOLL_PIN) == pin(machine, start) == -EFAULT
    assert machine.run(mem_read(mm="p0", target="p0", vpn=start)).value == -EIO
    assert machine.run(do_mlock(mm="p0", start=start, pages=4)).value == -ENOMEM
    assert machine.read(start + 3) == 0


def test_a_long_term_pin_of_a_perf_ring_was_refused_in_6_12_although_its_pages_were_ordinary() -> None:
    machine = Machine("6.12")
    start = machine.map("perf", 3)
    machine.write(start, 1)
    assert pin(machine, start, FOLL_PIN | FOLL_WRITE) == 1
    assert pin(machine, start, name="e") == -EFAULT


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.18", "7.3"])
def test_user_space_writes_to_the_control_page_of_a_perf_ring_only(kernel: str) -> None:
    machine = Machine(kernel)
    start = machine.map("perf", 3)
    assert (machine.write(start, 7), machine.read(start)) == ("", 7)
    assert (machine.read(start + 1), machine.write(start + 1, 1)) == (0, "SIGBUS")


def test_the_time_data_became_ordinary_pages_but_only_for_their_own_process() -> None:
    machine = Machine("7.3")
    start = machine.map_private("vvar", 4)
    assert machine.run(process_vm_readv(mm="p0", target="p0", vpn=start)).value == -EFAULT
    machine.read(start)
    assert machine.frame(start).mapcount == 1
    assert machine.run(process_vm_readv(mm="p0", target="p0", vpn=start)).ok


@pytest.mark.parametrize("kernel", ["6.18", "7.3"])
def test_pages_of_the_time_data_that_do_not_exist(kernel: str) -> None:
    machine = Machine(kernel)
    start = machine.map_private("vvar", 4)
    assert [machine.read(start + page) == "SIGBUS" for page in range(4)] == [False, True, False, True]


# -- what brings pages back -------------------------------------------------------------------


@pytest.mark.parametrize("backing", ["packet", "io_uring", "bpf_map"])
def test_what_mmap_has_filled_is_empty_for_good_once_it_is_zapped(backing: str) -> None:
    machine = Machine()
    start = machine.map(backing, 2)
    pfn = machine.state.ptes["p0", start].pfn
    assert pin(machine, start) == 1
    machine.run(do_madvise(mm="p0", start=start, pages=2, advice="dontneed"))
    assert machine.read(start) == "SIGBUS"
    assert (machine.state.frames[pfn].refcount, machine.state.frames[pfn].mapcount) == (1025, 0)


@pytest.mark.parametrize("backing", ["kvm_vcpu", "guest_memfd", "vdso"])
def test_what_faults_have_brought_faults_bring_again(backing: str) -> None:
    machine = Machine()
    start = (machine.map_private if backing == "vdso" else machine.map)(backing, 2)
    byte, pfn = machine.read(start), machine.state.ptes["p0", start].pfn
    machine.run(do_madvise(mm="p0", start=start, pages=2, advice="dontneed"))
    assert machine.pte(start) is None
    assert (machine.read(start), machine.state.ptes["p0", start].pfn) == (byte, pfn)


def test_every_process_has_the_same_vdso() -> None:
    machine = Machine()
    start = machine.map_private("vdso", 2)
    machine.read(start)
    pfn = machine.state.ptes["p0", start].pfn
    machine.run(kernel_clone(mm="p0", child="p1"))
    assert machine.read(start, "p1") == 0x7F
    assert machine.state.ptes["p1", start].pfn == pfn
    for mm in ("p0", "p1"):
        machine.run(do_munmap(mm=mm, start=start, pages=2), mm)
    assert machine.state.frames[pfn].kind == "reserved"
    assert (machine.state.frames[pfn].refcount, machine.state.frames[pfn].mapcount) == (1, 0)


def test_a_ring_outlives_its_mapping_but_shared_anonymous_memory_does_not() -> None:
    machine = Machine()
    ring, memory = machine.map("packet", 2), machine.map("anon", 2)
    machine.write(memory, 1)
    machine.write(ring, 2)
    for start in (ring, memory):
        machine.run(do_munmap(mm="p0", start=start, pages=2))
    assert [file.kind for file in machine.state.files.values()] == ["packet"]
    assert machine.frames_in_use() == 2


# -- locking, splitting, moving, punching -------------------------------------------------------


def test_locked_pages_of_a_driver_are_marked_but_there_is_no_list_to_take_them_off() -> None:
    machine = Machine()
    start = machine.map("kvm_vcpu", 3)
    assert machine.run(do_mlock(mm="p0", start=start, pages=3)).ok
    assert machine.frame(start).flags & (PG_MLOCKED | PG_UNEVICTABLE) == PG_MLOCKED
    assert machine.run(do_munlock(mm="p0", start=start, pages=3)).ok
    assert machine.frame(start).flags & (PG_MLOCKED | PG_UNEVICTABLE) == 0


@pytest.mark.parametrize(
    ("backing", "errno"), [("vvar", EINVAL), ("vdso", EINVAL), ("perf", EINVAL), ("btf", 0), ("packet", 0)]
)
def test_what_stays_whole(backing: str, errno: int) -> None:
    machine = Machine()
    private = backing in ("vvar", "vdso", "btf")
    start = (machine.map_private if private else machine.map)(backing, 3, prot=VM_READ if private else RW)
    assert machine.run(do_munmap(mm="p0", start=start, pages=1)).value == -errno
    part = do_mremap(mm="p0", start=start + 1, pages=1, new_pages=1, flags=MREMAP_MAYMOVE | MREMAP_FIXED, to=100)
    assert machine.run(part).value == (-errno or 100)


@pytest.mark.parametrize(
    ("backing", "errno"),
    [("packet", ENODEV), ("kvm_vcpu", ENODEV), ("devzero", ENODEV), ("secretmem", EOPNOTSUPP), ("guest_memfd", 0)],
)
def test_holes_are_for_files(backing: str, errno: int) -> None:
    machine = secret()
    share = MAP_PRIVATE if backing == "devzero" else MAP_SHARED
    start = machine.map(backing, 2, file="s", share=share)
    machine.read(start)
    file = machine.state.vmas["p0", start].file
    assert machine.run(fallocate_punch(file=file, offset=0, pages=1)).value == -errno
    assert (machine.pte(start) is None) == (errno == 0)


def test_private_dev_zero_is_anonymous_memory_with_a_name() -> None:
    machine = Machine()
    start = machine.map_private("devzero", 2, at=100)
    machine.read(start)
    assert machine.frame(start).kind == "zero"
    machine.write(start, 1)
    assert machine.frame(start).kind == "anon"
    machine.map_private("anon", 2, at=102)
    machine.map_private("devzero", 2, at=104)
    assert len(machine.state.vmas) == 3
    shared = machine.map("devzero", 2, at=200)
    machine.write(shared, 1)
    assert machine.state.files[machine.state.vmas["p0", shared].file].kind == "shmem"
