"""KVM's own walk where GUP refuses: which bits of an entry it obeys, and for how long."""

import pytest

from model.engine.config import KERNELS
from model.kernel.mm.mmu_notifier import NOT_MAPPED
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


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_guest_that_writes_gets_a_copy_of_its_own(kernel: str) -> None:
    """hva_to_pfn_slow(): `if (write_fault) flags |= FOLL_WRITE`, so copy-on-write comes first."""
    play = Play(f"set kernel {kernel}", "process p0\ndevice guest\nmmap p0 m anon private rw 1\nwrite p0 m 1")
    assert play.do("fork p0 c\nfollow p0 m as=k by=guest\ndma k write 99\nread c m") == "ok 1"
    assert play.do("read p0 m") == "ok 99"
    assert play.broken() == set()


def test_the_zero_page_is_not_for_a_guest_to_write() -> None:
    play = Play("set kernel 6.1", "process p0\ndevice guest\nmmap p0 m anon private r 1\nread p0 m")
    assert play.do("follow p0 m as=no by=guest") == "error EFAULT"
    play.do("mprotect p0 m rw\nfollow p0 m as=k by=guest\ndma k write 99\nmmap p0 other anon private r 1")
    assert play.do("read p0 other") == "ok 0"
    assert play.do("read p0 m") == "ok 99"


HUGE = "process p0\ndevice guest\nbo b 512 in=gtt exporter=ttm-huge\nmmap p0 m bo:b shared rw 512 at=512\nwrite p0 m 1"


@pytest.mark.parametrize(("kernel", "answer"), [("6.1", "error EFAULT"), ("6.12", "ok"), ("6.18", "ok"), ("7.3", "ok")])
def test_the_walk_of_6_1_stops_at_a_huge_entry(kernel: str, answer: str) -> None:
    """6.1 mm/memory.c: follow_pte() answers -EINVAL where pmd_bad(); follow_pfnmap_start() knows huge entries."""
    play = Play(f"set kernel {kernel}\nset vram 1024\nset pmd-special on", HUGE)
    assert play.do("follow p0 m+0 as=k by=guest") == answer


def test_get_user_page_fast_only_comes_before_the_walk() -> None:
    """Where a PMD has no special bit KVM never gets to its own walk: GUP-fast has the page already."""
    play = Play("set kernel 6.1\nset vram 1024", HUGE)
    assert play.do("follow p0 m+0 as=k by=guest") == "ok"
    play.do("move b vram\ndma k write 99")
    assert "stale-reference" in play.broken()


def test_a_kernel_with_debug_vm_dies_at_the_huge_entry() -> None:
    """6.1 mm/memory.c: follow_pte: VM_BUG_ON(pmd_trans_huge(*pmd))."""
    play = Play("set kernel 6.1\nset vram 1024\nset pmd-special on\nset debug-vm on", HUGE)
    play.do("follow p0 m+0 as=k by=guest")
    assert "splat" in play.broken()


def test_a_guest_faults_in_the_process_that_it_belongs_to() -> None:
    """A vCPU is a thread: its process cannot lose its memory while the vCPU's fault is under way (mm_users)."""
    play = Play("set kernel 6.18", "process p0\ndevice guest\nmmap p0 m anon private rw 1\nfollow p0 m as=k by=guest")
    play.do("madvise p0 m dontneed\nbegin d dma k write 77\nstep d 2")
    assert play.do("exit p0").startswith("blocked")
    assert play.do("finish d") == "ok"
    assert play.do("exit p0") == "ok"
    assert play.do("dma k write 77") == "error EFAULT"


ANON = "process p0\ndevice guest\nmmap p0 m anon private rw 1\nwrite p0 m 1"


@pytest.mark.parametrize(
    ("kernel", "counts"), [("6.1", (2, 0)), ("6.12", (2, 0)), ("6.18", (1025, 1)), ("7.3", (1025, 1))]
)
def test_what_kvm_maps_for_itself_it_pins(kernel: str, counts: tuple[int, int]) -> None:
    """7.3 __kvm_vcpu_map(): `.pin = true`; up to 6.12 a plain reference."""
    play = Play(f"set kernel {kernel}", f"{ANON}\nfollow p0 m as=k vcpu-map by=guest")
    (pfn,) = play.state.references["k"].frames
    assert (play.frame(pfn).refcount, play.frame(pfn).pins) == counts
    assert play.do("dma k write 9\nread p0 m") == "ok 9"
    play.do("put k")
    assert (play.frame(pfn).refcount, play.frame(pfn).pins) == (1, 0)
    assert play.broken() == set()


@pytest.mark.parametrize(
    ("kernel", "answer"), [("6.1", "ok"), ("6.12", "ok"), ("6.18", "error EINVAL"), ("7.3", "error EINVAL")]
)
def test_what_cannot_be_pinned_kvm_does_not_map_for_itself(kernel: str, answer: str) -> None:
    """hva_to_pfn_remapped(): `if (kfp->pin && !allow_unsafe_mappings) return -EINVAL`."""
    play = Play(f"set kernel {kernel}", f"{BUFFER}\n{WRITABLE}\nwrite p0 m 1")
    assert play.do("follow p0 m as=k vcpu-map by=guest") == answer
    assert play.do("follow p0 m as=fault by=guest") == "ok"


def test_a_guest_that_lost_its_mapping_asks_for_the_page_that_it_touches() -> None:
    """kvm_mmu_faultin_pfn() looks up fault->gfn alone, and leaves the rest of the guest's memory to later faults."""
    play = Play("set kernel 6.18", "process p0\ndevice guest\nbo b 2 in=gtt\nmmap p0 m bo:b shared rw 2\nwrite p0 m 1")
    play.do("follow p0 m as=k by=guest\nmove b vram")
    assert play.state.references["k"].frames == (NOT_MAPPED, NOT_MAPPED)
    assert play.do("dma k+1 write 99") == "ok"
    first, second = play.state.references["k"].frames
    assert first == NOT_MAPPED != second
    assert play.do("read p0 m+1") == "ok 99"
    assert play.broken() == set()
