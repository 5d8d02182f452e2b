"""Folios of less than 2 MiB (mTHP): one for the allocator and for references, an entry a page for page tables."""

import pytest

from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from model.search.report import report
from tests.model.play import Play

SETTINGS = "set mthp 64kB"
START = "device nic\nprocess p0\nmmap p0 m anon private rw 40 at=16\nmadvise p0 m hugepage\n"


@pytest.fixture
def play() -> Play:
    return Play(SETTINGS, START + "write p0 m+3 7")


def holds(play: Play, condition: str) -> bool:
    return play.do(f"expect {condition}") == "ok"


def test_a_first_write_maps_the_whole_folio_with_an_entry_and_a_reference_for_each_page(play: Play) -> None:
    assert holds(play, "order p0 m 4 and refcount p0 m+15 16 and folio-mapcount p0 m 16 and entire-mapcount p0 m 0")
    assert holds(play, "mapcount p0 m+15 1 and exclusive p0 m and exclusive p0 m+15 and absent p0 m+16 and rss p0 16")
    assert play.do("read p0 m+4") == "ok 0"
    assert play.do("write p0 m+15 9") == "ok"
    assert play.broken() == set()


@pytest.mark.parametrize(
    ("before", "page"),
    [
        ("read p0 m+5", 3),
        ("read p0 m", 35),
        ("madvise p0 m nohugepage", 3),
        ("userfaultfd p0 u sigbus\nuffdio-register p0 m u wp", 3),
    ],
    ids=["an entry is there", "the VMA ends", "nohugepage", "userfaultfd"],
)
def test_a_page_alone_where_a_folio_does_not_fit(before: str, page: int) -> None:
    play = Play(SETTINGS, f"{START}{before}\nwrite p0 m+{page} 7")
    assert holds(play, f"order p0 m+{page} 0 and refcount p0 m+{page} 1")


def test_a_huge_page_comes_first_and_mthp_only_where_it_does_not_fit() -> None:
    play = Play(SETTINGS, "process p0\nmmap p0 m anon private rw 600 at=512\nmadvise p0 m hugepage\n")
    play.do("write p0 m 1\nwrite p0 m+520 1")
    assert holds(play, "huge p0 m and order p0 m 9 and order p0 m+520 4 and not huge p0 m+520")


def test_a_part_that_is_not_needed_frees_nothing_until_the_folio_is_split(play: Play) -> None:
    play.do("madvise p0 m[0:4] dontneed")
    (folio,) = play.state.folios.values()
    assert folio.partially_mapped
    assert holds(play, "refcount p0 m+5 12 and order p0 m+5 4")
    assert play.do("read p0 m+3") == "ok 0"
    play.do("write p0 m+5 8\nmadvise p0 m[4:6] pageout\nread p0 m+7")
    assert not len(play.state.folios)
    assert play.do("read p0 m+5") == "ok 8"
    assert play.broken() == set()


def test_a_get_on_one_page_keeps_all_of_them(play: Play) -> None:
    play.do("gup p0 m+9 as=r by=nic\nmunmap p0 m")
    assert holds(play, "refcount r 1 and order r 4")
    play.do("put r")
    assert not len(play.state.folios)


def test_a_pin_on_one_page_makes_fork_copy_every_page(play: Play) -> None:
    play.do("gup p0 m+3 as=r write pin by=nic\nfork p0 kid")
    assert holds(play, "pincount p0 m 1 and refcount p0 m 17 and differ kid m+3 r and order kid m 0 and rss kid 16")
    play.do("write p0 m+3 4")
    assert play.do("dma r read") == "ok 4"
    assert play.broken() == set()


@pytest.mark.parametrize(("kernel", "reused"), [("6.12", False), ("6.18", True)])
def test_a_folio_that_only_one_process_has_is_reused_page_by_page_since_6_15(kernel: str, reused: bool) -> None:
    play = Play(f"set kernel {kernel}\n{SETTINGS}", START + "write p0 m 1\nfork p0 kid\nexit kid\nwrite p0 m+2 5")
    assert holds(play, "order p0 m+2 4 and exclusive p0 m+2" if reused else "order p0 m+2 0")
    assert holds(play, "order p0 m+1 4 and not exclusive p0 m+1")


def test_zram_takes_a_folio_in_one_piece_and_gives_it_back_so(play: Play) -> None:
    play.do("write p0 m+15 9\nmadvise p0 m[0:16] pageout")
    assert holds(play, "absent p0 m and absent p0 m+15")
    assert not len(play.state.folios)
    assert play.do("read p0 m+15") == "ok 9"
    assert holds(play, "order p0 m+15 4 and refcount p0 m 16 and exclusive p0 m and content p0 m+3 7")
    assert not len(play.state.swap_slots)
    assert play.broken() == set()


def test_a_folio_that_is_in_the_swap_cache_still_is_mapped_in_one_go() -> None:
    play = Play(f"set swap file\n{SETTINGS}", START + "write p0 m+3 7\nmadvise p0 m[0:16] pageout\nread p0 m+3")
    assert holds(play, "present p0 m+15 and refcount p0 m 32 and order p0 m 4 and content p0 m+3 7")
    play.do("write p0 m+4 1")
    assert holds(play, "writable p0 m+4 and order p0 m+4 4")
    assert play.broken() == set()


def test_without_swap_reclaim_splits_it_and_keeps_what_is_not_zero() -> None:
    play = Play(f"set swap off\n{SETTINGS}", START + "write p0 m+3 7\nmadvise p0 m[0:16] pageout")
    assert holds(play, "order p0 m+3 0 and special p0 m+2 and content p0 m+3 7")
    assert not len(play.state.folios)


def test_linux_6_1_has_no_such_folios() -> None:
    assert Play("set kernel 6.1").do(SETTINGS) == "error EINVAL"
    assert Play("set kernel 6.12").do(SETTINGS) == "ok"


def test_a_search_finds_what_a_pin_on_a_tail_page_does_not_keep() -> None:
    lines = f"{SETTINGS}\n{START}write p0 m+3 7\n"
    may = "may 1 gup p0 m+9 as=r write pin by=nic\nmay 1 madvise p0 m[8:12] dontneed\nmay 1 dma r write 65\n"
    found = report(explore(set_up(parse(lines + may))))
    assert found.verdicts["lost-write"] == "sometimes"
