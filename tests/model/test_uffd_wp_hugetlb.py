"""userfaultfd writes on huge pages of hugetlb: protection, markers in place of huge entries, poison; 6.18: measured."""

import pytest

from model.kernel.mm.pte_marker import POISON_MARKER, UFFD_WP_MARKER
from model.memory.leaf import PMD
from tests.model.address_space import assert_consistent
from tests.model.play import Play

SCENE = """
process p0
mmap p0 src hugetlb private rw 512 at=512
mmap p0 a hugetlb private rw 1024 at=1024
write p0 src 7
userfaultfd p0 u sigbus
uffdio-register p0 a u {modes}
"""


def play(modes: str = "missing wp", kernel: str = "6.18", scene: str = SCENE) -> Play:
    return Play(f"set kernel {kernel}\nset hugetlb 8", scene.format(modes=modes))


def answers(play: Play, *calls: str) -> list[str]:
    return [play.do(call) for call in calls]


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.18", "7.3"])
def test_a_protected_huge_page_is_read_and_no_write_passes_until_it_is_lifted(kernel: str) -> None:
    p = play(kernel=kernel)
    assert p.do("uffdio-copy p0 a[0:512] u src wp") == "ok"
    assert answers(p, "read p0 a", "write p0 a+5 1") == ["ok 7", "signal SIGBUS"]
    assert answers(p, "uffdio-writeprotect p0 a[0:512] u", "write p0 a+5 1") == ["ok", "ok"]
    assert p.do("uffdio-writeprotect p0 a[0:100] u wp") == "error EINVAL", "only whole huge pages"
    assert_consistent(p.state)
    assert p.broken() == set()


def test_an_empty_huge_entry_is_protected_by_a_marker_that_a_fault_turns_into_protection() -> None:
    p = play("wp")
    assert p.do("uffdio-writeprotect p0 a u wp") == "ok"
    assert [p.state.tables[("p0", PMD, block)] for block in (2, 3)] == [UFFD_WP_MARKER] * 2
    assert answers(p, "read p0 a", "write p0 a 1") == ["ok 0", "signal SIGBUS"]
    assert p.do("madvise p0 a dontneed") == "ok"
    assert p.state.tables[("p0", PMD, 2)] == UFFD_WP_MARKER, "the protection outlives the page"
    assert answers(p, "write p0 a+512 1", "uffdio-writeprotect p0 a u", "write p0 a+512 1") == [
        "signal SIGBUS",
        "ok",
        "ok",
    ]
    p.do("munmap p0 a")
    assert not any(entry.kind == "marker" for entry in p.state.tables.values())
    assert_consistent(p.state)
    assert p.broken() == set()


def test_a_part_of_a_huge_page_cannot_be_given_back_but_loses_its_protection() -> None:
    """fs/userfaultfd.c: userfaultfd_unregister() lifts it, for whole huge pages, before the VMA refuses to be split."""
    p = play("wp")
    p.do("read p0 a\nuffdio-writeprotect p0 a u wp")
    assert answers(p, "uffdio-unregister p0 a+0 u", "expect not uffd-wp p0 a+5", "expect uffd-wp p0 a+512") == [
        "error EINVAL",
        "ok",
        "ok",
    ]
    assert_consistent(p.state)


def test_poison_moves_with_its_mapping_and_protection_does_not() -> None:
    """mm/hugetlb.c: move_huge_pte(), vma_has_uffd_without_event_remap."""
    p = play("missing wp")
    p.do("uffdio-poison p0 a[0:512] u\nuffdio-writeprotect p0 a u wp")
    assert answers(p, "mremap p0 a pages=1024 maymove to=2048", "read p0 @2048", "write p0 @2560 1") == [
        "ok 2048",
        "signal SIGBUS",
        "ok",
    ]
    assert_consistent(p.state)


def test_a_hole_keeps_markers_and_truncation_does_not() -> None:
    """fs/hugetlbfs/inode.c: hugetlb_vmdelete_list() with ZAP_FLAG_DROP_MARKER when truncating alone."""
    shared = (
        "process p0\nmemfd f 1024 hugetlb\nmmap p0 s memfd:f shared rw 1024 at=1024\nwrite p0 s 1\nwrite p0 s+512 2"
    )
    p = play(scene=f"{shared}\nuserfaultfd p0 u sigbus\nuffdio-register p0 s u wp\nuffdio-writeprotect p0 s u wp")
    p.do("punch f 0 512")
    assert p.state.tables[("p0", PMD, 2)] == UFFD_WP_MARKER
    p.do("truncate f 0")
    assert ("p0", PMD, 2) not in p.state.tables
    assert ("p0", PMD, 3) not in p.state.tables
    assert p.broken() == set()


def test_poison_is_left_where_nothing_is_and_a_copy_replaces_it() -> None:
    p = play("missing wp")
    assert answers(p, "uffdio-poison p0 a[0:512] u", "uffdio-poison p0 a[0:512] u") == ["ok", "error EEXIST"]
    assert p.state.tables[("p0", PMD, 2)] == POISON_MARKER
    assert answers(p, "read p0 a+9", "write p0 a 1") == ["signal SIGBUS"] * 2
    p.do("uffdio-writeprotect p0 a u wp\nfork p0 kid")
    assert p.do("read kid a") == "signal SIGBUS", "fork copies poison, and no protection"
    assert ("kid", PMD, 3) not in p.state.tables
    assert answers(p, "uffdio-copy p0 a[0:512] u src", "read p0 a") == ["ok", "ok 7"]
    assert answers(p, "uffdio-poison p0 a[512:1024] u", "uffdio-writeprotect p0 a u") == ["error EEXIST", "ok"]
    assert_consistent(p.state)
    assert p.broken() == set()


def test_a_child_that_keeps_its_registration_keeps_protection_and_markers() -> None:
    p = play("wp", scene=SCENE.replace("u sigbus", "u sigbus event_fork"))
    p.do("write p0 a 1\nuffdio-writeprotect p0 a u wp\nbegin f fork p0 kid\nfinish f\nuffd-read p0 u\nfinish f")
    assert answers(p, "write kid a 2", "write kid a+512 2") == ["signal SIGBUS"] * 2
    assert answers(p, "uffdio-writeprotect p0 a u-kid", "write kid a 2", "read p0 a") == ["ok", "ok", "ok 1"]
    assert_consistent(p.state)


def test_write_async_lifts_the_protection_by_itself() -> None:
    p = play("wp", scene=SCENE.replace("u sigbus", "u wp_async"))
    p.do("write p0 a 1\nuffdio-writeprotect p0 a u wp")
    assert answers(p, "write p0 a 2", "write p0 a+512 3", "expect not uffd-wp p0 a") == ["ok", "ok", "ok"]
