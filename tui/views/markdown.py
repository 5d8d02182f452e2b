"""Markdown as rows: paragraphs, lists, quotations, headings and code, wrapped to a pane's width.

The part of Markdown that lessons and docstrings use. markdown-it reads all of it, but its import alone takes 20 ms
of the 90 that lie between an empty Textual app's first frame and ours.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from tui.views.row import BLANK, Row, Span

PIECE: Final = re.compile(r"\s+|\S+")
NARROWEST: Final = 12
FENCE: Final = "```"
RULE: Final = re.compile(r":?-+:?")
"""What stands below the heads of a table's columns."""
MARKER: Final = re.compile(r"(?P<indent> *)(?P<mark>[-*+] |\d+[.)] |> ?|#{1,6} )(?P<text>.*)")
INLINE: Final = re.compile(
    r"(?P<tick>`+)(?P<code>.+?)(?P=tick)(?!`)"
    r"|\*\*(?P<strong>\S(?:.*?\S)?)\*\*"
    r"|(?<![\w*])\*(?P<emph>[^\s*](?:[^*]*[^\s*])?)\*(?!\w)"
    r"|(?<![\w*])_(?P<under>[^\s_](?:[^_]*[^\s_])?)_(?!\w)"
    r"|\[(?P<label>[^\]]+)\]\((?P<address>[^)\s]+)\)"
    r"|\\(?P<literal>[!-/:-@\[-`{-~])",
    re.DOTALL,
)


class MarkdownBlock(msgspec.Struct, frozen=True):
    """A paragraph, list item, quotation, heading, or piece of code."""

    lead: str
    """What stands before its first line: `- `, `1. ` …; the other lines are indented by as much."""
    role: str
    text: str
    loose: bool
    """A blank row follows, unless another item of the same list does."""


@lru_cache(maxsize=256)
def markdown(text: str, width: int) -> tuple[Row, ...]:
    """The rows of a Markdown text, without blank rows at its ends."""
    rows: list[Row] = []
    blocks = list(_blocks(text))
    for number, block in enumerate(blocks):
        if block.role == "code":
            for code in block.text.split("\n"):
                rows += _code(block.lead, code, width)
        else:
            lead, room = block.lead, max(width - len(block.lead), NARROWEST)
            hanging = lead if lead.endswith("> ") else " " * len(lead)
            for at, line in enumerate(wrap(inline(block.text, block.role), room)):
                rows.append(Row((Span(hanging if at else lead, "dim"), *line.spans)) if lead else line)
        last = number == len(blocks) - 1
        if not last and (block.loose or blocks[number + 1].loose):
            rows.append(BLANK)
    return tuple(rows)


def _code(lead: str, line: str, width: int) -> Iterator[Row]:
    """A line of code; one that is too long goes on in the next row, further in."""
    if len(lead) + len(line) <= width:
        yield Row((Span(f"{lead}{line}", "code"),))
        return
    for number, part in enumerate(wrap([Span(line, "code")], max(width - len(lead) - 2, NARROWEST))):
        yield Row((Span(lead if number == 0 else f"{lead}  ", "code"), *part.spans))


def _blocks(text: str) -> Iterator[MarkdownBlock]:
    """A text taken apart by its lines."""
    open_block: MarkdownBlock | None = None
    code: list[str] | None = None
    for line in _without_tables(text.strip("\n").split("\n")):
        if line.lstrip().startswith(FENCE):
            if open_block is not None:
                yield open_block
                open_block = None
            if code is not None:
                yield MarkdownBlock("  ", "code", "\n".join(code), loose=True)
            code = [] if code is None else None
            continue
        if code is not None:
            code.append(line)
            continue
        marker = MARKER.fullmatch(line)
        if open_block is not None and (marker is not None or not line.strip()):
            quoted = marker is not None and marker["mark"].startswith(">") and open_block.lead.endswith("> ")
            if marker is not None and quoted:
                open_block = replace(open_block, text=f"{open_block.text} {marker['text']}")
                continue
            yield open_block
            open_block = None
        if marker is not None and marker["mark"].startswith("#"):
            yield _marked(marker)
        elif marker is not None:
            open_block = _marked(marker)
        elif line.strip():
            words = line.strip()
            whole = f"{open_block.text} {words}" if open_block is not None else words
            open_block = replace((open_block or MarkdownBlock("", "plain", "", loose=True)), text=whole)
    if code is not None:
        yield MarkdownBlock("  ", "code", "\n".join(code), loose=True)
    if open_block is not None:
        yield open_block


def _without_tables(lines: Sequence[str]) -> Iterator[str]:
    """Each row of a table as an item of a list, with the heads of its columns: a pane is too narrow for tables.

    >>> list(_without_tables(["| who | then | now |", "|---|---|---|", "| GUP | reads | `pins` |"]))
    ['- **GUP**: then reads; now `pins`']
    """
    heads: list[str] | None = None
    fenced = False
    for at, line in enumerate(lines):
        fenced ^= line.lstrip().startswith(FENCE)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else []
        if fenced or not cells:
            heads = None
            yield line
        elif heads is not None:
            if not all(RULE.fullmatch(cell) for cell in cells):
                rest = "; ".join(f"{head} {cell}".strip() for head, cell in zip(heads[1:], cells[1:], strict=False))
                yield f"- **{cells[0]}**" + (f": {rest}" if rest else "")
        elif at + 1 < len(lines) and all(
            RULE.fullmatch(cell.strip()) for cell in lines[at + 1].strip().strip("|").split("|")
        ):
            heads = cells
        else:
            yield line


def _marked(marker: re.Match[str]) -> MarkdownBlock:
    """A line that begins with a list mark, a quotation's or a heading's."""
    mark = marker["mark"]
    if mark.startswith("#"):
        return MarkdownBlock("", "title", marker["text"], loose=True)
    lead = "> " if mark.startswith(">") else "- " if mark[0] in "-*+" else mark
    return MarkdownBlock(marker["indent"] + lead, "plain", marker["text"], loose=mark.startswith(">"))


def inline(text: str, base: str) -> Iterator[Span]:
    """The pieces of a paragraph in the role `base`: code, strong, emphasised, and what is between."""
    at = 0
    for found in INLINE.finditer(text):
        if found.start() > at:
            yield Span(text[at : found.start()], base)
        at = found.end()
        if found["code"]:
            yield Span(found["code"].strip(), "code")
        elif found["strong"]:
            yield from (
                replace(span, role="strong") if span.role == base else span for span in inline(found["strong"], base)
            )
        elif emphasis := found["emph"] or found["under"]:
            yield Span(emphasis, "emph")
        elif found["label"]:
            yield Span(f"{found['label']} ({found['address']})", base)
        else:
            yield Span(found["literal"], base)
    if at < len(text):
        yield Span(text[at:], base)


def wrap(spans: Iterable[Span], width: int) -> list[Row]:
    """Spans as rows of at most `width` columns, broken between words; a newline breaks a row.

    A name that is longer than a row is broken after one of its parts.

    >>> [line.text for line in wrap([Span("mmu_notifier_invalidate_range_start")], 16)]
    ['mmu_notifier_', 'invalidate_', 'range_start']
    """
    width = max(width, 1)  # a pane may be given no column at all
    rows: list[Row] = []
    line: list[Span] = []
    used = 0
    for word in _words(spans):
        size = sum(len(span.text) for span in word)
        blank = word[0].text.isspace()
        if "\n" in word[0].text or (used + size > width and line and not blank):
            rows.append(_joined(line))
            line, used = [], 0
        if blank and (not line or used + size > width):
            continue
        for span in word:
            text = span.text
            while used + len(text) > width:
                room = width - used
                end = max(text.rfind(sign, 0, room) for sign in "_./") + 1 or room
                line.append(replace(span, text=text[:end]))
                rows.append(_joined(line))
                text, line, used = text[end:], [], 0
            if text:
                line.append(replace(span, text=text))
                used += len(text)
    if line or not rows:
        rows.append(_joined(line))
    return rows


def _words(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Runs that must not be broken: neighbouring pieces of different roles without a blank between them."""
    word: list[Span] = []
    for span in spans:
        for piece in PIECE.findall(span.text):
            if word and (piece.isspace() or word[-1].text.isspace()):
                yield word
                word = []
            word.append(replace(span, text=piece))
    if word:
        yield word


def _joined(line: list[Span]) -> Row:
    """A row without blanks at its end, neighbours of one role and subject joined."""
    while line and line[-1].text.isspace():
        line = line[:-1]
    joined: list[Span] = []
    for span in line:
        if joined and (joined[-1].role, joined[-1].subject) == (span.role, span.subject):
            joined[-1] = replace(span, text=joined[-1].text + span.text)
        else:
            joined.append(span)
    return Row(tuple(joined))
