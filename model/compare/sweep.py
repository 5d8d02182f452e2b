"""Ordinary calls against each other: which scenes there are, and what the search finds in one.

A scene maps one backing into one process, lets two CPUs look at it, and permits some calls besides an access by each of
the two CPUs. Nothing in it is wrong, so neither corruption nor a splat may be reachable.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations, combinations_with_replacement
from typing import Final, NamedTuple

import msgspec

from model.compare.known_bugs import known_bug
from model.compare.ordinary_calls import BACKINGS, CALLS, FORK, Backing, OrdinaryCall
from model.engine.config import KernelQuestions, holds_on, kernel_questions
from model.script.command import Command
from model.script.parser import parse
from model.search.bfs import Property, Search, explore, worst_first
from model.search.ends import never_ends
from model.search.few_switches import FewSwitches
from model.search.fewest_preemptions import fewest_preemptions
from model.search.other_kernel import SearchedKernel, alike, same_transitions
from model.search.paths import Action, Path, as_script, best_path, verified
from model.search.problem import SearchProblem, set_up
from model.search.transition_cache import TransitionCache

MOST_STATES: Final = 5_000_000
"""States that one search visits at most."""

FEW_STATES: Final = 50_000
"""Of so many states every one is visited. Where there are more, the schedules with few pre-emptions are searched."""

BEYOND: Final = 2
"""Pre-emptions in the scenes of more than FEW_STATES states, and of three calls, at most."""

LEAST: Final = 1
"""Pre-emptions that are searched in any case."""

MOST_BEYOND: Final = 100_000
"""Where the schedules with LEAST pre-emptions have led to so many states, those with more are searched no further."""

DEADLOCK: Final = "deadlock"
"""What is found where tasks wait for ever, for each other or for what nobody does."""

ERROR: Final = "error"
"""What is found where the model itself has an error: some order of steps that it does not expect."""


class SweepCase(NamedTuple):
    """One scene of the sweep."""

    kernel: str
    backing: Backing
    calls: tuple[OrdinaryCall, ...]

    @property
    def name(self) -> str:
        """How tables and the state file call it.

        >>> SweepCase("6.1", BACKINGS[0], CALLS[:2]).name
        '6.1, anonymous: munmap, mmap fixed'
        """
        return f"{self.kernel}, {self.backing.name}: {', '.join(call.name for call in self.calls)}"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the search of one scene has found."""

    states: int
    complete: bool = True
    """False: the bound on states was hit before every schedule with LEAST pre-emptions, or as many as asked for."""
    invariant: str = ""
    """The rule that is broken; `deadlock` where tasks wait for each other for ever; empty: nothing is."""
    severity: str = ""
    steps: int = 0
    """Micro-steps of the way into it that is told."""
    preemptions: int = 0
    """Of that way."""
    bound: int | None = None
    """Every schedule with at most so many pre-emptions was searched; None: every schedule there is; -1: not even all
    without one."""
    trace: str = ""
    """A script that leads into it from an empty machine."""
    known: str = ""
    """The source that says that this kernel really does it."""
    same_as: str = ""
    """The kernel on which the scene was searched; empty: on its own. What differs between the two was never asked, or
    makes no difference to any step."""

    @property
    def bad(self) -> bool:
        """Something is found that the kernel does not do."""
        return bool(self.invariant) and not self.known


def calls_for(backing: Backing, kernel: str) -> tuple[OrdinaryCall, ...]:
    """The calls that a backing can meet on a kernel."""
    return tuple(
        call
        for call in CALLS
        if (call.owner is None or backing.owner in call.owner)
        and (backing.moves or not call.only_moving)
        and (backing.collapses or not call.only_collapsing)
        and not (backing.lends_pages and call.gup)
        and (has_child(backing) or not call.child)
        and (backing.handled or not call.handler)
        and not (call.unless and holds_on(kernel, call.unless))
    )


def has(kernel: str, backing: Backing) -> bool:
    """Whether a kernel has such mappings."""
    return not backing.needs or holds_on(kernel, backing.needs)


def has_child(backing: Backing) -> bool:
    """Whether the set-up forks a child `k`."""
    return FORK in backing.touch


def may_meet(calls: Collection[OrdinaryCall]) -> bool:
    """Whether calls are tried together: what keeps a page meets what it must survive, and what sets up meets itself."""
    keeping = [call for call in calls if call.keeps]
    setups = {call.setup for call in calls if call.setup}
    return len(setups) < 2 and (not keeping or all(call.survived or call.keeps for call in calls))


def worth_it(backing: Backing, calls: Collection[OrdinaryCall]) -> bool:
    """Whether calls are tried on a backing: a collapse copies 512 pages, so its scenes are the dearest by far.

    There every call meets the collapse, and the most entangled ones each other, in pairs. And where userfaultfd handles
    the faults, every call meets those of the handler.
    """
    if backing.handled:
        return len(calls) == 2 and any(call.handler for call in calls)
    if not backing.collapses:
        return True
    return len(calls) == 2 and (any(c.only_collapsing for c in calls) or all(c.entangled for c in calls))


def cases(kernels: Collection[str], backings: Sequence[Backing] = BACKINGS) -> Iterator[SweepCase]:
    """Every pair of calls over every backing, a call with itself included; then the triples; both where `worth_it`.

    The kernels of a scene stand together: it is searched on one of those that do not differ in it.
    """
    pairs = [pair for pair in combinations_with_replacement(CALLS, 2) if pair[0] is not pair[1] or not pair[0].once]
    triples = combinations([call for call in CALLS if call.entangled], 3)
    for scenes in (pairs, [*triples]):
        together = [calls for calls in scenes if may_meet(calls)]
        for backing in backings:
            yield from _on_kernels(kernels, backing, [calls for calls in together if worth_it(backing, calls)])


def _on_kernels(
    kernels: Collection[str], backing: Backing, scenes: Iterable[tuple[OrdinaryCall, ...]]
) -> Iterator[SweepCase]:
    """Each scene on every kernel that has it."""
    possible = {
        kernel: {call.name for call in calls_for(backing, kernel)} for kernel in kernels if has(kernel, backing)
    }
    for calls in scenes:
        for kernel, names in possible.items():
            if all(call.name in names for call in calls):
                yield SweepCase(kernel, backing, calls)


def placed(backing: Backing, lines: Iterable[str]) -> list[str]:
    """Lines of calls, where the backing is mapped."""
    end, beyond = backing.at + backing.pages, backing.at + 4 * backing.pages + 32 - 32 % backing.pages
    to = beyond if backing.pages > 1 else 64
    places = {"at": backing.at, "end": end, "few": min(end, backing.at + 2), "pages": backing.pages, "to": to}
    return [line.format(**places) for line in lines]


def scene_lines(case: SweepCase) -> tuple[str, ...]:
    """The script of a case."""
    backing = case.backing
    permitted = placed(backing, (line for call in case.calls for line in call.lines))
    counted = {line: permitted.count(line) for line in permitted}
    return (
        f"set kernel {case.kernel}",
        *backing.settings,
        "process p0 cpu=0",
        *(["process p1 cpu=1"] if any(call.stranger for call in case.calls) else []),
        *(["device dev"] if backing.device or any(call.device for call in case.calls) else []),
        *backing.lines,
        *backing.touch,
        *dict.fromkeys(line for call in case.calls for line in call.setup),
        f"begin looker cpu=1 read p0 @{backing.at}",
        "finish looker",
        f"begin reader cpu=1 read p0 @{backing.at}",
        *(f"may {number} {line}" for line, number in counted.items()),
        f"may 1 cpu=0 write p0 @{backing.at} 66",
    )


def commands(case: SweepCase) -> tuple[Command, ...]:
    """The parsed script of a case."""
    return parse("".join(f"{line}\n" for line in scene_lines(case)))


class _Searched(NamedTuple):
    """A scene that was searched, and what was asked of its kernel."""

    case: SweepCase
    answer: Answer
    questions: KernelQuestions
    steps: SearchedKernel | None
    """Its transitions; None: they are no longer known, or the model has an error there."""


def answers(
    asked: Iterable[SweepCase], most_preemptions: int | None = None, most_states: int = MOST_STATES
) -> Iterator[tuple[SweepCase, Answer]]:
    """Search scenes one after the other; a scene that is the same on two kernels is searched on one of them."""
    searched: dict[tuple[str, ...], list[_Searched]] = {}
    latest: tuple[str, ...] = ()
    for case in asked:
        scene = (case.backing.name, *(call.name for call in case.calls))
        before = searched.setdefault(scene, [])
        if scene != latest:
            # The transitions of one scene at a time are kept: they are many.
            searched[latest] = [one._replace(steps=None) for one in searched.get(latest, ())]
            latest = scene
        same = next((one for one in before if _the_same(case, one)), None)
        if same is not None:
            yield case, _on_another_kernel(case, same.case, same.answer)
            continue
        with kernel_questions() as questions:
            found, steps = _answer(case, most_preemptions, most_states)
        before.append(_Searched(case, found, questions, steps))
        yield case, found


def _the_same(case: SweepCase, searched: _Searched) -> bool:
    """Whether a scene that was searched on another kernel is the same on the one of a case."""
    if alike(case.kernel, searched.case.kernel, searched.questions):
        return True
    return searched.steps is not None and same_transitions(searched.steps, set_up(commands(case)), case.kernel)


def _on_another_kernel(case: SweepCase, other: SweepCase, found: Answer) -> Answer:
    """What was found in the same scene on a kernel that does the same in it."""
    here, there = (f"set kernel {kernel}\n" for kernel in (case.kernel, other.kernel))
    known = _known(case, found.invariant) if found.invariant else ""
    trace = found.trace.replace(there, here, 1)
    return msgspec.structs.replace(found, trace=trace, known=known, same_as=other.kernel)


def answer(case: SweepCase, most_preemptions: int | None = None, most_states: int = MOST_STATES) -> Answer:
    """Search a scene to its first corruption or splat, a pair with so many pre-emptions.

    Of a pair without a bound every schedule is searched. Where there are more than FEW_STATES states, and of three
    calls, those with LEAST pre-emptions are, and those with BEYOND as far as MOST_BEYOND states go: some scenes have
    tens of millions of states, and real races need one pre-emption or two.
    """
    return _answer(case, most_preemptions, most_states)[0]


def _answer(case: SweepCase, most_preemptions: int | None, most_states: int) -> tuple[Answer, SearchedKernel | None]:
    try:
        scene = set_up(commands(case))
        cache = TransitionCache(scene)
        cache.noted = []
        found = _searched(case, scene, cache, most_preemptions, most_states)
        return found, SearchedKernel(case.kernel, scene, cache)
    except Exception as error:  # noqa: BLE001 - whatever a step of the model raises is what was found
        text = "".join(f"{line}\n" for line in (f"# {type(error).__name__}: {error}", *scene_lines(case)))
        return Answer(0, invariant=ERROR, severity=ERROR, trace=text), None


def _searched(
    case: SweepCase, scene: SearchProblem, cache: TransitionCache, most_preemptions: int | None, most_states: int
) -> Answer:
    """Search every schedule, or those of few pre-emptions."""
    if most_preemptions is not None or len(case.calls) > 2:
        bound = most_preemptions if len(case.calls) == 2 else None
        return _bounded(case, scene, cache, bound, most_states)
    search = explore(scene, min(FEW_STATES, most_states), is_bad, cache=cache)
    kinds = sorted(filter(is_bad, search.found), key=worst_first)
    if kinds:
        return _found(case, search, kinds[0], verified(search, kinds[0], best_path(search, kinds[0])))
    if not search.complete:
        return _bounded(case, scene, cache, None, most_states)
    ends = never_ends(search)
    if ends is not None:
        return _deadlock(case, search, ends.moves, len(search.seen))
    return Answer(len(search.seen))


def _bounded(
    case: SweepCase, scene: SearchProblem, cache: TransitionCache, most_preemptions: int | None, most_states: int
) -> Answer:
    """Search the schedules with so many pre-emptions; None: as many as go into MOST_BEYOND states."""
    search = Search(scene, symmetry=False, cache=cache)
    if most_preemptions is None:
        few = FewSwitches(search, is_bad, BEYOND, most_states, min(MOST_BEYOND, most_states), LEAST)
    else:
        few = FewSwitches(search, is_bad, most_preemptions, most_states)
    harm = few.run()
    if harm is not None:
        path = fewest_preemptions(search, harm.kind, harm.path)
        found = _found(case, search, harm.kind, verified(search, harm.kind, path), few.places)
    elif few.stuck is not None:
        found = _deadlock(case, search, few.stuck.actions, few.places)
    else:
        found = Answer(few.places, few.proved >= (LEAST if most_preemptions is None else most_preemptions))
    return msgspec.structs.replace(found, bound=few.proved)


def _deadlock(case: SweepCase, search: Search, moves: Sequence[Action], states: int) -> Answer:
    trace = "".join(f"{line}\n" for line in as_script(search, moves))
    return Answer(states, invariant=DEADLOCK, severity=DEADLOCK, trace=trace, known=_known(case, DEADLOCK))


def _known(case: SweepCase, invariant: str) -> str:
    """The source that says that this kernel really does it."""
    return known_bug(case.kernel, case.backing.name, [call.name for call in case.calls], invariant)


def _found(case: SweepCase, search: Search, kind: Property, path: Path, states: int = 0) -> Answer:
    return Answer(
        states or len(search.seen),
        invariant=kind[0],
        severity=kind[1],
        steps=path.steps,
        preemptions=path.preemptions,
        trace="".join(f"{line}\n" for line in as_script(search, path.actions)),
        known=_known(case, kind[0]),
    )


def is_bad(kind: Property) -> bool:
    """Whether no ordinary call may do that."""
    return kind[1] != "hazard"
