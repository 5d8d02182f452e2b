"""How far the learner has come: one plain JSON file under the platform's data folder.

It is never lost: it is replaced atomically (temporary file, fsync, rename), so a kill at any moment leaves the old
or the new one; a file that cannot be read is set aside under another name and reported, never overwritten.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import platformdirs

from lessons.drills.score import Score
from lessons.learner.kept_format import newer_format
from lessons.learner.own_file import ForeignLinkError, free_name, read_own, reason, replace_file
from model.text.json_text import NotJsonError, from_json

FORMAT: Final = 1
MOST_EXERCISES: Final = 500
NAME: Final = "progress.json"
Count = Annotated[int, msgspec.Meta(ge=0)]


class LessonProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that has been done in one lesson: enough to play it again up to the very step."""

    revision: str = ""
    """Digest of the lesson's text when this was written."""
    item: Count = 0
    step: Count = 0
    """How many moves of the item have been played."""
    guesses: dict[str, str] = {}
    """Prediction id → what was guessed, as typed."""
    commands: dict[str, tuple[str, ...]] = {}
    """Goal id → the commands given there, in order."""
    hints: dict[str, int] = {}
    """Prediction or goal id → hints taken."""
    finished: bool = False
    """Played to the end at least once."""
    shown: tuple[str, ...] = ()
    """Ids of predictions that a presenter has shown without an answer."""
    times: dict[str, int] = {}
    """Prediction or goal id → when it was answered or reached: seconds since the epoch."""


class DrillAnswer(msgspec.Struct, frozen=True):
    """What was said to one exercise, the first time that it was asked."""

    chosen: Count
    """The answer's index."""
    at: int
    """Seconds since the epoch."""


class Progress(msgspec.Struct, frozen=True):
    """The content of the progress file."""

    format: int = FORMAT
    lessons: dict[str, LessonProgress] = {}
    drills: dict[str, Score] = {}
    """How the exercises of each kind have gone."""
    exercises: dict[str, DrillAnswer] = {}
    """Kind and number, as `pte 17`, → the answer; of the last MOST_EXERCISES."""


class ProgressError(OSError):
    """Progress cannot be kept now, and why; the lesson itself goes on."""


class Store:
    """The progress file. `report` is what the learner should be told about it, empty if nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self.path: Final = path or platformdirs.user_data_path("ptescope") / NAME
        self.report = ""

    def read(self) -> Progress:
        """What the file says; nothing if there is none. A file that cannot be understood is set aside first.

        Raises:
            ProgressError: it cannot be read and cannot be set aside either.
        """
        try:
            text = read_own(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return Progress()
        except ForeignLinkError as error:
            if error.filename != str(self.path):  # what is behind it is not ours to set aside
                raise ProgressError(reason(error)) from error
            self._set_aside(error.strerror or str(error))
            return Progress()
        except OSError as error:
            self._set_aside(error.strerror or str(error))
            return Progress()
        try:
            progress = msgspec.json.decode(text, type=Progress)
        except msgspec.MsgspecError as error:
            why = str(error)
        except UnicodeDecodeError:
            why = "not UTF-8 text"
        except RecursionError:
            why = "nested too deeply"
        else:
            if progress.format == FORMAT:
                return progress
            why = f"format {progress.format}; this program writes format {FORMAT}"
        if newer := newer_format(text, FORMAT):
            self._set_aside(f"written by a newer ptescope: format {newer}; this one writes {FORMAT}", "newer")
        else:
            self._set_aside(why)
        return Progress()

    def lesson(self, name: str) -> LessonProgress:
        """What has been done in one lesson."""
        return self.read().lessons.get(name, LessonProgress())

    def save(self, name: str, lesson: LessonProgress) -> None:
        """Write one lesson's progress; the others stay as another running program may have left them.

        Raises:
            ProgressError: it cannot be written.
        """
        with self._alone():
            known = self.read()
            self.write(msgspec.structs.replace(known, lessons={**known.lessons, name: lesson}))

    def answered(self, kind: str, *, right: bool, seed: int = -1, chosen: int = 0) -> Score:
        """Count one more exercise of that kind; how it stands now. Raises ProgressError.

        `seed`: its number, under which the answer with index `chosen` is kept; below 0 only the count is.
        """
        with self._alone():
            known = self.read()
            score = known.drills.get(kind, Score()).after(right=right)
            exercises = known.exercises
            if seed >= 0 and f"{kind} {seed}" not in exercises:
                kept = list(exercises.items())[-(MOST_EXERCISES - 1) :]
                exercises = {**dict(kept), f"{kind} {seed}": DrillAnswer(chosen, int(time.time()))}
            self.write(msgspec.structs.replace(known, drills={**known.drills, kind: score}, exercises=exercises))
        return score

    def reset(self, name: str = "") -> None:
        """Forget one lesson, or all of them and the exercises. Raises ProgressError."""
        with self._alone():
            self._forget(name)

    def _forget(self, name: str) -> None:
        known = self.read() if name else Progress()
        lessons = {key: value for key, value in known.lessons.items() if key != name}
        self.write(msgspec.structs.replace(known, lessons=lessons))

    def reset_keeping_a_copy(self, name: str = "") -> Path | None:
        """Forget, after the file was copied under a name that is free; that name, None where there is no file.

        Raises ProgressError.
        """
        if not self.path.exists():
            return None
        with self._alone():
            aside = free_name(self.path, "before-reset")
            self.copy_to(aside)
            self._forget(name)
        return aside

    def copy_to(self, file: Path) -> None:
        """Write a copy of everything. Raises ProgressError."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, as_text(self.read()))
        except OSError as error:
            raise ProgressError(reason(error)) from error

    def bring_in(self, file: Path) -> tuple[int, int]:
        """Add what another file has: of each lesson the further progress, of each drill the one with more answers.

        Returns how many lessons and kinds of drills are further than before. Raises ProgressError where the file cannot
        be read; it is left as it is.
        """
        try:
            raw = read_own(file)
            other = from_json(raw, Progress)
        except OSError as error:
            raise ProgressError(f"{file}: cannot be read: {error.strerror}") from None
        except NotJsonError as error:
            raise ProgressError(f"{file}:{error}; this is no progress file") from None
        except msgspec.ValidationError as error:
            if newer := newer_format(raw, FORMAT):
                raise ProgressError(f"{file}: format {newer}; this program reads format {FORMAT}") from None
            raise ProgressError(f"{file}: this is no progress file: {error}") from None
        if other.format != FORMAT:
            raise ProgressError(f"{file}: format {other.format}; this program reads format {FORMAT}")
        with self._alone():
            known = self.read()
            lessons = {
                name: lesson
                for name, lesson in other.lessons.items()
                if how_far(lesson) > how_far(known.lessons.get(name, LessonProgress()))
            }
            drills = {
                kind: score
                for kind, score in other.drills.items()
                if score.asked > known.drills.get(kind, Score()).asked
            }
            exercises = {**other.exercises, **known.exercises}
            self.write(
                Progress(lessons={**known.lessons, **lessons}, drills={**known.drills, **drills}, exercises=exercises)
            )
        return len(lessons), len(drills)

    def write(self, progress: Progress) -> None:
        """Replace the file atomically."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, as_text(progress))
        except OSError as error:
            raise ProgressError(f"progress cannot be kept in {self.path}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While this lasts no other program changes the file. Raises ProgressError if one does for too long."""
        from lessons.learner.file_lock import locked

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                yield
        except ProgressError:
            raise
        except TimeoutError:
            raise ProgressError(f"another ptescope keeps {self.path} busy; what you did now is not kept") from None
        except OSError as error:
            raise ProgressError(f"progress cannot be kept in {self.path}: {error.strerror or error}") from error

    def _set_aside(self, why: str, word: str = "damaged") -> None:
        """Rename the file to the first free name and say so."""
        aside = free_name(self.path, word)
        try:
            self.path.rename(aside)
        except OSError as error:
            raise ProgressError(f"{self.path} cannot be read ({why}) nor set aside: {error.strerror}") from error
        self.report = f"{self.path} could not be read ({why}); it is kept as {aside.name}"


def as_text(progress: Progress) -> bytes:
    """The content of the progress file as text."""
    return msgspec.json.format(msgspec.json.encode(progress), indent=2) + b"\n"


def how_far(lesson: LessonProgress) -> tuple[bool, int, int, int]:
    """For comparing the progress of two: finished, item, step, guesses made."""
    return lesson.finished, lesson.item, lesson.step, len(lesson.guesses)
