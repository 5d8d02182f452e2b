"""KSM: what is merged and what is not, how sharing ends, and who would notice if a held page were merged."""

import pytest

from tests.model.play import Play

PAGES = """
process p0
process p1
mmap p0 a anon private rw 4 at=16
mmap p1 b anon private rw 4 at=32
madvise p0 a mergeable
madvise p1 b mergeable
write p0 a 5
write p0 a+1 5
write p1 b 5
"""


@pytest.fixture
def play() -> Play:
    return Play("set cpus 2\ndevice nic", PAGES)


def holds(play: Play, condition: str) -> bool:
    return play.do(f"expect {condition}") == "ok"


def test_the_second_scan_merges_what_has_kept_its_content(play: Play) -> None:
    play.do("ksm-scan")
    assert holds(play, "refcount p0 a 1 and refcount p1 b 1")
    play.do("ksm-scan")
    assert holds(play, "same p0 a p1 b and same p0 a p0 a+1 and refcount p0 a 3 and mapcount p0 a 3")
    assert holds(play, "not writable p0 a and not exclusive p0 a and ksm p0 a")
    assert play.do("read p1 b") == "ok 5"
    assert play.broken() == set()


def test_a_page_that_changes_between_two_scans_waits_for_the_next(play: Play) -> None:
    play.do("ksm-scan\nwrite p0 a 6\nwrite p0 a 5\nksm-scan")
    assert holds(play, "same p0 a p1 b")
    play.do("write p1 b+1 7\nksm-scan\nwrite p0 a+2 7\nksm-scan")
    assert holds(play, "not same p1 b+1 p0 a+2")
    play.do("ksm-scan")
    assert holds(play, "same p1 b+1 p0 a+2")


def test_a_write_copies_even_for_the_last_one_who_maps_it(play: Play) -> None:
    play.do("ksm-scan 2\nwrite p0 a 1\nwrite p0 a+1 2")
    assert holds(play, "refcount p1 b 1 and ksm p1 b")
    before = play.state.ptes["p1", 32].pfn
    play.do("write p1 b 3")
    assert play.state.ptes["p1", 32].pfn != before
    assert holds(play, "exclusive p1 b and writable p1 b and not ksm p1 b")
    assert play.frame(before).kind == "free"
    assert play.broken() == set()


@pytest.mark.parametrize("take", ["gup p0 a+0 as=r", "gup p0 a+0 write pin longterm by=nic as=r"])
def test_whoever_holds_a_page_keeps_it_out_of_ksm(play: Play, take: str) -> None:
    play.do(take.replace("p0 a+0", "p1 b+0"))
    mine = play.state.ptes["p1", 32].pfn
    play.do("ksm-scan 6")
    assert play.state.ptes["p1", 32].pfn == mine
    assert holds(play, "same p0 a p0 a+1 and not same p0 a p1 b and not ksm p1 b")
    play.do("put r\nksm-scan 20")
    assert holds(play, "same p0 a p1 b")
    assert play.broken() == set()


def test_a_pair_of_which_one_is_held_is_tried_and_taken_back() -> None:
    play = Play("set cpus 2\ndevice nic", PAGES + "write p0 a+1 6\ngup p0 a+0 write pin longterm by=nic as=r")
    mine, theirs = play.state.ptes["p0", 16].pfn, play.state.ptes["p1", 32].pfn
    play.do("ksm-scan 2")
    assert play.state.ptes["p0", 16].pfn == mine
    assert play.state.ptes["p1", 32].pfn != theirs
    assert holds(play, "exclusive p1 b and not writable p1 b and refcount p1 b 1")
    play.do("dma r write 9")
    assert play.do("read p0 a") == "ok 9"
    assert play.broken() == set()


def test_gup_for_writing_gets_a_page_of_its_own_and_a_read_only_pin_too(play: Play) -> None:
    play.do("ksm-scan 2\ngup p0 a+0 pin longterm by=nic as=r")
    assert holds(play, "exclusive p0 a and pincount p0 a 1 and not same p0 a p1 b")
    play.do("gup p1 b+0 write as=w")
    assert holds(play, "writable p1 b and ksm p0 a+1")
    assert play.broken() == set()


def test_unmergeable_gives_copies_at_once_and_takes_the_flag_away(play: Play) -> None:
    play.do("ksm-scan 2\nmadvise p0 a unmergeable")
    assert holds(play, "exclusive p0 a and not writable p0 a and exclusive p0 a+1 and refcount p1 b 1")
    play.do("ksm-scan 9")
    assert holds(play, "not same p0 a p0 a+1")
    assert play.broken() == set()


@pytest.mark.parametrize(("kernel", "writable"), [("6.1", True), ("6.12", False)])
def test_up_to_6_1_sharing_ends_with_a_write_fault(kernel: str, writable: bool) -> None:
    play = Play(f"set kernel {kernel}", PAGES + "ksm-scan 2\nmadvise p0 a unmergeable")
    assert holds(play, "writable p0 a") is writable


def test_6_1_asks_the_stable_tree_before_it_asks_for_the_same_content_twice() -> None:
    grown = "ksm-scan 2\nwrite p0 a+2 5\nksm-scan"
    assert not holds(Play("set kernel 6.12", PAGES + grown), "same p0 a+2 p1 b")
    assert holds(Play("set kernel 6.1", PAGES + grown), "same p0 a+2 p1 b")


def test_pages_of_zeros_become_the_zero_page_if_that_is_wanted(play: Play) -> None:
    play.do("write p0 a 0\nksm-scan 2 use-zero-pages")
    assert holds(play, "special p0 a and dirty p0 a and not writable p0 a")
    play.do("madvise p0 a unmergeable")
    assert holds(play, "exclusive p0 a and not special p0 a")
    assert play.broken() == set()


def test_6_1_does_not_mark_its_zero_pages_and_leaves_them_where_they_are() -> None:
    play = Play("set kernel 6.1", PAGES + "write p0 a 0\nksm-scan 2 use-zero-pages")
    assert holds(play, "special p0 a and not dirty p0 a")
    play.do("madvise p0 a unmergeable")
    assert holds(play, "special p0 a")


def test_a_child_shares_the_ksm_page_and_takes_part_itself(play: Play) -> None:
    play.do("ksm-scan 2\nfork p0 p2")
    assert holds(play, "refcount p1 b 5 and same p2 a p1 b")
    play.do("ksm-scan 2\nwrite p0 a 1\nwrite p2 a+2 5\nksm-scan 4")
    assert holds(play, "same p2 a+2 p1 b and refcount p1 b 5")
    play.do("exit p2\nexit p0")
    assert holds(play, "refcount p1 b 1")
    assert play.broken() == set()


def test_ksmd_does_not_forget_an_address_whose_page_is_being_migrated(play: Play) -> None:
    play.do("ksm-scan 2\nbegin M migrate p0 a+0")
    while not holds(play, "absent p0 a[0:2] and absent p1 b"):
        assert play.do("step M") == "ok"
    assert "waits for" in play.do("ksm-scan") or "blocked" in play.do("ksm-scan")
    play.do("finish M")
    assert play.do("ksm-scan") == "ok"
    assert holds(play, "present p0 a[0:2] and same p0 a p1 b")


def test_ksmd_waits_for_a_migration_before_an_address_leaves_its_node(play: Play) -> None:
    """The child's migration entry is found through the parent's address, where there is a copy by then."""
    play.do("ksm-scan 2\nfork p0 c\nbegin M migrate p0 a+0")
    while not holds(play, "absent p0 a+0 and absent c a+0"):
        assert play.do("step M") == "ok"
    while not holds(play, "present p0 a+0 and absent c a+0"):
        assert play.do("step M") == "ok"
    assert play.do("write p0 a+0 6") == "ok"
    assert "held by M" in play.do("ksm-scan 2")
    play.do("finish M")
    assert play.do("ksm-scan") == "ok"
    assert holds(play, "present c a+0")
    assert play.do("write c a+0 7") == "ok"


def test_a_child_is_found_through_what_its_parent_had_merged(play: Play) -> None:
    play.do("ksm-scan 2\nfork p0 p2\nexit p0")
    assert play.do("migrate p2 a+0") == "ok"
    assert holds(play, "same p2 a p1 b and refcount p1 b 3")
    play.do("ksm-scan\nmigrate p2 a+1")
    assert holds(play, "same p2 a p1 b")
    assert {mm for (mm, _), _ in play.state.ksm_rmap_items.items()} == {"p1", "p2"}


def test_mremap_takes_apart_what_it_moves(play: Play) -> None:
    play.do("ksm-scan 2\nmremap p0 a pages=4 maymove to=64")
    assert holds(play, "exclusive p0 a and exclusive p0 a+1 and refcount p1 b 1")
    assert holds(play, "vma p0 a flags=mg")
    assert play.broken() == set()


def test_a_ksm_page_is_found_through_its_stable_node_by_migration_and_swap(play: Play) -> None:
    play.do("fork p0 p2\nksm-scan 2\nfork p1 p3")
    before = play.state.ptes["p1", 32].pfn
    assert play.do("migrate p1 b") == "ok"
    assert holds(play, "same p3 b p0 a and refcount p1 b 6")
    assert play.state.ptes["p1", 32].pfn != before
    assert play.do("reclaim p3 b") == "ok"
    assert holds(play, "absent p0 a and absent p1 b and absent p2 a+1 and absent p3 b")
    for line, byte in (("p3 b", 5), ("p0 a+1", 5), ("p2 a", 5), ("p1 b", 5), ("p0 a", 5), ("p2 a+1", 5)):
        assert play.do(f"read {line}") == f"ok {byte}"
    assert holds(play, "not same p0 a p0 a+1 and not same p0 a p1 b and same p1 b p3 b")
    assert play.do("write p0 a 6") == "ok"
    assert play.do("read p2 a") == "ok 5"
    assert play.broken() == set()


def test_a_large_folio_is_split_before_its_pages_are_merged() -> None:
    lines = "process p0\nmmap p0 m anon private rw 512 at=512\nmmap p0 s anon private rw 1 at=16\nwrite p0 s 5\n"
    lines += "madvise p0 m hugepage\nwrite p0 m 5\nmadvise p0 s mergeable\nmadvise p0 m mergeable"
    play = Play("set cpus 1", lines)
    assert holds(play, "huge p0 m")
    play.do("gup p0 m+300 as=r\nksm-scan 2")
    assert holds(play, "order p0 m 9 and not same p0 m p0 s")
    play.do("put r\nksm-scan 2")
    assert holds(play, "order p0 m 0 and same p0 m p0 s and ksm p0 m")
    assert play.broken() == set()


def test_an_address_that_never_merges_is_looked_at_ever_more_rarely() -> None:
    lines = PAGES + "write p0 a 1\nwrite p0 a+1 2\nksm-scan 5\nwrite p0 a 3\nwrite p1 b 3"
    merged = {}
    for kernel in ("6.1", "6.12"):
        play = Play(f"set kernel {kernel}", lines)
        scans = 0
        while not holds(play, "same p0 a p1 b"):
            play.do("ksm-scan")
            scans += 1
        merged[kernel] = scans
    assert merged["6.1"] == 2
    assert merged["6.12"] > 2


def test_a_page_shared_by_256_addresses_takes_no_more() -> None:
    lines = "process p0\nmmap p0 m anon private rw 258 at=1024 populate\nmadvise p0 m mergeable\nksm-scan 2"
    play = Play("set cpus 1", lines)
    counts = {pte.pfn: play.frame(pte.pfn).mapcount for _, pte in play.state.ptes.items()}
    assert sorted(counts.values()) == [2, 256]
    assert play.broken() == set()


def test_a_get_on_an_entry_that_is_read_only_and_clean_already_is_not_noticed_and_a_stray_write_shows(
    play: Play,
) -> None:
    play.do("madvise p0 a unmergeable\nfork p0 p2\nreclaim p0 a+0\nread p0 a+0\nread p2 a+0")
    assert holds(play, "not dirty p0 a+0 and not exclusive p0 a+0")
    play.do("gup p0 a+0 as=r by=nic\nmadvise p0 a mergeable\nmadvise p2 a mergeable\nksm-scan 5")
    assert holds(play, "same p0 a+0 p1 b")
    assert "ksm-write" not in play.broken()
    play.do("gup p1 b+0 as=k by=nic\ndma k write 66")
    assert "ksm-write" in play.broken()


def test_a_second_scan_waits_for_the_first(play: Play) -> None:
    play.do("ksm-scan\nbegin one ksm-scan\nstep one 3\nbegin two ksm-scan 2\nstep two 1")
    assert "ksm_thread_mutex" in play.state.tasks["two"].blocked
    play.do("finish one")
    play.do("finish two")
    assert holds(play, "same p0 a p1 b and same p0 a p0 a+1")
    assert play.broken() == set()
