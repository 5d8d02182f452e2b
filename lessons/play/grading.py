"""Judging a guess: reading what was typed, asking the model for the truth, and choosing the reply."""

import re
from typing import Final, NamedTuple

from lessons.file.schema import ChoiceQuestion, NumberQuestion, PageQuestion, Prediction, YesNoQuestion
from lessons.i18n.language import tr
from model.script.ask import amount, is_so
from model.script.moment import Moment, NoAnswerError
from model.text.words import whole_number

NUMBER: Final = r"-?(?:0x[0-9a-fA-F]{1,32}|0|[1-9][0-9]{0,31})"
"""A number as a learner may type it."""
YES: Final = frozenset({"yes", "y", "true"})
NO: Final = frozenset({"no", "n", "false"})
INSERT: Final = re.compile(r"\{(?P<quantity>[a-z-]+(?: [^{}:]+)?)(?::(?P<format>[x#0-9]+))?\}")


class GuessError(ValueError):
    """What was typed is no answer to this question; the message says what would be one."""


class GradedGuess(NamedTuple):
    """A guess beside the truth."""

    right: bool
    guess: str
    """As the learner reads it."""
    truth: str
    """What the model says, in the same words."""
    reply: str


def choices(prediction: Prediction) -> tuple[str, ...]:
    """The answers to choose from; empty where any number will do."""
    match prediction:
        case YesNoQuestion():
            return tr("yes"), tr("no")
        case ChoiceQuestion(option=options):
            return tuple(option.text for option in options)
        case PageQuestion(among=subjects):
            return subjects
        case NumberQuestion():
            return ()


def read_guess(prediction: Prediction, typed: str) -> str:
    """What was typed, in the form in which it is kept: a number, `yes`, an option's number, a subject.

    Raises GuessError where it answers nothing.
    """
    text = " ".join(typed.lower().split())
    match prediction:
        case NumberQuestion():
            if not re.fullmatch(NUMBER, text):
                raise GuessError(tr("a number, please: 0, 1, -1, 1025 or 0x401"))
            return str(int(text, 0))
        case YesNoQuestion():
            if text == tr("yes"):
                return "yes"
            if text == tr("no"):
                return "no"
            if text in YES | {"1", "a"}:  # as a list of answers numbers them
                return "yes"
            if text in NO | {"2", "b"}:
                return "no"
            raise GuessError(tr("yes or no, please"))
        case ChoiceQuestion(option=options):
            return _chosen(text, tuple(option.text for option in options))
        case PageQuestion(among=subjects):
            if text in subjects:
                return text
            return subjects[int(_chosen(text, subjects)) - 1]


def _chosen(text: str, offered: tuple[str, ...]) -> str:
    """The number, from 1, of the answer that was chosen by number or letter."""
    number = whole_number(text)
    if number is None:
        number = ord(text) - ord("a") + 1 if len(text) == 1 else 0
    if not 1 <= number <= len(offered):
        raise GuessError(tr("choose one of the answers: 1 to {count}").format(count=len(offered)))
    return str(number)


def readable(prediction: Prediction, guess: str) -> str:
    """A kept guess as the learner reads it."""
    if isinstance(prediction, ChoiceQuestion):
        return prediction.option[int(guess) - 1].text
    return tr(guess) if isinstance(prediction, YesNoQuestion) else guess


def judge(prediction: Prediction, guess: str, moment: Moment) -> GradedGuess:
    """The guess beside what the model says at this moment; without a guess, what it says alone.

    Raises NoAnswerError if it cannot say.
    """
    verdict = (
        _judge(prediction, guess, moment)
        if guess
        else GradedGuess(True, "", truth_of(prediction, moment), prediction.right)
    )
    return verdict._replace(reply=fill(verdict.reply, moment))


def _judge(prediction: Prediction, guess: str, moment: Moment) -> GradedGuess:
    """The verdict, its reply as the author wrote it."""
    match prediction:
        case NumberQuestion():
            return _judge_number(prediction, guess, moment)
        case YesNoQuestion():
            return _verdict(prediction, tr(guess), truth_of(prediction, moment), prediction.otherwise)
        case ChoiceQuestion():
            chosen = prediction.option[int(guess) - 1]
            return _verdict(prediction, chosen.text, truth_of(prediction, moment), chosen.reply)
        case PageQuestion():
            replies = {str(wrong.answer): wrong.reply for wrong in prediction.wrong}
            return _verdict(prediction, guess, truth_of(prediction, moment), replies.get(guess, prediction.otherwise))


def truth_of(prediction: Prediction, moment: Moment) -> str:
    """The right answer, as the learner reads it. Raises NoAnswerError if the model cannot say."""
    match prediction:
        case NumberQuestion():
            return str(amount(prediction.answer, moment))
        case YesNoQuestion():
            return tr("yes" if is_so(prediction.answer, moment) else "no")
        case ChoiceQuestion():
            return prediction.option[true_option(prediction, moment)].text
        case PageQuestion():
            return true_subject(prediction, moment)


def _judge_number(prediction: NumberQuestion, guess: str, moment: Moment) -> GradedGuess:
    truth = truth_of(prediction, moment)
    for wrong in prediction.wrong:
        if guess == str(wrong_number(wrong.answer, moment)):
            return _verdict(prediction, guess, truth, wrong.reply)
    return _verdict(prediction, guess, truth, prediction.otherwise)


def _verdict(prediction: Prediction, guess: str, truth: str, reply: str) -> GradedGuess:
    """Right answers get the author's word of confirmation, wrong ones the reply to the belief behind them."""
    right = guess == truth
    return GradedGuess(right, guess, truth, prediction.right if right else reply)


def wrong_number(answer: int | str, moment: Moment) -> int:
    """The number that a wrong answer stands for: itself, or a quantity asked of the model."""
    return answer if isinstance(answer, int) else amount(answer, moment)


def true_option(prediction: ChoiceQuestion, moment: Moment) -> int:
    """The index of the one option that is true. Raises NoAnswerError unless exactly one is."""
    true = [number for number, option in enumerate(prediction.option) if is_so(option.when, moment)]
    if len(true) != 1:
        names = ", ".join(f"`{prediction.option[number].when}`" for number in true)
        raise NoAnswerError(f"{len(true)} options are true: {names}" if true else "no option is true")
    return true[0]


def true_subject(prediction: PageQuestion, moment: Moment) -> str:
    """The one page for which the condition holds. Raises NoAnswerError unless there is exactly one."""
    true = [subject for subject in prediction.among if is_so(prediction.answer.replace("*", subject), moment)]
    if len(true) != 1:
        raise NoAnswerError(f"{len(true)} pages answer `{prediction.answer}`: {', '.join(true) or 'none'}")
    return true[0]


def fill(text: str, moment: Moment) -> str:
    """Prose with each `{quantity}` or `{quantity:format}` replaced by what the model says now.

    Raises NoAnswerError where the model has no such number.
    """
    return INSERT.sub(lambda match: format(amount(match["quantity"], moment), match["format"] or ""), text)
