"""A line as words with the columns where they stand, and what may stand in a word: numbers and names."""

import re
from typing import Final, NamedTuple


class Word(NamedTuple):  # no struct: `--version` and `--help` come by here, and loading msgspec would be half of them
    """One word of a line."""

    text: str
    column: int
    """Of its first character, counted from 1."""

    def part(self, start: int) -> "Word":
        """The word from its character `start` on."""
        return Word(self.text[start:], self.column + start)


WORD: Final = re.compile(r"\S+")
NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

MOST_DIGITS: Final = 32
"""A longer number is out of every range; it is not even converted."""
LONGEST_NAME: Final = 40
"""Characters: names appear in every pane."""


HIDDEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""What a terminal carries out instead of showing it, what turns the direction of writing round, and what nobody sees.

A tab is none. The two joiners (U+200C, U+200D) are none either: words of some languages are not written without them.
"""


def whole_number(text: str, digits: int = 9) -> int | None:
    """A number in at most so many digits of ASCII, without a sign; None if it is none.

    `isdigit` holds for `²` and for digits of other scripts, too, and `int` takes no more than 4,300 of any.

    >>> whole_number("007"), whole_number("²"), whole_number("9" * 5000)
    (7, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def hidden(text: str) -> tuple[int, str] | None:
    r"""Where the first such character stands, counted from 1, and its name; None if there is none.

    >>> hidden("note \x1b]0;x"), hidden("note\tfine")
    ((6, 'U+001B'), None)
    """
    found = HIDDEN.search(text)
    return (found.start() + 1, f"U+{ord(found.group()):04X}") if found else None


def without_comment(line: str) -> str:
    """The line up to a `#`."""
    return line.partition("#")[0].rstrip()


def split(line: str) -> list[Word]:
    """The words of a line without its comment.

    >>> split("read p0 buf  # why not")
    [Word(text='read', column=1), Word(text='p0', column=6), Word(text='buf', column=9)]
    """
    return [Word(match.group(), match.start() + 1) for match in WORD.finditer(without_comment(line))]


def number(text: str) -> int | None:
    """A decimal or `0x…` number; None if it is none. Something absurdly long counts as one that is too big.

    >>> number("0x41"), number("65"), number("-1"), number("six")
    (65, 65, None, None)
    """
    if not NUMBER.fullmatch(text):
        return None
    if len(text) > MOST_DIGITS:
        return 1 << 4 * MOST_DIGITS
    return int(text, 16) if text[:2] in {"0x", "0X"} else int(text)


def is_name(text: str) -> bool:
    """A letter, then letters, digits, `_` or `-`."""
    return NAME.fullmatch(text) is not None and len(text) <= LONGEST_NAME


def printable(text: str) -> str:
    """A word as a message may show it: no control characters, not a screenful.

    >>> printable("a" * 100)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= LONGEST_NAME else clean[: LONGEST_NAME - 1] + "…"
