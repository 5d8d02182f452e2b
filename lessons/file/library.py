"""Where the lessons are: the course that comes with the program, and folders of one's own.

A folder of lessons has `*.md` files and beside them a folder `worlds` with the scripts that set their scenes. Names are
the same everywhere, so one of the course cannot be taken: progress is kept under it.
"""

from pathlib import Path
from typing import Final, NamedTuple

from lessons.file.loader import load
from lessons.file.problems import LessonError, LessonProblem, nearest
from lessons.file.schema import PARTS, Lesson
from lessons.file.translation import translated
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import lesson_folders

COURSE: Final = Path(__file__).parents[1] / "course"
TOUR: Final = Path(__file__).parents[1] / "tour" / "tour.md"
"""What the app shows to those who open it for the first time."""


class LessonEntry(NamedTuple):
    """One lesson of the list: its name, and the lesson or why it cannot be used."""

    name: str
    path: Path
    lesson: Lesson | None
    error: LessonError | None = None
    folder: Path | None = None
    """The folder of one's own that it is in; None: it is of the course."""

    @property
    def group(self) -> str:
        """What it stands under in the list: a part of the course, or a folder of one's own."""
        if self.folder is not None:
            return tr("Lessons in {folder}").format(folder=self.folder)
        return self.lesson.header.part if self.lesson is not None else tr("Damaged lessons")


def entries(folder: Path | None = None) -> list[LessonEntry]:
    """Every lesson in the order of the list: the course, then each folder of one's own; the damaged ones last in each.

    `folder`: only what is in this one.
    """
    if folder is not None:
        return _in(folder, None)
    found = _in(COURSE, None)
    for own in lesson_folders():
        taken = {entry.name: entry.path for entry in found} | {TOUR.stem: TOUR}
        found += [_unless_taken(entry, taken) for entry in _in(own, own)]
    return found


def _in(folder: Path, own: Path | None) -> list[LessonEntry]:
    """The lessons of one folder, the damaged ones last."""
    if own is not None and not folder.is_dir():
        missing = LessonError([LessonProblem(str(folder), 0, 0, tr("no such folder"), tr("lessons of one's own"))])
        return [LessonEntry(folder.name, folder, None, missing, own)]
    found = []
    for path in sorted(folder.glob("*.md")):
        try:
            found.append(LessonEntry(path.stem, path, translated(load(path)), None, own))
        except LessonError as error:
            found.append(LessonEntry(path.stem, path, None, error, own))
    return sorted(found, key=_place)


def _unless_taken(entry: LessonEntry, taken: dict[str, Path]) -> LessonEntry:
    """The entry; damaged where another lesson has its name or its id."""
    name = entry.lesson.id if entry.lesson is not None else entry.name
    other = taken.get(entry.name) or taken.get(name)
    if other is None:
        return entry
    text = tr("there is a lesson of that name already: {file}").format(file=other)
    return entry._replace(lesson=None, error=LessonError([LessonProblem(str(entry.path), 1, 1, text)]))


def next_in_course(name: str) -> Lesson | None:
    """The lesson after this one in the course or its own folder; after the tour the first; None after the last."""
    found = [entry for entry in entries() if entry.lesson is not None]
    at = next((number for number, entry in enumerate(found) if entry.name == name), -1)
    if at < 0 and name != TOUR.stem:
        return None
    following = found[at + 1] if at + 1 < len(found) else None
    same = following is not None and (at < 0 or following.folder == found[at].folder)
    return following.lesson if following is not None and same else None


def _place(entry: LessonEntry) -> tuple[int, int, str]:
    if entry.lesson is None:
        return len(PARTS), 0, entry.name
    header = entry.lesson.header
    return PARTS.index(header.part), header.order, entry.name


def find_file(name: str) -> Path:
    """The file of a lesson, by the lesson's name or by its path.

    Raises:
        LessonError: there is no such lesson.
    """
    own = [path for folder in reversed(lesson_folders()) for path in sorted(folder.glob("*.md"))]
    known = {path.stem: path for path in (*own, *COURSE.glob("*.md"), TOUR)}
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
    return translated(load(find_file(name)))
