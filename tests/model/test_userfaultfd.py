"""userfaultfd: faults that somebody else answers, writes that are reported, pages that move."""

import pytest

from model.kernel.arch.access import cpu_store
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.pte_marker import UFFD_WP_MARKER
from model.kernel.mm.userfaultfd import MODES, userfaultfd_open
from model.kernel.mm.userfaultfd_fill import userfaultfd_copy
from model.kernel.mm.userfaultfd_register import userfaultfd_register
from model.memory.errno import EEXIST
from model.memory.flags import PAGE_UFFD_WP
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from model.search.report import report
from tests.model.address_space import assert_consistent
from tests.model.machine import Machine
from tests.model.play import Play

SCENE = """
process p0
mmap p0 buf anon private rw 4
mmap p0 src anon private rw 4
write p0 src 7
userfaultfd p0 u {features}
uffdio-register p0 buf u {modes}
"""


def play(modes: str, features: str = "sigbus", settings: str = "set kernel 6.18") -> Play:
    return Play(settings, SCENE.format(modes=modes, features=features))


def test_only_memory_that_is_registered_for_it_is_write_protected() -> None:
    """mm/userfaultfd.c: mwriteprotect_range asks VM_UFFD_WP of each VMA (6.18)."""
    p = play("wp")
    assert p.do("uffdio-writeprotect p0 src u wp") == "error ENOENT"
    assert not any(pte.bits & PAGE_UFFD_WP for pte in p.state.ptes.values())


# -- missing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "value"), [("read p0 buf", " 7"), ("write p0 buf 9", ""), ("remote-read p0 p0 buf", " 7")]
)
def test_a_fault_waits_for_a_page_and_is_woken_by_it(access: str, value: str) -> None:
    p = play("missing", "")
    p.do(f"begin t {access}")
    assert p.do("finish t") == "blocked on an answer through u for page 16 of p0"
    assert p.state.userfaultfds["u"].waiting == (("t", 16),)
    assert p.do("mprotect p0 src+1 r") == "ok", "mmap_lock is not held while a fault waits"
    assert p.do("uffdio-copy p0 buf+0 u src") == "ok"
    assert p.do("finish t") == f"ok{value}"
    assert_consistent(p.state)


def test_woken_without_a_page_it_waits_again_and_the_end_of_the_descriptor_ends_that() -> None:
    p = play("missing", "")
    p.do("begin t read p0 buf\nfinish t")
    assert p.do("uffdio-wake p0 buf u\nfinish t").startswith("blocked")
    assert p.do("uffd-close p0 u\nfinish t") == "ok 0"
    assert not any(vma.uffd for vma in p.state.vmas.values())


def test_gup_waits_like_the_cpu_and_does_not_where_it_cannot() -> None:
    p = play("missing", "")
    p.do("begin t gup p0 buf+0 as=r write pin\nfinish t")
    assert p.state.userfaultfds["u"].waiting
    assert p.do("force-write p0 p0 buf 1") == "error EIO"
    p.do("uffdio-zeropage p0 buf+0 u\nfinish t")
    assert p.state.references["r"].frames == (p.state.ptes["p0", 16].pfn,)


@pytest.mark.parametrize("line", ["gup p0 buf+0 as=r pin", "remote-write p0 p0 buf 1", "vmsplice p0 buf+0 as=r"])
def test_with_sigbus_gup_says_efault(line: str) -> None:
    p = play("missing")
    assert p.do("read p0 buf") == "signal SIGBUS"
    assert p.do(line) == "error EFAULT"


def test_who_has_the_address_space_locked_for_writing_does_not_wait() -> None:
    p = Play("set kernel 6.18", "process p0\nmmap p0 buf anon private r 2 locked\nmadvise p0 buf dontneed")
    p.do("munlock p0 buf\nmadvise p0 buf dontneed\nuserfaultfd p0 u\nuffdio-register p0 buf u missing")
    p.do("begin t mlock p0 buf\nfinish t\nuffdio-zeropage p0 buf[0:1] u\nfinish t")
    assert p.state.userfaultfds["u"].waiting == (("t", 17),)
    assert p.do("mprotect p0 buf rw") == "ok"


def test_filling_says_what_is_wrong() -> None:
    p = play("missing")
    assert p.do("uffdio-copy p0 buf+0 u src") == "ok"
    assert p.do("uffdio-copy p0 buf+0 u src") == "error EEXIST"
    assert p.do("uffdio-copy p0 buf[1:3] u src") == "ok"
    assert p.do("uffdio-copy p0 buf u src") == "error EEXIST"
    assert p.do("uffdio-copy p0 buf+3 u src wp") == "error EINVAL"
    assert p.do("uffdio-copy p0 src+1 u src") == "error ENOENT"
    assert p.do("uffdio-copy p0 buf+3 u buf+3") == "error EFAULT"
    assert p.do("uffdio-continue p0 buf+3 u") == "error EINVAL"
    assert p.do("madvise p0 buf[1:2] dontneed\nuffdio-zeropage p0 buf[1:4] u") == "error EAGAIN"
    assert [p.do(f"read p0 buf+{page}") for page in range(4)] == ["ok 7", "ok 0", "ok 0", "signal SIGBUS"]


def test_a_second_userfaultfd_cannot_take_a_range_and_neither_can_it_give_one_back() -> None:
    p = play("missing")
    p.do("userfaultfd p0 v sigbus")
    assert p.do("uffdio-register p0 buf v missing") == "error EBUSY"
    assert p.do("uffdio-unregister p0 buf v") == "error EINVAL"
    p.do("mmap p0 next anon private rw 1 at=20\nuffdio-register p0 next v missing")
    assert [(vma.start, vma.end, vma.uffd) for vma in p.state.vmas.values() if vma.uffd == "v"] == [(20, 21, "v")]
    assert p.do("uffdio-register p0 buf[1:2] u wp") == "ok"
    assert p.do("uffdio-register p0 @[100:101] u wp") == "error EINVAL"


def test_the_child_of_fork_has_no_userfaultfd() -> None:
    p = play("missing wp", "sigbus wp_unpopulated")
    p.do("uffdio-copy p0 buf+0 u src wp\nuffdio-writeprotect p0 buf+1 u wp\nfork p0 kid")
    assert not any(vma.uffd for (mm, _), vma in p.state.vmas.items() if mm == "kid")
    assert not p.state.ptes["kid", 16].bits & PAGE_UFFD_WP
    assert ("kid", 17) not in p.state.ptes
    assert p.do("read kid buf+2") == "ok 0"


# -- write-protect ------------------------------------------------------------------------------


def test_a_write_waits_until_the_protection_is_lifted() -> None:
    p = play("wp", "")
    p.do("write p0 buf 1\nuffdio-writeprotect p0 buf u wp")
    assert p.do("read p0 buf") == "ok 1"
    p.do("begin t write p0 buf 2\nfinish t")
    assert p.state.userfaultfds["u"].waiting == (("t", 16),)
    assert p.do("uffdio-writeprotect p0 buf u\nfinish t") == "ok"
    assert p.do("read p0 buf") == "ok 2"


def test_markers_keep_the_protection_of_what_is_not_mapped() -> None:
    p = play("wp", "sigbus wp_unpopulated")
    p.do("uffdio-writeprotect p0 buf u wp")
    assert p.state.ptes["p0", 16] == UFFD_WP_MARKER
    assert p.do("read p0 buf") == "ok 0"
    assert p.do("write p0 buf 1") == "signal SIGBUS"
    p.do("mremap p0 buf pages=4 maymove to=100")
    assert not any(pte.bits & PAGE_UFFD_WP for pte in p.state.ptes.values())
    assert p.do("write p0 buf 1") == "ok"


def test_a_file_s_page_leaves_a_marker_until_its_mapping_goes() -> None:
    p = Play(
        "set kernel 6.18",
        "process p0\nmemfd f 2\nmmap p0 buf memfd:f shared rw 2\nwrite p0 buf 1\nuserfaultfd p0 u sigbus",
    )
    p.do("uffdio-register p0 buf u wp\nuffdio-writeprotect p0 buf u wp\npunch f 0 2")
    assert [p.state.ptes["p0", vpn] for vpn in (16, 17)] == [UFFD_WP_MARKER] * 2
    assert p.do("write p0 buf 2") == "signal SIGBUS"
    assert p.do("uffdio-unregister p0 buf u\nwrite p0 buf 3") == "ok"
    p.do("munmap p0 buf")
    assert not len(p.state.ptes)


def test_a_device_that_has_the_page_pinned_is_not_stopped_and_that_is_said() -> None:
    p = play("wp")
    p.do("device nic\nwrite p0 buf 1\ngup p0 buf+0 as=r write pin by=nic\nuffdio-writeprotect p0 buf u wp")
    p.do("dma r write 9")
    assert p.broken() == {"untracked-write"}
    assert p.do("read p0 buf") == "ok 9"


def test_up_to_6_1_a_private_page_stays_read_only_until_it_is_written() -> None:
    def writable(kernel: str) -> bool:
        p = play("wp", "sigbus", f"set kernel {kernel}")
        p.do("write p0 buf 1\nuffdio-writeprotect p0 buf+0 u wp\nuffdio-writeprotect p0 buf+0 u")
        return p.state.ptes["p0", 16].writable

    assert [writable("6.1"), writable("6.18")] == [False, True]


def test_mprotect_does_not_lift_the_protection_of_userfaultfd() -> None:
    p = play("wp")
    p.do("write p0 buf 1\nuffdio-writeprotect p0 buf u wp\nmprotect p0 buf r\nmprotect p0 buf rw")
    assert not p.state.ptes["p0", 16].writable
    assert p.do("write p0 buf 2") == "signal SIGBUS"


# -- minor --------------------------------------------------------------------------------------


def test_a_page_that_the_file_has_is_mapped_only_when_continue_says_so() -> None:
    p = Play(
        "set kernel 6.18",
        "process p0\nmemfd f 2\npwrite f 0 5\nmmap p0 buf memfd:f shared rw 2\nuserfaultfd p0 u sigbus",
    )
    p.do("uffdio-register p0 buf u minor")
    assert p.do("read p0 buf") == "signal SIGBUS"
    assert p.do("uffdio-continue p0 buf+1 u") == "error EFAULT"
    p.do("mmap p0 beyond memfd:f shared rw 1 offset=2\nuffdio-register p0 beyond u minor")
    assert p.do("uffdio-continue p0 beyond u") == "error EINVAL"
    assert p.do("uffdio-continue p0 buf+0 u\nread p0 buf") == "ok 5"
    assert p.do("read p0 buf+1") == "ok 0", "a hole is no minor fault"


# -- move ---------------------------------------------------------------------------------------


def test_a_page_moves_without_a_copy_unless_somebody_holds_it() -> None:
    p = play("missing", "sigbus move")
    p.do("write p0 src+1 8\ngup p0 src+1 as=r write pin")
    frame = p.state.ptes["p0", 21].pfn
    assert p.do("uffdio-move p0 buf+0 u src") == "ok"
    assert p.state.ptes["p0", 16].pfn == frame
    assert p.do("uffdio-move p0 buf+1 u src+1") == "error EBUSY"
    assert p.do("uffdio-move p0 buf+1 u src") == "error ENOENT"
    assert p.do("uffdio-move p0 buf+0 u src+1") == "error EEXIST"
    assert p.do("put r\nfork p0 kid\nuffdio-move p0 buf+1 u src+1") == "error EBUSY"
    assert p.do("migrate p0 buf") == "ok", "the reverse map finds the page at its new place"
    assert_consistent(p.state)


def test_whoever_answers_answers_in_time_and_without_an_answer_a_fault_waits_for_ever() -> None:
    scene = SCENE.format(modes="missing", features="move") + "may 1 read p0 buf\n"
    answered = report(explore(set_up(parse(f"{scene}may 1 cpu=1 uffdio-copy p0 buf+0 u src"))))
    assert (answered.complete, answered.never_ends) == (True, None), "the wake-up is never lost"
    alone = report(explore(set_up(parse(scene)))).never_ends
    assert alone is not None
    assert alone.waiting[0].on.startswith("an answer through u")


# -- many pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("aligned", [True, False])
def test_2_mib_move_as_one_or_are_split(aligned: bool) -> None:
    p = Play(
        "set thp always",
        "process p0\nmmap p0 a anon private rw 512 at=1024\nmmap p0 b anon private rw 512 at=2048\nwrite p0 a 3",
    )
    p.do("userfaultfd p0 u sigbus move\nuffdio-register p0 b u missing")
    assert p.do(f"uffdio-move p0 b{'' if aligned else '[0:4]'} u a") == "ok"
    assert p.do("read p0 b") == "ok 3"
    assert (("p0", 2048) in p.state.ptes) is not aligned
    assert_consistent(p.state)


def test_write_protection_survives_swap() -> None:
    p = play("wp")
    p.do("write p0 buf 1\nuffdio-writeprotect p0 buf+0 u wp\nreclaim p0 buf")
    assert p.state.ptes["p0", 16].kind == "swap"
    assert p.do("read p0 buf") == "ok 1"
    assert p.do("write p0 buf 2") == "signal SIGBUS"


def test_a_descriptor_is_closed_when_the_last_process_that_has_it_closes_it_or_ends() -> None:
    p = play("missing")
    p.do("fork p0 kid\nuffd-close p0 u")
    assert p.do("uffdio-copy p0 buf+0 u src") == "error EBADF"
    assert p.do("read p0 buf") == "signal SIGBUS", "the child keeps it open"
    assert p.do("write kid src 8\nuffdio-copy kid buf+0 u src") == "ok", "of the parent's memory, with the child's byte"
    assert p.do("read p0 buf") == "ok 8"
    assert p.do("uffdio-move kid buf+1 u src") == "error EINVAL"
    p.do("exit kid")
    assert p.do("read p0 buf+1") == "ok 0"
    assert not len(p.state.userfaultfds)


@pytest.mark.parametrize(("kernel", "answer"), [("6.18", (0, 7)), ("7.3", (-EEXIST, "SIGSEGV"))])
def test_a_guard_is_replaced_by_a_copy_up_to_6_18(kernel: str, answer: tuple[object, object]) -> None:
    """pte_none_mostly() takes any marker for empty; pte_is_uffd_marker() of 7.3 does not. 6.18: measured."""
    machine = Machine(kernel)
    machine.map_private("anon", 2, at=100)
    machine.run(cpu_store(mm="p0", vpn=100, value=7))
    for call in (
        do_madvise(mm="p0", start=101, pages=1, advice="guard_install"),
        userfaultfd_open(mm="p0", uffd="u", features=("sigbus",)),
        userfaultfd_register(caller="p0", uffd="u", start=101, pages=1, modes=MODES["missing"]),
    ):
        assert machine.run(call).value == 0
    copy = userfaultfd_copy(caller="p0", uffd="u", start=101, pages=1, source_start=100)
    assert (machine.run(copy).value, machine.read(101)) == answer


def test_whoever_keeps_the_descriptor_of_a_process_that_has_ended_is_told_so() -> None:
    """The ranges are looked at first, then the address space; UFFDIO_MOVE asks before all that whose it is."""
    p = play("missing", "move")
    p.do("fork p0 kid\nexit p0")
    for call, answer in (
        ("copy kid src u src", "error ESRCH"),
        ("writeprotect kid src u wp", "error ESRCH"),
        ("register kid src u missing", "error ENOMEM"),
        ("unregister kid src u", "error ENOMEM"),
        ("move kid src u src", "error EINVAL"),
        ("wake kid src u", "ok"),
    ):
        assert p.do(f"uffdio-{call}") == answer


# -- poison -------------------------------------------------------------------------------------


def test_a_poisoned_page_is_sigbus_for_all_and_efault_for_gup() -> None:
    """mm/userfaultfd.c: mfill_atomic_pte_poison; mm/memory.c: handle_pte_marker (6.12); 6.18: compared with it."""
    p = play("missing wp")
    assert p.do("uffdio-poison p0 buf[0:2] u") == "ok"
    assert p.do("read p0 buf") == "signal SIGBUS"
    assert p.do("gup p0 buf+0 as=r") == "error EFAULT"
    assert p.do("madvise p0 buf populate_read") == "error EHWPOISON"
    assert p.do("uffdio-poison p0 buf+0 u") == "error EEXIST"
    p.do("fork p0 p1")
    assert p.do("read p1 buf+1") == "signal SIGBUS", "the child inherits it"
    assert p.do("uffdio-copy p0 buf+0 u src\nread p0 buf") == "ok 7"
    p.do("mprotect p0 buf r\nmadvise p0 buf dontneed")
    assert ("p0", 17) not in p.state.ptes
    assert_consistent(p.state)


def test_from_7_3_on_a_copy_does_not_cure_poison() -> None:
    assert (
        play("missing", settings="set kernel 7.3")
        .do("uffdio-poison p0 buf u\nuffdio-copy p0 buf u src")
        .endswith("EEXIST")
    )


def test_before_6_6_there_is_no_poison() -> None:
    assert play("missing", settings="set kernel 6.1").do("uffdio-poison p0 buf u") == "error EINVAL"


# -- writes that are noted without being asked about ---------------------------------------------


def marks(p: Play, start: int) -> list[bool]:
    """Of four pages, which are still write-protected."""
    entries = [p.state.ptes.get(("p0", vpn)) for vpn in range(start, start + 4)]
    return [entry is not None and bool(entry.bits & PAGE_UFFD_WP) for entry in entries]


@pytest.mark.parametrize("backing", ["anon private", "memfd:f shared", "file:d shared", "file:d private"])
def test_with_wp_async_a_write_only_takes_its_mark_away(backing: str) -> None:
    """mm/memory.c: do_wp_page, userfaultfd_wp_async(); any memory can be registered so (6.12)."""
    p = Play("memfd f 4\ndiskfile d 4\nprocess p0", f"mmap p0 buf {backing} rw 4\nwrite p0 buf 7\nread p0 buf+1")
    p.do("userfaultfd p0 u wp_async\nuffdio-register p0 buf u wp\nuffdio-writeprotect p0 buf u wp")
    start = p.state.labels["p0", "buf"].start
    assert marks(p, start) == [True] * 4, "also what is not there yet"
    assert p.do("write p0 buf 1\ngup p0 buf+2 as=r write pin") == "ok"
    assert marks(p, start) == [False, True, False, True]
    assert not p.state.userfaultfds["u"].waiting
    assert_consistent(p.state)


def test_with_wp_async_a_write_to_a_huge_page_splits_its_entry() -> None:
    """mm/memory.c: wp_huge_pmd, goto split (6.12)."""
    p = Play("process p0", "mmap p0 buf anon private rw 512 at=512\nmadvise p0 buf hugepage\nwrite p0 buf 7")
    p.do("userfaultfd p0 u wp_async\nuffdio-register p0 buf u wp\nuffdio-writeprotect p0 buf u wp\nwrite p0 buf+3 1")
    assert marks(p, 512) == [True, True, True, False]
    assert p.do("read p0 buf") == "ok 7"


def test_before_6_7_there_is_no_wp_async() -> None:
    assert Play("set kernel 6.1", "process p0").do("userfaultfd p0 u wp_async") == "error EINVAL"
