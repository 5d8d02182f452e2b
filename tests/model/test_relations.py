"""Who refers to whom, from both ends."""

import pytest

from model.invariants.subjects import parse
from model.session.relations import Relations, refers, subjects
from model.session.session import Session

SCENE = (
    "device nic",
    "memfd f 4",
    "process p0",
    "mmap p0 buf anon private rw 4",
    "mmap p0 shm memfd:f shared rw 4",
    "write p0 buf 1",
    "write p0 shm+1 2",
    "gup p0 buf as=r0 write pin by=nic",
    "fork p0 p1",
    "read p1 shm+1",
    "bo b 2 in=system",
    "export b as=d",
    "attach d nic dynamic",
    "map d nic as=m",
    "mmap p0 gem bo:b shared rw 2",
    "write p0 gem+1 3",
    "begin t madvise p1 buf dontneed",
    "step t 2",
)


@pytest.fixture(name="session", scope="module")
def session_fixture() -> Session:
    session = Session()
    for line in SCENE:
        session.run(line)
    return session


def here(session: Session, about: str) -> Relations:
    """Both ends where the session stands."""
    return refers(session.node.checker.scene, about)


def test_a_frame_lights_up_whoever_holds_it(session: Session) -> None:
    pfn = session.state.ptes["p0", 16].pfn
    assert here(session, f"frame:{pfn}") == Relations(frozenset(), frozenset({"pte:p0:16", "ref:r0"}))
    shared = session.state.page_cache["f", 1]
    assert {"cache:f:1", "pte:p0:22", "pte:p1:22"} <= here(session, f"frame:{shared}").by


def test_from_the_process_down_to_the_frame(session: Session) -> None:
    assert {"vma:p0:16", "vma:p0:21"} <= here(session, "process:p0").to
    assert here(session, "vma:p0:16").to == {"pte:p0:16"} | {"pte:p0:17", "pte:p0:18", "pte:p0:19"}
    assert {"file:f", "pte:p0:22"} <= here(session, "vma:p0:21").to
    entry = here(session, "pte:p0:16")
    assert entry.to == {f"frame:{session.state.ptes['p0', 16].pfn}"}
    assert {"vma:p0:16", "ref:r0"} <= entry.by


def test_references_devices_files_tasks_and_cpus(session: Session) -> None:
    assert here(session, "device:nic").to == {"ref:r0", "ref:m", "attachment:d:nic"}
    assert here(session, "ref:r0").by == {"device:nic"}
    assert "pte:p0:16" in here(session, "ref:r0").to
    assert here(session, "file:f").by == {"vma:p0:21", "vma:p1:21"}
    assert "cache:f:1" in here(session, "file:f").to
    assert here(session, "cache:f:1").by == {"file:f"}
    assert "process:p1" in here(session, "task:t").to
    assert "task:t" in here(session, "process:p1").by
    assert here(session, "lock:mmap_lock:p1") == Relations(frozenset({"task:t"}), frozenset())
    assert "lock:mmap_lock:p1" in here(session, "task:t").by
    cached = next(iter(here(session, f"cpu:{session.state.processes['p1'].cpu}").to))
    assert cached.startswith("tlb:")
    assert {parse(target)[0] for target in here(session, cached).to} == {"frame", "pte"}


def test_buffers_and_what_is_made_of_them(session: Session) -> None:
    first, second = session.state.buffers["b"].frames
    assert here(session, "buffer:b") == Relations(
        frozenset({"file:bo:b", f"frame:{first}", f"frame:{second}"}), frozenset({"dmabuf:d"})
    )
    assert here(session, "dmabuf:d") == Relations(frozenset({"buffer:b"}), frozenset({"attachment:d:nic", "ref:m"}))
    assert here(session, "attachment:d:nic") == Relations(frozenset({"dmabuf:d"}), frozenset({"device:nic"}))
    assert here(session, "ref:m").to == {"dmabuf:d", f"frame:{first}", f"frame:{second}"}
    assert {"buffer:b", "ref:m", "pte:p0:27"} <= here(session, f"frame:{second}").by
    assert "buffer:b" in here(session, "file:bo:b").by


@pytest.mark.parametrize("about", ["frame:999", "pte:p0:999", "ref:nobody", "vma:x:1", "nonsense", "frame:x", "pte:p0"])
def test_what_does_not_exist_refers_to_nothing(session: Session, about: str) -> None:
    assert here(session, about) == Relations(frozenset(), frozenset())


def test_every_arrow_has_two_ends(session: Session) -> None:
    scene = session.node.checker.scene
    for about in subjects(session.state):
        for target in refers(scene, about).to:
            if parse(target)[0] != "pte" or target in set(subjects(session.state)):
                assert about in refers(scene, target).by, f"{about} → {target}"
        for source in refers(scene, about).by:
            assert about in refers(scene, source).to, f"{source} → {about}"


def test_a_swap_slot_and_a_notifier_have_both_ends() -> None:
    session = Session()
    for line in ("process p0", "device gpu", "mmap p0 buf anon private rw 2", "write p0 buf 1", "reclaim p0 buf"):
        session.run(line)
    slot = session.state.ptes["p0", 16].pfn
    assert here(session, f"swap:{slot}").by == {"pte:p0:16"}
    assert here(session, "pte:p0:16").to == {f"swap:{slot}"}
    session.run("mirror p0 buf+1 as=m by=gpu")
    assert here(session, "notifier:p0") == Relations(frozenset({"ref:m"}), frozenset({"process:p0"}))
    assert f"swap:{slot}" in set(subjects(session.state))


def test_a_lock_lights_up_its_holder_and_whoever_waits_for_it() -> None:
    session = Session()
    for line in ("process p0", "mmap p0 buf anon private rw 1", "begin a mprotect p0 buf r", "begin b munmap p0 buf"):
        session.run(line)
    while "lock:mmap_lock:p0" not in set(subjects(session.state)):
        session.step_task("a")
    session.step_task("b", 3)
    assert here(session, "lock:mmap_lock:p0") == Relations(frozenset({"task:a"}), frozenset({"task:b"}))
    assert "lock:mmap_lock:p0" in here(session, "task:b").to
