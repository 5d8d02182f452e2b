"""A pane that draws immutable rows line by line and repaints only those that have changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final

from msgspec.structs import replace
from rich.style import Style
from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region, Size
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from tui.views.glyphs import UNICODE, Glyphs
from tui.views.row import Row, Span, Stop, fitted, padded, stops
from tui.widgets.drawing import Looks, difference, nearest, row_at, segments
from tui.widgets.role_styles import roles

WHEEL: Final = 3
"""Rows that one notch of the mouse wheel scrolls."""
MOST_STRIPS: Final = 512

Drawn = tuple[Row, int, int, int, tuple[str, ...], bool]
"""What a drawn line depends on: row, width, columns of the cursor, lit subjects in it, whether all else is dimmed."""


class LinePane(Widget, can_focus=True):
    """Rows of text with a title, a cursor that stands on subjects, and its own scrolling."""

    ALLOW_SELECT = True
    DEFAULT_CSS = "LinePane { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Cursor up", show=False, id="pane.up"),
        Binding("down,j", "move(1)", "Cursor down", show=False, id="pane.down"),
        Binding("full_stop,greater_than_sign,shift+right", "along(1)", "Next cell", show=False, id="pane.next-cell"),
        Binding("less_than_sign,shift+left", "along(-1)", "Previous cell", show=False, id="pane.previous-cell"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="pane.page-down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="pane.page-up"),
        Binding("Y", "copy_row", "Copy the row", show=False, id="pane.copy"),
    ]

    dims: ClassVar[bool] = False
    """What is not lit is dimmed while anything is."""

    class Pointed(Message):
        """The cursor went to a subject."""

        def __init__(self, pane: "LinePane", subject: str, clicked: bool) -> None:
            super().__init__()
            self.pane = pane
            self.subject = subject
            self.clicked = clicked

    def __init__(self, title: str = "", pane_id: str | None = None, key: str = "", glyphs: Glyphs = UNICODE) -> None:
        super().__init__(id=pane_id)
        self.glyphs = glyphs
        self.heading = title
        self.number_key = key
        self.build: Callable[[int], Sequence[Row]] | None = None
        """Makes the rows for a width; None where somebody calls `show`."""
        self.rows: Sequence[Row] = ()
        self._built_for: Size | None = None
        """The size for which the rows were built; None while they are out of date."""
        self._fitted = Size(0, 0)
        """The size for which the window was last set."""
        self._wanted = ""
        """The subject on which the cursor is to be put as soon as there are rows."""
        self.top = 0
        self._in_sight: int | None = None
        """The row that stays in the window when the pane's size changes."""
        self._captions: tuple[tuple[Span, ...], ...] = ()
        self.cursor: Stop | None = None
        self.lit: Mapping[str, str] = {}
        """Subject → `to` or `from`: what the thing under the cursor refers to, and what refers to it."""
        self._strips: dict[Drawn, Strip] = {}
        """Rows as they were drawn, wherever they stood."""
        self._lines: dict[int, Strip] = {}
        """Line → what is on the screen there."""
        self._grounds: dict[str, tuple[Style, Looks]] = {}
        """Ground of a row → its own style, and how every role looks on it: plainly, lit, under the cursor."""
        self._selected = False
        """The mouse has selected some of the text."""
        self._behind: Color | None = None
        """The colour behind the rows that are being drawn; None while it is not known."""

    # -- what is shown ---------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """Lines above the rows: 1 with a title."""
        return 1 if self.heading else 0

    @property
    def window(self) -> int:
        """The number of rows that fit."""
        return max(self.outer_size.height - self.head, 1)

    def renew(self) -> None:
        """What the rows are made of has changed. A pane out of sight builds its rows when it comes into sight."""
        if self.build is None:
            return
        if not self.display or not self.outer_size.width or self._built_for != self.outer_size:
            self._built_for = None
            return
        self.show(self.build(self.outer_size.width))

    def _fit(self) -> None:
        """Rows are made for a width, and some for the room that the screen has: built when first drawn in a size."""
        size = self.outer_size
        in_sight = self._in_sight
        if self.build is not None and self._built_for != size:
            self._built_for = size
            self._take(self.build(size.width))
            if self._wanted:
                self.point_at(self._wanted)
        if self._fitted != size:
            self._fitted = size
            self._lines.clear()
            self.top = max(0, min(self.top, len(self.rows) - self.window))
            if in_sight is not None:
                self._in_sight, self.top = in_sight, self._top_for(in_sight)

    def caption(self, *ways: tuple[Span, ...]) -> None:
        """What stands beside the title: the first of some ways to say it that has room, else the last, cut."""
        if ways != self._captions:
            self._captions = ways
            if self.head and self.is_mounted:
                self.refresh(Region(0, 0, self.outer_size.width, 1))

    def to_top(self) -> None:
        """Show the first row again: what follows is about something else."""
        if self.top:
            self.top = 0
            self.refresh()

    def _take(self, rows: Sequence[Row]) -> None:
        """These are the rows now; cursor and window stay with what they were on."""
        self.rows = rows
        self._in_sight = None
        self.top = max(0, min(self.top, len(rows) - self.window))
        if self.cursor is not None:
            self.cursor = self._find_again(self.cursor)

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows; repaint what differs from those that are shown."""
        if rows is self.rows:
            return
        before, top, title = self.rows, self.top, self._title_text()
        self._take(rows)
        if top != self.top:
            self.refresh()
            return
        regions: list[Region] = []
        if self.head and title != self._title_text():
            regions.append(Region(0, 0, self.outer_size.width, 1))
        for y in range(self.head, self.outer_size.height):
            number = y - self.head + top
            old, new = row_at(before, number), row_at(rows, number)
            if old is not new and old != new:
                left, right = difference(old, new)
                regions.append(Region(left, y, right - left, 1))
        if regions:
            self.refresh(*regions)

    def light(self, lit: Mapping[str, str]) -> None:
        """Light up these subjects wherever they stand in this pane."""
        if lit == self.lit:
            return
        before, self.lit = self.lit, lit
        if self.dims:
            self.refresh()
        else:
            self._repaint(self._rows_with({*before, *lit}))

    def _rows_with(self, subjects: set[str]) -> list[int]:
        """Rows in the window in which one of these subjects stands."""
        shown = enumerate(self.rows[self.top : self.top + self.window], self.top)
        return [n for n, line in shown if any(span.subject and span.subject in subjects for span in line.spans)]

    def _repaint(self, numbers: Iterable[int]) -> None:
        """Refresh the whole lines of these rows."""
        regions = [Region(0, number - self.top + self.head, self.outer_size.width, 1) for number in numbers]
        if regions:
            self.refresh(*regions)

    # -- the cursor --------------------------------------------------------------------------------

    def _find_again(self, cursor: Stop) -> Stop | None:
        """The cursor's subject in new rows: nearest to where it was; else what now stands there."""
        places = list(stops(self.rows))
        same = [stop for stop in places if stop.subject == cursor.subject]
        return nearest(same or places, cursor.row, cursor.left)

    def point(self, stop: Stop | None, clicked: bool = False) -> None:
        """Put the cursor on a stop, scroll to it, and tell the screen."""
        if stop is None:
            return
        before, self.cursor = self.cursor, stop
        if not self._scroll_to_row(stop.row):
            self._repaint(self._rows_with({stop.subject, before.subject if before else ""}))
        self.post_message(self.Pointed(self, stop.subject, clicked))

    def point_at(self, subject: str) -> bool:
        """Put the cursor on the first place of a subject, silently; False if it stands nowhere here.

        A pane that was never in sight has no rows yet: it does so as soon as it has, and the answer is True.
        """
        if self._built_for is None and self.build is not None:
            self._wanted = subject
            return True
        self._wanted = ""
        found = next((stop for stop in stops(self.rows) if stop.subject == subject), None)
        if found is None:
            return False
        self.cursor = found
        self._scroll_to_row(found.row)
        self.refresh()
        return True

    def forget_cursor(self) -> None:
        """No cursor in this pane any more."""
        if self.cursor is not None:
            before, self.cursor = self.cursor, None
            self._repaint(self._rows_with({before.subject}))

    def action_move(self, rows: int) -> None:
        """Up or down to the next row with something to point at; scrolls where there is none."""
        places = list(stops(self.rows))
        here = self.cursor
        if not places:
            self.scroll_rows(rows)
            return
        if here is None:
            visible = [stop for stop in places if stop.row >= self.top] or places
            self.point(visible[0])
            return
        beyond = [stop for stop in places if (stop.row - here.row) * rows > 0 and stop.subject != here.subject]
        if not beyond:
            self.scroll_rows(rows)
            return
        target = min(beyond, key=lambda stop: abs(stop.row - here.row)).row
        self.point(nearest([stop for stop in beyond if stop.row == target], target, here.left))

    def action_along(self, cells: int) -> None:
        """To the next or previous cell."""
        places = list(stops(self.rows))
        here = self.cursor
        if here is None or here not in places:
            self.action_move(1)
            return
        self.point(places[max(0, min(len(places) - 1, places.index(here) + cells))])

    def action_page(self, pages: int) -> None:
        """Scroll by a window."""
        self.scroll_rows(pages * self.window)

    def to_end(self, *, last: bool) -> None:
        """To the first or the last thing to point at, and to that end of the text."""
        places = list(stops(self.rows))
        if places:
            self.point(places[-1 if last else 0])
        self.scroll_rows(len(self.rows) if last else -len(self.rows))

    def action_copy_row(self) -> None:
        """Copy the cursor's row to the clipboard."""
        line = self.rows[self.cursor.row].text.strip() if self.cursor else ""
        if line:
            self.app.copy_to_clipboard(line)
            self.notify(line, title="Copied", markup=False)

    def scroll_rows(self, rows: int) -> None:
        """Scroll by some rows, within the text."""
        top = max(0, min(self.top + rows, len(self.rows) - self.window))
        if top != self.top:
            self.top = top
            self.refresh()

    def keep_in_sight(self, number: int) -> None:
        """Bring a row into the window, and again if the pane shrinks before there are other rows."""
        self._in_sight = number
        self._scroll_to_row(number)

    def _top_for(self, number: int) -> int:
        """The first row of the nearest window that has this row in it."""
        return min(max(self.top, number - self.window + 1), number)

    def _scroll_to_row(self, number: int) -> bool:
        """Bring a row into the window; True if that moved it."""
        top = self._top_for(number)
        moved = top != self.top
        if moved:
            self.top = top
            self.refresh()
        return moved

    def on_click(self, event: Click) -> None:
        """Point at what was clicked."""
        hit = self.stop_at(event.x, event.y)
        if hit is not None:
            self.point(hit, clicked=True)

    def stop_at(self, x: int, y: int) -> Stop | None:
        """What stands at a place of the pane."""
        number = y - self.head + self.top
        line = self.rows[number : number + 1] if y >= self.head else ()
        here = (replace(stop, row=number) for stop in stops(line))
        return next((stop for stop in here if stop.left <= x < stop.right), None)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll down with the wheel."""
        event.stop()
        self.scroll_rows(WHEEL)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll up with the wheel."""
        event.stop()
        self.scroll_rows(-WHEEL)

    # -- drawing -----------------------------------------------------------------------------------

    def render(self) -> RenderResult:
        """Never called: lines are drawn by `render_line`."""
        return ""

    def notify_style_update(self) -> None:
        """The theme has changed: nothing that was drawn counts any more."""
        super().notify_style_update()
        self._strips.clear()
        self._lines.clear()
        self._grounds.clear()

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> "LinePane":
        """Draw the lines in these regions again, or all."""
        if not regions:
            self._lines.clear()
        for region in regions:
            for y in region.line_range:
                self._lines.pop(y, None)
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in a part of the pane.

        Textual would look at every line in turn for borders, padding, opacity and filters, at each step, for all
        panes: half of a step's time. A pane has none of that but the filters, and keeps its finished lines itself.
        """
        self._fit()
        self._behind = None
        strips = [self._lines.get(y) or self._painted(y) for y in crop.line_range]
        left, right = crop.column_span
        whole = left == 0 and right == self.outer_size.width
        return strips if whole else [strip.crop(left, right) for strip in strips]

    def render_line(self, y: int) -> Strip:
        """One line of the pane, each piece with its place in the text: Textual asks when the mouse selects some."""
        number = y - self.head + self.top
        strip = self._lines.get(y) or self._painted(y)
        return strip.apply_offsets(0, number + self.head if y >= self.head else 0)

    def _painted(self, y: int) -> Strip:
        """Draw one line of the pane. Without places: to note them takes longer than to draw the line."""
        number = y - self.head + self.top
        if y < self.head:
            strip = self._draw(self._title(), -1, -1, dims=False)
        else:
            line = row_at(self.rows, number)
            here = self.cursor if self.cursor is not None and self.cursor.row == number else None
            strip = self._draw(line, here.left, here.right) if here else self._draw(line, -1, -1)
        if self._selected:
            strip = self._filtered(self._with_selection(strip, number + self.head))
        self._lines[y] = strip
        return strip

    def _filtered(self, strip: Strip) -> Strip:
        """A strip as the terminal can show it."""
        for line_filter in self.get_line_filters():
            strip = strip.apply_filter(line_filter, self._background())
        return strip

    def _background(self) -> Color:
        """The colour behind the rows, worked out once for each time that lines are drawn."""
        if self._behind is None:
            self._behind = self.background_colors[1]
        return self._behind

    def _draw(self, line: Row, left: int, right: int, *, dims: bool = True) -> Strip:
        """A row as a strip of exactly the pane's width, from the cache if it was drawn like this before."""
        related = self.lit or self.cursor is not None
        lit = tuple({span.subject for span in line.spans if self._is_lit(span.subject)}) if related else ()
        width = self.outer_size.width
        dims = dims and self.dims and bool(self.lit)
        drawn = (line, width, left, right, lit, dims)
        strip = self._strips.get(drawn)
        if strip is None:
            if len(self._strips) > MOST_STRIPS:
                self._strips.clear()
            base, looks = self._grounds.get(line.ground) or self._look(line.ground)
            if len(line.text) > width:
                line = Row(tuple(padded(list(line.spans), width)), line.ground)
            # Every sign that the panes use is one column wide: lengths need no look into Unicode tables.
            strip = Strip(segments(line, looks, left, right, lit, dims=dims), len(line.text))
            # Filtered before it is kept: a strip would remember the other one, and either takes more than a kilobyte.
            strip = self._strips[drawn] = self._filtered(strip.adjust_cell_length(width, base))
        return strip

    def _is_lit(self, subject: str) -> bool:
        """Related to the cursor's subject, or the same thing in another place."""
        return bool(subject) and (subject in self.lit or (self.cursor is not None and subject == self.cursor.subject))

    def _look(self, ground: str) -> tuple[Style, Looks]:
        """Every role's style over this pane's own colours, or over those of a ground."""
        known = roles(self.app.theme_variables)
        base = self.rich_style + known[ground] if ground else self.rich_style
        plainly = {role: base + style for role, style in known.items()}
        lit = {role: style + known["lit"] for role, style in plainly.items()}
        under_cursor = {role: style + known["cursor"] for role, style in plainly.items()}
        dimmed = dict.fromkeys(known, base + known["dim"])
        self._grounds[ground] = base, (plainly, lit, under_cursor, dimmed)
        return self._grounds[ground]

    def _with_selection(self, strip: Strip, line: int) -> Strip:
        """Show what the mouse has selected."""
        selection = self.text_selection
        span = selection.get_span(line) if selection is not None else None
        if span is None:
            return strip
        start, end = span
        end = strip.cell_length if end == -1 else end
        style = self.screen.get_component_rich_style("screen--selection")
        before, inside, after = strip.crop(0, start), strip.crop(start, end), strip.crop(end)
        return Strip.join([before, inside.apply_style(style), after])

    def _title_text(self) -> str:
        """The title with its key and, where not all rows fit, which ones are shown."""
        hidden = len(self.rows) > self.window
        part = f" {self.top + 1}-{min(self.top + self.window, len(self.rows))}/{len(self.rows)}" if hidden else ""
        return f"{self.number_key} {self.heading}{part}".strip()

    def _title(self) -> Row:
        """The title line; the pane with the cursor has a pointer before it."""
        pointer = self.glyphs.pointer if self.has_focus else self.glyphs.rule
        text = f"{pointer} {self._title_text()} "
        room = self.outer_size.width - len(text) - 3
        ways = self._captions or ((),)
        told = fitted(next((way for way in ways if sum(len(span.text) for span in way) <= room), ways[-1]), room)
        length = sum(len(span.text) for span in told)
        gap = " " * bool(length)
        rest = Span(gap + self.glyphs.rule * (self.outer_size.width - len(text) - length - len(gap)), "dim")
        return Row((Span(text, "here" if self.has_focus else "title"), *told, rest))

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The title shows who has the cursor."""
        super().watch_has_focus(_has_focus)
        if self.head and self.is_mounted:
            self.refresh(Region(0, 0, self.outer_size.width, 1))

    # -- selecting text ----------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, as it stands in the rows."""
        lines = [self._title_text()] if self.head else []
        return selection.extract("\n".join([*lines, *(line.text for line in self.rows)])), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw the selection anew."""
        self._selected = selection is not None
        self.refresh()
