"""A lecture that is being given: place, answers, ballots and clock, on disk from second to second.

It has nothing to do with the teacher's own progress. One that was cut off goes on where it was; one that was ended is
kept under the day on which it began, with its ballots, and the next one begins afresh.
"""

import contextlib
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from lessons.i18n.language import tr
from lessons.learner.own_file import ForeignLinkError, read_own, reason, replace_file
from lessons.learner.progress import LessonProgress
from lessons.teach.presenter_state import STALE, Ballots

FORMAT: Final = 1
FOLDER: Final = "lectures"


class Lecture(msgspec.Struct, frozen=True, omit_defaults=True):
    """One lecture, as far as it has come."""

    format: int
    lesson: str
    began: float
    """Seconds since the epoch."""
    alive: float
    """When this was written."""
    elapsed: float = 0.0
    """Seconds on its clock: that runs on while the program is down, and setting the computer's does not move it."""
    progress: LessonProgress = LessonProgress()
    ballots: dict[str, Ballots] = {}
    """By the question's id."""
    rounds: dict[str, int] = {}
    """How many ballots there have been on a question."""


class Lectures:
    """The folder of lectures. `report`: what the teacher should be told about it, empty if nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder: Final = folder or platformdirs.user_data_path("ptescope") / FOLDER
        self.report = ""

    def path(self, lesson: str) -> Path:
        """The file of the lecture that is being given on a lesson."""
        return self.folder / f"{lesson}.json"

    def find(self, lesson: str) -> Lecture | None:
        """The lecture that was left or cut off within the last hours; an older one is put away, as ended."""
        path = self.path(lesson)
        try:
            found = msgspec.json.decode(read_own(path), type=Lecture)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            self.report = tr("{file} could not be read ({why}): the lecture starts over").format(file=path, why=why)
            if not isinstance(error, ForeignLinkError):
                self._put_away(path, "damaged")
            return None
        now = time.time()
        if found.format != FORMAT or found.lesson != lesson or abs(now - found.alive) > STALE:
            self._put_away(path, _day(found.began))
            return None
        down = max(now - found.alive, 0.0)
        return msgspec.structs.replace(found, elapsed=found.elapsed + down)

    def keep(self, lecture: Lecture) -> str:
        """Write it; says why where that is not possible: the lecture goes on."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.path(lecture.lesson), msgspec.json.encode(lecture))
        except OSError as error:
            return tr("the lecture cannot be kept: {why}").format(why=reason(error))
        return ""

    def end(self, lesson: str, began: float) -> Path | None:
        """Put the lecture away, as ended; where it is now, None if there is none."""
        return self._put_away(self.path(lesson), _day(began))

    def _put_away(self, path: Path, word: str) -> Path | None:
        """Rename the file to the first free name with a word in it."""
        number, aside = 1, path.with_name(f"{path.stem}-{word}.json")
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.stem}-{word}-{number}.json")
        with contextlib.suppress(OSError):
            path.rename(aside)
            return aside
        return None


def begun(lesson: str) -> Lecture:
    """A lecture that begins now."""
    now = time.time()
    return Lecture(FORMAT, lesson, now, now)


def _day(began: float) -> str:
    """The day and minute on which a lecture began, as a part of a file's name."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(began).astimezone().strftime("%Y-%m-%d-%H%M")
    return "undated"
