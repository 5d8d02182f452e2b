"""KVM's own walk where GUP refuses: which bits of an entry it obeys, and for how long."""

import pytest

from model.engine.config import KERNELS
from tests.model.play import Play

BUFFER = "process p0\ndevice guest\nbo b 1 in=gtt"
READ_ONLY = "mmap p0 m bo:b shared r 1"
WRITABLE = "mmap p0 m bo:b shared rw 1"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("touched", ["", "read p0 m"])
def test_a_read_only_entry_is_refused_in_every_kernel(kernel: str, touched: str) -> None:
    """virt/kvm/kvm_main.c: hva_to_pfn_remapped() asks pte_write() since 5.12, and fixup_user_fault() the VMA."""
    play = Play(f"set kernel {kernel}", f"{BUFFER}\n{READ_ONLY}\n{touched}")
    assert play.do("follow p0 m as=no by=guest") == "error EFAULT"
    assert not play.state.references
    assert play.do("mprotect p0 m rw\nfollow p0 m as=k by=guest") == "ok"


@pytest.mark.parametrize(("kernel", "write"), [("6.1", "ok"), ("6.12", "ok"), ("6.18", "error EFAULT")])
def test_who_keeps_the_page_is_asked_for_the_permission_once(kernel: str, write: str) -> None:
    play = Play(f"set kernel {kernel}", f"{BUFFER}\n{WRITABLE}")
    play.do("follow p0 m as=k by=guest\nmprotect p0 m r")
    assert play.do("dma k write 99") == write


def test_the_special_bit_is_looked_past() -> None:
    play = Play("set kernel 6.1", f"{BUFFER}\n{WRITABLE}\nwrite p0 m 1")
    assert play.do("gup p0 m as=r write by=guest") == "error EFAULT"
    assert play.do("follow p0 m as=k by=guest") == "ok"
