"""`ptescope export --picture|--time-space`: the drawings of a lesson or a script as files."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.i18n.language import tr

if TYPE_CHECKING:
    from lessons.learner.progress import Store
    from tui.export.picture_steps import PictureStep

WIDTH: Final = 90
"""Columns of a drawing: all that it needs, and still large on a page."""


def steps(text: str) -> tuple[int, int | None]:
    """Parse a range such as `3..9`, or `3..` to the end, or raise ArgumentTypeError."""
    first, dots, last = text.partition("..")
    if not dots or not text.isascii() or not first.isdigit() or not (last.isdigit() or not last) or len(text) > 20:
        raise ArgumentTypeError(tr("expected steps such as 3..9 or 3.., not `{text}`").format(text=text))
    if int(first) < 1 or (last and int(last) < int(first)):
        raise ArgumentTypeError(tr("expected steps from 1 on, the first one first, not `{text}`").format(text=text))
    return int(first), int(last) if last else None


class ChosenSteps(NamedTuple):
    """What is to be drawn."""

    steps: "Sequence[PictureStep]"
    title: str
    width: int
    whole: bool
    """Somebody has chosen these steps: they are all of the lesson or script otherwise."""


def drawing(forms: "Mapping[str, DrawingFormat]", args: Namespace, store: "Store") -> str:
    """The drawing of a lesson or a script. Raises ValueError where the steps are not there, or not to be drawn."""
    from lessons.file.library import find
    from model.script.parser import parse
    from tui.export.picture_steps import chosen, lesson_steps, script_steps
    from tui.session.user_files import read_script

    if args.what.endswith(".pte"):
        title = Path(args.what).name
        played = script_steps(command for command in parse(read_script(args.what)) if command.verb != "may")
    else:
        lesson = find(args.what)
        title, played = lesson.header.title, lesson_steps(lesson, store)
    found = chosen(played, *(args.steps or (1, None)))
    width = args.size[0] if args.size else WIDTH
    return forms[args.output.suffix].make(ChosenSteps(found, title, width, args.steps is not None))


def picture_as_svg(wanted: ChosenSteps) -> str:
    """The last drawing, or those chosen one after the other."""
    from tui.export.picture_steps import drawing
    from tui.export.picture_svg import svg

    shown = wanted.steps if wanted.whole else wanted.steps[-1:]
    return svg([drawing(step, wanted.width) for step in shown], wanted.title)


def picture_as_markdown(wanted: ChosenSteps) -> str:
    """Every step with its drawing as text."""
    from tui.export.picture_markdown import markdown

    return markdown(wanted.steps, wanted.title, wanted.width)


def picture_as_page(wanted: ChosenSteps) -> str:
    """A page to step through."""
    from tui.export.picture_html import page

    return page(wanted.steps, wanted.title, wanted.width)


def time_space_as_svg(wanted: ChosenSteps) -> str:
    """The lanes as strokes."""
    from tui.export.time_space import as_svg

    return as_svg(wanted.steps, wanted.title, wanted.width, whole=wanted.whole)


def time_space_as_markdown(wanted: ChosenSteps) -> str:
    """The lanes as text."""
    from tui.export.time_space import as_markdown

    return as_markdown(wanted.steps, wanted.title, wanted.width, whole=wanted.whole)


class DrawingFormat(NamedTuple):
    """What a suffix stands for, and what makes it."""

    what: str
    make: "Callable[[ChosenSteps], str]"


PICTURES: Final = {
    ".svg": DrawingFormat("the last picture, or with --steps several that follow each other", picture_as_svg),
    ".md": DrawingFormat("every step as text", picture_as_markdown),
    ".html": DrawingFormat("a page to step through, which needs no network", picture_as_page),
    "": DrawingFormat("a folder with that page", picture_as_page),
}
TIME_SPACES: Final = {
    ".svg": DrawingFormat(
        "the last commands, or those of --steps, as lanes with all that two of them touch", time_space_as_svg
    ),
    ".md": DrawingFormat("the same as text", time_space_as_markdown),
}
"""By the suffix of the file."""


def formats() -> str:
    """What there is, for the help."""
    pictures, lanes = _kinds(PICTURES), _kinds(TIME_SPACES)
    return tr("With --picture: {pictures}. With --time-space: {lanes}.").format(pictures=pictures, lanes=lanes)


def _kinds(forms: Mapping[str, DrawingFormat]) -> str:
    return "; ".join(f"{suffix or tr('none')}, {tr(form.what)}" for suffix, form in forms.items())
