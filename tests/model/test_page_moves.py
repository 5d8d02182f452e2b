"""How the mm takes a page of its own away: migration, reclaim and swap, and whom they leave alone."""

import pytest

from tests.model.play import Play

OWN = "device nic\nprocess p0\nmmap p0 m anon private rw 1\nwrite p0 m 1"


def test_a_page_that_somebody_holds_does_not_migrate() -> None:
    play = Play(OWN, "gup p0 m as=r by=nic")
    assert play.do("migrate p0 m") == "error EAGAIN"
    assert play.do("expect same p0 m r and refcount r 2 and mapcount r 1") == "ok"
    play.do("put r")
    assert play.do("migrate p0 m") == "ok"
    assert play.broken() == set()


def test_a_page_is_as_exclusive_after_migration_as_it_was() -> None:
    play = Play(OWN)
    (pfn,) = (pte.pfn for pte in play.state.ptes.values())
    play.do("migrate p0 m")
    assert play.state.frames.get(pfn) is None
    assert play.do("expect exclusive p0 m and content p0 m 1") == "ok"
    play.do("fork p0 kid\nmigrate p0 m")
    assert play.do("expect same p0 m kid m and not exclusive p0 m") == "ok"
    assert play.broken() == set()


def test_memory_that_is_being_locked_is_not_reclaimed() -> None:
    """mm/rmap.c: try_to_unmap_one, VM_LOCKED: mlock() marks the VMA first, its pages after that."""
    play = Play(OWN)
    play.do("begin lock mlock p0 m")
    while play.do("expect vma p0 m flags=lo") != "ok":
        play.do("step lock")
    assert play.do("reclaim p0 m") == "error EAGAIN"
    assert play.do("expect present p0 m") == "ok"
    assert play.do("finish lock") == "ok"


def test_a_dirty_page_that_cannot_be_written_back_stays() -> None:
    play = Play("process p0", "diskfile f 1\nmmap p0 m file:f shared rw 1\nwrite p0 m 5")
    assert play.do("reclaim p0 m") == "error EAGAIN"
    assert play.do("read p0 m") == "ok 5"
    play.do("fsync f")
    assert play.do("reclaim p0 m") == "ok"
    assert play.do("read p0 m") == "ok 5"


@pytest.mark.parametrize(
    ("kernel", "lines", "stays"),
    [
        ("6.18", "write p0 m 1", True),
        ("6.18", "write p0 m 0", False),
        ("6.1", "write p0 m 0", True),
        ("6.18", "write p0 m 1\nmadvise p0 m pageout\nread p0 m", False),
    ],
)
def test_a_disk_is_still_writing_when_reclaim_looks_unless_there_is_nothing_to_write(
    kernel: str, lines: str, stays: bool
) -> None:
    """mm/vmscan.c: PAGE_SUCCESS, folio_test_writeback; mm/page_io.c: is_folio_zero_filled (6.12). 6.18: measured."""
    play = Play(f"set kernel {kernel}\nset swap file", OWN)
    play.do(f"{lines}\nmadvise p0 m pageout")
    assert any(slot.pfn >= 0 for slot in play.state.swap_slots.values()) == stays
    assert play.broken() == set()


def test_a_page_that_comes_back_from_swap_is_cached_until_it_is_written_and_then_free_to_go() -> None:
    """The slot lives as long as entries or the cache refer to it; the cache has one reference (mm/swap_state.c)."""
    play = Play("set swap file", OWN)
    play.do("fork p0 kid\nreclaim p0 m")
    assert play.do("expect absent p0 m and absent kid m") == "ok"
    assert play.do("read p0 m") == "ok 1"
    assert play.do("read kid m") == "ok 1"
    assert play.do("write p0 m 2") == "ok"
    assert play.do("write kid m 3") == "ok"
    assert play.do("expect refcount p0 m 1 and refcount kid m 1 and content p0 m 2 and content kid m 3") == "ok"
    play.do("exit kid\nmunmap p0 m")
    assert not len(play.state.swap_slots)
    assert play.broken() == set()


def test_a_write_to_a_pinned_page_of_ones_own_goes_to_that_page() -> None:
    """mm/memory.c: wp_can_reuse_anon_folio, PageAnonExclusive (since 5.19): a pin is no reason to copy."""
    play = Play(
        "set kernel 6.1", f"{OWN}\ngup p0 m as=r pin by=nic\nmadvise p0 m free\nmprotect p0 m r\nmprotect p0 m rw"
    )
    assert play.do("expect not writable p0 m and exclusive p0 m") == "ok"
    play.do("write p0 m 2")
    assert play.do("expect same p0 m r and content r 2") == "ok"
    assert play.broken() == set()


def test_a_copy_does_not_replace_an_entry_that_has_changed_meanwhile() -> None:
    """mm/memory.c: wp_page_copy looks at the entry again under the page table lock (pte_same)."""
    play = Play(OWN, "fork p0 kid\nbegin W write p0 m 2")
    while play.do("expect holds W kid m") != "ok":
        play.do("step W")
    play.do("step W\nmadvise p0 m dontneed\nread p0 m")
    assert play.do("expect present p0 m and differ p0 m kid m") == "ok"
    assert play.do("finish W") == "ok"
    assert play.do("read p0 m") == "ok 2"
    assert play.do("expect content kid m 1 and refcount kid m 1 and mapcount kid m 1") == "ok"
    assert play.broken() == set()
