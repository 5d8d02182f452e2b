"""Every sign that the picture draws with, what stands for it in ASCII, and what it means: one table for both."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from lessons.i18n.language import tr
from tui.views.row import Row, Span, row


class Sign(msgspec.Struct, frozen=True):
    """One sign, one column wide."""

    drawn: str
    ascii: str
    meaning: str
    """For the legend; empty: a part of another sign."""


SIGNS: Final = {
    "entry": Sign("●", "o", "a page-table entry: 1"),
    "whole": Sign("◉", "@", "an entry of 2 MiB that maps a folio as a whole: 1"),
    "pin": Sign("◆", "#", "a pin (FOLL_PIN): 1024; of a large folio 1"),
    "get": Sign("◇", "*", "a get, or a reference that a task has for itself: 1"),
    "cache": Sign("▪", "c", "page cache, swap cache or filesystem: 1; of a large folio 1 a page"),
    "driver": Sign("■", "b", "the driver that allocated the page: 1"),
    "nobody": Sign("?", "?", "a unit that nobody owns"),
    "missing": Sign("¬", "-", "a holder for whom the count has no unit"),
    "loose": Sign("○", "%", ""),
    "counted": Sign("▶", ">", ""),
    "special": Sign("▷", "}", ""),
    "held": Sign("◀", "<", ""),
    "known": Sign("◁", "{", ""),
    "cross": Sign("╳", "x", ""),
    "open": Sign("▐", "[", ""),
    "close": Sign("▌", "]", ""),
    "hazard": Sign("!", "!", "a rule is broken here: harm is possible now (hazard)"),
    "corruption": Sign("✗", "X", "a rule is broken here: harm is done (corruption)"),
    "stale": Sign("╰", "`", ""),
    "walked": Sign("▸", ">", "how far a walk has come: PGD, PUD, PMD, PTE"),
    "back": Sign("◂", "<", ""),
    "waits": Sign("‖", "=", "a task that cannot go on, and what it waits for"),
    "page": Sign("┃", "|", ""),
    "last": Sign("┗", "+", ""),
    "dash": Sign("┄", ".", ""),
    "rising": Sign("┆", ":", ""),
}
"""By what they stand for."""

LINES: Final = {
    "light": (" ╵╷│╴╯╮┤╶╰╭├─┴┬┼", " |||-+++-+++-+++"),
    "heavy": (" ╹╻┃╸┛┓┫╺┗┏┣━┻┳╋", " |||=+++=+++=+++"),
    "double": (" ║║║═╝╗╣═╚╔╠═╩╦╬", " |||%+++%+++%+++"),
    "dash": (" ┆┆┆┄╯╮┤┄╰╭├┄┴┬┼", " :::.+++.+++.+++"),
}
"""Style → the pieces of a line, by which of its four arms it has: 1 up, 2 down, 4 left, 8 right."""

ASCII: Final = str.maketrans(
    {sign.drawn: sign.ascii for sign in SIGNS.values()}
    | {drawn: plain for pieces in LINES.values() for drawn, plain in zip(*pieces, strict=True)}
    | {"·": ".", "→": ">", "←": "<"}
)
"""From the signs to those of a terminal that has only ASCII."""


def sign(name: str) -> str:
    """What is drawn for it."""
    return SIGNS[name].drawn


EXAMPLES: Final = (
    (
        "▐w   t0▌",
        "a page's entry: w may write, r may only read, s special, 2M one entry for 512 pages; t0: cpu0 caches it",
    ),
    (
        "▐→f6  ▌ ▐zeros ▌",
        "no entry; what the next access there would find: a frame, zeros, a hole in the file, SIGBUS; blank: zeros",
    ),
    ("▐more  ▌", "too many pages to draw one by one"),
    ("▐(w)   ▌", "an entry in a table that was unhooked whole: no walk gets here any more"),
    ("+PTE f4  -PTE f4", "a table page that was hooked in or taken out, and its frame"),
    ("━━▶ ──▶", "where the entry leads; thick: may write, thin: may only read"),
    ("──▷", "hollow: a special entry, of which the frame's count knows nothing"),
    ("━┓ ╭─▶", "straight lines: both ends agree; bent: they have parted, or several share a frame"),
    ("━┳━▶", "lines that meet have a corner or a fork; where two only cross, the one across hides the other"),
    ("┄┄╳┄┄  ┆", "it led there until now, or somebody still believes that it does"),
    ("╰ cpu0 TLB ▐w▌", "what cpu0 still has cached, and the page table no longer says"),
    ("▐f5 p0 ●◆ 1025 =65▌", "frame 5 of p0: a token for each unit of its count, the count, its first byte"),
    ("▐f512 2M ◉●◇ 3▌", "a large folio: one count, one token a unit, for 512 pages; below it those that differ"),
    ("▐┃f515 map 2 =0▌", "a page of that folio: it has no count of its own, only how many entries map it"),
    ("▐f7 ksm p0+p1 ●● 2▌", "a KSM page, in the place of equal pages: whoever writes gets a copy of their own"),
    ("══▶", "one entry of 2 MiB leads to the whole folio; entries of single pages lead to their pages"),
    ("f v d m", "frames of RAM, of video memory, of storage mapped directly (DAX), of a device's memory (PCI BAR)"),
    ("f5 (p0)  f9 ←f5", "f5 last belonged to p0 and is nobody's now; f9 is a copy of f5"),
    ("◀══◆ r pin", "r pins the frame; below it, for which device and at which page"),
    ("◀──◇ ◀━━◇", "a get; double or thick: may write through it, thin: may only read"),
    ("◁──○", "knows the frame, with no unit of its count: a mirror, KVM's follow, a dma-buf mapping"),
    ("◂65  65▸", "a byte carried in this very step"),
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
        Row(tuple(replace(span, text=span.text.translate(ASCII)) for span in line.spans), line.ground) for line in rows
    ]
