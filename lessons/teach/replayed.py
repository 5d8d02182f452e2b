"""Work that was handed in, done again on the model: what it comes to, or why it cannot have been done like this."""

from functools import lru_cache
from typing import Final, NamedTuple

from lessons.drills.book import LARGEST_SEED, exercise, unknown_kind
from lessons.drills.exercise import Exercise
from lessons.drills.own_worlds import WorldError
from lessons.file.schema import Do, Goal, Lesson
from lessons.i18n.language import tr
from lessons.learner.progress import DrillAnswer, LessonProgress
from lessons.play.any_answer_player import MOST_MOVES
from lessons.play.grading import GuessError, read_guess, readable
from lessons.play.hints import hint_count
from lessons.play.player import Player

MOST_COMMANDS: Final = 200
"""Commands of one goal that are carried out: nobody has typed more."""


class WorkError(ValueError):
    """The work does not replay, and why."""


class ReplayedQuestion(NamedTuple):
    """A question, and what was said to it."""

    id: str
    ask: str
    guess: str
    """As the student read it; empty: it was not answered."""
    truth: str
    """What the model says; empty where it was not revealed."""
    right: bool
    hints: int
    at: int
    """When: seconds since the epoch; 0: not known."""


class ReplayedGoal(NamedTuple):
    """A goal, and what was done for it."""

    id: str
    reached: bool
    commands: int
    hints: int
    at: int


class ReplayedLesson(NamedTuple):
    """What a lesson came to."""

    lesson: str
    title: str
    finished: bool
    """The replay came to its end."""
    parts: int
    at: int
    """Parts that were reached."""
    questions: tuple[ReplayedQuestion, ...]
    goals: tuple[ReplayedGoal, ...]

    @property
    def points(self) -> int:
        """One for each right answer and each goal that was reached."""
        return sum(one.right for one in self.questions) + sum(one.reached for one in self.goals)

    @property
    def possible(self) -> int:
        """Points that there are."""
        return len(self.questions) + len(self.goals)


class ReplayedExercise(NamedTuple):
    """An exercise, and what was said to it."""

    kind: str
    seed: int
    guess: str
    truth: str
    right: bool
    at: int


def replay_lesson(lesson: Lesson, progress: LessonProgress) -> ReplayedLesson:
    """Do a lesson again, as it was handed in. Raises WorkError where that cannot have been.

    Done with another text of the lesson, it is replayed on this one, as far as it goes. Raises LessonError where the
    lesson itself is damaged.
    """
    _look_at(lesson, progress)
    player = Player(lesson)
    target = len(lesson.items) - 1 if progress.finished else min(progress.item, len(lesson.items) - 1)
    stopped = ""
    for _ in range(MOST_MOVES):
        if player.place.item >= target:
            break
        if stopped := _one_item(player, progress):
            break
    if player.place.item < target and progress.revision == lesson.revision:
        said = tr("it says that it came to section {said}, but the replay stops at section {at}: {why}")
        raise WorkError(said.format(said=target + 1, at=player.place.item + 1, why=stopped or tr("too many moves")))
    if not progress.finished and player.place.item == target:
        _where_it_stands(player, progress)
    return _result(player, progress)


def _look_at(lesson: Lesson, progress: LessonProgress) -> None:
    """What can be seen without doing anything. Raises WorkError."""
    questions = {
        item.action.id: item.action for item in lesson.items if item.action and not isinstance(item.action, Do)
    }
    same = progress.revision == lesson.revision
    for name, guess in progress.guesses.items():
        question = questions.get(name)
        if question is None or isinstance(question, Goal):
            if same:
                raise WorkError(tr("it answers a question that the lesson does not ask: {name}").format(name=name))
            continue
        try:
            read_guess(question, guess)
        except GuessError:
            raise WorkError(tr("`{guess}` is no answer to {name}").format(guess=guess[:40], name=name)) from None
    for name, commands in progress.commands.items():
        if len(commands) > MOST_COMMANDS:
            raise WorkError(tr("{count} commands for one goal, {name}").format(count=len(commands), name=name))
    counts = {
        item.action.id: hint_count(item) for item in lesson.items if item.action and not isinstance(item.action, Do)
    }
    for name, taken in progress.hints.items():
        if same and taken > counts.get(name, 0):
            raise WorkError(tr("it took {count} hints at {name}; there are fewer").format(count=taken, name=name))


def _one_item(player: Player, progress: LessonProgress) -> str:
    """Do again what was done in an item, and go to the next one; why that is not possible."""
    item = player.place.item
    prediction, goal = player.prediction, player.goal
    if prediction is not None:
        if prediction.id not in progress.guesses:
            return tr("no answer to {name}").format(name=prediction.id)
        player.answer(progress.guesses[prediction.id])
    for line in progress.commands.get(goal.id, ()) if goal is not None else ():
        if word := player.command(line):
            return f"`{line[:60]}`: {word}"
    if goal is not None and goal.id not in player.reached:
        return tr("the goal {name} is not reached").format(name=goal.id)
    for _ in range(MOST_MOVES):
        if player.place.item != item:
            return ""
        if word := player.forward("command" if isinstance(player.item.action, Do) else "forward"):
            return word
    return tr("too many moves")


def _where_it_stands(player: Player, progress: LessonProgress) -> None:
    """The last item, as far as it was done. Raises WorkError."""
    prediction, goal = player.prediction, player.goal
    if prediction is not None and prediction.id in progress.guesses:
        player.answer(progress.guesses[prediction.id])
    for line in progress.commands.get(goal.id, ()) if goal is not None else ():
        if word := player.command(line):
            raise WorkError(f"`{line[:60]}`: {word}")
    steps = min(progress.step, len(player.track))
    while isinstance(player.item.action, Do) and player.place.played < steps:
        if player.forward("into"):
            break


def _result(player: Player, progress: LessonProgress) -> ReplayedLesson:
    questions, goals = [], []
    asked = player.asked()
    for item in player.lesson.items:
        action = item.action
        if action is None or isinstance(action, Do):
            continue
        hints, at = progress.hints.get(action.id, 0), progress.times.get(action.id, 0)
        if isinstance(action, Goal):
            done = len(progress.commands.get(action.id, ()))
            goals.append(ReplayedGoal(action.id, action.id in player.reached, done, hints, at))
            continue
        verdict = player.judged.get(action.id)
        guess = player.guesses.get(action.id, "")
        questions.append(
            ReplayedQuestion(
                action.id,
                " ".join(asked.get(action.id, "").split()),
                readable(action, guess) if guess else "",
                verdict.truth if verdict is not None else "",
                verdict is not None and verdict.right,
                hints,
                at,
            )
        )
    lesson = player.lesson
    finished = player.place.item == len(lesson.items) - 1
    title = lesson.header.title
    return ReplayedLesson(
        lesson.id, title, finished, len(lesson.items), player.place.item + 1, tuple(questions), tuple(goals)
    )


def replay_exercise(key: str, answer: DrillAnswer) -> ReplayedExercise:
    """An exercise made again from its kind and number. Raises WorkError where there is no such exercise."""
    kind, _, number = key.partition(" ")
    if unknown_kind(kind) or not (number.isascii() and number.isdigit() and len(number) < 11):
        raise WorkError(tr("there is no exercise `{key}`").format(key=key[:40]))
    if int(number) > LARGEST_SEED:
        raise WorkError(tr("there is no exercise `{key}`").format(key=key[:40]))
    try:
        made = _made(kind, int(number))
    except WorldError as error:
        raise WorkError(str(error)) from None
    if answer.chosen >= len(made.answers):
        raise WorkError(tr("exercise `{key}` has no answer {number}").format(key=key, number=answer.chosen + 1))
    chosen, truth = made.answers[answer.chosen].text, made.answers[made.right].text
    return ReplayedExercise(kind, made.seed, chosen, truth, answer.chosen == made.right, answer.at)


@lru_cache(maxsize=1024)
def _made(kind: str, number: int) -> Exercise:
    """An exercise, made once for a whole class."""
    return exercise(kind, number)
