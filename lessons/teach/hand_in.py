"""What a student hands in: raw guesses, commands, hints and times. What they are worth is found by replaying them.

Nothing in it is believed: no score, no "done". The seal only shows that a file was changed by hand or by accident.
"""

import time
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from lessons.file.library import find
from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.learner.kept_format import newer_format
from lessons.learner.progress import DrillAnswer, LessonProgress, Progress
from lessons.teach.assignment import Assignment
from model.text.json_text import NotJsonError, from_json

FORMAT: Final = 1
LONGEST_NAME: Final = 100
SUFFIX: Final = ".ptework"


class HandInError(ValueError):
    """Why a file is no hand-in, in one line."""


class HandIn(msgspec.Struct, frozen=True):
    """The content of the file."""

    format: int
    program: str
    """The version that wrote it."""
    name: str
    student: str = ""
    """What the school's list knows the student by: an address or a number."""
    assignment: str = ""
    """The id of the assignment; empty: none."""
    made: float = 0.0
    lessons: dict[str, LessonProgress] = {}
    exercises: dict[str, DrillAnswer] = {}
    seal: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it is as it was written."""
        return self.seal == _seal(self)


def _seal(work: HandIn) -> str:
    unsealed = msgspec.json.encode(msgspec.structs.replace(work, seal=""), order="deterministic")
    return blake2b(unsealed, digest_size=16, person=b"ptescope-work").hexdigest()


def hand_in(
    progress: Progress,
    name: str,
    student: str,
    version: str,
    assignment: Assignment | None,
    lessons: Iterable[str] = (),
) -> HandIn:
    """What was done of an assignment; without one, of these lessons, or else of all, and all exercises."""
    if assignment is not None:
        wanted = set(assignment.lessons)
        keys = {key for drills in assignment.drills for key in drills.keys}
    else:
        wanted = set(lessons) or set(progress.lessons)
        keys = set(progress.exercises) if not lessons else set()
    done = {key: lesson for key, lesson in progress.lessons.items() if key in wanted}
    exercises = {key: answer for key, answer in progress.exercises.items() if key in keys}
    code = assignment.id if assignment is not None else ""
    work = HandIn(FORMAT, version, name, student, code, float(int(time.time())), done, exercises)
    return msgspec.structs.replace(work, seal=_seal(work))


def clean_name(text: str) -> str:
    """A name as it may stand in a list: one line, printable. Raises HandInError where nothing is left of it."""
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:LONGEST_NAME].strip()
    if not name:
        raise HandInError(tr("a name, please"))
    return name


def file_name(name: str) -> str:
    """The name of the file for a student's name: letters and digits of it."""
    letters = "".join(letter.lower() if letter.isalnum() else "-" for letter in name)
    return f"{'-'.join(filter(None, letters.split('-')))[:60] or 'hand-in'}{SUFFIX}"


def as_file(work: HandIn) -> bytes:
    """The content of the file."""
    return msgspec.json.format(msgspec.json.encode(work, order="deterministic"), indent=1) + b"\n"


def parse_hand_in(raw: bytes) -> HandIn:
    """A file that was handed in. Raises HandInError."""
    try:
        work = from_json(raw, HandIn)
    except (NotJsonError, msgspec.ValidationError) as error:
        if newer := newer_format(raw, FORMAT):
            raise HandInError(tr("written by a newer ptescope ({version})").format(version=f"format {newer}")) from None
        raise HandInError(tr("this is no hand-in: {why}").format(why=error)) from None
    if work.format != FORMAT:
        raise HandInError(tr("written by a newer ptescope ({version})").format(version=work.program))
    return msgspec.structs.replace(work, name=clean_name(work.name))


def missing(work: HandIn, assignment: Assignment) -> list[str]:
    """What of an assignment is not done, in words."""
    found = []
    for name in assignment.lessons:
        done = work.lessons.get(name)
        try:
            title = find(name).header.title
        except LessonError:
            title = name
        if done is None:
            found.append(tr("{title}: not begun").format(title=title))
        elif not done.finished:
            found.append(tr("{title}: not finished, at section {part}").format(title=title, part=done.item + 1))
    for drills in assignment.drills:
        open_ones = sum(key not in work.exercises for key in drills.keys)
        if open_ones:
            found.append(tr("drill {kind}: {count} exercises not answered").format(kind=drills.kind, count=open_ones))
    return found
