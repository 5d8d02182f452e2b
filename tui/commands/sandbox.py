"""`ptescope sandbox [FILE]`: play freely, on an empty machine or on the one that a script sets up."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.run import complain
from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal
from tui.session.user_files import UnreadableError, read_script

if TYPE_CHECKING:
    from tui.drivers.sandbox import SandboxDriver

EXIT_MALFORMED: Final = 2
OTHER_VERSION: Final = "the code was made by another version: its moves now lead to another state than there"


def add_arguments(parser: ArgumentParser) -> None:
    """The operand and options of `ptescope sandbox`."""
    parser.description = (
        "Play freely: type commands, step through them, go back, try something else. With a script its commands are "
        "carried out first; a saved session is opened with every branch. Exit status: 0, or 2 if the script or code is "
        "malformed or cannot be read."
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a script or a saved session (.pte)")
    parser.add_argument("--code", metavar="CODE", help="open a state code")
    parser.add_argument("--plain", action="store_true", help="text in, text out: no screen, no cursor movement")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.session.state_code import CodeError
    from model.text.problems import ScriptError

    if args.file and args.code:
        print(f"ptescope sandbox: {tr('a file or a code, not both')}", file=sys.stderr)
        return EXIT_MALFORMED
    try:
        return _plain(args) if args.plain else _screen(args)
    except UnreadableError as error:
        print(error, file=sys.stderr)
    except CodeError as error:
        print(f"ptescope sandbox: {error}", file=sys.stderr)
    except ScriptError as error:
        complain(args.file, error)
    return EXIT_MALFORMED


def _plain(args: Namespace) -> int:
    """Without a screen: what led to the present state is told, then one goes on from there."""
    from lessons.learner.progress import Store
    from tui.drivers.opening import sandbox_driver
    from tui.plain.sandbox import PlainSandbox
    from tui.views.plain_text import console

    driver = sandbox_driver(Store())
    if args.file or args.code:
        _open(driver, args.code, read_script(args.file) if args.file else "")
    return PlainSandbox(driver, sys.stdin, console()).run()


def _screen(args: Namespace) -> int:
    """Open the sandbox on the screen."""
    text = read_script(args.file) if args.file else ""
    if args.code:
        from model.session.state_code import unpack

        unpack(args.code)  # What is no code is said before anything else is.
    elif text:
        from tui.session.session_file import check

        check(text)
    if refusal := no_terminal():
        print(
            f"ptescope: {refusal}; {tr('`{command}` needs none').format(command='ptescope sandbox --plain')}",
            file=sys.stderr,
        )
        return EXIT_NO_TERMINAL
    from tui.app.launch import sandbox

    if not args.file and not args.code:
        return sandbox()
    return sandbox(lambda driver: _open(driver, args.code, text), Path(args.file).name if args.file else "Sandbox")


def _open(driver: "SandboxDriver", code: str | None, text: str) -> None:
    """Set the scene on a driver, and leave a word where something is to be said."""
    from model.session.state_code import follow
    from tui.drivers.session_commands import open_text

    if code:
        driver.word = "" if follow(driver.session, code) else OTHER_VERSION
    else:
        driver.word = open_text(driver, text)
    driver.jumped()
