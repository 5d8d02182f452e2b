"""Slides of a lesson: one decisive moment each, as HTML with the arrow keys and as Markdown that becomes a PDF.

A decisive moment is a question with the picture before it, its answer with the picture after it, and what a command has
broken.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from lessons.file.schema import Lesson
from lessons.i18n.language import localized, tr
from lessons.play.read_through import ReadItem, read_once
from lessons.teach.class_plan import belief
from tui.export.picture_html import SCRIPT, keys
from tui.export.picture_svg import Drawing
from tui.export.print_page import document, drawn, plain_rows, prose, shown
from tui.views.glyphs import UNICODE

STYLE: Final = """
@page{size:A4 landscape;margin:10mm}
body{font:1.5rem/1.4 'DejaVu Sans',system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem 2rem 5rem;color:#000;
background:#fff}
section{min-height:80vh;padding:1rem 0}section:focus{outline:none}
h1{font-size:2.2rem}h2{font-size:1.8rem;margin:.3em 0}
code,pre{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.95em}
.ask ul{list-style:none;padding-left:1em}.ask li::before{content:"\\2610  "}
blockquote{border-left:.3em solid;margin-left:0;padding-left:1em;font-size:1.2em}
svg{width:100%;height:auto;display:block;margin:1rem 0}
.true{font-size:1.6em;font-weight:bold}
nav{position:fixed;bottom:0;left:0;right:0;display:none;gap:1rem;padding:.6rem 1rem;justify-content:center}
nav button{font:inherit;min-width:8rem}nav input{flex:0 1 30rem}
.paged nav{display:flex}.paged section:not(.shown){display:none}
@media print{nav,.paged nav{display:none}.paged section:not(.shown){display:block}
section{break-after:page;min-height:0}}
"""


class Slide(NamedTuple):
    """One moment of a lesson, on a page of its own."""

    title: str
    text: str
    """Markdown."""
    drawing: Drawing | None = None
    notes: tuple[str, ...] = ()
    """What the teacher says; in Markdown as a comment."""
    asks: bool = False
    """Its list is one of answers, or of what is to be reached."""


def slides(lesson: Lesson) -> Iterator[Slide]:
    """The decisive moments of a lesson. Raises LessonError."""
    header = lesson.header
    yield Slide(header.title, f"{header.summary}\n\n> {belief(lesson)}")
    items = read_once(lesson)
    known = frozenset[tuple[str, int]]()
    for at, item in enumerate(items):
        if item.world:
            known = frozenset()
        if item.question is not None:
            yield _question(item, _played_next(items[at:]))
        if item.question is not None and item.question.reveal == "now":
            yield _answer(item, item.left)
        if item.goal:
            goal = "\n".join(f"- {check}" for check in item.goal)
            yield Slide(tr("Goal"), goal, _picture(item, item.entered, tr("Goal")), item.notes, asks=True)
        elif item.commands:
            broken, known = _broken(item, known)
            for waiting in _revealed_by(items, at):
                yield _answer(waiting, item.left)
            if broken:
                yield Slide(
                    "; ".join(f"`{command}`" for command in item.commands), broken, _picture(item, item.left, "")
                )
    rule = " ".join(header.rule.split())
    read = "\n".join(f"- `{place}`" for place in header.read)
    yield Slide(tr("What to keep"), f"**{rule}**\n\n{tr('Read in the kernel:')}\n\n{read}")


def _picture(item: ReadItem, node: int, title: str) -> Drawing:
    return drawn(item.timeline, node, title)


def _played_next(items: Sequence[ReadItem]) -> str:
    """The commands that will answer a question, the first of these items."""
    question, *rest = items
    if question.question is None or question.question.reveal == "now":
        return ""
    played = next((item for item in rest if item.world or item.commands), question)
    return "; ".join(f"`{line}`" for line in played.commands) if not (played.world or played.goal) else ""


def _question(item: ReadItem, following: str) -> Slide:
    """What is asked, before what is played."""
    head = f"{tr('Then')}: {following}\n\n" if following else ""
    text = "\n".join((head + " ".join(item.ask.split()), "", *(f"- {choice}" for choice in item.choices)))
    return Slide(tr("Predict"), text, _picture(item, item.entered, item.ask), item.notes, asks=True)


def _answer(item: ReadItem, node: int) -> Slide:
    """What the model says, and why; what is to be said to wrong answers is the teacher's."""
    answer = item.answer
    assert answer is not None
    told = tuple(f"{wrong.answer or tr('anything else')}: {' '.join(wrong.reply.split())}" for wrong in answer.wrong)
    text = f"{' '.join(item.ask.split())}\n\n**{answer.truth}**\n\n{answer.why}"
    return Slide(tr("Answer"), text, _picture(item, node, answer.truth), told)


def _revealed_by(items: Sequence[ReadItem], at: int) -> list[ReadItem]:
    """The questions that the `do` block of an item answers."""
    found: list[ReadItem] = []
    for item in reversed(items[:at]):
        if item.commands and not item.goal:
            break
        if item.question is not None and item.question.reveal == "after" and item.answer is not None:
            found.append(item)
    return found[::-1]


def _broken(item: ReadItem, known: frozenset[tuple[str, int]]) -> tuple[str, frozenset[tuple[str, int]]]:
    """What an item's commands broke, as Markdown; with what has been told already in the scene."""
    told, seen = [], set(known)
    for step in item.steps:
        for violation in step.fresh:
            key = (violation.invariant, hash(violation.subjects))
            if key not in seen:
                seen.add(key)
                sign = UNICODE.caution if violation.severity == "hazard" else UNICODE.broken
                told.append(f"**{sign} {violation.severity} {violation.invariant}**: {localized(violation.message)}")
    return "\n\n".join(told), frozenset(seen)


def as_html(lessons: Sequence[Lesson]) -> str:
    """All slides as one page: the arrow keys turn them, on paper each has a sheet of its own. Raises LessonError."""
    found = [slide for lesson in lessons for slide in slides(lesson)]
    body = []
    for number, slide in enumerate(found, 1):
        head = f"<h1>{escape(slide.title)}</h1>" if number == 1 else f"<h2>{prose(slide.title)}</h2>"
        picture = shown(slide.drawing) if slide.drawing is not None else ""
        kind = ' class="ask"' if slide.asks else ""
        body.append(f'<section id="s{number}" tabindex="-1"{kind}>\n{head}\n{prose(slide.text)}{picture}</section>\n')
    body.append(f"{keys()}<script>{SCRIPT}</script>\n")
    title = ", ".join(lesson.header.title for lesson in lessons)
    return document(title, body, [slide.drawing for slide in found if slide.drawing is not None], STYLE)


def as_markdown(lessons: Sequence[Lesson]) -> str:
    """The same with the pictures as text: a slide ends at `---`, as Marp, pandoc and others have it."""
    title = ", ".join(lesson.header.title for lesson in lessons).replace('"', "'")
    parts = []
    for slide in (slide for lesson in lessons for slide in slides(lesson)):
        lines = [f"# {slide.title}", slide.text]
        if slide.drawing is not None and (picture := plain_rows(slide.drawing.rows)):
            lines.append(f"```text\n{picture}\n```")
        lines += [f"<!-- {note.replace('--', '- -')} -->" for note in slide.notes]
        parts.append("\n\n".join(filter(None, lines)))
    return f'---\ntitle: "{title}"\nmarp: true\nsize: 16:9\n---\n\n' + "\n\n---\n\n".join(parts) + "\n"
