"""The questions that a lesson may ask the model, and their answers."""

import pytest

from lessons.play.expressions import Moment, condition, quantity
from lessons.play.grading import fill
from lessons.play.operands import ExpressionError, NoValueError
from lessons.play.playback import Standing, power_on, try_out


def after(script: str) -> Moment:
    """The moment after the last command of a script."""
    standing: Standing = power_on()
    for line in script.strip().split("\n"):
        for beat in try_out(standing, line):
            standing = beat.standing
    return standing.moment


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
    assert quantity(text, pinned) == number


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
    assert condition(text, pinned) is holds


def test_how_the_last_command_ended_can_be_asked() -> None:
    moment = after("process p0\nmunmap p0 @16\nread p0 @16")
    assert condition("signal SIGSEGV", moment)
    assert condition("signal", moment)
    assert not condition("signal SIGBUS", moment)
    assert condition("error EFAULT", after("process p0\ngup p0 @16 as=r0"))


def test_whether_a_task_waits_can_be_asked() -> None:
    meeting = "process p0\nbo b 1 in=gtt\nmmap p0 m bo:b shared rw 1\nbegin M move b vram\nstep M\nbegin W write p0 m 1"
    assert not condition("waits W", after(meeting))
    assert condition("waits W and not waits M", after(f"{meeting}\nfinish W"))
    assert not condition("waits W", after(f"{meeting}\nfinish W\nfinish M\nfinish W"))


def test_whether_a_task_holds_a_page_can_be_asked() -> None:
    taking = "process p0\nmmap p0 m anon private rw 1\nwrite p0 m 1\nbegin T gup p0 m as=r\n"
    assert not condition("holds T p0 m", after(f"{taking}step T 6"))
    assert condition("holds T p0 m", after(f"{taking}step T 7"))
    assert not condition("holds T p0 m", after(f"{taking}finish T")), "it has handed the page over, to r"
    with pytest.raises(ExpressionError, match="which task"):
        condition("holds T", after(taking))


def test_where_a_buffer_is_can_be_asked() -> None:
    moment = after("bo b 1 in=gtt\nmove b vram")
    assert condition("place b vram", moment)
    assert not condition("place b gtt", moment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place", "expected `place BUFFER PLACE`"),
        ("place x vram", "no buffer `x`"),
        ("place b vran", "did you mean `vram`?"),
    ],
)
def test_a_malformed_question_for_a_place_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        condition(text, after("bo b 1 in=gtt"))


def test_a_broken_rule_is_seen_by_its_name() -> None:
    moment = after(PINNED + "madvise p0 buf[0:1] dontneed")
    assert condition("violation stale-reference", moment)
    assert not condition("no violation", moment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("refcont p0 buf", "did you mean `refcount`?"),
        ("", "is no quantity"),
        ("refcount p9 buf", "no process `p9`"),
        ("refcount p0 bof", "no label `bof` in process p0"),
        ("refcount p0 1x", "`1x` is no place"),
        ("refcount r9", "no reference `r9`"),
        ("refcount", "a subject is missing"),
        ("refcount p0 buf buf", "`buf` is left over"),
        ("index ptx p0 buf", "`ptx` is no page-table level"),
        ("table-pages p9", "no process `p9`"),
        ("rss p9", "no process `p9`"),
        ("vmas", "no process ``"),
    ],
)
def test_a_malformed_quantity_says_what_is_wrong(pinned: Moment, text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        quantity(text, pinned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("presnt p0 buf", "did you mean `present`?"),
        ("present p0", "no reference `p0`"),
        ("present r0", "`r0` is a reference"),
        ("refcount p0 buf", "is compared with a number"),
        ("no violations", "expected `no violation`"),
        ("violation", "which violation"),
        ("violation stale-ref", "did you mean `stale-reference`"),
        ("error EFULT", "did you mean `EFAULT`"),
        ("signal SIGSEG", "did you mean `SIGSEGV`"),
        ("cached x p0 buf", "no CPU number"),
        ("not", "`` is no condition"),
        ("ok ok", "left over"),
    ],
)
def test_a_malformed_condition_says_what_is_wrong(pinned: Moment, text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        condition(text, pinned)


def test_a_page_that_is_not_there_has_no_count(pinned: Moment) -> None:
    with pytest.raises(NoValueError, match="no page behind"):
        quantity("refcount p0 buf+2", pinned)
    with pytest.raises(NoValueError, match="returned no value: error EFAULT"):
        quantity("value", after("process p0\ngup p0 @16 as=r0"))


def test_numbers_in_prose_come_from_the_model(pinned: Moment) -> None:
    text = "Page {page-number p0 buf:#x} has {refcount p0 buf} references, in hex {refcount p0 buf:x}."
    assert fill(text, pinned) == "Page 0x80807fe has 1025 references, in hex 401."
    with pytest.raises(ExpressionError, match="no reference `r7`"):
        fill("{refcount r7}", pinned)
