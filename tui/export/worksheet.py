"""Worksheets for print, and their key: the scene drawn, the commands, tables to fill in, and no answer in sight.

What a question says with the model's numbers would give away the answers before it as soon as something has happened in
its scene: from then on these numbers are blanks, which the student fills in. The picture is that of the scene's start;
what a later scene shows and an earlier question asks for is a blank there too.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from msgspec.structs import replace

from lessons.file.schema import Lesson, NumberQuestion
from lessons.i18n.language import ntr, tr
from lessons.play.grading import INSERT
from lessons.play.read_through import ReadItem, read_once
from model.script.ask import amount
from model.script.moment import Moment, NoAnswerError
from model.session.timeline import Timeline
from tui.export.picture_svg import Drawing
from tui.export.print_page import boxes, document, drawn, lines, shown, who, words
from tui.views.row import Row

BLANK: Final = "\\_\\_\\_\\_"
"""Where a number would give an answer away, in Markdown."""
MOST_COLUMNS: Final = 4
DIGITS: Final = re.compile(r"(?<!\w)\d{2,}(?!\w)")


class SheetQuestion(NamedTuple):
    """A question, or a goal, with the number that it has on sheet and key."""

    number: int
    item: ReadItem
    after: int
    """Commands of the scene that have been carried out when it is asked …"""
    until: int
    """… and when it is answered."""


class SheetScene(NamedTuple):
    """A scene of a lesson: its start, what happens in it, and what is asked."""

    number: int
    lesson: Lesson
    world: str
    timeline: Timeline
    start: int
    """The node at which it begins."""
    items: tuple[ReadItem, ...]
    questions: tuple[SheetQuestion, ...]
    answers: frozenset[str]
    """Numbers of two digits or more that earlier scenes ask for: they are blanks in this one."""

    @property
    def commands(self) -> tuple[str, ...]:
        """What is carried out in it, in order."""
        return tuple(command for item in self.items if not item.goal for command in item.commands)

    @property
    def quantities(self) -> tuple[str, ...]:
        """The numbers that are asked for in it: the columns of its table."""
        asked = [one.item.question for one in self.questions]
        found = [one.answer for one in asked if isinstance(one, NumberQuestion)]
        return tuple(dict.fromkeys(found))[:MOST_COLUMNS]

    @property
    def drawing(self) -> Drawing:
        """The picture of its start."""
        whole = drawn(self.timeline, self.start, tr("Scene {number}").format(number=self.number))
        rows = [Row(tuple(replace(span, text=self.hidden(span.text)) for span in row.spans)) for row in whole.rows]
        return whole._replace(rows=rows)

    def hidden(self, text: str) -> str:
        """A text with blanks, as wide, where it would tell an earlier answer."""
        return DIGITS.sub(lambda found: "_" * len(found[0]) if found[0] in self.answers else found[0], text)


def scenes(lessons: Sequence[Lesson]) -> list[SheetScene]:
    """The scenes of lessons in which something is asked, numbered through, with their questions. Raises LessonError."""
    found: list[SheetScene] = []
    number = 0
    answers: set[str] = set()
    for lesson in lessons:
        for items in _scenes_of(read_once(lesson)):
            questions, after = [], 0
            for at, item in enumerate(items):
                if item.question is not None or item.goal:
                    number += 1
                    questions.append(SheetQuestion(number, item, after, after + _until(items[at:])))
                after += 0 if item.goal else len(item.commands)
            if questions:
                asked_here, known = tuple(questions), frozenset(answers)
                first, at = items[0], len(found) + 1
                found.append(
                    SheetScene(at, lesson, first.world, first.timeline, first.scene, tuple(items), asked_here, known)
                )
            answers |= {one.item.answer.truth for one in questions if _counts(one.item) and one.item.answer is not None}
    return found


def _counts(item: ReadItem) -> bool:
    """Whether a number is asked for that one would not guess."""
    return isinstance(item.question, NumberQuestion) and item.answer is not None and len(item.answer.truth) > 1


def _until(items: Sequence[ReadItem]) -> int:
    """Commands between a question, the first of these items, and what answers it."""
    if items[0].question is None or items[0].question.reveal == "now":
        return 0
    return next((len(item.commands) for item in items[1:] if item.commands and not item.goal), 0)


def _scenes_of(items: Sequence[ReadItem]) -> Iterator[list[ReadItem]]:
    scene: list[ReadItem] = []
    for item in items:
        if item.world and scene:
            yield scene
            scene = []
        scene.append(item)
    if scene:
        yield scene


def about(scene: SheetScene) -> str:
    """What the world's script says of it in its first lines."""
    said: list[str] = []
    for line in scene.lesson.worlds.get(scene.world, "").splitlines():
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(said)


def asked(question: SheetQuestion) -> str:
    """The question as it may be read before it is answered."""
    item = question.item
    if item.question is None:
        return ""
    return " ".join((INSERT.sub(BLANK, item.question.ask) if question.after else item.ask).split())


def worksheet(lessons: Sequence[Lesson]) -> str:
    """The sheets, as one page of HTML. Raises LessonError."""
    found = scenes(lessons)
    title = ", ".join(lesson.header.title for lesson in lessons)
    body = [f"<h1>{escape(title)}</h1>\n", who()]
    last = ""
    for scene in found:
        body.append(f"<section{' class=page' if last else ''}>\n")
        if scene.lesson.id != last:
            body.append(f"<h2>{escape(scene.lesson.header.title)}</h2>\n<p>{words(scene.lesson.header.summary)}</p>\n")
        last = scene.lesson.id
        body += [*_scene(scene), "</section>\n"]
    return document(title, body, [scene.drawing for scene in found])


def _scene(scene: SheetScene) -> Iterator[str]:
    """One scene: what is there, what happens, what is asked."""
    yield f"<h3>{tr('Scene {number}').format(number=scene.number)}</h3>\n"
    if told := about(scene):
        yield f"<p>{words(told)}</p>\n"
    if setup := [command.text for command in scene.lesson.items[scene.items[0].number - 1].setup]:
        yield f"<p>{escape(tr('Then'))}: {'; '.join(f'<code>{escape(line)}</code>' for line in setup)}</p>\n"
    yield shown(scene.drawing)
    if scene.commands:
        yield _table(scene, filled=False)
    for question in scene.questions:
        yield f'<div class="ask"><b>{question.number}.</b> {_when(question)}'
        if question.item.goal:
            yield f"{escape(tr('Reach this with commands of your own'))}:\n"
            yield f"{boxes(question.item.goal)}{lines(4)}</div>\n"
            continue
        yield f"{words(asked(question))}\n"
        yield boxes(question.item.choices) if question.item.choices else f"<p>{escape(tr('Answer'))}: ________</p>"
        yield f"<p>{escape(tr('Because'))}:</p>{lines(2)}</div>\n"


def _when(question: SheetQuestion) -> str:
    """The commands that a question is about, or up to where they have been carried out when it is asked."""
    first, last = question.after + 1, question.until
    if question.item.goal:
        said = tr("from the start of the scene")
    elif last > first:
        said = tr("before lines {first} to {last}").format(first=first, last=last)
    elif last == first or not question.after:
        said = tr("before line {number}").format(number=first)
    else:
        said = tr("after line {number}").format(number=question.after)
    return f"<i>({escape(said)})</i> "


def _table(scene: SheetScene, *, filled: bool) -> str:
    """The commands, one a line, with columns for what they change: to be filled in, or with the model's numbers."""
    heads = [f"<code>{escape(quantity)}</code>" for quantity in scene.quantities] or [escape(tr("what changes"))]
    first = [str(value) if filled else scene.hidden(str(value)) for value in _values(scene, 0)] or [""]
    rows = [f"<tr><td></td><td>{escape(tr('at the start'))}</td>{''.join(f'<td>{cell}</td>' for cell in first)}</tr>"]
    for number, command in enumerate(scene.commands, 1):
        cells = [str(value) for value in _values(scene, number)] if filled else [""] * len(heads)
        filling = "".join(f'<td class="fill">{cell}</td>' for cell in cells or [""] * len(heads))
        rows.append(f"<tr><td>{number}</td><td><code>{escape(command)}</code></td>{filling}</tr>")
    head = "".join(f"<th>{each}</th>" for each in (" ", escape(tr("command")), *heads))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>\n"


def _values(scene: SheetScene, commands: int) -> list[str]:
    """What the quantities are after so many commands of the scene; a dash where one has no value."""
    node = scene.start
    if commands:
        ends = [number for item in scene.items if not item.goal for number in _ends(item, scene.timeline)]
        if commands > len(ends):
            return ["?"] * len(scene.quantities)
        node = ends[commands - 1]
    at = scene.timeline.nodes[node]
    moment = Moment.after(replace(at.context, state=at.state), at.checker)
    found = []
    for quantity in scene.quantities:
        try:
            found.append(str(amount(quantity, moment)))
        except NoAnswerError:
            found.append("-")
    return found


def _ends(item: ReadItem, timeline: Timeline) -> list[int]:
    """The nodes at which the commands of a `do` block end, in order."""
    ends: list[int] = []
    way = list(timeline.path_to(timeline.nodes[item.left])[timeline.nodes[item.entered].depth + 1 :])
    at = 0
    for command in item.commands:
        last = at
        while last < len(way) and way[last].command == command:
            last += 1
            if way[last - 1].outcome is not None:
                break
        ends.append(way[last - 1].number if last > at else (ends[-1] if ends else item.entered))
        at = last
    return ends


def answer_key(lessons: Sequence[Lesson]) -> str:
    """The key to the sheets: the same numbers, the answers with their reasons, the tables filled in."""
    found = scenes(lessons)
    title = f"{tr('Key')}: {', '.join(lesson.header.title for lesson in lessons)}"
    body = [f"<h1>{escape(title)}</h1>\n"]
    last = ""
    for scene in found:
        if scene.lesson.id != last:
            body.append(f"<h2>{escape(scene.lesson.header.title)}</h2>\n")
        last = scene.lesson.id
        body.append(f"<h3>{tr('Scene {number}').format(number=scene.number)}</h3>\n")
        if scene.commands:
            body.append(_table(scene, filled=True))
        for question in scene.questions:
            body += _answered(question)
    for lesson in lessons:
        body.append(f"<p><b>{escape(tr('Keep'))}:</b> {words(lesson.header.rule)}</p>\n")
    return document(title, body, [])


def _answered(question: SheetQuestion) -> Iterator[str]:
    item = question.item
    yield f'<div class="ask"><b>{question.number}.</b> '
    if item.goal:
        many = ntr("{n} command", "{n} commands", len(item.commands)).format(n=len(item.commands))
        commands = "; ".join(f"<code>{escape(command)}</code>" for command in item.commands)
        yield f"{escape(tr('Goal'))} ({many}): {commands}</div>\n"
        return
    yield f"{words(item.ask)}"
    if item.answer is not None:
        yield f'<p class="why"><span class="true">{words(item.answer.truth)}</span>. {words(item.answer.why)}</p>'
        for wrong in item.answer.wrong:
            said = words(wrong.answer) if wrong.answer else escape(tr("anything else"))
            yield f'<p class="why">{said}: {words(wrong.reply)}</p>'
    yield "</div>\n"
