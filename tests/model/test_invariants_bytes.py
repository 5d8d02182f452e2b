"""Rules about what becomes of a byte: each with a script that breaks it, and a twin close by that must not."""

from typing import Final

import msgspec
import pytest

from model.invariants.checker import Checker
from model.invariants.rules.lost_store import lost_store
from model.memory.buffer_records import Buffer
from model.memory.events import Access
from model.memory.flags import VM_READ, VM_SHARED, VM_WRITE
from model.memory.records import File, Pte
from model.memory.state import Change, Transaction
from tests.model.broken_machines import RW, USER, after, anon, cached, changed, machine, process, reference
from tests.model.play import Play

START: Final = "process p0\ndevice nic"

BREAKS: Final = {
    "read-only-write": """
        mmap p0 buf anon private rw 1
        write p0 buf 1
        mprotect p0 buf r
        grab p0 buf as=g by=nic
        dma g write 99
    """,
    "secret-access": """
        mmap p0 buf secretmem shared rw 1
        write p0 buf 83
        mirror p0 buf as=m by=nic
        dma m read
    """,
    "clean-page-written": """
        diskfile f 1
        mmap p0 buf file:f shared rw 1
        write p0 buf 1
        gup p0 buf as=r write pin by=nic
        fsync f
        dma r write 3
    """,
    "lost-store": """
        bo b 1 in=gtt exporter=late-zap
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        begin M move b vram
        step M 7
        write p0 buf 66
        finish M
    """,
    "foreign-dma": """
        bo b 1 in=gtt exporter=insert-page
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        gup p0 buf as=r
        move b vram
        process p1
        bo secret 1 in=gtt exporter=insert-page
        mmap p1 s bo:secret shared rw 1
        write p1 s 83
        peek r
    """,
}

KEEPS: Final = {
    "read-only-write": """
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=g write by=nic
        mprotect p0 buf r
        dma g write 99
    """,
    "secret-access": """
        mmap p0 buf secretmem shared rw 1
        write p0 buf 83
        read p0 buf
        mirror p0 buf as=m by=nic
    """,
    "clean-page-written": """
        diskfile f 1
        mmap p0 buf file:f shared rw 1
        write p0 buf 1
        gup p0 buf as=r write pin by=nic
        fsync f
        write p0 buf 2
        dma r write 3
    """,
    "lost-store": """
        bo b 1 in=gtt exporter=late-zap
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        begin M move b vram
        step M 5
        write p0 buf 66
        finish M
        read p0 buf
    """,
    "foreign-dma": """
        mmap p0 buf anon private rw 1
        write p0 buf 1
        fork p0 c
        gup c buf as=pipe fast
        munmap c buf
        write p0 buf 83
        peek pipe
    """,
}
"""The permission was asked for, only the process looks, the page is dirty again, the write came before the copy, the
reader had the byte already."""


@pytest.mark.parametrize("rule", BREAKS)
def test_is_reported(rule: str) -> None:
    play = Play("set kernel 6.1", START)
    *before, last = BREAKS[rule].strip().splitlines()
    play.do("\n".join(before))
    assert rule not in play.broken()
    play.do(last)
    assert rule in play.broken()


@pytest.mark.parametrize("rule", KEEPS)
def test_its_twin_is_not(rule: str) -> None:
    assert rule not in Play("set kernel 6.1", f"{START}\n{KEEPS[rule]}").broken()


def test_a_write_through_a_private_mapping_never_reaches_the_file() -> None:
    """Dirty COW: the copy was made, the entry zapped, and the walk that looked again took the file's own page."""
    forced = Access(7, write=True, value=0x66, process="p0", vpn=17)
    found = after(machine(process("p0", file="f"), cached(7, "f", 1, ("p0", 17))), forced)
    assert [violation.invariant for violation in found] == ["read-only-write"]
    assert found[0].message == (
        "The kernel wrote 102 at p0 buf+1 (page 17) to frame 7, the page of file f itself. p0 maps it privately: a "
        "write there goes to a copy."
    )
    shared = process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED)
    assert after(machine(shared, cached(7, "f", 1, ("p0", 17))), forced) == []
    copied = (process("p0", file="f"), cached(7, "f", 1), anon(9, ("p0", 17)))
    assert after(machine(*copied), Access(9, write=True, value=0x66, process="p0", vpn=17)) == []


def test_a_byte_that_a_swapped_out_buffer_lacks_is_lost() -> None:
    before = machine(
        lambda tx: tx.buffers.__setitem__("b", Buffer(1, frames=(50,))), lambda tx: tx.content.__setitem__(50, 9)
    )
    old = before.buffers["b"]

    def swapped_out(byte: int) -> list[str]:
        new = msgspec.structs.replace(old, frames=(), swap=(byte,))
        after = changed(before, lambda tx: tx.buffers.__setitem__("b", new))
        scenes = Checker.full(before).scene, Checker.full(after).scene
        return [found.invariant for found in lost_store(*scenes, Change("buffers", "b", old, new))]

    assert swapped_out(9) == []
    assert swapped_out(3) == ["lost-store"]


def test_a_reader_without_a_device_gets_at_secret_memory_as_well() -> None:
    play = Play("set kernel 6.1", f"{START}\nmmap p0 buf secretmem shared rw 1\nwrite p0 buf 83\ngrab p0 buf as=g")
    assert "secret-access" not in play.broken()
    assert play.do("peek g") == "ok 83"
    assert "secret-access" in play.broken()


@pytest.mark.parametrize(("bits", "found"), [(RW, []), (USER, ["clean-page-written"])])
def test_a_dirty_entry_tells_the_filesystem_as_well(bits: int, found: list[str]) -> None:
    """When the entry is cleared its dirty bit goes to the page (mm/memory.c: zap_present_folio_ptes)."""

    def on_disk(tx: Transaction) -> None:
        tx.files["f"] = File("ext4", size=16, i_mmap=(("p0", 16),))
        tx.ptes["p0", 17] = Pte(50, bits)

    state = machine(
        process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED), cached(50, "f", 1, ("p0", 17)), on_disk
    )
    state = changed(state, reference("r0", "p0", 17, 50))
    written = Access(50, write=True, value=7, reference="r0", page=0, device="nic")
    assert [violation.invariant for violation in after(state, written)] == found
