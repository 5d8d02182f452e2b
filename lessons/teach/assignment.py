"""An assignment: lessons and exercises to do until a moment, as one file that students open.

Lessons of the teacher's own are in it whole, with the scenes that they need.
"""

import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Final

import msgspec
import platformdirs

from lessons.drills.book import KINDS, LARGEST_SEED, unknown_kind
from lessons.drills.own_worlds import world_lines
from lessons.file.library import COURSE, find, find_file
from lessons.file.loader import MOST_BYTES, load, read
from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import WORLDS, data_folder
from lessons.learner.kept_format import newer_format
from lessons.learner.own_file import read_own, reason, replace_file
from model.text.json_text import NotJsonError, from_json

FORMAT: Final = 1
FOLDER: Final = "assignments"
MOST_DRILLS: Final = 100
LONGEST: Final = 40
"""Characters of a date, as far as one that is wrong is said again."""
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_DRILLS)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class AssignmentError(ValueError):
    """What is wrong with an assignment, in one line."""


class OwnLesson(msgspec.Struct, frozen=True):
    """A lesson that students do not have."""

    text: str
    worlds: dict[Name, str]


class DrillSet(msgspec.Struct, frozen=True):
    """Exercises of one kind: the numbers from `seed` on."""

    kind: str
    seed: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SEED)]
    count: Count

    @property
    def keys(self) -> tuple[str, ...]:
        """The exercises as progress names them."""
        return tuple(f"{self.kind} {number}" for number in range(self.seed, self.seed + self.count))


class Assignment(msgspec.Struct, frozen=True):
    """What is to be done, and until when."""

    format: int
    title: str
    lessons: tuple[Name, ...]
    drills: tuple[DrillSet, ...] = ()
    deadline: float = 0.0
    """Seconds since the epoch; 0: none."""
    made: float = 0.0
    own: dict[Name, OwnLesson] = {}
    worlds: dict[Name, str] = {}
    """Scenes of the exercises that are asked on a world of the teacher's own."""

    @property
    def id(self) -> str:
        """The same for everybody who has this very assignment."""
        return blake2b(msgspec.json.encode(self), digest_size=8).hexdigest()

    @property
    def until(self) -> str:
        """The deadline in words, in the reader's own time zone; empty: there is none."""
        return when(self.deadline) if self.deadline else ""


def when(moment: float) -> str:
    """A moment as people write it, in this computer's time zone."""
    try:
        return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()
    except (OverflowError, ValueError, OSError):
        return tr("a time that is none")


def deadline(text: str) -> float:
    """A moment such as `2026-12-01 18:00`, with a time zone or in this computer's own. Raises AssignmentError."""
    try:
        moment = datetime.fromisoformat(text)
        if not re.search(r"\d[ T]\d", text):
            moment = moment.replace(hour=23, minute=59, second=59)
        return moment.astimezone().timestamp()
    except (ValueError, OverflowError, OSError):  # also where it is out of the calendar in this time zone
        said = tr("`{text}` is no date and time, such as 2026-12-01T18:00")
        raise AssignmentError(said.format(text=text[:LONGEST])) from None


def drill_set(text: str, seed: int) -> DrillSet:
    """`pte` or `pte:10`: a kind, and how many. Raises AssignmentError."""
    kind, colon, count = text.partition(":")
    if why := unknown_kind(kind):
        raise AssignmentError(why)
    number = int(count) if count.isascii() and count.isdigit() and len(count) < 6 else 0 if colon else 5
    if not 1 <= number <= MOST_DRILLS:
        raise AssignmentError(tr("{kind}: 1 to {most} exercises, please").format(kind=kind, most=MOST_DRILLS))
    return DrillSet(kind, seed, number)


def assign(title: str, lessons: Iterable[str], drills: Iterable[DrillSet], until: float) -> Assignment:
    """An assignment of these. Raises LessonError where a lesson is not there or damaged."""
    names, own = [], {}
    for word in dict.fromkeys(lessons):
        lesson = find(word)
        names.append(lesson.id)
        path = find_file(word)
        if path.parent != COURSE:
            own[lesson.id] = OwnLesson(read(path), dict(lesson.worlds))
    sets = tuple(drills)
    worlds = {name: "\n".join(world_lines(name)) for one in sets if (name := one.kind.partition("@")[2])}
    made = float(int(time.time()))
    return Assignment(FORMAT, title, tuple(dict.fromkeys(names)), sets, until, made, own, worlds)


def as_file(assignment: Assignment) -> bytes:
    """The content of an assignment's file."""
    return msgspec.json.format(msgspec.json.encode(assignment), indent=1) + b"\n"


def read_assignment(path: Path) -> Assignment:
    """The assignment in a file. Raises AssignmentError."""
    try:
        raw = read_own(path, MOST_BYTES)
    except OSError as error:
        raise AssignmentError(reason(error)) from None
    try:
        found = from_json(raw, Assignment)
    except NotJsonError as error:
        raise AssignmentError(tr("{file}:{why}; this is no assignment").format(file=path, why=error)) from None
    except msgspec.ValidationError as error:
        if newer_format(raw, FORMAT):
            raise AssignmentError(tr("{file}: made by a newer ptescope; update yours").format(file=path)) from None
        raise AssignmentError(tr("{file}: this is no assignment: {why}").format(file=path, why=error)) from None
    if found.format != FORMAT:
        raise AssignmentError(tr("{file}: made by a newer ptescope; update yours").format(file=path))
    unknown = next((one.kind for one in found.drills if one.kind.partition("@")[0] not in KINDS), "")
    if unknown:
        raise AssignmentError(tr("{file}: a newer ptescope knows the drill `{kind}`").format(file=path, kind=unknown))
    return found


def assignments_folder() -> Path:
    """Where the assignments that were opened are kept."""
    return platformdirs.user_data_path("ptescope") / FOLDER


def open_assignment(assignment: Assignment) -> None:
    """Keep it, so that home shows it, and the lessons that came with it. Raises LessonError, OSError."""
    for name, lesson in assignment.own.items():
        _install(name, lesson)
    _install_worlds(assignment.worlds)
    folder = assignments_folder()
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / f"{assignment.id}.json", as_file(assignment))


def _install(name: str, lesson: OwnLesson) -> None:
    """Put a lesson that came with an assignment among one's own; another of that name is kept beside it."""
    folder = data_folder()
    _install_worlds(lesson.worlds)
    path = folder / f"{name}.md"
    _keep_aside(path, lesson.text)
    replace_file(path, lesson.text.encode())
    try:
        load(path)
    except LessonError:
        path.unlink(missing_ok=True)
        raise


def _install_worlds(worlds: Mapping[Name, str]) -> None:
    """Put scenes among those of one's own lessons; another of that name is kept beside it."""
    folder = data_folder() / WORLDS
    folder.mkdir(parents=True, exist_ok=True)
    for world, script in worlds.items():
        _keep_aside(folder / f"{world}.pte", script)
        replace_file(folder / f"{world}.pte", script.encode())


def _keep_aside(path: Path, text: str) -> None:
    """Rename a file of one's own that something else is about to take the place of."""
    if not path.exists() or path.read_bytes() == text.encode():
        return
    number = 1
    while (aside := path.with_name(f"{path.name}.before-{number}")).exists():
        number += 1
    path.rename(aside)


def opened(folder: Path | None = None) -> list[Assignment]:
    """The assignments that were opened, the one with the next deadline first; files that are none are left out."""
    found = []
    for path in sorted((folder or assignments_folder()).glob("*.json")):
        try:
            found.append(read_assignment(path))
        except AssignmentError:
            continue
    now = time.time()
    return sorted(found, key=lambda one: (bool(one.deadline) and one.deadline < now, one.deadline or float("inf")))
