"""`ptescope export LESSON|SCRIPT -o FILE`: a picture, a text, a recording, a diagram; the suffix says which."""

import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lessons.learner.progress import Store
    from model.script.command import Command
    from tui.app.recording import RecordedScreen

EXIT_FINE: Final = 0
EXIT_MALFORMED: Final = 2
WIDEST: Final = 500
HIGHEST: Final = 200
FORMATS: Final = {
    ".svg": "the first screen as a picture",
    ".md": "a text to read",
    ".cast": "a recording for asciinema, played to the end",
    ".mmd": "a Mermaid sequence diagram of a script's trace",
}


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope export`."""
    kinds = "; ".join(f"{suffix}, {what}" for suffix, what in FORMATS.items())
    parser.description = f"Export a lesson or a script. The suffix of the file says as what: {kinds}."
    parser.add_argument("what", metavar="LESSON|SCRIPT", help="a lesson's name, a .md lesson file, or a .pte script")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--size", type=size, default=(120, 40), metavar="WxH", help="of the screen (default 120x40)")


def size(text: str) -> tuple[int, int]:
    """Parse columns and lines such as `120x40`, or raise ArgumentTypeError."""
    width, cross, height = text.partition("x")
    if not cross or not width.isdecimal() or not height.isdecimal():
        raise ArgumentTypeError(f"expected columns x lines such as 120x40, not `{text}`")
    if not 80 <= int(width) <= WIDEST or not 24 <= int(height) <= HIGHEST:
        raise ArgumentTypeError(f"expected 80x24 to {WIDEST}x{HIGHEST}, not `{text}`")
    return int(width), int(height)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.problems import LessonError, did_you_mean
    from lessons.learner.progress import Store, replace_file
    from model.script.problems import ScriptError
    from tui.commands.run import complain
    from tui.session.user_files import UnreadableError

    if args.output.suffix not in FORMATS:
        near = did_you_mean(args.output.suffix, FORMATS)
        print(f"{args.output}: no format has that suffix ({near})", file=sys.stderr)
        return EXIT_MALFORMED
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "progress.json")
            text = _script(args, store) if args.what.endswith(".pte") else _lesson(args, store)
    except ScriptError as error:
        complain(args.what, error)
        return EXIT_MALFORMED
    except (LessonError, UnreadableError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    replace_file(args.output, text.encode(), private=False)
    print(args.output)
    return EXIT_FINE


def _lesson(args: Namespace, store: "Store") -> str:
    """A lesson in the wanted format."""
    from lessons.file.library import find
    from lessons.teach.handout import reference
    from tui.app.recording import asciicast, recording, screen
    from tui.drivers.lesson import LessonDriver
    from tui.drivers.opening import lesson_driver
    from tui.export.screen import svg

    lesson = find(args.what)
    if args.output.suffix == ".md":
        return reference(lesson)
    if args.output.suffix == ".mmd":
        raise ValueError("a diagram is made of a script: `ptescope export SCRIPT.pte -o FILE.mmd`")
    driver = lesson_driver(lesson, store)
    assert isinstance(driver, LessonDriver)
    if args.output.suffix == ".svg":
        return screen(driver, store, svg, args.size)
    from lessons.play.auto_player import onward

    frames = recording(driver, store, lambda: onward(driver.player), args.size)
    return asciicast(whole(frames), lesson.header.title, *args.size)


def _script(args: Namespace, store: "Store") -> str:
    """A script in the wanted format."""
    from model.script.parser import parse
    from tui.app.recording import asciicast, recording, screen
    from tui.drivers.sandbox import SandboxDriver
    from tui.export.mermaid import diagram
    from tui.export.screen import markdown, svg
    from tui.session.user_files import read_text

    commands: tuple[Command, ...] = parse(read_text(args.what))
    commands = tuple(command for command in commands if command.verb != "may")
    name = Path(args.what).name
    driver = SandboxDriver(commands, name)
    timeline = driver.session.timeline
    match args.output.suffix:
        case ".mmd":
            return diagram(tuple(timeline.path_to(driver.session.node)))
        case ".svg":
            return screen(driver, store, svg, args.size)
        case ".md":
            head = "\n".join(command.text for command in commands)
            return f"# {Path(args.what).stem}\n\n```sh\n{head}\n```\n\n{screen(driver, store, markdown, args.size)}"
        case _:
            driver.end(last=False)
            frames = recording(driver, store, lambda: driver.step("forward") == "", args.size)
            return asciicast(whole(frames), name, *args.size)


def whole(frames: "list[RecordedScreen]") -> "list[RecordedScreen]":
    """The frames; says so if they are not all."""
    from tui.app.recording import MOST_FRAMES

    if len(frames) == MOST_FRAMES:
        print(f"the recording ends after {MOST_FRAMES} screens, the most that it takes", file=sys.stderr)
    return frames
