"""`refcount` and `mapcount`: what the next command does to a count of struct page."""

from collections.abc import Iterator
from random import Random
from typing import Literal

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, holds, machine, measured, tried
from lessons.drills.scenes import DrillScene, next_commands, scene
from lessons.i18n.language import tr
from model.memory.folio import page_frame
from model.memory.records import Frame
from model.memory.state import State

Count = Literal["refcount", "mapcount"]
PIN = 1024
"""GUP_PIN_COUNTING_BIAS."""
CHOICES = 4


def refcount(seed: int, dice: Random, setting: DrillScene | None = None) -> Exercise:
    """How many references the page has after it."""
    return _count("refcount", seed, dice, setting or scene(dice))


def mapcount(seed: int, dice: Random, setting: DrillScene | None = None) -> Exercise:
    """How many entries map it after it."""
    return _count("mapcount", seed, dice, setting or scene(dice))


def _count(count: Count, seed: int, dice: Random, setting: DrillScene) -> Exercise:
    before = machine(setting.lines)
    if not holds(before, f"present {setting.where}"):
        raise UnsuitableError("the page is not there")
    pfn = measured(before, f"frame {setting.where}")
    command = next_commands(setting, dice)[0]
    after, account = tried(before, command)
    if account.outcome.status != "ok":
        raise UnsuitableError(command)
    old, new = _frame(before.context.state, pfn), _frame(after.context.state, pfn)
    truth = getattr(new, count)
    if truth == getattr(old, count) and dice.random() < 0.6:
        raise UnsuitableError("nothing changes: too often the same")
    answers = {truth: AnswerOption(str(truth), _because(count, getattr(old, count), truth))}
    for value, reply in _beliefs(count, command, old, new):
        if value >= 0 and value not in answers and len(answers) < CHOICES:
            answers[value] = AnswerOption(str(value), reply)
    ordered = sorted(answers)
    ask = tr("`{command}` is next. Frame {frame} has {count} {value} now; what is the {count} of {frame} after it?")
    asked = ask.format(command=command, frame=f"f{pfn}", count=count, value=getattr(old, count))
    return Exercise(
        count,
        seed,
        setting.lines,
        asked,
        tuple(answers[value] for value in ordered),
        ordered.index(truth),
        (command,),
    )


def _frame(state: State, pfn: int) -> Frame:
    return page_frame(state, pfn)


def _because(count: Count, old: int, new: int) -> str:
    """What to say to the right answer."""
    if old == new:
        return tr("Nothing in that command takes or gives back what {count} counts.").format(count=count)
    return f"{old} {'+' if new > old else '-'} {abs(new - old)}."


def _beliefs(count: Count, command: str, old: Frame, new: Frame) -> Iterator[tuple[int, str]]:
    """Wrong values and the beliefs behind them, the most likely first; some may be right and are left out then."""
    verb = command.split(maxsplit=1)[0]
    value, other = getattr(old, count), "mapcount" if count == "refcount" else "refcount"
    if count == "refcount":
        if " pin" in command:
            bias = tr(
                "That would be a get. A pin counts 1024 (GUP_PIN_COUNTING_BIAS), so that the two can be told apart."
            )
            yield value + 1, bias
        elif verb == "gup":
            yield value + PIN, tr("1024 is what a FOLL_PIN adds. FOLL_GET adds one, like any other holder.")
        if verb in {"munmap", "madvise", "punch", "truncate"}:
            yield 0, tr("Unmapping puts only that entry's reference; whoever else holds the page still does.")
            held = tr("The entry itself held a reference. It is put after the entry is gone and the TLBs are flushed.")
            yield value, held
        if verb == "put":
            yield 0, tr("put gives back what this holder took, nothing else.")
            pinned, got = tr("A pin is given back as it was taken: 1024 at once."), tr("One get is one reference.")
            yield value - 1, pinned if old.pins else got
        if verb == "fork":
            yield value, tr("The child's entries lead to the same page, and each entry holds a reference.")
    else:
        if verb == "gup":
            yield value + 1, tr("A reference is not a mapping: GUP adds no page-table entry, so mapcount stays.")
        if verb == "put":
            yield value - 1, tr("Putting a reference removes no entry, and mapcount counts entries.")
        if verb == "fork":
            yield value, tr("fork copies the entries: the child has one that leads to this page too.")
        if verb in {"munmap", "madvise"}:
            yield value, tr("One entry fewer leads to the page.")
    both = tr("That is the {count}. refcount counts everybody who holds the page, mapcount entries.")
    yield getattr(new, other), both.format(count=other)
    yield value, tr("That is the old count. Look who has come, or gone.")
    if count == "refcount":
        yield value + 1, tr("It rises by one only when one more holder comes.")
        yield value - 1, tr("It drops by one only when a holder goes away.")
        yield 0, tr("0 means that nobody holds the page any more.")
    else:
        yield value + 1, tr("It rises by one only when one more entry maps the page.")
        yield value - 1, tr("It drops by one only when an entry that maps the page goes away.")
        yield 0, tr("0 means that no entry maps the page any more.")
    yield value + 2, tr("Count again: who holds the page before the command, and who after it?")
