"""How fast the search is, next to two written as one would write them first: `python benchmarks/search.py`.

All three search the same scene of the same model, so states and transitions are the same. The plain search keeps whole
States in a set and runs every step on the kernel. The naive one copies the machine deeply for every step, knows states
by their printed form and draws the graph with networkx. Both are cut off after some states and compared by states a
second. Then, for every scene, the time to the first shortest counterexample and to the full verdict, and the memory of
a state. Exit status 1 if a target is missed.
"""

import argparse
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Final, NamedTuple

import networkx as nx
from rich.console import Console
from rich.table import Table

from benchmarks import gup_zap
from benchmarks.spin import installed, spin
from benchmarks.steps import resident_bytes
from model.engine.procedure import advance
from model.invariants.checker import Checker
from model.memory.state import TABLES, State
from model.script.context import Outcome
from model.script.execute import task_begun
from model.script.parser import parse
from model.search.bfs import Search, explore
from model.search.problem import SearchProblem, set_up
from model.search.reduction import Reduction
from model.search.report import report
from model.search.strategy import search_scene

ROOT: Final = Path(__file__).parents[1]
SCENES: Final = (*sorted((ROOT / "lessons/scenes").glob("*.pte")), *sorted((ROOT / "tests/model/scenes").glob("*.pte")))

PROMELA: Final = Path(__file__).with_name("gup_zap.pml")

LEAST_NAIVE: Final = 100
LEAST_PLAIN: Final = 3
ABOUT: Final = """\
Written by `python benchmarks/search.py --write docs/speed.md`; CPU time, all in one process. Medians of three
runs: the first table and, in the second, all but SPIN's search of every state with its compiler; the rest are single
runs. Read the ratios: the machine has other work to do as well. The target of three times a tuple search is checked
against whole States in a set, which know as much; the tuples by hand do not, and beside those it is missed.

Where every state is visited SPIN is far ahead of this search: it runs compiled code over state vectors of a few bytes
that hold nothing but what this one scene can reach, written by hand for it (`benchmarks/gup_zap.pml`). The search here
runs the model's own procedures and all its rules, which nobody has to write anew for a scene; it visits the same states
by the same transitions. The tuples by hand (`benchmarks/gup_zap.py`) know as little as the Promela does.

For a verdict not every state has to be visited. SPIN's partial-order reduction leaves out little here, because every
process may write to what the others read; the reduction of this search ([reduction.py](../model/search/reduction.py))
knows for each place in the code what is looked at there and further on, who holds which lock, and which devices are
alike. SPIN's compiler, which it needs for each scene, is not counted."""

MOST_FIRST: Final = 0.3
MOST_VERDICT: Final = 2.0
MOST_BYTES: Final = 100

SIX_COMMANDS: Final = """
device nic
process p0
process p1
bo b0 1 in=gtt exporter=qxl
mmap p0 buf bo:b0 shared rw 1
write p0 buf 1
may 1 mirror p0 buf as=r by=nic
may 1 move b0 vram
may 1 bo b1 1 in=gtt exporter=qxl
may 1 mmap p1 s bo:b1 shared rw 1 populate
may 1 dma r write 99
may 1 put r
"""
FOLLOW: Final = """
device nic
process p0
bo b 32 in=gtt exporter=qxl
mmap p0 buf bo:b shared rw 32
write p0 buf 1
may 1 follow p0 buf as=r by=nic
may 1 move b vram
may 1 dma r write 99
"""
FEW_STATES: Final = {
    "six commands": (SIX_COMMANDS, 12_000),
    "one process, dma twice": (SIX_COMMANDS.replace("mmap p1", "mmap p0").replace("may 1 dma", "may 2 dma"), 100_000),
    "follow over 32 pages": (FOLLOW, None),
}
"""Scene → the script, and how many states may be visited; None: as many as it takes, if only the search comes to its
end. Of the first two every state is 193,850 and 1.8 million."""
LARGE: Final = """
device nic
process p0
process p1
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 fork p0 kid
may 2 write p0 buf 7
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""
"""Far more than a million states."""


# -- searches as one would write them first ----------------------------------------------------


class Place(NamedTuple):
    """A state of the search: the machine, and how often what may still be started."""

    state: State
    left: tuple[int, ...]


def successors(scene: SearchProblem, place: Place) -> Iterator[Place]:
    """Everything that one start or one micro-step leads to."""
    for number, permission in enumerate(scene.permissions):
        name = next((name for name in permission.tasks if name not in place.state.tasks), None)
        if place.left[number] and name is not None:
            begun = task_begun(place.state, name, permission.command, permission.cpu_in(place.state))
            if not isinstance(begun, Outcome):
                left = list(place.left)
                left[number] -= 1
                yield Place(begun, tuple(left))
    for task in place.state.tasks:
        stepped = advance(place.state, task)
        if not stepped.blocked:
            yield Place(stepped.state, place.left)


def plain(scene: SearchProblem, most: int) -> int:
    """Whole States in a set; returns how many were expanded."""
    start = Place(scene.context.state, tuple(permission.times for permission in scene.permissions))
    seen, queue = {start}, [start]
    for number, place in enumerate(queue):
        if number == most:
            return number
        Checker.full(place.state)
        for after in successors(scene, place):
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return len(queue)


def naive(scene: SearchProblem, most: int) -> int:
    """Deep copies, printed forms, a graph; returns how many were expanded."""
    start = Place(scene.context.state, tuple(permission.times for permission in scene.permissions))
    graph = nx.DiGraph()
    queue = [(start, printed(start))]
    graph.add_node(queue[0][1])
    for number, (place, key) in enumerate(queue):
        if number == most:
            return number
        Checker.full(place.state)
        for after in successors(scene, place):
            following = printed(after)
            if following not in graph:
                queue.append((after, following))
            graph.add_edge(key, following)
    return len(queue)


def printed(place: Place) -> str:
    """A copy of everything, printed in order."""
    tables = {
        table.name: dict(entries.items())
        for table, entries in zip(TABLES, place.state.maps, strict=True)
        if len(entries)
    }
    copied = deepcopy(tables)
    return repr((place.left, {name: sorted(table.items()) for name, table in sorted(copied.items())}))


# -- measuring ---------------------------------------------------------------------------------


def rate(search: Callable[[], int]) -> float:
    """States a second of CPU time, the median of some runs."""
    states: list[int] = []
    seconds = seconds_of(lambda: states.append(search()))
    return states[0] / seconds


def remembered(scene: SearchProblem, most: int) -> int:
    """The search of the model; returns its states."""
    return len(explore(scene, most).seen)


def rates(console: Console, most: int) -> bool:
    """The three searches side by side."""
    scene = set_up(parse(LARGE))
    fast = rate(lambda: remembered(scene, most))
    others = {"whole States in a set": rate(lambda: plain(scene, 3000))}
    others["deepcopy, repr and networkx"] = rate(lambda: naive(scene, 600))
    table = Table("search", "states/s", "ratio", title=f"The same scene, CPU time ({most:,} states, 3000, 600)")
    table.add_row("what is remembered", f"{fast:,.0f}", "")
    for name, slow in others.items():
        table.add_row(name, f"{slow:,.0f}", f"{fast / slow:.0f}")
    console.print(table)
    least = dict(zip(others, (LEAST_PLAIN, LEAST_NAIVE), strict=True))
    return all(fast / slow >= least[name] for name, slow in others.items())


def seconds_of(search: Callable[[], object], runs: int = 3) -> float:
    """CPU seconds, the median of some runs."""
    found = []
    for _ in range(runs):
        settle()
        begun = time.process_time()
        search()
        found.append(time.process_time() - begun)
    return statistics.median(found)


def settle() -> None:
    """What stands from earlier measurements is not looked through again, as the program does when it starts."""
    gc.collect()
    gc.freeze()


def peers(console: Console, devices: int) -> bool:
    """The scene of `benchmarks.gup_zap`: this search beside one by hand in Python and SPIN's. All find the same."""
    scene = set_up(parse(gup_zap.script(devices)))
    found = explore(scene, symmetry=False)
    states, transitions = len(found.seen), found.transitions
    equal = len(explore(scene).seen)
    del found
    ours = seconds_of(lambda: explore(scene, symmetry=False))
    by_hand = gup_zap.breadth_first(devices)
    assert (by_hand.states, by_hand.transitions) == (states, transitions), "the two models differ"
    table = Table(
        "search", "states", "CPU s", "states/s", "of ours", title=f"GUP-fast against a zap, {devices} devices"
    )

    def told(name: str, count: int, seconds: float) -> None:
        table.add_row(name, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{seconds / ours:.2f}")

    told("this one, every state", states, ours)
    told("this one, equal devices exchanged", equal, seconds_of(lambda: explore(scene)))
    visited = reduced(scene).transitions + 1
    ours_reduced = seconds_of(lambda: reduced(scene))
    told("this one, for the verdict", visited, ours_reduced)
    told("tuples by hand (ten fields)", states, seconds_of(lambda: gup_zap.breadth_first(devices)))
    met = True
    if installed():
        runs = [spin(PROMELA, devices) for _ in range(3)]
        assert (runs[0].states, runs[0].transitions - 1) == (states, transitions), "SPIN's model differs"
        searched = statistics.median(run.searched for run in runs)
        told("SPIN by hand, every state", states, searched)
        part = [spin(PROMELA, devices, reduced=True) for _ in range(3)]
        theirs_reduced = statistics.median(run.searched for run in part)
        told("SPIN by hand, partial order", part[0].states, theirs_reduced)
        told("SPIN, every state, with its compiler", states, searched + runs[0].compiled)
        met = ours_reduced <= theirs_reduced
    console.print(table)
    if not installed():
        console.print("SPIN: not measured, spin or cc is not installed")
    return met


def reduced(scene: SearchProblem) -> Reduction:
    """A search for the verdict alone."""
    search = Search(scene)
    found = Reduction(scene, search.cache, search.symmetry)
    found.run()
    return found


def few_states(console: Console) -> bool:
    """How many states scenes of bugs and drivers need for the verdict."""
    table = Table("scene", "visited", "at most", "kept", "CPU s", title="States for the verdict")
    met = True
    for name, (text, most) in FEW_STATES.items():
        scene = set_up(parse(text))
        begun = time.process_time()
        found = reduced(scene)
        seconds = time.process_time() - begun
        visited = found.transitions + 1  # no state is reached oftener than there are steps
        finished = f"{visited:,}" if found.complete else f"more than {visited:,}"
        table.add_row(name, finished, f"{most:,}" if most else "", f"{len(found.before):,}", f"{seconds:.2f}")
        met &= found.complete and (most is None or visited <= most)
    console.print(table)
    return met


def scenes(console: Console) -> bool:
    """First counterexample and full verdict of every scene that permits something."""
    table = Table("scene", "states", "first, s", "verdict, s", title="CPU time beyond start-up")
    met = True
    for path in SCENES:
        text = path.read_text(encoding="utf-8")
        if "\nmay " not in text:
            continue
        commands = parse(text)
        settle()
        begun = time.process_time()
        explore(set_up(commands), stop=lambda kind: kind[1] != "hazard")
        first = time.process_time() - begun
        settle()
        begun = time.process_time()
        made = search_scene(set_up(commands))
        search = made.search
        found = report(search, "", made.part, made.reduction)
        verdict = time.process_time() - begun
        table.add_row(
            path.stem, f"{len(search.seen):,}", f"{first:.2f}" if found.corrupts else "none", f"{verdict:.2f}"
        )
        met &= (first <= MOST_FIRST or not found.corrupts) and verdict <= MOST_VERDICT
    console.print(table)
    return met


def memory(console: Console, most: int) -> bool:
    """Bytes a state, everything counted."""
    gc.collect()
    before = resident_bytes()
    search = Search(set_up(parse(LARGE)))
    begun = time.process_time()
    search.run(most)
    seconds = time.process_time() - begun
    size = (resident_bytes() - before) / len(search.seen)
    of = f"{len(search.seen):,} states of {search.cache.layout.bits} bits"
    console.print(f"{size:.0f} bytes a state over {of}, {seconds:.1f} s")
    return size <= MOST_BYTES


def document(printed: str) -> str:
    """What was printed as a document, with its date."""
    text = "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")
    when = f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores"
    return f"# How fast the search is\n\n{ABOUT}\n\n{when}:\n\n```text\n{text}\n```\n"


def main() -> int:
    """Measure, report, compare with the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--states", type=int, default=1_000_000, help="states of the largest search")
    parser.add_argument("--write", metavar="FILE", type=Path, help="keep what is printed in this Markdown file too")
    arguments = parser.parse_args()
    console = Console(width=100, record=arguments.write is not None)
    targets = {
        f"{LEAST_NAIVE} times naive, {LEAST_PLAIN} times plain": rates(console, 100_000),
        "ahead of SPIN for a verdict": peers(console, 3),
        "few states": few_states(console),
        f"first counterexample in {MOST_FIRST} s, verdict in {MOST_VERDICT} s": scenes(console),
        f"{MOST_BYTES} bytes a state": memory(console, arguments.states),
    }
    for target, met in targets.items():
        console.print(f"target {target}: {'met' if met else 'MISSED'}")
    if arguments.write:
        text = document(console.export_text(styles=False))
        arguments.write.write_text(text, encoding="utf-8")
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
