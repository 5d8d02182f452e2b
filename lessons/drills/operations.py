"""`which-op`: what happened between two pictures. `errno`: what a grab answers on a mapping."""

from random import Random
from typing import Final

from lessons.drills.exercise import Answer, Exercise, UnsuitableError, machine, perform, tried
from lessons.drills.scenes import next_commands, scene
from model.memory.state import State
from model.script.account import Runner

CHOICES: Final = 4
SEEN: Final = ("vmas", "ptes", "frames", "content", "references", "files", "page_cache", "processes")
"""Tables that the panes show."""


def which_op(seed: int, dice: Random) -> Exercise:
    """Which command leads from the one machine to the other."""
    setting = scene(dice)
    before = machine(setting.lines)
    found: dict[str, State] = {}
    for command in next_commands(setting, dice):
        after, account = tried(before, command)
        if account.outcome.status != "ok" or not _differs(before.context.state, after.context.state):
            continue
        if all(_differs(other, after.context.state) for other in found.values()):
            found[command] = after.context.state
        if len(found) == CHOICES:
            break
    if len(found) < CHOICES:
        raise UnsuitableError("too few commands that can be told apart")
    commands = list(found)
    truth = commands[0]
    dice.shuffle(commands)
    answers = tuple(Answer(command, _reply(before, command, right=command == truth)) for command in commands)
    ask = "Something was done: the machine before, and after it (`n` and `p` go back and forth). What was it?"
    return Exercise("which-op", seed, setting.lines, ask, answers, commands.index(truth), (truth,), both=True)


def _differs(one: State, other: State) -> bool:
    """Whether somebody who sees the panes can tell them apart.

    Asked by ==: two empty tables are equal *and* unequal for rpds.
    """
    return not all(getattr(one, table) == getattr(other, table) for table in SEEN)


def _reply(before: Runner, command: str, *, right: bool) -> str:
    """What the command does, as far as it can be seen."""
    _, account = tried(before, command)
    changed = dict.fromkeys(change.table for change in account.changes if change.table in SEEN)
    where = ", ".join(changed) or "nothing that is shown"
    return f"It changes {where}." if right else f"That would have changed {where}, and not quite as you see it."


MAPPINGS: Final = (
    ("anonymous memory", ("mmap p0 buf anon private rw 1",)),
    ("anonymous memory, read-only", ("mmap p0 buf anon private r 1",)),
    ("a memfd", ("memfd f 1", "mmap p0 buf memfd:f shared rw 1")),
    ("a file on ext4, shared", ("diskfile e 1", "mmap p0 buf file:e shared rw 1")),
    ("a file on DAX storage", ("dax x 1", "mmap p0 buf dax:x shared rw 1")),
    ("secretmem", ("mmap p0 buf secretmem shared rw 1",)),
    ("a TTM buffer (vmf_insert_pfn)", ("bo b 1 in=gtt exporter=qxl", "mmap p0 buf bo:b shared rw 1")),
    ("a driver's page (vm_insert_page)", ("bo b 1 exporter=insert-page", "mmap p0 buf bo:b shared rw 1")),
)
GRABS: Final = (
    ("get_user_pages(), for writing", "gup p0 buf as=r slow write"),
    ("GUP-fast alone, for writing", "gup p0 buf as=r fast-only write"),
    ("get_user_pages_fast(), for reading", "gup p0 buf as=r"),
    ("pin_user_pages(FOLL_LONGTERM), for writing", "gup p0 buf as=r write pin longterm"),
    ("KVM's own walk, follow_pfn()", "follow p0 buf as=r"),
)
ERRNOS: Final = {
    "": "The page is handed out: neither the entry nor the VMA says anything against it.",
    "EFAULT": "EFAULT is for what is not there, may not be accessed like that, or is not the mm's to hand out.",
    "EOPNOTSUPP": "EOPNOTSUPP is how a long-term pin on DAX or in a file that needs dirty tracking is refused.",
    "EINVAL": "EINVAL is for arguments that make no sense, and of follow_pfn() for a VMA that is no raw mapping.",
    "ENOMEM": "Memory is not short here.",
    "EAGAIN": "EAGAIN asks to try again; nothing here is in the way only for a while.",
}


def errno(seed: int, dice: Random) -> Exercise:
    """The answer of one grab on one mapping."""
    what, mapping = dice.choice(MAPPINGS)
    how, grab = dice.choice(GRABS)
    kernel = dice.choice(("6.1", "6.12", "6.18"))
    lines = (f"set kernel {kernel}", "process p0", *mapping)
    before = machine(lines)
    perform(before, "read p0 buf")
    _, account = tried(before, grab)
    truth = account.outcome.errno
    if account.outcome.status not in {"ok", "error"} or truth not in ERRNOS:
        raise UnsuitableError(grab)
    others = [name for name in list(ERRNOS)[:CHOICES] if name != truth][: CHOICES - 1]
    names = sorted([truth, *others])
    answers = tuple(Answer(name or "it gets the page", ERRNOS[name]) for name in names)
    ask = f"Linux {kernel}. `buf` is {what}. What does {how}, answer? (`{grab}`)"
    return Exercise("errno", seed, (*lines, "read p0 buf"), ask, answers, names.index(truth), (grab,))
