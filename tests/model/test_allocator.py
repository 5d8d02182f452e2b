"""`set allocator`: which free page an allocation gets, in a plain run and in a search."""

import pytest

from model.kernel.mm.free_list import NOT_FROM_HERE, give, members, take
from model.memory.state import Transaction
from model.script.parser import parse
from model.script.runner import Runner
from model.search.bfs import Search, explore
from model.search.ends import nearest
from model.search.paths import as_script
from model.search.problem import set_up
from model.text.problems import ScriptError

THREE_GO_AND_ONE_COMES = """
process p0
mmap p0 buf anon private rw 3
write p0 buf+0 1
write p0 buf+1 1
write p0 buf+2 1
madvise p0 buf+0 dontneed
madvise p0 buf+2 dontneed
madvise p0 buf+1 dontneed
write p0 buf+0 1
"""

SAFE_BY_LUCK = """
process p0
device nic
bo b 1 in=gtt exporter=insert-page
mmap p0 buf bo:b shared rw 1
write p0 buf 65
gup p0 buf+0 as=r write pin longterm by=nic
move b vram
move b gtt
read p0 buf
may 1 dma r write 99
may 1 read p0 buf
"""
PINNED_AND_MOVED = """
process p0
device nic
bo b 1 in=gtt exporter=insert-page
mmap p0 buf bo:b shared rw 1
write p0 buf 65
gup p0 buf+0 as=r write pin longterm by=nic
move b vram
may 1 move b gtt
may 1 read p0 buf
may 1 dma r write 99
"""


def run(text: str, allocator: str) -> Runner:
    runner = Runner()
    for command in parse(f"set allocator {allocator}\n{text}"):
        runner.perform(command)
    return runner


def frames_taken(allocator: str) -> tuple[list[int], int]:
    """The frames that went, in the order in which they did, and the one that comes."""
    before = run(THREE_GO_AND_ONE_COMES.split("madvise", maxsplit=1)[0], allocator).context.state
    after = run(THREE_GO_AND_ONE_COMES, allocator).context.state
    went = [before.ptes["p0", 16 + page].pfn for page in (0, 2, 1)]
    return went, after.ptes["p0", 16].pfn


def test_last_in_first_out_first_in_first_out_and_fresh_memory() -> None:
    went, came = frames_taken("lifo")
    assert came == went[-1]
    went, came = frames_taken("fifo")
    assert came == went[0]
    went, came = frames_taken("any")
    assert came > max(went), "memory that was never used"


@pytest.mark.parametrize("allocator", ["lifo", "fifo", "any"])
def test_every_frame_that_is_freed_can_be_had_again(allocator: str) -> None:
    again = "".join(f"write p0 buf+{page} 1\nmadvise p0 buf+{page} dontneed\n" for page in (0, 2, 1) * 4)
    state = run(THREE_GO_AND_ONE_COMES + again + "munmap p0 buf\n", allocator).context.state
    heads = [state.counters.get("free_head")]
    while heads[-1]:
        heads.append(state.free[heads[-1]])
    assert len(heads) - 1 == len(state.free)


def found(text: str, allocator: str) -> Search:
    return explore(set_up(parse(f"set kernel 6.1\nset allocator {allocator}\n{text}")))


def test_a_scheme_that_is_safe_because_the_same_page_came_back_is_not_safe_with_any() -> None:
    assert not [each for each in found(SAFE_BY_LUCK, "lifo").found if each[1] == "corruption"]
    assert [each for each in found(SAFE_BY_LUCK, "any").found if each[1] == "corruption"]


@pytest.mark.parametrize("again", [True, False])
def test_what_an_allocation_took_is_said_in_the_script(again: bool) -> None:
    search = found(PINNED_AND_MOVED, "any")
    (old,) = search.scene.context.state.references["r"].frames

    def mapped(packed: int) -> bool:
        pte = search.cache.tracked(packed).ptes.get(("p0", 16))
        return pte is not None and (pte.pfn == old) is again

    actions = nearest(search, mapped)
    assert actions is not None
    script = "".join(f"{line}\n" for line in as_script(search, actions))
    assert " taking=" in script
    runner = Runner()
    for command in parse(script):
        assert runner.perform(command).outcome.status == "ok", command.text
    assert (runner.context.state.ptes["p0", 16].pfn == old) is again


def test_a_page_that_somebody_still_refers_to_is_used_again_or_not() -> None:
    search = found(PINNED_AND_MOVED, "any")
    actors = [actor for actor in search.cache.tasks if actor.task == "move"]
    taken = {
        pages
        for level in search.levels
        for packed in level
        for actor in actors
        if packed & actor.control.mask != actor.idle and search.cache.effect(actor, packed)
        if (pages := search.cache.pages(actor, packed))
    }
    assert {pages[0] for pages in taken} == {search.scene.context.state.references["r"].frames[0], NOT_FROM_HERE}


def test_what_the_set_up_has_decided_is_named() -> None:
    begun = "process p0\nprocess p1\ndevice n\nmmap p0 a anon private rw 1\nwrite p0 a 7\ngrab p0 a as=r raw by=n\n"
    again = "munmap p0 a\nmmap p1 b anon private rw 1\nwrite p1 b 1\nmay 1 dma r write 65\n"
    search = found(begun + again, "any")
    (old,) = search.scene.context.state.references["r"].frames
    assert {one.command.text for one in search.scene.decided} == {"write p1 b 1"}
    assert old in search.scene.decided[-1].others
    assert not found(begun + again, "lifo").scene.decided
    step = search.scene.decided[-1].step
    said = f"begin T write p1 b 1\nstep T {step - 1}\nstep T taking={old}\nfinish T\n"
    assert not any(
        one.command.text == "finish T"
        for one in found((begun + again).replace("write p1 b 1\n", said), "any").scene.decided
    )


def test_what_cannot_be_taken_is_an_error() -> None:
    begun = "set allocator any\nprocess p0\nmmap p0 buf anon private rw 1\nbegin W write p0 buf 1\n"
    runner = Runner()
    account = [runner.perform(command) for command in parse(begun + "step W taking=3\n")][-1]
    assert account.outcome.errno == "EINVAL"
    assert "nothing is open there" in account.outcome.message
    with pytest.raises(ScriptError, match="frame numbers"):
        parse(begun + "step W taking=x\n")


@pytest.mark.parametrize("allocator", ["lifo", "fifo", "any"])
def test_what_is_freed_twice_is_on_the_list_once(allocator: str) -> None:
    tx = Transaction(run("process p0\n", allocator).context.state)
    for pfn in (7, 8, 7, 9, 8, 9):
        give(tx, tx.free, "free_head", pfn)
    free = members(tx, tx.free, "free_head")
    assert sorted(free) == [7, 8, 9]
    if allocator != "any":
        assert [take(tx, tx.free, "free_head", None) for _ in range(4)] == [*free, None]
