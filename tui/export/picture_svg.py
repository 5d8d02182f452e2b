"""Rows as SVG: lines become strokes, boxes rounded rectangles, signs shapes; only words are text, as wide as they were.

No font is needed for what must join, no script, nothing from elsewhere. Colours follow the reader's light or dark
scheme. Several drawings become one picture that moves, by CSS alone; who wants no movement sees the last of them, and
so does a program that knows no animation.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from rich.style import Style
from textual.theme import Theme

from tui.views.picture.legend import LINES, SIGNS
from tui.views.row import Row
from tui.views.time_space import UNICODE_SIGNS
from tui.widgets.role_styles import LIGHT, PTESCOPE, roles

CELL: Final = 9
"""Width of a column in pixels: 0.6 of the font's size, as most fonts of equal width have it."""
LINE: Final = 20
"""Height of a row."""
BASE: Final = 15
"""From the top of a row to the base line of its text."""
FONT: Final = 15
MARGIN: Final = 10
SECONDS: Final = 3
"""How long each drawing of a moving picture is shown; the last one twice as long."""
FONTS: Final = "ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
BACK: Final = {UP: DOWN, DOWN: UP, LEFT: RIGHT, RIGHT: LEFT}
TURNS: Final = {UP: (-1, 0), DOWN: (1, 0), LEFT: (0, -1), RIGHT: (0, 1)}
LANES: Final = (UNICODE_SIGNS.absent, UNICODE_SIGNS.believes)
"""Lines of time and space that run down in dots."""
ARMS: Final = {piece: arms for drawn, _ in LINES.values() for arms, piece in enumerate(drawn) if arms} | dict.fromkeys(
    LANES, UP | DOWN
)
STYLES: Final = {
    piece: [style for style, (drawn, _) in LINES.items() if piece in drawn[1:]] or ["dash"] for piece in ARMS
}
"""Piece of a line → the styles that have it: a bend may be light or dashed, which its neighbours decide."""

SHAPES: Final = {
    SIGNS["entry"].drawn: ("fill", 1, 10, "a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z"),
    SIGNS["loose"].drawn: ("line", 1.2, 10, "a3.3 3.3 0 1 0 6.6 0a3.3 3.3 0 1 0 -6.6 0z"),
    SIGNS["pin"].drawn: ("fill", 4.5, 5, "l4 5l-4 5l-4 -5z"),
    SIGNS["get"].drawn: ("line", 4.5, 5.5, "l3.5 4.5l-3.5 4.5l-3.5 -4.5z"),
    SIGNS["cache"].drawn: ("fill", 2, 7.5, "h5v5h-5z"),
    SIGNS["driver"].drawn: ("fill", 1, 6.5, "h7v7h-7z"),
    SIGNS["counted"].drawn: ("fill", 0, 5, "l9 5l-9 5z"),
    SIGNS["held"].drawn: ("fill", 9, 5, "l-9 5l9 5z"),
    SIGNS["special"].drawn: ("line", 0.8, 5.5, "l7.5 4.5l-7.5 4.5z"),
    SIGNS["known"].drawn: ("line", 8.2, 5.5, "l-7.5 4.5l7.5 4.5z"),
    SIGNS["cross"].drawn: ("line", 0, 5, "l9 10m0 -10l-9 10"),
    SIGNS["corruption"].drawn: ("mark", 1, 5.5, "l7 9m0 -9l-7 9"),
    SIGNS["walked"].drawn: ("fill", 1.5, 6, "l5.5 4l-5.5 4z"),
    SIGNS["back"].drawn: ("fill", 7.5, 6, "l-5.5 4l5.5 4z"),
    SIGNS["waits"].drawn: ("mark", 2.5, 5.5, "v9m4 -9v9"),
}
"""Sign → how it is painted, where in a cell its outline starts, and the outline from there."""
OPEN: Final = SIGNS["open"].drawn
CLOSE: Final = SIGNS["close"].drawn
SPOKEN: Final = {
    each.drawn: name for name, each in SIGNS.items() if each.drawn not in ARMS and each.drawn not in {OPEN, CLOSE}
} | {SIGNS["counted"].drawn: "→", SIGNS["held"].drawn: "←", SIGNS["special"].drawn: "→", SIGNS["known"].drawn: "←"}
"""Sign → the word for it where a row is read aloud."""
ON_ITS_WAY: Final = re.compile(r" back (\d+)|(\d+) walked ")
"""A byte that is carried: its way is that of the line."""

RULES: Final = (
    f"text{{font:{FONT}px {FONTS};fill:currentColor}}"
    "path{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round}"
    ".fill{fill:currentColor;stroke:none}"
    ".mark{stroke-width:2.4}.heavy{stroke-width:3.6}.double{stroke-width:5}"
    ".dash{stroke-width:2;stroke-dasharray:.1 4.4}"
    ".box{fill:currentColor;fill-opacity:.1;stroke:currentColor;stroke-width:1.5}"
    "rect.gone{stroke-dasharray:4 3;fill-opacity:0}"
)
"""What does not depend on light and dark."""


class Drawing(NamedTuple):
    """One picture."""

    title: str
    """What it shows, for those who do not see it."""
    rows: Sequence[Row]


def svg(drawings: Sequence[Drawing], title: str = "") -> str:
    """One drawing, or several one after the other. Raises ValueError if there is none."""
    if not drawings:
        raise ValueError("there is nothing to draw")
    width, height = size(drawings)
    moving = len(drawings) > 1
    body = "".join(
        _group(drawing, f' class="step" id="s{at}"' if moving else "") for at, drawing in enumerate(drawings)
    )
    style = stylesheet(used(drawings)) + (_movement(len(drawings)) if moving else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{escape(title or drawings[-1].title)}</title><style>{style}</style>"
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>{body}</svg>\n'
    )


def fragment(drawing: Drawing, width: int, height: int) -> str:
    """One drawing for a page of HTML that has the style sheet already."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="group">'
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>{_group(drawing, "")}</svg>'
    )


def size(drawings: Sequence[Drawing]) -> tuple[int, int]:
    """Width and height in pixels that have room for each of them."""
    columns = max(len(row.text) for drawing in drawings for row in (*drawing.rows, Row()))
    return columns * CELL + 2 * MARGIN, max(len(drawing.rows) for drawing in drawings) * LINE + 2 * MARGIN


def used(drawings: Sequence[Drawing]) -> set[str]:
    """The roles that occur."""
    return {span.role for drawing in drawings for row in drawing.rows for span in row.spans}


def stylesheet(occurring: set[str]) -> str:
    """The rules for these roles: light, and dark for those who prefer that."""
    return f"{colours(LIGHT, occurring)}{RULES}@media(prefers-color-scheme:dark){{{colours(PTESCOPE, occurring)}}}"


def colours(theme: Theme, occurring: set[str]) -> str:
    """The looks of each role in a theme."""
    looks = roles(theme.to_color_system().generate())
    rules = [f"svg{{color:{theme.foreground}}}.ground{{fill:{theme.background}}}.core{{stroke:{theme.background}}}"]
    rules.append(f"text.strong{{stroke:{theme.background};stroke-width:4px;paint-order:stroke}}")
    rules += [f".{role}{{{declared}}}" for role in sorted(occurring) if (declared := _declared(looks[role]))]
    return "".join(rules)


def _declared(look: Style) -> str:
    """A look in CSS; what a terminal shows in reverse is bold, and has a sign besides."""
    found = []
    if look.color is not None:
        found.append(f"color:{look.color.get_truecolor().hex}")
    if look.bold:
        found.append("font-weight:bold")
    if look.italic:
        found.append("font-style:italic")
    if look.strike:
        found.append("text-decoration:line-through")
    return ";".join(found)


def _movement(count: int) -> str:
    """Each drawing in its turn, for those who have nothing against movement. All run from the start, out of phase."""
    period = (count + 1) * SECONDS
    shown, last = (f"{100 * part / (count + 1):.4f}%{{visibility:hidden}}" for part in (1, 2))
    delays = "".join(f"#s{at}{{animation-delay:{at * SECONDS - period}s}}" for at in range(1, count))
    end = f"s{count - 1}"
    return (
        f".step{{visibility:hidden}}#{end}{{visibility:visible}}@media(prefers-reduced-motion:no-preference){{"
        f"@keyframes shown{{0%{{visibility:visible}}{shown}}}@keyframes last{{0%{{visibility:visible}}{last}}}"
        f"#{end},.step{{visibility:hidden;animation:shown {period}s step-end infinite}}"
        f"#{end}{{animation-name:last}}{delays}}}"
    )


class _Cell(NamedTuple):
    """One character and how it looks."""

    text: str
    role: str


def _group(drawing: Drawing, attributes: str) -> str:
    """One drawing: the lines below, then row by row what is on them."""
    cells = [[_Cell(char, span.role) for span in row.spans for char in span.text] for row in drawing.rows]
    rows = "".join(_row(number, line) for number, line in enumerate(cells))
    return (
        f'<g{attributes} transform="translate({MARGIN},{MARGIN})"><title>{escape(drawing.title)}</title>'
        f"{_strokes(cells)}{rows}</g>"
    )


# -- lines ------------------------------------------------------------------------------------


def _strokes(cells: list[list[_Cell]]) -> str:
    """All lines: one path for each style and role, each straight stretch one stroke."""
    paths: dict[tuple[str, str], list[str]] = {}
    for (style, role, vertical, fixed), stretches in sorted(_stretches(cells).items()):
        for start, stop in stretches:
            stroke = f"M{fixed:g} {start:g}V{stop:g}" if vertical else f"M{start:g} {fixed:g}H{stop:g}"
            paths.setdefault((style, role), []).append(stroke)
    found = []
    for (style, role), drawn in paths.items():
        found.append(f'<path class="{style} {role}" d="{"".join(drawn)}"/>')
        if style == "double":
            found.append(f'<path class="core" d="{"".join(drawn)}"/>')
    return "".join(found)


def _stretches(cells: list[list[_Cell]]) -> dict[tuple[str, str, bool, float], list[list[float]]]:
    """Style, role, whether vertical, and the fixed coordinate → the stretches there, from and to."""
    found: dict[tuple[str, str, bool, float], list[list[float]]] = {}
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            arms = ARMS.get(cell.text, 0)
            if not arms:
                continue
            style, across, down = _style(cells, y, x), (x + 0.5) * CELL, (y + 0.5) * LINE
            for arm, vertical, fixed, start, stop in (
                (LEFT, False, down, x * CELL, across),
                (RIGHT, False, down, across, (x + 1) * CELL),
                (UP, True, across, y * LINE, down),
                (DOWN, True, across, down, (y + 1) * LINE),
            ):
                if arms & arm:
                    stretches = found.setdefault((style, cell.role, vertical, fixed), [])
                    if stretches and stretches[-1][1] == start:
                        stretches[-1][1] = stop
                    else:
                        stretches.append([start, stop])
    return found


def _style(cells: list[list[_Cell]], y: int, x: int) -> str:
    """How a piece is drawn; a bend that light and dashed lines share is dashed where it joins a dashed piece."""
    piece = cells[y][x].text
    if len(STYLES[piece]) > 1:
        for arm, (down, right) in TURNS.items():
            row = cells[y + down] if 0 <= y + down < len(cells) else []
            joined = row[x + right].text if ARMS[piece] & arm and 0 <= x + right < len(row) else ""
            if STYLES.get(joined) == ["dash"] and ARMS[joined] & BACK[arm]:
                return "dash"
    return STYLES[piece][0]


# -- boxes, signs, words ----------------------------------------------------------------------


def _row(number: int, line: list[_Cell]) -> str:
    """What stands in a row; lines are drawn elsewhere."""
    inside = "".join((*_boxes(number, line), *_shapes(number, line), *_texts(number, line)))
    return f"<g><title>{escape(spoken(line))}</title>{inside}</g>" if inside else ""


def _boxes(number: int, line: list[_Cell]) -> Iterator[str]:
    """From each opening half block to its closing one."""
    left = -1
    for x, cell in enumerate(line):
        if cell.text == OPEN:
            left = x
        elif cell.text == CLOSE and left >= 0:
            place = (
                f'x="{(left + 0.5) * CELL:g}" y="{number * LINE + 1}" width="{(x - left) * CELL}" height="{LINE - 2}"'
            )
            yield f'<rect class="box {line[left].role}" {place} rx="4"/>'
            left = -1


def _shapes(number: int, line: list[_Cell]) -> Iterator[str]:
    """The signs: one path for those of one look."""
    paths: dict[tuple[str, str], list[str]] = {}
    for x, cell in enumerate(line):
        if cell.text in SHAPES:
            paint, right, down, outline = SHAPES[cell.text]
            start = f"M{x * CELL + right:g} {number * LINE + down:g}"
            paths.setdefault((paint, cell.role), []).append(start + outline)
    for (paint, role), outlines in paths.items():
        yield f'<path class="{paint} {role}" d="{"".join(outlines)}"/>'


def _texts(number: int, line: list[_Cell]) -> Iterator[str]:
    """The words, each run of one look; what stands far apart is placed apart."""
    at = 0
    while at < len(line):
        stop = at
        while line[at].text != " " and stop < len(line) and line[stop].role == line[at].role and _is_text(line, stop):
            stop += 1
        text = "".join(cell.text for cell in line[at:stop]).rstrip()
        if text:
            place = f'x="{at * CELL}" y="{number * LINE + BASE}" textLength="{len(text) * CELL}"'
            yield f'<text class="{line[at].role}" {place} lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
        at = max(stop, at + 1)


def _is_text(line: list[_Cell], at: int) -> bool:
    """Whether a word goes on here: with a character of its own, or with one blank between two such."""
    if line[at].text == " ":
        return 0 < at < len(line) - 1 and line[at - 1].text != " " != line[at + 1].text and _is_text(line, at + 1)
    return line[at].text not in ARMS and line[at].text not in SHAPES and line[at].text not in {OPEN, CLOSE}


def spoken(line: Sequence[_Cell]) -> str:
    """A row as it is read aloud: words for signs, nothing for lines."""
    words = [f" {SPOKEN[cell.text]} " if cell.text in SPOKEN else cell.text for cell in line if cell.text not in ARMS]
    told = ON_ITS_WAY.sub(lambda found: f" {found[1] or found[2]} ", "".join(words))
    return " ".join(told.replace(OPEN, " [").replace(CLOSE, "] ").split()).replace("[ ", "[").replace(" ]", "]")
