"""A search as a screen wants it: in a process of its own, telling how far it is, with a result of plain values."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from model.invariants.checker import Checker
from model.script.command import Command
from model.script.context import Context
from model.search.bfs import MOST_STATES, Property, SearchProgress, explore
from model.search.problem import from_here
from model.search.result import SearchResult, result_of
from model.text.problems import ScriptError
from tui.jobs.limits import limit_memory
from tui.jobs.subprocess_job import ProcessGoneError, run_in_process

MOST_MEMORY = 2 << 30
"""Bytes of address space that the process that searches may take."""
TOLD_EVERY = 0.1
"""Seconds between two words of how far it is."""


class SearchRequest(NamedTuple):
    """What is to be searched."""

    context: Context
    checker: Checker
    allowed: tuple[Command, ...]
    """`may` commands."""
    stated: tuple[Command, ...] = ()
    """`always`, `never` and `final` commands."""
    most_states: int = MOST_STATES
    first: bool = False
    """End at the first corruption or splat."""


class SearchStatus(NamedTuple):
    """How far the search is."""

    progress: SearchProgress
    seconds: float


class SearchFailed(NamedTuple):
    """Why there is no result."""

    why: str


Word = SearchStatus | SearchResult | SearchFailed
"""What the process says; the last word is the result or why there is none."""


async def search(request: SearchRequest) -> AsyncGenerator[Word]:
    """Search in another process, which ends when it is no longer listened to."""
    try:
        async with aclosing(run_in_process(searched, request)) as words:
            async for word in words:
                yield word
    except ProcessGoneError as gone:
        yield SearchFailed(f"the process that searched is gone: {gone}")


def searched(tell: Callable[[Word], None], request: SearchRequest) -> None:
    """The search itself; runs in the other process."""
    limit_memory(MOST_MEMORY)
    began = time.monotonic()
    due = began

    def progressed(progress: SearchProgress) -> bool:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + TOLD_EVERY
            tell(SearchStatus(progress, now - began))
        return True

    def stop(kind: Property) -> bool:
        return request.first and kind[1] != "hazard"

    try:
        scene = from_here(request.context, request.checker, request.allowed, request.stated)
        tell(result_of(explore(scene, request.most_states, stop, progressed)))
    except ScriptError as error:
        tell(SearchFailed(str(error)))
    except MemoryError:
        tell(SearchFailed("memory ran out; permit less, or set a lower bound"))
