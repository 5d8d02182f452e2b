"""Buffers, whose owners never ask for a refcount: what may not refer to them, and what must be gone before a move."""

from pathlib import Path

import pytest

from model.invariants.case import case_of
from model.invariants.checker import Checker
from model.invariants.registry import FRAME_RULES
from model.invariants.rules.buffers import BufferFacts, at_rest
from model.invariants.violation import Violation
from model.memory.state import Transaction
from model.script.parser import parse
from model.script.runner import Runner
from model.session.session import Session
from tests.model.broken_machines import broken, changed

ROOT = Path(__file__).parents[2]

MAPPED = (
    "device nic",
    "process p0",
    "bo a 1 in=system exporter={exporter}",
    "mmap p0 buf bo:a shared rw 1",
    "write p0 buf 1",
)


def played(*lines: str, exporter: str = "qxl") -> Session:
    """A session after some commands, each state of it checked against a full look."""
    session = Session()
    for line in lines:
        node = session.run(line.format(exporter=exporter))
        assert node.outcome is not None
        assert node.outcome.status == "ok", f"{line}: {node.outcome}"
        assert node.checker == Checker.full(session.state), line
    return session


def broke(session: Session) -> list[str]:
    """What the last command broke."""
    return [violation.invariant for violation in session.node.context.violations]


def the(session: Session, invariant: str) -> Violation:
    return next(found for found in session.node.context.violations if found.invariant == invariant)


@pytest.mark.parametrize("exporter", ["qxl", "vgem", "system-heap", "mixed", "insert-page"])
def test_a_mapped_buffer_breaks_nothing(exporter: str) -> None:
    session = played(*MAPPED, "read p0 buf", exporter=exporter)
    assert all(not node.new for node in session.timeline.nodes)
    last = played(*MAPPED, "munmap p0 buf", "destroy a", exporter=exporter)
    assert all(not node.new for node in last.timeline.nodes)


@pytest.mark.parametrize("exporter", ["qxl", "mixed"])
def test_a_buffer_that_moves_takes_its_entries_away_first(exporter: str) -> None:
    session = played(*MAPPED, "move a vram", "read p0 buf", "write p0 buf 7", "move a system", exporter=exporter)
    assert session.run("read p0 buf").context.last.value == 7
    assert all(not node.new for node in session.timeline.nodes)


def test_a_reference_on_memory_whose_owner_does_not_ask_for_references() -> None:
    session = played(*MAPPED, "gup p0 buf as=r0 write by=nic", exporter="insert-page")
    assert broke(session) == ["unguarded-reference"]
    found = the(session, "unguarded-reference")
    assert found.severity == "hazard"
    assert found.subjects == ("frame:2", "ref:r0")
    assert found.message == (
        "The reference r0 holds frame 2, a page of buffer a. Its driver does not look at refcounts: when the "
        "buffer moves or is freed, this memory goes to somebody else, reference or not."
    )


def test_a_device_writes_into_the_next_buffer() -> None:
    session = played(
        *MAPPED, "gup p0 buf as=r0 write by=nic", "move a vram", "bo b 1 in=system", "dma r0 write 9",
        exporter="insert-page",
    )  # fmt: skip
    assert broke(session) == ["foreign-dma", "lost-write"]
    foreign = the(session, "foreign-dma")
    assert foreign.subjects == ("ref:r0", "frame:2", "pte:p0:16", "buffer:b")
    assert "By now that frame belongs to buffer b." in foreign.message
    assert "p0 reads page 0 of the video memory there" in the(session, "lost-write").message
    assert session.state.content[2] == 9


def test_it_is_still_foreign_when_the_first_buffer_is_gone() -> None:
    session = played(
        *MAPPED, "gup p0 buf as=r0 write by=nic", "munmap p0 buf", "destroy a", "bo b 1 in=system", "dma r0 write 9",
        exporter="insert-page",
    )  # fmt: skip
    assert broke(session) == ["foreign-dma"]
    assert "belongs to buffer b" in the(session, "foreign-dma").message


def test_while_the_buffer_stays_where_it_is_its_device_may_write() -> None:
    assert broke(played(*MAPPED, "gup p0 buf as=r0 write by=nic", "dma r0 write 9", exporter="insert-page")) == []


def test_an_exporter_that_forgets_its_entries() -> None:
    session = played(*MAPPED, "move a vram", exporter="no-zap")
    assert broke(session) == ["stale-mapping"]
    assert the(session, "stale-mapping").message == (
        "p0 buf (page 16) shows page 0 of buffer a, which is in page 0 of the video memory, but its entry still leads "
        "to frame 2. Frame 2 is the old memory of the buffer: p0 reads and writes it without a fault."
    )
    session.run("bo b 1 in=system")
    session.run("write p0 buf 3")
    assert broke(session) == ["foreign-access"]
    assert the(session, "foreign-access").message.endswith(
        "through the entry that is there. That frame belongs to buffer b."
    )
    session.run("munmap p0 buf")
    assert session.violations == ()


def test_an_exporter_that_forgets_the_tlbs() -> None:
    session = played(*MAPPED, "move a vram", exporter="no-flush")
    assert broke(session) == ["stale-tlb"]
    session.run("bo b 1 in=system")
    session.run("write p0 buf 3")
    assert broke(session) == ["foreign-access"]
    assert "through a translation that only a TLB remembers" in the(session, "foreign-access").message


def test_a_frame_that_is_freed_behind_its_drivers_back_gets_a_second_owner() -> None:
    lines = ("set ttm-refcount zero", *MAPPED, "grab p0 buf as=g by=nic", "put g")
    session = played(*lines)
    assert broke(session) == ["freed-while-mapped"]
    assert "page 0 of buffer a and the special entry of p0 buf (page 16) still point at it" in (
        the(session, "freed-while-mapped").message
    )
    session.run("process p1")
    assert broke(session) == ["double-owner"]
    assert "is in use as pgtable memory now (the page tables of p1)" in the(session, "double-owner").message
    session.run("write p0 buf 66")
    assert broke(session) == ["foreign-access"]
    assert the(session, "foreign-access").message.endswith("That frame belongs to the page tables of p1.")


def test_without_the_mangled_count_the_same_grab_only_leaves_a_hazard() -> None:
    session = played(*MAPPED, "grab p0 buf as=g by=nic")
    assert broke(session) == ["unguarded-reference"]
    session.run("put g")
    assert session.violations == ()


def test_a_blind_grab_ignores_the_read_only_bit_and_kvms_walk_does_not() -> None:
    lines = ("device nic", "process p0", "bo a 1 in=system", "mmap p0 buf bo:a shared r 1", "read p0 buf")
    session = played("set kernel 6.1", *lines, "grab p0 buf as=r0 by=nic", "dma r0 write 9")
    assert broke(session) == ["foreign-dma"]
    assert "belongs to buffer a, which p0 may only read" in the(session, "foreign-dma").message
    assert broke(played("set kernel 6.1", *MAPPED, "grab p0 buf as=r0 by=nic", "dma r0 write 9")) == []
    # Who has asked for the permission may write as long as he holds the page, as after get_user_pages().
    asked = ("follow p0 buf as=r0 by=nic", "mprotect p0 buf r", "dma r0 write 9")
    assert broke(played("set kernel 6.1", *MAPPED, *asked)) == []


def test_an_importer_that_follows_moves_and_one_that_has_the_buffer_pinned() -> None:
    shared = (*MAPPED, "export a as=d")
    session = played(*shared, "attach d nic dynamic", "map d nic as=m", "move a vram", "dma m write 5")
    assert all(not node.new for node in session.timeline.nodes)
    assert session.run("read p0 buf").context.last.value == 5
    static = played(*shared, "attach d nic", "map d nic as=m", "dma m write 6")
    refused = static.run("move a vram")
    assert refused.outcome is not None
    assert refused.outcome.errno == "EINVAL"
    assert static.violations == ()


def test_pages_of_a_block_are_counted_as_the_allocator_counts_them() -> None:
    session = played("process p0", "bo a 7 in=system", "mmap p0 buf bo:a shared rw 7", "write p0 buf+6 1")
    assert session.violations == ()
    counts = [session.state.frames[pfn].refcount for pfn in session.state.buffers["a"].frames]
    assert counts == [1, 0, 0, 0, 1, 0, 1]


def test_many_frames_alike_are_counted_not_listed() -> None:
    session = played(
        "device nic", "process p0", "bo a 8 in=system", "mmap p0 buf bo:a shared rw 8",
        *(f"read p0 buf+{page}" for page in range(8)), "grab p0 buf[0:8] as=g by=nic",
    )  # fmt: skip
    found = [violation for violation in session.violations if violation.invariant == "unguarded-reference"]
    assert len(found) == 4
    assert found[-1].message.endswith("(4 more frames likewise)")


def test_a_frame_that_two_buffers_list_has_two_owners() -> None:
    state = played("bo a 1 in=system").state
    assert broken(state) == []
    twice = changed(state, lambda tx: tx.buffers.__setitem__("b", state.buffers["a"]))
    assert "double-owner" in broken(twice)


def test_a_block_that_falls_apart_is_looked_at_page_by_page() -> None:
    """Its first page counts for all of the block. Without one each page should count itself, and the others do not."""
    state = played("bo a 4 in=system").state
    first, *others = state.buffers["a"].frames
    tx = Transaction(state)
    tx.frames.update(first, order=0)
    after, changes = tx.commit()
    followed = Checker.full(state).follow(after, changes)
    assert followed == Checker.full(after)
    assert {pfn for rule, pfn in followed.broken.frames if rule == "reference-accounting"} == set(others)


@pytest.mark.parametrize(
    ("miscounted", "invariant"), [({"mapcount": 1}, "map-accounting"), ({"pins": -1}, "underflow")]
)
def test_a_page_at_rest_whose_counts_are_wrong_is_seen(miscounted: dict[str, int], invariant: str) -> None:
    """Only its buffer has the page, and its refcount is right: what is wrong with the other counts must not pass."""
    state = played("bo a 1 in=system").state
    (pfn,) = state.buffers["a"].frames
    assert broken(changed(state, lambda tx: tx.frames.update(pfn, **miscounted))) == [invariant]


@pytest.mark.parametrize("path", sorted((ROOT / "lessons/scenes").glob("*.pte")), ids=lambda path: path.stem)
def test_a_page_at_rest_breaks_no_rule(path: Path) -> None:
    """The short cut for buffers of many pages never hides anything."""
    runner = Runner()
    for command in parse(path.read_text(encoding="utf-8")):
        runner.perform(command)
        scene = runner.checker.scene
        for pfn in scene.state.frames:
            case = case_of(scene, pfn)
            resting = at_rest(BufferFacts(scene), pfn, scene.frame(pfn))
            assert not resting or not any(rule.broken(case) for rule in FRAME_RULES.values())
