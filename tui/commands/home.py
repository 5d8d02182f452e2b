"""`ptescope` without a subcommand: the app, at home."""

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from tui.session.user_files import is_served

EXIT_NO_TERMINAL: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none."""
    parser.description = "Open the app."


def main(args: Namespace) -> int:
    """Run the app; returns the exit status."""
    del args
    if refusal := no_terminal():
        print(f"ptescope: {refusal}; `ptescope --help` shows what works without one", file=sys.stderr)
        return EXIT_NO_TERMINAL
    from tui.app.launch import home  # noqa: PLC0415 - Textual only where there is a screen

    return home()


def no_terminal() -> str:
    """Why no screen can be opened here; empty if one can."""
    if is_served():
        return ""
    if not sys.stdin or not sys.stdin.isatty():
        return "the app needs a terminal, and standard input is none"
    if not sys.stdout.isatty():
        return "the app needs a terminal, and standard output is none"
    return "the app needs a terminal that can move its cursor, and TERM=dumb cannot" if is_dumb() else ""


def is_dumb() -> bool:
    """The terminal says of itself that it only prints, as an editor's shell does."""
    return os.environ.get("TERM") == "dumb"
