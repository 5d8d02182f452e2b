"""The sweep in worker processes, and the file from which it goes on after it was interrupted."""

import gc
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from errno import EAGAIN
from itertools import groupby, islice
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from lessons.learner.own_file import read_own
from model.compare.sweep import Answer, SweepCase, answers
from tui.jobs.compare_cache import keep, model_digest
from tui.jobs.worker_processes import worker_processes

BATCH: Final = 8
"""Cases that one process takes at a time, and those of the same scene on other kernels: seconds."""

PAUSE: Final = 10.0
"""Seconds between two times that the file is written."""


class StoredSearches(msgspec.Struct, frozen=True):
    """What was found within certain bounds."""

    bounded: int | None
    most_states: int
    answers: dict[str, Answer]
    """By the name of the case."""


class StoredCases(msgspec.Struct, frozen=True):
    """The content of the file."""

    model: str
    """Digest of the model's source."""
    searches: tuple[StoredSearches, ...] = ()


class KnownCases:
    """What earlier runs have found, in one file under the platform's cache folder.

    It holds as long as the model's source does not change. Other programs may add to it, and runs with other bounds.
    """

    def __init__(self, bounded: int | None, most_states: int, path: Path | None = None) -> None:
        self.path: Final = path or platformdirs.user_cache_path("ptescope") / "sweep.json"
        self.bounded: Final = bounded
        self.most_states: Final = most_states
        self.model: Final = model_digest()
        self.answers: Final[dict[str, Answer]] = {}
        self.report = ""
        """What the user should be told about the file; empty if nothing."""
        self._written = time.monotonic()

    def read(self) -> None:
        """Take over what the file has, unless it was made by another model or by somebody else, or is damaged."""
        for searches in self._stored():
            if self._are_ours(searches):
                self.answers.update(searches.answers)

    def add(self, name: str, found: Answer) -> None:
        """Add an answer; the file is written now and then."""
        self.answers[name] = found
        if time.monotonic() - self._written > PAUSE:
            self.write()

    def write(self) -> None:
        """Add to the file. Where that is not possible `report` says why, and the next run begins anew."""
        self.report = keep(self.path, self._content)
        self._written = time.monotonic()

    def _stored(self) -> tuple[StoredSearches, ...]:
        try:
            stored = msgspec.json.decode(read_own(self.path, is_believed=True), type=StoredCases)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ()
        return stored.searches if stored.model == self.model else ()

    def _are_ours(self, searches: StoredSearches) -> bool:
        return (searches.bounded, searches.most_states) == (self.bounded, self.most_states)

    def _content(self) -> bytes:
        """What the file has, and what is known here."""
        stored = self._stored()
        known = {name: found for one in stored if self._are_ours(one) for name, found in one.answers.items()}
        ours = StoredSearches(self.bounded, self.most_states, known | self.answers)
        return msgspec.json.encode(StoredCases(self.model, (*(one for one in stored if not self._are_ours(one)), ours)))


def sweep(asked: Sequence[SweepCase], known: KnownCases, jobs: int) -> Generator[tuple[SweepCase, Answer]]:
    """Answer cases in any order, those that are known first. What is found is kept, however this ends."""
    missing = []
    for case in asked:
        if (found := known.answers.get(case.name)) is not None:
            yield case, found
        else:
            missing.append(case)
    try:
        for case, found in searched(missing, known.bounded, known.most_states, jobs):
            known.add(case.name, found)
            yield case, found
    finally:
        if missing:
            known.write()


def searched(
    asked: Sequence[SweepCase], bounded: int | None, most_states: int, jobs: int
) -> Iterator[tuple[SweepCase, Answer]]:
    """Search cases, by worker processes where there are enough for that. Raises OSError where one is killed."""
    if jobs <= 1 or len(asked) <= BATCH:
        yield from answers(asked, bounded, most_states)
        return
    batches = batched(asked)
    with worker_processes(jobs, collect_seldom) as pool:
        running = [pool.submit(searched_batch, batch, bounded, most_states) for batch in islice(batches, 2 * jobs)]
        while running:
            done: Future[list[tuple[SweepCase, Answer]]] = next(as_completed(running))
            running.remove(done)
            running += [pool.submit(searched_batch, batch, bounded, most_states) for batch in islice(batches, 1)]
            try:
                yield from done.result()
            except BrokenProcessPool:
                raise OSError(EAGAIN, "a worker process was killed; the next run goes on from here") from None


def batched(asked: Sequence[SweepCase]) -> Iterator[list[SweepCase]]:
    """Batches of BATCH cases or a few more: the kernels of a scene that stand together stay together."""
    batch: list[SweepCase] = []
    for _, scene in groupby(asked, lambda case: (case.backing.name, case.calls)):
        batch += scene
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def collect_seldom() -> None:
    """Take the garbage collector out of a worker process: a search makes millions of tuples and no circle of them."""
    gc.freeze()
    gc.disable()


def searched_batch(batch: Sequence[SweepCase], bounded: int | None, most_states: int) -> list[tuple[SweepCase, Answer]]:
    """Search some cases; runs in a worker process."""
    found = []
    for answered in answers(batch, bounded, most_states):
        found.append(answered)
        # What a search leaves behind has circles.
        gc.collect()
    return found
