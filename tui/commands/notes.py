"""`ptescope notes`: the teacher's notes in a second terminal, beside `ptescope learn --present`."""

import sys
from argparse import ArgumentParser, Namespace

from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal


def add_arguments(parser: ArgumentParser) -> None:
    """The command takes no arguments."""
    parser.description = (
        "Show the notes to what `ptescope learn LESSON --present` shows in another terminal: what to say, the wrong "
        "answers and the beliefs behind them, ballots, what comes next, and how long the lesson has taken."
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    del args
    if refusal := no_terminal():
        print(f"ptescope: {refusal}", file=sys.stderr)
        return EXIT_NO_TERMINAL
    from tui.app.notes_app import Notes

    app = Notes()
    app.run()
    return app.return_code or 0
