"""A plan for one class: what is asked when, which belief it meets, and what is to be said; with times that add up."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from lessons.file.schema import Lesson
from lessons.i18n.language import ntr, tr
from lessons.play.read_through import ReadItem, read_once
from lessons.teach.presenter_state import in_short

OPENING: Final = 3
CLOSING: Final = 4
"""Minutes before the first lesson and after the last one."""
ASKING: Final = 2.5
"""Minutes of a question in a room: read, think, vote, talk to the neighbour."""
READING: Final = 0.5
"""Minutes of a part that is read or played."""
REACHING: Final = 4.0
"""Minutes of a goal that the room reaches together."""
BELIEF: Final = re.compile(r"^> ?(?P<text>.*)$", re.MULTILINE)


class PlanError(ValueError):
    """Why these lessons make no class, and what would."""


class PlannedPart(NamedTuple):
    """One stretch of the class."""

    start: int
    """Minutes since the class began."""
    end: int
    title: str
    lines: tuple[str, ...]


def minutes_of(lesson: Lesson) -> int:
    """What a lesson takes in a room, by what there is to ask, to play and to reach."""
    items = read_once(lesson)
    asked = sum(item.question is not None for item in items)
    goals = sum(bool(item.goal) for item in items)
    return math.ceil(asked * ASKING + goals * REACHING + (len(items) - asked - goals) * READING)


def class_plan(lessons: Sequence[Lesson], minutes: int = 50) -> str:
    """The plan, as Markdown. Raises LessonError, and PlanError where the lessons do not fit."""
    needed = [minutes_of(lesson) for lesson in lessons]
    together = OPENING + sum(needed) + CLOSING
    if together > minutes:
        raise PlanError(_too_much(lessons, needed, minutes))
    spare = minutes - together
    head = [
        f"# {tr('Plan for {minutes} minutes').format(minutes=minutes)}",
        tr("Present with `ptescope learn {name} --present`; `ptescope notes` in a second terminal has notes.").format(
            name=lessons[0].id
        ),
        "\n".join(_needs(lessons)),
    ]
    clock = OPENING
    parts = [PlannedPart(0, OPENING, tr("The belief"), tuple(_opening(lessons[0])))]
    for lesson, length in zip(lessons, needed, strict=True):
        parts += _lesson(lesson, clock, length)
        clock += length
    if spare:
        parts.append(
            PlannedPart(clock, clock + spare, tr("To spare"), (tr("Second ballots, questions, the sandbox."),))
        )
        clock += spare
    parts.append(PlannedPart(clock, minutes, tr("What to keep"), tuple(_closing(lessons))))
    body = [f"## {part.start:02}-{part.end:02} {part.title}\n\n" + "\n".join(part.lines) for part in parts]
    return "\n\n".join(filter(None, (*head, *body))) + "\n"


def _too_much(lessons: Sequence[Lesson], needed: Sequence[int], minutes: int) -> str:
    """How much too much it is, and what would fit."""
    fits, left = 0, minutes - OPENING - CLOSING
    while fits < len(needed) and needed[fits] <= left:
        left -= needed[fits]
        fits += 1
    together = OPENING + sum(needed) + CLOSING
    said = ntr(
        "{n} lesson takes {together} minutes in a room, and there are {minutes}",
        "{n} lessons take {together} minutes in a room, and there are {minutes}",
        len(lessons),
    ).format(n=len(lessons), together=together, minutes=minutes)
    if fits:
        way = tr("these fit: {names}").format(names=", ".join(lesson.id for lesson in lessons[:fits]))
    else:
        way = tr("give it --minutes {needed}").format(needed=OPENING + needed[0] + CLOSING)
    return f"{said}; {way}"


def _needs(lessons: Sequence[Lesson]) -> Iterator[str]:
    """What the room should have seen before."""
    known = {lesson.id for lesson in lessons}
    needed = dict.fromkeys(name for lesson in lessons for name in lesson.header.needs if name not in known)
    if needed:
        yield tr("The room should know: {names}.").format(names=", ".join(needed))


def belief(lesson: Lesson) -> str:
    """What the lesson argues against: what it quotes as believed, else the likeliest wrong answer to its questions."""
    items = read_once(lesson)
    for item in items:
        if quoted := " ".join(match["text"].strip() for match in BELIEF.finditer(item.text)).strip():
            return quoted
    for item in items:
        if item.answer is not None and item.answer.wrong and item.answer.wrong[0].answer:
            return f"{' '.join(item.ask.split())} {item.answer.wrong[0].answer}."
    return lesson.header.summary


def _opening(lesson: Lesson) -> Iterator[str]:
    yield f"> {belief(lesson)}"
    yield ""
    yield tr("Who believes this? Hands up, and wait. Say nothing yet.")


def _closing(lessons: Sequence[Lesson]) -> Iterator[str]:
    yield tr("The belief from the beginning again: who still holds it?")
    yield ""
    for lesson in lessons:
        yield f"- **{tr('Keep')}**: {' '.join(lesson.header.rule.split())}"
    yield ""
    yield tr("Then the worksheet, for those who want it at home.")


def _lesson(lesson: Lesson, start: int, length: int) -> Iterator[PlannedPart]:
    """A lesson: one stretch for each question or goal, with what leads to it."""
    items = read_once(lesson)
    groups: list[list[ReadItem]] = [[]]
    for item in items:
        groups[-1].append(item)
        if item.question is not None or item.goal:
            groups.append([])
    if not groups[-1]:
        groups.pop()
    weights = [sum(_weight(item) for item in group) for group in groups]
    total, clock, used = sum(weights), float(start), start
    for group, weight in zip(groups, weights, strict=True):
        clock += weight * length / total
        end = round(clock)
        parts = f"{group[0].number}" if len(group) == 1 else f"{group[0].number}-{group[-1].number}"
        title = f"{lesson.header.title}, {tr('section {numbers}').format(numbers=parts)}"
        yield PlannedPart(used, end, title, tuple(_group(group)))
        used = end


def _weight(item: ReadItem) -> float:
    return ASKING if item.question is not None else REACHING if item.goal else READING


def _group(group: Sequence[ReadItem]) -> Iterator[str]:
    """What is played, then what is asked, what is right, and what to say to who is wrong."""
    played = [command for item in group if not item.goal for command in item.commands]
    if played:
        yield f"- {tr('Played')}: {'; '.join(f'`{command}`' for command in played)}"
    for item in group:
        for note in item.notes:
            yield f"- {tr('Note')}: {' '.join(note.split())}"
    last = group[-1]
    if last.question is not None:
        yield f"- **{tr('Ballot')}**: {' '.join(last.ask.split())}"
        if last.choices:
            yield f"  {' / '.join(last.choices)}"
    if last.answer is not None:
        yield f"- {tr('Right')}: **{last.answer.truth}**. {' '.join(last.answer.why.split())}".rstrip()
        for wrong in last.answer.wrong:
            yield f"- {tr('To whoever says')} {wrong.answer or tr('anything else')}: {' '.join(wrong.reply.split())}"
    if last.goal:
        yield f"- **{tr('Goal')}**: {'; '.join(last.goal)}"
        yield f"- {tr('These commands reach the goal')}: {'; '.join(f'`{line}`' for line in last.commands)}"
    if not played and last.question is None and not last.goal:
        yield f"- {in_short(last.text)}"
