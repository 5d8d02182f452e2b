"""`ptescope sandbox [FILE]`: play freely, on an empty machine or on the one that a script sets up."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from tui.commands.home import EXIT_NO_TERMINAL, no_terminal
from tui.commands.run import complain
from tui.reading import UnreadableError, read_text

EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operand of `ptescope sandbox`."""
    parser.description = (
        "Play freely: type commands, step through them, go back, try something else. With a script its commands are "
        "carried out first. Exit status: 0, or 2 if the script is malformed or cannot be read."
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a script (.pte) that sets the scene")
    parser.add_argument("--plain", action="store_true", help="text in, text out: no screen, no cursor movement")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.script.execute import check_simulated  # noqa: PLC0415 - the kernel is imported where it is run
    from model.script.parser import parse  # noqa: PLC0415
    from model.script.problems import ScriptError  # noqa: PLC0415

    try:
        commands = parse(read_text(args.file)) if args.file else ()
        check_simulated(commands)
        if args.plain:
            from tui.plain import console  # noqa: PLC0415
            from tui.sandbox_plain import PlainSandbox  # noqa: PLC0415

            return PlainSandbox(commands, sys.stdin, console()).run()
        if refusal := no_terminal():
            print(f"ptescope: {refusal}; `ptescope sandbox --plain` needs none", file=sys.stderr)
            return EXIT_NO_TERMINAL
        from tui.app import sandbox  # noqa: PLC0415 - Textual only where there is a screen

        return sandbox(commands, Path(args.file).name) if args.file else sandbox()
    except UnreadableError as error:
        print(error, file=sys.stderr)
    except ScriptError as error:
        complain(args.file, error)
    return EXIT_MALFORMED
