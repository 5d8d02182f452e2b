"""Whoever takes an entry or a permission away makes every CPU forget it: all of the range, on all of the CPUs."""

import pytest

from tests.model.play import Play

CACHED_ON_BOTH = "\n".join(
    f"begin t{cpu}{page} cpu={cpu} write p0 m+{page} 1\nfinish t{cpu}{page}" for page in range(3) for cpu in range(2)
)


def forgotten(play: Play, pages: int, cpus: int = 2) -> None:
    """No CPU remembers any of the first pages of `m`, and nothing has been wrong on the way."""
    for page in range(pages):
        for cpu in range(cpus):
            assert play.do(f"expect not cached {cpu} p0 m+{page}") == "ok", (cpu, page)
    assert play.broken() == set()


@pytest.mark.parametrize("line", ["munmap p0 m", "madvise p0 m dontneed", "mprotect p0 m r", "mprotect p0 m none"])
def test_a_range_is_flushed_from_its_first_page_to_its_last(line: str) -> None:
    play = Play("process p0", f"mmap p0 m anon private rw 3\n{CACHED_ON_BOTH}")
    play.do("note the label goes with the mapping" if line.startswith("munmap") else "expect cached 1 p0 m")
    vpn = play.state.labels["p0", "m"].start
    play.do(line)
    assert not [entry for entries in play.state.tlbs.values() for entry in entries if vpn <= entry.vpn < vpn + 3]
    assert play.broken() == set()


@pytest.mark.parametrize("line", ["madvise p0 m dontneed", "mprotect p0 m r"])
def test_a_range_over_two_page_tables_is_flushed_in_both(line: str) -> None:
    play = Play("process p0", f"mmap p0 m anon private rw 3 at=510\n{CACHED_ON_BOTH}\n{line}")
    forgotten(play, 3)


def test_mprotect_of_several_vmas_flushes_all_of_them() -> None:
    play = Play("process p0", f"mmap p0 m anon private rw 3\n{CACHED_ON_BOTH}\nmadvise p0 m+1 nohugepage")
    assert play.do("expect vmas p0 3") == "ok"
    play.do("mprotect p0 m r")
    forgotten(play, 3)


def test_every_cpu_is_interrupted_not_the_first_alone() -> None:
    tasks = "\n".join(f"begin t{cpu} cpu={cpu} write p0 m 1\nfinish t{cpu}" for cpu in range(4))
    play = Play("set cpus 4\nprocess p0 cpu=0", f"mmap p0 m anon private rw 1\n{tasks}\nmadvise p0 m dontneed")
    forgotten(play, 1, cpus=4)


def test_a_copy_is_mapped_when_no_cpu_remembers_the_shared_page() -> None:
    """mm/memory.c: wp_page_copy, ptep_clear_flush: a thread elsewhere must not go on reading the old page."""
    play = Play("process p0 cpu=0", "mmap p0 m anon private rw 1\nwrite p0 m 1\nfork p0 kid")
    play.do("begin t cpu=1 read p0 m\nfinish t")
    assert play.do("expect cached 1 p0 m") == "ok"
    play.do("write p0 m 2")
    assert play.do("expect not cached 1 p0 m") == "ok"
    play.do("begin t cpu=1 read p0 m")
    assert play.do("finish t") == "ok 2"
    assert play.broken() == set()


def test_of_two_unmaps_at_once_the_one_that_finds_nothing_flushes_for_the_other() -> None:
    """mm/mmu_gather.c: tlb_finish_mmu, mm_tlb_flush_nested(): when madvise() returns, no CPU may use the page."""
    play = Play("process p0 cpu=0", "mmap p0 m anon private rw 1\nbegin t cpu=1 write p0 m 1\nfinish t")
    play.do("begin first cpu=0 madvise p0 m dontneed")
    while play.do("expect present p0 m") == "ok":
        play.do("step first")
    assert play.do("expect cached 1 p0 m") == "ok"
    assert play.do("madvise p0 m dontneed") == "ok"
    assert play.do("expect not cached 1 p0 m") == "ok"
    assert play.do("finish first") == "ok"
    assert play.broken() == set()
