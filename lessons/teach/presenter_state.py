"""What a presenting program tells the one that shows the teacher's notes: a small file, replaced at each move."""

import contextlib
import re
import time
import warnings
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from lessons.i18n.language import tr
from lessons.learner.file_lock import locked
from lessons.learner.own_file import read_own, replace_file
from lessons.play.grading import GuessError, choices, read_guess
from lessons.play.player import Player
from lessons.play.read_through import read_once

NAME: Final = "presenting.json"
STALE: Final = 12 * 3600.0
"""Seconds after which nobody is believed to be presenting any more."""
SHORT: Final = 120
"""Letters of the next part that its announcement has."""
PARAGRAPH_END: Final = re.compile(r"\n\s*\n|\n\s*(?:[-*+|>] ?|\d+[.)] |```)|^```")
MOST_DIGITS: Final = 4
"""Digits of a count in a ballot."""


class Ballots(msgspec.Struct, frozen=True):
    """How a room voted on one question, before and after talking to the neighbour."""

    answers: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...] = ()
    """One row of counts for each ballot, at most two."""


class Beliefs(msgspec.Struct, frozen=True):
    """A likely wrong answer and the belief behind it."""

    answer: str
    """Empty: any other wrong answer."""
    reply: str


class Presented(msgspec.Struct, frozen=True):
    """Where the presenter stands."""

    lesson: str
    title: str
    part: int
    parts: int
    minutes: int
    elapsed: float
    """Seconds since the lecture began."""
    now: float
    """When this was written: seconds since the epoch."""
    notes: tuple[str, ...] = ()
    """The teacher's notes of this part."""
    say: str = ""
    """What the part says, for those who speak it instead of having it read."""
    question: str = ""
    question_id: str = ""
    choices: tuple[str, ...] = ()
    """Answers to choose from; empty: the question wants a number."""
    truth: str = ""
    """The right answer."""
    why: str = ""
    beliefs: tuple[Beliefs, ...] = ()
    ahead: tuple[Beliefs, ...] = ()
    """The steps that the room is about to see, each with what the author says to it."""
    solution: tuple[str, ...] = ()
    """Commands that reach the goal."""
    following: str = ""
    """What going forward does next, in a few words."""
    ballots: dict[str, Ballots] = {}
    """By the question's id."""
    lecture: str = ""
    """Tells this lecture from others."""
    round: int = 0
    """Which ballot on the question is open, from 1; 0: none."""
    shown: str = ""
    """What the room reads now, as Markdown …"""
    picture: tuple[tuple[tuple[str, str], ...], ...] = ()
    """… and sees: rows of words and how they look; both only where a room is served."""


def presented(player: Player, elapsed: float, ballots: dict[str, Ballots]) -> Presented:
    """Where a player stands, for the notes. Raises LessonError where the lesson cannot be played to its end."""
    lesson, view = player.lesson, player.view()
    items = read_once(lesson)
    item = items[view.number - 1] if view.number <= len(items) else None
    answer = item.answer if item is not None else None
    played = player.place.played
    return Presented(
        lesson.id,
        lesson.header.title,
        view.number,
        view.total,
        lesson.header.minutes,
        elapsed,
        time.time(),
        item.notes if item is not None else (),
        view.text,
        view.ask,
        player.prediction.id if player.prediction is not None else "",
        view.choices,
        answer.truth if answer is not None else "",
        answer.why if answer is not None else "",
        tuple(Beliefs(wrong.answer, wrong.reply) for wrong in answer.wrong) if answer is not None else (),
        tuple(Beliefs(step.name or step.command, step.remark) for step in player.track[played:] if step.remark),
        item.commands if item is not None and player.goal is not None else (),
        view.upcoming or (in_short(items[view.number].text) if view.number < len(items) else ""),
        ballots,
    )


def in_short(text: str) -> str:
    r"""How a part begins: its first paragraph, at most 120 letters of it, and no sign of Markdown left open.

    >>> in_short("So far:\n\n* the entry\n* the count")
    'So far:'
    >>> in_short("A page's entry is cleared, " * 4 + "then `read p0 buf`.")[-24:]
    'entry is cleared, then …'
    """
    first = " ".join(PARAGRAPH_END.split(text.strip(), maxsplit=1)[0].split())
    if len(first) <= SHORT:
        return first
    kept = first[:SHORT].rpartition(" ")[0]
    for sign in ("`", "**"):
        if kept.count(sign) % 2:
            kept = kept.rpartition(sign)[0]
    return f"{kept.rstrip()} …"


def ballot_of(player: Player, typed: str) -> Ballots:
    """Counts as they are typed: one for each answer, in order. Raises ValueError, saying what is expected."""
    prediction = player.prediction
    if prediction is None:
        raise ValueError(tr("there is no question to vote on here"))
    answers = choices(prediction)
    words = typed.replace(",", " ").split()
    if answers:
        if len(words) != len(answers) or not all(map(_is_count, words)):
            shown = " ".join(["12", "3", "5", "1", "0", "2"][: len(answers)])
            raise ValueError(
                tr("{count} counts, one for each answer: e.g. {example}").format(count=len(answers), example=shown)
            )
        return Ballots(answers, (tuple(map(int, words)),))
    pairs = [word.partition(":") for word in words]
    if not pairs or not all(answer and _is_count(count) for answer, _, count in pairs):
        raise ValueError(tr("answers with their counts: e.g. 0:12 1:5 1024:3"))
    counted: dict[str, int] = {}
    for answer, _, count in pairs:
        try:
            kept = read_guess(prediction, answer)
        except GuessError as error:
            raise ValueError(f"`{answer}`: {error}") from None
        counted[kept] = counted.get(kept, 0) + int(count)
    return Ballots(tuple(counted), (tuple(counted.values()),))


def _is_count(word: str) -> bool:
    """Whether a word says how many people there are: more than a stadium holds is a slip of the finger."""
    return word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS


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
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # where there is no folder for such files platformdirs takes one in /tmp, and warns
        return platformdirs.user_runtime_path("ptescope", ensure_exists=False) / NAME


def publish(where: Presented, file: Path | None = None) -> None:
    """Replace the file; where that is not possible there are no notes, and the class goes on."""
    file = file or path()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode(where))


def published(file: Path | None = None) -> Presented | None:
    """What the presenter said last; None if nobody is presenting."""
    file = file or path()
    try:
        where = msgspec.json.decode(read_own(file), type=Presented)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return where if abs(time.time() - where.now) < STALE else None


LOCK: Final = ".presenting.lock"


def become_presenter() -> contextlib.ExitStack | None:
    """Be the one that presents, until what is returned is closed or the program dies; None: another program is."""
    file = path().with_name(LOCK)
    held = contextlib.ExitStack()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(file, patience=0))
    except TimeoutError:
        return None
    except OSError:  # without such a folder there are no notes that two could quarrel about
        pass
    return held


def already_presenting() -> str:
    """What to say to a second presenter: the notes, and a room, can follow only one."""
    where = published()
    title = where.title if where is not None else tr("a lesson")
    said = tr("{title} is being presented by another ptescope on this machine: end that first (q there).")
    return said.format(title=title)


def unpublish(file: Path | None = None) -> None:
    """Remove the file: nobody presents any more."""
    with contextlib.suppress(OSError):
        (file or path()).unlink()
