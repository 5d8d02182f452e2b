"""Exercises for print: a sheet of them from their numbers, and the key that the same numbers give."""

from collections.abc import Iterator, Sequence
from html import escape

from lessons.drills.book import exercise
from lessons.drills.exercise import Exercise, machine
from lessons.i18n.language import tr
from lessons.teach.assignment import DrillSet
from model.session.session import Session
from tui.export.picture_svg import Drawing
from tui.export.print_page import boxes, document, drawn, shown, who, words

LETTERS = "abcdef"


def _exercises(sets: Sequence[DrillSet]) -> list[Exercise]:
    return [exercise(each.kind, number) for each in sets for number in range(each.seed, each.seed + each.count)]


def sheet(sets: Sequence[DrillSet]) -> str:
    """The sheet, as HTML."""
    found = _exercises(sets)
    pictures = [_pictures(made) for made in found]
    body = [f"<h1>{escape(tr('Exercises'))}</h1>\n", who()]
    for number, (made, drawings) in enumerate(zip(found, pictures, strict=True), 1):
        body.append(f'<div class="ask"><h3>{number}. <small>{made.kind} {made.seed}</small></h3>\n')
        several = len(drawings) > 1
        body += [(f"<p><i>{escape(drawing.title)}</i></p>" if several else "") + shown(drawing) for drawing in drawings]
        if made.blind:
            body.append("<pre>" + escape("\n".join(made.scene)) + "</pre>")
        answers = [f"{letter}) {answer.text}" for letter, answer in zip(LETTERS, made.answers, strict=False)]
        body.append(f"<p>{words(made.ask)}</p>\n{boxes(answers)}</div>\n")
    return document(tr("Exercises"), body, [drawing for drawings in pictures for drawing in drawings])


def key(sets: Sequence[DrillSet]) -> str:
    """The key to the same numbers, as HTML."""
    body = [f"<h1>{escape(tr('Key'))}: {escape(tr('Exercises'))}</h1>\n"]
    for number, made in enumerate(_exercises(sets), 1):
        body += _answered(number, made)
    return document(f"{tr('Key')}: {tr('Exercises')}", body, [])


def _answered(number: int, made: Exercise) -> Iterator[str]:
    truth = made.answers[made.right]
    yield f'<div class="ask"><b>{number}.</b> <small>{made.kind} {made.seed}</small> {words(made.ask)}'
    right = f"{LETTERS[made.right]}) {words(truth.text)}"
    yield f'<p class="why"><span class="true">{right}</span> {words(truth.reply)}</p>'
    for letter, answer in zip(LETTERS, made.answers, strict=False):
        if answer is not truth:
            yield f'<p class="why">{letter}) {words(answer.text)}: {words(answer.reply)}</p>'
    played = "; ".join(f"<code>{escape(line)}</code>" for line in made.account)
    yield f"<p><small>{escape(tr('Played'))}: {played}</small></p></div>\n"


def _pictures(made: Exercise) -> list[Drawing]:
    """The scene, and where that is asked the machine after it."""
    if made.blind:
        return []
    runner = machine(made.scene)
    session = Session(runner.context, runner.checker)
    found = [drawn(session.timeline, session.node.number, tr("before"))]
    if made.both:
        for line in made.account:
            session.run(line)
        found.append(drawn(session.timeline, session.node.number, tr("after")))
    return found
