"""The machine as the panes of the app show it, one below the other, in words that can be read aloud."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from lessons.i18n.language import tr
from model.memory.state import Change, State
from tui.views.glyphs import words
from tui.views.holders import holders
from tui.views.physical import physical
from tui.views.plain_text import sign_of
from tui.views.shown_state import ShownState, follow
from tui.views.spaces import spaces
from tui.views.walk import walk

CODES: Final = {
    "rd": "readable",
    "wr": "writable",
    "ex": "executable",
    "sh": "shared",
    "mr": "may read",
    "mw": "may write",
    "me": "may execute",
    "ms": "may share",
    "ac": "accounted",
    "nr": "no reserve",
    "lo": "locked",
    "pf": "PFN map",
    "mm": "mixed map",
    "io": "I/O",
    "dc": "not copied by fork",
    "de": "cannot grow",
    "dd": "not in core dumps",
    "wf": "wiped by fork",
    "hg": "huge pages wanted",
    "nh": "no huge pages",
    "gd": "grows down",
    "um": "userfaultfd for missing pages",
    "uw": "userfaultfd for writes",
    "gu": "may have guards",
    "sr": "read in order",
    "rr": "read at random",
    "lf": "locked on fault",
    "ht": "hugetlb",
    "sf": "synchronous",
    "ar": "memory type kept",
    "sd": "soft-dirty",
    "mg": "mergeable",
    "ui": "userfaultfd for minor faults",
    "sl": "sealed",
}
"""Flags of mappings as /proc/PID/smaps writes them → in words."""
_RUN: Final = re.compile(rf"(?<= )(?:{'|'.join(CODES)})(?: (?:{'|'.join(CODES)}))+(?= |$)")
_COUNTS: Final = re.compile(r"(?<![\w/])(\d+)/(\d+)/(\d+)(?![\w/])")
_UP_TO: Final = re.compile(r"(?<=\d)(?:\.\.(?=\d)|-(?=f\d))")
_NONE: Final = re.compile(r"(?<= )---(?=[ps] )")
_BYTE: Final = re.compile(r"(?<= )=(?=\d)")
_SIGN: Final = re.compile(r"(^|(?<= ))([+~-])(?=[a-zA-Z0-9])")
_COMMA: Final = re.compile(r" *, +")
_GAP: Final = re.compile(r" {2,}")
"""Between two things on one line."""


def legend() -> tuple[tuple[str, str], ...]:
    """What the short forms in the listings mean."""
    told = words()
    return (
        ("f5", tr("frame 5, a page of memory; f1 PGD p0 is a frame with a page table of p0")),
        (
            f"16{told.arrow}f5 w",
            tr("page 16 leads to frame 5; w: it may be written, r: only read, n: not at all, s: special"),
        ),
        ("rw-p", tr("of a mapping: readable, writable, executable; p: private, s: shared")),
        (f"{tr('may read')} ...", tr("what mprotect may still grant; accounted: it counts as memory that is promised")),
        (f"{told.new}, {told.changed}, {told.gone}", tr("since the last command")),
    )


def read_aloud(text: str) -> str:
    """A row of a pane as it can be read aloud: without signs that a screen reader passes over.

    >>> read_aloud("+16..17 rw-p anon mr mw me ac"), read_aloud("free f6-f99, never used")
    ('new 16 up to 17 rw-p anon may read, may write, may execute, accounted', 'free f6 up to f99, never used')
    >>> read_aloud("f5  anon @16  1025/1/1 =65 excl")
    'f5; anon @16; refcount 1025, mapcount 1, pins 1, byte 65 excl'
    """
    text = _RUN.sub(lambda run: ", ".join(tr(CODES[code]) for code in run[0].split()), text)
    text = _COUNTS.sub(r"refcount \1, mapcount \2, pins \3,", text)
    text = _NONE.sub(f"{tr('no access')} ", text)
    text = _UP_TO.sub(f" {tr('up to')} ", text)
    text = _BYTE.sub("byte ", text)
    told = words()
    text = _SIGN.sub(lambda sign: f"{sign_of(told, sign[2])} ", text)
    to = rf"(?<=\S) *{re.escape(told.arrow)} *"
    text = _COMMA.sub(", ", re.sub(to, told.arrow, text.rstrip()))
    indent = len(text) - len(text.lstrip())
    return " " * indent + _GAP.sub("; ", text.lstrip())


def unfilled(text: str) -> str:
    """An answer without the dashes that line it up with others.

    >>> unfilled("present -- user accessed ----- nx")
    'present user accessed nx'
    """
    return " ".join(word for word in text.split() if word.strip("-"))


def machine(state: State, changes: Iterable[Change], width: int) -> Iterator[tuple[str, Sequence[str]]]:
    """The title of each pane, and its lines; the walk is that of the page that changed."""
    scene = ShownState(state, focus=follow(tuple(changes)), glyphs=words())
    for title, rows in (
        (tr("Address spaces"), spaces(scene, width)),
        (tr("Page table"), walk(scene, width)),
        (tr("Memory"), physical(scene, width)),
        (tr("Holders and devices"), holders(scene, width)),
    ):
        yield title, [read_aloud(row.text) for row in rows]
