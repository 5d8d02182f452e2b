"""What is on the screen, as a file: SVG or Markdown."""

import re
from io import StringIO
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from rich.console import Console
from rich.segment import Segments
from textual.app import App

from lessons.i18n.language import tr
from lessons.learner.own_file import reason, replace_file
from tui.session.user_files import FileNameError, new_file
from tui.views.row import Row

OUTSIDE: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)
"""Fonts at addresses elsewhere, which the library puts into a picture."""
FONTS: Final = "ui-monospace,DejaVu Sans Mono,Menlo,Consolas"
MOST_NAMES: Final = 2000
"""So many pictures without a name of their own may lie in one folder."""


@runtime_checkable
class Drawn(Protocol):
    """A screen that is one drawing: a file has all of it, in strokes of its own, not the part that is in sight."""

    def whole_drawing(self) -> list[Row]:
        """The whole drawing, with what is scrolled out of sight."""


def lines(app: App[None]) -> list[str]:
    """The screen as plain lines."""
    strips = app.screen._compositor.render_strips()  # noqa: SLF001 - Textual has no other way to the whole screen
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def coloured(app: App[None]) -> str:
    """The screen with its colours, as a terminal would be sent it: each line at its own place, whatever the width."""
    drawn = []
    for number, strip in enumerate(app.screen._compositor.render_strips(), 1):  # noqa: SLF001
        out = StringIO()
        console = Console(
            file=out, force_terminal=True, color_system="truecolor", width=app.size.width, legacy_windows=False
        )
        console.print(Segments(strip), end="", soft_wrap=True)
        drawn.append(f"\x1b[{number};1H{out.getvalue().rstrip(chr(10))}")
    return "".join(drawn)


def markdown(app: App[None]) -> str:
    """The screen as a code block."""
    shown = app.screen
    text = [row.text.rstrip() for row in shown.whole_drawing()] if isinstance(shown, Drawn) else lines(app)
    return "```text\n" + "\n".join(text) + "\n```\n"


def svg(app: App[None], title: str = "ptescope") -> str:
    """The screen as a picture, with the reader's own font: none is fetched.

    Some programs drop the blanks at the ends of a text, unless told to keep them.
    """
    if isinstance(app.screen, Drawn):
        from tui.export import picture_svg

        return picture_svg.svg([picture_svg.Drawing(title, app.screen.whole_drawing())], title)
    drawn = app.export_screenshot(title=title).replace("<svg ", '<svg xml:space="preserve" ', 1)
    return OUTSIDE.sub("", drawn).replace("Fira Code", FONTS)


def write_screen(app: App[None], name: str) -> str:
    """Write what is on the screen to a file; what is to be said about that."""
    try:
        path = new_file(name, ".svg")
    except FileNameError as error:
        return str(error)
    draw = {".svg": svg, ".md": markdown}.get(path.suffix)
    if draw is None:
        return tr("{file}: a screen becomes an .svg or .md file.").format(file=path)
    if path.exists():
        return tr("{file} exists: choose another name.").format(file=path)
    try:
        replace_file(path, draw(app).encode(), private=False)
    except OSError as error:
        return reason(error)
    return tr("Saved as {file}.").format(file=path)


def free_name() -> str:
    """A name for a picture that no file in this folder has."""
    names = ("ptescope.svg", *(f"ptescope-{number}.svg" for number in range(2, MOST_NAMES)))
    return next((name for name in names if not Path(name).exists()), names[0])
