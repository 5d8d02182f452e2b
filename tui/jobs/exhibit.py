"""An exhibit of the museum searched in a process of its own, so that the screen stays alive."""

from collections.abc import Callable

from lessons.file.museum import load
from lessons.file.museum_schema import Exhibit
from lessons.file.problems import LessonError
from lessons.play.exhibit import ExhibitMissesError, ExhibitVerdict, play, verdict_of
from tui.jobs.limits import limit_memory
from tui.jobs.search import MOST_MEMORY, SearchFailed
from tui.jobs.subprocess_job import ProcessGoneError, run_in_process


async def verdict_on(exhibit: Exhibit) -> ExhibitVerdict | SearchFailed:
    """What the search finds in both scenes of an exhibit, or why it found nothing."""
    try:
        async for word in run_in_process(played, exhibit.file):
            return word if isinstance(word, ExhibitVerdict | SearchFailed) else SearchFailed(repr(word))
    except ProcessGoneError as gone:
        return SearchFailed(f"the process that searched is gone: {gone}")
    return SearchFailed("the process that searched said nothing")


def played(tell: Callable[[ExhibitVerdict | SearchFailed], None], file: str) -> None:
    """The search itself; runs in the other process."""
    from pathlib import Path

    limit_memory(MOST_MEMORY)
    try:
        tell(verdict_of(play(load(Path(file)))))
    except (LessonError, ExhibitMissesError) as error:
        tell(SearchFailed(str(error)))
    except MemoryError:
        tell(SearchFailed("memory ran out: the scene is too large"))
