"""Whether a lesson's text fits the story pane, which may be as narrow as 44 columns."""

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from lessons.file.problems import LessonProblem
from lessons.file.schema import ChoiceQuestion, Do, Goal, Item, Lesson, NumberQuestion, PageQuestion, Prediction

PANE: Final = 44
"""Columns of the story pane on the smallest screen."""
MOST_LINES: Final = 12
"""Lines of prose, in that pane, before something to do."""
MOST_LINES_AFTER: Final = 60
"""Lines of what is read after the end: twice as many as the longest of the course."""
MOST_COMMANDS: Final = 24
"""Commands of one block that are gone through; the course has 9 at most."""
MARKUP: Final = re.compile(r"[*`]|^[>#-]+ |\{[^}]*\}")
CODE: Final = re.compile(r"^(?: {4}|\t)|^```")


def check(lesson: Lesson) -> Iterator[LessonProblem]:
    """Texts that are too wide anywhere, or too long before something to do."""
    header = lesson.header
    for text in (header.title, header.summary, header.rule, *header.read):
        yield from _too_wide(lesson.file, 1, text, here=False)
        yield from _too_long(lesson.file, 1, text)
    for item in lesson.items:
        yield from _too_wide(lesson.file, item.text_line, item.text)
        if item.last:
            yield from _too_long(lesson.file, item.text_line, item.text, MOST_LINES_AFTER)
        if not item.last and (lines := height(item.text)) > MOST_LINES:
            yield LessonProblem(
                lesson.file,
                item.text_line,
                1,
                f"{lines} lines of prose before something to do; {MOST_LINES} are the most",
                f"in a pane of {PANE} columns",
            )
        for hint in item.hints:
            yield from _too_wide(lesson.file, hint.line, hint.text)
            yield from _too_long(lesson.file, hint.line, hint.text)
        for note in item.notes:
            yield from _too_wide(lesson.file, note.line, note.text)
            yield from _too_long(lesson.file, note.line, note.text)
        yield from _action(lesson.file, item)


def _action(file: str, item: Item) -> Iterator[LessonProblem]:
    """The texts of what there is to do in an item."""
    match item.action:
        case Do(commands=commands):
            if len(commands) > MOST_COMMANDS:
                text = f"{len(commands)} commands in one block; {MOST_COMMANDS} are the most"
                yield LessonProblem(file, item.action_line, 1, text, "what only sets the scene goes into the world")
            for command in commands:
                yield from _too_wide(file, command.line, command.text)
                for remark in command.remarks:
                    yield from _too_wide(file, remark.line, remark.text)
                    yield from _too_long(file, remark.line, remark.text)
        case Goal(checks=checks):
            for line in checks:
                yield from _too_wide(file, line.line, line.text)
                yield from _too_long(file, line.line, line.text)
        case None:
            pass
        case prediction:
            for text in texts(prediction):
                yield from _too_wide(file, item.action_line, text, here=False)
                yield from _too_long(file, item.action_line, text)


def texts(prediction: Prediction) -> Iterator[str]:
    """Every text of a prediction that the learner may read."""
    yield prediction.ask
    yield from replies(prediction)
    if isinstance(prediction, ChoiceQuestion):
        yield from (option.text for option in prediction.option)


def replies(prediction: Prediction) -> Iterator[str]:
    """Every text of a prediction that an answer can bring up."""
    yield prediction.right
    match prediction:
        case ChoiceQuestion(option=options):
            yield from (option.reply for option in options)
        case NumberQuestion(wrong=wrongs) | PageQuestion(wrong=wrongs):
            yield from (wrong.reply for wrong in wrongs)
            yield prediction.otherwise
        case _:
            yield prediction.otherwise


def height(text: str) -> int:
    """The lines that Markdown prose takes in the pane, blank ones between paragraphs not counted."""
    paragraphs = re.split(r"\n\s*\n|\n(?=[*-] )", text.strip())
    return sum(len(wrap(MARKUP.sub("", " ".join(paragraph.split())), PANE)) for paragraph in paragraphs)


def _too_long(file: str, line: int, text: str, most: int = MOST_LINES) -> Iterator[LessonProblem]:
    """A text that nobody reads to its end."""
    if (lines := height(text)) > most:
        said = f"`{' '.join(text.split())[:PANE]}...` takes {lines} lines; {most} are the most"
        yield LessonProblem(file, line, 1, said, f"in a pane of {PANE} columns")


def _too_wide(file: str, line: int, text: str, *, here: bool = True) -> Iterator[LessonProblem]:
    """Words that cannot be wrapped and lines of code that must not be; `here`: the text begins at that line."""
    for number, row in enumerate(text.split("\n"), line):
        unit = [row.rstrip()] if CODE.match(row) else MARKUP.sub("", row).split()
        widest = max(unit, key=len, default="")
        if len(widest) > PANE:
            column = row.find(widest) + 1 if here else 1
            shown = widest if len(widest) <= 2 * PANE else f"{widest[:PANE]}..."
            yield LessonProblem(
                file, number if here else line, column, f"`{shown}` is wider than the pane ({PANE} columns)"
            )
