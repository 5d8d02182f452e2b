"""`ptescope lesson check`: what is wrong with lesson files, for authors and for CI."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

EXIT_FINE: Final = 0
EXIT_PROBLEMS: Final = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope lesson`, and their operands."""
    parser.description = "For authors of lessons."
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    checking = deeds.add_parser("check", help="say what is wrong with lesson files")
    checking.description = (
        "Check lesson files: their form, their texts, and, by playing them on the model, every answer, goal and "
        "solution. Exit status: 0 nothing is wrong, 1 something is."
    )
    checking.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="lessons, or folders of them; default: the course"
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.check import check_paths  # noqa: PLC0415 - the kernel is imported where it is run

    lessons, problems = check_paths(args.paths)
    for problem in problems:
        print(problem, file=sys.stderr)
    noun = "lesson" if len(lessons) == 1 else "lessons"
    print(f"{len(lessons)} {noun} checked, {len(problems)} problem{'' if len(problems) == 1 else 's'}")
    return EXIT_PROBLEMS if problems else EXIT_FINE
