"""The reduced search comes to the verdicts and to the ends of one that visits every state and remembers nothing."""

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.gup_zap import script
from benchmarks.search import SIX_COMMANDS
from model.invariants.checker import Checker
from model.memory.records import Cpu
from model.memory.state import Tables, Transaction
from model.script.parser import parse
from model.search.bfs import Property, Search, SearchProgress, explore
from model.search.code_places import NONE_HELD, CodePlace, Held, later
from model.search.final_states import is_end
from model.search.packed import ENTRY, BitLayout
from model.search.persistent_sets import Live
from model.search.problem import set_up
from model.search.read_tracking import Reads, TrackedIndex, tracked_state
from model.search.reduction import Reduction, Waiting
from model.search.report import report
from model.search.strategy import search_scene
from model.search.touch import Touch
from tests.model.reduced_search import reduced, same_as_everything
from tests.model.test_search_random import random_search

SCENES = Path(__file__).parent / "scenes"


@pytest.mark.parametrize("seed", range(6))
def test_same_verdicts_and_ends_as_a_search_that_remembers_nothing(seed: int) -> None:
    same_as_everything(random_search(seed, symmetry=False).scene)


@pytest.mark.parametrize("name", ["missing-flush", "stale-pin", "udmabuf-punched"])
def test_scenes_of_real_races(name: str) -> None:
    scene = set_up(parse((SCENES / f"{name}.pte").read_text(encoding="utf-8")))
    whole = explore(scene)
    found = reduced(scene, symmetry=True)
    assert found.kinds == whole.found.keys()
    ends = {packed for packed in whole.seen if is_end(whole.cache, packed)}
    assert {whole.cache.state(one).to_json() for one in ends} == {
        found.cache.state(one).to_json() for one in found.ends
    }
    assert len(found.before) < 0.7 * len(whole.seen)


def test_what_is_too_large_to_count_is_reduced() -> None:
    found = search_scene(set_up(parse(SIX_COMMANDS)))
    assert found.reduction is not None
    assert found.reduction.complete
    assert not found.search.complete
    assert len(found.reduction.before) <= 12_000, "of 193,850"
    told = report(*found_in_order(found.search, found.reduction))
    assert told.complete
    assert set(told.verdicts.values()) == {"never"}


@pytest.mark.parametrize("name", ["missing-flush", "stale-pin", "stale-get-fork"])
def test_every_state_that_one_task_has_passed_alone_can_be_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where somebody turns out to have come to a place of which too little was known, none may be forgotten."""
    seen: set[int] = set()
    go_on, start_over = Reduction._go_on, Reduction._start_over

    def noted(self: Reduction, live: Live, packed: int, mover: int, turned: int) -> None:
        seen.add(packed)
        go_on(self, live, packed, mover, turned)

    def forgotten(self: Reduction) -> list[Waiting]:
        seen.clear()
        return start_over(self)

    monkeypatch.setattr(Reduction, "_go_on", noted)
    monkeypatch.setattr(Reduction, "_start_over", forgotten)
    found = reduced(set_up(parse((SCENES / f"{name}.pte").read_text(encoding="utf-8"))), symmetry=True)
    passed = {step.after for arrival in found.before.values() for step in found.passed(arrival)}
    assert len(found.before) < len(seen)
    assert seen <= found.before.keys() | passed


def found_in_order(search: Search, reduction: Reduction) -> tuple[Search, str, None, Reduction]:
    return search, "", None, reduction


@pytest.mark.parametrize("seed", range(6))
def test_a_way_that_only_the_reduced_search_knows_breaks_the_rule(seed: int) -> None:
    scene = random_search(seed, symmetry=False).scene
    start = Search(scene)  # nothing searched breadth first
    found = Reduction(scene, start.cache, start.symmetry)
    found.run()
    told = report(start, "", None, found)
    worst: dict[str, Property] = {}
    for finding in told.findings:  # each way is walked on the plain kernel as it is found
        worst[finding.prop[0]] = finding.prop
        assert finding.verdict in {"sometimes", "always"}
    assert worst.keys() == {name for name, _ in found.kinds}


def test_whoever_waits_for_a_lock_or_for_its_cpu_is_not_tried_in_every_order() -> None:
    found = reduced(set_up(parse(script(2))), symmetry=True)
    assert {name for name, _ in found.kinds} == {"lost-write", "stale-reference"}
    assert len(found.before) < 2_200, "of 13,000; 3,600 without locks and sections"


HELD_UP = """\
process p0 cpu=0
process p1 cpu=0
device nic
dax x 1
mmap p0 buf dax:x shared rw 1
write p0 buf 65
gup p0 buf as=r write by=nic
begin hole cpu=0 truncate x 0
step hole 4
may 1 mmap p1 mem anon private rw 1 populate
may 1 dma r write 5
may 1 put r
"""


@pytest.mark.parametrize("ends", [True, False])
def test_a_section_with_interrupts_off_that_waits(ends: bool) -> None:
    # No call of the model waits with interrupts off; so one is made to.
    scene = set_up(parse(HELD_UP if ends else HELD_UP.replace("may 1 put r\n", "")))
    tx = Transaction(scene.context.state)
    tx.cpus[0] = Cpu(irqs_off_by="hole")
    state = tx.commit()[0]
    scene = scene._replace(context=replace(scene.context, state=state), checker=Checker.full(state))
    found = reduced(scene)
    assert found.cache.waits_in_section
    assert found.waiting is not None
    same_as_everything(scene)


RETRIES = """\
process p0
mmap p0 buf anon private rw 1
may * read p0 buf
may * mprotect p0 buf none
"""


def test_what_goes_on_for_ever_is_not_put_off_for_ever() -> None:
    scene = set_up(parse(RETRIES))
    found, whole = reduced(scene), explore(scene, symmetry=False)
    assert found.kinds == whole.found.keys()
    for starter in found.cache.starters:
        assert any(place.sticky for (actor, _), place in found.seen_places.places.items() if actor is starter)


def test_one_task_that_goes_on_alone_for_ever_is_interrupted() -> None:
    scene = set_up(parse(RETRIES.replace("*", "100000")))
    search = Search(scene)
    found = Reduction(scene, search.cache, search.symmetry)
    found.run(3000)
    assert not found.complete
    assert len(found.before) < 5000
    assert len(found.seen_places.places) < 500, "a permission that may be used very often is at one place"


EXCHANGED = """
process p0
mmap p0 b anon private rw 1
process p1
mmap p1 b anon private rw 1
process p2
mmap p2 b anon private rw 1
process p3
mmap p3 b anon private rw 1
may 2 write p0 b 1
may 2 write p1 b 1
may 2 write p2 b 1
may 2 write p3 b 1
"""


def test_where_a_state_takes_long_somebody_is_asked_more_often_and_the_bound_is_kept() -> None:
    """Each of these states is looked up under 24 names: a thousand of them take many seconds."""
    search = Search(set_up(parse(EXCHANGED)))
    found = Reduction(search.scene, search.cache, search.symmetry)
    heard: list[int] = [0]

    def more(progress: SearchProgress) -> bool:
        heard.append(progress.states)
        return True

    found.run(250, more)
    assert not found.complete
    assert 250 < len(found.before) <= 255
    assert max(after - before for before, after in pairwise(heard)) <= 20


def test_who_goes_through_a_table_of_fields_looks_at_no_field() -> None:
    """A move asks which references import its buffer; KVM has found another frame for one that does not."""
    cache = Search(set_up(parse(SIX_COMMANDS.replace("may 1 mirror", "follow")))).cache
    walks, changes = Reads(), Reads()
    references = Transaction(tracked_state(cache.tables, cache.alive, 0, walks)).references
    assert [reference.kind for _, reference in references.items()] == ["follow"]
    frames, kind, entry = (
        cache.tables[Tables.references.number].component(("r", one)) for one in ("frames", "kind", ENTRY)
    )
    for field, concerned in ((frames, False), (kind, True), (entry, True)):
        changes.changed = {field}
        assert concerns(changes, walks) is concerned


def test_adding_is_no_look_but_looking_after_it_is() -> None:
    table = BitLayout().packed_table()
    mine, other = Reads(), Reads()
    index = TrackedIndex(table, 0, mine)
    written = index.insert(5, (*index.peek(5, ()), "me"))
    assert not mine.components
    assert written.get(5) == ("me",)
    assert mine.components == {table.component(5)}
    other.peeked.add(table.component(5))
    other.changed.add(table.component(5))
    assert concerns(mine, other)
    mine.components.clear()
    assert not concerns(mine, other), "two that only add may do so in any order"


def test_who_asks_for_whom_a_task_runs_does_not_look_where_it_is() -> None:
    """A TLB flush asks that of whoever has interrupts off on a CPU."""
    script = "process p0\nmmap p0 m anon private rw 1\nbegin T write p0 m 1\nstep T\nmay 1 read p0 m"
    cache = Search(set_up(parse(script))).cache
    reads = Reads()
    tasks = Transaction(tracked_state(cache.tables, cache.alive, 0, reads)).tasks
    assert (tasks.field("T", "process"), tasks.field("nobody", "process")) == ("p0", None)
    assert reads.components == {cache.alive.component("T"), cache.alive.component("nobody")}


def test_a_held_lock_bars_the_way_of_whoever_must_take_it() -> None:
    lock, behind = 1, 2
    takes, goes_on = CodePlace(), CodePlace()
    takes.note(Touch(lock, lock, lock, read_locks=lock))
    takes.ahead.add(goes_on)
    goes_on.note(Touch(behind, behind, behind))
    assert later(takes, NONE_HELD) == (lock | behind, lock | behind)
    assert later(takes, Held(any=lock)) == (lock | behind, lock | behind), "held by a reader, taken by a reader"
    assert later(takes, Held(lock, lock)) == (0, 0)
    takes.note(Touch(0, 0, 0))  # once it is passed without the lock
    assert later(takes, Held(lock, lock)) == (lock | behind, lock | behind)


def concerns(one: Reads, other: Reads) -> bool:
    return bool(one.turned & other.looked or one.looked & other.turned)
