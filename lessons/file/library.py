"""Where the lessons are: the course that comes with the program, or an author's own folder.

A folder of lessons has `*.md` files and beside them a folder `worlds` with the scripts that set their scenes.
"""

from pathlib import Path
from typing import Final, NamedTuple

from lessons.file.loader import load
from lessons.file.problems import LessonError, LessonProblem, nearest
from lessons.file.schema import PARTS, Lesson
from lessons.file.translation import translated

COURSE: Final = Path(__file__).parents[1] / "course"
TOUR: Final = Path(__file__).parents[1] / "tour" / "tour.md"
"""What the app shows to those who open it for the first time."""


class LessonEntry(NamedTuple):
    """One lesson of the list: its name, and the lesson or why it cannot be used."""

    name: str
    path: Path
    lesson: Lesson | None
    error: LessonError | None = None


def entries(folder: Path = COURSE) -> list[LessonEntry]:
    """Every lesson of a folder in the order of the course; the damaged ones last."""
    found = []
    for path in sorted(folder.glob("*.md")):
        try:
            found.append(LessonEntry(path.stem, path, translated(load(path))))
        except LessonError as error:
            found.append(LessonEntry(path.stem, path, None, error))
    return sorted(found, key=_place)


def next_in_course(name: str) -> Lesson | None:
    """The lesson that follows one; after the tour the first. None after the last, and for one outside the course."""
    course = [entry.lesson for entry in entries() if entry.lesson is not None]
    names = [TOUR.stem, *(lesson.id for lesson in course)]
    return course[names.index(name)] if name in names[:-1] else None


def _place(entry: LessonEntry) -> tuple[int, int, str]:
    if entry.lesson is None:
        return len(PARTS), 0, entry.name
    header = entry.lesson.header
    return PARTS.index(header.part), header.order, entry.name


def source_of(name: str) -> Path:
    """The file of a lesson, by the lesson's name or by its path.

    Raises:
        LessonError: there is no such lesson.
    """
    known = {path.stem: path for path in (*COURSE.glob("*.md"), TOUR)}
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".md" or path.name != name:
        return path
    hint = nearest(name, known) or "`ptescope lessons` lists them"
    raise LessonError([LessonProblem(name, 0, 0, "no such lesson", hint)])


def find(name: str) -> Lesson:
    """A lesson by its name or by its path, in the reader's language.

    Raises:
        LessonError: there is none, or it is malformed.
    """
    return translated(load(source_of(name)))
