"""Exercises beyond the small page: folios, hugetlb, page tables, KSM, swap. The model gives each answer."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final, NamedTuple

from lessons.drills.counts import mapcount, refcount
from lessons.drills.entries import pte
from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, holds, machine, measured, tried
from lessons.drills.scenes import DrillScene
from lessons.i18n.language import tr
from model.memory.folio import folio_of, page_frame
from model.memory.state import State

HUGE: Final = 512
CHOICES: Final = 4


class AskedNumber(NamedTuple):
    """A number that a command may change."""

    asked: str
    """What it is, for the question."""
    of: Callable[[State, int], int]
    """It, on a machine; the frame is that of the page before the command."""
    wrong: Callable[[str, int, int], Iterator[tuple[int, str]]]
    """Command, old and new number → wrong numbers, and what to say to whoever believes them."""


def folio(seed: int, dice: Random) -> Exercise:
    """The counts of a huge page, and what of it is freed."""
    return _number("folio", seed, dice, _huge_scene(dice, "anon"), dice.choice(FOLIO))


def hugetlb(seed: int, dice: Random) -> Exercise:
    """The same for a page of the pool, and the pool itself."""
    return _number("hugetlb", seed, dice, _huge_scene(dice, "hugetlb"), dice.choice(HUGETLB))


def tables(seed: int, dice: Random) -> Exercise:
    """How many pages the page tables are."""
    return _number("tables", seed, dice, _table_scene(dice), TABLES)


def ksm(seed: int, dice: Random) -> Exercise:
    """The counts of a page that ksmd may have merged."""
    make = dice.choice((refcount, mapcount))
    return make(seed, dice, _ksm_scene(dice))._replace(kind="ksm")


def swap(seed: int, dice: Random) -> Exercise:
    """The entry and the counts of a page that goes to swap, or comes from there."""
    make = dice.choice((pte, pte, refcount))
    return make(seed, dice, _swap_scene(dice))._replace(kind="swap")


# -- scenes -------------------------------------------------------------------------------------


def _huge_scene(dice: Random, backing: str) -> DrillScene:
    """A huge page that has been written, perhaps shared with a child, held by a card, or mapped by small entries."""
    lines = ["process p0", "device nic", f"mmap p0 buf {backing} private rw 512 at=512"]
    lines = ["set hugetlb 4", *lines] if backing == "hugetlb" else [*lines, "madvise p0 buf hugepage"]
    lines.append("write p0 buf 7")
    page = dice.choice((0, 3, 511))
    forked, held = dice.random() < 0.4, dice.random() < 0.5
    if backing == "anon" and dice.random() < 0.3:
        lines.append("madvise p0 buf+7 dontneed")
    lines += ["fork p0 p1"] * forked + [f"gup p0 buf+{page} as=r0 write{dice.choice((' pin', ''))} by=nic"] * held
    one = f"p0 buf+{page}"
    commands = [f"gup {one} as=r1 write", f"gup {one} as=r1 write pin", "fork p0 p2", "munmap p0 buf", f"write {one} 9"]
    commands += ["put r0"] * held
    commands += ["madvise p0 buf dontneed"]
    if backing == "anon":
        commands += [f"madvise {one} dontneed", f"munmap {one}", f"mprotect {one} r", "madvise p0 buf collapse"]
    if forked:
        commands += ["write p1 buf+3 9", "munmap p1 buf", "exit p1"]
    return DrillScene(tuple(lines), "p0", "buf", page, HUGE, backing, held, forked, tuple(commands))


def _table_scene(dice: Random) -> DrillScene:
    """Memory over the border between two tables, some of it touched."""
    lines = ["process p0", "mmap p0 buf anon private rw 1024 at=512"]
    touched = dice.sample((0, 3, 511, 512, 600), dice.randint(1, 3))
    lines += [f"write p0 buf+{page} 7" for page in touched]
    if dice.random() < 0.3:
        lines += ["mmap p0 huge anon private rw 512 at=2048", "madvise p0 huge hugepage", "write p0 huge 1"]
    commands = [
        *(f"write p0 buf+{page} 9" for page in (0, 512)),
        "munmap p0 buf",
        "munmap p0 buf[0:512]",
        "madvise p0 buf[0:512] dontneed",
        "madvise p0 buf[0:511] dontneed",
        "madvise p0 buf hugepage",
        "fork p0 p1",
        "madvise p0 buf[0:512] collapse",
        "mprotect p0 buf r",
    ]
    if len(lines) > len(touched) + 2:
        commands += ["munmap p0 huge", "munmap p0 huge+3", "madvise p0 huge+3 dontneed"]
    return DrillScene(tuple(lines), "p0", "buf", touched[0], 1024, "anon", False, False, tuple(commands))


def _ksm_scene(dice: Random) -> DrillScene:
    """Pages of two processes that are alike, and ksmd has looked at them, or has not yet."""
    lines = ["process p0", "device nic", "mmap p0 buf anon private rw 3"]
    lines += [f"write p0 buf+{page} {5 if page < 2 else dice.choice((5, 6))}" for page in range(3)]
    held, forked = dice.random() < 0.3, dice.random() < 0.3
    page = dice.randrange(2)
    lines += [f"gup p0 buf+{page} as=r0 write{dice.choice((' pin', ''))} by=nic"] * held
    lines += ["madvise p0 buf mergeable", *(["ksm-scan 3"] * (dice.random() < 0.7)), *(["fork p0 p1"] * forked)]
    one = f"p0 buf+{page}"
    commands = [f"write {one} 9", f"write p0 buf+{1 - page} 9", "ksm-scan 3", "madvise p0 buf unmergeable"]
    commands += [f"munmap {one}", f"gup {one} as=r1 pin", f"gup {one} as=r1", "fork p0 p2", *(["put r0"] * held)]
    commands += [f"write p1 buf+{page} 9", "exit p1"] * forked
    return DrillScene(tuple(lines), "p0", "buf", page, 3, "anon", held, forked, tuple(commands))


def _swap_scene(dice: Random) -> DrillScene:
    """A page that has been written, perhaps swapped out, perhaps shared with a child."""
    lines = ["process p0", "device nic", "mmap p0 buf anon private rw 2", "write p0 buf 7"]
    held, forked, out = dice.random() < 0.3, dice.random() < 0.4, dice.random() < 0.5
    lines += ["fork p0 p1"] * forked + ["gup p0 buf+0 as=r0 by=nic"] * held + ["reclaim p0 buf+0"] * out
    one = "p0 buf+0"
    commands = [f"read {one}", f"write {one} 9", f"reclaim {one}", "madvise p0 buf pageout", f"madvise {one} dontneed"]
    commands += [f"gup {one} as=r1 write pin", f"mprotect {one} r", "fork p0 p2", *(["put r0"] * held)]
    commands += ["read p1 buf+0", "exit p1"] * forked
    return DrillScene(tuple(lines), "p0", "buf", 0, 2, "anon", held, forked, tuple(commands))


# -- numbers ------------------------------------------------------------------------------------


def _number(kind: str, seed: int, dice: Random, setting: DrillScene, number: AskedNumber) -> Exercise:
    before = machine(setting.lines)
    if not holds(before, f"present {setting.where}"):
        raise UnsuitableError("the page is not there")
    pfn = measured(before, f"frame {setting.where}")
    command = dice.choice(setting.commands)
    after, account = tried(before, command)
    if account.outcome.status != "ok":
        raise UnsuitableError(command)
    old, new = number.of(before.context.state, pfn), number.of(after.context.state, pfn)
    if old == new and dice.random() < 0.6:
        raise UnsuitableError("nothing changes: too often the same")
    change = (
        tr("Nothing in that command changes it.")
        if old == new
        else f"{old} {'+' if new > old else '-'} {abs(new - old)}."
    )
    answers = {new: AnswerOption(str(new), change)}
    for value, reply in number.wrong(command, old, new):
        if value >= 0 and value not in answers and len(answers) < CHOICES:
            answers[value] = AnswerOption(str(value), reply)
    ordered = sorted(answers)
    ask = tr("`{command}` is next. {number} is {value} now. What is it after the command?")
    asked = ask.format(command=command, number=tr(number.asked).format(frame=f"f{pfn}"), value=old)
    options = tuple(answers[value] for value in ordered)
    return Exercise(kind, seed, setting.lines, asked, options, ordered.index(new), (command,))


def _pages_in_use(state: State, pfn: int) -> int:
    """How many of the 512 pages around a frame are not free."""
    head = pfn - pfn % HUGE
    return sum(folio_of(state, one).kind != "free" for one in range(head, head + HUGE))


def _wrong_refcount(command: str, old: int, new: int) -> Iterator[tuple[int, str]]:
    """Wrong refcounts of a folio."""
    if abs(new - old) >= HUGE - 1:
        yield old, tr("One entry that maps 512 pages has one reference; 512 entries that map one each have 512.")
    if " pin" in command:
        yield (
            old + 1024,
            tr("On a small page a pin counts 1024. A large folio has a pincount for it, and its refcount rises by 1."),
        )
    yield old + HUGE, tr("A reference for each page? One entry, one get, one pin: each is one for all of the folio.")
    yield 0, tr("0 means that nobody holds the page any more.")
    yield old, tr("That is the old count. Look who has come, or gone.")
    yield old + 1, tr("It rises by one only when one more holder comes.")
    yield old - 1, tr("It drops by one only when a holder goes away.")


def _wrong_mapcount(_command: str, old: int, new: int) -> Iterator[tuple[int, str]]:
    """Wrong mapcounts of one page."""
    yield old + HUGE, tr("512 entries may map the folio; this page is mapped by those that lead to it.")
    yield old, tr("That is the old count. Look who has come, or gone.")
    yield old + 1, tr("It rises by one only when one more entry maps the page.")
    yield old - 1, tr("It drops by one only when an entry that maps the page goes away.")
    yield new + 2, tr("Count again: which entries lead to the page after the command, in all processes?")


def _wrong_in_use(_command: str, old: int, new: int) -> Iterator[tuple[int, str]]:
    """Wrong numbers of pages that are not free."""
    yield old - 1, tr("No page of a folio is freed alone: one count keeps all 512.")
    whole = tr("They are free once nobody holds the folio: no entry, no child's entry, no reference.")
    yield 0, whole
    yield HUGE, whole
    yield 1, tr("No page of a folio is freed alone: one count keeps all 512.")
    yield new + 1, tr("Count the folios: each has 512 pages, and all of them go together.")


def _wrong_pool(_command: str, old: int, new: int) -> Iterator[tuple[int, str]]:
    """Wrong numbers of free pages of the pool."""
    yield old - 1, tr("A page is taken out of the pool by a first touch or a copy, by nothing else.")
    yield old + 1, tr("A page goes back to the pool when nobody holds it: no entry and no reference.")
    yield old, tr("That is the old number. Is a page taken, or given back?")
    yield new + 2, tr("One command here takes or gives back one page at most.")


def _wrong_tables(_command: str, old: int, new: int) -> Iterator[tuple[int, str]]:
    """Wrong numbers of table pages."""
    yield old, tr("That is the old number. Does a table come, or lose its last use?")
    yield (
        old - 1,
        tr("A table goes when nothing can be mapped under it any more, or where all of it is emptied at once."),
    )
    yield old + 1, tr("A table comes when something is mapped in 2 MiB for the first time.")
    yield new + 1, tr("Count the levels: PGD, PUD, PMD, PTE. A table is put aside for each huge entry, too.")
    yield old - 2, tr("Count the levels: PGD, PUD, PMD, PTE. A table is put aside for each huge entry, too.")


def _table_pages(state: State, _pfn: int) -> int:
    return sum(frame.kind == "pgtable" for frame in state.frames.values())


REFCOUNT: Final = AskedNumber(
    "The refcount of the folio of {frame}", lambda state, pfn: folio_of(state, pfn).refcount, _wrong_refcount
)
MAPCOUNT: Final = AskedNumber(
    "The mapcount of page {frame}", lambda state, pfn: page_frame(state, pfn).mapcount, _wrong_mapcount
)
IN_USE: Final = AskedNumber("The number of pages in use among the 512 around {frame}", _pages_in_use, _wrong_in_use)
POOL: Final = AskedNumber(
    "The number of free huge pages in the pool", lambda state, _: state.counters.get("hugetlb_free") or 0, _wrong_pool
)
TABLES: Final = AskedNumber("The number of pages that are page tables", _table_pages, _wrong_tables)
FOLIO: Final = (REFCOUNT, MAPCOUNT, IN_USE)
HUGETLB: Final = (REFCOUNT, MAPCOUNT, POOL)
