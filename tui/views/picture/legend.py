"""Every sign that the picture draws with, what stands for it in ASCII, and what it means: one table for both."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from lessons.i18n.language import tr
from tui.views.row import Row, Span, row


class Sign(NamedTuple):
    """One sign, one column wide."""

    drawn: str
    ascii: str
    meaning: str
    """For the legend; empty: a part of another sign."""


SIGNS: Final = {
    "entry": Sign("●", "o", "a page-table entry: 1 of the count, one line from the left"),
    "pin": Sign("◆", "#", "a pin (FOLL_PIN): 1024 of the count, one line from the right"),
    "get": Sign("◇", "*", "a get, or a task's own reference: 1, one line from the right"),
    "cache": Sign("▪", "c", "page cache, swap cache or filesystem: 1; the box bears its name"),
    "driver": Sign("■", "b", "the driver that allocated the page: 1; the box bears its name"),
    "nobody": Sign("?", "?", "a unit that nobody owns"),
    "missing": Sign("¬", "-", "a holder for whom the count has no unit"),
    "loose": Sign("○", "%", "knows the frame, but has no unit of its count"),
    "counted": Sign("▶", ">", "where an entry leads; it is in the frame's count"),
    "special": Sign("▷", "}", "where a special entry leads: the count knows nothing of it"),
    "held": Sign("◀", "<", ""),
    "known": Sign("◁", "{", ""),
    "cross": Sign("╳", "x", "it was so, and is so no longer"),
    "open": Sign("▐", "[", ""),
    "close": Sign("▌", "]", ""),
    "hazard": Sign("!", "!", "a rule is broken here: hazard"),
    "corruption": Sign("✗", "X", "a rule is broken here: corruption"),
    "stale": Sign("╰", "`", ""),
    "walked": Sign("▸", ">", "how far the walk has come: PGD, PUD, PMD, PTE"),
    "dash": Sign("┄", ".", ""),
    "rising": Sign("┆", ":", ""),
}
"""By what they stand for."""

LINES: Final = {
    "light": (" ╵╷│╴╯╮┤╶╰╭├─┴┬┼", " |||-+++-+++-+++"),
    "heavy": (" ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋", " |||=+++=+++=+++"),
    "double": (" ║║║═╝╗╣═╚╔╠═╩╦╬", " |||=+++=+++=+++"),
    "dash": (" ┆┆┆┄╯╮┤┄╰╭├┄┴┬┼", " :::.+++.+++.+++"),
}
"""Style → the pieces of a line, by which of its four arms it has: 1 up, 2 down, 4 left, 8 right."""

ASCII: Final = str.maketrans(
    {sign.drawn: sign.ascii for sign in SIGNS.values()}
    | {drawn: plain for pieces in LINES.values() for drawn, plain in zip(*pieces, strict=True)}
    | {"·": ".", "→": ">"}
)
"""From the signs to those of a terminal that has only ASCII."""


def sign(name: str) -> str:
    """What is drawn for it."""
    return SIGNS[name].drawn


EXAMPLES: Final = (
    ("▐w   t0▌", "a page: w may write, r may read, empty: no entry; t0: cpu0 has cached this translation"),
    ("━━▶ ──▶", "an entry leads to a frame; thick: may write, thin: may only read"),
    ("straight", "page, frame and holder stand where they first met"),
    ("━┓ ╭─▶", "bent: they have parted, or share a frame with others; two lines that meet lead to one frame"),
    ("┄┄╳┄┄", "it was so until now, or somebody still believes it"),
    ("╰ t0 ▐w▌┄", "what cpu0's TLB says, and the page table no longer does"),
    ("◀══◆ ◀──◇", "a reference: pin, get; it is drawn to the frame that it holds, wherever the page is now"),
    ("◁──○", "knows the frame, with no unit of its count: a mirror, KVM's follow, a dma-buf mapping"),
    ("◀━65━◇", "this byte is on its way in this step"),
    ("▐f5 p0 ●◆ 1025 =65▌", "frame 5 of p0: a token for each unit of its count, the count, its first byte"),
    ("f v d", "frames of RAM, of video memory, of storage that is mapped directly (DAX)"),
    ("(p0)", "whose it was last; nobody's now"),
    ("+ ~ -", "new, changed, gone in the last step"),
)
"""What is seen together, and how to read it."""

COLUMN: Final = 20
"""Columns of the signs in the legend."""


def legend(width: int, *, ascii_only: bool = False) -> list[Row]:
    """One line a sign, the compounds first."""
    lines = [*EXAMPLES, *((each.drawn, each.meaning) for each in SIGNS.values() if each.meaning)]
    rows: list[Row] = []
    for drawn, meaning in lines:
        words = _wrapped(tr(meaning), width - COLUMN - 2)
        for number, text in enumerate(words):
            rows.append(row(Span(f" {drawn if not number else '':<{COLUMN}} ", "key"), Span(text)))
    return in_ascii(rows) if ascii_only else rows


def _wrapped(text: str, width: int) -> list[str]:
    """Words in lines."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def in_ascii(rows: Iterable[Row]) -> list[Row]:
    """The same rows in ASCII, column by column."""
    return [
        Row(tuple(span._replace(text=span.text.translate(ASCII)) for span in line.spans), line.ground) for line in rows
    ]
