"""Time and space of some steps, as SVG and Markdown: who did what when, and whom it touched."""

from collections.abc import Sequence
from typing import Final

from model.session.interleaving import Interleaving, of_timeline, recent
from tui.export.picture_steps import PictureStep
from tui.export.picture_svg import Drawing, svg
from tui.views.glyphs import UNICODE
from tui.views.row import BLANK, Row
from tui.views.time_space import legend, time_space

FEW_LANES: Final = 3
"""Commands and tasks that are drawn where no steps are chosen: the last ones."""


def stretch(steps: Sequence[PictureStep], *, whole: bool) -> Interleaving:
    """What ran in these steps; not `whole`: only the last commands. Raises ValueError if they are no single way."""
    last = steps[-1]
    first = steps[0].before if whole else recent(last.timeline, FEW_LANES)
    try:
        return of_timeline(last.timeline, first, last.after)
    except ValueError:
        raise ValueError("these steps are in different scenes of the lesson: choose fewer") from None


def rows(steps: Sequence[PictureStep], width: int, *, whole: bool) -> list[Row]:
    """What the signs mean, and the drawing."""
    return [legend(UNICODE), BLANK, *time_space(stretch(steps, whole=whole), width, UNICODE)]


def as_svg(steps: Sequence[PictureStep], title: str, width: int, *, whole: bool) -> str:
    """The drawing as SVG."""
    return svg([Drawing(title, rows(steps, width, whole=whole))], title)


def as_markdown(steps: Sequence[PictureStep], title: str, width: int, *, whole: bool) -> str:
    """The drawing as a block of text."""
    lines = (line.text.rstrip() for line in rows(steps, width, whole=whole))
    return "\n".join((f"# {title}", "", "```text", *lines, "```", ""))
