"""What a presenting program tells the one that shows the teacher's notes: a small file, replaced at each move."""

import contextlib
import time
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from lessons.file.schema import ChoiceQuestion, Lesson, NumberQuestion, PageQuestion, YesNoQuestion
from lessons.learner.progress import replace_file
from lessons.play.grading import choices
from lessons.play.player import Player

NAME: Final = "presenting.json"
STALE: Final = 12 * 3600.0
"""Seconds after which nobody is believed to be presenting any more."""


class Ballots(msgspec.Struct, frozen=True):
    """How a room voted on one question, before and after talking to the neighbour."""

    answers: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...] = ()
    """One row of counts for each ballot, at most two."""


class Beliefs(msgspec.Struct, frozen=True):
    """A likely wrong answer and the belief behind it."""

    answer: str
    reply: str


class Presented(msgspec.Struct, frozen=True):
    """Where the presenter stands."""

    lesson: str
    title: str
    part: int
    parts: int
    minutes: int
    began: float
    """Seconds since the epoch."""
    now: float
    notes: tuple[str, ...] = ()
    """The teacher's notes of this part."""
    question: str = ""
    beliefs: tuple[Beliefs, ...] = ()
    following: str = ""
    """What going forward does next, in a few words."""
    ballots: dict[str, Ballots] = {}
    """By the question's id."""


def presented(player: Player, began: float, ballots: dict[str, Ballots]) -> Presented:
    """Where a player stands, for the notes."""
    lesson, view = player.lesson, player.view()
    notes = tuple(note.text for note in view.item.notes if note.audience == "teacher")
    return Presented(
        lesson.id,
        lesson.header.title,
        view.number,
        view.total,
        lesson.header.minutes,
        began,
        time.time(),
        notes,
        view.ask,
        beliefs(player),
        view.upcoming or _following(lesson, view.number),
        ballots,
    )


def beliefs(player: Player) -> tuple[Beliefs, ...]:
    """The wrong answers of the question on the screen, each with what is to be said to it."""
    match player.prediction:
        case ChoiceQuestion(option=options):
            return tuple(Beliefs(option.text, option.reply) for option in options if option.reply)
        case NumberQuestion(wrong=wrongs) | PageQuestion(wrong=wrongs):
            return tuple(Beliefs(str(wrong.answer), wrong.reply) for wrong in wrongs)
        case YesNoQuestion(otherwise=otherwise):
            return (Beliefs("", otherwise),)
        case _:
            return ()


def _following(lesson: Lesson, number: int) -> str:
    """How the next part begins."""
    if number >= len(lesson.items):
        return ""
    text = " ".join(lesson.items[number].text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def ballot_of(player: Player, typed: str) -> Ballots:
    """Counts as they are typed: one for each answer, in order. Raises ValueError, saying what is expected."""
    prediction = player.prediction
    if prediction is None:
        raise ValueError("there is no question to vote on here")
    answers = choices(prediction)
    if answers:
        words = typed.replace(",", " ").split()
        if len(words) != len(answers) or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(
                f"{len(answers)} counts, one for each answer: e.g. {' '.join(['12', '3', '5', '1'][: len(answers)])}"
            )
        return Ballots(answers, (tuple(map(int, words)),))
    pairs = [word.partition(":") for word in typed.replace(",", " ").split()]
    if not pairs or not all(answer and count.isascii() and count.isdigit() for answer, _, count in pairs):
        raise ValueError("answers with their counts: e.g. 0:12 1:5 1024:3")
    return Ballots(tuple(answer for answer, _, _ in pairs), (tuple(int(count) for _, _, count in pairs),))


def joined(first: Ballots | None, second: Ballots) -> Ballots:
    """A second ballot beside the first; a third takes the place of the second."""
    if first is None:
        return second
    answers = tuple(dict.fromkeys((*first.answers, *second.answers)))

    def spread(ballots: Ballots, row: int) -> tuple[int, ...]:
        known = dict(zip(ballots.answers, ballots.counts[row], strict=True))
        return tuple(known.get(answer, 0) for answer in answers)

    return Ballots(answers, (spread(first, 0), spread(second, 0)))


def path() -> Path:
    """Where the file is."""
    return platformdirs.user_runtime_path("ptescope", ensure_exists=False) / NAME


def tell(where: Presented, file: Path | None = None) -> None:
    """Replace the file; where that is not possible there are no notes, and the class goes on."""
    file = file or path()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode(where))


def heard(file: Path | None = None) -> Presented | None:
    """What the presenter said last; None if nobody is presenting."""
    file = file or path()
    try:
        where = msgspec.json.decode(file.read_bytes(), type=Presented)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return where if time.time() - where.now < STALE else None


def ended(file: Path | None = None) -> None:
    """Remove the file: nobody presents any more."""
    with contextlib.suppress(OSError):
        (file or path()).unlink()
