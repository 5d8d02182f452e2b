"""References that a program takes through system calls: which pages they get, and where they end."""

from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.reference import take_reference, vmsplice_get
from model.memory.errno import EFAULT
from model.memory.flags import FOLL_PIN, FOLL_WRITE, VM_WRITE
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
