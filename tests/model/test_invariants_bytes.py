"""Rules about what becomes of a byte: each with a script that breaks it, and a twin close by that must not."""

from typing import Final

import pytest

from model.memory.flags import VM_READ, VM_SHARED, VM_WRITE
from model.memory.records import Access
from tests.model.broken_machines import after, anon, cached, machine, process
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
        step M 6
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
        "The kernel wrote 0x66 at p0 buf+1 (page 17) to frame 7, the page of file f itself. p0 maps it privately: a "
        "write there goes to a copy."
    )
    shared = process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED)
    assert after(machine(shared, cached(7, "f", 1, ("p0", 17))), forced) == []
    copied = (process("p0", file="f"), cached(7, "f", 1), anon(9, ("p0", 17)))
    assert after(machine(*copied), Access(9, write=True, value=0x66, process="p0", vpn=17)) == []
