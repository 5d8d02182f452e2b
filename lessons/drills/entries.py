"""`pte`: what a page-table entry says after the next command. `walk`: which entry of which table."""

from collections.abc import Sequence
from random import Random
from typing import Final

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, holds, machine, measured, steps, tried
from lessons.drills.scenes import DrillScene, next_commands, scene
from lessons.i18n.language import ntr, tr
from model.memory.flags import PAGE_BITS, names
from model.memory.records import Pte
from model.memory.state import State
from model.script.runner import Runner

LEVELS = ("PTE", "PMD", "PUD", "PGD")
INDEX = 511
CHOICES = 4


def pte(seed: int, dice: Random, setting: DrillScene | None = None) -> Exercise:
    """An exercise about the bits of an entry."""
    setting = setting or scene(dice)
    before = machine(setting.lines)
    command = next_commands(setting, dice)[0]
    after, account = tried(before, command)
    if account.outcome.status not in {"ok", "signal"}:
        raise UnsuitableError(command)
    old, new = _entry(before.context.state, setting), _entry(after.context.state, setting)
    truth = said(new)
    if said(old) == truth and dice.random() < 0.6:
        raise UnsuitableError("nothing changes: too often the same")
    if truth == "empty" and command.startswith(f"munmap {setting.process}"):
        raise UnsuitableError("the command's name gives it away")
    how = _written(before, command, setting)
    beliefs = {said(old): tr("It does change.")}
    beliefs |= {text: _belief(text, command, setting.process) for text in LEFT_BY if text not in beliefs}
    beliefs.pop(truth, None)
    wrong = list(beliefs.items())[: CHOICES - 1]
    answers = [AnswerOption(truth, how), *(AnswerOption(text, f"{belief} {how}") for text, belief in wrong)]
    dice.shuffle(answers)
    right = next(number for number, answer in enumerate(answers) if answer.text == truth)
    lined_up = aligned([answer.text for answer in answers])
    answers = [answer._replace(text=text) for answer, text in zip(answers, lined_up, strict=True)]
    ask = tr("`{command}` is next. What does the entry of `{where}` say after it? Now it says: {now}.")
    asked = ask.format(command=command, where=setting.where, now=said(old))
    return Exercise("pte", seed, setting.lines, asked, tuple(answers), right, (command,))


LEFT_BY: Final[dict[str, dict[str, str]]] = {
    "empty": {"munmap": "munmap()", "madvise": "MADV_DONTNEED", "truncate": "ftruncate()", "punch": "fallocate()"},
    "present rw user accessed dirty nx": {"write": "a write"},
    "present user accessed dirty nx": {"fork": "fork()", "mprotect": "mprotect()"},
    "present user accessed nx": {"read": "a read"},
    "present rw user accessed nx": {},
}
"""What an entry can say → the verbs that leave it so, with what to call them."""


def _belief(text: str, command: str, owner: str) -> str:
    """To whoever believes that the entry says so after this command: what would leave it so."""
    verb, process = command.split()[:2]
    leaving = LEFT_BY[text]
    if verb in leaving:
        if process == owner:
            return tr("An entry can say so after {call}, but not this one.").format(call=tr(leaving[verb]))
        elsewhere = tr("An entry can say so after {call}, but in {process}'s table, not in {owner}'s.")
        return elsewhere.format(call=tr(leaving[verb]), process=process, owner=owner)
    if not leaving:
        return tr("The write sets the dirty bit in the same walk, so a written page is not clean.")
    *most, last = (tr(call) for call in leaving.values())
    calls = tr("{calls} or {last}").format(calls=", ".join(most), last=last) if most else last
    return tr("That is what {calls} leaves behind.").format(calls=calls)


def _written(before: Runner, command: str, setting: DrillScene) -> str:
    """Which micro-steps of the command write the process's entry of that page."""
    vpn = before.context.state.labels[setting.process, setting.label].start + setting.page
    writers = [
        stepped
        for stepped in steps(before, command)
        if any((change.table, change.key) == ("ptes", (setting.process, vpn)) for change in stepped.changes)
    ]
    if not writers:
        return tr("None of the command's micro-steps writes this entry.")
    named = ", ".join(dict.fromkeys(f"`{stepped.procedure}.{stepped.step}`" for stepped in writers))
    first, dot, _ = tr(" ".join(writers[-1].doc.split())).partition(". ")
    return tr("The entry is written by {steps}: {what}").format(steps=named, what=f"{first}{dot.strip()}")


def _entry(state: State, setting: DrillScene) -> Pte | None:
    place = state.labels.get((setting.process, setting.label))
    return state.ptes.get((setting.process, place.start + setting.page)) if place else None


def said(entry: Pte | None) -> str:
    """An entry in words, without the frame.

    >>> said(None), said(Pte(5, 0x67))
    ('empty', 'present rw user accessed dirty')
    """
    if entry is None:
        return "empty"
    return " ".join(names(entry.bits, PAGE_BITS)) if entry.present else f"not present: {entry.kind}"


def aligned(entries: Sequence[str]) -> list[str]:
    """Entries as `said` says them, one word below the other: a bit that one lacks is dashes, so that it is seen.

    >>> aligned(["present rw user", "empty", "present user nx"])
    ['present rw user --', 'empty', 'present -- user nx']
    """
    present = [each.split() for each in entries if each.startswith("present")]
    bits = [bit for _, bit in PAGE_BITS if any(bit in words for words in present)]
    return [
        " ".join(bit if bit in each.split() else "-" * len(bit) for bit in bits) if each.startswith("present") else each
        for each in entries
    ]


def walk(seed: int, dice: Random) -> Exercise:
    """Four indices of nine bits."""
    vpn = dice.randrange(1 << 9, 1 << 34)
    level = dice.randrange(4)
    lines = ("process p0", f"mmap p0 buf anon private rw 1 at={vpn:#x}")
    mapped = machine((*lines, "read p0 buf"))
    if not holds(mapped, "present p0 buf"):
        raise UnsuitableError("not mapped there")
    indices = [measured(mapped, f"index {name.lower()} p0 buf") for name in LEVELS]
    truth = indices[level]
    shifted = tr("{page} shifted right by {bits}, and of that the low 9 bits.")
    found = {truth: AnswerOption(str(truth), shifted.format(page=f"{vpn:#x}", bits=9 * level))}
    table = tr("That is the index into the {level} table.")
    for number, index in enumerate(indices):
        found.setdefault(index, AnswerOption(str(index), table.format(level=LEVELS[number])))
    for guess in (truth + 1 & INDEX, truth - 1 & INDEX, truth ^ 256):
        found.setdefault(guess, AnswerOption(str(guess), tr("Close: count the bits again, nine per level.")))
    values = [truth, *dice.sample(sorted(set(found) - {truth}), CHOICES - 1)]
    values.sort()
    which = tr("`buf` is the page with number {page}. Which entry of its {level} table does the walk read?")
    covers = ntr("Each covers {n} page.", "Each covers {n} pages.", 1 << 9 * level).format(n=1 << 9 * level)
    ask = f"{which.format(page=f'{vpn:#x} ({vpn})', level=LEVELS[level])} {covers}"
    answers = tuple(found[value] for value in values)
    return Exercise("walk", seed, lines, ask, answers, values.index(truth), ("read p0 buf",), blind=True)
