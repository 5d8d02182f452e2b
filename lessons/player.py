"""The player: where the learner is in a lesson, what may be done now, and what happens then.

It owns no screen and no file. A screen shows `view()` and calls the moves; each move answers with an empty text, or
with a word to the learner if it could not be made. Every place ever reached is kept as a node of a tree: going back
costs nothing, and doing something else there grows a branch.
"""

import contextlib
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from lessons.expressions import ExpressionError
from lessons.format import Do, Goal, Hint, Item, Lesson, Prediction
from lessons.judging import GuessError, Verdict, choices, fill, judge, read_guess, readable
from lessons.ladder import climb, height, holds, reached, remaining
from lessons.performing import Beat, Standing, play_all, power_on, set_scene, try_out
from lessons.problems import LessonError, Problem
from lessons.progress import LessonProgress
from lessons.strides import Stride, length
from model.script.problems import ScriptError

Act = Literal["forward", "back", "answer", "hint", "command"]


class Node(NamedTuple):
    """A place that was reached: a place in the lesson and the machine there."""

    number: int
    parent: int
    """-1 for the first."""
    item: int
    entry: int
    """The node at which the item was entered."""
    played: int
    """Beats of the item's commands that have been played."""
    beats: tuple[Beat, ...]
    """What the move that led here did to the machine."""
    standing: Standing
    typed: tuple[str, ...] = ()
    """Commands given to reach the item's goal."""


class Judged(NamedTuple):
    """A prediction that has been revealed."""

    prediction: Prediction
    verdict: Verdict


class View(NamedTuple):
    """Everything that there is to show."""

    number: int
    """Of the item, counted from 1."""
    total: int
    item: Item
    text: str
    ask: str
    """The question on the screen, answered or not; empty if none."""
    choices: tuple[str, ...]
    """Its answers to choose from; empty where any number will do."""
    guess: str
    """What was answered, as the learner reads it; empty: nothing yet."""
    judged: tuple[Judged, ...]
    """What has just been revealed: guesses beside the truth."""
    goal: tuple[tuple[bool, str], ...]
    """Each condition of the goal: whether it holds now, and how it reads."""
    hints: tuple[Hint, ...]
    """The rungs climbed so far."""
    notes: tuple[str, ...]
    upcoming: str
    """The command that going forward starts or goes on with; empty if none."""
    next_beat: Beat | None
    """The micro-step that comes next, where it is known."""
    beats: tuple[Beat, ...]
    """What the last move did."""
    standing: Standing
    may: frozenset[Act]
    finished: bool


class Summary(NamedTuple):
    """What a lesson has come to."""

    right: int
    predictions: int
    """Those that were made and revealed."""
    hints: int
    goals: int
    """Goals reached."""
    rule: str
    read: tuple[str, ...]


class Player:
    """One learner in one lesson. Raises LessonError where the lesson itself cannot be played."""

    def __init__(self, lesson: Lesson, progress: LessonProgress | None = None) -> None:
        self.lesson: Final = lesson
        self.nodes: list[Node] = []
        self.here = 0
        self.children: dict[int, list[int]] = {}
        """Node → the places that were reached from it, the last visited one last."""
        self.guesses: dict[str, str] = {}
        self.judged: dict[str, Verdict] = {}
        """Prediction id → the verdict, once it has been revealed."""
        self.climbed: dict[str, int] = {}
        """Prediction or goal id → rungs climbed."""
        self.reached: set[str] = set()
        """Ids of goals that were reached."""
        self.finished = False
        self._tracks: dict[int, tuple[Beat, ...]] = {}
        """Entry node of a `do` item → all beats of its commands."""
        self._enter(0, -1, power_on())
        if progress is not None:
            self._resume(progress)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """Where we are."""
        return self.nodes[self.here]

    @property
    def item(self) -> Item:
        """The item we are in."""
        return self.lesson.items[self.node.item]

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
    def track(self) -> tuple[Beat, ...]:
        """All beats of this item's commands, played or not."""
        action, entry = self.item.action, self.node.entry
        if not isinstance(action, Do):
            return ()
        if entry not in self._tracks:
            self._tracks[entry] = tuple(play_all(action, self.nodes[entry].standing, self.lesson.file))
        return self._tracks[entry]

    @property
    def hints_taken(self) -> tuple[Hint, ...]:
        """The rungs of this item's ladder that have been climbed."""
        return climb(self.item, self.climbed.get(self._key, 0), self.node.standing, self.lesson.file)

    def view(self) -> View:
        """What to show now."""
        node, item, prediction, goal = self.node, self.item, self.prediction, self.goal
        ahead = self.track[node.played] if node.played < len(self.track) else None
        guess = self.guesses.get(prediction.id, "") if prediction else ""
        return View(
            number=node.item + 1,
            total=len(self.lesson.items),
            item=item,
            text=self._filled(item.text, self.nodes[node.entry].standing),
            ask=self._filled(prediction.ask, node.standing) if prediction else "",
            choices=choices(prediction) if prediction else (),
            guess=readable(prediction, guess) if prediction and guess else "",
            judged=tuple(self._revealed()),
            goal=tuple((holds(check.condition, node.standing), check.text) for check in goal.checks) if goal else (),
            hints=self.hints_taken,
            notes=tuple(note.text for note in item.notes if note.audience == "reader"),
            upcoming=ahead.command if ahead else "",
            next_beat=ahead,
            beats=node.beats,
            standing=node.standing,
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
            "forward": not self._locked() and self.node.item + 1 < len(self.lesson.items),
            "back": self.node.parent >= 0,
            "answer": prediction is not None and prediction.id not in self.judged,
            "hint": self.climbed.get(self._key, 0) < height(self.item),
            "command": self.goal is not None,
        }
        return frozenset(act for act, can in possible.items() if can)

    def _revealed(self) -> Iterator[Judged]:
        """The verdicts that belong to this place: of the question on the screen, or of those a `do` has answered."""
        prediction = self.prediction
        asked: tuple[Prediction, ...] = (prediction,) if prediction else ()
        if self.track and self.node.played == len(self.track):
            asked = pending(self.lesson, self.node.item)
        for question in asked:
            if question.id in self.judged:
                yield Judged(question, self.judged[question.id])

    def _filled(self, text: str, standing: Standing) -> str:
        """Text of this item with the model's numbers in it."""
        try:
            return fill(text, standing.moment)
        except ExpressionError as error:
            raise self._wrong(error) from None

    def _wrong(self, error: ExpressionError) -> LessonError:
        """The lesson asks this item something that the model cannot answer."""
        return LessonError([Problem(self.lesson.file, self.item.action_line or self.item.line, 1, str(error))])

    # -- moves -----------------------------------------------------------------------------------

    def forward(self, stride: Stride = "forward") -> str:
        """Go on: the next beats of a command, or the next item."""
        if why := self._locked():
            return why
        node = self.node
        if isinstance(self.item.action, Do) and node.played < len(self.track):
            return self._play(length(stride, self.item.action.by, self.track[node.played :]))
        if self.goal is not None and not reached(self.goal, node.standing):
            return self._show_solution(self.goal)
        if node.item + 1 == len(self.lesson.items):
            return "This is the end of the lesson."
        known = [child for child in self.children.get(node.number, ()) if self.nodes[child].item > node.item]
        if known:
            self._visit(known[-1])
        else:
            self._enter(node.item + 1, node.number, node.standing)
        return ""

    def back(self) -> str:
        """To the place before; what was reached stays."""
        if self.node.parent < 0:
            return "This is the beginning of the lesson."
        self.here = self.node.parent
        return ""

    def go(self, number: int) -> str:
        """Jump to any place that was reached."""
        if not 0 <= number < len(self.nodes):
            return "There is no such place."
        at = number
        while self.nodes[at].parent >= 0:
            self._visit(at)
            at = self.nodes[at].parent
        self.here = number
        return ""

    def answer(self, typed: str) -> str:
        """Answer the question on the screen; until it is revealed the answer may be changed."""
        prediction = self.prediction
        if prediction is None:
            return "Nothing is asked here."
        if prediction.id in self.judged:
            return "This has been revealed already; your answer stays beside it."
        try:
            self.guesses[prediction.id] = read_guess(prediction, typed)
        except GuessError as error:
            return str(error)
        if prediction.reveal == "now":
            self._judge(prediction)
        return ""

    def command(self, line: str) -> str:
        """Carry out a command that the learner has typed to reach a goal."""
        goal, node = self.goal, self.node
        if goal is None:
            return "Commands can be typed where there is a goal to reach."
        try:
            beats = try_out(node.standing, line)
        except ScriptError as error:
            return "; ".join(problem.message for problem in error.problems)
        if beats:
            typed = (*node.typed, " ".join(line.split()))
            self._reach(node._replace(beats=beats, standing=beats[-1].standing, typed=typed))
            if reached(goal, self.node.standing):
                self.reached.add(goal.id)
        return ""

    def hint(self) -> str:
        """Climb one rung of the ladder."""
        taken = self.climbed.get(self._key, 0)
        if taken == height(self.item):
            return "That was the last hint." if taken else "There is no hint here: go forward."
        self.climbed[self._key] = taken + 1
        return ""

    def _locked(self) -> str:
        """Why going forward is not possible now; empty if it is."""
        prediction, goal = self.prediction, self.goal
        if prediction is not None and prediction.id not in self.guesses:
            return "Answer first. A guess is enough: it is the guess that makes you remember."
        climbed = self.climbed.get(self._key, 0)
        if goal is not None and climbed < height(self.item) and not reached(goal, self.node.standing):
            return "The goal is not reached yet: type commands, or ask for a hint."
        return ""

    def _show_solution(self, goal: Goal) -> str:
        """The whole ladder has been climbed: play the next command of the way to the goal."""
        rest = remaining(goal, self.node.standing, self.lesson.file)
        if not rest:
            return "From here the way that I know does not lead to the goal: go back to where it begins."
        return self.command(rest[0].text)

    def _play(self, beats: int) -> str:
        """Play that many beats of this item's track."""
        node, track = self.node, self.track
        played = node.played + beats
        standing = track[played - 1].standing
        self._reach(node._replace(played=played, beats=track[node.played : played], standing=standing))
        if played == len(track):
            for prediction in pending(self.lesson, node.item):
                self._judge(prediction)
        return ""

    def _judge(self, prediction: Prediction) -> None:
        """Reveal: ask the model, and put the guess beside the truth. Once only."""
        if prediction.id not in self.guesses or prediction.id in self.judged:
            return
        try:
            self.judged[prediction.id] = judge(prediction, self.guesses[prediction.id], self.node.standing.moment)
        except ExpressionError as error:
            raise self._wrong(error) from None

    def _enter(self, item: int, parent: int, standing: Standing) -> None:
        """Begin an item, in its world if it names one."""
        entered = self.lesson.items[item]
        number = len(self.nodes)
        start = set_scene(self.lesson, entered) if entered.world else standing
        self._add(Node(number, parent, item, number, 0, (), start))
        self.finished |= entered.last

    def _reach(self, place: Node) -> None:
        """Go to a place of this item: the node of the same move if it was made before, else a new one."""
        for child in self.children.get(self.here, ()):
            known = self.nodes[child]
            if (known.entry, known.played, known.typed) == (place.entry, place.played, place.typed):
                self._visit(child)
                return
        self._add(place._replace(number=len(self.nodes), parent=self.here))

    def _add(self, node: Node) -> None:
        self.nodes.append(node)
        self._visit(node.number)

    def _visit(self, number: int) -> None:
        """Be at a node, and remember that this is the way that was taken from its parent."""
        siblings = self.children.setdefault(self.nodes[number].parent, [])
        if number in siblings:
            siblings.remove(number)
        siblings.append(number)
        self.here = number

    # -- progress --------------------------------------------------------------------------------

    def progress(self) -> LessonProgress:
        """Enough to come back to this very step."""
        commands: dict[str, tuple[str, ...]] = {}
        at = self.here
        while at >= 0:
            action = self.lesson.items[self.nodes[at].item].action
            if isinstance(action, Goal):
                commands.setdefault(action.id, self.nodes[at].typed)
            at = self.nodes[at].parent
        return LessonProgress(
            revision=self.lesson.revision,
            item=self.node.item,
            step=self.node.played,
            guesses=dict(self.guesses),
            commands=commands,
            hints=dict(self.climbed),
            finished=self.finished,
        )

    def _resume(self, progress: LessonProgress) -> None:
        """Play the lesson again, silently, up to where it was left.

        If the text has changed since, only to the beginning of that item; a question that is new stops it earlier.
        """
        self.climbed = {key: max(0, rungs) for key, rungs in progress.hints.items()}
        for item in self.lesson.items:
            action = item.action
            if action is not None and not isinstance(action, Do | Goal) and action.id in progress.guesses:
                # What no longer answers the question is asked again.
                with contextlib.suppress(GuessError):
                    self.guesses[action.id] = read_guess(action, progress.guesses[action.id])
        target = min(progress.item, len(self.lesson.items) - 1)
        while self.node.item < target:
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
            self._judge(prediction)
        for line in progress.commands.get(goal.id, ()) if goal else ():
            self.command(line)
        inside = self.node.item == progress.item and progress.revision == self.lesson.revision
        end = min(progress.step, len(self.track)) if inside else len(self.track)
        while self.node.played < end:
            action = self.item.action
            assert isinstance(action, Do)
            ahead = self.track[self.node.played : end]
            self._play(length("forward", action.by, ahead))

    def summary(self) -> Summary:
        """What was predicted, needed and learnt."""
        return Summary(
            right=sum(verdict.right for verdict in self.judged.values()),
            predictions=len(self.judged),
            hints=sum(self.climbed.values()),
            goals=len(self.reached),
            rule=self.lesson.header.rule,
            read=self.lesson.header.read,
        )


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
