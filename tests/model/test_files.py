"""Files in the page cache: who sees whose writes, what a hole is, when a page is dirty, what a seal forbids."""

import pytest

from model.engine.procedure import Procedure
from model.kernel.arch.access import cpu_store
from model.kernel.fs.file_kinds import EOF
from model.kernel.fs.vfs import (
    create_file,
    do_truncate,
    fallocate_punch,
    filp_close,
    kernel_read,
    kernel_write,
    vfs_fsync,
)
from model.kernel.mm.filemap import MAX_FILE_PAGES
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.memfd import memfd_add_seals, memfd_create
from model.kernel.mm.mmap import MAP_PRIVATE, MAP_SHARED
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.msync import do_msync
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reference import put_reference, take_reference, vmsplice_get
from model.memory.errno import EACCES, EBADF, EBUSY, EEXIST, EFBIG, EINVAL, EOPNOTSUPP, EPERM, ESPIPE
from model.memory.flags import FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, PG_DIRTY, PG_PRIVATE, VM_EXEC, VM_READ
from tests.model.machine import RW, Machine, interleavings
from tests.model.play import Play


def machine_with(kind: str, pages: int = 4, kernel: str = "6.18") -> Machine:
    """A machine with a file `f`."""
    machine = Machine(kernel)
    made = memfd_create(file="f", pages=pages) if kind == "memfd" else create_file(file="f", kind=kind, pages=pages)
    assert machine.run(made).ok
    return machine


def backing(kind: str) -> str:
    return "file" if kind == "ext4" else kind


def dirty(machine: Machine, index: int) -> bool:
    return bool(machine.state.frames[machine.state.page_cache["f", index]].flags & PG_DIRTY)


# -- coherence --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memfd", "ext4"])
def test_shared_mappings_the_descriptor_and_references_are_one_memory(kind: str) -> None:
    machine = machine_with(kind)
    here, there = machine.map(backing(kind), file="f"), machine.map(backing(kind), file="f")
    machine.write(here, 1)
    assert machine.read(there) == machine.run(kernel_read(file="f", page=0)).value == 1
    machine.run(kernel_write(file="f", page=0, value=2))
    assert machine.read(here) == machine.read(there) == 2
    assert machine.pte(here) is not None
    assert machine.frame(here).refcount == machine.frame(here).mapcount + 1 + bool(
        machine.frame(here).flags & PG_PRIVATE
    )


@pytest.mark.parametrize("kind", ["memfd", "ext4"])
def test_a_private_mapping_follows_the_file_until_its_own_first_write(kind: str) -> None:
    machine = machine_with(kind)
    mine = machine.map_private(backing(kind), file="f")
    machine.run(kernel_write(file="f", page=0, value=1))
    assert machine.read(mine) == 1
    machine.run(kernel_write(file="f", page=0, value=2))
    assert machine.read(mine) == 2
    machine.write(mine, 3)
    machine.run(kernel_write(file="f", page=0, value=4))
    assert (machine.read(mine), machine.run(kernel_read(file="f", page=0)).value) == (3, 4)


# -- holes and dirty pages --------------------------------------------------------------------


def test_reading_a_hole_of_a_memfd_through_the_descriptor_leaves_it_a_hole() -> None:
    machine = machine_with("memfd")
    assert machine.run(kernel_read(file="f", page=1)).value == 0
    assert ("f", 1) not in machine.state.page_cache


def test_a_hole_gets_a_clean_page_when_it_is_read_and_a_dirty_one_when_it_is_written() -> None:
    machine = machine_with("memfd")
    start = machine.map("memfd", file="f")
    machine.read(start)
    machine.write(start + 1, 7)
    assert (dirty(machine, 0), dirty(machine, 1)) == (False, True)
    assert sorted(machine.state.page_cache) == [("f", 0), ("f", 1)]


def test_a_store_through_a_writable_clean_entry_reaches_the_page_when_it_is_unmapped() -> None:
    machine = machine_with("memfd")
    start = machine.map("memfd", file="f")
    machine.read(start)
    machine.write(start, 7)
    assert not dirty(machine, 0)
    machine.run(do_munmap(mm="p0", start=start, pages=4))
    assert dirty(machine, 0)


def test_the_end_of_the_file() -> None:
    machine = machine_with("memfd", pages=1)
    start = machine.map("memfd", pages=3, file="f")
    assert machine.run(kernel_read(file="f", page=1)).value == EOF
    assert machine.read(start + 1) == machine.write(start + 2, 1) == "SIGBUS"
    machine.run(kernel_write(file="f", page=1, value=9))
    assert machine.state.files["f"].size == 2
    assert (machine.read(start + 1), machine.read(start + 2)) == (9, "SIGBUS")


# -- a disk file ------------------------------------------------------------------------------


def test_a_shared_mapping_of_a_disk_file_starts_read_only_so_that_the_first_write_is_noticed() -> None:
    machine = machine_with("ext4")
    start = machine.map("file", file="f")
    machine.read(start)
    entry = machine.pte(start)
    assert entry is not None
    assert not entry.writable
    machine.write(start, 5)
    assert machine.frame(start).flags & (PG_DIRTY | PG_PRIVATE) == PG_DIRTY | PG_PRIVATE


def test_fsync_makes_entries_read_only_again_and_the_next_write_is_noticed_too() -> None:
    machine = machine_with("ext4")
    start, other = machine.map("file", file="f"), machine.map_private("file", file="f")
    machine.write(start, 5)
    machine.read(other)
    assert machine.run(vfs_fsync(file="f")).ok
    entry = machine.pte(start)
    assert entry is not None
    assert not entry.writable
    assert not entry.dirty
    assert (dirty(machine, 0), machine.state.disk["f", 0]) == (False, 5)
    machine.write(start, 6)
    assert (dirty(machine, 0), machine.state.disk["f", 0], machine.read(other)) == (True, 5, 6)


def test_msync_writes_back_the_pages_of_its_range_and_no_others() -> None:
    machine = machine_with("ext4")
    start = machine.map("file", pages=3, file="f", offset=1)
    for page in range(3):
        machine.write(start + page, page + 1)
    assert machine.run(do_msync(mm="p0", start=start + 1, pages=1)).ok
    assert [dirty(machine, index) for index in (1, 2, 3)] == [True, False, True]
    assert machine.state.disk["f", 2] == 2


def test_however_a_store_and_fsync_mix_the_byte_is_on_disk_or_its_page_is_dirty() -> None:
    machine = machine_with("ext4", pages=1)
    start = machine.map("file", pages=1, file="f")
    machine.write(start, 1)
    machine.begin("sync", vfs_fsync(file="f"))
    machine.begin("store", cpu_store(mm="p0", vpn=start, value=2))
    ends = 0
    for state, results in interleavings(machine.state, ("sync", "store")):
        ends += 1
        pfn = state.page_cache["f", 0]
        entry = state.ptes["p0", start]
        assert state.content[pfn] == 2
        assert state.disk["f", 0] == 2 or entry.dirty or state.frames[pfn].flags & PG_DIRTY, results
        assert entry.writable <= bool(state.frames[pfn].flags & PG_DIRTY), "a store that nobody would notice"
    assert ends > 1


def test_what_is_read_from_disk_comes_with_its_neighbours_and_is_mapped_at_once() -> None:
    machine = machine_with("ext4", pages=40)
    for page in range(3):
        machine.run(kernel_write(file="f", page=page, value=page + 1))
    machine.run(vfs_fsync(file="f"))
    start = machine.map_private("file", pages=40, file="f", prot=VM_READ)
    machine.read(start)
    machine.run(do_madvise(mm="p0", start=start, pages=40, advice="pageout"))
    assert not machine.state.page_cache
    assert machine.read(start + 1) == 2
    assert sorted(index for _, index in machine.state.page_cache) == list(range(32))
    assert [vpn - start for _, vpn in sorted(machine.state.ptes)] == list(range(16))


def pages_read_by_a_fault(kernel: str = "6.18", prot: int = VM_READ, advice: str = "normal") -> list[int]:
    """Which pages of a file of 60 are read when page 30 is touched through a mapping of pages 20..39."""
    machine = machine_with("ext4", pages=60, kernel=kernel)
    start = machine.map_private("file", pages=20, file="f", prot=prot, offset=20)
    machine.run(do_madvise(mm="p0", start=start, pages=20, advice=advice))
    machine.read(start + 10)
    return sorted(index for _, index in machine.state.page_cache)


def test_how_far_a_fault_reads_depends_on_advice_and_on_whether_it_is_code() -> None:
    assert pages_read_by_a_fault() == list(range(14, 46))
    assert pages_read_by_a_fault(advice="random") == [30]
    assert pages_read_by_a_fault(advice="sequential") == list(range(30, 60))
    assert pages_read_by_a_fault(prot=VM_READ | VM_EXEC) == list(range(30, 40))
    assert pages_read_by_a_fault("6.12", prot=VM_READ | VM_EXEC) == list(range(14, 46))


def test_willneed_reads_the_part_of_a_file_that_is_mapped_in_the_range_and_maps_nothing() -> None:
    machine = machine_with("ext4", pages=8)
    start = machine.map("file", pages=6, file="f", offset=4)
    assert machine.run(do_madvise(mm="p0", start=start + 1, pages=5, advice="willneed")).ok
    assert sorted(index for _, index in machine.state.page_cache) == [5, 6, 7]
    assert machine.pte(start + 1) is None


def test_reclaim_drops_clean_pages_and_leaves_what_is_dirty_locked_or_referenced() -> None:
    machine = machine_with("ext4", pages=4)
    start = machine.map("file", file="f")
    for page in range(4):
        machine.write(start + page, page + 1)
    machine.run(vfs_fsync(file="f"))
    machine.write(start + 1, 9)
    assert machine.run(vmsplice_get(name="pipe", mm="p0", start=start + 2, pages=1)).value == 1
    machine.run(do_madvise(mm="p0", start=start, pages=4, advice="pageout"))
    assert sorted(index for _, index in machine.state.page_cache) == [1, 2]
    assert [machine.pte(start + page) for page in range(4)] == [None] * 4
    assert [machine.read(start + page) for page in range(4)] == [1, 9, 3, 4]


def test_blocks_that_were_cut_off_do_not_come_back() -> None:
    machine = machine_with("ext4", pages=3)
    for page in range(3):
        machine.run(kernel_write(file="f", page=page, value=page + 1))
    machine.run(vfs_fsync(file="f"))
    machine.run(fallocate_punch(file="f", offset=0, pages=1))
    machine.run(do_truncate(file="f", pages=2))
    machine.run(do_truncate(file="f", pages=3))
    assert [machine.run(kernel_read(file="f", page=page)).value for page in range(3)] == [0, 2, 0]
    assert set(machine.state.disk) == {("f", 1)}


# -- closing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memfd", "ext4"])
def test_a_closed_file_goes_with_its_last_mapping(kind: str) -> None:
    machine = machine_with(kind)
    before = machine.frames_in_use()
    start = machine.map(backing(kind), file="f")
    machine.write(start, 1)
    assert machine.run(filp_close(file="f")).ok
    assert machine.read(start) == 1
    assert machine.run(kernel_read(file="f", page=0)).value == -EBADF
    machine.run(do_munmap(mm="p0", start=start, pages=4))
    assert "f" not in machine.state.files
    assert (machine.frames_in_use(), len(machine.state.page_cache), len(machine.state.disk)) == (before, 0, 0)


def test_a_pinned_page_survives_its_file_as_an_orphan() -> None:
    machine = machine_with("memfd")
    start = machine.map("memfd", file="f")
    pin = take_reference(name="d", mm="p0", start=start, pages=1, foll=FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM)
    assert machine.run(pin).ok
    (pfn,) = machine.state.references["d"].frames
    machine.run(do_munmap(mm="p0", start=start, pages=4))
    machine.run(filp_close(file="f"))
    orphan = machine.state.frames[pfn]
    assert (orphan.refcount, orphan.mapcount, orphan.mapping) == (1024, 0, "")
    machine.run(put_reference(name="d"))
    assert pfn not in machine.state.frames


# -- seals (each line measured on Linux 6.18) ---------------------------------------------------


def seal(machine: Machine, *seals: str) -> int:
    return machine.run(memfd_add_seals(file="f", seals=seals)).value


@pytest.mark.parametrize(
    ("seals", "call", "result"),
    [
        (("write",), kernel_write(file="f", page=0, value=1), -EPERM),
        (("write",), fallocate_punch(file="f", offset=0, pages=1), -EPERM),
        (("write",), do_truncate(file="f", pages=1), 0),
        (("write",), do_truncate(file="f", pages=9), 0),
        (("future_write",), kernel_write(file="f", page=0, value=1), -EPERM),
        (("future_write",), fallocate_punch(file="f", offset=0, pages=1), -EPERM),
        (("future_write",), do_truncate(file="f", pages=1), 0),
        (("grow",), kernel_write(file="f", page=3, value=1), 0),
        (("grow",), kernel_write(file="f", page=4, value=1), -EPERM),
        (("grow",), do_truncate(file="f", pages=5), -EPERM),
        (("grow",), do_truncate(file="f", pages=4), 0),
        (("grow",), do_truncate(file="f", pages=1), 0),
        (("shrink",), do_truncate(file="f", pages=5), 0),
        (("shrink",), do_truncate(file="f", pages=3), -EPERM),
        (("shrink",), fallocate_punch(file="f", offset=0, pages=1), 0),
        (("seal",), memfd_add_seals(file="f", seals=("grow",)), -EPERM),
        (("write", "write"), memfd_add_seals(file="f", seals=("write",)), 0),
        (("exec",), do_truncate(file="f", pages=9), -EPERM),
    ],
)
def test_what_a_seal_forbids(seals: tuple[str, ...], call: Procedure, result: int) -> None:
    machine = machine_with("memfd")
    assert seal(machine, *seals) == 0
    assert machine.run(call).value == result


@pytest.mark.parametrize(("share", "prot", "expected"), [
    (MAP_SHARED, RW, EBUSY), (MAP_SHARED, VM_READ, EBUSY), (MAP_PRIVATE, RW, 0),
])  # fmt: skip
def test_sealing_against_writes_needs_that_nobody_could_write(share: int, prot: int, expected: int) -> None:
    machine = machine_with("memfd")
    machine.map("memfd", file="f", share=share, prot=prot)
    assert seal(machine, "write") == -expected
    assert seal(machine, "future_write") == 0


def test_a_forgotten_reference_prevents_sealing_as_a_mapping_does() -> None:
    machine = machine_with("memfd")
    start = machine.map("memfd", file="f")
    machine.write(start, 1)
    machine.run(vmsplice_get(name="pipe", mm="p0", start=start, pages=1))
    machine.run(do_munmap(mm="p0", start=start, pages=4))
    assert seal(machine, "write") == -EBUSY
    machine.run(put_reference(name="pipe"))
    assert seal(machine, "write") == 0


@pytest.mark.parametrize("kind", ["write", "future_write"])
def test_a_sealed_file_can_be_mapped_shared_for_reading_but_never_becomes_writable(kind: str) -> None:
    machine = machine_with("memfd")
    seal(machine, kind)
    assert machine.map("memfd", file="f") == -EPERM
    start = machine.map("memfd", file="f", prot=VM_READ)
    assert machine.codes(start) == "rd sh mr me ms"
    assert machine.run(do_mprotect(mm="p0", start=start, pages=4, prot=RW)).value == -EACCES
    assert machine.run(do_madvise(mm="p0", start=start, pages=1, advice="remove")).value == -EACCES
    mine = machine.map_private("memfd", file="f")
    assert machine.write(mine, 1) == ""


def test_in_6_1_a_file_sealed_against_writing_could_not_be_mapped_shared_at_all() -> None:
    machine = machine_with("memfd", kernel="6.1")
    seal(machine, "write")
    assert machine.map("memfd", file="f", prot=VM_READ) == -EPERM
    future = machine_with("memfd", kernel="6.1")
    seal(future, "future_write")
    assert future.map("memfd", file="f", prot=VM_READ) > 0
    assert seal(future, "write") == -EBUSY


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        (memfd_create(file="f", pages=1), EEXIST),
        (create_file(file="f", kind="ext4", pages=1), EEXIST),
        (memfd_create(file="g", pages=MAX_FILE_PAGES + 1), EFBIG),
        (create_file(file="g", kind="ext4", pages=-1), EFBIG),
        (do_truncate(file="f", pages=1 << 60), EFBIG),
        (do_truncate(file="missing", pages=1), EBADF),
        (kernel_write(file="f", page=MAX_FILE_PAGES, value=1), EFBIG),
        (kernel_write(file="missing", page=0, value=1), EBADF),
        (kernel_read(file="missing", page=0), EBADF),
        (fallocate_punch(file="f", offset=0, pages=0), EINVAL),
        (fallocate_punch(file="f", offset=1, pages=MAX_FILE_PAGES), EFBIG),
        (fallocate_punch(file="missing", offset=0, pages=1), EBADF),
        (memfd_add_seals(file="f", seals=("nonsense",)), EINVAL),
        (memfd_add_seals(file="missing", seals=("write",)), EBADF),
        (vfs_fsync(file="missing"), EBADF),
        (filp_close(file="missing"), EBADF),
    ],
)
def test_refusals(call: Procedure, errno: int) -> None:
    assert machine_with("memfd").run(call).value == -errno


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        (kernel_read(file="f", page=0), ESPIPE),
        (kernel_write(file="f", page=0, value=1), ESPIPE),
        (do_truncate(file="f", pages=1), EINVAL),
        (fallocate_punch(file="f", offset=0, pages=1), EOPNOTSUPP),
        (vfs_fsync(file="f"), EINVAL),
        (memfd_add_seals(file="f", seals=("write",)), EINVAL),
    ],
)
def test_secret_memory_cannot_be_reached_through_its_descriptor(call: Procedure, errno: int) -> None:
    assert machine_with("secretmem").run(call).value == -errno


def test_a_sparse_file_of_any_size_costs_nothing() -> None:
    machine = machine_with("memfd", pages=MAX_FILE_PAGES)
    machine.run(kernel_write(file="f", page=MAX_FILE_PAGES - 1, value=5))
    assert machine.run(kernel_read(file="f", page=MAX_FILE_PAGES - 1)).value == 5
    assert machine.run(do_truncate(file="f", pages=1)).ok
    assert not machine.state.page_cache


@pytest.mark.parametrize(
    ("kernel", "file", "mapped"),
    [
        ("6.12", "diskfile f 1", True),
        ("6.18", "diskfile f 1", False),
        ("6.18", "memfd f 1", True),
        ("6.18", "diskfile f 2", True),
    ],
)
def test_fault_around_where_the_file_ends_maps_nothing_without_a_page_table(
    kernel: str, file: str, mapped: bool
) -> None:
    """filemap_map_pages() since 74207de2ba10, but for shmem. Measured on 6.18."""
    backing = "memfd:f" if file.startswith("memfd") else "file:f"
    play = Play(f"set kernel {kernel}", f"process p0\n{file}\npwrite f 0 2\nmmap p0 m {backing} private rw 4")
    assert play.do("read p0 m+3") == "signal SIGBUS"
    assert play.do(f"expect {'present' if mapped else 'absent'} p0 m") == "ok"
