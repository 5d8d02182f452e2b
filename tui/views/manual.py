"""The help: keys as they are bound, the signs of the panes, and a few words."""

from collections.abc import Iterable, Sequence
from typing import Final

from lessons.i18n.language import tr
from tui.views.glossary import GLOSSARY
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, row

KEYS: Final = 26
"""Columns for the keys."""

SIGNS: Final = (
    ("+ ~ -", "the last move made it, changed it, took it away"),
    ("!", "a rule is broken here: see Rules (7)"),
    (
        "17→f5 w =65",
        "page 17: its PTE leads to frame 5, writable, the byte there is 65; a sign behind it is the frame's",
    ),
    ("r w n s H", "read-only, writable, PROT_NONE, special (core mm keeps away), a 2 MiB leaf"),
    ("u", "write-protected by userfaultfd; `uffd-wp` where nothing is mapped"),
    ("f5 anon @17 1025/1/1 =65", "frame 5: kind, place, refcount/mapcount/pins, byte, flags"),
    ("STALE", "a TLB still holds what the page table no longer says"),
    ("underlined", "what the thing under the cursor refers to, and what refers to it"),
)

FIRST_WORDS: Final = frozenset({"frame", "PTE", "VMA", "GUP", "pin", "micro-step", "hazard", "corruption", "splat"})
WORDS: Final = tuple((term.name, term.meaning) for term in GLOSSARY if term.name in FIRST_WORDS)
"""What no reader gets by without; `g` has the rest."""


def manual(groups: Iterable[tuple[str, Sequence[tuple[str, str]]]], width: int, glyphs: Glyphs) -> list[Row]:
    """Groups of (keys, what they do), then signs and words."""
    rows: list[Row] = []
    signs = [(sign.replace("→", glyphs.arrow), text) for sign, text in SIGNS]
    for title, lines in (*groups, ("Signs", signs), ("Words", WORDS)):
        if not lines:
            continue
        if rows:
            rows.append(BLANK)
        rows.append(row(Span(f" {tr(title)}", "title")))
        for left, right in lines:
            for at, line in enumerate(wrap([Span(tr(right))], max(width - KEYS - 2, 20))):
                lead = f"  {tr(left)}".ljust(KEYS) if at == 0 else " " * KEYS
                rows.append(Row((Span(f"{lead} ", "key"), *line.spans)))
    return rows
