"""`userfaultfd`: what the next access to a page finds where a program handles page faults itself."""

from random import Random
from typing import Final

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, machine, perform, tried
from lessons.i18n.language import tr
from model.script.runner import Account

ACCESSES: Final = ("read p0 buf+0", "read p0 buf+0", "write p0 buf+0 9", "read p1 buf+0")
ANSWERS: Final = {
    "7": "it reads 7",
    "3": "it reads 3",
    "0": "it reads 0",
    "done": "it writes, and nobody is asked",
    "SIGBUS": "it gets SIGBUS",
    "waits": "it waits for an answer",
}
"""What an access can come to → what to call it."""
MEANS: Final = {
    "7": "7 is what UFFDIO_COPY brings here; nothing else has written it.",
    "3": "3 was there first. It is found as long as that page is mapped, or the file has it.",
    "0": "Zeros are what UFFDIO_ZEROPAGE brings, and what an ordinary fault finds where nobody is asked.",
    "done": "A write is nobody's business where the page is there and not write-protected, or with WP_ASYNC.",
    "SIGBUS": "SIGBUS comes instead of a wait with UFFD_FEATURE_SIGBUS, and from what UFFDIO_POISON has marked.",
    "waits": "A fault waits where the range is registered for its kind, and nobody has answered yet.",
}
"""When it comes to that."""


def userfaultfd(seed: int, dice: Random) -> Exercise:
    """What an access finds after one more command."""
    shared = dice.random() < 0.35
    features = dice.choice(("", "", " sigbus", " wp_async"))
    modes = dice.choice(("missing", "missing wp", "wp", *(("minor",) if shared else ())))
    modes = "wp" if features == " wp_async" else modes
    lines = ["process p0", "mmap p0 src anon private rw 1", "write p0 src 7"]
    lines += ["memfd f 1", "mmap p0 buf memfd:f shared rw 1"] if shared else ["mmap p0 buf anon private rw 1"]
    lines += ["pwrite f 0 3"] * (shared and dice.random() < 0.6)
    lines += ["write p0 buf 3"] * (dice.random() < 0.4)
    lines += [f"userfaultfd p0 u{features}", f"uffdio-register p0 buf u {modes}"]
    lines += ["fork p0 p1"] * (dice.random() < 0.3)
    commands = [
        "uffdio-copy p0 buf+0 u src",
        "uffdio-zeropage p0 buf+0 u",
        "uffdio-poison p0 buf+0 u",
        "uffdio-wake p0 buf u",
        "uffdio-unregister p0 buf u",
        "madvise p0 buf dontneed",
        *(("uffdio-writeprotect p0 buf u wp",) * 2 if "wp" in modes else ()),
        *(("uffdio-continue p0 buf+0 u",) * 2 if shared else ("uffdio-copy p0 buf+0 u src",)),
    ]
    access = dice.choice(ACCESSES if "fork p0 p1" in lines else ACCESSES[:3])
    command = dice.choice(commands)
    after, account = tried(machine(lines), command)
    if account.outcome.status != "ok":
        raise UnsuitableError(command)
    truth = came_to(perform(after, access))
    likely = (
        ("done", "SIGBUS", "waits") if access.startswith("write") else tuple(key for key in ANSWERS if key != "done")
    )
    kinds = [truth, *dice.sample([key for key in likely if key != truth], min(3, len(likely) - 1))]
    kinds.sort(key=list(ANSWERS).index)
    answers = tuple(AnswerOption(tr(ANSWERS[key]), tr(MEANS[key])) for key in kinds)
    ask = tr("`{command}` is next, and then `{access}`. What happens at that access?")
    asked = ask.format(command=command, access=access)
    if features:
        has = tr("`u` has {feature}.").format(feature=f"UFFD_FEATURE_{features.strip().upper()}")
        asked = f"{has} {asked}"
    return Exercise("userfaultfd", seed, tuple(lines), asked, answers, kinds.index(truth), (command, access))


def came_to(account: Account) -> str:
    """What an access has come to, a key of ANSWERS."""
    outcome = account.outcome
    if outcome.status == "blocked":
        return "waits"
    if outcome.status == "signal":
        return "SIGBUS"
    if account.command.verb == "write":
        return "done"
    if str(outcome.value) not in ANSWERS:
        raise UnsuitableError(str(outcome))
    return str(outcome.value)
