"""userfaultfd on huge pages of the pool: what it answers, and whose reservation it uses up."""

import pytest

from model.kernel.mm.hugetlb_pool import free_huge_pages, resv_huge_pages
from tests.model.address_space import assert_consistent
from tests.model.play import Play

SCENE = """
process p0
mmap p0 src hugetlb private rw 512
write p0 src 7
memfd f 1024 hugetlb
mmap p0 sh memfd:f shared rw 1024
mmap p0 pr hugetlb private rw 512
userfaultfd p0 u {features}
uffdio-register p0 sh u {modes}
"""
"""Pool of 8: 7 free, 3 of them reserved."""


def play(modes: str = "missing", features: str = "sigbus") -> Play:
    return Play("set hugetlb 8", SCENE.format(modes=modes, features=features))


def pool(p: Play) -> tuple[int, int]:
    return free_huge_pages(p.state), resv_huge_pages(p.state)


def test_a_copy_fills_a_hole_of_the_file_and_uses_its_reservation_up() -> None:
    """mm/hugetlb.c: hugetlb_mfill_atomic_pte (6.12); 6.18: compared with it, command by command."""
    p = play()
    assert p.do("read p0 sh") == "signal SIGBUS"
    assert pool(p) == (7, 3)
    assert p.do("uffdio-copy p0 sh[0:512] u src") == "ok"
    assert pool(p) == (6, 2)
    assert p.do("read p0 sh") == "ok 7"
    assert p.do("uffdio-copy p0 sh[0:512] u src") == "error EEXIST"
    assert_consistent(p.state)


def test_a_source_that_is_not_mapped_is_faulted_in_without_the_locks() -> None:
    p = play()
    assert p.do("mmap p0 cold anon private rw 512\nwrite p0 cold+3 9\nuffdio-copy p0 sh[512:1024] u cold") == "ok"
    assert p.do("read p0 sh+515") == "ok 9"
    assert pool(p) == (6, 2), "the spare page went back"
    assert_consistent(p.state)


@pytest.mark.parametrize("line", ["zeropage p0 sh[0:512] u", "copy p0 sh+1 u src", "copy p0 sh[0:513] u src"])
def test_only_whole_huge_pages_and_none_of_zeros(line: str) -> None:
    p = play()
    assert p.do(f"uffdio-{line}") == "error EINVAL"
    assert not any(p.state.locks.values())


def test_an_unmapped_page_of_the_file_is_a_minor_fault_that_continue_answers() -> None:
    p = play("minor")
    p.do("mmap p0 other memfd:f shared rw 512\nwrite p0 other 5")
    assert p.do("read p0 sh") == "signal SIGBUS"
    assert p.do("uffdio-continue p0 sh[512:1024] u") == "error EFAULT", "the file has none there"
    assert p.do("uffdio-continue p0 sh[0:512] u\nread p0 sh") == "ok 5"
    assert p.do("uffdio-continue p0 sh[0:512] u") == "error EEXIST"
    assert_consistent(p.state)


def test_a_fault_gives_hugetlbs_locks_back_while_it_waits() -> None:
    p = play(features="")
    p.do("begin t write p0 sh+3 1")
    assert p.do("finish t").startswith("blocked on an answer through u")
    assert not p.state.locks, "neither the fault mutex nor the lock of the VMA"
    assert p.do("uffdio-copy p0 sh[0:512] u src\nfinish t") == "ok"
    assert_consistent(p.state)


def test_a_private_page_is_the_process_own_and_a_child_is_registered_nowhere() -> None:
    p = play()
    p.do("uffdio-register p0 pr u missing\nuffdio-copy p0 pr u src\nfork p0 p1")
    assert p.do("read p1 pr") == "ok 7"
    assert not any(vma.uffd for (mm, _), vma in p.state.vmas.items() if mm == "p1")
    assert p.do("write p0 pr 4\nmadvise p0 pr dontneed\nread p0 pr") == "signal SIGBUS"
    assert_consistent(p.state)


@pytest.mark.parametrize("where", ["sh[1:512]", "sh[512:513]"])
def test_no_huge_page_is_registered_in_part(where: str) -> None:
    p = play()
    assert p.do(f"uffdio-register p0 {where} u missing") == "error EINVAL"


def test_registered_for_minor_no_table_is_shared_any_more() -> None:
    """fs/userfaultfd.c: hugetlb_unshare_all_pmds; include/linux/userfaultfd_k.h: uffd_disable_huge_pmd_share (6.12)."""
    gib = 1 << 18
    p = Play("set hugetlb 2", f"process p0\nprocess p1\nmemfd f {gib} hugetlb")
    for process in ("p0", "p1"):
        p.do(f"mmap {process} g memfd:f shared rw {gib} at={gib} noreserve\nwrite {process} g 1")
    table = [p.state.tables[process, 2, 1].pfn for process in ("p0", "p1")]
    assert table[0] == table[1]
    p.do("userfaultfd p1 u sigbus\nuffdio-register p1 g u minor")
    assert ("p1", 2, 1) not in p.state.tables
    assert p.do("read p1 g") == "signal SIGBUS"
    assert p.do("uffdio-continue p1 g[0:512] u\nread p1 g") == "ok 1"
    assert p.state.tables["p1", 2, 1].pfn != table[0]
    assert_consistent(p.state)
