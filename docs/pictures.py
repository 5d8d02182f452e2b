"""Draws the gallery: each script of docs/gallery as a moving picture beside it, and docs/gallery.md with all of them.

A script begins with a comment: its title, an empty line of comment, and what happens in it.
"""

from pathlib import Path
from typing import Final, NamedTuple

from model.script.parser import parse
from tui.export.picture_steps import PictureStep, chosen, drawing, script_steps
from tui.export.picture_svg import svg
from tui.views.glyphs import UNICODE

FOLDER: Final = Path(__file__).parent / "gallery"
FIRST: Final = {
    "move-under-grab": 6,
    "pin-dontneed-fault": 4,
    "fork-cow-under-get": 6,
    "truncate-under-pin": 5,
    "stale-tlb": 5,
    "huge-page-hole": 8,
}
"""The moments in their order, and the command with which each begins to move."""
GALLERY: Final = FOLDER.with_suffix(".md")
MUSEUM: Final = """
## Real bugs

`ptescope museum` has real ones, from Dirty COW to a GPU that kept its mapping. `ptescope export museum -o museum.html`
draws them all on one page: each as it was, step by step into the corruption, and the same way as mended.
"""
INTRODUCTION: Final = """\
# Six decisive moments

Each picture is drawn by `ptescope export SCRIPT.pte --picture --steps A..B -o FILE.svg` from the script below it. Pages
are on the left, frames in the middle, holders on the right, with a token in the frame for each unit of its count. A
straight line means that both ends agree, a bent one that they have parted, dots that somebody still believes; thick
lines may write. `l` in the program explains every sign. If your system asks for less motion, each shows only its
last picture.

"""
WIDTH: Final = 82
"""Columns of a picture."""


class Shown(NamedTuple):
    """One moment of the gallery."""

    name: str
    title: str
    text: str
    script: str
    """The commands alone."""
    steps: list[PictureStep]

    @property
    def svg(self) -> str:
        """The moving picture."""
        return svg([drawing(step, WIDTH) for step in self.steps], self.title)


def shown(name: str) -> Shown:
    """A moment, played. Raises ScriptError and FileNotFoundError."""
    source = (FOLDER / f"{name}.pte").read_text(encoding="utf-8")
    head, _, script = source.partition("\n\n")
    title, _, text = "\n".join(line.removeprefix("#").strip() for line in head.splitlines()).partition("\n\n")
    return Shown(name, title, text, script, chosen(script_steps(parse(source)), FIRST[name], None))


def gallery() -> str:
    """Every moment as Markdown: what happens, the picture, what it broke in words, and the script."""
    return INTRODUCTION + "\n".join(map(_section, map(shown, FIRST))) + MUSEUM


def _section(moment: Shown) -> str:
    """One moment."""
    alarms = "".join(
        f"- {UNICODE.caution if alarm.severity == 'hazard' else UNICODE.broken} `{step.command}`:"
        f" **{alarm.severity} {alarm.invariant}**. {alarm.message}\n"
        for step in moment.steps
        for alarm in step.alarms
    )
    return (
        f"## {moment.title}\n\n{moment.text}\n\n![{moment.title}, step by step](gallery/{moment.name}.svg)\n\n"
        f"{alarms}\n```sh\n{moment.script}```\n"
    )


if __name__ == "__main__":
    GALLERY.write_text(gallery(), encoding="utf-8")
    for each in FIRST:
        (FOLDER / f"{each}.svg").write_text(shown(each).svg, encoding="utf-8")
