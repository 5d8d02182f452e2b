"""The comparison and the review of a driver: each answer as it comes, from the cache or from processes of their own."""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing, closing
from queue import Empty
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from model.compare.table import CellQuestion
from tui.jobs.compare_cache import Answer, Cache
from tui.jobs.limits import memory_now, with_growth
from tui.jobs.progress_bar import progress_bar
from tui.jobs.subprocess_job import run_in_process
from tui.jobs.worker_processes import CONTEXT, worker_processes

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from model.search.bfs import SearchProgress

Answered = tuple[str, Answer]
"""The text of a scene, and what comes of it."""

FEW: Final = 4
"""So many scenes are searched sooner than worker processes are started."""
MOST_MEMORY: Final = 4096
"""MiB that all processes together may take unless told otherwise."""
OUT_OF_MEMORY: Final = "memory bound hit"
KEPT_EVERY: Final = 10
"""Seconds after which what has been computed is written down."""
ASKED_EVERY: Final = 0.2
"""Seconds after which the processes are asked whether they are still there."""


class CellBounds(NamedTuple):
    """What a comparison may take."""

    most_states: int
    """For one cell."""
    jobs: int = 1
    """Processes."""
    most_memory: int = MOST_MEMORY
    """MiB for all of them."""


# -- for a command ---------------------------------------------------------------------------------


def answer_all(
    asked: Sequence[CellQuestion], bounds: CellBounds, *, fresh: bool = False
) -> tuple[dict[str, Answer], bool]:
    """Scene text → what comes of it, from the cache or computed; and whether Ctrl+C ended it early.

    What was computed until then is kept, so the next call goes on from there.
    """
    cache = Cache(bounds.most_states)
    known = {} if fresh else cache.read()
    answers = {question.text: known[question.text] for question in asked if question.text in known}
    missing = list({question.text: question for question in asked if question.text not in answers}.values())
    kept = time.monotonic()
    computed: dict[str, Answer] = {}
    try:
        with progress_bar(len(missing)) as advance, closing(compute(missing, bounds)) as coming:
            for text, answer in coming:
                answers[text] = computed[text] = answer
                advance()
                if time.monotonic() - kept > KEPT_EVERY:
                    cache.write(computed)
                    kept = time.monotonic()
    except KeyboardInterrupt:
        return answers, True
    finally:
        if computed and (unkept := cache.write(computed)):
            sys.stderr.write(f"{unkept}\n")
    return answers, False


# -- for a screen ----------------------------------------------------------------------------------


async def answers(asked: tuple[CellQuestion, ...], most_states: int, jobs: int) -> AsyncGenerator[Answered]:
    """Answers in any order; what had to be computed is kept. Raises ProcessGoneError."""
    cache = Cache(most_states)
    known = cache.read()
    texts = dict.fromkeys(question.text for question in asked)
    for text in texts:
        if text in known:
            yield text, known[text]
    missing = list({question.text: question for question in asked if question.text not in known}.values())
    if not missing:
        return
    computed: dict[str, Answer] = {}
    try:
        async with aclosing(run_in_process(compared, missing, CellBounds(most_states, jobs))) as coming:
            async for text, answer in coming:
                computed[text] = answer
                yield text, answer
    finally:
        cache.write(computed)


def compared(tell: Callable[[Answered], None], asked: list[CellQuestion], bounds: CellBounds) -> None:
    """Compute answers; runs in another process."""
    with closing(compute(asked, bounds)) as coming:
        for answered in coming:
            tell(answered)


# -- computing -------------------------------------------------------------------------------------


def compute(asked: Sequence[CellQuestion], bounds: CellBounds) -> Generator[Answered]:
    """Answer questions in any order: those that take long first, so that no process is left with one at the end.

    Where there is one process, they come last: whoever ends it early has the more.

    Scenes of a group go to one process: what a search of one has shown need not be searched for another. Whoever
    closes this ends the processes within a moment.
    """
    groups: dict[str, list[CellQuestion]] = {}
    alone = bounds.jobs <= 1 or len(asked) < FEW
    for question in sorted(asked, key=lambda question: question.heavy, reverse=not alone):
        groups.setdefault(question.group, []).append(question)
    if alone:
        for group in groups.values():
            yield from Judging(bounds.most_states, bounds.most_memory).answers(group)
        return
    queue = CONTEXT.Queue()
    each = max(bounds.most_memory // bounds.jobs, 1)
    with worker_processes(bounds.jobs, _begin, queue, bounds.most_states, each) as pool:
        yield from _gathered(queue, [pool.submit(_answer_group, group) for group in groups.values()])


def _gathered(queue: "Queue[Answered]", futures: "list[Future[None]]") -> Iterator[Answered]:
    """What the processes tell, until all of them are done. Raises what one of them has raised."""
    while True:
        over = all(future.done() for future in futures)
        try:
            yield queue.get(timeout=ASKED_EVERY)
        except Empty:
            for future in futures:
                if future.done():
                    future.result()
            if over:
                return


class Judging:
    """Answers the questions of one group, within bounds."""

    def __init__(self, most_states: int, most_memory: int) -> None:
        from model.compare.cells import Judge

        self.most_memory = most_memory
        self.ended = ""
        self.judge = Judge(most_states, self.allow)

    def allow(self, progress: "SearchProgress") -> bool:
        """Whether a search may go on."""
        if max(memory_now(), with_growth(progress)) > self.most_memory:
            self.ended = OUT_OF_MEMORY
        return not self.ended

    def answers(self, asked: list[CellQuestion]) -> Iterator[Answered]:
        """Search or try them one after the other."""
        from model.compare.cells import try_use

        for question in asked:
            self.ended = ""
            answer = try_use(question.text) if question.use else self.judge.cell(question.scene)
            yield question.text, msgspec.structs.replace(answer, ended=self.ended) if self.ended else answer


class _Worker(NamedTuple):
    """What a worker process is given when it begins."""

    queue: "Queue[Answered]"
    most_states: int
    most_memory: int


_workers: list[_Worker] = []
"""The one of this process."""


def _begin(queue: "Queue[Answered]", most_states: int, most_memory: int) -> None:
    _workers[:] = [_Worker(queue, most_states, most_memory)]


def _answer_group(asked: list[CellQuestion]) -> None:
    """Answer a group in a worker process."""
    worker = _workers[0]
    for answered in Judging(worker.most_states, worker.most_memory).answers(asked):
        worker.queue.put(answered)
