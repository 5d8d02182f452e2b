"""The condition language: what can be asked of the model, and the answers."""

import re
from typing import cast

import pytest
from msgspec.structs import replace

from model.memory.state import State
from model.script.ask import amount, is_so
from model.script.moment import Moment, NoAnswerError, NoValueError
from model.script.parser import parse
from model.script.runner import Runner


def after(script: str) -> Moment:
    """The moment after the last command of a script."""
    runner = Runner()
    for command in parse(script):
        runner.perform(command)
    return Moment.after(runner.context, runner.checker)


PINNED = """
process p0
mmap p0 buf anon private rw 4 at=0x80807fe
write p0 buf 65
write p0 buf+1 66
device nic
gup p0 buf[0:2] as=r0 write pin by=nic
fork p0 p1
read p0 buf
"""


@pytest.fixture(scope="module")
def pinned() -> Moment:
    return after(PINNED)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("refcount p0 buf", 1025),
        ("refcount p0 @0x80807fe", 1025),
        ("refcount r0+1", 1025),
        ("pincount r0", 1),
        ("mapcount p0 buf", 1),
        ("content p1 buf+1", 66),
        ("content r0", 65),
        ("index pgd p0 buf", 1),
        ("index pud p0 buf", 2),
        ("index pmd p0 buf", 3),
        ("index pte p0 buf", 510),
        ("index pte p0 buf+2", 0),
        ("index pmd p0 buf+2", 4),
        ("page-number p0 buf+1", 0x80807FF),
        ("address p0 buf", 0x80807FE000),
        ("table-pages p0", 4),
        ("vmas p0", 1),
        ("rss p0", 2),
        ("value", 65),
        ("0x2a", 42),
    ],
)
def test_a_quantity_is_read_from_the_model(pinned: Moment, text: str, number: int) -> None:
    assert amount(text, pinned) == number


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("ok", True),
        ("value 65", True),
        ("value 66", False),
        ("error", False),
        ("present p0 buf", True),
        ("absent p0 buf+2", True),
        ("not absent p0 buf+2", False),
        ("same p0 buf r0", True),
        ("present p0 buf and absent p0 buf+2", True),
        ("present p0 buf and present p0 buf+2", False),
        ("present p0 buf+2 and present p0 buf", False),
        ("same r0 p0 buf", True),
        ("same p1 buf r0", False),
        ("differ p0 buf p1 buf", True),
        ("same p0 buf+2 p1 buf+2", False),
        ("writable p0 buf and dirty p0 buf and exclusive p0 buf", True),
        ("accessed p0 buf", True),
        ("special p0 buf", False),
        ("writable p0 buf+2", False),
        ("vma p0 buf+3", True),
        ("vma p0 buf flags=rd,wr", True),
        ("vma p0 buf flags=rd,pf", False),
        ("vma p0 @3", False),
        ("cached 0 p0 buf", True),
        ("cached 1 p0 buf", False),
        ("held r0", True),
        ("not held r1", True),
        ("refcount p0 buf 1025", True),
        ("refcount p0 buf+2 1", False),
        ("no violation", True),
        ("violation stale-reference", False),
    ],
)
def test_a_condition_is_looked_up_in_the_model(pinned: Moment, text: str, holds: bool) -> None:
    assert is_so(text, pinned) is holds


def test_how_the_last_command_ended_can_be_asked() -> None:
    moment = after("process p0\nmunmap p0 @16\nread p0 @16")
    assert is_so("signal SIGSEGV", moment)
    assert is_so("signal", moment)
    assert not is_so("signal SIGBUS", moment)
    assert is_so("error EFAULT", after("process p0\ngup p0 @16 as=r0"))


def test_whether_a_task_waits_can_be_asked() -> None:
    meeting = "process p0\nbo b 1 in=gtt\nmmap p0 m bo:b shared rw 1\nbegin M move b vram\nstep M\nbegin W write p0 m 1"
    assert not is_so("waits W", after(meeting))
    assert is_so("waits W and not waits M", after(f"{meeting}\nfinish W"))
    assert not is_so("waits W", after(f"{meeting}\nfinish W\nfinish M\nfinish W"))


def test_whether_a_task_holds_a_page_can_be_asked() -> None:
    taking = "process p0\nmmap p0 m anon private rw 1\nwrite p0 m 1\nbegin T gup p0 m as=r\n"
    assert not is_so("holds T p0 m", after(f"{taking}step T 6"))
    assert is_so("holds T p0 m", after(f"{taking}step T 7"))
    assert not is_so("holds T p0 m", after(f"{taking}finish T")), "it has handed the page over, to r"
    with pytest.raises(NoAnswerError, match="PAGE is missing: expected a page"):
        is_so("holds T", after(taking))


def test_where_a_buffer_is_can_be_asked() -> None:
    moment = after("bo b 1 in=gtt\nmove b vram")
    assert is_so("place b vram", moment)
    assert not is_so("place b gtt", moment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place", "B is missing: expected a buffer"),
        ("place x vram", "there is no buffer x now"),
        ("place b vran", "did you mean `vram`?"),
    ],
)
def test_a_malformed_question_for_a_place_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(NoAnswerError, match=re.escape(message)):
        is_so(text, after("bo b 1 in=gtt"))


def test_a_broken_rule_is_seen_by_its_name() -> None:
    moment = after(PINNED + "madvise p0 buf[0:1] dontneed")
    assert is_so("violation stale-reference", moment)
    assert not is_so("no violation", moment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refcont p0 buf", "did you mean `refcount`?"),
        ("", "is no quantity"),
        ("refcount p9 buf", "there is no process p9 now"),
        ("refcount p0 bof", "there is no label bof of p0 now; did you mean `buf`?"),
        ("refcount p0 1x", "`p0` has no label `1x`"),
        ("refcount r9", "there is no reference r9 now"),
        ("refcount", "PAGE is missing: expected a page"),
        ("refcount p0 buf buf", "`refcount` does not expect `buf` here"),
        ("index ptx p0 buf", "did you mean `pte`?"),
        ("table-pages p9", "there is no process p9 now"),
        ("rss p9", "there is no process p9 now"),
        ("vmas", "P is missing: expected a process"),
    ],
)
def test_a_malformed_quantity_says_what_is_wrong(pinned: Moment, text: str, message: str) -> None:
    with pytest.raises(NoAnswerError, match=re.escape(message)):
        amount(text, pinned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("presnt p0 buf", "did you mean `present`?"),
        ("present p0", "WHERE is missing: expected a place"),
        ("present r0", "WHERE is missing: expected a place"),
        ("refcount p0 buf", "`buf` is not the number to compare it with"),
        ("no violations", "did you mean `violation`?"),
        ("violation", "NAME is missing: expected an invariant"),
        ("violation stale-ref", "did you mean `stale-reference`"),
        ("error EFULT", "did you mean `EFAULT`"),
        ("signal SIGSEG", "did you mean `SIGSEGV`"),
        ("cached x p0 buf", "`x` is not a CPU"),
        ("not", "a condition is missing"),
        ("ok ok", "does not expect `ok` here"),
    ],
)
def test_a_malformed_condition_says_what_is_wrong(pinned: Moment, text: str, message: str) -> None:
    with pytest.raises(NoAnswerError, match=re.escape(message)):
        is_so(text, pinned)


def test_a_page_that_is_not_there_has_no_count(pinned: Moment) -> None:
    with pytest.raises(NoValueError, match="no page mapped there"):
        amount("refcount p0 buf+2", pinned)
    with pytest.raises(NoValueError, match="returned no value: error EFAULT"):
        amount("value", after("process p0\ngup p0 @16 as=r0"))


class Noted:
    """A State that notes which of its tables are looked at, by key or as a whole."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.read: set[str] = set()

    def __getattr__(self, table: str) -> object:
        self.read.add(table)
        return getattr(self.state, table)


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("refcount p0 buf 1025", {"processes", "labels", "ptes", "tables", "frames"}),
        ("held r0", {"references"}),
        ("same r0 r0+1", {"references"}),
        ("cached 0 p0 buf", {"processes", "labels", "tlbs"}),
        ("ok and no violation", set()),
    ],
)
def test_an_answer_is_read_out_of_the_tables_it_is_about(pinned: Moment, text: str, tables: set[str]) -> None:
    """A search that notes reads can ask, and repeats the question only where one of these has changed."""
    noted = Noted(pinned.state)
    assert is_so(text, replace(pinned, state=cast("State", noted))) is is_so(text, pinned)
    assert noted.read <= tables


def test_a_page_that_is_missing_differs_from_none_and_is_the_same_as_none(pinned: Moment) -> None:
    for text in ("differ p0 buf p0 buf+2", "differ p0 buf+2 p0 buf", "same p0 buf+2 p0 buf+3"):
        assert not is_so(text, pinned), text


def test_the_zero_page_is_no_resident_page() -> None:
    moment = after("process p0\nmmap p0 buf anon private rw 2\nread p0 buf\nwrite p0 buf+1 1")
    assert amount("rss p0", moment) == 1


def test_a_range_is_absent_when_its_last_page_is_too() -> None:
    moment = after("process p0\nmmap p0 buf anon private rw 3\nwrite p0 buf+2 1")
    assert is_so("absent p0 buf[0:2]", moment)
    assert not is_so("absent p0 buf[0:3]", moment)
