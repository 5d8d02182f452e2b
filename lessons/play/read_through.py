"""A lesson read from beginning to end: every text as the learner meets it, and what the model answers.

One way through, with the author's own solutions and any answer to the questions. What teachers print and read aloud is
made of this, so no text of theirs has a placeholder in it.
"""

from typing import Final, NamedTuple

from lessons.file.schema import Do, Lesson, Prediction
from lessons.play.any_answer_player import MOST_MOVES, go_on
from lessons.play.grading import choices
from lessons.play.playback import PlayedStep, Standing
from lessons.play.player import Player
from lessons.play.worked_answer import WorkedAnswer, worked
from model.script.moment import NoAnswerError
from model.session.timeline import Timeline


class ReadItem(NamedTuple):
    """One item of a lesson as it reads on this way."""

    number: int
    """Counted from 1."""
    text: str
    world: str
    """Not empty: a new scene begins here."""
    timeline: Timeline
    """The history of the way, in which these are nodes: …"""
    scene: int
    """… the one at which the scene begins, …"""
    entered: int
    """… the one at which the item is entered, …"""
    left: int
    """… and the one at which it is left."""
    ask: str = ""
    choices: tuple[str, ...] = ()
    answer: WorkedAnswer | None = None
    """Of a question: what the model says when it is revealed."""
    question: Prediction | None = None
    commands: tuple[str, ...] = ()
    """What a `do` block plays, or a goal's solution."""
    steps: tuple[PlayedStep, ...] = ()
    """Of a `do` block, with the author's remarks."""
    goal: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """The teacher's."""
    hints: tuple[str, ...] = ()


class _Reader(Player):
    """A player that keeps what the model says to each question."""

    def __init__(self, lesson: Lesson) -> None:
        self.answers: dict[str, WorkedAnswer] = {}
        super().__init__(lesson)

    def _judge(self, prediction: Prediction, standing: Standing) -> None:
        if prediction.id not in self.answers:
            try:
                self.answers[prediction.id] = worked(prediction, standing.moment)
            except NoAnswerError as error:
                raise self._wrong(error) from None
        super()._judge(prediction, standing)


def read_through(lesson: Lesson) -> tuple[ReadItem, ...]:
    """Every item that the way leads through, in order. Raises LessonError where the lesson cannot be played."""
    reader = _Reader(lesson)
    items = [_entered(reader)]
    for _ in range(MOST_MOVES):
        number = reader.place.item
        if reader.finished and "forward" not in reader.view().may:
            break
        if go_on(reader):
            break
        if reader.place.item != number:
            items.append(_entered(reader))
        items[-1] = items[-1]._replace(left=reader.timeline.here.number)
    return tuple(item._replace(answer=_answer(reader, item)) for item in items)


def _answer(reader: _Reader, item: ReadItem) -> WorkedAnswer | None:
    return reader.answers.get(item.question.id) if item.question is not None else None


def _entered(reader: _Reader) -> ReadItem:
    """The item that was just entered."""
    view, action = reader.view(), reader.item.action
    goal = reader.goal
    if isinstance(action, Do):
        commands = tuple(command.text for command in action.commands)
    else:
        commands = tuple(command.text for command in goal.solution) if goal is not None else ()
    return ReadItem(
        view.number,
        view.text,
        view.item.world,
        reader.timeline,
        reader.place.scene,
        reader.timeline.here.number,
        reader.timeline.here.number,
        view.ask,
        choices(reader.prediction) if reader.prediction is not None else (),
        None,
        reader.prediction,
        commands,
        reader.track,
        tuple(text for _, text in view.goal),
        tuple(reader.filled(note.text) for note in view.item.notes if note.audience == "teacher"),
        tuple(reader.filled(hint.text) for hint in view.item.hints),
    )


_KEPT: Final = 8
_known: list[tuple[Lesson, tuple[ReadItem, ...]]] = []


def read_once(lesson: Lesson) -> tuple[ReadItem, ...]:
    """As `read_through`; the lessons read last are kept."""
    for known, items in _known:
        if known is lesson:
            return items
    items = read_through(lesson)
    _known.append((lesson, items))
    del _known[:-_KEPT]
    return items
