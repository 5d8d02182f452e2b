"""What a learner has done in a lesson, and what there is to show where they are."""

from collections.abc import Iterator

from lessons.file.problems import LessonError, LessonProblem
from lessons.file.schema import Do, Goal, Hint, Lesson, Prediction
from lessons.i18n.language import tr
from lessons.play.goal_search import Commands, holds, reached, remaining
from lessons.play.grading import GradedGuess, choices, fill, readable
from lessons.play.hints import first_hints, hint_count
from lessons.play.place_tree import PlaceTree
from lessons.play.playback import Standing
from lessons.play.view import Act, LessonView, RevealedPrediction, Summary
from model.script.moment import NoAnswerError


class PlayedLesson(PlaceTree):
    """A lesson with the answers, commands and hints of one learner; `view()` is all that a screen shows of it."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__(lesson)
        self.guesses: dict[str, str] = {}
        self.shown: set[str] = set()
        """Ids of questions that are answered by looking: a room was not asked, or had no time."""
        self.judged: dict[str, GradedGuess] = {}
        """Prediction id → the verdict, once it has been revealed."""
        self._remaining_commands: dict[int, Commands | None] = {}
        """Place → the shortest way from there to its goal."""
        self.hints_used: dict[str, int] = {}
        """Prediction or goal id → hints taken."""
        self.reached: set[str] = set()
        """Ids of goals that were reached."""
        self.solved: dict[str, tuple[str, ...]] = {}
        """Goal id → the commands that reached it last, or were given when one came by."""
        self.times: dict[str, int] = {}
        """Prediction or goal id → when it was answered or reached, in seconds since the epoch."""

    @property
    def hints_taken(self) -> tuple[Hint, ...]:
        """The hints of this item that have been taken."""
        return first_hints(self.item, self.hints_used.get(self._key, 0), self._remaining)

    def _remaining(self, goal: Goal) -> Commands | None:
        """The shortest way from here to the goal; searched for once a place."""
        if self.here not in self._remaining_commands:
            self._remaining_commands[self.here] = remaining(goal, self.standing, self.lesson.file)
        return self._remaining_commands[self.here]

    def view(self) -> LessonView:
        """Everything that there is to show now."""
        place, item, prediction, goal, standing = self.place, self.item, self.prediction, self.goal, self.standing
        ahead = self.track[place.played] if place.played < len(self.track) else None
        guess = self.guesses.get(prediction.id, "") if prediction else ""
        return LessonView(
            number=place.item + 1,
            total=len(self.lesson.items),
            item=item,
            text=_with_par(self.filled(item.text), goal),
            ask=self._filled(prediction.ask, standing) if prediction else "",
            choices=choices(prediction) if prediction else (),
            guess=readable(prediction, guess) if prediction and guess else "",
            waiting=tuple(self._waiting()),
            judged=tuple(self._revealed()),
            goal=tuple((holds(check.condition, standing), check.text) for check in goal.checks) if goal else (),
            hints=self.hints_taken,
            notes=tuple(self.filled(note.text) for note in item.notes if note.audience == "reader"),
            upcoming=ahead.command if ahead else "",
            next_step=ahead,
            played_steps=place.played_steps,
            standing=standing,
            may=self._may(),
            finished=self.finished,
        )

    @property
    def _key(self) -> str:
        """Under which name this item's guess, commands and hints are kept."""
        action = self.item.action
        return "" if action is None or isinstance(action, Do) else action.id

    def _may(self) -> frozenset[Act]:
        """What can be done here."""
        prediction = self.prediction
        possible: dict[Act, bool] = {
            "forward": not self._locked() and self.place.item + 1 < len(self.lesson.items),
            "back": self.place.came_from >= 0,
            "answer": prediction is not None and prediction.id not in self.judged,
            "hint": self.hints_used.get(self._key, 0) < hint_count(self.item),
            "command": self.goal is not None,
        }
        return frozenset(act for act, can in possible.items() if can)

    def _revealed(self) -> Iterator[RevealedPrediction]:
        """The verdicts that belong to this place: of the question on the screen, or of those a `do` has answered."""
        prediction = self.prediction
        asked = [prediction] if prediction else []
        place = self.place
        if self.track:
            before = place.played - len(place.played_steps)
            asked += [it for it in pending(self.lesson, place.item) if before < self._revealing(it) <= place.played]
        for question in asked:
            if question.id in self.judged:
                yield RevealedPrediction(question, self.judged[question.id])

    def _waiting(self) -> Iterator[tuple[str, str]]:
        """The questions that are revealed further on in this item, with the guesses."""
        for question in pending(self.lesson, self.place.item) if self.track else ():
            if question.id in self.guesses and self._revealing(question) > self.place.played:
                asked = self._filled(question.ask, self.standing_at(self.places[self.place.entry]))
                yield asked, readable(question, self.guesses[question.id])

    def asked(self) -> dict[str, str]:
        """The questions met so far, by id, with the numbers that stood in them then."""
        found: dict[str, str] = {}
        for place in self.places:
            action = self.lesson.items[place.item].action
            if action is not None and not isinstance(action, Do | Goal) and action.id not in found:
                found[action.id] = self._filled(action.ask, self.standing_at(place))
        return found

    def filled(self, text: str) -> str:
        """Text of this item with the numbers that hold where it was entered. Raises LessonError."""
        return self._filled(text, self.standing_at(self.places[self.place.entry]))

    def _filled(self, text: str, standing: Standing) -> str:
        """Text of this item with the model's numbers in it."""
        try:
            return fill(text, standing.moment)
        except NoAnswerError as error:
            raise self._wrong(error) from None

    def _wrong(self, error: NoAnswerError) -> LessonError:
        """The lesson asks this item something that the model cannot answer."""
        return LessonError([LessonProblem(self.lesson.file, self.item.action_line or self.item.line, 1, str(error))])

    def _locked(self) -> str:
        """Why going forward is not possible now; empty if it is."""
        prediction, goal = self.prediction, self.goal
        if prediction is not None and prediction.id not in self.guesses and prediction.id not in self.shown:
            return tr("Answer first. A guess is enough: it is the guess that makes you remember.")
        hints_used = self.hints_used.get(self._key, 0)
        if goal is not None and hints_used < hint_count(self.item) and not reached(goal, self.standing):
            return tr("The goal is not reached yet: type commands, or ask for a hint.")
        return ""

    def _revealing(self, prediction: Prediction) -> int:
        """How many steps of this item have been played when a prediction is revealed."""
        track = self.track
        found = (
            number
            for number, played_step in enumerate(track, 1)
            if prediction.at and played_step.is_step(prediction.at)
        )
        return next(found, len(track))

    def summary(self) -> Summary:
        """What was predicted, needed and learnt."""
        return Summary(
            right=sum(verdict.right for verdict in self.judged.values() if verdict.guess),
            predictions=sum(bool(verdict.guess) for verdict in self.judged.values()),
            hints=sum(self.hints_used.values()),
            rule=self.lesson.header.rule,
            read=self.lesson.header.read,
        )


def _with_par(text: str, goal: Goal | None) -> str:
    """What there is to read at a goal, and how few commands will do."""
    if goal is None or not goal.par:
        return text
    many = tr("{count} commands will do.").format(count=goal.par)
    return f"{text}\n\n{many if goal.par > 1 else tr('One command will do.')}".strip()


def pending(lesson: Lesson, item: int) -> tuple[Prediction, ...]:
    """The predictions that the `do` block of an item answers: those asked since the block before it."""
    asked: list[Prediction] = []
    for earlier in reversed(lesson.items[:item]):
        action = earlier.action
        if isinstance(action, Do):
            break
        if action is not None and not isinstance(action, Goal) and action.reveal == "after":
            asked.append(action)
    return tuple(reversed(asked))
