"""Truncation and punched holes: who loses which page, and that no order of events leaves one behind."""

import pytest

from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.drivers.dma import device_access, peek_reference
from model.kernel.fs.vfs import create_file, do_truncate, fallocate_punch, kernel_read, kernel_write
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.reference import put_reference, take_reference
from model.memory.flags import FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, PG_DIRTY, PG_PRIVATE
from model.memory.state import State
from tests.model.machine import Machine, interleavings

KINDS = pytest.mark.parametrize("kind", ["memfd", "ext4"])


def filled(kind: str, pages: int = 3) -> Machine:
    """A machine with a file `f` whose page n holds the byte n + 1."""
    machine = Machine()
    machine.run(
        memfd_create(file="f", pages=pages) if kind == "memfd" else create_file(file="f", kind=kind, pages=pages)
    )
    for page in range(pages):
        assert machine.run(kernel_write(file="f", page=page, value=page + 1)).ok
    return machine


def mapped(machine: Machine, kind: str, pages: int = 3) -> tuple[int, int]:
    """A shared and a private mapping of the file."""
    backing = "file" if kind == "ext4" else kind
    return machine.map(backing, pages, file="f"), machine.map_private(backing, pages, file="f")


@KINDS
def test_truncation_takes_private_copies_too_and_then_there_is_nothing(kind: str) -> None:
    machine = filled(kind)
    shared, private = mapped(machine, kind)
    machine.write(private + 1, 9)
    machine.read(shared + 2)
    assert machine.run(do_truncate(file="f", pages=1)).ok
    assert machine.read(shared) == machine.read(private) == 1
    assert [machine.pte(start + 1) for start in (shared, private)] == [None, None]
    assert machine.read(shared + 1) == machine.read(private + 1) == "SIGBUS"
    assert machine.run(do_truncate(file="f", pages=3)).ok
    assert machine.read(shared + 1) == machine.read(private + 1) == 0


@KINDS
def test_a_punched_hole_leaves_private_copies_alone_and_reads_as_zeros(kind: str) -> None:
    machine = filled(kind)
    shared, private = mapped(machine, kind)
    machine.read(shared)
    machine.write(private, 9)
    machine.read(private + 1)
    assert machine.run(fallocate_punch(file="f", offset=0, pages=2)).ok
    assert [machine.pte(vpn) for vpn in (shared, private + 1)] == [None, None]
    assert (machine.read(private), machine.read(shared), machine.read(private + 1)) == (9, 0, 0)
    assert machine.read(shared + 2) == 3
    assert machine.state.files["f"].size == 3


@KINDS
@pytest.mark.parametrize("how", ["truncate", "punch"])
def test_a_pinned_page_leaves_the_file_and_the_device_writes_where_nobody_looks(kind: str, how: str) -> None:
    machine = filled(kind)
    shared, private = mapped(machine, kind)
    start = shared if kind == "memfd" else private
    pin = take_reference(name="d", mm="p0", start=start + 2, pages=1, foll=FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM)
    assert machine.run(pin).ok
    (pfn,) = machine.state.references["d"].frames
    call = do_truncate(file="f", pages=2) if how == "truncate" else fallocate_punch(file="f", offset=2, pages=1)
    assert machine.run(call).ok
    machine.run(device_access(reference="d", page=0, write=True, value=7), "")
    frame = machine.state.frames[pfn]
    machine.run(do_truncate(file="f", pages=3))
    assert machine.run(kernel_read(file="f", page=2)).value == 0
    assert machine.run(peek_reference(reference="d", page=0), "").value == 7
    if kind == "memfd":
        assert (frame.refcount, frame.mapcount, frame.flags & (PG_DIRTY | PG_PRIVATE)) == (1024, 0, 0)
        assert machine.read(shared + 2) == 0
    machine.run(put_reference(name="d"), "")
    assert (pfn in machine.state.frames) == (kind == "ext4" and how == "punch")


def test_truncation_reaches_every_process() -> None:
    machine = filled("memfd")
    shared, _ = mapped(machine, "memfd")
    machine.run(kernel_clone(mm="p0", child="p1"))
    machine.read(shared + 2)
    machine.read(shared + 2, "p1")
    assert machine.frame(shared + 2).mapcount == 2
    machine.run(do_truncate(file="f", pages=2))
    assert machine.pte(shared + 2) is machine.pte(shared + 2, "p1") is None
    assert machine.read(shared + 2, "p1") == "SIGBUS"


def test_a_fault_that_has_the_page_locked_is_waited_for_and_then_undone() -> None:
    machine = filled("memfd")
    shared, _ = mapped(machine, "memfd")
    machine.begin("store", cpu_store(mm="p0", vpn=shared + 2, value=9))
    machine.step_to("store", "finish_fault")
    machine.begin("cut", do_truncate(file="f", pages=2))
    assert machine.finish("cut") is None
    assert "folio" in machine.state.tasks["cut"].blocked
    machine.step_to("store", "mmap_read_unlock")
    assert machine.pte(shared + 2) is not None
    cut = machine.finish("cut")
    assert cut is not None
    assert cut.ok
    assert machine.pte(shared + 2) is None


def beyond_eof(state: State) -> list[object]:
    """Entries and cached pages that a file has beyond its end."""
    found: list[object] = [key for key in state.page_cache if key[1] >= state.files[key[0]].size]
    for (mm, start), vma in state.vmas.items():
        end = start + max(state.files[vma.file].size - vma.pgoff, 0)
        found += [key for key in state.ptes if key[0] == mm and vma.start <= key[1] < vma.end and key[1] >= end]
    return found


@KINDS
@pytest.mark.parametrize("access", ["load", "store"])
@pytest.mark.parametrize("private", [False, True])
def test_no_order_of_a_fault_and_a_truncation_leaves_a_page_beyond_the_end(
    kind: str, access: str, private: bool
) -> None:
    machine = filled(kind, pages=2)
    vpn = mapped(machine, kind, pages=2)[private] + 1
    instruction = cpu_load(mm="p0", vpn=vpn) if access == "load" else cpu_store(mm="p0", vpn=vpn, value=9)
    machine.begin("access", instruction)
    machine.begin("cut", do_truncate(file="f", pages=1), "")
    endings = set()
    for state, results in interleavings(machine.state, ("access", "cut")):
        assert results["cut"].ok
        assert not beyond_eof(state)
        assert not state.locks
        frames = [frame for frame in state.frames.values() if frame.kind in ("file", "anon")]
        assert sum(frame.refcount for frame in frames) == len(state.page_cache) + len(
            [pte for pte in state.ptes.values() if state.frames[pte.pfn].kind in ("file", "anon")]
        ) + sum(bool(frame.flags & PG_PRIVATE) for frame in frames)
        endings.add(results["access"].signal)
    assert endings == {"", "SIGBUS"}


@KINDS
def test_no_order_of_a_store_and_a_punch_splits_the_file_from_its_mapping(kind: str) -> None:
    machine = filled(kind, pages=1)
    shared, _ = mapped(machine, kind, pages=1)
    machine.begin("store", cpu_store(mm="p0", vpn=shared, value=9))
    machine.begin("punch", fallocate_punch(file="f", offset=0, pages=1), "")
    for state, results in interleavings(machine.state, ("store", "punch")):
        assert results["punch"].ok
        entry = state.ptes.get(("p0", shared))
        cached = state.page_cache.get(("f", 0))
        assert entry is None or entry.pfn == cached
        assert not state.locks


@KINDS
def test_a_hole_unmaps_nothing_beside_it(kind: str) -> None:
    machine = filled(kind)
    shared, private = mapped(machine, kind)
    for first in (shared, private):
        for page in range(3):
            assert machine.read(first + page) == page + 1
    assert machine.run(fallocate_punch(file="f", offset=1, pages=1), "").ok
    there = [machine.pte(first + page) is not None for first in (shared, private) for page in range(3)]
    assert there == [True, False, True] * 2
