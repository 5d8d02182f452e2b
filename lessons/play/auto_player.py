"""A lesson that plays itself: what a knowing learner would do next."""

from lessons.file.schema import ChoiceQuestion, Lesson, PageQuestion, Prediction
from lessons.play.any_answer_player import truths
from lessons.play.player import Player


def play_next(player: Player) -> bool:
    """Answer rightly, type the goal's next command, or go forward; False at the end of the lesson."""
    view = player.view()
    if player.finished and "forward" not in view.may:
        return False
    if "forward" in view.may:
        return player.forward() == ""
    if player.prediction is not None:
        return player.answer(_right(player.lesson, player.prediction)) == ""
    goal = player.goal
    if goal is None or len(player.place.typed) >= len(goal.solution):
        return False
    return player.command(goal.solution[len(player.place.typed)].text) == ""


_known: dict[str, dict[str, str]] = {}
"""Revision of a lesson → its answers, computed when they are first needed."""


def _right(lesson: Lesson, prediction: Prediction) -> str:
    """The right answer as one types it."""
    if lesson.revision not in _known:
        _known[lesson.revision] = truths(lesson)
    truth = _known[lesson.revision].get(prediction.id, "")
    match prediction:
        case ChoiceQuestion(option=options):
            return str(next((at for at, option in enumerate(options, 1) if option.text == truth), 1))
        case PageQuestion(among=subjects):
            return str(subjects.index(truth) + 1) if truth in subjects else "1"
        case _:
            return truth or "0"
