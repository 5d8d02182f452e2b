"""The help: keys as they are bound, the signs of the panes, and a few words."""

from collections.abc import Iterable, Sequence
from typing import Final

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, row

KEYS: Final = 26
"""Columns for the keys."""

SIGNS: Final = (
    ("+ ~ -", "the last move made it, changed it, took it away"),
    ("!", "something is wrong with it: see Rules (7)"),
    (
        "17→f5 w =65",
        "page 17: its PTE leads to frame 5, writable, the byte there is 65; a sign behind it is the frame's",
    ),
    ("r w n s H", "read-only, writable, PROT_NONE, special (core mm keeps away), a 2 MiB leaf"),
    ("f5 anon @17 1025/1/1 =65", "frame 5: kind, place, refcount/mapcount/pins, byte, flags"),
    ("STALE", "a TLB still holds what the page table no longer says"),
    ("underlined", "what the thing under the cursor refers to, and what refers to it"),
)

WORDS: Final = (
    ("frame", "4 KiB of physical memory, with its struct page; a page-table page is a frame too"),
    ("PTE", "page-table entry: where a virtual page leads, and what may be done there"),
    ("VMA", "a range of virtual pages with one backing and one set of rights"),
    ("GUP", "get_user_pages(): how the kernel takes references to a process's pages"),
    ("pin", "a reference taken with FOLL_PIN: somebody may read and write the page by DMA"),
    ("micro-step", "the smallest thing the model does at once: one PTE read, one atomic, one critical section"),
    ("hazard", "nothing is lost yet, but a belief is already false"),
    ("corruption", "bytes reached somebody they do not belong to, or never reached their reader"),
    ("splat", "the kernel itself noticed and complains in its log"),
)


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
