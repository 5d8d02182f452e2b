"""What is wrong with a lesson's text as it stands in its file: placeholders, the template's own words, lengths."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lessons.author.scaffold import UNTOUCHED
from lessons.file.library import find_file
from lessons.file.loader import read
from lessons.file.problems import LessonError, LessonProblem, did_you_mean
from lessons.file.schema import Lesson
from lessons.i18n.lesson_folders import WORLDS
from lessons.play.grading import INSERT
from model.script.ask import MalformedError, quantity
from model.script.conditions import QUANTITIES
from model.script.parser import parse
from model.text.problems import ScriptError

OPENING: Final = re.compile(r"\{(?P<word>[a-z][a-z-]*)?|\}")
CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MOST_ITEMS_A_MINUTE: Final = 8
"""The course has 3 at most: whoever reads and answers cannot go through more."""
LONGEST_TITLE: Final = 60
"""Letters of a title; the course has 51 at most."""
LONGEST_LINE: Final = 1000
"""Letters of one line of the file; the course has 400 at most."""
UNFINISHED: Final = re.compile(r"\b(?:TODO|FIXME|TBD|[Ll]orem ipsum)\b")
FENCED: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
PARAGRAPHS: Final = re.compile(
    r"(?=\n[ \t]*\n|\n~~~|\n[a-z]+ = |\n\[\[|\n(?:where|what|next|show): |\n[*-] |\n  \S+\.\S+: )"
)
"""Where a text ends at the latest, as far as the lines of the file show it."""
FORMS: Final = "x for hexadecimal, #x with 0x, 04 for four digits"


def check(lesson: Lesson, *, draft: bool = False) -> Iterator[LessonProblem]:
    """Every problem, with line and column. `draft`: the template's own texts may still be there."""
    try:
        source = read(Path(lesson.file))
    except LessonError:  # it was made of a text that is in no file
        return
    yield from placeholders(lesson.file, source)
    yield from _backticks(lesson.file, source)
    if not draft:
        yield from _template(lesson.file, source)
    yield from _header(lesson, source)
    yield from _worlds(lesson)


def place_of(lesson: Lesson, key: str, text: str = "") -> tuple[int, int]:
    """Line and column of a key of the front matter, or of a text in it; (1, 1) where that cannot be found."""
    try:
        source = read(Path(lesson.file))
    except LessonError:
        return 1, 1
    found = re.search(rf"^{key}\s*=", source, re.MULTILINE)
    if found is None:
        return 1, 1
    at = source.find(f'"{text}"', found.start()) if text else -1
    return _place(source, at + 1 if at >= 0 else found.start())


def _place(source: str, at: int) -> tuple[int, int]:
    """Line and column of a character, counted from 1."""
    return source.count("\n", 0, at) + 1, at - (source.rfind("\n", 0, at) + 1) + 1


def placeholders(file: str, source: str) -> Iterator[LessonProblem]:
    """What begins or ends like `{refcount p0 buf}` and is none; braces of C code in backticks are left alone."""
    code = [match.span() for match in CODE.finditer(source)]
    end = 0
    for brace in OPENING.finditer(source):
        at = brace.start()
        inside = INSERT.match(source, at)
        if at < end or (brace["word"] not in QUANTITIES and any(start <= at < last for start, last in code)):
            continue
        line, column = _place(source, at)
        if brace[0] == "}":
            yield LessonProblem(file, line, column, "`}` closes nothing", "a number to fill in begins with {")
        elif inside is None:
            yield LessonProblem(file, line, column, *_malformed(source, at))
        else:
            end = inside.end()
            try:
                quantity(" ".join(inside["quantity"].split()))
            except MalformedError as error:
                yield LessonProblem(file, line, column + error.column, f"no number can be filled in here: {error}")
            continue
        closing = source.find("}", at, source.find("\n", at))
        end = max(end, closing + 1)


def _malformed(source: str, at: int) -> tuple[str, str]:
    """What is wrong with a placeholder that has not the form of one, and what was probably meant."""
    rest = source[at + 1 : source.find("\n\n", at) if "\n\n" in source[at:] else len(source)]
    text, closed, _ = rest.partition("}")
    if not closed or "{" in text or "~~~" in text or "=" in text:
        shown = " ".join(text.split("\n")[0].split("{")[0].split())[:40]
        return f"`{{{shown}` is never closed", "a number to fill in ends with }"
    name, colon, form = text.partition(":")
    word = name.split()[0] if name.split() else ""
    if word not in QUANTITIES:
        return f"`{{{text}}}` names no quantity", did_you_mean(word, QUANTITIES)
    return (f"`{form}` is no way to write a number", FORMS) if colon else (f"`{{{text}}}` names no quantity", "")


def _backticks(file: str, source: str) -> Iterator[LessonProblem]:
    """Code that begins in a paragraph and never ends: the reader sees the sign instead."""
    line = 1
    for paragraph in PARAGRAPHS.split(FENCED.sub(_blank, source)):
        marks = list(re.finditer(r"`+", paragraph))
        if len(marks) % 2:
            row, column = _place(paragraph, marks[-1].start())
            yield LessonProblem(file, line + row - 1, column, "code that begins with ` and does not end", "another `")
        line += paragraph.count("\n")


def _blank(found: re.Match[str]) -> str:
    """As many lines, with nothing in them."""
    return "\n" * found[0].count("\n")


def _template(file: str, source: str) -> Iterator[LessonProblem]:
    """What only an author can say is still to be said."""
    for text in UNTOUCHED:
        for found in re.finditer(re.escape(text), source):
            line, column = _place(source, found.start())
            yield LessonProblem(file, line, column, f"the template's own text: `{text}`", "say it in words of your own")
    for found in UNFINISHED.finditer(source):
        line, column = _place(source, found.start())
        yield LessonProblem(file, line, column, f"`{found[0]}`: this is not finished", "say it in words of your own")


def _header(lesson: Lesson, source: str) -> Iterator[LessonProblem]:
    """A lesson that needs itself, directly or by others; more than there is time or room for."""
    header = lesson.header
    if header.id in header.needs:
        yield LessonProblem(lesson.file, *place_of(lesson, "needs"), f"it needs itself: `{header.id}`")
    elif circle := _circle(lesson):
        text = f"it needs itself: {' needs '.join(f'`{one}`' for one in circle)}"
        yield LessonProblem(lesson.file, *place_of(lesson, "needs"), text)
    for name, many in Counter(header.needs).items():
        if many > 1:
            yield LessonProblem(lesson.file, *place_of(lesson, "needs"), f"it needs `{name}` more than once")
    if len(header.title) > LONGEST_TITLE:
        text = f"a title of {len(header.title)} letters: it is cut off in lists"
        yield LessonProblem(lesson.file, *place_of(lesson, "title"), text, f"at most {LONGEST_TITLE}")
    if len(lesson.items) > header.minutes * MOST_ITEMS_A_MINUTE:
        text = f"{len(lesson.items)} items in {header.minutes} minutes: nobody can read them"
        yield LessonProblem(lesson.file, *place_of(lesson, "minutes"), text, f"at most {MOST_ITEMS_A_MINUTE} a minute")
    for number, line in enumerate(source.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            text = f"a line of {len(line)} letters; {LONGEST_LINE} are the most"
            yield LessonProblem(
                lesson.file, number, LONGEST_LINE + 1, text, "a paragraph may have as many lines as it needs"
            )


def _circle(lesson: Lesson) -> tuple[str, ...]:
    """Lessons that need each other, beginning and ending with this one; empty if there is no such circle."""
    folder = Path(lesson.file).parent
    ways: list[tuple[str, ...]] = [(lesson.id, needed) for needed in lesson.header.needs]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == lesson.id:
            return way
        if way[-1] in seen:
            continue
        seen.add(way[-1])
        ways += [(*way, needed) for needed in _needs(way[-1], folder)]
    return ()


NEEDS: Final = re.compile(r"^needs\s*=\s*\[(?P<names>[^\]]*)\]", re.MULTILINE)


def _needs(name: str, folder: Path) -> list[str]:
    """What another lesson needs, by its front matter; nothing where that cannot be read."""
    path = folder / f"{name}.md"
    try:
        source = read(path if path.is_file() else find_file(name))
    except LessonError:
        return []
    found = NEEDS.search(source)
    return re.findall(r'"([a-z0-9-]+)"', found["names"]) if found else []


def _worlds(lesson: Lesson) -> Iterator[LessonProblem]:
    """A world sets a scene: what `may` happen then is for `explore`, and nobody asks it here."""
    for name, script in lesson.worlds.items():
        try:
            commands = parse(script)
        except ScriptError:  # it is reported where the scene is set
            continue
        for command in commands:
            if command.verb == "may":
                file = str(Path(lesson.file).parent / WORLDS / f"{name}.pte")
                yield LessonProblem(file, command.line, 1, "`may` has no meaning in a world", "a world sets the scene")
