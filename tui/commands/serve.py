"""`ptescope serve`: the app in a browser, for students without a terminal."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from importlib.util import find_spec
from shlex import join
from typing import Final

from lessons.i18n.language import tr
from tui.jobs.subprocess_job import python_module

EXIT_FINE: Final = 0
EXIT_MISSING: Final = 2
MOST_PORT: Final = 65_535


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope serve`."""
    parser.description = (
        "Serve the app to browsers (extra `ptescope[web]`). Each session is a program of its own with progress of its "
        "own, which ends with it. Served to this machine only unless --host says otherwise; whoever can reach the port "
        "can use it."
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="open this lesson instead of home")
    parser.add_argument("--host", default="localhost", help="address to listen at (default %(default)s)")
    parser.add_argument("--port", type=port, default=8000, help="port to listen at (default %(default)s)")
    parser.add_argument("--public-url", metavar="URL", help="how browsers reach it, if there is a proxy before it")


def port(text: str) -> int:
    """Parse a TCP port, or raise ArgumentTypeError."""
    if not text.isdecimal() or not 0 < int(text) <= MOST_PORT:
        raise ArgumentTypeError(tr("expected a port from 1 to {most}, not `{text}`").format(most=MOST_PORT, text=text))
    return int(text)


def main(args: Namespace) -> int:
    """Serve until interrupted; returns the exit status."""
    if find_spec("textual_serve") is None:
        print(tr("ptescope serve needs the extra `web`: pip install 'ptescope[web]'"), file=sys.stderr)
        return EXIT_MISSING
    words = python_module("tui.served_session")
    if args.lesson is not None:
        from lessons.file.library import find
        from lessons.file.problems import LessonError

        try:
            find(args.lesson)
        except LessonError as error:
            print(error, file=sys.stderr)
            return EXIT_MISSING
        words += ["learn", args.lesson]
    from textual_serve.server import Server

    Server(join(words), host=args.host, port=args.port, title="ptescope", public_url=args.public_url).serve()
    return EXIT_FINE
