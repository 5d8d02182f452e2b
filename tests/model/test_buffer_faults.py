"""Faults on buffers: each driver's own handler, under its own locks, makes its own number of entries."""

import pytest

from model.engine.config import KERNELS
from model.invariants.checker import Checker
from tests.model.play import Play

SEALED = "memfd f 4\nseal f shrink"


def entries(play: Play, first: int, pages: int) -> list[int]:
    """Which of some pages of p0 have an entry."""
    return [vpn for vpn in range(first, first + pages) if ("p0", vpn) in play.state.ptes]


def made(play: Play) -> list[str]:
    """The kernel functions that the last command went through."""
    return [note.procedure for note in play.accounts[-1].steps]


def test_ttm_maps_sixteen_pages_across_the_border_of_a_page_table() -> None:
    """ttm_bo_vm_fault_reserved(): TTM_BO_VM_NUM_PREFAULT times vmf_insert_pfn(), which allocates the next table."""
    play = Play("set kernel 6.18", "process p0\nbo b 20 in=gtt\nmmap p0 m bo:b shared rw 20 at=510\nread p0 m")
    assert entries(play, 510, 20) == list(range(510, 526))
    play.do("read p0 m+17")
    assert entries(play, 510, 20) == [*range(510, 526), 527, 528, 529]


def test_a_prefault_ends_with_the_mapping_and_with_the_buffer() -> None:
    play = Play("set kernel 6.18", "process p0\nbo b 20 in=gtt\nmmap p0 m bo:b shared rw 4 at=510 offset=2\nread p0 m")
    assert entries(play, 500, 40) == [510, 511, 512, 513]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("exporter", ["vgem", "virtio-gpu", "cirrus"])
def test_gem_shmem_maps_one_page(kernel: str, exporter: str) -> None:
    play = Play(f"set kernel {kernel}", f"process p0\nbo b 4 exporter={exporter}\nmmap p0 m bo:b shared rw 4 at=16")
    play.do("read p0 m+1")
    assert entries(play, 16, 4) == [17]
    assert "drm_gem_shmem_fault" in made(play)
    assert "ttm_bo_vm_fault" not in made(play)


@pytest.mark.parametrize(("kernel", "waits"), [("6.1", False), ("6.12", True), ("7.3", True)])
def test_gem_shmem_waits_for_the_reservation_with_mmap_lock_held(kernel: str, waits: bool) -> None:
    """drm_gem_shmem_fault(): dma_resv_lock() since it gave pages_lock up; no retry, mmap_lock is kept."""
    play = Play(f"set kernel {kernel}", "process p0\nbo b 1 exporter=vgem\nmmap p0 m bo:b shared rw 1 at=16")
    play.do("begin I invalidate b\nstep I\nbegin F cpu=1 read p0 m")
    assert play.do("finish F").startswith("blocked on dma_resv of b") is waits
    assert (("mmap_lock", "p0") in play.state.locks) is waits
    assert play.do("finish I") == "ok"


@pytest.mark.parametrize(("kernel", "mapped"), [("6.1", [16]), ("6.12", [16]), ("6.18", [16, 17]), ("7.3", [16, 17])])
def test_udmabuf_takes_no_reservation(kernel: str, mapped: list[int]) -> None:
    """udmabuf_vm_fault() asks no dma_resv; since 6.13 the first fault maps all of the VMA."""
    play = Play(f"set kernel {kernel}", f"process p0\n{SEALED}\nbo b 2 exporter=udmabuf memfd=f")
    play.do("mmap p0 m bo:b shared rw 2 at=16\nbegin I invalidate b\nstep I\nbegin F cpu=1 read p0 m")
    assert play.do("finish F") == "ok 0"
    assert entries(play, 16, 2) == mapped
    assert play.do("finish I") == "ok"


def test_a_udmabufs_prefault_crosses_the_border_of_a_page_table() -> None:
    play = Play("set kernel 7.3", f"process p0\n{SEALED}\nbo b 4 exporter=udmabuf memfd=f")
    play.do("mmap p0 m bo:b shared rw 4 at=510\nread p0 m+3")
    assert entries(play, 500, 20) == [510, 511, 512, 513]


# -- what a udmabuf wants of its memfd ---------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("seals", "answer"),
    [("", "error EINVAL"), ("seal f grow", "error EINVAL"), ("seal f shrink grow", "ok"), ("seal f shrink seal", "ok")],
)
def test_a_udmabuf_wants_a_memfd_that_cannot_shrink(kernel: str, seals: str, answer: str) -> None:
    """udmabuf.c: SEALS_WANTED is F_SEAL_SHRINK."""
    play = Play(f"set kernel {kernel}", f"memfd f 1\n{seals}")
    assert play.do("bo b 1 exporter=udmabuf memfd=f") == answer


def test_a_udmabuf_wants_a_memfd_that_can_be_written() -> None:
    """SEALS_DENIED is F_SEAL_WRITE; F_SEAL_FUTURE_WRITE is not among them."""
    assert Play("memfd f 1\nseal f shrink write").do("bo b 1 exporter=udmabuf memfd=f") == "error EINVAL"
    assert Play("memfd f 1\nseal f shrink future_write").do("bo b 1 exporter=udmabuf memfd=f") == "ok"


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_memfd_under_a_udmabuf_is_not_truncated_but_punched(kernel: str) -> None:
    play = Play(f"set kernel {kernel}", f"process p0\n{SEALED}\nbo b 1 exporter=udmabuf memfd=f")
    assert play.do("truncate f 0") == "error EPERM"
    assert play.broken() == set()
    assert play.do("punch f 0 1") == "ok"
    assert "parted-pages" in play.broken()


@pytest.mark.parametrize(("kernel", "answer"), [("6.1", "ok"), ("6.12", "blocked on i_rwsem of f, held by B")])
def test_a_seal_against_writing_may_come_between_the_look_and_the_pages(kernel: str, answer: str) -> None:
    """6.12 udmabuf_create(): inode_lock_shared() against memfd_add_seals(). 6.1 has no lock there."""
    play = Play(
        f"set kernel {kernel}", f"{SEALED}\nbegin B bo b 1 exporter=udmabuf memfd=f\nstep B\nbegin S seal f write"
    )
    assert play.do("finish S") == answer
    assert play.do("finish B") == "ok"


# -- i915: the pages are those of a shmem file -------------------------------------------------


def test_a_shmem_buffer_that_was_swapped_out_is_mapped_with_its_content() -> None:
    """i915_gem_shrink() writes the pages to swap; mapping the dma-buf reads them back, wherever they are then."""
    play = Play("device nic", "process p0\nbo b 1 exporter=i915-shmem\nmmap p0 m bo:b shared rw 1\nwrite p0 m 65")
    play.do("export b as=d\nattach d nic\nevict b")
    assert not list(play.state.page_cache.items())
    assert play.do("map d nic as=i\ndma i read") == "ok 65"
    assert play.do("dma i write 7\nread p0 m") == "ok 7"
    assert play.broken() == set()
    assert Checker.full(play.state).violations == ()


def test_a_cpu_may_use_a_udmabuf_until_munmap_has_flushed() -> None:
    play = Play("set kernel 6.18", f"process p0 cpu=0\n{SEALED}\nbo b 1 exporter=udmabuf memfd=f")
    play.do("mmap p0 m bo:b shared rw 1 at=16\nwrite p0 m 65\nbegin look cpu=1 read p0 m\nfinish look")
    play.do("begin R cpu=1 read p0 @16\nbegin U munmap p0 m")
    while ("p0", 16) in play.state.ptes:
        play.do("step U")
    assert any(entry.vpn == 16 for entry in play.state.tlbs[1])
    assert play.do("finish R") == "ok 65"
    assert play.do("finish U") == "ok"
    assert play.broken() == set()


def test_a_cpu_may_use_a_file_until_munmap_has_flushed() -> None:
    play = Play("set kernel 6.18", "process p0 cpu=0\ndiskfile f 1\nmmap p0 m file:f private rw 1 at=16")
    play.do("pwrite f 0 65\nread p0 m\nbegin look cpu=1 read p0 m\nfinish look")
    play.do("begin R cpu=1 read p0 @16\nbegin U munmap p0 m")
    while play.state.files["f"].i_mmap:
        play.do("step U")
    assert play.do("finish R") == "ok 65"
    assert play.do("finish U") == "ok"
    assert play.broken() == set()
