"""What get_user_pages_fast() may keep without asking a VMA, and what it touches where there is no page at all."""

import pytest

from model.memory.records import Splat
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
