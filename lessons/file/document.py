"""The outer shape of a lesson file: TOML front matter, prose, typed fenced blocks, each with its place.

    +++
    id = "…"
    +++
    Prose, in Markdown.

    ~~~do by=micro
    madvise p0 buf dontneed
    ~~~

Only the shape is known here; what a block may contain is the business of `lessons.file.loader`. Ordinary code in prose
is fenced with backticks.
"""

import re
from typing import Final

import msgspec

from lessons.file.problems import LessonError, LessonProblem

FRONT: Final = "+++"
FENCE: Final = "~~~"
WORD: Final = re.compile(r"\S+")


class FenceWord(msgspec.Struct, frozen=True):
    """One word of a fence's opening line."""

    text: str
    column: int


class Prose(msgspec.Struct, frozen=True):
    """Text between two blocks."""

    text: str
    line: int


class Block(msgspec.Struct, frozen=True):
    """One `~~~kind word… key=value…` block."""

    kind: str
    words: tuple[FenceWord, ...]
    """What follows the kind on the opening line."""
    lines: tuple[str, ...]
    line: int
    """Where the block opens; its first line of content is the next one."""

    @property
    def text(self) -> str:
        """The content as one string."""
        return "\n".join(self.lines)


class Document(msgspec.Struct, frozen=True):
    """A lesson file taken apart."""

    header: str
    parts: tuple[Prose | Block, ...]


def scan(source: str, file: str) -> Document:
    """Take a lesson file apart.

    Raises:
        LessonError: no front matter, or a block that has no kind or is never closed.
    """
    lines = source.split("\n")
    end = _end_of_front_matter(lines, file)
    parts: list[Prose | Block] = []
    prose: list[str] = []
    number = start = end + 1
    while number < len(lines):
        if not lines[number].startswith(FENCE):
            prose.append(lines[number])
            number += 1
            continue
        _add_prose(parts, prose, start)
        block = _block(lines, number, file)
        parts.append(block)
        number = start = number + len(block.lines) + 2
        prose = []
    _add_prose(parts, prose, start)
    return Document("\n".join(lines[1:end]), tuple(parts))


def front(source: str, file: str) -> str:
    """The front matter alone. Raises LessonError."""
    lines = source.split("\n")
    return "\n".join(lines[1 : _end_of_front_matter(lines, file)])


def _end_of_front_matter(lines: list[str], file: str) -> int:
    """The index of the closing +++."""
    if lines[0].rstrip() != FRONT:
        raise LessonError([LessonProblem(file, 1, 1, "a lesson starts with front matter", f"first line: {FRONT}")])
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == FRONT:
            return number
    raise LessonError([LessonProblem(file, 1, 1, "the front matter is never closed", f"a line with {FRONT} ends it")])


def _block(lines: list[str], opening: int, file: str) -> Block:
    """The block that opens at line index `opening`."""
    words = [FenceWord(match[0], match.start() + 1) for match in WORD.finditer(lines[opening], len(FENCE))]
    if not words:
        raise LessonError(
            [
                LessonProblem(
                    file, opening + 1, 1, "a block without a kind", f"{FENCE}do, {FENCE}predict …; code takes ```"
                )
            ]
        )
    for closing in range(opening + 1, len(lines)):
        if lines[closing].rstrip() == FENCE:
            return Block(words[0].text, tuple(words[1:]), tuple(lines[opening + 1 : closing]), opening + 1)
        if lines[closing].startswith(FENCE):
            break
    raise LessonError(
        [LessonProblem(file, opening + 1, 1, f"the block `{words[0].text}` is never closed with {FENCE}")]
    )


def _add_prose(parts: list[Prose | Block], lines: list[str], start: int) -> None:
    """Append the gathered prose unless it is blank; its place is its first line with something on it."""
    blank = next((number for number, line in enumerate(lines) if line.strip()), None)
    if blank is not None:
        parts.append(Prose("\n".join(lines[blank:]).rstrip(), start + blank + 1))
