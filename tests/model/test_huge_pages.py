"""Huge pages: one count for 512 pages, entries of 2 MiB and what splits them, collapse, and who is in the way."""

import pytest

from model.engine.procedure import Procedure, advance
from model.memory.flags import PG_MLOCKED
from model.memory.leaf import PMD
from model.replay.machine import OK, Machine
from model.replay.ops import operation
from model.replay.perform import perform
from tests.model.play import Play
from tests.model.soak_strikes import begun, onward

HUGE = """
device nic
process p0
mmap p0 m anon private rw 512 at=512
madvise p0 m hugepage
write p0 m 1
"""


@pytest.fixture
def play() -> Play:
    return Play("set cpus 2", HUGE)


def holds(play: Play, condition: str) -> bool:
    return play.do(f"expect {condition}") == "ok"


def test_one_fault_maps_all_512_pages_with_one_entry_and_one_reference(play: Play) -> None:
    assert holds(play, "huge p0 m+300 and order p0 m+300 9 and refcount p0 m+300 1 and folio-mapcount p0 m 1")
    assert holds(play, "present p0 m and rss p0 512 and exclusive p0 m and mapcount p0 m+511 1")
    assert play.do("read p0 m+511") == "ok 0"
    assert len(play.state.ptes) == 0
    assert play.broken() == set()


def test_a_folio_that_has_lost_a_page_waits_for_its_split(play: Play) -> None:
    """mm/rmap.c: __folio_remove_rmap; mm/huge_memory.c: deferred_split_folio (6.18)."""
    play.do("mprotect p0 m[100:104] r")
    assert [folio.partially_mapped for folio in play.state.folios.values()] == [False], "all of it is still mapped"
    play.do("munmap p0 m[100:104]")
    assert [folio.partially_mapped for folio in play.state.folios.values()] == [True]


def test_a_folio_is_shared_as_long_as_two_processes_map_it(play: Play) -> None:
    """include/linux/rmap.h: folio_add_large_mapcount, folio_sub_large_mapcount (6.18)."""
    play.do("mprotect p0 m[100:104] r\nfork p0 kid")
    assert [folio.shared for folio in play.state.folios.values()] == [True]
    play.do("munmap kid m")
    assert [folio.shared for folio in play.state.folios.values()] == [False]


def test_a_read_maps_the_huge_zero_page_and_nobody_counts_it() -> None:
    play = Play("set cpus 1", "process p0\nmmap p0 m anon private rw 512 at=512\nmadvise p0 m hugepage\nread p0 m+7")
    assert holds(play, "huge p0 m and special p0 m and rss p0 0")
    play.do("write p0 m+7 5")
    assert holds(play, "huge p0 m and not special p0 m and content p0 m+7 5 and content p0 m 0")
    assert play.broken() == set()


@pytest.mark.parametrize(("kernel", "huge"), [("6.12", False), ("6.18", True)])
def test_a_write_to_the_huge_zero_page_gets_a_huge_page_since_6_13(kernel: str, huge: bool) -> None:
    lines = "process p0\nmmap p0 m anon private rw 512 at=512\nmadvise p0 m hugepage\nread p0 m\nwrite p0 m 1"
    play = Play(f"set kernel {kernel}", lines)
    assert holds(play, "huge p0 m") is huge
    assert play.do("read p0 m") == "ok 1"


@pytest.mark.parametrize(
    ("setting", "advice", "huge"), [("always", "cold", 1), ("madvise", "cold", 0), ("never", "hugepage", 0)]
)
def test_who_gets_huge_pages_is_a_setting(setting: str, advice: str, huge: int) -> None:
    lines = f"process p0\nmmap p0 m anon private rw 512 at=512\nmadvise p0 m {advice}\nwrite p0 m 1"
    assert holds(Play(f"set thp {setting}", lines), "huge p0 m") is bool(huge)


SPLITS = {
    "munmap p0 m[100:104]": 508,
    "madvise p0 m[100:104] dontneed": 508,
    "mprotect p0 m[100:104] r": 512,
    "mremap p0 m[100:104] pages=4 to=40 maymove": 512,
    "madvise p0 m[100:104] dontfork": 512,
}


@pytest.mark.parametrize("line", SPLITS)
def test_what_concerns_a_part_splits_the_entry_but_not_the_folio(play: Play, line: str) -> None:
    assert play.do(line).startswith("ok")
    assert holds(play, f"not huge p0 m and order p0 m 9 and entire-mapcount p0 m 0 and refcount p0 m {SPLITS[line]}")
    assert holds(play, "exclusive p0 m+511 and mapcount p0 m+511 1")
    assert play.broken() == set()


def test_a_part_that_is_not_needed_frees_nothing(play: Play) -> None:
    """The lesson of "one count": what was in the pages is still there, and so is the memory."""
    play.do("write p0 m+100 7\ngup p0 m+100 as=r by=nic\nmadvise p0 m+100 dontneed")
    assert play.do("peek r") == "ok 7"
    assert holds(play, "order r 9 and refcount r 512 and mapcount r 0")
    assert play.do("read p0 m+100") == "ok 0"
    assert holds(play, "differ p0 m+100 r")


def test_a_get_on_one_page_keeps_all_512(play: Play) -> None:
    play.do("write p0 m+511 9\ngup p0 m+3 as=r by=nic\nmunmap p0 m")
    assert holds(play, "refcount r 1 and order r 9 and folio-mapcount r 0")
    head = play.state.references["r"].frames[0] - 3
    assert play.state.content[head + 511] == 9
    play.do("put r")
    assert not len(play.state.folios)
    assert play.broken() == {"stale-reference"}


def test_fork_shares_the_entry_and_a_write_splits_it_and_copies_one_page(play: Play) -> None:
    play.do("fork p0 kid")
    assert holds(play, "huge p0 m and huge kid m and refcount p0 m 2 and not exclusive p0 m and not writable p0 m")
    play.do("write kid m+9 5")
    assert holds(play, "huge p0 m and not huge kid m and order kid m+9 0 and same p0 m kid m")
    assert holds(play, "entire-mapcount p0 m 1 and refcount p0 m 512 and content p0 m+9 0")
    play.do("exit kid\nwrite p0 m+9 6")
    assert holds(play, "huge p0 m and exclusive p0 m and refcount p0 m 1")
    assert play.broken() == set()


def test_a_pin_on_one_page_makes_fork_copy_all_512(play: Play) -> None:
    play.do("gup p0 m+3 as=r write pin by=nic\nfork p0 kid")
    assert holds(play, "not huge p0 m and same p0 m+3 r and differ kid m+3 r and order kid m 0 and rss kid 512")
    play.do("write p0 m+3 4")
    assert play.do("dma r read") == "ok 4"
    assert play.broken() == set()


def test_pins_of_a_large_folio_are_counted_apart(play: Play) -> None:
    play.do("gup p0 m[3:5] as=r write pin by=nic")
    assert holds(play, "refcount p0 m 3 and pincount p0 m 2 and refcount r+1 3")
    play.do("put r")
    assert holds(play, "refcount p0 m 1 and pincount p0 m 0")


@pytest.mark.parametrize("how", ["fast", "slow"])
def test_gup_takes_a_tail_page_by_its_folio(play: Play, how: str) -> None:
    play.do(f"gup p0 m[510:512] as=r {how} by=nic")
    assert holds(play, "refcount p0 m 3 and same p0 m+511 r+1")
    play.do("dma r+1 write 8")
    assert play.do("read p0 m+511") == "ok 8"


def test_advice_to_page_out_a_part_splits_the_folio_and_gives_its_zeros_back(play: Play) -> None:
    play.do("write p0 m+1 2\nmadvise p0 m pageout")
    assert holds(play, "absent p0 m")
    assert play.do("read p0 m+1") == "ok 2"
    play.do("madvise p0 m hugepage")
    other = Play("set swap zram", HUGE + "write p0 m+1 2\nmadvise p0 m[0:1] pageout")
    assert holds(other, "absent p0 m+0 and order p0 m+1 0 and special p0 m+2 and special p0 m+511 and rss p0 1")
    assert other.broken() == play.broken() == set()


def test_a_pin_keeps_a_folio_from_being_split(play: Play) -> None:
    play.do("gup p0 m+3 as=r write pin by=nic\nmadvise p0 m+100 pageout")
    assert holds(play, "order p0 m+100 9 and present p0 m and huge p0 m")


def test_collapse_copies_small_pages_into_a_huge_one_unless_somebody_holds_one(play: Play) -> None:
    play.do("mmap p0 s anon private rw 512 at=1024\nwrite p0 s+3 3\nwrite p0 s+9 9\ngup p0 s+3 as=r write pin by=nic")
    assert play.do("madvise p0 s collapse") == "error EAGAIN"
    play.do("put r")
    tables = len(play.state.tables)
    assert play.do("madvise p0 s collapse") == "ok"
    assert holds(play, "huge p0 s and content p0 s+3 3 and content p0 s+9 9 and content p0 s+4 0 and refcount p0 s 1")
    assert len(play.state.tables) == tables
    assert play.broken() == set()


WALK = "device nic\nprocess p0\nmmap p0 s anon private rw 512 at=512\nwrite p0 s 1"


def walked_to(play: Play, step: str) -> None:
    """Let a GUP-fast on the other CPU walk to a step, which it has not made yet."""
    play.do("begin walk cpu=1 gup p0 s+0 as=r write pin fast-only by=nic")
    while next_step(play, "walk") != step:
        play.do("step walk")


def next_step(play: Play, task: str) -> str:
    call = play.state.tasks[task].stack[-1]
    assert isinstance(call, Procedure)
    return call.steps[call.pc].name


def test_collapse_notices_a_gup_fast_that_was_faster_by_its_reference() -> None:
    play = Play("set cpus 2", WALK)
    walked_to(play, "recheck_pte")
    assert play.do("madvise p0 s collapse") == "error EAGAIN"
    play.do("finish walk")
    assert holds(play, "held r and same p0 s r and not huge p0 s")
    assert play.broken() == set()


def test_gup_fast_notices_a_collapse_by_the_pmd_that_it_reads_again() -> None:
    """With the table taken from above it, and every other CPU waited for: the walker's interrupts are off."""
    play = Play("set cpus 2", WALK)
    walked_to(play, "try_grab_folio_fast")
    play.do("begin collapse madvise p0 s collapse")
    assert play.do("finish collapse").startswith("blocked on cpu1 to take the IPI")
    assert next_step(play, "collapse") == "wait_for_ipi"
    assert holds(play, "waits collapse")
    play.do("finish walk")
    assert holds(play, "not held r")
    assert play.do("finish collapse") == "ok"
    assert holds(play, "huge p0 s and refcount p0 s 1")
    assert play.broken() == set()


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.18", "7.3"])
def test_collapse_of_a_file_takes_the_page_tables_of_all_who_map_it(kernel: str) -> None:
    lines = """
    memfd f 512
    process p0
    process p1
    mmap p0 m memfd:f shared rw 512 at=512
    mmap p1 m memfd:f shared rw 512 at=512
    write p0 m+3 3
    write p1 m+4 4
    madvise p0 m collapse
    """
    play = Play(f"set kernel {kernel}", lines)
    assert holds(play, "huge p0 m and absent p1 m and refcount p0 m 513 and content p0 m+4 4")
    assert play.do("read p1 m+3") == "ok 3"
    if kernel == "6.1":  # MADV_COLLAPSE leaves the tables of others: they stay, empty, and get small entries again
        assert holds(play, "not huge p1 m and not absent p1 m+3")
    else:
        assert holds(play, "huge p1 m and refcount p0 m 514 and mapcount p0 m+9 2")
    assert play.broken() == set()


def test_a_hole_in_a_huge_page_of_a_file_splits_it_or_fills_it_with_zeros_under_a_pin() -> None:
    lines = """
    device nic
    memfd f 512
    process p0
    mmap p0 m memfd:f shared rw 512 at=512
    write p0 m+9 9
    madvise p0 m collapse
    """
    split = Play("set cpus 1", lines + "punch f 9 1")
    assert split.do("pread f 9") == "ok 0"
    assert holds(split, "absent p0 m")
    assert not len(split.state.folios)
    held = Play("set cpus 1", lines + "gup p0 m+9 as=r write pin by=nic\npunch f 9 1\ndma r write 7")
    assert held.do("read p0 m+9") == "ok 7"
    assert holds(held, "same p0 m+9 r and huge p0 m and pincount r 1")
    assert split.broken() == held.broken() == set()


def test_a_huge_page_goes_to_swap_in_one_piece_and_comes_back_page_by_page(play: Play) -> None:
    play.do("write p0 m+5 5\nreclaim p0 m")
    assert holds(play, "absent p0 m")
    assert len(play.state.swap_slots) == 512
    assert play.do("read p0 m+5") == "ok 5"
    assert holds(play, "order p0 m+5 0 and exclusive p0 m+5 and rss p0 1")
    assert play.broken() == set()


def test_a_huge_page_that_is_not_wanted_goes_in_one_piece_unless_it_was_written_again(play: Play) -> None:
    play.do("madvise p0 m free\nreclaim p0 m")
    assert not len(play.state.folios)
    assert play.do("read p0 m") == "ok 0"
    play.do("write p0 m 1\nmadvise p0 m free\nwrite p0 m 2")
    assert play.do("reclaim p0 m") == "error EAGAIN"
    assert play.do("read p0 m") == "ok 2"
    assert play.broken() == set()


def test_the_table_for_the_split_is_there_from_the_start(play: Play) -> None:
    """A split must not fail for want of memory: the page table that it needs was put aside by the fault."""
    before = play.state.counters["high_water"]
    assert holds(play, "table-pages p0 4")
    play.do("munmap p0 m[0:1]")
    assert holds(play, "table-pages p0 4")
    assert play.state.counters["high_water"] == before


def test_a_huge_fault_costs_no_more_than_a_few_small_ones(play: Play) -> None:
    """Its journal has an entry for what has changed, not one for each of 512 pages."""
    play.do("mmap p0 n anon private rw 512 at=1024\nmadvise p0 n hugepage\nmmap p0 s anon private rw 512 at=2048")
    huge, small = (count_changes(play, f"write p0 {label} 1") for label in ("n", "s"))
    assert huge <= small + 8


def count_changes(play: Play, line: str) -> int:
    play.do(line)
    return len(play.accounts[-1].changes)


@pytest.mark.parametrize(("first", "left"), [(512, 0), (600, 88)])
def test_guards_in_the_place_of_a_huge_page_drop_it_first(first: int, left: int) -> None:
    """guard_install_pmd_entry(): a huge entry ends the walk, and the range is zapped before it begins again."""
    machine = Machine("off", "0")
    span = {"proc": "p0", "at": 512, "pages": 512}
    for op in (
        span | {"op": "mmap", "prot": "rw"},
        span | {"op": "madvise", "advice": "HUGEPAGE"},
        {"op": "write", "proc": "p0", "page": 515, "value": 7},
        {"op": "madvise", "proc": "p0", "at": first, "pages": 1024 - first, "advice": "GUARD_INSTALL"},
    ):
        assert perform(machine, operation(op)) == OK
    entries = machine.look().ptes["p0"]
    assert [page for page, row in entries.items() if row[0] == "guard"] == list(range(first, 1024))
    assert len(entries) == left + 1024 - first


def test_a_huge_page_that_is_faulted_in_for_a_lock_is_mlocked() -> None:
    """folio_add_lru_vma(), 6.12: whoever makes a new folio looks at VM_LOCKED, however large the folio is."""
    play = Play("set cpus 1", HUGE.replace("write p0 m 1", "mlock p0 m"))
    assert play.frame(play.state.tables["p0", PMD, 1].pfn).flags & PG_MLOCKED
    play.do("munlock p0 m")
    assert not play.frame(play.state.tables["p0", PMD, 1].pfn).flags & PG_MLOCKED


def test_munmap_does_not_unlink_a_vma_while_a_folio_in_it_is_split(play: Play) -> None:
    """mm/huge_memory.c: split_huge_page_to_list holds anon_vma_lock_write; mm/rmap.c: unlink_anon_vmas takes it."""
    play.do("fork p0 kid\nbegin split cpu=1 migrate kid m")
    while not any(kind == "anon_vma_rwsem" for kind, _ in play.state.locks):
        play.do("step split")
    play.do("begin gone cpu=0 munmap p0 m")
    refused = play.do("step gone 20")
    assert "anon_vma_rwsem of anon_vma:1, held by split" in refused
    assert ("p0", 512) in play.state.detached_vmas
    play.do("finish split\nfinish gone")
    assert not play.state.detached_vmas
    assert play.broken() == set()


OVERFLOWING = "set refcount-bits 4\nset swap zram\nset as-it-was page-ref-overflow"


def test_a_huge_page_that_an_overflow_frees_under_its_mapping_counts_nothing() -> None:
    """Without CONFIG_DEBUG_VM nobody looks at its mapcounts: mm/rmap.c; a split finds no mapping: __folio_split."""
    play = Play(OVERFLOWING, HUGE + "".join(f"gup p0 m as=r{number} by=nic\n" for number in range(16)))
    (head,) = play.state.folios
    play.do("put r0")
    assert head not in play.state.folios
    for line in ("fork p0 k", "munmap p0 m", "munmap p0 m[0:1]", "madvise p0 m[0:1] pageout", "madvise p0 m[0:1] free"):
        assert play.try_out(line).status == "ok", line


def test_a_folio_that_an_overflow_frees_while_it_is_split_or_moved_is_missed_by_nobody() -> None:
    """At each micro-step of the call somebody drops the references that the count no longer knows of."""
    play = Play(OVERFLOWING, HUGE + "".join(f"gup p0 m as=r{number} by=nic\n" for number in range(14)))
    for line in ("migrate p0 m", "madvise p0 m[0:1] pageout", "madvise p0 m pageout"):
        state = begun(play.state, "t", line)
        freed = 0
        while state is not None and "t" in state.tasks and freed < 12:
            after = state
            for number in range(3):
                dropped = begun(after, "k", f"put r{number}")
                after = after if dropped is None else onward(dropped, "k")
            freed += not after.folios
            onward(after, "t")
            state = advance(state, "t").state
        assert freed, line
