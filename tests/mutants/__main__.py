"""`python -m tests.mutants`: break the program in many places, one after the other, and see whether a test notices.

Exit status 0: every mutant was noticed, or is equal to the original for a reason that the table gives; 1: some survive;
2: a test that noticed a mutant fails without it as well, tests could not be run, or a name is unknown.
"""

import argparse
import os
import queue
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tests.mutants.run import NICE, TIMEOUT, Tested, TestRunError, Verdict, Worker, compiled_copy
from tests.mutants.table import Mutant, mutants

BAD = (Verdict.SURVIVED, Verdict.NOT_EQUAL)


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutant; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="mutants tested at once (default: 2)")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="seconds for each (default: 300)")
    options = parser.parse_args()
    known = {mutant.name: mutant for mutant in mutants()}
    if unknown := [name for name in options.only if name not in known]:
        parser.error(f"there is no mutant {', '.join(unknown)}")
    chosen = [known[name] for name in options.only] or list(known.values())
    os.nice(NICE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="ptescope-mutants-") as folder:
        try:
            found = _tested(chosen, Path(folder), max(options.jobs, 1), options.timeout, console)
        except (TestRunError, ValueError) as error:
            console.print(Text(str(error)), soft_wrap=True)
            return 2
        except KeyboardInterrupt:
            return 130
    return _report(found, console)


def _tested(chosen: list[Mutant], folder: Path, jobs: int, timeout: float, console: Console) -> list[Tested]:
    """Every mutant with its verdict. Raises TestRunError, also where a test that noticed one fails without it."""
    first = compiled_copy(folder / "0", timeout)
    numbers = range(1, min(jobs, len(chosen)))
    workers = [first, *(Worker.copied_from(first.tree, folder / str(number), timeout) for number in numbers)]
    columns = (TextColumn("mutants"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("mutants", total=len(chosen))
        found = []
        for tested in _as_tested(chosen, workers):
            found.append(tested)
            progress.console.print(_line(tested), soft_wrap=True)
            progress.advance(task)
    noticed = tuple(dict.fromkeys(tested.by for tested in found if tested.verdict is Verdict.KILLED))
    if failing := first.failing(tuple(test for test in noticed if test != TIMEOUT), timeout * len(chosen)):
        raise TestRunError(f"{failing} fails without any mutant")
    return found


def _as_tested(chosen: list[Mutant], workers: list[Worker]) -> Iterator[Tested]:
    """The verdicts as they come; each mutant is tested by whichever worker is free. Raises TestRunError."""
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def test(mutant: Mutant) -> Tested:
        worker = free.get()
        try:
            return worker.test(mutant)
        except TestRunError as error:
            raise TestRunError(f"{mutant.name}: {error}") from error
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        running = [pool.submit(test, mutant) for mutant in chosen]
        try:
            for one in as_completed(running):
                yield one.result()
        finally:  # nobody waits for the rest after an interrupt
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.end()


def _line(tested: Tested) -> Text:
    """One mutant: the verdict, its name, and who noticed; of one that nobody noticed, what is broken."""
    verdict, by = tested.verdict, tested.by
    text = f"{tested.mutant.breaks} ({tested.mutant.file})" if verdict is Verdict.SURVIVED else by
    return Text.assemble(
        (f"{verdict.value:<9} ", "bold red" if verdict in BAD else ""), f"{tested.mutant.name}: {text}"
    )


def _report(found: list[Tested], console: Console) -> int:
    """How many of each, and the exit status."""
    counts = Counter(tested.verdict for tested in found)
    console.print(", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]))
    bad = [tested for tested in found if tested.verdict in BAD]
    for tested in bad:
        console.print(_line(tested), soft_wrap=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
