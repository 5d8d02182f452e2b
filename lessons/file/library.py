"""Where the lessons are: the course that comes with the program, and folders of one's own.

A folder of lessons has `*.md` files and beside them a folder `worlds` with the scripts that set their scenes. Names are
the same everywhere, so one of the course cannot be taken: progress is kept under it.
"""

from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from lessons.file.loader import front_matter, load
from lessons.file.problems import LessonError, LessonProblem, nearest
from lessons.file.schema import PARTS, FrontMatter, Lesson
from lessons.i18n.language import lesson_texts, tr
from lessons.i18n.lesson_folders import lesson_folders

Read = TypeVar("Read", Lesson, FrontMatter)

COURSE: Final = Path(__file__).parents[1] / "course"
TOUR: Final = Path(__file__).parents[1] / "tour" / "tour.md"
"""What the app shows to those who open it for the first time."""


class LessonEntry:
    """One lesson of the list, read as far as it is asked about."""

    def __init__(self, path: Path, folder: Path | None = None, error: LessonError | None = None) -> None:
        self.name = path.name.removesuffix(".md")
        self.path = path
        self.folder = folder
        """The folder of one's own that it is in; None: it is of the course."""
        self._unusable = error

    @cached_property
    def _whole(self) -> Lesson | LessonError:
        try:
            return self._unusable or _as_read(load(self.path))
        except LessonError as error:
            return error

    @property
    def lesson(self) -> Lesson | None:
        """The lesson; None if it cannot be used."""
        return self._whole if isinstance(self._whole, Lesson) else None

    @property
    def error(self) -> LessonError | None:
        """Why it cannot be used."""
        return self._whole if isinstance(self._whole, LessonError) else None

    @cached_property
    def header(self) -> FrontMatter | None:
        """What it says of itself; None if it cannot be used.

        A list of lessons needs no more, and to read all of the course takes longer than all else that home shows. What
        comes along has been tested; a lesson from anywhere else is read whole.
        """
        if self.path.parent == COURSE:
            try:
                return _as_read(front_matter(self.path))
            except LessonError:
                return None
        return self.lesson.header if self.lesson is not None else None

    @property
    def group(self) -> str:
        """What it stands under in the list: a part of the course, or a folder of one's own."""
        if self.folder is not None:
            return tr("Lessons in {folder}").format(folder=self.folder)
        return self.header.part if self.header is not None else tr("Damaged lessons")


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
        missing = LessonError([LessonProblem(str(folder), 0, 0, tr("no such folder"), tr("your own lessons"))])
        return [LessonEntry(folder, own, missing)]
    return sorted((LessonEntry(path, own) for path in sorted(folder.glob("*.md"))), key=_place)


def _unless_taken(entry: LessonEntry, taken: dict[str, Path]) -> LessonEntry:
    """The entry; damaged where another lesson has its name or its id."""
    name = entry.header.id if entry.header is not None else entry.name
    other = taken.get(entry.name) or taken.get(name)
    if other is None:
        return entry
    text = tr("there is a lesson of that name already: {file}").format(file=other)
    return LessonEntry(entry.path, entry.folder, LessonError([LessonProblem(str(entry.path), 1, 1, text)]))


def next_in_course(name: str) -> Lesson | None:
    """The lesson after this one in the course or its own folder; after the tour the first; None after the last."""
    found = [entry for entry in entries() if entry.header is not None]
    at = next((number for number, entry in enumerate(found) if entry.name == name), -1)
    if at < 0 and name != TOUR.stem:
        return None
    following = found[at + 1] if at + 1 < len(found) else None
    same = following is not None and (at < 0 or following.folder == found[at].folder)
    return following.lesson if following is not None and same else None


def _place(entry: LessonEntry) -> tuple[int, int, str]:
    header = entry.header
    return (len(PARTS), 0, entry.name) if header is None else (PARTS.index(header.part), header.order, entry.name)


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
    return _as_read(load(find_file(name)))


def _as_read(read: Read) -> Read:
    """A lesson, or what it says of itself, in the reader's language."""
    if not (texts := lesson_texts(read.id)):
        return read
    from lessons.file.translation import translated

    return translated(read, texts)
