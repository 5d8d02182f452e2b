"""hugetlb: a pool of huge pages, who has a right to them, and what happens when there are none left."""

import pytest

from model.compare.ordinary_calls import BACKINGS, CALLS
from model.compare.sweep import SweepCase, answer
from model.kernel.mm.move_vma import move_page_tables
from model.memory.state import State
from tests.model.play import Play

PRIVATE = "device nic\nprocess p0\nmmap p0 m hugetlb private rw 512\nwrite p0 m+3 1"
SHARED = "device nic\nprocess p0\nmemfd f 1024 hugetlb\nmmap p0 m memfd:f shared rw 512\nwrite p0 m+3 1"


def pool(state: State) -> tuple[int, int]:
    """How many pages of the pool are free, and how many are reserved; some say so below 0."""
    return state.counters.get("hugetlb_free") or 0, state.counters.get("hugetlb_resv") or 0


def holds(play: Play, condition: str) -> bool:
    return play.do(f"expect {condition}") == "ok"


# -- faults and reservations ---------------------------------------------------------------------


def test_a_page_of_the_pool_is_mapped_by_one_entry_and_given_back_with_its_mapping() -> None:
    play = Play("set hugetlb 2", PRIVATE)
    assert holds(
        play, "huge p0 m+300 and order p0 m 9 and refcount p0 m 1 and exclusive p0 m and folio-mapcount p0 m 1"
    )
    assert pool(play.state) == (1, 0)
    play.do("munmap p0 m")
    assert pool(play.state) == (2, 0)
    assert play.broken() == set()


def test_surplus_pages_come_when_the_pool_is_too_small_and_go_with_the_reservation() -> None:
    """mm/hugetlb.c: gather_surplus_pages, alloc_surplus_hugetlb_folio, return_unused_surplus_pages (6.1 to 7.3)."""
    play = Play("set hugetlb 2\nset hugetlb-overcommit 2", "process p0\nmmap p0 m hugetlb private rw 1536")
    assert (*pool(play.state), play.state.counters.get("hugetlb_surplus")) == (3, 3, 1)
    assert play.do("mmap p0 more hugetlb private rw 1024") == "error ENOMEM"
    assert (*pool(play.state), play.state.counters.get("hugetlb_surplus")) == (3, 3, 1), "what was gathered went back"
    play.do("write p0 m 1\nwrite p0 m+512 2\nfork p0 kid\nwrite p0 m 3")
    assert (*pool(play.state), play.state.counters.get("hugetlb_surplus")) == (1, 1, 2), "the copy is a surplus page"
    assert play.do("write kid m+512 4") == "signal SIGBUS"
    play.do("munmap p0 m\nexit kid")
    assert (*pool(play.state), play.state.counters.get("hugetlb_surplus")) == (2, 0, None)
    assert play.broken() == set()


@pytest.mark.parametrize("kernel", ["6.1", "6.18"])
def test_what_mmap_replaces_keeps_its_reservation_until_the_call_returns(kernel: str) -> None:
    """A file of huge pages goes with the last fput(), which is task_work; ->mmap reserves before that."""
    play = Play(f"set kernel {kernel}\nset hugetlb 1", "process p0\nmmap p0 old hugetlb shared rw 512 at=1024")
    assert play.do("mmap p0 new hugetlb private rw 512 at=1024 fixed") == "error ENOMEM"
    assert play.do("read p0 @1024") == "signal SIGSEGV", "the old mapping does not come back"
    assert pool(play.state) == (1, 0)
    assert play.do("mmap p0 own hugetlb private rw 512 at=1024 fixed") == "ok 1024"
    assert play.do("mmap p0 again hugetlb private rw 512 at=1024 fixed") == "ok 1024", "a private one's is the VMA's"
    assert pool(play.state) == (1, 1)
    assert play.broken() == set()


def test_a_surplus_page_is_free_memory_again_for_everybody() -> None:
    play = Play("set hugetlb 1\nset hugetlb-overcommit 1", "process p0\nmmap p0 m hugetlb private rw 1024 at=512")
    play.do("write p0 m+512 7\nwrite p0 m 8\nmunmap p0 m\nmmap p0 n anon private rw 512 at=512\nmadvise p0 n hugepage")
    assert play.do("read p0 n") == "ok 0"
    play.do("write p0 n 1")
    assert holds(play, "huge p0 n and refcount p0 n 1 and content p0 n+1 0")
    assert pool(play.state) == (1, 0)
    assert play.broken() == set()


def test_mmap_reserves_so_that_no_fault_finds_the_pool_empty() -> None:
    play = Play("set hugetlb 2", "process p0\nmmap p0 m hugetlb private rw 1000")
    assert pool(play.state) == (2, 2)  # the length is rounded up to 2 MiB
    assert play.do("mmap p0 more hugetlb private rw 1") == "error ENOMEM"
    assert play.do("mmap p0 n hugetlb private rw 1 noreserve") == "ok 2048"
    assert play.do("write p0 n 1") == "signal SIGBUS"
    play.do("munmap p0 m")
    assert play.do("write p0 n 1") == "ok"


def test_a_file_s_page_is_reserved_once_however_often_it_is_mapped() -> None:
    play = Play("set hugetlb 1", "process p0\nmemfd f 512 hugetlb\nmmap p0 a memfd:f shared rw 512")
    assert play.do("mmap p0 b memfd:f shared rw 512") == "ok 1536"
    assert play.do("mmap p0 c memfd:f private r 512") == "error ENOMEM"
    play.do("write p0 a 5")
    assert play.do("read p0 b") == "ok 5"
    play.do("munmap p0 a\nmunmap p0 b")
    assert pool(play.state) == (0, 0)
    play.do("truncate f 0")
    assert pool(play.state) == (1, 0)


def test_two_threads_that_miss_the_same_page_take_one_of_the_pool() -> None:
    """The fault mutex: without it the second would find the pool empty, and get SIGBUS."""
    play = Play("set hugetlb 1", "process p0\nmmap p0 m hugetlb private rw 512")
    play.do("begin a write p0 m 1\nbegin b cpu=1 write p0 m+9 2")
    for _ in range(40):
        if "a" in play.state.tasks and "b" in play.state.tasks:
            play.do("step a\nstep b")
    for task in ("a", "b"):
        if task in play.state.tasks:
            assert play.do(f"finish {task}") == "ok"
    assert holds(play, "content p0 m 1 and content p0 m+9 2")
    assert pool(play.state) == (0, 0)


# -- fork ----------------------------------------------------------------------------------------


def test_with_an_empty_pool_the_owner_gets_its_page_and_the_child_is_killed() -> None:
    play = Play("set hugetlb 1", PRIVATE + "\nfork p0 k")
    assert play.do("write k m 9") == "signal SIGBUS"  # the child has reserved nothing
    assert play.do("read k m+3") == "ok 1"
    assert play.do("write p0 m 2") == "ok"
    assert holds(play, "not present k m and exclusive p0 m and content p0 m+3 1")
    assert play.do("read k m+3") == "signal SIGBUS"
    assert play.broken() == set()


def test_with_a_page_left_the_writer_gets_a_copy_of_all_512_pages() -> None:
    play = Play("set hugetlb 2", PRIVATE + "\nfork p0 k\nwrite k m 9")
    assert play.do("read k m+3") == "ok 1"
    assert play.do("read p0 m") == "ok 0"
    assert holds(play, "refcount p0 m 1 and not exclusive p0 m and exclusive k m")
    assert play.broken() == set()


def test_a_pinned_page_is_copied_at_fork_or_fork_fails() -> None:
    pinned = PRIVATE + "\ngup p0 m[0:1] as=r write pin by=nic\n"
    copied = Play("set hugetlb 2", pinned + "fork p0 k\ndma r write 7")
    assert copied.do("read p0 m") == "ok 7"
    assert copied.do("read k m") == "ok 0"
    failed = Play("set hugetlb 1", pinned)
    assert failed.do("fork p0 k") == "error ENOMEM"
    assert "k" not in failed.state.processes
    assert not failed.state.locks
    assert failed.do("write p0 m 8") == "ok"


@pytest.mark.parametrize(("kernel", "reserved"), [("6.1", 0), ("6.12", 0), ("6.18", -1), ("7.3", 0)])
def test_a_page_whose_owner_goes_first_takes_no_reservation_back_to_the_pool(kernel: str, reserved: int) -> None:
    """6.18 gives it back at once, although a child maps the page: HugePages_Rsvd was 18446744073709551615 there."""
    play = Play(f"set kernel {kernel}", f"set hugetlb 2\n{PRIVATE}\nfork p0 k\nexit p0")
    assert pool(play.state) == (1, reserved)
    play.do("exit k")
    assert pool(play.state) == (2, 0)


# -- pins, holes, truncation ---------------------------------------------------------------------


def test_a_pinned_page_that_leaves_its_file_is_missing_in_the_pool() -> None:
    play = Play("set hugetlb 1", SHARED + "\ngup p0 m[3:4] as=r write pin by=nic\npunch f 0 512")
    assert holds(play, "not present p0 m and order r 9 and refcount r 1")
    assert play.do("read p0 m") == "signal SIGBUS"
    play.do("dma r write 65")
    assert "lost-write" in play.broken()
    play.do("put r")
    assert play.do("read p0 m+3") == "ok 0"


def test_a_hole_in_a_part_of_a_page_is_written_with_zeros_and_everybody_sees_them() -> None:
    play = Play("set hugetlb 1", SHARED + "\ngup p0 m[3:4] as=r write pin by=nic")
    play.do("write p0 m+4 2\npunch f 3 1")
    assert holds(play, "present p0 m and content p0 m+3 0 and content p0 m+4 2")
    assert play.do("peek r") == "ok 0"
    assert play.broken() == set()


def test_what_the_owner_drops_under_a_pin_is_reserved_for_it_when_the_pin_goes() -> None:
    play = Play("set hugetlb 1", PRIVATE + "\ngup p0 m[0:1] as=r write pin by=nic\nmadvise p0 m dontneed")
    assert play.do("read p0 m") == "signal SIGBUS"
    play.do("put r")
    assert pool(play.state) == (1, 1)
    assert play.do("read p0 m") == "ok 0"


def test_nothing_is_promised_of_a_page_that_a_pin_keeps() -> None:
    """The mapping has given back a reservation that the page will restore: HugePages_Rsvd is below 0 meanwhile."""
    play = Play("set hugetlb 1", PRIVATE + "\ngup p0 m[0:1] as=r write pin by=nic\nmunmap p0 m")
    assert pool(play.state) == (0, -1)
    assert play.do("mmap p0 other hugetlb private rw 512") == "error ENOMEM"
    play.do("put r")
    assert pool(play.state) == (1, 0)


def test_truncation_and_its_sizes() -> None:
    play = Play("set hugetlb 2", SHARED)
    assert play.do("truncate f 3") == "error EINVAL"
    assert play.do("truncate f 0") == "ok"
    assert play.do("read p0 m") == "signal SIGBUS"
    assert play.do("memfd g 3 hugetlb") == "error EINVAL"
    assert play.do("pwrite f 0 1") == "error EINVAL"
    assert play.do("seal f grow") == "ok"
    assert play.do("truncate f 512") == "error EPERM"


# -- parts of a page -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    {
        "munmap p0 m[0:4]": "error EINVAL",
        "mprotect p0 m[4:8] r": "error EINVAL",
        "madvise p0 m[4:8] dontneed": "error EINVAL",
        "madvise p0 m[0:4] dontneed": "ok",  # rounded down to nothing
        "madvise p0 m[0:4] dontfork": "error EINVAL",
        "madvise p0 m free": "error EINVAL",
        "madvise p0 m pageout": "error EINVAL",
        "madvise p0 m collapse": "error EINVAL",
        "mremap p0 m pages=1024 maymove": "error EINVAL",
        "mmap p0 n hugetlb private rw 512 at=7 fixed": "error EINVAL",
        "migrate p0 m": "error EBUSY",
    }.items(),
)
def test_a_page_of_2_mib_has_no_parts(line: str, says: str) -> None:
    play = Play("set hugetlb 2", PRIVATE)
    assert play.do(line) == says
    assert holds(play, "present p0 m and content p0 m+3 1")


def test_a_mapping_moves_with_its_reservation() -> None:
    play = Play("set hugetlb 2", "process p0\nmmap p0 m hugetlb private rw 1024\nwrite p0 m+3 1")
    assert play.do("mremap p0 m pages=1024 to=4096 maymove") == "ok 4096"
    assert play.do("read p0 @4099") == "ok 1"
    assert play.do("write p0 @4608 2") == "ok"
    assert pool(play.state) == (0, 0)
    play.do("munmap p0 @[4096:4608]")
    assert pool(play.state) == (1, 0)
    play.do("exit p0")
    assert pool(play.state) == (2, 0)


@pytest.mark.parametrize(("kernel", "says"), [("6.1", "error EIO"), ("6.12", "error EIO"), ("6.18", "ok")])
def test_a_debugger_writes_to_read_only_huge_pages_since_6_18(kernel: str, says: str) -> None:
    play = Play(f"set kernel {kernel}", f"set hugetlb 2\n{PRIVATE}\nmprotect p0 m r")
    assert play.do("force-write p0 p0 m 5") == says


def test_a_page_that_is_truncated_while_its_mapping_moves_is_not_moved() -> None:
    """It may go between the walk to its entry and the lock: nothing is left to be moved then."""
    play = Play("set hugetlb 2", SHARED + "\nbegin t mremap p0 m pages=512 to=4096 maymove")
    moving = move_page_tables.positions["move_huge_pmd"]
    while not any(isinstance(one, move_page_tables) and one.pc == moving for one in play.state.tasks["t"].stack[-1:]):
        play.do("step t")
    play.do("truncate f 0")
    assert play.do("finish t") == "ok 4096"
    assert play.do("read p0 @4096") == "signal SIGBUS"


def test_mprotect_leaves_it_to_a_fault_to_open_a_private_page() -> None:
    play = Play("set hugetlb 2", PRIVATE + "\nmprotect p0 m r\nmprotect p0 m rw")
    assert holds(play, "not writable p0 m and dirty p0 m")
    assert play.do("write p0 m 4") == "ok"
    assert holds(play, "writable p0 m and exclusive p0 m")


def test_the_sweep_knows_what_the_kernel_really_does() -> None:
    backing = next(backing for backing in BACKINGS if backing.name == "hugetlb, forked")
    calls = {call.name: call for call in CALLS}
    found = answer(SweepCase("6.18", backing, (calls["munmap"], calls["child writes"])), most_preemptions=1)
    assert (found.invariant, found.bad) == ("foreign-access", False)
    assert "hugetlb_wp" in found.known


def test_a_forced_write_leaves_the_entry_dirty_though_it_stays_read_only() -> None:
    """follow_huge_pmd(): FOLL_TOUCH with FOLL_WRITE dirties the entry; get_user_pages_remote() always has it."""
    play = Play("set hugetlb 2", "process p0\nmmap p0 m hugetlb private r 512\nforce-write p0 p0 m+3 9")
    assert holds(play, "content p0 m+3 9 and dirty p0 m and not writable p0 m")


def test_a_huge_page_that_an_overflow_frees_under_its_mapping_is_unmapped_all_the_same() -> None:
    """Only CONFIG_DEBUG_VM looks at the mapcount: free_huge_folio(), mm/hugetlb.c."""
    play = Play("set hugetlb 4\nset refcount-bits 4\nset as-it-was page-ref-overflow", PRIVATE)
    for number in range(16):
        play.do(f"gup p0 m[0:1] as=r{number} by=nic")
    (head,) = play.state.folios
    assert play.frame(head).refcount == 1
    play.do("put r0")
    assert head not in play.state.folios
    assert play.do("munmap p0 m") == "ok"


def test_truncation_waits_for_a_fault_on_another_page_of_the_mapping() -> None:
    """hugetlb_unmap_file_folio() waits for the VMA's lock (fs/hugetlbfs/inode.c); hugetlb_vmdelete_list() does not."""
    play = Play("set hugetlb 4\nset cpus 2", "process p0\nmemfd f 1024 hugetlb\nmmap p0 m memfd:f shared rw 1024")
    play.do("write p0 m+512 1\nbegin fault write p0 m+0 2")
    while ("hugetlb_vma_lock", f"p0:{play.state.labels['p0', 'm'].start}") not in play.state.locks:
        play.do("step fault 1")
    assert play.do("begin cut cpu=1 truncate f 512\nfinish cut").startswith("blocked on hugetlb_vma_lock")
    assert play.do("finish fault") == "ok"
    assert play.do("finish cut") == "ok"
    assert holds(play, "absent p0 m+512 and not broken splat")
