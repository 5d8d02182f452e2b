"""The comparison as a screen wants it: each answer as it comes, from the cache or from processes of their own."""

from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import aclosing
from multiprocessing import get_context
from typing import Final

from model.compare.table import CellQuestion
from tui.jobs.compare_cache import Answer, Cache
from tui.jobs.subprocess_job import run_in_process

Answered = tuple[str, Answer]
"""The text of a scene, and what comes of it."""

FEW: Final = 4
"""So many scenes are searched sooner than worker processes are started."""


async def answers(asked: tuple[CellQuestion, ...], most_states: int, jobs: int) -> AsyncGenerator[Answered]:
    """Answers in any order; what had to be computed is kept. Raises GoneError."""
    cache = Cache(most_states)
    known = cache.read()
    texts = dict.fromkeys(question.text for question in asked)
    for text in texts:
        if text in known:
            yield text, known[text]
    missing = list({question.text: question for question in asked if question.text not in known}.values())
    if not missing:
        return
    try:
        async with aclosing(run_in_process(compared, missing, most_states, jobs)) as computed:
            async for text, answer in computed:
                known[text] = answer
                yield text, answer
    finally:
        cache.write(known)


def compared(tell: Callable[[Answered], None], asked: list[CellQuestion], most_states: int, jobs: int) -> None:
    """Compute answers; runs in another process."""
    for answered in compute(asked, most_states, jobs):
        tell(answered)


def compute(asked: list[CellQuestion], most_states: int, jobs: int) -> Iterator[Answered]:
    """Answer questions in any order, those that take long first, so that no process is left with one at the end.

    Scenes that differ in nothing but their defences go to one process: what a search never reads it need not try.
    """
    alike: dict[tuple[str, str, bool], list[CellQuestion]] = {}
    for question in sorted(asked, key=lambda question: question.heavy, reverse=True):
        alike.setdefault((question.row, question.column, question.use), []).append(question)
    if jobs <= 1 or len(asked) < FEW:
        for questions in alike.values():
            yield from answer_alike(questions, most_states)
        return
    # Fresh interpreters: a forked one would inherit whatever threads and descriptors this one has.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(answer_alike, questions, most_states) for questions in alike.values()]
        try:
            for future in as_completed(futures):
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def answer_alike(asked: list[CellQuestion], most_states: int) -> list[Answered]:
    """Search or try scenes that differ in their defences only."""
    from model.compare.cells import Judge, try_use

    judge = Judge(most_states)
    return [
        (question.text, try_use(question.text) if question.use else judge.cell(question.text)) for question in asked
    ]
