"""The search finds what is there, all of it, and nothing else: it equals a search that remembers nothing."""

import sys

import pytest

from benchmarks import gup_zap
from model.script.parser import parse
from model.script.runner import Runner
from model.search.bfs import Search, SearchProgress, explore
from model.search.packed import BitLayout, Footprint
from model.search.paths import best_path, replay
from model.search.problem import SearchProblem, set_up
from model.search.report import report
from model.search.table_growth import growth_ahead
from model.text.problems import ScriptError
from tests.model import naive_search
from tui.jobs import limits

STALE_PIN = """
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""
TWO_READERS = """
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 2 read p0 buf
"""
FORK_AND_WRITE = """
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 fork p0 kid
may * write kid buf 6
"""
BUFFER_MOVES = """
set kernel 6.1
device nic
process p0
bo b 1
mmap p0 win bo:b shared rw 1
write p0 win 7
may 1 gup p0 win as=r write by=nic fast-only
may 1 move b vram
"""
BEGUN_IN_THE_SCENE = """
process p0
mmap p0 buf anon private rw 2
begin early write p0 buf 1
step early 3
may 1 munmap p0 buf
"""
LABEL_MOVES = """
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 mremap p0 buf pages=1 to=40 maymove
may 1 read p0 buf
"""
BUFFER_MAPPED_AS_IT_MOVES = """
device nic
process p0
bo b 1 in=system
export b as=d
attach d nic dynamic
may 1 map d nic as=m
may 1 move b vram
"""
SCENES = {
    "a pin goes stale": STALE_PIN,
    "two of the same command": TWO_READERS,
    "a command without limit, and a process that comes": FORK_AND_WRITE,
    "a buffer moves": BUFFER_MOVES,
    "a task that is under way": BEGUN_IN_THE_SCENE,
    "a label that moves": LABEL_MOVES,
    "a device maps a buffer that moves: the driver looks through all mappings": BUFFER_MAPPED_AS_IT_MOVES,
}


def scene_of(text: str) -> SearchProblem:
    return set_up(parse(text))


def search_of(text: str) -> Search:
    return explore(scene_of(text))


@pytest.mark.parametrize("name", SCENES)
def test_equals_a_search_that_remembers_nothing(name: str) -> None:
    scene = scene_of(SCENES[name])
    search = explore(scene, symmetry=False)
    assert search.complete
    assert naive_search.search(scene) == (len(search.seen), search.transitions, search.distance)


@pytest.mark.parametrize("name", SCENES)
def test_every_violation_is_reached_again_on_the_plain_kernel(name: str) -> None:
    search = search_of(SCENES[name])
    for prop, distance in search.distance.items():
        path = best_path(search, prop)
        done = list(replay(search.scene, path.actions))
        assert path.steps == distance
        assert prop in {(broken.invariant, broken.severity) for broken in done[-1].violations}


def test_states_unpack_to_what_the_plain_kernel_has() -> None:
    search = search_of(STALE_PIN)
    path = best_path(search, ("lost-write", "corruption"))
    for done, packed in zip(replay(search.scene, path.actions), path.states[1:], strict=True):
        assert search.cache.state(packed).to_json() == done.state.to_json()


def test_the_script_of_a_finding_breaks_the_rule_when_it_is_run() -> None:
    for finding in report(search_of(STALE_PIN)).findings:
        runner = Runner()
        accounts = [runner.perform(command) for command in parse("\n".join(finding.script))]
        assert finding.prop in {(broken.invariant, broken.severity) for broken in accounts[-1].violations}
        assert sum(broken.invariant == finding.prop[0] for account in accounts for broken in account.violations) == 1


def test_a_stale_pin_loses_a_write_in_some_schedules_only() -> None:
    found = report(search_of(STALE_PIN))
    assert [finding.prop for finding in found.findings] == [
        ("lost-write", "corruption"),
        ("stale-reference", "hazard"),
    ]
    assert found.verdicts["lost-write"] == "sometimes"
    assert found.verdicts["underflow"] == "never"
    assert found.corrupts


def test_what_happens_in_every_schedule_is_always() -> None:
    found = report(
        search_of("""
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r write
        may 1 munmap p0 buf
        """)
    )
    assert found.verdicts["stale-reference"] == "always"
    assert not found.corrupts


def test_what_is_broken_from_the_start_is_always_with_no_steps() -> None:
    found = report(
        search_of("""
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r write
        munmap p0 buf
        may 1 read p0 @16
        """)
    )
    [finding] = found.findings
    assert finding.prop == ("stale-reference", "hazard")
    assert (finding.verdict, finding.shortest.steps) == ("always", 0)


def test_a_single_task_has_one_schedule() -> None:
    counted = report(search_of("process p0\nmmap p0 buf anon private rw 1\nmay 1 write p0 buf 1")).counted
    assert counted is not None
    assert counted.schedules == 1


def test_schedules_of_two_independent_tasks_are_their_shuffles() -> None:
    """A CPU load of an unmapped page takes n micro-steps; with the start of the command n + 1 moves each."""
    text = "process p0 cpu=0\nprocess p1 cpu=1\nmay 1 read p0 @16\n"
    one = search_of(text)
    two = report(search_of(text + "may 1 read p1 @16"))
    actions = one.transitions
    shuffles = 1
    for number in range(1, actions + 1):
        shuffles = shuffles * (actions + number) // number
    assert two.counted is not None
    assert two.counted.schedules == shuffles


def test_the_bound_ends_the_search() -> None:
    search = explore(scene_of(STALE_PIN), most_states=50)
    assert not search.complete
    assert 50 < len(search.seen) <= 55
    assert report(search).verdicts["underflow"] is None


def test_progress_is_told_level_by_level_and_can_end_the_search() -> None:
    depths: list[int] = []

    def three_levels(progress: SearchProgress) -> bool:
        depths.append(progress.depth)
        return len(depths) < 3

    assert not explore(scene_of(STALE_PIN), progress=three_levels).complete
    assert depths == [1, 2, 3]


def test_stops_at_the_first_corruption() -> None:
    whole = search_of(STALE_PIN)
    first = explore(scene_of(STALE_PIN), stop=lambda prop: prop[1] == "corruption")
    assert first.distance == whole.distance
    assert len(first.seen) < len(whole.seen)


def test_tasks_that_wait_for_each_other_are_noticed() -> None:
    assert search_of("process p0\nmay 1 exit p0").stuck is None
    assert search_of("process p0\nmay 2 exit p0").stuck is not None


def test_nothing_may_happen() -> None:
    with pytest.raises(ScriptError, match="nothing may happen"):
        scene_of("process p0")


def test_what_is_remembered_is_far_less_than_what_is_done() -> None:
    search = search_of(STALE_PIN + "may 1 read p0 buf\n")
    assert search.cache.runs * 5 < search.transitions


def test_a_step_that_looks_at_another_task_each_time_does_not_depend_on_all_of_them() -> None:
    search = explore(set_up(parse(gup_zap.script(2))), symmetry=False)  # the flush waits for whichever walker is there
    assert search.cache.runs * 20 < search.transitions


def test_commands_of_one_process_run_on_several_cpus() -> None:
    fast = "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\nmay 1 gup p0 buf as=r write fast\n"
    spread = search_of(fast + "may 1 madvise p0 buf dontneed\n")
    named = search_of(fast + "may 1 cpu=1 madvise p0 buf dontneed\n")
    shared = search_of(fast + "may 1 cpu=0 madvise p0 buf dontneed\n")
    drawn = [report(search).counted for search in (spread, named, shared)]
    assert drawn[0] == drawn[1]
    assert drawn[0] is not None
    assert drawn[2] is not None
    assert drawn[0].schedules > 2 * drawn[2].schedules, "with interrupts off on one CPU nobody else runs there"
    (stale, *_) = report(spread).findings
    assert "begin madvise cpu=1 madvise p0 buf dontneed" in stale.script


def test_a_thread_that_the_machine_has_no_cpu_for() -> None:
    with pytest.raises(ScriptError, match="CPU"):
        scene_of("process p0\nmmap p0 buf anon private rw 1\nmay 1 cpu=2 read p0 buf")


ONE_MOVES_TO_AND_FRO = """
process p0
bo b 1 in=gtt exporter=insert-page
mmap p0 buf bo:b shared rw 1
write p0 buf 1
may 1 read p0 buf
may * move b vram
may * move b gtt
"""
TWO_MOVE = """
bo b 1 in=gtt exporter=insert-page
bo c 1 in=gtt exporter=insert-page
may * move b vram
may * move b gtt
may * move c vram
"""


@pytest.mark.parametrize("text", [ONE_MOVES_TO_AND_FRO, TWO_MOVE])
def test_moves_without_end_lead_to_the_same_states_again(text: str) -> None:
    search = explore(scene_of(text), most_states=50_000)
    assert search.complete, "what differs in nothing but how often a buffer was used is one state"


def test_who_depends_on_a_whole_table_depends_on_entries_that_come_later() -> None:
    table, other = (BitLayout().packed_table() for _ in range(2))
    whole, one = Footprint(), Footprint()
    whole.include((), (table,))
    one.include((table.component("first"),))
    later = table.component("later").code("a value")
    assert later & whole.mask == later, "the table has an entry more, and whoever walks it sees that"
    assert not later & one.mask
    other.component("later").code("a value")
    assert whole.mask == table.component("later").mask


@pytest.mark.parametrize("table", [set(), {}])
def test_that_a_table_will_grow_is_known_before_it_does(table: set[int] | dict[int, int]) -> None:
    """And how much it takes until the old one is gone: what a limit of memory must leave."""
    foretold, size, grown = 0, sys.getsizeof(table), 0
    for number in range(200_000):
        if number % 1000 == 0:
            foretold = growth_ahead(table, 1000)
        if isinstance(table, set):
            table.add(number)
        else:
            table[number] = 0
        if (now := sys.getsizeof(table)) != size:
            grown += number > 50_000
            assert number <= 50_000 or (2 * size <= foretold + 200 and now <= foretold + 200), number
            size = now
    assert grown >= 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc how much it takes now")
def test_a_search_ends_before_its_tables_grow_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 0.0)
    limit = limits.Limits(100, lambda _: None)
    assert limit.allow(SearchProgress(1, 1, 1))
    assert not limit.allow(SearchProgress(1, 1, 1, 4096 * limits.MIB))
    assert "about to take more than 100 MiB" in limit.ended
