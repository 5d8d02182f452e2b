"""Strikes: while one call is in flight, whatever can be taken away is taken away, at each of its micro-steps.

Random play seldom takes away just what a call has looked up; here nothing is left to chance but where it begins. A
strike follows from its number: the beginning of that episode and a few of its commands, then a call, the victim. It is
stopped before each micro-step in turn; there every killer runs as far as it comes, and the victim goes on to its end.
No step may find its object missing. The machine is a value, so going back costs nothing.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from model.engine.procedure import advance
from model.memory.state import State
from model.script.command import Command
from model.script.context import Outcome
from model.script.execute import ITS_OWN, task_begun
from model.script.parser import parse_line
from model.script.runner import Runner
from model.script.scope import Scope
from model.text.problems import ScriptError
from tests.model.random_scripts import Dialect
from tests.model.soak_episodes import KERNEL_VERBS, SIMULATED, Episode, Find, Focused, place_of
from tests.model.soak_scenes import that_succeed
from tests.model.test_random_scripts import possible

BEFORE: Final = 4
"""Commands that are carried out first, at most."""
VICTIMS: Final = 2
"""Calls of one beginning that are struck."""
MOST_STOPS: Final = 20
"""Micro-steps before which a victim is stopped; those of a longer one are spread over its length."""
MOST_STEPS: Final = 3000
"""Micro-steps that somebody goes on for."""
MOST_LABELS: Final = 3
"""Mappings of a process that killers go for."""
VICTIM: Final = "V"
KILLER: Final = "K"


class Stop(NamedTuple):
    """The machine before a micro-step of the victim."""

    steps: int
    state: State


def killers(state: State) -> Iterator[str]:
    """Whatever takes something away that there is."""
    scope = Scope.of(state)
    for process in sorted(state.processes):
        yield f"exit {process}"
        for label in sorted(scope.labels.get(process, ()))[:MOST_LABELS]:
            yield from _of_mapping(state, process, label)
    for name in sorted(scope.names["file"]):
        if name in state.files:
            yield f"truncate {name} 0"
            yield f"punch {name} 0 {state.files[name].size or 1}"
    for name in sorted(state.references):
        yield from (f"{verb} {name}" for verb in ("put", "unmap", "gpu-unmap"))
    for name in sorted(state.buffers):
        yield from (f"{verb} {name}" for verb in ("destroy", "evict", "invalidate"))
        yield f"move {name} vram"
        yield from (f"{op} {name}" for op in scope.ops_of(name) or ())
    yield from (f"detach {dmabuf} {device}" for dmabuf, device in sorted(state.attachments))
    yield from (f"uffd-close {who} {name}" for name, held in sorted(state.userfaultfds.items()) for who in held.open_in)
    yield "ksm-scan 2"


def _of_mapping(state: State, process: str, label: str) -> Iterator[str]:
    yield f"munmap {process} {label}"
    place = state.labels[process, label]
    yield f"mmap {process} over anon private rw {place.pages} at={place.start} fixed"
    yield f"mremap {process} {label} pages={place.pages} to={place.start + (1 << 20)} maymove"
    yield from (f"madvise {process} {label} {advice}" for advice in ("dontneed", "remove", "collapse", "unmergeable"))
    yield f"fork {process} {process}x"
    for one in ("migrate", "reclaim"):
        yield f"{one} {process} {label}+0"
    yield from (f"uffdio-unregister {process} {label} {name}" for name in sorted(state.userfaultfds))


def begun(state: State, task: str, line: str, cpu: int = ITS_OWN) -> State | None:
    """The machine with a task that is about to carry the line out; None where that is not even tried."""
    try:
        command = parse_line(line, Scope.of(state))
        if not isinstance(command, Command) or not possible(command):
            return None
        after = task_begun(state, task, command, cpu)
    except ScriptError:
        return None
    return None if isinstance(after, Outcome) else after


def onward(state: State, task: str) -> State:
    """Let a task go on until it has to wait, or to its end."""
    for _ in range(MOST_STEPS):
        if task not in state.tasks:
            break
        stepped = advance(state, task)
        state = stepped.state
        if stepped.blocked:
            break
    return state


def stops(state: State) -> list[Stop]:
    """The machine before each micro-step of the victim, as far as it comes alone."""
    found = [Stop(0, state)]
    while VICTIM in state.tasks and len(found) < MOST_STEPS:
        stepped = advance(state, VICTIM)
        if stepped.blocked:
            break
        state = stepped.state
        found.append(Stop(len(found), state))
    if VICTIM not in state.tasks:
        found.pop()
    if len(found) > MOST_STOPS:
        found = [found[number * len(found) // MOST_STOPS] for number in range(MOST_STOPS)]
    return found


def strike(number: int) -> Find | None:
    """Strike the victims of a number; what went wrong, if anything did."""
    episode, runner = Episode(number), Runner()
    lines = list(that_succeed(episode.prelude, runner))
    lines += that_succeed((episode.next_line(runner) for _ in range(episode.chance.number(0, BEFORE))), runner)
    state = runner.context.state
    for _ in range(VICTIMS):
        verbs = episode.verbs if episode.chance.number(0, 1) else KERNEL_VERBS
        line = Focused(episode.chance, Scope.of(state), Dialect((), verbs, SIMULATED)).line(verbs)
        start = begun(state, VICTIM, line)
        if start is not None and (find := _struck(tuple(lines), start, line)) is not None:
            return find
    return None


def _struck(before: tuple[str, ...], start: State, line: str) -> Find | None:
    """Strike one call at each of its micro-steps."""
    script = (*before, f"begin {VICTIM} {line}")
    try:
        found = stops(start)
    except Exception as error:  # noqa: BLE001 - any error at all is a find
        return Find((*script, f"finish {VICTIM}"), f"{type(error).__name__} in {place_of(error)}")
    for stop in found:
        for killer in killers(stop.state):
            state = begun(stop.state, KILLER, killer)
            if state is None:
                continue
            try:
                for task in (KILLER, VICTIM, KILLER, VICTIM):
                    state = onward(state, task)
            except Exception as error:  # noqa: BLE001 - any error at all is a find
                stepped = (f"step {VICTIM} {stop.steps}",) if stop.steps else ()
                alternating = tuple(f"finish {task}" for task in (KILLER, VICTIM, KILLER, VICTIM))
                lines = (*script, *stepped, f"begin {KILLER} {killer}", *alternating)
                return Find(lines, f"{type(error).__name__} in {place_of(error)}")
    return None
