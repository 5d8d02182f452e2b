"""A room of students with browsers: who is here, what they voted, what they handed in.

The server of the room writes, the presenter reads: a small file, replaced at each change. What must outlive both lies
in the folder of the class.
"""

import contextlib
import errno
import re
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from lessons.i18n.language import tr
from lessons.learner.file_lock import locked
from lessons.learner.kept_format import newer_format
from lessons.learner.own_file import free_name, read_own, replace_file
from lessons.play.grading import NUMBER
from lessons.teach.presenter_state import Presented, path

FORMAT: Final = 1
NAME: Final = "room.json"
CLASS: Final = "class.json"
SILENT: Final = 15.0
"""Seconds after which a server that says nothing more is not believed to serve a room any more."""
LONGEST: Final = 40
MOST_STUDENTS: Final = 500
VOTES_KEPT: Final = 400
"""Ballots whose votes are kept."""


class RoomError(ValueError):
    """What a student cannot do, and why."""


class Student(msgspec.Struct, frozen=True):
    """Somebody who has joined."""

    name: str
    word: str
    """Digest of the word with which to come back from another device; empty: none was chosen."""
    folder: str
    """Name of the folder with the student's progress."""
    joined: float


class ClassRecord(msgspec.Struct):
    """What is kept of a class."""

    format: int = FORMAT
    students: dict[str, Student] = {}
    """By the digest of their token."""
    votes: dict[str, dict[str, str]] = {}
    """Ballot → student's folder → answer, as a number of the answers to choose from or as a number."""


class RoomState(msgspec.Struct, frozen=True):
    """What the presenter is told."""

    alive: float
    here: int
    """Students whose browsers have been heard lately."""
    votes: dict[str, str] = {}
    """Of the ballot that is open: student's folder → answer."""
    ballot: str = ""
    handed_in: int = 0


def ballot_key(where: Presented) -> str:
    """The ballot that is open where a presenter stands; empty: there is none."""
    return f"{where.lecture}:{where.question_id}:{where.round}" if where.round and where.question_id else ""


def room_file() -> Path:
    """Where the presenter looks."""
    return path().with_name(NAME)


def publish_room(state: RoomState, file: Path | None = None) -> None:
    """Replace the file; where that is not possible the presenter counts hands."""
    file = file or room_file()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode(state))


def published_room(file: Path | None = None) -> RoomState | None:
    """The room that is being served; None if there is none."""
    try:
        state = msgspec.json.decode(read_own(file or room_file()), type=RoomState)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return state if abs(time.time() - state.alive) < SILENT else None


def as_typed(state: RoomState, where: Presented) -> str:
    """The votes as a teacher would type the counts: to be added to, and taken with Enter; empty: nobody has voted."""
    if not state.votes or state.ballot != ballot_key(where):
        return ""
    answers = list(state.votes.values())
    if where.choices:
        return " ".join(str(answers.count(str(number))) for number in range(1, len(where.choices) + 1))
    return " ".join(f"{answer}:{answers.count(answer)}" for answer in sorted(set(answers), key=int))


def read_vote(where: Presented, typed: str) -> str:
    """A student's answer in the form in which it is kept. Raises RoomError."""
    text = typed.strip()
    if where.choices:
        if not (text.isascii() and text.isdigit() and len(text) < 3 and 1 <= int(text) <= len(where.choices)):
            raise RoomError(tr("choose one of the answers: 1 to {count}").format(count=len(where.choices)))
        return str(int(text))
    if len(text) > LONGEST or not re.fullmatch(NUMBER, text.lower()):
        raise RoomError(tr("a number, please: 0, 1, -1, 1025 or 0x401"))
    return str(int(text.lower(), 0))


class ClassFolder:
    """The folder of a class: who has joined, their work, their votes, what they handed in. Raises OSError.

    It is this object's alone, for it knows what it has written: BlockingIOError where another one has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self.hand_ins: Final = folder / "hand-ins"
        self.report = ""
        for part in (folder, folder / "students", self.hand_ins):
            part.mkdir(parents=True, exist_ok=True)
        self._alone: Final = contextlib.ExitStack()
        try:
            self._alone.enter_context(locked(folder / f".{CLASS}.lock", patience=0))
        except TimeoutError:
            said = tr("another ptescope serves this room")
            raise BlockingIOError(errno.EAGAIN, said, str(folder)) from None
        self.record = self._read()

    def close(self) -> None:
        """Let another program have the folder; the end of this one does so, too."""
        self._alone.close()

    def _read(self) -> ClassRecord:
        file = self.folder / CLASS
        try:
            raw = read_own(file)
        except FileNotFoundError:
            return ClassRecord()
        try:
            found = msgspec.json.decode(raw, type=ClassRecord)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = str(error)
        else:
            if found.format == FORMAT:
                return found
            why = tr("format {found}; this program writes format {ours}").format(found=found.format, ours=FORMAT)
        if newer := newer_format(raw, FORMAT):
            why = tr("format {found}; this program writes format {ours}").format(found=newer, ours=FORMAT)
        aside = free_name(file, "newer" if newer else "damaged")
        file.rename(aside)
        self.report = tr("{file} could not be read ({why}); it is kept as {aside}").format(
            file=file, why=why, aside=aside.name
        )
        return ClassRecord()

    def _write(self) -> None:
        replace_file(self.folder / CLASS, msgspec.json.format(msgspec.json.encode(self.record), indent=1))

    def student(self, token: str) -> Student | None:
        """Who has this token."""
        return self.record.students.get(_digest(token)) if token else None

    def join(self, token: str, name: str, word: str) -> Student:
        """Somebody joins, or comes back with the word that was chosen then. Raises RoomError."""
        from lessons.teach.hand_in import HandInError, clean_name, file_name

        try:
            name = clean_name(name)[:LONGEST]
        except HandInError as error:
            raise RoomError(str(error)) from None
        same = [key for key, one in self.record.students.items() if one.name.casefold() == name.casefold()]
        if same:
            known = self.record.students[same[0]]
            if not known.word or known.word != _digest(f"{known.folder} {word}"):
                said = tr(
                    "{name} is here already: if that is you, type the word that you chose; else add to your name."
                )
                raise RoomError(said.format(name=name))
            del self.record.students[same[0]]
            self.record.students[_digest(token)] = known
            self._write()
            return known
        if len(self.record.students) >= MOST_STUDENTS:
            raise RoomError(tr("The room is full: {most} students.").format(most=MOST_STUDENTS))
        folder = f"{Path(file_name(name)).stem}-{len(self.record.students) + 1}"
        digest = _digest(f"{folder} {word}") if word.strip() else ""
        student = Student(name, digest, folder, time.time())
        self.record.students[_digest(token)] = student
        try:
            self._write()
        except OSError:
            del self.record.students[_digest(token)]
            raise
        return student

    def data(self, student: Student) -> Path:
        """The folder of a student's progress."""
        return self.folder / "students" / student.folder

    def vote(self, student: Student, where: Presented, typed: str) -> None:
        """Take a vote on the question that is open; a second one takes the place of the first. Raises RoomError."""
        key = ballot_key(where)
        if not key:
            raise RoomError(tr("Nothing is being voted on now."))
        votes = self.record.votes.setdefault(key, {})
        votes[student.folder] = read_vote(where, typed)
        while len(self.record.votes) > VOTES_KEPT:
            del self.record.votes[next(iter(self.record.votes))]
        self._write()

    def votes(self, where: Presented) -> dict[str, str]:
        """The votes on the question that is open."""
        return self.record.votes.get(ballot_key(where), {})


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16, person=b"ptescope-class").hexdigest()
