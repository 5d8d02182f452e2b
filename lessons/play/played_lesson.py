"""The player: where the learner is in a lesson, what may be done now, and what happens then.

It owns no screen and no file. A screen shows `view()` and calls the moves; each move answers with an empty text, or
with a word to the learner if it could not be made. What is done to the machine grows the history of a session, as in
the sandbox: each scene is a way from its start. A place of the lesson is an item at one of its nodes.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

from lessons.file.problems import LessonError, LessonProblem
from lessons.file.schema import Do, Goal, Hint, Item, Lesson, Pace, Prediction
from lessons.i18n.language import tr
from lessons.learner.progress import LessonProgress
from lessons.play.goal_search import Commands, holds, reached, remaining
from lessons.play.grading import GradedGuess, GuessError, choices, fill, judge, read_guess, readable
from lessons.play.hints import first_hints, hint_count
from lessons.play.playback import PlayedStep, Standing, at_the_start, play_all, set_scene, try_out
from lessons.play.step_size import StepSize, length
from lessons.play.view import Act, LessonPlace, LessonView, RevealedPrediction, Summary
from model.script.moment import NoAnswerError
from model.session.session import Session
from model.session.timeline import Timeline
from model.text.problems import ScriptError


class Player:
    """One learner in one lesson. Raises LessonError where the lesson itself cannot be played."""

    def __init__(self, lesson: Lesson, progress: LessonProgress | None = None) -> None:
        self.lesson: Final = lesson
        self.session: Final = Session()
        """The machine, with every state of it that was reached, micro-step by micro-step."""
        self.places: list[LessonPlace] = []
        self.here = 0
        self._scenes: dict[int, int] = {}
        """Item that begins a scene → the node at which that begins."""
        self._at: dict[tuple[int, int], int] = {}
        """Item and node → the place."""
        self._ahead: dict[int, int] = {}
        """Place → the one that was reached from it last."""
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
        self.finished = False
        self.folds = True
        """At the pace `visible`, steps that change nothing in sight are part of the next one that does."""
        self._tracks: dict[int, tuple[PlayedStep, ...]] = {}
        """Entry place of a `do` item → all steps of its commands."""
        self._enter(0, -1)
        if progress is not None:
            self._resume(progress)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def place(self) -> LessonPlace:
        """The present place."""
        return self.places[self.here]

    @property
    def timeline(self) -> Timeline:
        """The history, of which the scene that we are in is a part."""
        return self.session.timeline

    @property
    def standing(self) -> Standing:
        """The machine where we are."""
        return self.standing_at(self.place)

    def standing_at(self, place: LessonPlace) -> Standing:
        """The machine at a place."""
        node = self.timeline.nodes[place.at]
        return at_the_start(node) if place.at == place.scene else Standing.at(node)

    @property
    def step(self) -> int:
        """Micro-steps since the scene began."""
        return self.timeline.here.depth - self.timeline.nodes[self.place.scene].depth

    @property
    def item(self) -> Item:
        """The present item."""
        return self.lesson.items[self.place.item]

    @property
    def prediction(self) -> Prediction | None:
        """The question of this item, if it is one."""
        action = self.item.action
        return None if isinstance(action, Do | Goal) else action

    @property
    def goal(self) -> Goal | None:
        """The goal of this item, if it has one."""
        return self.item.action if isinstance(self.item.action, Goal) else None

    @property
    def track(self) -> tuple[PlayedStep, ...]:
        """All steps of this item's commands, played or not."""
        action, entry = self.item.action, self.place.entry
        if not isinstance(action, Do):
            return ()
        if entry not in self._tracks:
            self._tracks[entry] = tuple(play_all(action, self.standing_at(self.places[entry]), self.lesson.file))
        return self._tracks[entry]

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

    # -- moves -----------------------------------------------------------------------------------

    def forward(self, size: StepSize = "forward") -> str:
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

    def _length(self, size: StepSize, action: Do, ahead: Sequence[PlayedStep]) -> int:
        """How many of the steps ahead a move takes; unseen ones are not passed where a waiting question is answered."""
        pace: Pace = "micro" if action.by == "visible" and not self.folds else action.by
        steps = length(size, pace, ahead)
        if size != "forward" or pace != "visible":
            return steps
        revealed = (self._revealing(question) - self.place.played for question in pending(self.lesson, self.place.item))
        return min((steps, *(number for number in revealed if number > 0)))

    def back(self) -> str:
        """To the place before; what was reached stays."""
        if self.place.came_from < 0:
            return tr("This is the beginning of the lesson.")
        self._stand(self.place.came_from)
        return ""

    def go(self, number: int) -> str:
        """Jump to any place that was reached."""
        if not 0 <= number < len(self.places):
            return tr("There is no such place.")
        at = number
        while (before := self.places[at].came_from) >= 0:
            self._ahead[before] = at
            at = before
        self._stand(number)
        return ""

    def ways(self, number: int) -> list[int]:
        """The places that lead on from one, in the order in which they were first reached."""
        return [place.number for place in self.places if place.came_from == number]

    def ahead(self, number: int) -> int | None:
        """The place that going forward from one leads to again: where one went last; None at an end."""
        return self._ahead.get(number)

    def branch(self, by: int) -> str:
        """Turn to another of the ways that lead on from here, `by` ways further; does not move."""
        ways = self.ways(self.here)
        if len(ways) < 2:
            return tr("Only one way leads on from here.")
        last = self._ahead[self.here]
        self._ahead[self.here] = ways[((ways.index(last) if last in ways else 0) + by) % len(ways)]
        return ""

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
            self._reach(place._replace(played_steps=played_steps, typed=(*place.typed, " ".join(line.split()))))
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

    def _locked(self) -> str:
        """Why going forward is not possible now; empty if it is."""
        prediction, goal = self.prediction, self.goal
        if prediction is not None and prediction.id not in self.guesses and prediction.id not in self.shown:
            return tr("Answer first. A guess is enough: it is the guess that makes you remember.")
        hints_used = self.hints_used.get(self._key, 0)
        if goal is not None and hints_used < hint_count(self.item) and not reached(goal, self.standing):
            return tr("The goal is not reached yet: type commands, or ask for a hint.")
        return ""

    def _show_solution(self, goal: Goal) -> str:
        """All hints have been taken: play the next command of the way to the goal."""
        rest = self._remaining(goal)
        if not rest:
            return tr("From here the way that I know does not lead to the goal: go back to where it begins.")
        return self.command(rest[0].text)

    def _play(self, played_steps: int) -> str:
        """Play that many steps of this item's track."""
        place, track = self.place, self.track
        played = place.played + played_steps
        self._reach(place._replace(played=played, played_steps=track[place.played : played]))
        for prediction in pending(self.lesson, place.item):
            if (played_step := self._revealing(prediction)) <= played:
                self._judge(prediction, track[played_step - 1].standing)
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

    def _judge(self, prediction: Prediction, standing: Standing) -> None:
        """Reveal: ask the model, and put the guess beside the truth. Once only."""
        guess = self.guesses.get(prediction.id, "")
        if prediction.id in self.judged or not (guess or prediction.id in self.shown):
            return
        try:
            self.judged[prediction.id] = judge(prediction, guess, standing.moment)
        except NoAnswerError as error:
            raise self._wrong(error) from None

    def _enter(self, item: int, came_from: int) -> None:
        """Begin an item, in its world if it names one: that is a scene, another way from the start of the history."""
        entered = self.lesson.items[item]
        if item in self._scenes:
            self.timeline.goto(self._scenes[item])
        elif entered.world:
            set_scene(self.lesson, entered, self.session)
            self._scenes[item] = self.timeline.here.number
        at = self.timeline.here.number
        scene = at if entered.world or came_from < 0 else self.places[came_from].scene
        number = self._at.get((item, at), len(self.places))
        self._visit(LessonPlace(number, item, at, scene, number, came_from))
        self.finished |= entered.last

    def _reach(self, place: LessonPlace) -> None:
        """Go to a place of this item, where some steps lead from here."""
        for played_step in place.played_steps:
            for node in played_step.nodes:
                self.timeline.grow(node)
        at = self.timeline.here.number
        number = self._at.get((place.item, at), len(self.places))
        self._visit(place._replace(number=number, at=at, came_from=self.here))

    def _visit(self, place: LessonPlace) -> None:
        """Be at a place that was reached from here, now or before."""
        if place.number == len(self.places):
            self.places.append(place)
            self._at[place.item, place.at] = place.number
        else:
            self.places[place.number] = place
        if place.came_from >= 0:
            self._ahead[place.came_from] = place.number
        self._stand(place.number)

    def _stand(self, number: int) -> None:
        self.here = number
        self.timeline.goto(self.place.at)

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
