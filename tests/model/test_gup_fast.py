"""What get_user_pages_fast() may keep without asking a VMA, and what it touches where there is no page at all."""

import pytest

from model.invariants.checker import Checker
from model.memory.events import Splat
from tests.model.play import Play

DRIVER = "process p0\ndevice nic\nbo b 1 in=gtt exporter=insert-page\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1"
HUGE_IN_VRAM = (
    "process p0\ndevice nic\nbo b 512 in=vram exporter=ttm-huge\nmmap p0 m bo:b shared rw 512 at=512\nwrite p0 m 1"
)


@pytest.mark.parametrize(
    ("kernel", "fast", "long_term"),
    [
        ("6.1", "ok", "ok"),
        ("6.12", "error EFAULT", "error EFAULT"),
        ("6.18", "error EFAULT", "error EFAULT"),
        ("7.3", "ok", "error EFAULT"),
    ],
)
def test_a_page_without_a_mapping(kernel: str, fast: str, long_term: str) -> None:
    """mm/gup.c: gup_fast_folio_allowed(): 6.12 `if (!mapping) return false`, 7.3 `return !reject_file_backed`."""
    play = Play(f"set kernel {kernel}", DRIVER)
    assert play.do("gup p0 m as=a fast-only write by=nic") == fast
    assert play.do("gup p0 m as=b fast-only write pin longterm by=nic") == long_term


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.18", "7.3"])
def test_the_slow_way_gives_out_what_the_fast_one_leaves(kernel: str) -> None:
    play = Play(f"set kernel {kernel}", DRIVER)
    assert play.do("gup p0 m as=a write by=nic") == "ok"
    assert play.do("gup p0 m as=b write pin longterm by=nic") == "ok"


def test_a_pin_that_is_only_being_taken_is_no_pin_yet() -> None:
    """Between the look at the PTE and the grab fork() takes away the mark of the page; the walk lets go of it then."""
    play = Play("process p0\nmmap p0 m anon private rw 1\nwrite p0 m 1\nbegin t gup p0 m as=r write pin\nstep t 6")
    play.do("begin f cpu=1 fork p0 p1")
    pfn = play.state.ptes["p0", play.state.labels["p0", "m"].start].pfn
    while play.frame(pfn).exclusive:
        play.do("step f")
    play.do("step t")
    assert play.frame(pfn).pins
    assert not Checker.full(play.state).violations
    play.do("finish t\nfinish f")
    assert not play.broken()


def test_fast_reaches_for_a_struct_page_that_video_memory_has_not() -> None:
    """6.1 mm/gup.c: gup_huge_pmd() asks neither a special bit nor pfn_valid(): nth_page() leads to nowhere."""
    play = Play("set kernel 6.1\nset vram 1024", HUGE_IN_VRAM)
    play.do("gup p0 m+0 as=r fast-only by=nic")
    (oops,) = [event for event in play.accounts[-1].events if isinstance(event, Splat)]
    assert oops.title.startswith("BUG: unable to handle page fault")
    assert oops.trace[:2] == ("gup_fast", "get_user_pages_fast")
    assert oops.fatal
    assert not play.state.cpus[0].irqs_off_by
    assert play.do("read p0 m") == "ok 1"


@pytest.mark.parametrize("settings", ["set kernel 6.12", "set kernel 6.1\nset pmd-special on"])
def test_a_special_bit_in_the_pmd_keeps_fast_away_from_video_memory(settings: str) -> None:
    play = Play(f"{settings}\nset vram 1024", HUGE_IN_VRAM)
    assert play.do("gup p0 m+0 as=r fast-only by=nic") == "error EFAULT"
    assert play.broken() == set()


OWN = "process p0\ndevice nic\nmmap p0 m anon private rw 1\nwrite p0 m 1"


def test_a_read_only_entry_is_left_to_the_slow_path_for_a_write_alone() -> None:
    play = Play("set kernel 6.18", f"{OWN}\nmprotect p0 m r")
    assert play.do("gup p0 m as=r fast-only write by=nic") == "error EFAULT"
    assert play.do("gup p0 m as=q fast-only by=nic") == "ok"


def test_a_page_of_cma_is_left_to_the_slow_path_for_a_long_pin_alone() -> None:
    """mm/gup.c: try_grab_folio_fast (6.1): a long-term pin of such a page moves it first."""
    play = Play("set cma on", OWN)
    assert play.do("gup p0 m as=r fast-only write pin longterm by=nic") == "error EFAULT"
    assert play.do("gup p0 m as=q fast-only write pin by=nic") == "ok"


def test_a_page_shared_with_a_child_is_not_pinned_for_reading_by_the_fast_path() -> None:
    play = Play("set kernel 6.18", f"{OWN}\nfork p0 kid")
    assert play.do("gup p0 m as=r fast-only pin by=nic") == "error EFAULT"
    assert play.do("gup p0 m as=q fast-only by=nic") == "ok"
    # It had a pin on the page for a moment, and gave it back: nothing was wrong in between.
    assert play.broken() == set()


def test_after_a_fork_pins_are_fast_again() -> None:
    """write_protect_seq is even again (mm/memory.c: copy_page_range)."""
    play = Play("set kernel 6.18", f"{OWN}\nfork p0 kid\nwrite p0 m 2")
    assert play.do("gup p0 m as=r fast-only write pin by=nic") == "ok"


def test_the_pages_behind_the_first_of_a_drivers_block_count_0_and_are_not_taken() -> None:
    """6.1 mm/gup.c: gup_huge_pmd takes its reference with folio_ref_try_add() on the first page that it wants."""
    block = HUGE_IN_VRAM.replace("in=vram", "in=gtt")
    play = Play("set kernel 6.1", block)
    assert play.do("gup p0 m+1 as=r fast-only write by=nic") == "error EFAULT"
    assert play.do("gup p0 m as=q fast-only write by=nic") == "ok"
