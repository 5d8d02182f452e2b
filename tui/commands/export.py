"""`ptescope export LESSON|SCRIPT -o FILE`: a screen, a text, a recording, a diagram; the suffix says which.

With --picture it is the drawing of pages, frames and holders instead of a screen, with --time-space that of lanes.
"""

import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.i18n.language import tr
from tui.commands.export_drawing import PICTURES, TIME_SPACES, WIDTH, drawing, formats, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from lessons.file.schema import Lesson
    from lessons.learner.progress import Store
    from model.script.command import Command
    from tui.app.recording import RecordedScreen
    from tui.drivers.sandbox import SandboxDriver

Size = tuple[int, int]
"""Columns and lines of the screen."""

MUSEUM: Final = "museum"
"""Instead of a lesson or a script: all bugs of the museum, as .html."""
EXIT_FINE: Final = 0
EXIT_MALFORMED: Final = 2
SCREEN: Final[Size] = (120, 40)
WIDEST: Final = 500
HIGHEST: Final = 200


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope export`."""
    kinds = "; ".join(f"{suffix}, {tr(form.what)}" for suffix, form in FORMATS.items())
    parser.description = (
        tr("Export a lesson or a script. The suffix of the file says as what: {kinds}.").format(kinds=kinds)
        + f" {formats()}"
    )
    parser.add_argument(
        "what", metavar="LESSON|SCRIPT", help="a lesson's name, a .md lesson file, a .pte script, or `museum`"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE|DIR", help="where to write it")
    shown = tr("of the screen (default {screen}); of a drawing only the width counts ({width})").format(
        screen=f"{SCREEN[0]}x{SCREEN[1]}", width=WIDTH
    )
    parser.add_argument("--size", type=size, metavar="WxH", help=shown)
    drawn = parser.add_mutually_exclusive_group()
    drawn.add_argument("--picture", action="store_true", help="draw pages, frames and holders instead of a screen")
    drawn.add_argument("--time-space", action="store_true", help="draw what ran when, and whom it touched")
    parser.add_argument(
        "--steps",
        type=steps,
        metavar="A..B",
        help="of a drawing: which commands of the script, or moves of the lesson; `3..` is from the third on",
    )


def size(text: str) -> tuple[int, int]:
    """Parse columns and lines such as `120x40`, or raise ArgumentTypeError."""
    width, cross, height = text.partition("x")
    if not cross or not text.isascii() or not width.isdigit() or not height.isdigit() or len(text) > 9:
        raise ArgumentTypeError(tr("expected columns x lines such as 120x40, not `{text}`").format(text=text))
    if not 80 <= int(width) <= WIDEST or not 24 <= int(height) <= HIGHEST:
        raise ArgumentTypeError(
            tr("expected {least} to {most}, not `{text}`").format(least="80x24", most=f"{WIDEST}x{HIGHEST}", text=text)
        )
    return int(width), int(height)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.problems import LessonError, did_you_mean
    from lessons.learner.own_file import replace_file
    from lessons.learner.progress import Store
    from model.text.problems import ScriptError
    from tui.commands.run import complain
    from tui.session.user_files import UnreadableError

    if args.what == MUSEUM:
        return museum(args)
    drawings = PICTURES if args.picture else TIME_SPACES if args.time_space else None
    suffixes = tuple(FORMATS if drawings is None else drawings)
    if args.output.suffix not in suffixes:
        near = did_you_mean(args.output.suffix, suffixes)
        print(tr("{file}: no format has that suffix ({near})").format(file=args.output, near=near), file=sys.stderr)
        return EXIT_MALFORMED
    if args.steps and drawings is None:
        print(tr("--steps chooses what is drawn: add --picture or --time-space"), file=sys.stderr)
        return EXIT_MALFORMED
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "progress.json")
            text = _exported(args, store) if drawings is None else drawing(drawings, args, store)
    except ScriptError as error:
        complain(args.what, error)
        return EXIT_MALFORMED
    except (LessonError, UnreadableError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    output = args.output
    if not output.suffix:
        output.mkdir(parents=True, exist_ok=True)
        output /= "index.html"
    replace_file(output, text.encode(), private=False)
    print(output)
    return EXIT_FINE


def museum(args: Namespace) -> int:
    """Write the museum as one page; returns the exit status."""
    from lessons.file.museum import exhibits
    from lessons.learner.own_file import replace_file
    from tui.export.museum_page import museum_page

    if args.output.suffix != ".html" or args.picture or args.time_space or args.steps:
        print(tr("the museum is one page: `ptescope export museum -o FILE.html`"), file=sys.stderr)
        return EXIT_MALFORMED
    replace_file(args.output, museum_page(exhibits()).encode(), private=False)
    print(args.output)
    return EXIT_FINE


def _exported(args: Namespace, store: "Store") -> str:
    """A lesson or a script in the wanted format. ValueError where that is made of the other only."""
    form, screen_size = FORMATS[args.output.suffix], args.size or SCREEN
    if args.what.endswith(".pte"):
        if form.of_script is None:
            raise ValueError(f"{args.output}: {form.what} is made of a lesson, not of a script")
        return form.of_script(_script(args.what), store, screen_size)
    if form.of_lesson is None:
        raise ValueError(f"{args.output}: {form.what} is made of a script: `ptescope export SCRIPT.pte -o FILE`")
    from lessons.file.library import find

    return form.of_lesson(find(args.what), store, screen_size)


class PlayedScript(NamedTuple):
    """A script to be exported, carried out to its end."""

    name: str
    commands: "tuple[Command, ...]"
    driver: "SandboxDriver"


def _script(path: str) -> PlayedScript:
    from model.script.parser import parse
    from tui.drivers.script import ScriptDriver
    from tui.session.user_files import read_script

    commands = tuple(command for command in parse(read_script(path)) if command.verb != "may")
    name = Path(path).name
    return PlayedScript(name, commands, ScriptDriver(commands, name))


# -- of a lesson -------------------------------------------------------------------------------


def lesson_as_svg(lesson: "Lesson", store: "Store", size: Size) -> str:
    """Its first screen."""
    from tui.app.recording import screen
    from tui.drivers.opening import lesson_driver
    from tui.export.screen import svg

    return screen(lesson_driver(lesson, store), store, svg, size)


def lesson_as_markdown(lesson: "Lesson", _store: "Store", _size: Size) -> str:
    """All that it says, asks and plays."""
    from lessons.teach.handout import reference

    return reference(lesson)


def lesson_as_asciicast(lesson: "Lesson", store: "Store", size: Size) -> str:
    """Played to its end by somebody who knows the answers."""
    from lessons.play.auto_player import play_next
    from lessons.play.player import Player
    from tui.app.recording import asciicast, recording
    from tui.drivers.lesson import LessonDriver

    driver = LessonDriver(Player(lesson, store.lesson(lesson.id)), store)
    frames = recording(driver, store, lambda: play_next(driver.player), size)
    return asciicast(whole(frames), lesson.header.title, *size)


# -- of a script -------------------------------------------------------------------------------


def script_as_svg(script: PlayedScript, store: "Store", size: Size) -> str:
    """The screen at its end."""
    from tui.app.recording import screen
    from tui.export.screen import svg

    return screen(script.driver, store, svg, size)


def script_as_markdown(script: PlayedScript, store: "Store", size: Size) -> str:
    """The script, and the screen at its end."""
    from tui.app.recording import screen
    from tui.export.screen import markdown

    lines = "\n".join(command.text for command in script.commands)
    shown = screen(script.driver, store, markdown, size)
    return f"# {Path(script.name).stem}\n\n```sh\n{lines}\n```\n\n{shown}"


def script_as_mermaid(script: PlayedScript, _store: "Store", _size: Size) -> str:
    """Its tasks, and what they touch."""
    from tui.export.mermaid import diagram

    session = script.driver.session
    return diagram(tuple(session.timeline.path_to(session.node)))


def script_as_asciicast(script: PlayedScript, store: "Store", size: Size) -> str:
    """Every step of it."""
    from tui.app.recording import asciicast, recording

    script.driver.end(last=False)
    frames = recording(script.driver, store, lambda: script.driver.step("forward") == "", size)
    return asciicast(whole(frames), script.name, *size)


class Format(NamedTuple):
    """What a suffix stands for, and what makes it; None: it is made of the other only."""

    what: str
    of_lesson: "Callable[[Lesson, Store, Size], str] | None"
    of_script: "Callable[[PlayedScript, Store, Size], str] | None"


FORMATS: Final = {
    ".svg": Format("the first screen as a picture", lesson_as_svg, script_as_svg),
    ".md": Format("a text to read", lesson_as_markdown, script_as_markdown),
    ".cast": Format("a recording for asciinema, played to the end", lesson_as_asciicast, script_as_asciicast),
    ".mmd": Format("a Mermaid sequence diagram of a script's trace", None, script_as_mermaid),
}
"""By the suffix of the file."""


def whole(frames: "list[RecordedScreen]") -> "list[RecordedScreen]":
    """The frames; says so if they are not all."""
    from tui.app.recording import MOST_FRAMES

    if len(frames) > MOST_FRAMES:  # with the end of the last one
        print(f"the recording ends after {MOST_FRAMES} screens, the most that it takes", file=sys.stderr)
    return frames
