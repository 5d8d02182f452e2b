"""`corrupts`: can this go wrong? Judged by a search of every schedule."""

from random import Random
from typing import Final

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, machine
from lessons.i18n.language import tr
from model.script.parser import parse_permissions
from model.script.scope import Scope
from model.search.bfs import explore
from model.search.paths import as_script, best_path
from model.search.problem import from_here

MOST_STATES: Final = 20_000
ANSWERS: Final = (
    "no: no schedule breaks a rule",
    "only a hazard: somebody believes something that is no longer true, but nothing is lost",
    "the kernel itself complains (a splat), but no byte goes astray",
    "yes: bytes are lost, or reach a stranger",
)
"""From harmless to worst."""
SEVERITIES: Final = ("", "hazard", "splat", "corruption")
"""The severity behind each answer."""
KERNELS: Final = ("6.1", "6.18")
TAKES: Final = (
    "gup p0 buf as=r write by=nic",
    "gup p0 buf as=r write pin by=nic",
    "gup p0 buf as=r write pin longterm by=nic",
    "mirror p0 buf as=r by=nic",
)
ANONYMOUS: Final = (
    "madvise p0 buf dontneed",
    "munmap p0 buf",
    "fork p0 p1",
    "migrate p0 buf",
    "reclaim p0 buf",
    "read p0 buf",
    "mprotect p0 buf r",
    "mremap p0 buf pages=1 to=40 maymove",
)
FILE: Final = (
    "punch f 0 1",
    "truncate f 0",
    "munmap p0 buf",
    "madvise p0 buf dontneed",
    "pwrite f 0 9",
    "pread f 0",
)
EXPORTERS: Final = ("qxl", "vgem", "insert-page", "udmabuf", "no-zap", "no-flush")
BUFFER: Final = ("move b vram", "evict b", "destroy b", "munmap p0 buf", "madvise p0 buf dontneed")


def corrupts(seed: int, dice: Random) -> Exercise:
    """A card takes a page of a process; then something happens, and the card writes."""
    lines, permitted = _setting(dice)
    before = machine(lines)
    state = before.context.state
    allowed = parse_permissions([f"may 1 {command}" for command in permitted], Scope.of(state))
    scene = from_here(before.context, before.checker, allowed)
    search = explore(scene, MOST_STATES, stop=lambda kind: kind[1] == "corruption")
    right = max((SEVERITIES.index(severity) for _, severity in search.found), default=0)
    if not search.complete and SEVERITIES[right] != "corruption":
        raise UnsuitableError("too large")
    if not right and dice.random() < 0.5:
        raise UnsuitableError("nothing is broken: too often the same")
    kinds = [kind for kind in search.found if kind[1] == SEVERITIES[right]]
    nearest = min(kinds, key=lambda kind: (search.distance[kind], kind), default=None)
    account = as_script(search, best_path(search, nearest).actions) if nearest else ()
    rule = nearest[0] if nearest else ""
    answers = tuple(AnswerOption(tr(text), _reply(number, right, rule)) for number, text in enumerate(ANSWERS))
    listed = "; ".join(f"`{command}`" for command in permitted)
    ask = tr("Once each, in any order, interleaved by micro-steps: {commands}. Can this corrupt memory?")
    return Exercise("corrupts", seed, lines, ask.format(commands=listed), answers, right, account)


def _setting(dice: Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands, and what may happen."""
    kind = dice.choice(("anon", "anon", "file", "buffer", "buffer"))
    takes: tuple[str, ...] = TAKES
    makes: tuple[str, ...] = ()
    mapping = "mmap p0 buf anon private rw 1"
    happens = dice.choice(ANONYMOUS)
    if kind == "file":
        makes, mapping, happens = ("memfd f 1",), "mmap p0 buf memfd:f shared rw 1", dice.choice(FILE)
    elif kind == "buffer":
        exporter = dice.choice(EXPORTERS)
        takes, mapping = (*TAKES, "follow p0 buf as=r by=nic"), "mmap p0 buf bo:b shared rw 1"
        makes = (f"bo b 1 in=gtt exporter={exporter}",)
        happens = dice.choice(BUFFER)
        if exporter == "udmabuf":
            makes, happens = ("memfd f 1", "seal f shrink", "bo b 1 exporter=udmabuf memfd=f"), "punch f 0 1"
    lines = (f"set kernel {dice.choice(KERNELS)}", "process p0", "device nic", *makes, mapping, "write p0 buf 1")
    more = dice.choice(((), ("write p0 buf 7",), ("read p0 buf",)))
    also = ("write p0 buf 7",) if happens.startswith("fork") else more
    return lines, (dice.choice(takes), happens, "dma r write 99", *(one for one in also if one != happens))


def _reply(number: int, right: int, rule: str) -> str:
    """The reply to an answer."""
    if number == right:
        none = tr("The search has seen every schedule: none breaks a rule.")
        return tr("It breaks {rule}.").format(rule=rule) if rule else none
    if number < right:
        return tr("There is a schedule that breaks {rule}: see the account.").format(rule=rule)
    return tr("No schedule does that: the search has seen them all.")
