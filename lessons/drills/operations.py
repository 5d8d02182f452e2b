"""`which-op`: what happened between two pictures."""

from random import Random
from typing import Final

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, machine, tried
from lessons.drills.scenes import DrillScene, next_commands, scene
from lessons.i18n.language import tr
from model.memory.state import State
from model.script.runner import Runner

CHOICES: Final = 4
SEEN: Final = {
    "vmas": "VMAs",
    "ptes": "PTEs",
    "frames": "frames",
    "references": "references",
    "page_cache": "the page cache",
    "processes": "a process",
}
"""Tables that the screen shows → what to call them."""


def which_op(seed: int, dice: Random, setting: DrillScene | None = None) -> Exercise:
    """Which command leads from the one machine to the other."""
    setting = setting or scene(dice)
    before = machine(setting.lines)
    found: list[str] = []
    pictures = [seen(before.context.state)]
    for command in next_commands(setting, dice):
        after, account = tried(before, command)
        picture = seen(after.context.state)
        if account.outcome.status == "ok" and picture not in pictures:
            pictures.append(picture)
            found.append(command)
        if len(found) == CHOICES:
            break
    if len(found) < CHOICES:
        raise UnsuitableError("too few commands that can be told apart")
    truth, commands = found[0], found
    dice.shuffle(commands)
    answers = tuple(AnswerOption(command, _reply(before, command, right=command == truth)) for command in commands)
    ask = tr("One command lies between the two machines. Which?")
    return Exercise("which-op", seed, setting.lines, ask, answers, commands.index(truth), (truth,), both=True)


def seen(state: State) -> dict[str, object]:
    """What somebody who looks at the panes sees of a machine: no accessed and dirty bits, no bytes of free frames."""
    frames = {pfn: frame for pfn, frame in state.frames.items() if frame.kind != "free"}
    return {
        "vmas": {key: (vma.end, vma.flags, vma.ops, vma.file, vma.pgoff) for key, vma in state.vmas.items()},
        "ptes": {key: (pte.pfn, pte.kind, pte.writable, pte.special) for key, pte in state.ptes.items()},
        "frames": {
            pfn: (frame.kind, frame.refcount, frame.mapcount, frame.exclusive, state.content.get(pfn))
            for pfn, frame in frames.items()
        },
        "references": dict(state.references.items()),
        "page_cache": dict(state.page_cache.items()),
        "processes": {name: process.has_pinned for name, process in state.processes.items()},
    }


def _reply(before: Runner, command: str, *, right: bool) -> str:
    """What the command does, as far as it can be seen."""
    old, new = seen(before.context.state), seen(tried(before, command)[0].context.state)
    *most, last = (tr(name) for table, name in SEEN.items() if old[table] != new[table])
    what = tr("{most} and {last}").format(most=", ".join(most), last=last) if most else last
    said = tr("It changes {what}.") if right else tr("That changes {what} too, but not this way.")
    return said.format(what=what)
