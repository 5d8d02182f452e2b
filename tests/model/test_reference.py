"""References that a program takes through system calls: which pages they get, and where they end."""

from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.reference import take_reference, vmsplice_get
from model.memory.errno import EFAULT
from model.memory.flags import FOLL_PIN, FOLL_WRITE, VM_WRITE
from model.session.session import Session
from tests.model.machine import Machine


def machine_with_write_only_pages() -> Machine:
    """Pages 100..103: the first may be read but was never touched, the others may only be written; 101 was."""
    machine = Machine()
    machine.map_private("anon", 4, at=100)
    machine.run(do_mprotect(mm="p0", start=101, pages=3, prot=VM_WRITE))
    machine.write(101, 7)
    return machine


def test_vmsplice_goes_on_after_a_short_count_and_so_gets_past_what_the_slow_path_refuses() -> None:
    machine = machine_with_write_only_pages()
    machine.run(kernel_clone(mm="p0", child="p1"))
    assert machine.run(vmsplice_get(name="pipe", mm="p0", start=100, pages=3)).value == 2
    assert machine.state.references["pipe"].frames == tuple(machine.state.ptes["p0", vpn].pfn for vpn in (100, 101))
    assert machine.run(vmsplice_get(name="none", mm="p0", start=102, pages=1)).value == -EFAULT


def test_a_driver_that_wants_all_pages_or_none_asks_once() -> None:
    machine = machine_with_write_only_pages()
    assert machine.run(take_reference(name="dma", mm="p0", start=100, pages=2, foll=0)).value == -EFAULT
    assert machine.run(take_reference(name="dma", mm="p0", start=100, pages=2, foll=FOLL_PIN | FOLL_WRITE)).value == 2


def at_the_prompt(text: str) -> Session:
    """A session in which each line knows only the names that there are now: two tasks may ask for the same one."""
    session = Session()
    for line in text.strip().splitlines():
        session.run(line.strip())
    return session


def test_who_comes_second_to_a_name_gives_back_the_pins_that_are_his_and_no_others() -> None:
    session = at_the_prompt("""
        set thp always
        process p0
        mmap p0 a anon private rw 512 at=512
        write p0 a 1
        begin first io-register p0 a as=r
        begin second io-register p0 a as=r
        finish first
        finish second
    """)
    assert not session.timeline.nodes[-1].checker.violations
    assert {frame.refcount for _, frame in session.state.frames.items() if frame.kind == "anon"} == {2}, "entry and pin"


def test_a_name_that_a_pipe_has_taken_meanwhile_is_no_buffer_of_io_uring() -> None:
    session = at_the_prompt("""
        process p0
        memfd f 1
        seal f shrink
        bo b 1 in=gtt exporter=udmabuf memfd=f
        mmap p0 a bo:b shared rw 1
        begin t io-register p0 a as=r
        step t 1
        pipe r
        finish t
    """)
    assert not session.state.references["r"].frames
