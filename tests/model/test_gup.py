"""The slow get_user_pages(): what it refuses by VMA, by entry and by page, and what it does before a pin."""

import pytest

from model.kernel.mm.gup_longterm import gup_slow
from model.memory.errno import ENOMEM
from model.memory.flags import FOLL_GET, FOLL_TOUCH, FOLL_WRITE
from tests.model.broken_machines import changed
from tests.model.machine import Machine
from tests.model.play import Play

HEAD = "device nic\nprocess p0"
SHARED_WITH_A_CHILD = "mmap p0 m anon private rw 1\nwrite p0 m 1\nfork p0 kid"


def test_storage_may_be_pinned_only_not_for_long() -> None:
    """mm/gup.c: check_vma_flags (6.12), FOLL_LONGTERM and vma_is_fsdax()."""
    play = Play(HEAD, "dax d 1\nmmap p0 m dax:d shared rw 1\nwrite p0 m 1")
    assert play.do("gup p0 m as=r slow write pin by=nic") == "ok"
    assert play.do("gup p0 m as=q slow write pin longterm by=nic") == "error EOPNOTSUPP"


def test_force_writes_past_a_permission_only_where_it_gets_a_copy() -> None:
    """A debugger may write to private memory that is read-only; what is shared would change for everybody."""
    play = Play(HEAD, "memfd f 1\nmmap p0 s memfd:f shared rw 1\nmmap p0 m memfd:f private rw 1\nwrite p0 s 1")
    play.do("mprotect p0 s r\nmprotect p0 m r")
    assert play.do("force-write p0 p0 m 5") == "ok"
    assert play.do("read p0 m") == "ok 5"
    assert play.do("force-write p0 p0 s 6") == "error EIO"
    assert play.do("pread f 0") == "ok 1"


def test_a_pin_for_reading_first_makes_a_shared_page_the_processes_own() -> None:
    """mm/gup.c: gup_must_unshare (since 5.19): else the next write would part the process from its pin."""
    play = Play(HEAD, SHARED_WITH_A_CHILD)
    play.do("gup p0 m as=r slow pin by=nic")
    assert play.do("expect differ p0 m kid m and same p0 m r and exclusive p0 m") == "ok"
    # Unsharing is no write: the next store still has to ask.
    assert play.do("expect not writable p0 m") == "ok"
    play.do("write p0 m 2")
    assert play.do("expect same p0 m r and content r 2") == "ok"
    assert play.broken() == set()


def test_a_plain_reference_for_reading_shares_on() -> None:
    play = Play(HEAD, SHARED_WITH_A_CHILD)
    play.do("gup p0 m as=r slow by=nic")
    assert play.do("expect same p0 m kid m and same p0 m r") == "ok"


@pytest.mark.parametrize("how", ["slow", "fast"])
def test_a_short_pin_for_reading_leaves_a_files_page_where_it_is(how: str) -> None:
    play = Play(HEAD, "memfd f 1\nmmap p0 s memfd:f shared rw 1\nmmap p0 m memfd:f private rw 1\nread p0 m\nread p0 s")
    play.do(f"gup p0 m as=r {how} pin by=nic")
    assert play.do("expect same p0 m p0 s and same p0 m r") == "ok"


def test_a_count_of_0_warns_and_yields_nothing() -> None:
    """mm/gup.c: try_grab_folio (6.12): WARN_ON_ONCE(folio_ref_count(folio) <= 0), -ENOMEM."""
    machine = Machine()
    machine.map_private("anon", 1, at=100)
    machine.write(100, 1)
    pfn = machine.state.ptes["p0", 100].pfn
    machine.state = changed(machine.state, lambda tx: tx.frames.update(pfn, refcount=0))
    assert machine.run(gup_slow("p0", 100, 1, FOLL_GET | FOLL_WRITE | FOLL_TOUCH)).value == -ENOMEM
    assert machine.frame(100).refcount == 0


def test_while_it_walks_nobody_changes_the_address_space() -> None:
    """It has mmap_lock for reading: others may read too, munmap() has to wait."""
    play = Play(HEAD, "mmap p0 m anon private rw 1\nwrite p0 m 1\nbegin G cpu=1 gup p0 m as=r slow by=nic")
    while not any("G" in lock.readers for lock in play.state.locks.values()):
        play.do("step G")
    assert play.do("munmap p0 m") == "blocked on mmap_lock of p0, held by G"
    assert play.do("madvise p0 m cold") == "ok"
    play.do("finish G")
    assert play.do("munmap p0 m") == "ok"
