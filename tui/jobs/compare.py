"""The comparison as a screen wants it: each answer as it comes, from the cache or from processes of their own."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from model.compare.table import Question
from tui.commands.compare import compute
from tui.jobs.compare_cache import Answer, Cache
from tui.jobs.subprocess_job import elsewhere

Answered = tuple[str, Answer]
"""The text of a scene, and what comes of it."""


async def answers(asked: tuple[Question, ...], most_states: int, jobs: int) -> AsyncGenerator[Answered]:
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
        async with aclosing(elsewhere(compared, missing, most_states, jobs)) as computed:
            async for text, answer in computed:
                known[text] = answer
                yield text, answer
    finally:
        cache.write(known)


def compared(tell: Callable[[Answered], None], asked: list[Question], most_states: int, jobs: int) -> None:
    """Compute answers; runs in another process."""
    for answered in compute(asked, most_states, jobs):
        tell(answered)
