"""`ptescope` without a subcommand: the app, at home."""

import sys
from argparse import ArgumentParser, Namespace

from lessons.i18n.language import tr
from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal


def add_arguments(parser: ArgumentParser) -> None:
    """The command takes no arguments."""
    parser.description = "Open the app."


def main(args: Namespace) -> int:
    """Run the app; returns the exit status."""
    del args
    if refusal := no_terminal():
        print(f"ptescope: {refusal}; {tr('`ptescope --help` shows what works without one')}", file=sys.stderr)
        return EXIT_NO_TERMINAL
    from tui.app.launch import home

    return home()
