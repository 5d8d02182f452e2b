"""One condition language: whoever asks, each form has the same answer."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from lessons.drills.exercise import holds, measured, perform
from lessons.file.loader import parse as parse_lesson
from lessons.file.problems import LessonError
from lessons.file.schema import Lesson
from lessons.play.player import Player
from lessons.play.watches import Watches
from model.script.conditions import CONDITIONS, QUANTITIES
from model.script.moment import NoAnswerError
from model.script.parser import parse
from model.script.runner import Runner
from model.session.session import Session

WORLD: Final = """\
process p0
device nic
mmap p0 buf anon private rw 4 at=0x80807fe
write p0 buf 65
write p0 buf+1 66
gup p0 buf[0:2] as=r write pin by=nic
fork p0 p1
bo b 1 in=gtt
mmap p0 win bo:b shared rw 1
mmap p0 m anon private rw 1
write p0 m 3
"""

READ: Final = "read p0 buf"
REFUSED: Final = "munmap p0 m\ngup p0 m as=gone"
KILLED: Final = "munmap p0 m\nread p0 m"
STALE: Final = "madvise p0 buf+0 dontneed"
STALE_BEFORE: Final = f"{STALE}\nread p1 buf+1"
WAITING: Final = "begin M move b vram\nstep M\nbegin W write p0 win 1\nfinish W"
HUGE: Final = "mmap p0 h anon private rw 512 at=1024\nmadvise p0 h hugepage\nwrite p0 h 1"
PROTECTED: Final = "userfaultfd p0 u\nuffdio-register p0 m u wp\nuffdio-writeprotect p0 m u wp"
TAKING: Final = "begin T gup p0 m as=k\nstep T 7"

MERGED: Final = "madvise p0 m mergeable\nwrite p0 m+0 65\nmadvise p0 buf mergeable\nput r\nexit p1\nksm-scan 2"

EXAMPLES: Final[dict[str, tuple[tuple[str, str, bool], ...]]] = {
    "ok": ((READ, "ok", True), (REFUSED, "ok", False)),
    "error": ((REFUSED, "error EFAULT", True), (REFUSED, "error", True), (REFUSED, "error ENOMEM", False)),
    "signal": ((KILLED, "signal SIGSEGV", True), (KILLED, "signal SIGBUS", False), (READ, "signal", False)),
    "value": ((READ, "value 65", True), (READ, "value 0x42", False), (KILLED, "value 65", False)),
    "blocked": ((WAITING, "blocked", True), (READ, "blocked", False)),
    "violation": ((STALE, "violation stale-reference", True), (STALE_BEFORE, "violation stale-reference", False)),
    "no": ((STALE, "no violation", False), (STALE_BEFORE, "no violation", True)),
    "broken": (
        (STALE_BEFORE, "broken stale-reference", True),
        (STALE_BEFORE, "broken", True),
        (READ, "broken", False),
    ),
    "present": (
        (READ, "present p0 buf", True),
        (READ, "present p0 buf[0:2]", True),
        (READ, "present p0 buf[0:3]", False),
    ),
    "absent": (
        (READ, "absent p0 buf[2:4]", True),
        (READ, "absent p0 buf[1:4]", False),
        (READ, "absent p0 buf", False),
        (READ, "absent p0 @[0x7000000:0x8080000]", True),
    ),
    "writable": ((READ, "writable p0 buf", True), (READ, "writable p0 buf+3", False)),
    "dirty": ((READ, "dirty p0 @0x80807fe", True), (READ, "dirty p0 buf+3", False)),
    "accessed": ((READ, "accessed p0 buf", True), (READ, "accessed p0 buf+3", False)),
    "special": (("read p0 win", "special p0 win", True), (READ, "special p0 buf", False)),
    "uffd-wp": ((PROTECTED, "uffd-wp p0 m", True), (READ, "uffd-wp p0 m", False)),
    "cached": ((READ, "cached 0 p0 buf", True), (READ, "cached 1 p0 buf", False)),
    "vma": (
        (READ, "vma p0 buf+3", True),
        (READ, "vma p0 win flags=pf,io", True),
        (READ, "vma p0 buf flags=pf", False),
        (READ, "vma p0 @3", False),
    ),
    "same": (
        (READ, "same p0 buf r", True),
        (READ, "same r p0 buf+1", False),
        (READ, "same r+1 p0 buf+1", True),
        (READ, "same p0 buf+2 p1 buf+2", False),
    ),
    "differ": (
        (READ, "differ p0 buf p1 buf", True),
        (READ, "differ r p0 buf", False),
        (READ, "differ p0 buf+2 p1 buf+3", False),
        (READ, "differ p0 buf p1 buf+3", False),
    ),
    "ksm": ((MERGED, "ksm p0 m", True), (READ, "ksm p0 m", False)),
    "exclusive": ((READ, "exclusive p0 buf", True), (READ, "exclusive p0 buf+3", False), (READ, "exclusive r", True)),
    "sealed": (("memfd s 1\nseal s write", "sealed s write", True), ("memfd s 1", "sealed s write", False)),
    "place": ((READ, "place b gtt", True), ("move b vram", "place b gtt", False)),
    "held": ((READ, "held r", True), ("put r", "held r", False)),
    "waits": ((WAITING, "waits W and not waits M", True), (f"{WAITING}\nfinish M\nfinish W", "waits W", False)),
    "holds": ((TAKING, "holds T p0 m", True), (f"{TAKING}\nfinish T", "holds T p0 m", False)),
    "refcount": ((READ, "refcount p0 buf 1025", True), (READ, "refcount r+1 0x1", False)),
    "mapcount": ((READ, "mapcount p1 buf 1", True), (READ, "mapcount p0 buf+3 0", False)),
    "order": ((READ, "order p0 buf 0", True), (READ, "order p0 buf 9", False)),
    "folio-mapcount": ((READ, "folio-mapcount p0 buf 1", True), (READ, "folio-mapcount p0 buf 0", False)),
    "entire-mapcount": ((READ, "entire-mapcount p0 buf 0", True), (READ, "entire-mapcount p0 buf 1", False)),
    "free-huge-pages": ((READ, "free-huge-pages 0", True), (READ, "free-huge-pages 1", False)),
    "resv-huge-pages": ((READ, "resv-huge-pages 0", True), (READ, "resv-huge-pages 1", False)),
    "huge": ((HUGE, "huge p0 h", True), (READ, "huge p0 buf", False)),
    "pincount": ((READ, "pincount r 1", True), (READ, "pincount p1 buf 1", False)),
    "content": ((READ, "content p1 buf+1 66", True), (READ, "content r 66", False)),
    "frame": ((READ, "not frame p0 buf -1", True), (READ, "frame p0 buf+3 5", False)),
    "page-number": ((READ, "page-number p0 buf+1 0x80807ff", True), (READ, "page-number p0 buf 1", False)),
    "address": ((READ, "address p0 buf 0x80807fe000", True), (READ, "address p0 buf 0", False)),
    "index": ((READ, "index pmd p0 buf 3", True), (READ, "index pte p0 buf+2 1", False)),
    "vmas": ((READ, "vmas p0 3", True), (READ, "vmas p1 3", False)),
    "rss": ((READ, "rss p1 2", True), (READ, "rss p0 0", False)),
    "table-pages": ((READ, "not table-pages p0 0", True), (READ, "table-pages p1 1", False)),
}
"""Form → after these commands in that world, this condition: does it hold? A form without an example fails below."""


class Case(NamedTuple):
    """What was done, and what is asked then."""

    commands: str
    text: str
    holds: bool


CASES: Final = [Case(*example) for examples in EXAMPLES.values() for example in examples]


# -- everybody who asks --------------------------------------------------------------------------


def as_expected(case: Case) -> bool:
    """`expect` in a script."""
    runner = Runner()
    outcomes = [runner.perform(command).outcome for command in parse(f"{WORLD}{case.commands}\nexpect {case.text}")]
    return outcomes[-1].status == "ok"


def as_watched(case: Case) -> bool:
    """`watch` in the sandbox."""
    session = Session()
    for command in parse(WORLD + case.commands):
        session.perform(command)
    watches = Watches(session.timeline)
    assert watches.add(case.text) == ""
    (watched,) = watches.at(session.node)
    return {"yes": True, "no": False}[watched.value]


def as_goal(case: Case) -> bool:
    """A goal of a lesson, reached with commands."""
    player = Player(lesson(f"~~~goal id=g\nexpect {case.text}  # so it is\n~~~\n~~~solution\n{case.commands}\n~~~\n"))
    for line in case.commands.splitlines():
        assert player.command(line) == ""
    ((holds, _),) = player.view().goal
    return holds


def as_predicted(case: Case) -> bool:
    """A question of a lesson, answered by commands."""
    ask = f'id = "q"\nkind = "yes/no"\nask = "Is it so?"\nanswer = "{case.text}"\notherwise = "No."'
    return {"yes": True, "no": False}[revealed(ask, case, "yes")]


def as_chosen(case: Case) -> bool:
    """An option of a question with several answers."""
    options = f'[[option]]\ntext = "so"\nwhen = "{case.text}"\n'
    if " and " not in case.text:
        negated = case.text.removeprefix("not ") if case.text.startswith("not ") else f"not {case.text}"
    else:
        pytest.skip("no single phrase says the opposite")
    options += f'[[option]]\ntext = "not so"\nwhen = "{negated}"\nreply = "No."\n'
    return revealed(f'id = "q"\nkind = "choice"\nask = "Which?"\n{options}', case, "1") == "so"


def as_drilled(case: Case) -> bool:
    """An exercise that asks its machine."""
    return holds(drilled(case.commands), case.text)


def drilled(commands: str) -> Runner:
    """The machine of an exercise after these commands."""
    runner = Runner()
    for line in f"{WORLD}{commands}".splitlines():
        perform(runner, line)
    return runner


def lesson(blocks: str) -> Lesson:
    """A lesson in that world."""
    header = (
        'format = 1\nid = "small"\ntitle = "t"\npart = "What is mapped"\norder = 1\nminutes = 5\nsummary = "s"\n'
        'rule = "r"\nread = ["mm/memory.c: zap_pte_range"]\n'
    )
    text = f"+++\n{header}+++\n\n~~~world w\n~~~\n\n{blocks}\n~~~after\nThat was all.\n~~~\n"
    return parse_lesson(text, "small.md", {"w": WORLD})


def revealed(ask: str, case: Case, guess: str) -> str:
    """What the model says to a question after the commands of a case."""
    player = Player(lesson(f"~~~predict\n{ask}\n~~~\n\n~~~do by=command\n{case.commands}\n~~~\n"))
    assert player.answer(guess) == ""
    while "q" not in player.judged:
        assert player.forward() == ""
    return player.judged["q"].truth


USERS: Final[dict[str, Callable[[Case], bool]]] = {
    "expect": as_expected,
    "watch": as_watched,
    "goal": as_goal,
    "prediction": as_predicted,
    "option": as_chosen,
    "drill": as_drilled,
}


def test_every_form_has_examples_of_both_answers() -> None:
    assert set(EXAMPLES) == set(CONDITIONS)
    for form, examples in EXAMPLES.items():
        assert {holds for _, _, holds in examples} == {True, False}, form
        assert all(form in text.split() for _, text, _ in examples), form


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("case", CASES, ids=[f"{case.text} after {case.commands.splitlines()[-1]}" for case in CASES])
def test_everybody_gets_the_same_answer(case: Case, user: str) -> None:
    assert USERS[user](case) is case.holds


# -- quantities ------------------------------------------------------------------------------------

AMOUNTS: Final = {
    "value": ("value", 65),
    "refcount": ("refcount p0 buf", 1025),
    "mapcount": ("mapcount p0 buf", 1),
    "pincount": ("pincount r", 1),
    "order": ("order p0 buf", 0),
    "folio-mapcount": ("folio-mapcount p0 buf", 1),
    "entire-mapcount": ("entire-mapcount p0 buf", 0),
    "free-huge-pages": ("free-huge-pages", 0),
    "resv-huge-pages": ("resv-huge-pages", 0),
    "content": ("content p0 buf+1", 66),
    "frame": ("frame p0 buf", None),
    "page-number": ("page-number p0 buf", 0x80807FE),
    "address": ("address p0 buf", 0x80807FE000),
    "index": ("index pgd p0 buf", 1),
    "vmas": ("vmas p0", 3),
    "rss": ("rss p0", 3),
    "table-pages": ("table-pages p0", None),
}
"""Quantity → as it is asked, and what it is after READ; None: as the others say."""


@pytest.mark.parametrize("name", QUANTITIES)
def test_everybody_is_told_the_same_number(name: str) -> None:
    text, wanted = AMOUNTS[name]
    truth = measured(drilled(READ), text)
    assert wanted is None or truth == wanted
    case = Case(READ, f"{text} {truth}", holds=True)
    assert all(asks(case) for asks in USERS.values())
    ask = f'id = "q"\nkind = "number"\nask = "How many?"\nanswer = "{text}"\notherwise = "{{{text}}}"\n'
    ask += '[[wrong]]\nis = 4712\nreply = "No."\n'
    assert revealed(ask, case, "4711") == str(truth)
    session = Session()
    for command in parse(WORLD + READ):
        session.perform(command)
    watches = Watches(session.timeline)
    assert watches.add(text) == ""
    assert int(watches.at(session.node)[0].value, 0) == truth


# -- what has no answer ----------------------------------------------------------------------------


NOT_GRANTED: Final = """\
mmap p0 bof anon private rw 1 at=0x80807fe
gup p0 win as=r9
exit p1"""


@pytest.mark.parametrize("text", ["present p1 buf", "not present p1 buf", "absent p0 bof", "refcount r9 1"])
def test_what_does_not_exist_has_no_answer_anywhere(text: str) -> None:
    case = Case(NOT_GRANTED, text, holds=False)
    assert not as_expected(case)
    assert not as_goal(case)
    with pytest.raises(NoAnswerError, match="there is no"):
        as_drilled(case)
    with pytest.raises(LessonError, match="there is no"):
        as_predicted(case)
    session = Session()
    for command in parse(WORLD + case.commands):
        session.perform(command)
    watches = Watches(session.timeline)
    assert watches.add(text) == ""
    assert watches.at(session.node)[0].value.startswith("there is no ")
