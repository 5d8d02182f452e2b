"""Where the lessons are: the course that comes with the program, or an author's own folder.

A folder of lessons has `*.md` files and beside them a folder `worlds` with the scripts that set their scenes.
"""

from pathlib import Path
from typing import Final, NamedTuple

from lessons.file.loader import load
from lessons.file.problems import LessonError, Problem, nearest
from lessons.file.schema import PARTS, Lesson
from lessons.file.translation import translated

COURSE: Final = Path(__file__).parents[1] / "course"
TOUR: Final = Path(__file__).parents[1] / "tour" / "tour.md"
"""What the app shows to those who open it for the first time."""


class Entry(NamedTuple):
    """One lesson of the list: its name, and the lesson or why it cannot be used."""

    name: str
    path: Path
    lesson: Lesson | None
    error: LessonError | None = None


def entries(folder: Path = COURSE) -> list[Entry]:
    """Every lesson of a folder in the order of the course; the damaged ones last."""
    found = []
    for path in sorted(folder.glob("*.md")):
        try:
            found.append(Entry(path.stem, path, translated(load(path))))
        except LessonError as error:
            found.append(Entry(path.stem, path, None, error))
    return sorted(found, key=_place)


def _place(entry: Entry) -> tuple[int, int, str]:
    if entry.lesson is None:
        return len(PARTS), 0, entry.name
    header = entry.lesson.header
    return PARTS.index(header.part), header.order, entry.name


def find(name: str) -> Lesson:
    """A lesson by its name, or by the path of its file.

    Raises:
        LessonError: there is none, or it is malformed.
    """
    known = {path.stem: path for path in (*COURSE.glob("*.md"), TOUR)}
    if name in known:
        return translated(load(known[name]))
    path = Path(name)
    if path.suffix == ".md" or path.name != name:
        return translated(load(path))
    hint = nearest(name, known) or "`ptescope lessons` lists them"
    raise LessonError([Problem(name, 0, 0, "no such lesson", hint)])
