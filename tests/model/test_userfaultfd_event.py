"""Events of userfaultfd: fork waits until its event is read, and the child has a userfaultfd of its own."""

import pytest

from model.memory.flags import PAGE_UFFD_WP, VM_UFFD
from tests.model.address_space import assert_consistent
from tests.model.play import Play

SCENE = """
process p0
mmap p0 buf anon private rw 4
mmap p0 src anon private rw 1
write p0 src 7
write p0 buf+1 3
userfaultfd p0 u event_fork wp_unpopulated
uffdio-register p0 buf u missing wp
uffdio-writeprotect p0 buf u wp
begin f fork p0 kid
"""


def test_fork_waits_for_a_reader_who_gets_a_userfaultfd_of_the_child() -> None:
    """fs/userfaultfd.c: dup_userfaultfd, userfaultfd_event_wait_completion, resolve_userfault_fork (6.18: measured)."""
    play = Play(SCENE)
    assert play.do("finish f") == "blocked on a reader of u"
    for call in ("uffdio-copy p0 buf+0 u src", "uffdio-writeprotect p0 buf u"):
        assert play.do(call) == "error EAGAIN", "the address space is changing"
    assert play.do("uffd-read p0 u") == "ok"
    assert play.do("finish f") == "ok"
    assert play.do("uffd-read p0 u") == "error EAGAIN", "there was one event"
    marked = [vpn for (mm, vpn), pte in play.state.ptes.items() if mm == "kid" and pte.bits & PAGE_UFFD_WP]
    assert sorted(marked) == [16, 17, 18, 19], "protection goes over to the child, markers too"

    play.do("begin r read kid buf\nbegin w write kid buf+1 4")
    assert play.do("finish r") == "blocked on an answer through u-kid for page 16 of kid"
    assert play.do("finish w") == "blocked on an answer through u-kid for page 17 of kid"
    assert play.do("uffdio-copy p0 buf+0 u-kid src") == "ok"
    assert play.do("uffdio-writeprotect p0 buf u-kid") == "ok"
    assert play.do("finish r") == "ok 7"
    assert play.do("finish w") == "ok"
    assert play.do("expect content p0 buf+1 3 and uffd-wp p0 buf+1") == "ok", "the parent's are another's business"
    assert play.do("uffdio-copy kid buf+2 u-kid src") == "error EBADF", "only the reader has the descriptor"
    play.do("exit kid")
    assert play.do("uffdio-copy p0 buf+2 u-kid src") == "error ESRCH"
    assert_consistent(play.state)
    assert play.broken() == set()


def test_a_descriptor_that_is_closed_unread_leaves_the_child_without() -> None:
    """fs/userfaultfd.c: userfaultfd_release_new."""
    play = Play(
        SCENE.replace("uffdio-register", "fork p0 monitor\nuffdio-register").replace(
            "begin f", "uffd-close p0 u\nbegin f"
        )
    )
    assert play.do("finish f") == "blocked on a reader of u"
    play.do("uffd-close monitor u")
    assert play.do("finish f") == "ok"
    assert not len(play.state.userfaultfds)
    assert not any(vma.flags & VM_UFFD or vma.uffd for vma in play.state.vmas.values())
    assert play.do("read kid buf") == "ok 0"
    assert_consistent(play.state)


@pytest.mark.parametrize(("kernel", "waits"), [("6.1", True), ("6.18", False)])
def test_a_fork_that_fails_tells_of_it_in_old_kernels_only(kernel: str, waits: bool) -> None:
    """kernel/fork.c: dup_mmap() calls dup_userfaultfd_fail() since 6.12; 6.1 completes whatever came of it."""
    pinned = "mmap p0 h hugetlb private rw 512\nwrite p0 h 1\ngup p0 h as=r write pin longterm by=nic"
    play = Play(
        f"set kernel {kernel}\nset hugetlb 1\ndevice nic",
        SCENE.replace(" wp_unpopulated", "").replace("begin f", f"{pinned}\nbegin f"),
    )
    assert play.do("finish f") == ("blocked on a reader of u" if waits else "error ENOMEM")
    if waits:
        assert play.do("uffd-read p0 u") == "ok"
        assert play.do("finish f") == "error ENOMEM"
    assert play.state.userfaultfds["u"].changing == 0
    assert play.do("uffdio-copy p0 buf+0 u src") == "ok"
    assert_consistent(play.state)
