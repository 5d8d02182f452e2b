"""`ptescope lesson mutate`: the table of mutants and of the lessons that notice them."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from lessons.author.mutation import MUTANTS, baseline, noticed
from lessons.file.library import LessonEntry, entries, find_file
from lessons.file.loader import load
from lessons.file.problems import LessonError, LessonProblem, did_you_mean
from lessons.file.schema import Lesson
from lessons.i18n.lesson_folders import lesson_folders

EXIT_FINE: Final = 0
EXIT_SURVIVOR: Final = 1
EXIT_MALFORMED: Final = 2


def report(names: Sequence[str], among: Sequence[str]) -> int:
    """Print one line a mutant; returns the exit status. `among`: lessons, or folders of them. Raises LessonError."""
    known = {mutant.name: mutant for mutant in MUTANTS}
    for name in names:
        if name not in known:
            print(f"there is no mutant `{name}` ({did_you_mean(name, known)})", file=sys.stderr)
            return EXIT_MALFORMED
    asked = [baseline(lesson) for lesson in (_chosen(among) if among else _all())]
    survivors = unmet = 0
    for mutant in (known[name] for name in names) if names else MUTANTS:
        met = any(mutant.step in one.steps for one in asked)
        by = next(noticed(mutant, asked), None) if met else None
        unmet += not met
        survivors += met and by is None
        verdict = (
            f"noticed by {by.lesson}: {by.how}"
            if by
            else "SURVIVES: no lesson notices"
            if met
            else f"not met: no lesson makes the step {mutant.step}"
        )
        print(f"{mutant.name}: {mutant.what}\n    {verdict}", flush=True)
    said = f"{_many(len(asked), 'lesson')}, {_many(len(names) or len(MUTANTS), 'mutant')}"
    print(f"{said}: {survivors} unnoticed, {unmet} not met")
    return EXIT_SURVIVOR if survivors else EXIT_FINE


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def _all() -> list[Lesson]:
    """The lessons of the author's own folders; where there are none the course."""
    own = [entry for folder in lesson_folders() for entry in entries(folder)]
    return _sound(own or entries())


def _chosen(words: Iterable[str]) -> list[Lesson]:
    """Lessons by name, by file, or all that are in a folder."""
    found: list[Lesson] = []
    for word in words:
        path = Path(word)
        found += _sound(entries(path)) if path.is_dir() else [load(path if path.is_file() else find_file(word))]
    if not found:
        raise LessonError([LessonProblem(" ".join(words), 0, 0, "no lesson there")])
    return found


def _sound(found: Iterable[LessonEntry]) -> list[Lesson]:
    """The lessons of these. Raises LessonError where one of them is damaged."""
    lessons = []
    for entry in found:
        if entry.error is not None:
            raise entry.error
        assert entry.lesson is not None
        lessons.append(entry.lesson)
    return lessons
