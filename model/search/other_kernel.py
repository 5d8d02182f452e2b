"""Does a search hold on another kernel? The steps that asked for what divides the two are made once more, on that one.

A search remembers each step once for all states that look the same to it. A step that has asked nothing of its kernel
that divides two kernels does the same on both. If the others do the same as well, and look at nothing else that
divides two states of this search, then both kernels have the same states and transitions, and the same verdict.
"""

from typing import Final, NamedTuple

from model.driver_files.resolve import resolve
from model.engine.config import KernelQuestions, holds_on
from model.memory.state import Tables
from model.search.packed import Footprint
from model.search.problem import SearchProblem
from model.search.transition_cache import ExecutedTransition, NotedRun, TransitionCache

SETTINGS: Final = Tables.settings.number
KERNEL: Final = "kernel"
"""The setting that names it."""


class SearchedKernel(NamedTuple):
    """A search that is over, and what was asked of the kernel in it."""

    kernel: str
    scene: SearchProblem
    cache: TransitionCache
    """Its runs were noted."""


def alike(one: str, other: str, questions: KernelQuestions) -> bool:
    """Whether two kernels have the same answers."""
    return all(holds_on(one, name) == holds_on(other, name) for name in questions.facts) and all(
        resolve(text, one, undone) == resolve(text, other, undone) for text, undone in questions.drivers
    )


def same_transitions(searched: SearchedKernel, scene: SearchProblem, kernel: str) -> bool:
    """Whether a search of `scene`, the same one on another kernel, would meet the same transitions."""
    return same_start(searched.scene, scene) and all(
        alike(searched.kernel, kernel, noted.questions) or _does_the_same(searched, kernel, noted)
        for noted in searched.cache.noted or ()
    )


def same_start(one: SearchProblem, other: SearchProblem) -> bool:
    """Whether two machines differ in nothing but the name of their kernel."""
    mine, its = one.context.state.maps, other.context.state.maps
    return (
        all(mine[number] == its[number] for number in range(len(mine)) if number != SETTINGS)
        and mine[SETTINGS].discard(KERNEL) == its[SETTINGS].discard(KERNEL)
        and one.checker.broken == other.checker.broken
        and one.permissions == other.permissions
    )


def _does_the_same(searched: SearchedKernel, kernel: str, noted: NotedRun) -> bool:
    """Whether a step does the same on the other kernel, in every state in which it is known to do that on its own."""
    before = Footprint()
    before.mask = noted.mask
    run = _on(kernel, searched, noted)
    return run.effect == noted.effect and before.covers(run.reads.depends_on, run.reads.packed_tables)


def _on(kernel: str, searched: SearchedKernel, noted: NotedRun) -> ExecutedTransition:
    """Make a step of a search on a machine that differs in nothing but its kernel."""
    settings = searched.cache.tables[SETTINGS]
    named = settings.component(KERNEL)
    own = named.by_code[0]
    named.by_code[0] = kernel
    try:
        return searched.cache.run(noted.actor, noted.packed)
    finally:
        named.by_code[0] = own
