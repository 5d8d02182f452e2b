"""A class's work, collected: each file replayed on the model, what does not replay refused, what is odd named."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from lessons.file.library import find
from lessons.file.problems import LessonError
from lessons.file.schema import Goal, Lesson, Question
from lessons.i18n.language import ntr, tr
from lessons.learner.own_file import read_own, reason
from lessons.teach.assignment import Assignment, when
from lessons.teach.hand_in import SUFFIX, HandIn, HandInError, parse_hand_in
from lessons.teach.replayed import ReplayedExercise, ReplayedLesson, WorkError, replay_exercise, replay_lesson

MOST_BYTES: Final = 2_000_000
MOST_FILES: Final = 5_000
SUFFIXES: Final = frozenset((SUFFIX, ".json"))
HASTE: Final = 2.0
"""Seconds in which nobody reads a question and answers it."""
MANY: Final = 3
"""So many answers in haste, or the same as somebody else's to the second, are worth a word."""
DAY: Final = 86_400.0
ASKED: Final = (Question, Goal)
"""What a student does something for."""


class CollectedWork(NamedTuple):
    """One student's work."""

    file: Path
    work: HandIn
    lessons: tuple[ReplayedLesson, ...]
    exercises: tuple[ReplayedExercise, ...]
    refused: tuple[str, ...]
    """What does not replay, and why: it counts for nothing."""
    odd: tuple[str, ...]
    """What a teacher may want to ask about."""

    @property
    def points(self) -> int:
        """Right answers, goals reached, exercises answered rightly."""
        return sum(lesson.points for lesson in self.lessons) + sum(one.right for one in self.exercises)


class RefusedFile(NamedTuple):
    """A file that is no hand-in at all."""

    file: Path
    why: str


class Collection(NamedTuple):
    """Everything that was found in a folder."""

    works: tuple[CollectedWork, ...]
    """By name."""
    refused: tuple[RefusedFile, ...]
    possible: int
    """Points that there are, as far as that is known: those of the assignment, or of what anybody did."""


def files_in(folder: Path) -> list[Path]:
    """The files that may be hand-ins, also in folders below, as learning platforms pack them. Raises OSError."""
    if folder.is_file():
        return [folder]
    found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if len(found) > MOST_FILES:
        raise OSError(0, tr("more than {most} files").format(most=MOST_FILES), str(folder))
    return found


def collect(files: Iterable[Path], assignment: Assignment | None, now: float) -> Collection:
    """Read and replay hand-ins. Of several by one student the newest counts."""
    found: list[tuple[Path, HandIn]] = []
    refused: list[RefusedFile] = []
    for path in files:
        try:
            found.append((path, _read(path)))
        except HandInError as error:
            refused.append(RefusedFile(path, str(error)))
    newest: dict[str, tuple[Path, HandIn]] = {}
    for path, work in sorted(found, key=lambda one: (one[1].made, str(one[0]))):
        newest[_who(work)] = (path, work)
    older = Counter(_who(work) for _, work in found)
    copies = _copies([work for _, work in newest.values()])
    lessons = LessonShelf()
    works = []
    for who, (path, work) in newest.items():
        one = _replayed(path, work, lessons, assignment)
        odd = [*_odd(work, assignment, lessons, now), *copies.get(who, ())]
        if older[who] > 1:
            odd.append(
                ntr("handed in {n} time", "handed in {n} times; the newest counts", older[who]).format(n=older[who])
            )
        works.append(one._replace(odd=(*one.odd, *odd)))
    works.sort(key=lambda one: (one.work.name.casefold(), str(one.file)))
    return Collection(tuple(works), tuple(refused), _possible(works, assignment, lessons))


class LessonShelf:
    """The lessons that were handed in, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, Lesson | None] = {}

    def find(self, name: str) -> Lesson | None:
        """A lesson; None where there is none of that name, or it is damaged."""
        if name not in self._known:
            try:
                self._known[name] = find(name) if name.replace("-", "").isalnum() else None
            except LessonError:
                self._known[name] = None
        return self._known[name]


def _who(work: HandIn) -> str:
    """Who handed it in: what the school knows the student by, else the name."""
    return (work.student or work.name).casefold()


def _read(path: Path) -> HandIn:
    try:
        return parse_hand_in(read_own(path, MOST_BYTES))
    except OSError as error:
        raise HandInError(reason(error)) from None


def _replayed(path: Path, work: HandIn, lessons: LessonShelf, assignment: Assignment | None) -> CollectedWork:
    """Do everything again on the model."""
    done: list[ReplayedLesson] = []
    exercises: list[ReplayedExercise] = []
    refused: list[str] = []
    odd: list[str] = []
    wanted = set(assignment.lessons) if assignment is not None else None
    for name, progress in work.lessons.items():
        if wanted is not None and name not in wanted:
            continue
        lesson = lessons.find(name)
        if lesson is None:
            refused.append(tr("{lesson}: there is no such lesson here").format(lesson=name[:60]))
            continue
        try:
            done.append(replay_lesson(lesson, progress))
        except (WorkError, LessonError) as error:
            refused.append(f"{name}: {error}")
            continue
        if progress.revision != lesson.revision:
            odd.append(tr("{lesson}: done with another version of its text").format(lesson=name))
    keys = {key for drills in assignment.drills for key in drills.keys} if assignment is not None else None
    for key, answer in work.exercises.items():
        if keys is not None and key not in keys:
            continue
        try:
            exercises.append(replay_exercise(key, answer))
        except WorkError as error:
            refused.append(str(error))
    return CollectedWork(path, work, tuple(done), tuple(exercises), tuple(refused), tuple(odd))


# -- what is odd ---------------------------------------------------------------------------------


def _times(work: HandIn) -> list[tuple[str, int]]:
    """Every moment of the work, with what happened in it, in the order of time."""
    found = [(f"{name}: {key}", at) for name, one in work.lessons.items() for key, at in one.times.items()]
    found += [(key, answer.at) for key, answer in work.exercises.items()]
    return sorted(found, key=lambda one: one[1])


def _odd(work: HandIn, assignment: Assignment | None, lessons: LessonShelf, now: float) -> Iterator[str]:
    """Times that cannot be, a file that was changed, another assignment."""
    if not work.is_whole:
        yield tr("the file was changed after it was written")
    if assignment is not None and work.assignment != assignment.id:
        yield tr("handed in for another assignment") if work.assignment else tr("handed in for no assignment")
    times = _times(work)
    moments = [at for _, at in times]
    if moments and moments[-1] > work.made + 60:
        yield tr("answered after it was handed in: {when}").format(when=when(moments[-1]))
    if work.made > now + DAY:
        yield tr("handed in in the future: {when}").format(when=when(work.made))
    if moments and assignment is not None and assignment.made and moments[0] < assignment.made - DAY:
        yield tr("begun before the assignment was made: {when}").format(when=when(moments[0]))
    if assignment is not None and assignment.deadline and work.made > assignment.deadline:
        yield tr("late: {when}").format(when=when(work.made))
    hasty = sum(0 <= later - earlier < HASTE for earlier, later in pairwise(moments))
    if hasty >= MANY:
        yield tr("{count} answers within {seconds} seconds of the one before").format(count=hasty, seconds=int(HASTE))
    yield from _out_of_order(work, lessons)
    untimed = sum(len(one.guesses) for one in work.lessons.values()) - sum(
        key in one.times for one in work.lessons.values() for key in one.guesses
    )
    if untimed:
        yield ntr("{n} answer without a time", "{n} answers without a time", untimed).format(n=untimed)


def _out_of_order(work: HandIn, lessons: LessonShelf) -> Iterator[str]:
    """Questions of a lesson come one after the other; an earlier one may be answered anew, but not many."""
    for name, progress in work.lessons.items():
        lesson = lessons.find(name)
        asked = (
            [item.action.id for item in lesson.items if isinstance(item.action, ASKED)] if lesson is not None else []
        )
        order = [progress.times[key] for key in asked if key in progress.times]
        back = sum(later < earlier - 1 for earlier, later in pairwise(order))
        if back >= MANY:
            yield tr("{lesson}: answers against the order of the lesson").format(lesson=name)
        elif back:
            yield tr("{lesson}: the clock was set back, or an answer was changed").format(lesson=name)


def _copies(works: Sequence[HandIn]) -> dict[str, list[str]]:
    """Who has the same answers as somebody else, given in the very same seconds."""
    by_moment: dict[tuple[str, int], set[str]] = {}
    for work in works:
        for what, at in _times(work):
            by_moment.setdefault((what, at), set()).add(_who(work))
    together: Counter[tuple[str, str]] = Counter()
    for who in by_moment.values():
        together.update((one, other) for one in who for other in who if one != other)
    names = {_who(work): work.name for work in works}
    totals = {_who(work): len(_times(work)) for work in works}
    found: dict[str, list[str]] = {}
    for (one, other), same in sorted(together.items()):
        if same >= MANY or (same and same == totals[one]):
            said = tr("{same} of {all} answers in the same seconds as {name}'s")
            found.setdefault(one, []).append(said.format(same=same, all=totals[one], name=names[other]))
    return found


def _possible(works: Sequence[CollectedWork], assignment: Assignment | None, lessons: LessonShelf) -> int:
    """Points that there are."""
    if assignment is not None:
        asked = sum(possible_of(lesson) for name in assignment.lessons if (lesson := lessons.find(name)) is not None)
        return asked + sum(drills.count for drills in assignment.drills)
    return max((sum(one.possible for one in work.lessons) + len(work.exercises) for work in works), default=0)


def possible_of(lesson: Lesson) -> int:
    """Questions and goals of a lesson."""
    return sum(isinstance(item.action, ASKED) for item in lesson.items)
