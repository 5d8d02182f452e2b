"""The player: what a learner can do in a lesson, and what happens then.

It owns no screen and no file. A screen shows `view()` and calls the moves; each move answers with an empty text, or
with a word to the learner if it could not be made.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lessons.file.schema import Do, Goal, Lesson, Pace, Prediction
from lessons.i18n.language import tr
from lessons.learner.progress import LessonProgress
from lessons.play.goal_search import reached
from lessons.play.grading import GuessError, judge, read_guess
from lessons.play.hints import hint_count
from lessons.play.playback import PlayedStep, Standing, try_out
from lessons.play.played_lesson import PlayedLesson, pending
from model.script.moment import NoAnswerError
from model.text.problems import ScriptError

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize


class Player(PlayedLesson):
    """One learner in one lesson. Raises LessonError where the lesson itself cannot be played."""

    def __init__(self, lesson: Lesson, progress: LessonProgress | None = None) -> None:
        super().__init__(lesson)
        self.folds = True
        """At the pace `visible`, steps that change nothing in sight are part of the next one that does."""
        if progress is not None:
            self._resume(progress)

    def forward(self, size: "StepSize" = "forward") -> str:
        """Take the next steps of a command, or go to the next item."""
        if why := self._locked():
            return why
        place = self.place
        if isinstance(self.item.action, Do) and place.played < len(self.track):
            return self._play(self._length(size, self.item.action, self.track[place.played :]))
        if self.goal is not None and not reached(self.goal, self.standing):
            return self._show_solution(self.goal)
        if place.item + 1 == len(self.lesson.items):
            return tr("This is the end of the lesson.")
        self._enter(place.item + 1, place.number)
        return ""

    def _length(self, size: "StepSize", action: Do, ahead: Sequence[PlayedStep]) -> int:
        """How many of the steps ahead a move takes; unseen ones are not passed where a waiting question is answered."""
        from lessons.play.step_size import length

        pace: Pace = "micro" if action.by == "visible" and not self.folds else action.by
        steps = length(size, pace, ahead)
        if size != "forward" or pace != "visible":
            return steps
        revealed = (self._revealing(question) - self.place.played for question in pending(self.lesson, self.place.item))
        return min((steps, *(number for number in revealed if number > 0)))

    def answer(self, typed: str) -> str:
        """Answer the question on the screen; until it is revealed the answer may be changed."""
        prediction = self.prediction
        if prediction is None:
            return tr("Nothing is asked here.")
        if prediction.id in self.judged:
            return tr("The answer has been shown; yours stays beside it.")
        try:
            guess = read_guess(prediction, typed)
        except GuessError as error:
            return str(error)
        if guess != self.guesses.get(prediction.id):
            self.times[prediction.id] = int(time.time())
        self.guesses[prediction.id] = guess
        if prediction.reveal == "now":
            self._judge(prediction, self.standing)
        return ""

    def show(self) -> str:
        """Go on without an answer: the question is answered by what is played next."""
        prediction = self.prediction
        if prediction is None or prediction.id in self.guesses or prediction.id in self.judged:
            return tr("No question is waiting for an answer here.")
        self.shown.add(prediction.id)
        if prediction.reveal == "now":
            self._judge(prediction, self.standing)
            return ""
        return self.forward()

    def take_back(self) -> str:
        """Forget the answer to the question on the screen, revealed or not: it is asked again."""
        prediction = self.prediction
        if prediction is None or not (prediction.id in self.guesses or prediction.id in self.shown):
            return tr("There is no answer here to take back.")
        self.guesses.pop(prediction.id, None)
        self.times.pop(prediction.id, None)
        self.judged.pop(prediction.id, None)
        self.shown.discard(prediction.id)
        return ""

    def command(self, line: str) -> str:
        """Carry out a command that the learner has typed to reach a goal."""
        goal, place = self.goal, self.place
        if goal is None:
            return tr("Commands can be typed where there is a goal to reach.")
        try:
            played_steps = try_out(self.standing, line)
        except ScriptError as error:
            return "; ".join(problem.message for problem in error.problems)
        if played_steps:
            self._reach(replace(place, played_steps=played_steps, typed=(*place.typed, " ".join(line.split()))))
            if reached(goal, self.standing):
                self.reached.add(goal.id)
                self.solved[goal.id] = self.place.typed
                self.times.setdefault(goal.id, int(time.time()))
        return ""

    def hint(self) -> str:
        """Take one more hint."""
        taken = self.hints_used.get(self._key, 0)
        if taken == hint_count(self.item):
            return tr("That was the last hint.") if taken else tr("There is no hint here: go forward.")
        self.hints_used[self._key] = taken + 1
        return ""

    def _show_solution(self, goal: Goal) -> str:
        """All hints have been taken: play the next command of the way to the goal."""
        rest = self._remaining(goal)
        if not rest:
            return tr("From here the solution that I know no longer works: go back to where this goal begins.")
        return self.command(rest[0].text)

    def _play(self, played_steps: int) -> str:
        """Play that many steps of this item's track."""
        place, track = self.place, self.track
        played = place.played + played_steps
        self._reach(replace(place, played=played, played_steps=track[place.played : played]))
        for prediction in pending(self.lesson, place.item):
            if (played_step := self._revealing(prediction)) <= played:
                self._judge(prediction, track[played_step - 1].standing)
        return ""

    def _judge(self, prediction: Prediction, standing: Standing) -> None:
        """Reveal: ask the model, and put the guess beside the truth. Once only."""
        guess = self.guesses.get(prediction.id, "")
        if prediction.id in self.judged or not (guess or prediction.id in self.shown):
            return
        try:
            self.judged[prediction.id] = judge(prediction, guess, standing.moment)
        except NoAnswerError as error:
            raise self._wrong(error) from None

    # -- progress --------------------------------------------------------------------------------

    def progress(self) -> LessonProgress:
        """Enough to come back to this very step."""
        commands: dict[str, tuple[str, ...]] = {}
        at = self.here
        while at >= 0:
            action = self.lesson.items[self.places[at].item].action
            if isinstance(action, Goal):
                commands.setdefault(action.id, self.places[at].typed)
            at = self.places[at].came_from
        return LessonProgress(
            revision=self.lesson.revision,
            item=self.place.item,
            step=self.place.played,
            guesses=dict(self.guesses),
            commands={**self.solved, **commands},
            hints=dict(self.hints_used),
            finished=self.finished,
            shown=tuple(sorted(self.shown)),
            times=dict(self.times),
        )

    def _resume(self, progress: LessonProgress) -> None:
        """Play the lesson again, silently, up to where it was left.

        If the text has changed since, only to the beginning of that item; a question that is new stops it earlier.
        """
        self.hints_used = {key: max(0, count) for key, count in progress.hints.items()}
        self.shown = set(progress.shown)
        self.solved = dict(progress.commands)
        self.times = dict(progress.times)
        for item in self.lesson.items:
            action = item.action
            if action is not None and not isinstance(action, Do | Goal) and action.id in progress.guesses:
                # What no longer answers the question is asked again.
                with contextlib.suppress(GuessError):
                    self.guesses[action.id] = read_guess(action, progress.guesses[action.id])
        target = min(progress.item, len(self.lesson.items) - 1)
        restored = -1
        while self.place.item < target:
            if self.place.item != restored:
                restored = self.place.item
                self._restore(progress)
            if self.forward():
                break
        else:
            if progress.revision == self.lesson.revision:
                self._restore(progress)
        self.finished |= progress.finished

    def _restore(self, progress: LessonProgress) -> None:
        """Do again what had been done in this item."""
        prediction, goal = self.prediction, self.goal
        if prediction is not None and prediction.reveal == "now":
            self._judge(prediction, self.standing)
        for line in progress.commands.get(goal.id, ()) if goal else ():
            self.command(line)
        inside = self.place.item == progress.item and progress.revision == self.lesson.revision
        end = min(progress.step, len(self.track)) if inside else len(self.track)
        while self.place.played < end:
            action = self.item.action
            assert isinstance(action, Do)
            self._play(self._length("forward", action, self.track[self.place.played : end]))
