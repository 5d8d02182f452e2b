"""Whether the last hint, which an author types in, says what the model says."""

import re
from typing import Final

from lessons.file.problems import LessonProblem
from lessons.file.schema import Item, NumberQuestion, Prediction, YesNoQuestion
from lessons.play.grading import judge
from model.script.ask import is_so
from model.script.moment import Moment

WHOLE: Final = re.compile(r"(?<![\w+.-])(?:0x[0-9a-fA-F]{1,32}|[0-9]{1,32})(?![\w.]*\w)")
"""A number that stands by itself: not the 1 of `r1` or of `buf+1`."""
SUM: Final = re.compile(r"(?<![0-9])[0-9]{1,32}(?: \+ [0-9]{1,32}(?![0-9]))+")
WORD: Final = re.compile(r"\W*(?P<word>yes|no)\b", re.IGNORECASE)


def untrue(file: str, item: Item, prediction: Prediction, moment: Moment) -> LessonProblem | None:
    """The problem of a `show` hint that shows another answer than the model's, in the moment of the truth."""
    show = next((hint for hint in item.hints if hint.kind == "show"), None)
    if show is None or "{" in show.text:
        return None
    match prediction:
        case NumberQuestion():
            said = {int(number, 16 if number.startswith("0x") else 10) for number in WHOLE.findall(show.text)}
            said |= {sum(map(int, line.split(" + "))) for line in SUM.findall(show.text)}
            truth = judge(prediction, "0", moment).truth
            contradicts = bool(said) and int(truth, 0) not in said
        case YesNoQuestion():
            truth = "yes" if is_so(prediction.answer, moment) else "no"
            word = WORD.match(show.text)
            contradicts = word is not None and word["word"].lower() != truth
        case _:
            return None
    if not contradicts:
        return None
    return LessonProblem(file, show.line, 1, f"the hint `show` says `{show.text}`, but the model's answer is {truth}")
