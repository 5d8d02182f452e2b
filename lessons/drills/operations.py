"""`which-op`: what happened between two pictures. `errno`: what a grab answers on a mapping."""

from random import Random
from typing import Final

from lessons.drills.exercise import Answer, Exercise, UnsuitableError, machine, tried
from lessons.drills.scenes import next_commands, scene
from model.memory.state import State
from model.script.account import Runner

CHOICES: Final = 4
SEEN: Final = ("vmas", "ptes", "frames", "references", "page_cache", "processes")
"""Tables that the panes show."""


def which_op(seed: int, dice: Random) -> Exercise:
    """Which command leads from the one machine to the other."""
    setting = scene(dice)
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
    answers = tuple(Answer(command, _reply(before, command, right=command == truth)) for command in commands)
    ask = "Something was done: the machine before, and after it (`n` and `p` go back and forth). What was it?"
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
    where = ", ".join(table for table in SEEN if old[table] != new[table])
    return f"It changes {where}." if right else f"That would have changed {where}, and not quite as you see it."


MAPPINGS: Final = (
    ("anonymous memory", ("mmap p0 buf anon private rw 1",)),
    ("anonymous memory, read-only", ("mmap p0 buf anon private r 1",)),
    ("anonymous memory that may not be touched (PROT_NONE)", ("mmap p0 buf anon private none 1",)),
    ("a memfd", ("memfd f 1", "mmap p0 buf memfd:f shared rw 1")),
    ("a memfd, mapped privately", ("memfd f 1", "mmap p0 buf memfd:f private rw 1")),
    ("a file on ext4, shared", ("diskfile e 1", "mmap p0 buf file:e shared rw 1")),
    ("a file on ext4, private", ("diskfile e 1", "mmap p0 buf file:e private rw 1")),
    ("a file on DAX storage", ("dax x 1", "mmap p0 buf dax:x shared rw 1")),
    ("secretmem", ("mmap p0 buf secretmem shared rw 1",)),
    ("the vDSO's data (vvar)", ("mmap p0 buf vvar private r 1",)),
    ("a BAR of a PCI device (remap_pfn_range)", ("device gpu", "mmap p0 buf bar:gpu shared rw 1")),
    ("a TTM buffer (vmf_insert_pfn)", ("bo b 1 in=gtt exporter=qxl", "mmap p0 buf bo:b shared rw 1")),
    ("a buffer of a dma-buf heap (remap_pfn_range)", ("bo b 1 exporter=system-heap", "mmap p0 buf bo:b shared rw 1")),
    ("a driver's page (vm_insert_page)", ("bo b 1 exporter=insert-page", "mmap p0 buf bo:b shared rw 1")),
)
GRABS: Final = (
    ("get_user_pages(), for writing", "gup p0 buf as=r slow write"),
    ("get_user_pages(), for reading", "gup p0 buf as=r slow"),
    ("GUP-fast alone, for writing", "gup p0 buf as=r fast-only write"),
    ("GUP-fast alone, for reading", "gup p0 buf as=r fast-only"),
    ("get_user_pages_fast(), for reading", "gup p0 buf as=r"),
    ("pin_user_pages(FOLL_PIN), for writing", "gup p0 buf as=r write pin"),
    ("pin_user_pages(FOLL_LONGTERM), for writing", "gup p0 buf as=r write pin longterm"),
    ("KVM's own walk, follow_pfn()", "follow p0 buf as=r"),
    ("hmm_range_fault(), for reading", "mirror p0 buf as=r by=nic"),
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
    kernel = dice.choice(("6.1", "6.12", "6.18", "7.3"))
    lines: tuple[str, ...] = (f"set kernel {kernel}", "device nic", "process p0", *mapping)
    before, read = tried(machine(lines), "read p0 buf")
    if read.outcome.status == "ok":
        lines = (*lines, "read p0 buf")
    _, account = tried(before, grab)
    truth = account.outcome.errno
    if account.outcome.status not in {"ok", "error"} or truth not in ERRNOS:
        raise UnsuitableError(grab)
    others = [name for name in list(ERRNOS)[:CHOICES] if name != truth][: CHOICES - 1]
    names = sorted([truth, *others])
    refused = f"It is refused with {truth}. {ERRNOS[truth]}"
    answers = tuple(
        Answer(name, ERRNOS[name]) if name else Answer("it gets the page", refused if truth else ERRNOS[""])
        for name in names
    )
    ask = f"Linux {kernel}. `buf` is {what}. What does {how}, answer? (`{grab}`)"
    return Exercise("errno", seed, lines, ask, answers, names.index(truth), (grab,))
