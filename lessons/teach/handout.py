"""A lesson as a text to read: what it says, asks and plays, with the model's answers; and a worksheet without them."""

from collections.abc import Iterator

from lessons.file.schema import (
    ChoiceQuestion,
    Do,
    Goal,
    Item,
    Lesson,
    NumberQuestion,
    PageQuestion,
    Prediction,
    YesNoQuestion,
)
from lessons.i18n.language import tr
from lessons.play.any_answer_player import go_on, truths
from lessons.play.grading import choices
from lessons.play.player import Player


def reference(lesson: Lesson) -> str:
    """Everything, the answers included, as Markdown. Raises LessonError."""
    return _document(lesson, answers=truths(lesson))


def worksheet(lesson: Lesson) -> str:
    """The texts and the questions, with room for answers. Raises LessonError."""
    return _document(lesson, answers=None)


def _document(lesson: Lesson, answers: dict[str, str] | None) -> str:
    header = lesson.header
    parts = [f"# {header.title}", header.summary]
    parts += [part for item in _filled(lesson) for part in _item(item, answers)]
    if answers is not None:
        parts.append(f"**{tr('The rule.')}** {header.rule.strip()}")
        parts.append(tr("Read in the kernel:") + "\n\n" + "\n".join(f"* `{place}`" for place in header.read))
    return "\n\n".join(part for part in parts if part) + "\n"


def _filled(lesson: Lesson) -> Iterator[tuple[Item, str, str]]:
    """Each item with its text and question as the model fills them in."""
    player = Player(lesson)
    while True:
        view = player.view()
        yield view.item, view.text, view.ask
        item = player.place.item
        while player.place.item == item:
            view = player.view()
            if view.finished and "forward" not in view.may:
                return
            if go_on(player):
                return


def _item(filled: tuple[Item, str, str], answers: dict[str, str] | None) -> Iterator[str]:
    """One item: text, then what is to be done."""
    item, text, ask = filled
    yield text
    match item.action:
        case Do(commands=commands):
            yield "```sh\n" + "\n".join(command.text for command in commands) + "\n```"
            if answers is not None:
                yield "\n".join(
                    f"* `{remark.step}`: {remark.text}" for command in commands for remark in command.remarks
                )
        case Goal(checks=checks, solution=solution):
            box = "[ ]"
            yield f"**{tr('Goal')}**\n\n" + "\n".join(f"- {box} {check.text}" for check in checks)
            if answers is None:
                yield "\n".join(("> &nbsp;",) * 4)
            else:
                yield "```sh\n" + "\n".join(command.text for command in solution) + "\n```"
        case None:
            pass
        case prediction:
            yield f"**{tr('Predict')}**: {ask}"
            yield "\n".join(f"- [ ] {choice}" for choice in choices(prediction))
            if answers is None:
                yield "> &nbsp;" if isinstance(prediction, NumberQuestion) else ""
            else:
                yield from _answered(prediction, answers.get(prediction.id, "?"))


def _answered(prediction: Prediction, truth: str) -> Iterator[str]:
    """The model's answer, and the belief behind each wrong one."""
    yield f"**{tr('The model says')}: {truth}.** {getattr(prediction, 'right', '')}".strip()
    match prediction:
        case ChoiceQuestion(option=options):
            yield "\n".join(f"* {option.text}: {option.reply}" for option in options if option.reply)
        case NumberQuestion(wrong=wrongs) | PageQuestion(wrong=wrongs):
            yield "\n".join(f"* {wrong.answer}: {wrong.reply}" for wrong in wrongs)
        case YesNoQuestion(otherwise=otherwise):
            yield f"* {otherwise}"


def plan(lessons: list[Lesson], minutes: int = 50) -> str:
    """A plan for one class: the lessons, what to ask when, with times that add up. Raises LessonError."""
    frame = 10
    asked = sum(lesson.header.minutes for lesson in lessons)
    scale = (minutes - frame) / asked if asked else 1
    rows, clock = [], 5
    for lesson in lessons:
        length = round(lesson.header.minutes * scale)
        notes = [note.text.strip() for item in lesson.items for note in item.notes if note.audience == "teacher"]
        first = next((ask for _, _, ask in _filled(lesson) if ask), "")
        rows.append(f"## {clock:02}-{clock + length:02} {lesson.header.title}")
        rows.append(lesson.header.summary)
        rows.append(f"{tr('Ballot before anything is shown')}: {first}")
        rows += [f"* {' '.join(note.split())}" for note in notes]
        rows.append(f"{tr('Keep')}: {lesson.header.rule.strip()}")
        clock += length
    present = tr("Present with `ptescope learn {name} --present`; `ptescope notes` in a second terminal has notes.")
    head = [
        f"# {tr('Plan for {minutes} minutes').format(minutes=minutes)}",
        present.format(name=lessons[0].id),
        f"## 00-05 {tr('The belief')}",
        tr("Ask: you hold a reference to a page. May the entry that points at it change? Hands up, and wait."),
    ]
    tail = [
        f"## {clock:02}-{minutes:02} {tr('What to keep')}",
        tr("The same question again. Then the worksheet, for those who want the second half of the lesson at home."),
    ]
    return "\n\n".join((*head, *rows, *tail)) + "\n"
