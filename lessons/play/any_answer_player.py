"""Through a lesson without a learner: whatever is wanted next is done, and any answer will do."""

from typing import Final

from lessons.file.schema import ChoiceQuestion, Lesson, PageQuestion, Prediction, YesNoQuestion
from lessons.play.player import Player

MOST_MOVES: Final = 2000


def go_on(player: Player) -> str:
    """Forward, some answer, or the next command of the stored solution. Returns why it was not taken; empty: it was."""
    if "forward" in player.view().may:
        return player.forward()
    if player.prediction is not None:
        return player.answer(some_answer(player.prediction))
    assert player.goal is not None
    return player.command(player.goal.solution[len(player.place.typed)].text)


def some_answer(prediction: Prediction) -> str:
    """Something that answers a prediction, right or wrong."""
    match prediction:
        case YesNoQuestion():
            return "yes"
        case ChoiceQuestion() | PageQuestion():
            return "1"
        case _:
            return "0"


def truths(lesson: Lesson) -> dict[str, str]:
    """The right answer to every prediction, as the model has it. Raises LessonError."""
    player = Player(lesson)
    for _ in range(MOST_MOVES):
        if player.finished or go_on(player):
            break
    return {name: verdict.truth for name, verdict in player.judged.items()}
