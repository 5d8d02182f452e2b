"""`ptescope recap`: what was learnt, as Markdown."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

EXIT_FINE: Final = 0
EXIT_UNREADABLE: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope recap`."""
    parser.description = (
        "Print what you have learnt, as Markdown: the rule of each lesson that is done, your wrong guesses beside the "
        "truth, what to read in the kernel, how the drills went, and what comes next."
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there instead of printing it")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.library import entries
    from lessons.file.problems import LessonError
    from lessons.learner.own_file import replace_file
    from lessons.learner.progress import ProgressError, Store
    from lessons.teach.recap import recap

    store = Store()
    try:
        text = recap(entries(), store.read())
    except (LessonError, ProgressError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE
    if store.report:
        print(store.report, file=sys.stderr)
    if args.output is not None:
        replace_file(args.output, text.encode(), private=False)
    else:
        print(text, end="")
    return EXIT_FINE
