"""`corrupts`: can this go wrong? Judged by a search of every schedule."""

from random import Random
from typing import Final

from lessons.drills.exercise import Answer, Exercise, UnsuitableError, machine
from model.script.parser import parse_permissions
from model.script.scope import Scope
from model.search.explore import explore
from model.search.report import report
from model.search.scene import from_here

MOST_STATES: Final = 20_000
ANSWERS: Final = (
    "no: no rule is ever broken",
    "only a hazard: a false belief, but nothing is lost",
    "yes, bytes are lost",
)
ORDINARY: Final = ("process p0", "device nic", "mmap p0 buf anon private rw 1", "write p0 buf 1")
FILE: Final = ("process p0", "device nic", "memfd f 1", "mmap p0 buf memfd:f shared rw 1", "write p0 buf 1")
TAKES: Final = (
    "gup p0 buf as=r write by=nic",
    "gup p0 buf as=r write pin by=nic",
    "mirror p0 buf as=r by=nic",
)
HAPPENINGS: Final = ("madvise p0 buf dontneed", "munmap p0 buf", "fork p0 p1", "migrate p0 buf", "read p0 buf")
BUFFERS: Final = ("qxl", "insert-page", "udmabuf")


def corrupts(seed: int, dice: Random) -> Exercise:
    """A card takes a page of a process; then something happens, and the card writes."""
    lines, permitted = _setting(dice)
    before = machine(lines)
    state = before.context.state
    allowed = parse_permissions([f"may 1 {command}" for command in permitted], Scope.of(state))
    scene = from_here(before.context, before.checker, allowed)
    search = explore(scene, MOST_STATES, stop=lambda kind: kind[1] != "hazard")
    severities = {severity for _, severity in search.found}
    if not search.complete and not severities - {"hazard"}:
        raise UnsuitableError("too large")
    right = 2 if severities - {"hazard"} else 1 if severities else 0
    findings = report(search).findings
    account = findings[0].script if findings else ()
    replies = [_reply(number, right, findings[0].kind[0] if findings else "") for number in range(3)]
    answers = tuple(Answer(text, reply) for text, reply in zip(ANSWERS, replies, strict=True))
    listed = "; ".join(f"`{command}`" for command in permitted)
    ask = f"At any time, in any order, interleaved by micro-steps, once each: {listed}. Can this corrupt?"
    return Exercise("corrupts", seed, lines, ask, answers, right, account)


def _setting(dice: Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands, and what may happen."""
    kind = dice.choice(("anon", "anon", "file", "buffer"))
    if kind == "buffer":
        exporter, kernel = dice.choice(BUFFERS), dice.choice(("6.1", "6.18"))
        make = (
            ("memfd f 1", "bo b 1 exporter=udmabuf memfd=f")
            if exporter == "udmabuf"
            else (f"bo b 1 in=gtt exporter={exporter}",)
        )
        lines = (
            f"set kernel {kernel}",
            "process p0",
            "device nic",
            *make,
            "mmap p0 buf bo:b shared rw 1",
            "write p0 buf 1",
        )
        happens = "punch f 0 1" if exporter == "udmabuf" else "move b vram"
        take = dice.choice((*TAKES[:2], "follow p0 buf as=r by=nic"))
    elif kind == "file":
        lines, happens, take = FILE, dice.choice(("punch f 0 1", "truncate f 0", "munmap p0 buf")), dice.choice(TAKES)
    else:
        lines = ORDINARY
        happens = dice.choice(
            ("madvise p0 buf dontneed", "munmap p0 buf", "fork p0 p1", "migrate p0 buf", "read p0 buf")
        )
        take = dice.choice(TAKES)
    write = ("write p0 buf 7",) if happens.startswith("fork") else ()
    return lines, (take, happens, "dma r write 99", *write)


def _reply(number: int, right: int, rule: str) -> str:
    """To an answer."""
    if number == right:
        return (
            f"The rule that breaks is {rule}."
            if rule
            else "The search has seen every schedule: nothing is broken in any."
        )
    if number < right:
        return f"There is a schedule that breaks {rule}: look at the account."
    return "That would need a schedule in which it happens, and there is none: the search has seen all of them."
