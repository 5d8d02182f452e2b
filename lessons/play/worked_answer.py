"""A question as a teacher reads it: the right answer, why, and what is to be said to each wrong one."""

from typing import NamedTuple

from lessons.file.schema import ChoiceQuestion, NumberQuestion, PageQuestion, Prediction, YesNoQuestion
from lessons.i18n.language import tr
from lessons.play.grading import fill, truth_of, wrong_number
from model.script.moment import Moment


class WrongAnswerRead(NamedTuple):
    """A likely wrong answer, and what is to be said to the belief behind it."""

    answer: str
    """As the room would say it: a number, never an expression. Empty: any other wrong answer."""
    reply: str


class WorkedAnswer(NamedTuple):
    """What the model says at the moment at which the question is revealed."""

    truth: str
    why: str
    """Empty: the author gives no reason beyond the replies."""
    wrong: tuple[WrongAnswerRead, ...]


def worked(prediction: Prediction, moment: Moment) -> WorkedAnswer:
    """Truth, reason and replies, with the model's numbers in them. Raises NoAnswerError if the model cannot say."""
    truth = truth_of(prediction, moment)
    wrong = _wrong_answers(prediction, moment, truth)
    told = tuple(WrongAnswerRead(answer, fill(reply, moment)) for answer, reply in wrong if reply and answer != truth)
    return WorkedAnswer(truth, fill(prediction.right, moment), told)


def _wrong_answers(prediction: Prediction, moment: Moment, truth: str) -> list[tuple[str, str]]:
    """Each wrong answer with the author's reply; an empty answer stands for all others."""
    match prediction:
        case NumberQuestion(wrong=wrongs):
            named = [(str(wrong_number(wrong.answer, moment)), wrong.reply) for wrong in wrongs]
            return [*named, ("", prediction.otherwise)]
        case YesNoQuestion():
            return [(tr("no") if truth == tr("yes") else tr("yes"), prediction.otherwise)]
        case ChoiceQuestion(option=options):
            return [(option.text, option.reply) for option in options]
        case PageQuestion(wrong=wrongs):
            return [*((str(wrong.answer), wrong.reply) for wrong in wrongs), ("", prediction.otherwise)]
