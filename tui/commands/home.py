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
    if getattr(args, "plain_home", False):
        from lessons.learner.progress import Store
        from tui.plain.home import PlainHome
        from tui.views.plain_text import console

        PlainHome(Store(), sys.stdin, console()).run()
        return 0
    if refusal := no_terminal():
        print(f"ptescope: {refusal}; {tr('`ptescope --plain` needs none')}", file=sys.stderr)
        return EXIT_NO_TERMINAL
    from tui.app.launch import home

    return home()
