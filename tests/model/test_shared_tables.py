"""Hugetlb: processes that map the same GiB of a file have one table of huge entries (mm/hugetlb.c, 6.1 to 7.3)."""

import pytest

from model.kernel.arch.pgtable import PMD, PUD
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.model.play import Play

SHARED = """
set cpus 2
set hugetlb 4
process p0 cpu=0
process p1 cpu=1
memfd f 262144 hugetlb
mmap p0 m memfd:f shared rw 262144 at=262144 noreserve
mmap p1 m memfd:f shared rw 262144 at=524288 noreserve
write p0 m 65
"""
WALK = "may 1 cpu=0 gup p0 m+0 as=r write fast-only by=nic"


def shared(*lines: str) -> Play:
    """p1 has read the first page of the file: it has p0's table."""
    return Play("\n".join(SHARED.strip().splitlines()[:2]), "\n".join((*SHARED.strip().splitlines()[2:], *lines)))


def table(play: Play, mm: str, block: int) -> int | None:
    """The page of the table of huge entries of one GiB."""
    entry = play.state.tables.get((mm, PUD, block))
    return None if entry is None else entry.pfn


def sharers(play: Play) -> list[tuple[tuple[str, int], ...]]:
    """Where each shared table hangs."""
    return list(play.state.shared_tables.values())


def test_a_fault_hangs_in_the_table_that_another_process_has() -> None:
    play = shared("read p1 m")
    assert table(play, "p0", 1) == table(play, "p1", 2) is not None
    assert sharers(play) == [(("p0", 1), ("p1", 2))]
    head = play.state.tables["p0", PMD, 512].pfn
    # one mapping a table, not one a process; the table's page has one reference, as its count of sharers stands apart
    assert (play.frame(head).mapcount, play.state.folios[head].entire) == (1, 1)
    assert play.frame(table(play, "p0", 1) or 0).refcount == 1
    faults = play.accounts[-1].steps
    assert not play.broken()
    assert not any(step.procedure == "hugetlb_no_page" for step in faults)


def test_what_one_faults_in_is_there_for_all() -> None:
    play = shared("read p1 m", "write p1 m+512 66", "read p0 m+512")
    assert str(play.accounts[-1].outcome) == "ok 66"
    assert not any(step.procedure == "exc_page_fault" for step in play.accounts[-1].steps)
    head = play.state.tables["p0", PMD, 513].pfn
    assert play.frame(head).mapcount == 1
    assert not play.broken()


@pytest.mark.parametrize(
    "mapping",
    [
        "mmap p2 m memfd:f shared rw 262144 at=786944 noreserve",  # not aligned
        "mmap p2 m memfd:f shared rw 261632 at=786432 noreserve",  # less than a GiB
        "mmap p2 m memfd:f shared r 262144 at=786432 noreserve",  # other rights
        "mmap p2 m memfd:f private rw 262144 at=786432 noreserve",
    ],
)
def test_what_is_mapped_otherwise_has_a_table_of_its_own(mapping: str) -> None:
    """page_table_shareable(), want_pmd_share()."""
    play = shared("process p2", mapping, "read p2 m")
    assert not sharers(play)
    assert not play.broken()


@pytest.mark.parametrize(
    "line",
    [
        "munmap p0 m",
        "munmap p0 m[0:512]",
        "mprotect p0 m r",
        "mprotect p0 m[512:1024] r",
        "madvise p0 m[0:512] dontneed",
        "madvise p0 m[0:512] dontfork",
        "mremap p0 m pages=262144 to=1048576 maymove",
        "mseal p0 m[0:512]",
        "exit p0",
    ],
)
def test_whoever_changes_his_mapping_gives_the_table_up(line: str) -> None:
    """huge_pmd_unshare(): no page is unmapped, the others go on with the table, and his own faults bring pages back."""
    play = shared("read p1 m", line)
    outcome = play.accounts[-1].outcome
    assert outcome.status == "ok", outcome
    assert not sharers(play)
    assert table(play, "p0", 1) is None
    entry = play.state.tables["p1", PMD, 1024]
    assert play.frame(entry.pfn).mapcount == 1
    assert play.frame(table(play, "p1", 2) or 0).mapping == "mm:p1"
    assert not any(cached.process == "p0" for entries in play.state.tlbs.values() for cached in entries)
    assert play.do("read p1 m") == "ok 65"
    assert not play.broken()


def test_a_hole_is_unmapped_by_the_last_who_has_the_table() -> None:
    play = shared("read p1 m", "write p0 m+512 66", "punch f 0 512")
    assert not sharers(play)
    assert ("p1", PMD, 1024) not in play.state.tables
    assert ("p1", PMD, 1025) in play.state.tables or ("p0", PMD, 513) in play.state.tables
    assert play.do("read p0 m+512") == "ok 66"
    assert play.do("read p0 m") == "ok 0"
    assert not play.broken()


def test_of_three_two_go_on_sharing() -> None:
    play = shared("process p2", "mmap p2 m memfd:f shared rw 262144 at=786432 noreserve", "read p1 m", "read p2 m")
    assert len(sharers(play)[0]) == 3
    play.do("munmap p0 m")
    assert sharers(play) == [(("p1", 2), ("p2", 3))]
    play.do("munmap p1 m\nmunmap p2 m")
    assert not sharers(play)
    assert not any(frame.mapcount for frame in play.state.frames.values() if frame.kind == "file")
    assert not play.broken()


def test_mirrors_hear_of_all_that_goes_with_a_table() -> None:
    """adjust_range_if_pmd_sharing_possible(): the hole is elsewhere, and the mirrored page's mapping goes with it."""
    play = shared(
        "device gpu", "read p1 m", "write p0 m+512 66", "mirror p0 m+512 as=h by=gpu", "madvise p0 m[0:512] dontneed"
    )
    assert play.state.references["h"].frames == (-1,)
    assert not play.broken()


def found(*lines: str) -> set[str]:
    """The rules that some schedule breaks; stale-reference aside, which every unmap of a taken page breaks."""
    chosen = [line for line in lines if line.startswith("set ")]
    may = [line for line in lines if line not in chosen]
    search = explore(set_up(parse("\n".join((*chosen, *SHARED.strip().splitlines(), "device nic", "read p1 m", *may)))))
    assert search.complete
    return {name for name, *_ in search.found} - {"stale-reference"}


CALLS = ("munmap p0 m", "munmap p0 m[0:512]", "mprotect p0 m r", "punch f 0 512")


@pytest.mark.parametrize("line", CALLS)
@pytest.mark.parametrize("flush", ["ipi", "broadcast"])
def test_who_gives_a_table_up_waits_for_walks(line: str, flush: str) -> None:
    """tlb_flush_unshared_tables(): flush, then interrupt every CPU."""
    assert found(f"set tlb-flush {flush}", WALK, f"may 1 cpu=1 {line}") == set()


@pytest.mark.parametrize("line", CALLS)
def test_as_it_was_a_walk_reads_on_in_the_table_of_another(line: str) -> None:
    """Before 1013af4f585f. Where a flush interrupts the walker, it waits for it; a split flushes in its own step."""
    undone = "set as-it-was unshare-sync"
    assert found(undone, "set tlb-flush broadcast", WALK, f"may 1 cpu=1 {line}") == {"freed-table"}


def test_as_it_was_nobody_flushed_what_a_table_led_to() -> None:
    """Before a4a118f2eead."""
    may = ("may 1 cpu=1 punch f 0 512", "may 1 cpu=0 read p0 m")
    assert found(*may) == set()
    assert found("set as-it-was unshare-flush", *may) == {"stale-tlb", "foreign-access"}


def test_with_two_left_nobody_waits_since_8ce720d5bd91() -> None:
    third = ("process p2", "mmap p2 m memfd:f shared rw 262144 at=786432 noreserve", "read p1 m", "read p2 m")
    for undone, waits in (((), False), (("set as-it-was unshare-gather",), True)):
        play = Play("\n".join((*undone, *SHARED.strip().splitlines(), *third, "munmap p0 m")))
        assert any(step.step == "smp_call_function" for step in play.accounts[-1].steps) == waits
