"""Learners who play a lesson through: one who knows everything, one who gets everything wrong."""

from collections.abc import Callable

from lessons.file.schema import Lesson, Prediction
from lessons.play.grading import choices, judge
from lessons.play.player import Player
from model.script.ask import literal_number

Guesser = Callable[[Prediction], str]
MOST_MOVES = 1000


def play(lesson: Lesson, guess: Guesser, *, by_hints: bool = False) -> Player:
    """Play a lesson to its end. Goals are reached with the stored solution, typed or shown by the hints."""
    player = Player(lesson)
    for _ in range(MOST_MOVES):
        view = player.view()
        if player.finished:
            return player
        if "forward" in view.may:
            word = player.forward()
        elif "answer" in view.may:
            assert player.prediction is not None
            word = player.answer(guess(player.prediction))
        elif by_hints:
            word = player.hint()
        else:
            assert player.goal is not None
            word = player.command(player.goal.solution[len(player.place.typed)].text)
        assert word == "", f"item {view.number}: {word}"
    raise AssertionError(f"{lesson.id} does not end within {MOST_MOVES} moves")


def answers(lesson: Lesson) -> dict[str, str]:
    """The right answer to every prediction, in the words of the model."""
    player = play(lesson, first_answer)
    return {name: verdict.truth for name, verdict in player.judged.items()}


def first_answer(prediction: Prediction) -> str:
    """Something that answers the question, whatever it is."""
    return "1" if prediction.__struct_config__.tag in {"number", "choice", "page"} else "yes"


def knowing(lesson: Lesson) -> Guesser:
    """Always right."""
    truths = answers(lesson)
    return lambda prediction: typed(prediction, truths[prediction.id])


def mistaken(truths: dict[str, str], which: int) -> Guesser:
    """Always wrong: the wrong answer number `which` of each prediction, or the last there is."""

    def guess(prediction: Prediction) -> str:
        wrong = wrong_answers(prediction, truths[prediction.id])
        return typed(prediction, wrong[min(which, len(wrong) - 1)])

    return guess


def wrong_answers(prediction: Prediction, truth: str) -> list[str]:
    """Answers that the author has thought of, and one that nobody would."""
    offered = choices(prediction)
    thought_of = (str(wrong.answer) for wrong in getattr(prediction, "wrong", ()))
    known = offered or (*(answer for answer in thought_of if literal_number(answer) is not None), "4711")
    return [answer for answer in known if answer != truth]


def typed(prediction: Prediction, answer: str) -> str:
    """An answer as somebody types it: a choice by its number."""
    offered = choices(prediction)
    return str(offered.index(answer) + 1) if offered and set(offered) != {"yes", "no"} else answer


__all__ = ["answers", "judge", "knowing", "mistaken", "play", "wrong_answers"]
