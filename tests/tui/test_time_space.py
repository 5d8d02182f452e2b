"""Time and space: what two lanes share, and whose belief somebody else has broken."""

from model.script.parser import parse
from model.search.bfs import explore
from model.search.path_interleaving import of_path, steps_among
from model.search.paths import best_path
from model.search.problem import set_up
from model.session.interleaving import Interleaving, of_timeline, recent
from model.session.session import Session
from model.session.step_reads import StateEntry, reads_of
from model.session.timeline import Timeline
from tui.views.glyphs import ASCII, UNICODE
from tui.views.time_space import time_space

PTE = StateEntry("ptes", ("p0", 16))
PINNED = (
    "device nic",
    "process p0",
    "mmap p0 buf anon private rw 1",
    "write p0 buf 1",
    "gup p0 buf as=r write pin by=nic",
)


def history(*lines: str) -> Timeline:
    session = Session()
    for command in parse("\n".join(lines)):
        session.perform(command)
    return session.timeline


def stretch(timeline: Timeline, lanes: int) -> Interleaving:
    return of_timeline(timeline, recent(timeline, lanes), timeline.here.number)


def names(found: Interleaving, numbers: tuple[int, ...]) -> list[str]:
    return [found.steps[number].step for number in numbers]


def test_a_step_is_made_again_to_see_what_it_looks_at() -> None:
    timeline = history(*PINNED)
    path = timeline.path_to(timeline.here)
    read = next(node for node in path if node.stepped and node.stepped.step == "read_pte")
    before = timeline.nodes[read.parent].state
    assert PTE in reads_of(before, "main")
    assert before.fingerprint == timeline.nodes[read.parent].state.fingerprint
    assert not any(entry.table == "tasks" for entry in reads_of(before, "main"))


def test_only_what_two_lanes_touch_and_one_writes_is_shared() -> None:
    found = stretch(history(*PINNED, "madvise p0 buf dontneed"), 2)
    assert [lane.command for lane in found.lanes] == ["gup p0 buf as=r write pin by=nic", "madvise p0 buf dontneed"]
    shared = {one.entry for one in found.shared}
    assert {PTE, StateEntry("frames", 5)} <= shared
    assert StateEntry("content", 5) not in shared, "neither call looks at the byte"
    assert not any(entry.table == "locks" for entry in shared), "they never overlap: no lock keeps anybody waiting"


def test_a_pin_believes_in_its_pte_until_it_is_put_and_each_use_after_the_zap_is_stale() -> None:
    lines = (*PINNED, "madvise p0 buf dontneed", "dma r write 66", "put r")
    found = stretch(history(*lines), 4)
    (trust,) = (one for one in found.trusts if one.reference == "r" and one.entry == PTE)
    assert names(found, (trust.since, trust.broken)) == ["recheck_pte", "zap_pte_range"]
    assert found.lanes[found.steps[trust.until].lane].command == "put r"
    assert names(found, trust.stale) == ["transfer"]


def test_a_trust_that_nobody_breaks_is_not_told() -> None:
    assert not stretch(history(*PINNED, "read p0 buf", "dma r write 66"), 3).trusts


def test_neighbours_that_are_touched_alike_are_one_column() -> None:
    lines = ("process p0", "mmap p0 buf anon private rw 8 populate", "madvise p0 buf dontneed")
    found = stretch(history(*lines), 2)
    ptes = [one for one in found.shared if one.entry.table == "ptes"]
    assert [(one.entry, one.size) for one in ptes] == [(PTE, 8)]


def test_tasks_in_flight_are_lanes_of_their_own_and_locks_stand_between_them() -> None:
    lines = (
        *PINNED[:4],
        "begin one mprotect p0 buf r",
        "begin two munmap p0 buf",
        "step one 3",
        "step two 3",
        "step one 1",
    )
    found = stretch(history(*lines), 2)
    assert [lane.command for lane in found.lanes] == ["mprotect p0 buf r", "munmap p0 buf"]
    assert StateEntry("locks", ("mmap_lock", "p0")) in {one.entry for one in found.shared}


def test_a_path_of_a_search_is_drawn_from_its_own_moves() -> None:
    lines = (*PINNED, "may 1 madvise p0 buf dontneed", "may 1 dma r write 66")
    problem = set_up(parse("\n".join(lines)))
    search = explore(problem)
    path = best_path(search, ("lost-write", "corruption"))
    found = of_path(problem, path.actions)
    assert len(found.steps) == steps_among(path.actions) == path.steps
    assert [broken.invariant for broken in found.steps[-1].violations] == ["lost-write"]


def test_every_row_fits_and_the_terminal_can_show_it() -> None:
    found = stretch(history(*PINNED, "madvise p0 buf dontneed", "write p0 buf 2", "dma r write 66"), 4)
    for width in (60, 76, 100, 120, 200):
        for glyphs in (UNICODE, ASCII):
            rows = time_space(found, width, glyphs)
            assert max(len(row.text.rstrip()) for row in rows) <= width
            assert glyphs is UNICODE or all(row.text.isascii() for row in rows)
            shown = "\n".join(row.text for row in rows)
            assert shown.index("zap_pte_range") < shown.index("stale-reference") < shown.index("lost-write")


def test_a_long_name_runs_into_lanes_beside_it_in_which_nothing_goes_on() -> None:
    timeline = history(*PINNED, "madvise p0 buf dontneed", "dma r write 65")
    rows = [line.text for line in time_space(stretch(timeline, 3), 96, UNICODE)]
    (grabs,) = (row for row in rows if "try_grab_folio_fast ─" in row)
    assert grabs.index("▶1025") == next(row for row in rows if "f5 count" in row).index("f5 count")
    assert any(row.startswith("┊               ●⋮tlb_batch_pages_flush ─") for row in rows)


def test_nothing_has_run_yet() -> None:
    rows = time_space(stretch(history(), 3), 80, UNICODE)
    assert [row.text for row in rows] == ["Nothing has run here yet."]
