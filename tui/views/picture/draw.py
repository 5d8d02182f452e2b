"""The picture as rows: cells on the left, boxes in the middle, holders on the right, and the lines between them."""

from tui.views.picture.boxes import BoxCells
from tui.views.picture.columns import LEAST, widths
from tui.views.picture.holders import HolderCells
from tui.views.picture.layout import layout
from tui.views.picture.layout_line import Layout
from tui.views.picture.legend import in_ascii
from tui.views.picture.lines import Lines
from tui.views.picture.pages import PageCells
from tui.views.picture.picture_state import PictureState
from tui.views.row import Row, Span

__all__ = ["LEAST", "picture"]


def picture(drawn: PictureState, width: int, found: Layout | None = None) -> list[Row]:
    """The drawing; LEAST columns wide at least, whatever the room. `found`: its layout, where that is known."""
    found, columns = found or layout(drawn), widths(max(width, LEAST))
    lines = Lines(drawn, found)
    pages, boxes, holders = PageCells(drawn, columns), BoxCells(drawn, columns), HolderCells(drawn, columns)
    left, right = lines.left(columns.left), lines.right(columns.right)
    rows = []
    for number, line in enumerate(found.lines):
        if line.waits:
            rows.append(Row(holders.waiting(line, columns.whole)))
            continue
        box, free = boxes.box(line), right.free(number)
        blank = free == columns.right and not "".join(span.text for span in box).strip()
        note = holders.note(line, free + columns.box * blank)
        more = sum(len(span.text) for span in note) - columns.holder  # what the note takes of what is left of it
        if more > columns.right:
            box = (Span(" " * (columns.box + columns.right - more)),)
        middle = (*left.spans(number), *box, *right.spans(number, more))
        rows.append(Row((*pages.page(line), *middle, *note, *holders.holder(line))))
    return rows if drawn.scene.glyphs.bar == "│" else in_ascii(rows)
