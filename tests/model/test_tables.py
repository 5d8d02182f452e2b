"""Page tables are pages: who walks without locks is inside of one while others take it out and free it."""

from typing import Any

import pytest

from model.kernel.arch.table_walk import hooked_at
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.model.play import Play

ANON = "mmap p0 m anon private rw 512 at=512\nwrite p0 m 65"
FILE = "memfd f 512\nmmap p0 m memfd:f shared rw 512 at=512\nwrite p0 m 65"
WALK = "may 1 cpu=0 gup p0 m+0 as=r write fast-only by=nic"


def found(*lines: str) -> set[str]:
    """The rules that some schedule breaks; of hazards none."""
    search = explore(set_up(parse("\n".join(("set cpus 2", *lines)))))
    assert search.complete
    return {name for name, severity, *_ in search.found if severity != "hazard"}


@pytest.mark.parametrize(
    ("kernel", "flush", "memory"),
    [("6.18", "ipi", ANON), ("6.12", "ipi", FILE), ("6.1", "broadcast", FILE), ("7.3", "broadcast", FILE)],
    ids=["anonymous 6.18", "6.12", "6.1 broadcast", "7.3 broadcast"],
)
def test_a_collapse_takes_a_table_from_under_a_walk_and_no_harm_is_done(kernel: str, flush: str, memory: str) -> None:
    """mm/khugepaged.c: collapse_huge_page(), retract_page_tables(); 6.1, 6.12, 7.3."""
    setup = (f"set kernel {kernel}", f"set tlb-flush {flush}", "process p0 cpu=0", "device nic", memory)
    assert found(*setup, WALK, "may 1 cpu=1 madvise p0 m collapse") == set()


def test_a_store_walks_the_tables_while_a_collapse_takes_one_out() -> None:
    """The hardware's walk is over, or begins anew, when a flush is: it caches nothing out of a table that is gone."""
    may = ("may 1 cpu=0 madvise p0 m collapse", "may 1 cpu=1 write p0 m 67")
    assert found("process p0 cpu=0", ANON, *may) == set()


@pytest.mark.parametrize(
    ("flush", "free", "broken"),
    [
        ("ipi", "rcu", set()),
        ("ipi", "at-once", set()),
        ("broadcast", "rcu", set()),
        ("broadcast", "at-once", {"freed-table"}),
    ],
)
def test_an_interrupt_or_rcu_keeps_a_table_for_whoever_is_inside(flush: str, free: str, broken: set[str]) -> None:
    """mm/mmu_gather.c: tlb_remove_table(); one of the two is enough."""
    setup = (f"set tlb-flush {flush}", f"set table-free {free}", "process p0 cpu=0", "device nic")
    assert found(*setup, "mmap p0 m anon private rw 1", "write p0 m 65", WALK, "may 1 cpu=1 munmap p0 m") == broken


def test_the_mend_of_either_side_is_enough_for_anonymous_memory() -> None:
    """With the interrupt of 2ba99c5e0881 a walk that does not look at the PMD again is over before pages are counted.

    Without both: the scene collapse-pmd-not-rechecked.
    """
    setup = ("set tlb-flush broadcast", "process p0 cpu=0", "device nic", ANON)
    for undone in ("gup-fast-pmd", "collapse-sync"):
        assert found(f"set as-it-was {undone}", *setup, WALK, "may 1 cpu=1 madvise p0 m collapse") == set()


def inside_of_a_freed_table(*more: str) -> Play:
    """GUP-fast stands in the table of p0, which has been freed; then some more lines."""
    lines = (
        "process p0 cpu=0",
        "process p1 cpu=1",
        "device nic",
        "mmap p0 m anon private rw 4 at=512",
        "write p0 m 65",
    )
    walk = ("begin G gup p0 m+0 as=r write fast-only by=nic", "step G 5", "begin U cpu=1 munmap p0 m", "finish U")
    return Play("set tlb-flush broadcast\nset table-free at-once", "\n".join((*lines, *walk, *more)))


def test_a_walk_reads_what_is_in_the_page_by_then() -> None:
    free = inside_of_a_freed_table()
    assert free.do("finish G") == "error EFAULT"
    (violation,) = free.accounts[-1].violations
    assert violation.invariant == "freed-table"
    assert "It is free: what is in it is left over." in violation.message

    other = inside_of_a_freed_table(
        "mmap p1 a anon private rw 4 at=512", "mmap p1 s anon private rw 4 at=262144", "write p1 a 80", "write p1 s 83"
    )
    table = free.state.tasks  # nobody is left in flight
    assert not len(table)
    walker = other.state.tasks["G"].stack[-1]
    place = hooked_at(other.state, walker.pmd.pfn)  # type: ignore[attr-defined]
    assert place is not None
    assert place[0] == "p1"
    other.do("finish G")
    assert any("It is a page table of p1." in each.message for each in other.accounts[-1].violations)

    data = inside_of_a_freed_table("memfd f 8", *(f"pwrite f {page} 39" for page in range(8)))
    data.do("finish G")  # 39: present, writable, a user's, accessed; of page 0
    assert any("It holds data" in each.message for each in data.accounts[-1].violations)


def test_a_table_waits_for_a_walk_of_anybody_and_no_count_is_wrong_meanwhile() -> None:
    """kernel/rcu: a grace period ends when every CPU that had interrupts off has had them on."""
    play = Play(
        "set tlb-flush broadcast\nset cpus 3",
        """
        process p0 cpu=0
        process p1 cpu=1
        process p2 cpu=2
        device nic
        mmap p0 m anon private rw 1
        mmap p1 m anon private rw 1
        mmap p2 m anon private rw 1
        write p0 m 1
        write p1 m 1
        write p2 m 1
        begin A gup p0 m+0 as=a write fast-only by=nic
        begin B gup p1 m as=b write fast-only by=nic
        step A 5
        step B 5
        munmap p2 m
        """,
    )
    waiting = play.state.rcu[0]
    assert len(waiting) == 3  # the table, and those that led to it
    assert all(play.frame(pfn).kind == "pgtable" for pfn in waiting)
    play.do("finish A")
    assert play.state.rcu[1] == waiting
    play.do("finish B")
    assert not len(play.state.rcu)
    assert all(play.frame(pfn).kind == "free" for pfn in waiting)
    assert play.broken() == set()


def test_6_1_leaves_the_tables_of_others_and_of_whoever_is_busy() -> None:
    """mm/khugepaged.c: retract_page_tables() of 6.1: mmap_write_trylock(), and only the target of MADV_COLLAPSE."""
    lines = """
    process p0 cpu=0
    process p1 cpu=1
    memfd f 512
    mmap p0 m memfd:f shared rw 512 at=512
    mmap p1 m memfd:f shared rw 512 at=512
    write p0 m 65
    write p1 m+1 66
    madvise p0 m collapse
    """
    old, new = (Play(f"set kernel {kernel}", lines) for kernel in ("6.1", "6.12"))
    assert ("p1", 1, 1) in old.state.tables
    assert ("p1", 1, 1) not in new.state.tables
    assert old.state.tables["p0", 1, 1].huge
    assert old.broken() == new.broken() == set()


@pytest.mark.parametrize(("begun", "steps"), [("read p0 m+0", 10), ("write p0 m+0 66", 12)])
def test_a_fault_that_is_overtaken_by_a_collapse_maps_nothing_beside_the_huge_entry(begun: str, steps: int) -> None:
    """mm/filemap.c: filemap_map_pmd(): "Huge page is mapped?"; mm/memory.c: finish_fault(), 6.12."""
    play = Play(
        "set kernel 6.18",
        f"""
        process p0 cpu=0
        memfd f 512
        mmap p0 m memfd:f shared rw 512 at=512
        write p0 m 65
        begin C madvise p0 m collapse
        step C 13
        begin F cpu=1 {begun}
        step F {steps}
        finish C
        finish F
        """,
    )
    assert play.state.tables["p0", 1, 1].huge
    assert not len(play.state.ptes)
    play.do("madvise p0 m remove")
    assert play.broken() == set()


MOVED = "memfd f 1024\nmmap p0 m memfd:f shared rw 1024 at=512\nwrite p0 m 65\nwrite p0 m+600 66"


@pytest.mark.parametrize(
    ("kernel", "before", "move", "tables"),
    [
        ("6.18", MOVED, "mremap p0 m pages=1024 maymove to=2048", 2),
        ("6.18", MOVED, "mremap p0 m pages=1024 maymove to=2049", 0),  # aligned otherwise
        ("6.18", MOVED, "mremap p0 m[0:512] pages=512 maymove to=2048", 1),
        ("6.18", MOVED, "mremap p0 m[0:300] pages=300 maymove to=2048", 0),  # less than a table
        ("6.12", MOVED.replace("at=512", "at=522"), "mremap p0 m pages=1024 maymove to=2058", 2),  # try_realign_addr()
        ("6.1", MOVED.replace("at=512", "at=522"), "mremap p0 m pages=1024 maymove to=2058", 1),
        (
            "6.18",
            "mmap p0 x anon private rw 1 at=512\n" + MOVED.replace("at=512", "at=522"),
            "mremap p0 m pages=1024 maymove to=2058",
            1,
        ),
    ],
)
def test_mremap_moves_whole_tables_where_it_can(kernel: str, before: str, move: str, tables: int) -> None:
    """mm/mremap.c: move_normal_pmd(); no page notices, and what is not moved as a whole is moved entry by entry."""
    play = Play(f"set kernel {kernel}", f"process p0\n{before}")
    were = {entry.pfn for (_, level, _), entry in play.state.tables.items() if level == 1}
    assert play.do(move).startswith("ok")
    steps = [step.step for step in play.accounts[-1].steps]
    assert steps.count("pmd_populate") == tables
    moved = {entry.pfn for (_, level, index), entry in play.state.tables.items() if level == 1 and index >= 4}
    assert len(were & moved) == tables
    assert play.do(f"read p0 @{move.rpartition('to=')[2]}") == "ok 65"
    assert not play.broken()


def test_a_table_that_moves_keeps_out_who_comes_by_the_reverse_map() -> None:
    """As it was before 97113eb39fa7, truncation clears an entry where the table hangs and flushes where it hung."""
    setup = ("process p0 cpu=0", "memfd f 512", "mmap p0 m memfd:f shared rw 512 at=512", "write p0 m 65")
    may = ("begin M cpu=0 mremap p0 m pages=512 maymove to=2048", "step M 12", "may 1 cpu=1 punch f 0 1")
    store = "may 1 cpu=2 write p0 @2048 66"
    assert found("set cpus 3", *setup, *may, store) == set()
    assert found("set cpus 3", "set as-it-was mremap-rmap-lock", *setup, *may, store) == {"foreign-access"}


@pytest.mark.parametrize("flush", ["ipi", "broadcast"])
def test_a_walk_notices_that_its_table_has_moved(flush: str) -> None:
    setup = (f"set tlb-flush {flush}", "process p0 cpu=0", "device nic", ANON)
    assert found(*setup, WALK, "may 1 cpu=1 mremap p0 m pages=512 maymove to=2048") == set()


def test_the_marks_of_userfaultfd_are_not_moved_with_a_table() -> None:
    """A VMA that is registered without UFFD_FEATURE_EVENT_REMAP forgets them entry by entry."""
    play = Play("set cpus 2", "process p0\nuserfaultfd p0 u\nmmap p0 m anon private rw 512 at=512\nwrite p0 m 65")
    play.do("uffdio-register p0 m u wp\nuffdio-writeprotect p0 m+0 u wp\nmremap p0 m pages=512 maymove to=2048")
    assert not any(step.step == "pmd_populate" for step in play.accounts[-1].steps)
    assert play.do("write p0 m 66") == "ok"


def test_nobody_walks_the_mappings_of_a_file_while_a_table_of_it_moves() -> None:
    play = Play("set cpus 2", "process p0 cpu=0\nmemfd f 512\nmmap p0 m memfd:f shared rw 512 at=512\nwrite p0 m 65")
    play.do("begin M cpu=0 mremap p0 m pages=512 maymove to=2048\nstep M 16\nbegin P cpu=1 punch f 0 1")
    moving: Any = play.state.tasks["M"].stack[-1]
    assert moving.next_name == "pmd_populate"
    assert "i_mmap_rwsem of f" in play.do("finish P")
    play.do("finish M\nfinish P")
    assert not play.state.locks
    assert ("p0", 2048) not in play.state.ptes
    assert not play.broken()
