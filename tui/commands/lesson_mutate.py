"""`ptescope lesson mutate`: the table of mutants and of the lessons that notice them."""

import sys
from collections.abc import Sequence
from typing import Final

from lessons.author.mutation import MUTANTS, baseline, noticed
from lessons.file.library import entries
from lessons.file.problems import did_you_mean

EXIT_FINE: Final = 0
EXIT_SURVIVOR: Final = 1
EXIT_MALFORMED: Final = 2


def report(names: Sequence[str]) -> int:
    """Print one line a mutant; returns the exit status."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    for name in names:
        if name not in known:
            print(f"there is no mutant `{name}` ({did_you_mean(name, known)})", file=sys.stderr)
            return EXIT_MALFORMED
    lessons = [baseline(entry.lesson) for entry in entries() if entry.lesson is not None]
    survivors = 0
    for mutant in (known[name] for name in names) if names else MUTANTS:
        by = next(noticed(mutant, lessons), None)
        survivors += by is None
        verdict = f"noticed by {by.lesson}: {by.how}" if by else "SURVIVES: no lesson notices"
        print(f"{mutant.name}: {mutant.what}\n    {verdict}", flush=True)
    print(f"{len(names) or len(MUTANTS)} mutants, {survivors} unnoticed")
    return EXIT_SURVIVOR if survivors else EXIT_FINE
